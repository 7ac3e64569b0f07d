"""Values for every message and record in every version, drawn from an injected `random.Random`."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any, Final

from pykraft.protocol import api
from pykraft.protocol._layout import Field, has_tagged_fields, is_flexible, layout
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol._tables import MODULES

RANGES: Final = {
    "int8": (-(2**7), 2**7 - 1), "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1),
}  # fmt: skip
TEXTS: Final = ("", "a", "topic-1", "größe", "日本", "\U0001f600", "\x00", "x" * 126, "y" * 127, "z" * 300)
FLOATS: Final = (0.0, -0.0, 1.0, 1e300, -2.5, math.inf, -math.inf)
# Tags far above any that a schema uses, so that every version takes them for unknown. Kafka keeps 2**31 - 1 for
# itself: its writer refuses it.
UNKNOWN_TAGS: Final = (1000, 20000, 2**31 - 2)


def every_class() -> list[type[Message]]:
    """Every message and record, in the order of the names."""
    return [api.message_class(name) for name in MODULES]


def every_version() -> Iterator[tuple[type[Message], int]]:
    """Every message and record with each of its versions."""
    for cls in every_class():
        for version in range(cls.MIN_VERSION, cls.MAX_VERSION + 1):
            yield cls, version


def message_value(cls: type[Message], version: int, rng: random.Random, *, unknown_tags: bool = True) -> Message:
    """A message that this version can write, absent fields at their defaults."""
    flexible = is_flexible(cls, version)
    value = struct_value(cls, version, rng, flexible and unknown_tags)
    assert isinstance(value, cls)
    return value


def struct_value(cls: type[AnyStruct], version: int, rng: random.Random, unknown_tags: bool) -> AnyStruct:
    """A struct with values in the fields that the version has."""
    values = {
        field.attr: field_value(field, version, rng, unknown_tags)
        for field in layout(cls)
        if version in field.versions and (version not in field.tagged or rng.random() < 0.5)
    }
    if unknown_tags and has_tagged_fields(cls) and rng.random() < 0.3:
        count = rng.randint(1, len(UNKNOWN_TAGS))
        values["unknown_tagged_fields"] = tuple(
            (tag, rng.randbytes(rng.choice((0, 1, 200)))) for tag in sorted(rng.sample(UNKNOWN_TAGS, count))
        )
    return cls(**values)


def field_value(field: Field, version: int, rng: random.Random, unknown_tags: bool) -> Any:
    """A value of a field: null when it may be, now and then."""
    if version in field.nullable and rng.random() < 0.25:
        return None
    if field.is_array:
        one = field._replace(is_array=False, nullable=field.nullable._replace(lowest=1, highest=0))
        # The many are so many only where that stays small on the wire.
        count = rng.choice((0, 1, 2, 3, 140)) if field.struct is None else rng.choice((0, 1, 1, 2))
        return [field_value(one, version, rng, unknown_tags) for _ in range(count)]
    if field.struct is not None:
        return struct_value(field.struct, version, rng, unknown_tags)
    return scalar_value(field.kind, rng)


def scalar_value(kind: str, rng: random.Random) -> Any:
    """A value of a type that is neither array nor struct; limits come often."""
    if kind in RANGES:
        low, high = RANGES[kind]
        return rng.choice((low, high, 0, 1, rng.randint(low, high)))
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "float64":
        return rng.choice(FLOATS)
    if kind == "uuid":
        return rng.choice((bytes(16), rng.randbytes(16)))
    if kind == "string":
        return rng.choice(TEXTS)
    return rng.randbytes(rng.choice((0, 1, 127, 200)))
