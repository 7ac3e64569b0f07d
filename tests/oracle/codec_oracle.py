"""Asks Kafka's generated classes, in one Java process for a whole batch of questions."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from pykraft.lab import jars

SOURCE: Final = Path(__file__).parent / "CodecOracle.java"
TIMEOUT_S: Final = 300


def ask(class_path: str, questions: list[str]) -> list[list[str]]:
    """The answers, in the order of the questions; see CodecOracle.java for both."""
    done = subprocess.run(
        [jars.java(), "-Xmx512m", "-cp", class_path, str(SOURCE)], input="\n".join(questions) + "\n",
        capture_output=True, text=True, encoding="utf-8", timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"the oracle ended with {done.returncode}:\n{done.stderr}")
    # Not splitlines: Java's JSON leaves the line separators of Unicode as they are.
    answers = [line.split("\t") for line in done.stdout.removesuffix("\n").split("\n")]
    assert len(answers) == len(questions)
    return answers
