"""Checkpoint files, Kafka's name for snapshots of the metadata: their names, and reading one.

Name and content: Kafka `snapshot/Snapshots.java`, `snapshot/RecordsSnapshotWriter.java`. The bootstrap
checkpoint that formatting a directory leaves has the same content under a name of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pykraft.log.batch import Batch, ControlRecordType
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.errors import CorruptBatchError, CorruptLogError
from pykraft.log.segment import iter_file

BOOTSTRAP_NAME = "bootstrap.checkpoint"
_NAME = re.compile(r"(\d{20})-(\d{10})\.checkpoint")


def checkpoint_name(snapshot: OffsetAndEpoch) -> str:
    """File name of the snapshot of everything before `snapshot.offset`."""
    return f"{snapshot.offset:020d}-{snapshot.epoch:010d}.checkpoint"


def list_checkpoints(directory: Path) -> list[OffsetAndEpoch]:
    """Finished snapshots in `directory`, oldest first; parts and deleted ones are left out. OSError."""
    found = (_NAME.fullmatch(entry.name) for entry in directory.iterdir())
    return sorted(OffsetAndEpoch(int(match[1]), int(match[2])) for match in found if match)


def iter_checkpoint(path: Path) -> Iterator[Batch]:
    """The batches of a checkpoint, the control batches that open and close it among them.

    Raises `CorruptLogError` for damage or a file that does not begin with a snapshot header or end with a
    footer, OSError.
    """
    expected, position = 0, 0
    opened = closed = False
    try:
        for position, batch in iter_file(path):
            if batch.header.base_offset != expected:
                reason = f"base offset {batch.header.base_offset}, not {expected}"
                raise CorruptLogError(path, expected, position, reason)
            if not opened and batch.control_types[:1] != [ControlRecordType.SNAPSHOT_HEADER]:
                raise CorruptLogError(path, expected, position, "it does not begin with a snapshot header")
            if closed:
                raise CorruptLogError(path, expected, position, "a batch follows the snapshot footer")
            opened = True
            closed = batch.control_types[-1:] == [ControlRecordType.SNAPSHOT_FOOTER]
            expected = batch.header.next_offset
            yield batch
    except CorruptBatchError as bad:
        raise CorruptLogError(path, expected, bad.position, bad.reason) from bad
    if not closed:
        raise CorruptLogError(path, expected, path.stat().st_size, "it does not end with a snapshot footer")


def read_checkpoint(path: Path) -> list[bytes]:
    """The metadata records of a checkpoint, as raw values; raises as `iter_checkpoint` does."""
    return [value for batch in iter_checkpoint(path) if not batch.control_types for value in batch.values]
