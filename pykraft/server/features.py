"""The finalized features as a node tells them to others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class FinalizedFeatures(NamedTuple):
    """The finalized feature levels, and the offset of the image in which they last changed (−1: none yet)."""

    levels: Mapping[str, int]
    offset: int


NO_FEATURES: Final = FinalizedFeatures({}, -1)
