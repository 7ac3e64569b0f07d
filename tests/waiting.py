"""Waiting in tests, never for luck: until a condition holds, or until a deadline, and then with what did not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

POLL_S: Final = 0.1


def until(
    condition: Callable[[], bool],
    what: str,
    why: Callable[[], str] = str,
    *,
    deadline_s: float,
    poll_s: float = POLL_S,
) -> None:
    """Wait until the condition holds, or fail after `deadline_s`; `why` then tells how things stand instead."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:.0f} s: {what}; {why()}".removesuffix("; ")
        time.sleep(poll_s)
