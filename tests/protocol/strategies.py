"""Hypothesis strategies for every message and record in every version, built from their layouts."""

from __future__ import annotations

import copy
import functools
import random
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pykraft.protocol._layout import NONE, Field, has_tagged_fields, is_flexible, layout
from pykraft.protocol._message import AnyStruct, Message

from .values import RANGES, UNKNOWN_TAGS

# Around the lengths at which a varint takes another byte.
LENGTHS: Final = (0, 1, 2, 126, 127, 128, 300)
LONG_LENGTHS: Final = (16382, 16383, 16384)
STRING_BYTES_MAX: Final = 32767
# As many as make a run of equal shape, and more than one byte of length can say.
STRUCT_COUNTS: Final = (9, 9, 9, 9, 9, 130)

_TEXTS: Final = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(("", "größe", "日本語", "\U0001f600\U00010348", "\x00\x1f\x7f", "\u2028\u2029\ufeff", '"\\\t\n')),
    st.builds(lambda char, count: char * count, st.sampled_from(("x", "é", "\U0001f600")), st.sampled_from(LENGTHS)),
)
_LONG_TEXTS: Final = st.builds(
    lambda char, count: (char * count)[: STRING_BYTES_MAX // len(char.encode())],
    st.sampled_from(("x", "é", "\U0001f600")),
    st.sampled_from((*LONG_LENGTHS, STRING_BYTES_MAX)),
)
_SHORT_BYTES: Final = st.binary(max_size=12) | st.sampled_from(LENGTHS).map(bytes)
_LONG_BYTES: Final = st.sampled_from(LONG_LENGTHS).map(bytes)


def messages(cls: type[Message], version: int, *, unknown_tags: bool) -> st.SearchStrategy[Message]:
    """Messages that this version can write, absent fields at their defaults."""
    return structs(cls, version, unknown_tags and is_flexible(cls, version), True)  # type: ignore[return-value]  # of cls


@functools.cache
def structs(cls: type[AnyStruct], version: int, unknown_tags: bool, top: bool) -> st.SearchStrategy[AnyStruct]:
    """Structs with values in the fields that the version has; tagged fields have their default half of the time."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field in layout(cls):
        if version in field.versions:
            value = values(field, version, unknown_tags, top)
            if version in field.tagged:
                value = st.builds(functools.partial(copy.deepcopy, field.default)) | value
            fields[field.attr] = value
    if unknown_tags and has_tagged_fields(cls):
        fields["unknown_tagged_fields"] = st.just(()) | _unknown()
    return st.builds(cls, **fields)


def filled(cls: type[AnyStruct], version: int) -> AnyStruct:
    """A struct with a value other than the default in every field that the version has, and one element in arrays."""
    values = {field.attr: _filled(field, version) for field in layout(cls) if version in field.versions}
    return cls(**values)


def _filled(field: Field, version: int) -> Any:
    if field.is_array:
        return [_filled(field._replace(is_array=False), version)]
    if field.struct is not None:
        return filled(field.struct, version)
    choices = {"bool": (True, False), "float64": (1.5, 2.5), "uuid": (bytes(range(16)),), "string": ("x",)}
    found = choices.get(field.kind, (1, 2) if field.kind in RANGES else (b"x",))
    return found[0] if found[0] != field.default else found[1]


def _unknown() -> st.SearchStrategy[tuple[tuple[int, bytes], ...]]:
    tags = st.sampled_from(UNKNOWN_TAGS) | st.integers(min(UNKNOWN_TAGS), max(UNKNOWN_TAGS))
    return st.dictionaries(tags, _SHORT_BYTES, max_size=3).map(lambda found: tuple(sorted(found.items())))


def values(field: Field, version: int, unknown_tags: bool, top: bool) -> st.SearchStrategy[Any]:
    """Values of a field; long ones only at the top, so that a message stays below some hundred kilobytes."""
    if version in field.nullable:
        return st.none() | values(field._replace(nullable=NONE), version, unknown_tags, top)
    if field.is_array:
        one = values(field._replace(is_array=False), version, unknown_tags, False)
        several = st.lists(one, max_size=2)
        if field.struct is None:
            return several | _repeated(one, (*LENGTHS * 8, *LONG_LENGTHS) if top else LENGTHS[:-1])
        return several | _repeated(one, STRUCT_COUNTS) if top else several
    if field.struct is not None:
        cls: Any = field.struct  # mypy does not take `type[AnyStruct]` for something that can be hashed
        return structs(cls, version, unknown_tags, False)
    return scalars(field.kind, top)


def _repeated(one: st.SearchStrategy[Any], counts: tuple[int, ...]) -> st.SearchStrategy[list[Any]]:
    return st.builds(lambda item, count: [item] * count, one, st.sampled_from(counts))


@functools.cache
def scalars(kind: str, top: bool) -> st.SearchStrategy[Any]:
    """Values of a type that is neither array nor struct: its limits, and anything between."""
    if kind in RANGES:
        low, high = RANGES[kind]
        return st.sampled_from((low, low + 1, 0, 1, high - 1, high)) | st.integers(low, high)
    if kind == "bool":
        return st.booleans()
    if kind == "float64":
        return st.floats()
    if kind == "uuid":
        return st.just(bytes(16)) | st.binary(min_size=16, max_size=16)
    if kind == "string":
        return _TEXTS | _rarely(_LONG_TEXTS) if top else _TEXTS
    return _SHORT_BYTES | _rarely(_LONG_BYTES) if top else _SHORT_BYTES


def _rarely(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    empty = strategy.map(lambda found: found[:0])
    return st.integers(0, 9).flatmap(lambda number: strategy if number == 0 else empty)


def drawn(strategy: st.SearchStrategy[Any], count: int, rng: random.Random) -> list[Any]:
    """That many values; always the same for the same state of the generator."""
    found: list[Any] = []
    if not count:
        return found

    @seed(rng.getrandbits(64))
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found
