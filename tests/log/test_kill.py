"""kill -9 at any moment: what was acknowledged is there afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from pykraft.log.batch import BATCH_BYTES_MAX
from pykraft.log.metadata_log import LogConfig, MetadataLog

ROUNDS = 8


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    rng = random.Random(20)
    acknowledged = 0
    for epoch in range(1, ROUNDS + 1):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.log.appender", str(tmp_path), str(epoch)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        with process.stdout as acknowledgements:
            for _ in range(rng.randint(1, 40)):
                acknowledged = int(acknowledgements.readline())
            process.kill()
            for line in acknowledgements:
                if line.endswith(b"\n"):
                    acknowledged = int(line)
        process.wait(30)
        with MetadataLog.open(tmp_path, LogConfig(segment_bytes=BATCH_BYTES_MAX)) as log:
            assert log.end_offset >= acknowledged
            assert log.last_epoch == epoch
            for found in log.iter_batches():
                for offset, value in enumerate(found.values, found.header.base_offset):
                    assert value.startswith(b"%d:%d|" % (found.header.leader_epoch, offset))
            assert [at for at, _ in log.epochs] == list(range(1, epoch + 1))
            acknowledged = log.end_offset
