"""A float as Java shows it: in the text of Kafka's tools, and in the quotas that ZooKeeper holds."""

from __future__ import annotations

import math
from typing import Final

# Double.toString writes a number without an exponent from 10^-3 up to, not including, 10^7.
_PLAIN_EXPONENTS: Final = range(-3, 7)


def java_double(value: float) -> str:
    """What Double.toString of Java 19 and later gives: the fewest digits, at least two, that give the number back.

    Java before 19 shows more digits than needed, or not the nearest, for some numbers from 2^53 to 10^26 and for some
    below 2^-1022 (JDK-4511638), and the same for all others.
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if value == 0:
        return sign + "0.0"
    mantissa, _, exponent_text = _shortest(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    exponent = int(exponent_text or 0) + len(whole) - 1
    if whole == "0":
        exponent = -(len(fraction) - len(fraction.lstrip("0"))) - 1
    digits = digits.rstrip("0") or "0"
    if exponent not in _PLAIN_EXPONENTS:
        return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    digits = digits.ljust(exponent + 1, "0")
    return f"{sign}{digits[: exponent + 1]}.{digits[exponent + 1 :] or '0'}"


def _shortest(value: float) -> str:
    """The text with the fewest digits; of those with two, where one would do, the nearest, such as 4.9e-324."""
    text = repr(value)
    if "." not in text:
        nearest = f"{value:.1e}"
        if float(nearest) == value:
            return nearest
    return text
