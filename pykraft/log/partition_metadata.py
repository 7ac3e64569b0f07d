"""The file `partition.metadata`, which says that a log directory is that of the metadata topic.

Kafka: `storage/internals/checkpoint/PartitionMetadataFile.java`.
"""

from __future__ import annotations

from pathlib import Path

from pykraft.log.errors import LogStateError
from pykraft.log.files import replace_file

FILE_NAME = "partition.metadata"
_TEXT = "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ"


def check_topic(directory: Path) -> None:
    """Writes the file where there is none. Raises `LogStateError` when it names another topic, OSError."""
    path = directory / FILE_NAME
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        replace_file(path, _TEXT)
        return
    if text.split() != _TEXT.split():
        raise LogStateError(path, f"holds {text!r}, not the topic id of the metadata log")
