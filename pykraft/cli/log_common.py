"""Shared by the subcommands of `pykraft log`: how they run, the closed pipe, a progress bar, arguments."""

from __future__ import annotations

import argparse
import functools
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pykraft.cli.common import CANNOT_RUN, DONE, UsageError, is_foreseen

OFFSET_DIGITS_MAX: Final = 19

BAR_AFTER_S: Final = 2.0
BAR_INTERVAL_S: Final = 0.2
BAR_WIDTH: Final = 40

Command = Callable[[argparse.Namespace], int]


def command(function: Command) -> Command:
    """A command that says in one line what it cannot do, and ends quietly when nobody reads on."""

    @functools.wraps(function)
    def run(options: argparse.Namespace) -> int:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Names in a log are UTF-8 whatever the locale says, and names of files may be no text at all.
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        try:
            code = function(options)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python flushes stdout once more at its end: give it somewhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
        except Exception as error:
            if not (is_foreseen(error) or isinstance(error, RecursionError)):
                raise
            say(f"pykraft log: {' '.join(str(error).splitlines())}")
            return CANNOT_RUN
        return code

    return run


def say(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


class Bar:
    """A bar on stderr, on a terminal only, once the work has taken `BAR_AFTER_S`; call it with (done, in all)."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._begun = self._shown = time.monotonic()
        self._live = sys.stderr.isatty()
        self._visible = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._visible:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, done: int, total: int) -> None:
        if not self._live:
            return
        now = time.monotonic()
        if now - self._begun < BAR_AFTER_S or now - self._shown < BAR_INTERVAL_S:
            return
        self._shown, self._visible = now, True
        share = done / total if total else 1.0
        filled = int(share * BAR_WIDTH)
        left_s = (now - self._begun) * (1 - share) / share if share else 0.0
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        sys.stderr.write(f"\r{self._label} [{bar}] {share:4.0%}, {left_s:.0f} s left\x1b[K")
        sys.stderr.flush()


def log_argument(parser: argparse.ArgumentParser, name: str = "log") -> None:
    """The argument for a whole log."""
    parser.add_argument(
        name, type=Path, metavar=name.upper(),
        help="a segment (.log), a checkpoint, a __cluster_metadata-0, or the data directory that holds one",
    )  # fmt: skip


def until_options(parser: argparse.ArgumentParser) -> None:
    """--until."""
    parser.add_argument(
        "--until", metavar="OFFSET|TIME",
        help="stop after this record: an offset, or a time such as 2024-05-01T12:00:00Z; without it the end",
    )  # fmt: skip


def until(text: str | None) -> tuple[int | None, int | None]:
    """(offset, None) or (None, ms since 1970) of an --until; UsageError. A time without a zone is UTC."""
    from datetime import UTC, datetime

    if text is None:
        return None, None
    if text.isascii() and text.isdecimal() and len(text) <= OFFSET_DIGITS_MAX:
        return int(text), None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return None, int(moment.timestamp() * 1000)
    except ValueError:
        raise UsageError(f"{text!r} is neither an offset nor a time such as 2024-05-01T12:00:00Z") from None
