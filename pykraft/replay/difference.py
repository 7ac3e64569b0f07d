"""Where two JSON objects differ, path by path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT: Final = _Absent()
"""Stands for a value that one side does not have."""


class Difference(NamedTuple):
    """A path from the top, and what is there on each side; ABSENT where nothing is."""

    path: tuple[str, ...]
    left: Any
    right: Any


def differences(left: Any, right: Any, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """All differences of two JSON values, in the order of their keys; a list is one value."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys(), key=_natural):
            yield from differences(left.get(key, ABSENT), right.get(key, ABSENT), (*path, str(key)))
    elif left is ABSENT or right is ABSENT or left != right or isinstance(left, bool) != isinstance(right, bool):
        yield Difference(path, left, right)


def _natural(key: str) -> tuple[int, str]:
    return (int(key), key) if key.isdecimal() else (-1, key)
