"""Version ranges as Kafka's schemas write them: `3`, `0-4`, `2+`, `none`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

OPEN: Final = 32767
_TEXT = re.compile(r"(\d+)(?:-(\d+)|(\+))?")


class Versions(NamedTuple):
    """A closed range of versions; `NONE` is the one with `lowest` above `highest`."""

    lowest: int
    highest: int

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.lowest <= version <= self.highest

    def __bool__(self) -> bool:
        return self.lowest <= self.highest

    def __str__(self) -> str:
        if not self:
            return "none"
        if self.highest == OPEN:
            return f"{self.lowest}+"
        return str(self.lowest) if self.lowest == self.highest else f"{self.lowest}-{self.highest}"

    def within(self, other: Versions) -> Versions:
        """The versions both ranges hold."""
        both = Versions(max(self.lowest, other.lowest), min(self.highest, other.highest))
        return both or NONE


NONE: Final = Versions(0, -1)


def parse_versions(text: str) -> Versions:
    """Read a range; ValueError on any other text."""
    if text == "none":
        return NONE
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"not a version range: {text!r}")
    low, high, plus = match.groups()
    found = Versions(int(low), OPEN if plus else int(high if high is not None else low))
    if not found:
        raise ValueError(f"version range ends before it begins: {text!r}")
    return found
