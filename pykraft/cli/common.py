"""Shared by the commands: how they end, which errors need no traceback, a file of properties."""

from __future__ import annotations

from pathlib import Path
from typing import Final

DONE: Final = 0
CHECK_SAYS_NO: Final = 1
CANNOT_RUN: Final = 2


class UsageError(Exception):
    """Arguments that cannot work; the message says what would."""


def is_foreseen(error: BaseException) -> bool:
    """Whether an error is one of the outside, whose message is enough."""
    return isinstance(error, OSError) or type(error).__module__.startswith("pykraft.")


def load_properties(path: Path) -> dict[str, str]:
    """A server.properties; UsageError."""
    from javaproperties import InvalidUEscapeError, load

    try:
        with path.open("rb") as file:
            return dict(load(file))
    except (OSError, InvalidUEscapeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
