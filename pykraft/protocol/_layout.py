"""The layout of a generated class, read from its `WIRE` text."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from pykraft.protocol._versions import NONE, Versions, parse_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pykraft.protocol._message import AnyStruct, Message

# struct format characters of the types that always take the same number of bytes
FIXED: Final = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "float64": "d",
    "uuid": "16s",
}
STRING_BYTES_MAX: Final = 32767
LENGTH_MAX: Final = 2**31 - 1


class Field(NamedTuple):
    """One field; `kind` is the element's type for an array, `struct` its class when that is a struct."""

    name: str
    attr: str
    kind: str
    is_array: bool
    struct: type[AnyStruct] | None
    versions: Versions
    nullable: Versions
    tag: int
    tagged: Versions
    ignorable: bool
    flexible: Versions | None
    default: object

    def is_default(self, value: object) -> bool:
        """Whether Kafka would call this the default, which tagged fields do not write."""
        if isinstance(self.default, list):
            return isinstance(value, list | tuple) and not value
        return value is None if self.default is None else value == self.default


# By class. Not by `functools.cache`: mypy does not take `type[AnyStruct]` for something that can be hashed.
_LAYOUTS: Final[dict[type[AnyStruct], tuple[Field, ...]]] = {}
_BY_NAME: Final[dict[type[AnyStruct], dict[str, Field]]] = {}


def layout(cls: type[AnyStruct]) -> tuple[Field, ...]:
    """The fields of a class in wire order."""
    found = _LAYOUTS.get(cls)
    if found is None:
        found = _LAYOUTS[cls] = tuple(_fields(cls))
    return found


def fields_by_name(cls: type[AnyStruct]) -> dict[str, Field]:
    """The fields of a class by Kafka's JSON names."""
    found = _BY_NAME.get(cls)
    if found is None:
        found = _BY_NAME[cls] = {field.name: field for field in layout(cls)}
    return found


def _fields(cls: type[AnyStruct]) -> Iterator[Field]:
    module = vars(sys.modules[cls.__module__])
    blank = cls()
    lines = [line for line in cls.WIRE.splitlines() if line.strip()]
    for line, attr in zip(lines, cls.__struct_fields__, strict=False):
        yield _field(line.split(), attr, module, getattr(blank, attr))


def _field(words: list[str], attr: str, module: dict[str, object], default: object) -> Field:
    name, kind, versions, *rest = words
    facts = dict(word.partition("=")[::2] for word in rest)
    tag, _, tagged = facts.get("tag", "-1:none").partition(":")
    element = kind.removeprefix("[]")
    found = module.get(element) if element[0].isupper() else None
    return Field(
        name=name,
        attr=attr,
        kind=element,
        is_array=kind.startswith("[]"),
        struct=found if isinstance(found, type) else None,
        versions=parse_versions(versions),
        nullable=parse_versions(facts.get("null", "none")),
        tag=int(tag),
        tagged=parse_versions(tagged),
        ignorable="ignorable" in facts,
        flexible=parse_versions(facts["flexible"]) if "flexible" in facts else None,
        default=default,
    )


def is_flexible(message: type[Message], version: int) -> bool:
    """Whether this version has compact lengths and tagged fields."""
    return message.FLEXIBLE_FROM is not None and version >= message.FLEXIBLE_FROM


def field_is_flexible(field: Field, flexible: bool, version: int) -> bool:
    """Whether a field's length is compact: as the message, unless the field says otherwise."""
    return flexible if field.flexible is None else version in field.flexible


def untagged(cls: type[AnyStruct], version: int) -> list[Field]:
    """The fields of a version that stand in line."""
    return [field for field in layout(cls) if version in field.versions and version not in field.tagged]


def tagged(cls: type[AnyStruct], version: int) -> list[Field]:
    """The tagged fields of a version, in the order of their tags."""
    found = [field for field in layout(cls) if version in field.versions and version in field.tagged]
    return sorted(found, key=lambda field: field.tag)


def size_min(cls: type[AnyStruct], version: int, flexible: bool) -> int:
    """The fewest bytes this struct can take."""
    total = 1 if flexible else 0
    for field in untagged(cls, version):
        if field.is_array or field.kind in ("string", "bytes", "records"):
            wide = 2 if field.kind == "string" and not field.is_array else 4
            total += 1 if field_is_flexible(field, flexible, version) else wide
        elif field.struct is not None:
            total += 1 if version in field.nullable else size_min(field.struct, version, flexible)
        else:
            total += struct.calcsize(">" + FIXED[field.kind])
    return total


def has_tagged_fields(cls: type[AnyStruct]) -> bool:
    """Whether the class keeps unknown tagged fields, which it does when any version is flexible."""
    return "unknown_tagged_fields" in cls.__struct_fields__


__all__ = [
    "FIXED",
    "LENGTH_MAX",
    "NONE",
    "STRING_BYTES_MAX",
    "Field",
    "field_is_flexible",
    "fields_by_name",
    "has_tagged_fields",
    "is_flexible",
    "layout",
    "size_min",
    "tagged",
    "untagged",
]
