"""JSON as the text that Jackson, and so Kafka's tools, make of it: no spaces, upper-case escapes, Java's floats."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder()
_ESCAPE: Final = re.compile(r"\\(?:u00([0-9a-f]{2})|.)")
# Java's Double.toString writes a number without an exponent from 10^-3 up to, not including, 10^7.
_PLAIN_EXPONENTS: Final = range(-3, 7)


def json_text(value: Any) -> str:
    """The text of a value made of dicts, lists, texts, numbers, booleans and None."""
    if _has_float(value):
        value = _java_floats(value)
    return _upper_escapes(_ENCODER.encode(value).decode())


def string_text(value: str) -> str:
    """The text of a JSON string, quotes and all."""
    return _upper_escapes(_ENCODER.encode(value).decode())


def java_double(value: float) -> str:
    """A float as Java's Double.toString shows it, with the fewest digits that give the number back.

    Java before 19 shows a digit more for some numbers (JDK-4511638).
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if value == 0:
        return sign + "0.0"
    mantissa, _, exponent_text = f"{abs(value)!r}".partition("e")
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


def _upper_escapes(text: str) -> str:
    return _ESCAPE.sub(_upper_escape, text) if "\\u00" in text else text


def _upper_escape(match: re.Match[str]) -> str:
    return f"\\u00{match[1].upper()}" if match[1] else match[0]


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_float(item) for item in value.values())
    return isinstance(value, float)


def _java_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _java_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_java_floats(item) for item in value]
    if isinstance(value, float):
        return msgspec.Raw(java_double(value).encode())
    return value
