"""The error of the lab: which process, where its log is, and what it said last."""

from __future__ import annotations

from pathlib import Path

LAST_LINES_MAX = 15


class LabError(Exception):
    """A real process did not do what was expected, or something the lab needs is missing.

    `reason` says what happened and what to do; `process` and `log` name the process, if one is concerned,
    and the file that holds its output. The message ends with the last lines of that file.
    """

    def __init__(self, reason: str, *, process: str | None = None, log: Path | None = None) -> None:
        self.reason, self.process, self.log = reason, process, log
        message = f"{process}: {reason}" if process else reason
        if log is not None:
            message += f"\n  log: {log}" + "".join(f"\n  | {line}" for line in last_lines(log))
        super().__init__(message)


def last_lines(path: Path, count: int = LAST_LINES_MAX) -> list[str]:
    """The last `count` lines of a log file; none when there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 400 * count))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
