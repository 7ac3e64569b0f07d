"""Batches and directories that the log's tests share."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pykraft.log.batch import encode_batch

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
