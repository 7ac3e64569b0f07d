"""Kafka's ConfigDef: how the text of a config is read, checked and written back.

Source: clients/src/main/java/org/apache/kafka/common/config/ConfigDef.java.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, TypeAlias

from pykraft.protocol.java_double import java_double

ConfigValue: TypeAlias = bool | int | float | str | tuple[str, ...]
"""A config's value after reading: BOOLEAN, SHORT/INT/LONG, DOUBLE, STRING/CLASS/PASSWORD, LIST."""

Check: TypeAlias = Callable[[ConfigValue], str | None]
"""Gives the reason why a value is not allowed, or None."""


class ConfigType(IntEnum):
    """The types of ConfigDef, with their codes in DescribeConfigsResponse."""

    UNKNOWN = 0
    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9

    @property
    def is_sensitive(self) -> bool:
        """Values that are never shown; a config of unknown type counts as one, to be safe."""
        return self in (ConfigType.PASSWORD, ConfigType.UNKNOWN)


class ConfigValueError(ValueError):
    """A config that Kafka does not allow; the message names the key, the value and what would be right."""


_INTEGER_BITS: Final = {ConfigType.SHORT: 16, ConfigType.INT: 32, ConfigType.LONG: 64}
_INTEGER: Final = re.compile(r"[+-]?\d+")
_DOUBLE: Final = re.compile(r"[+-]?(?:NaN|Infinity|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFdD]?)", re.ASCII)
_COMMA_WITH_WHITESPACE: Final = re.compile(r"\s*,\s*")
_JAVA_WHITESPACE: Final = "".join(map(chr, range(0x21)))


def parse_integer(text: str, bits: int) -> int:
    """What Java's parseInt and parseLong read: no blanks, no underscores, in range. Raises ValueError."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number")
    number = int(text)
    if not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
        raise ValueError(f"{text} does not fit into {bits} bits")
    return number


def split_like_java(text: str) -> list[str]:
    """The parts between commas as Java's String.split gives them: none that are empty at the end."""
    parts = text.split(",")
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return [] if parts == [""] and text else parts


def parse_value(name: str, text: str, value_type: ConfigType) -> ConfigValue:
    """Read the text of a config. Raises ConfigValueError."""
    trimmed = text.strip(_JAVA_WHITESPACE)
    if value_type is ConfigType.BOOLEAN:
        if trimmed.lower() not in ("true", "false"):
            raise ConfigValueError(f"Invalid value {text} for configuration {name}: give either true or false")
        return trimmed.lower() == "true"
    if value_type in _INTEGER_BITS:
        try:
            return parse_integer(trimmed, _INTEGER_BITS[value_type])
        except ValueError as error:
            raise ConfigValueError(f"Invalid value {text} for configuration {name}: {error}") from error
    if value_type is ConfigType.DOUBLE:
        if not _DOUBLE.fullmatch(trimmed):
            raise ConfigValueError(f"Invalid value {text} for configuration {name}: it is not a number")
        return float(trimmed.rstrip("fFdD"))
    if value_type is ConfigType.LIST:
        return tuple(_COMMA_WITH_WHITESPACE.split(trimmed)) if trimmed else ()
    return trimmed


def value_text(value: ConfigValue) -> str:
    """The text that Kafka shows for a value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return java_double(value)
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def at_least(minimum: float) -> Check:
    """A number not below `minimum`."""

    def check(value: ConfigValue) -> str | None:
        assert isinstance(value, (int, float))
        return f"it must be at least {minimum}" if value < minimum else None

    return check


def between(minimum: float, maximum: float) -> Check:
    """A number from `minimum` to `maximum`, both included."""

    def check(value: ConfigValue) -> str | None:
        assert isinstance(value, (int, float))
        if value < minimum:
            return f"it must be at least {minimum}"
        return f"it must be no more than {maximum}" if value > maximum else None

    return check


def one_of(allowed: Sequence[str]) -> Check:
    """A text, or a list of texts, out of `allowed`."""

    def check(value: ConfigValue) -> str | None:
        for text in value if isinstance(value, tuple) else (value,):
            if text not in allowed:
                return f"{text!r} must be one of {', '.join(allowed)}"
        return None

    return check
