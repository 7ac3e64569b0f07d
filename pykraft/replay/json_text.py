"""JSON as the text that Jackson, and so Kafka's tools, make of it: no spaces, upper-case escapes, Java's floats."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from pykraft.protocol.java_double import java_double

_ENCODER: Final = msgspec.json.Encoder()
_ESCAPE: Final = re.compile(r"\\(?:u00([0-9a-f]{2})|.)")


def json_text(value: Any) -> str:
    """The text of a value made of dicts, lists, texts, numbers, booleans and None."""
    if _has_float(value):
        value = _java_floats(value)
    return _upper_escapes(_ENCODER.encode(value).decode())


def string_text(value: str) -> str:
    """The text of a JSON string, quotes and all."""
    return _upper_escapes(_ENCODER.encode(value).decode())


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
