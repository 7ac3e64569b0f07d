"""Appends to a log until it is killed, and prints each end offset once it is acknowledged; run by test_kill."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from pykraft.log.batch import BATCH_BYTES_MAX
from pykraft.log.metadata_log import LogConfig, MetadataLog
from tests.log.samples import batch


def main(data_directory: Path, epoch: int) -> None:
    rng = random.Random(epoch)
    log = MetadataLog.open(data_directory, LogConfig(segment_bytes=BATCH_BYTES_MAX))
    while True:
        batches, end = [], log.end_offset
        for _ in range(rng.randint(1, 4)):
            values = [b"%d:%d|" % (epoch, end + i) + b"x" * rng.randint(0, 60_000) for i in range(rng.randint(1, 5))]
            batches.append(batch(end, values, epoch=epoch))
            end += len(values)
        acknowledged = log.append(batches)
        os.write(1, b"%d\n" % acknowledged)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
