"""Random doubles as our dump shows them and as the Java in use does."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Final

from pykraft.lab import jars
from pykraft.protocol.java_double import java_double

SOURCE: Final = Path(__file__).parent / "DoubleOracle.java"
TIMEOUT_S: Final = 120
SHORTEST_SINCE: Final = 19
NORMAL_MIN: Final = sys.float_info.min
LONGER_BEFORE: Final = (2.0**53, 1e26)
"""Between them, and below the normal numbers, Java before 19 does not always show the fewest digits (JDK-4511638)."""
RANDOM_BITS: Final = 50_000
EACH_EXPONENT: Final = 500


def doubles(rng: Random) -> list[float]:
    """Of any bits, of every magnitude, subnormal ones, and such as people give: rates, percentages."""
    found = [struct.unpack(">d", rng.randbytes(8))[0] for _ in range(RANDOM_BITS)]
    for exponent in range(-40, 40):
        found += [rng.uniform(1, 10) * 10.0**exponent for _ in range(EACH_EXPONENT)]
        found += [float(f"{rng.randrange(1, 10**6)}e{exponent}") for _ in range(EACH_EXPONENT)]
    found += [number * 5e-324 for number in range(1, 2_000)]
    found += [float(rng.randrange(1, 10 ** rng.randrange(1, 16))) for _ in range(EACH_EXPONENT * 10)]
    found += [number / 100 for number in range(10_001)]
    return [value for value in found if value == value]


def test_doubles_are_shown_as_java_shows_them() -> None:
    values = doubles(Random(19))
    done = subprocess.run(
        [jars.java(), str(SOURCE)], input="".join(f"{struct.pack('>d', value).hex()}\n" for value in values),
        capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
    )  # fmt: skip
    feature, *texts = done.stdout.splitlines()
    different = [
        (value, text) for value, text in zip(values, texts, strict=True)
        if text != java_double(value)
    ]  # fmt: skip
    if int(feature) < SHORTEST_SINCE:
        different = [(value, text) for value, text in different if not _may_differ(abs(value)) or float(text) != value]
    assert different == []


def _may_differ(size: float) -> bool:
    low, high = LONGER_BEFORE
    return low <= size < high or size < NORMAL_MIN
