"""The command on a disk that is full: it says so, acknowledges nothing it cannot keep, and goes on with more room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pykraft.log.metadata_log import MetadataLog

FILE_BYTES_MAX = 16_384
DEADLINE_S = 30


def command(data: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "pykraft",
        "controller",
        "--data",
        str(data),
        "--listen",
        "127.0.0.1:0",
        "--override",
        "metadata.max.idle.interval.ms=1",
    ]


def test_a_full_disk_ends_the_controller_in_order_and_loses_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        ["prlimit", f"--fsize={FILE_BYTES_MAX}", *command(tmp_path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        # A compiled module cut off at the limit would be what every later Python of this checkout finds.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ended.returncode == 2
    assert "File too large" in ended.stderr
    assert "nothing of this was acknowledged; start again once the disk has room" in ended.stderr
    assert "Traceback" not in ended.stderr
    with MetadataLog.open(tmp_path) as log:
        kept, end_offset = log.read(0, FILE_BYTES_MAX), log.end_offset
        assert log.recovery.torn_tail is None
        assert len(kept) > FILE_BYTES_MAX - 200
    with subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as again:
        assert again.stdout is not None
        assert json.loads(again.stdout.readline())["event"] == "ready"
        again.terminate()
        assert again.wait(DEADLINE_S) == 0
    with MetadataLog.open(tmp_path) as log:
        assert log.end_offset > end_offset
        assert log.read(0, FILE_BYTES_MAX * 100).startswith(kept)
