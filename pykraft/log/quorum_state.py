"""The file `quorum-state`: the epoch, vote and leader a node must not forget.

Kafka: `raft/FileQuorumStateStore.java`. Data version 0 goes with a static voter set, 1 with kraft.version 1.
"""

from __future__ import annotations

import json
from pathlib import Path

from pykraft.log.errors import LogStateError
from pykraft.log.files import replace_file
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.jsonconv import from_json, to_json
from pykraft.protocol.messages.quorum_state_data import QuorumStateData

FILE_NAME = "quorum-state"
_DATA_VERSION = "data_version"


def read_quorum_state(directory: Path) -> QuorumStateData | None:
    """The state in `directory`; None when there is no file.

    Raises `LogStateError` for a file that is not one, OSError.
    """
    path = directory / FILE_NAME
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return None
    try:
        state = json.loads(text.partition("\n")[0])
        if not isinstance(state, dict) or not isinstance(state.get(_DATA_VERSION), int):
            raise ValueError(f"it has no {_DATA_VERSION}")
        return from_json(QuorumStateData, state, state.pop(_DATA_VERSION))
    except (ProtocolError, ValueError, RecursionError) as error:
        reason = f"is not a quorum state: {error}; restore it, or this node may vote twice in one epoch"
        raise LogStateError(path, reason) from error


def write_quorum_state(directory: Path, state: QuorumStateData, version: int = 0) -> None:
    """Replaces the file, on disk when this returns.

    `version` is the data version: Kafka 3.4 to 3.8 read only 0. Raises OSError, and EncodeError for a state
    that the version cannot hold.
    """
    fields = to_json(state, version) | {_DATA_VERSION: version}
    replace_file(directory / FILE_NAME, json.dumps(fields, separators=(",", ":")))
