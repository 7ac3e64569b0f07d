"""Joins the schemas that two releases have of one message into one that holds the versions of both.

The first release wins every version it knows; the second adds the versions above and below. Where both know a
version they must lay it out alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

from codegen.schema import Field, Message, SchemaError, Struct
from pykraft.protocol._versions import NONE, OPEN, Versions

# name, type, tag (-1: stands in line), nullable, compact length, default, fields of its struct
Shape: TypeAlias = tuple[tuple[str, str, int, bool, bool, object, "Shape"], ...]


def shape(message: Message, version: int) -> Shape:
    """The layout of one version, tagged fields last in the order of their tags."""
    structs = {struct.name: struct.fields for struct in message.structs()}
    return _shape(message.fields, structs, version, version in message.flexible)


def _shape(fields: Sequence[Field], structs: dict[str, tuple[Field, ...]], version: int, flexible: bool) -> Shape:
    found = [
        (
            field.name,
            field.type,
            field.tag if field.tag is not None and version in field.tagged else -1,
            version in field.nullable,
            flexible if field.flexible is None else version in field.flexible,
            field.default,
            _shape(structs[field.struct], structs, version, flexible) if field.struct else (),
        )
        for field in fields
        if version in field.versions
    ]
    in_line = [item for item in found if item[2] < 0]
    return (*in_line, *sorted((item for item in found if item[2] >= 0), key=lambda item: item[2]))


def differences(first: Message, second: Message, unstable: frozenset[int]) -> list[int]:
    """The versions, both known and stable, that the two lay out differently."""
    both = first.versions.within(second.versions)
    return [
        version
        for version in range(both.lowest, both.highest + 1)
        if version not in unstable and shape(first, version) != shape(second, version)
    ]


def merge(first: Message, second: Message, unstable: frozenset[int] = frozenset()) -> Message:
    """One schema with the versions of both; SchemaError where they disagree about a stable version.

    `unstable` are the versions that a release marks as still changing: about them they may disagree.
    """
    wrong = differences(first, second, unstable)
    if wrong or first.api_key != second.api_key or first.type != second.type:
        raise SchemaError(f"{first.name}: the releases disagree about versions {wrong}")
    versions = _union(first.versions, second.versions, first.name)
    if versions == first.versions:
        return first
    span = _Span(first.versions, second.versions, versions)
    flexible = span.join(first.flexible, second.flexible, first.name)
    merged = dataclasses.replace(
        first,
        versions=versions,
        flexible=Versions(flexible.lowest, OPEN) if flexible else NONE,
        common=_structs(first.common, second.common, span, first.name),
        fields=_fields(first.fields, second.fields, span, first.name),
    )
    for version in range(versions.lowest, versions.highest + 1):
        source = first if version in first.versions else second
        if shape(merged, version) != shape(source, version):
            raise SchemaError(f"{first.name}: version {version} does not survive the merge")
    return merged


class _Span:
    """The versions of the two schemas and of their union."""

    def __init__(self, first: Versions, second: Versions, union: Versions) -> None:
        self.first = first
        self.second = second
        self.union = union

    def join(self, one: Versions, other: Versions, name: str) -> Versions:
        """A range that is `one` in the first's versions and `other` in those that only the second has."""
        held = [
            version
            for version in range(self.union.lowest, self.union.highest + 1)
            if version in (one if version in self.first else other)
        ]
        if not held:
            return NONE
        if held != list(range(held[0], held[-1] + 1)):
            raise SchemaError(f"{name}: {one} and {other} do not join to one range")
        return Versions(held[0], OPEN if held[-1] == self.union.highest else held[-1])


def _union(one: Versions, other: Versions, name: str) -> Versions:
    if not (one and other):
        return one or other
    if max(one.lowest, other.lowest) > min(one.highest, other.highest) + 1:
        raise SchemaError(f"{name}: there are versions between {one} and {other} that neither has")
    return Versions(min(one.lowest, other.lowest), max(one.highest, other.highest))


def _structs(first: tuple[Struct, ...], second: tuple[Struct, ...], span: _Span, name: str) -> tuple[Struct, ...]:
    others = {struct.name: struct for struct in second}
    joined = [
        dataclasses.replace(struct, fields=_fields(struct.fields, others.pop(struct.name).fields, span, name))
        if struct.name in others
        else struct
        for struct in first
    ]
    return (*joined, *others.values())


def _fields(first: tuple[Field, ...], second: tuple[Field, ...], span: _Span, name: str) -> tuple[Field, ...]:
    """Both lists in one, each field that only the second has behind the one it follows there."""
    others = {field.name: field for field in second}
    joined = [_field(field, others.get(field.name), span, name) for field in first]
    place = 0
    for field in second:
        names = [known.name for known in joined]
        if field.name in names:
            place = names.index(field.name) + 1
        else:
            joined.insert(place, _field(None, field, span, name))
            place += 1
    return tuple(field for field in joined if field.versions)


def _field(first: Field | None, second: Field | None, span: _Span, name: str) -> Field:
    known = first or second
    if known is None:
        raise SchemaError(f"{name}: a field of neither")
    one = first or dataclasses.replace(known, versions=NONE, nullable=NONE, tagged=NONE, fields=())
    other = second or dataclasses.replace(known, versions=NONE, nullable=NONE, tagged=NONE, fields=())
    where = f"{name}.{known.name}"
    tagged = span.join(one.tagged, other.tagged, where)
    tags = {field.tag for field in (one, other) if field.tag is not None}
    if len(tags) > 1:
        raise SchemaError(f"{where}: has the tags {sorted(tags)}")
    return dataclasses.replace(
        known,
        versions=span.join(one.versions, other.versions, where),
        tagged=tagged,
        nullable=span.join(one.nullable, other.nullable, where),
        tag=min(tags) if tagged else None,
        fields=_fields(one.fields, other.fields, span, where),
    )


def renamed(message: Message, names: dict[str, str]) -> Message:
    """The message with fields and structs of other names."""

    def field(old: Field) -> Field:
        brackets = "[]" if old.is_array else ""
        return dataclasses.replace(
            old,
            name=names.get(old.name, old.name),
            type=brackets + names.get(old.element, old.element),
            fields=tuple(map(field, old.fields)),
        )

    return dataclasses.replace(
        message, name=names.get(message.name, message.name), fields=tuple(map(field, message.fields))
    )
