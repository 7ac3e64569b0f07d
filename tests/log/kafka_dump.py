"""What Kafka's own kafka-dump-log prints of a segment or a checkpoint, and what is to be read in it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from pykraft.lab import jars

TIMEOUT_S = 120


def dump(path: Path) -> list[str]:
    """The lines of kafka-dump-log for a segment."""
    done = subprocess.run(
        [jars.java(), "-cp", jars.class_path("3.9.1"), "kafka.tools.DumpLogSegments",
         "--cluster-metadata-decoder", "--files", str(path)],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def batches_of(lines: list[str]) -> list[dict[str, str]]:
    return [dict(re.findall(r"(\w+): (\S+)", line)) for line in lines if line.startswith("baseOffset")]


def payloads_of(lines: list[str]) -> dict[int, object]:
    """Offset → what the record decoder printed, for data records."""
    found = (re.match(r"\| offset: (\d+) .* payload: (.*)", line) for line in lines)
    return {int(match[1]): json.loads(match[2]) for match in found if match}
