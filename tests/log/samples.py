"""Batches and directories that the log's tests share."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pykraft.log.batch import encode_batch
from pykraft.log.checkpoint import CheckpointWriter, checkpoint_name
from pykraft.log.epochs import OffsetAndEpoch

CONTROLLER_DATA = Path(__file__).parents[1] / "data/log/controller-3.9.1"
"""The data directory of a real 3.9.1 controller (node 3000), after a migration."""

CONTROLLER_LOG = CONTROLLER_DATA / "__cluster_metadata-0/00000000000000000000.log"

NO_OP = bytes.fromhex("01140000")
TIMESTAMP_MS = 1_795_255_047_007


def batch(base_offset: int, values: Sequence[bytes] = (NO_OP,), *, epoch: int = 1, at_ms: int = TIMESTAMP_MS) -> bytes:
    """A data batch with everything but its place given."""
    return encode_batch(values, base_offset=base_offset, leader_epoch=epoch, timestamp_ms=at_ms)


def copy_of_controller_data(into: Path) -> Path:
    """A copy of `CONTROLLER_DATA` that may be written."""
    target = into / "data"
    shutil.copytree(CONTROLLER_DATA, target, copy_function=shutil.copyfile)
    return target


def write_checkpoint(
    directory: Path, offset: int, epoch: int, values: Sequence[bytes] = (NO_OP,), *, at_ms: int = TIMESTAMP_MS
) -> Path:
    """A whole checkpoint in a log directory; `at_ms` is the time of the last record it stands for."""
    snapshot = OffsetAndEpoch(offset, epoch)
    writer = CheckpointWriter(directory, snapshot, last_contained_timestamp_ms=at_ms, timestamp_ms=TIMESTAMP_MS)
    writer.append(values)
    writer.finish()
    return directory / checkpoint_name(snapshot)
