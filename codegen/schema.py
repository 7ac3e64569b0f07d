"""The schema model and its strict reader: whatever it does not know stops it, with file and key named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykraft.protocol._versions import NONE, OPEN, Versions, parse_versions

PRIMITIVES: Final = frozenset(
    {
        "bool",
        "int8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "float64",
        "uuid",
        "string",
        "bytes",
        "records",
    }
)
MESSAGE_TYPES: Final = ("request", "response", "header", "data", "metadata")
_NULLABLE_PRIMITIVES: Final = frozenset({"string", "bytes", "records"})
_INTEGERS: Final = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
_MESSAGE_KEYS: Final = frozenset(
    {
        "name",
        "type",
        "apiKey",
        "validVersions",
        "flexibleVersions",
        "commonStructs",
        "fields",
    }
)
_STRUCT_KEYS: Final = frozenset({"name", "versions", "fields"})
_FIELD_KEYS: Final = frozenset(
    {
        "name",
        "type",
        "versions",
        "nullableVersions",
        "taggedVersions",
        "tag",
        "default",
        "ignorable",
        "flexibleVersions",
        "fields",
    }
)
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")

Default = bool | int | float | str | None


class SchemaError(ValueError):
    """A schema that says something this reader does not know or allow; names file, place and key."""


@dataclass(frozen=True)
class Field:
    """One field; `default` is Kafka's value for it, None meaning null (arrays and structs: None or "")."""

    name: str
    type: str
    versions: Versions
    nullable: Versions
    tagged: Versions
    tag: int | None
    default: Default
    ignorable: bool
    flexible: Versions | None
    fields: tuple[Field, ...]

    @property
    def is_array(self) -> bool:
        return self.type.startswith("[]")

    @property
    def element(self) -> str:
        """The type without its array brackets."""
        return self.type.removeprefix("[]")

    @property
    def struct(self) -> str | None:
        """The name of the struct this field holds, or holds an array of."""
        return None if self.element in PRIMITIVES else self.element


@dataclass(frozen=True)
class Struct:
    """A nested struct with its fields in wire order."""

    name: str
    versions: Versions
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Message:
    """A request, response, header, data message or metadata record."""

    name: str
    type: str
    api_key: int | None
    versions: Versions
    flexible: Versions
    common: tuple[Struct, ...]
    fields: tuple[Field, ...]

    @property
    def is_record(self) -> bool:
        return self.type == "metadata"

    @property
    def class_name(self) -> str:
        """The name of Kafka's class: requests, responses and headers end in Data."""
        return self.name if self.type in ("data", "metadata") else self.name + "Data"

    def structs(self) -> Iterator[Struct]:
        """Every nested struct, each after the ones it holds."""
        yield from (found for struct in self.common for found in _nested(struct))
        for field in self.fields:
            yield from _of_field(field)


def _nested(struct: Struct) -> Iterator[Struct]:
    for field in struct.fields:
        yield from _of_field(field)
    yield struct


def _of_field(field: Field) -> Iterator[Struct]:
    if field.fields and field.struct is not None:
        yield from _nested(Struct(field.struct, field.versions, field.fields))


class _Place:
    """Where in a file the reader is; makes the errors."""

    def __init__(self, file: str, path: str) -> None:
        self.file = file
        self.path = path

    def inner(self, name: str) -> _Place:
        return _Place(self.file, f"{self.path}.{name}")

    def error(self, text: str) -> SchemaError:
        return SchemaError(f"{self.file}: {self.path}: {text}")

    def known_keys(self, raw: Mapping[str, object], known: frozenset[str]) -> None:
        for key in raw:
            if key not in known:
                raise self.error(f"unknown key {key!r}")

    def text(self, raw: Mapping[str, object], key: str) -> str:
        value = raw.get(key)
        if not isinstance(value, str):
            raise self.error(f"{key!r} must be a text, is {value!r}")
        return value

    def flag(self, raw: Mapping[str, object], key: str) -> bool:
        value = raw.get(key, False)
        if not isinstance(value, bool):
            raise self.error(f"{key!r} must be true or false, is {value!r}")
        return value

    def versions(self, raw: Mapping[str, object], key: str, absent: Versions | None = None) -> Versions:
        if key not in raw and absent is not None:
            return absent
        try:
            return parse_versions(self.text(raw, key))
        except ValueError as error:
            raise self.error(f"{key!r}: {error}") from None

    def name(self, raw: Mapping[str, object]) -> str:
        name = self.text(raw, "name")
        if not _NAME.fullmatch(name):
            raise self.error(f"'name' is not an identifier: {name!r}")
        return name

    def objects(self, raw: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
        value = raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(f"{key!r} must be an array of objects")
        return value


def load(path: Path) -> Message:
    """Read one schema file; SchemaError names the file and what is wrong with it."""
    try:
        raw = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise SchemaError(f"{path.name}: not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise SchemaError(f"{path.name}: a schema is an object")
    return parse(raw, path.name)


def parse(raw: Mapping[str, object], file: str) -> Message:
    """Check one schema and give its model; SchemaError names the file and what is wrong with it."""
    place = _Place(file, str(raw.get("name", "?")))
    place.known_keys(raw, _MESSAGE_KEYS)
    kind = place.text(raw, "type")
    if kind not in MESSAGE_TYPES:
        raise place.error(f"unknown message type {kind!r}")
    api_key = raw.get("apiKey")
    if (kind in ("request", "response", "metadata")) != (type(api_key) is int):
        raise place.error(f"'apiKey' of a {kind} is {api_key!r}")
    message = Message(
        name=place.name(raw),
        type=kind,
        api_key=api_key if isinstance(api_key, int) else None,
        versions=place.versions(raw, "validVersions"),
        flexible=place.versions(raw, "flexibleVersions"),
        common=tuple(_struct(item, place) for item in place.objects(raw, "commonStructs")),
        fields=_fields(raw, place),
    )
    if message.flexible and message.flexible.highest != OPEN:
        raise place.error("'flexibleVersions' must be none or open-ended")
    _check_structs(message, place)
    return message


def _struct(raw: Mapping[str, object], place: _Place) -> Struct:
    inner = place.inner(str(raw.get("name", "?")))
    inner.known_keys(raw, _STRUCT_KEYS)
    return Struct(inner.name(raw), inner.versions(raw, "versions"), _fields(raw, inner))


def _fields(raw: Mapping[str, object], place: _Place) -> tuple[Field, ...]:
    fields = tuple(_field(item, place) for item in place.objects(raw, "fields"))
    names = [field.name.lower() for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise place.error(f"two fields named {name!r}")
    return fields


def _field(raw: Mapping[str, object], outer: _Place) -> Field:
    place = outer.inner(str(raw.get("name", "?")))
    place.known_keys(raw, _FIELD_KEYS)
    kind = place.text(raw, "type")
    element = kind.removeprefix("[]")
    if element not in PRIMITIVES and not element[:1].isupper():
        raise place.error(f"unknown type {kind!r}")
    tagged = place.versions(raw, "taggedVersions", NONE)
    versions = place.versions(raw, "versions")
    nullable = place.versions(raw, "nullableVersions", NONE)
    tag = raw.get("tag")
    if (type(tag) is int) != bool(tagged) or (tagged and tagged.within(versions) != tagged):
        raise place.error(f"tag {tag!r}, tagged in {tagged}, present in {versions}: these do not fit together")
    if nullable and kind in PRIMITIVES and kind not in _NULLABLE_PRIMITIVES:
        raise place.error(f"type {kind!r} cannot be null")
    flexible = place.versions(raw, "flexibleVersions") if "flexibleVersions" in raw else None
    if flexible is not None and kind not in ("string", "bytes"):
        raise place.error("'flexibleVersions' is only for string and bytes")
    fields = _fields(raw, place)
    if fields and element in PRIMITIVES:
        raise place.error(f"type {kind!r} cannot have fields")
    return Field(
        name=place.name(raw),
        type=kind,
        versions=versions,
        nullable=nullable,
        tagged=tagged,
        tag=tag if isinstance(tag, int) else None,
        default=_default(raw, kind, nullable, versions, place),
        ignorable=place.flag(raw, "ignorable"),
        flexible=flexible,
        fields=fields,
    )


def _default(raw: Mapping[str, object], kind: str, nullable: Versions, versions: Versions, place: _Place) -> Default:
    given = raw.get("default", "")
    if not isinstance(given, str):
        raise place.error(f"'default' must be a text, is {given!r}")
    if given == "null":
        if versions.within(nullable) != versions:
            raise place.error("'default' is null, but not every version is nullable")
        return None
    try:
        if kind == "bool":
            return {"": False, "false": False, "true": True}[given.lower()]
        if kind in _INTEGERS:
            low, high = _INTEGERS[kind]
            number = int(given or "0", 16 if given.startswith("0x") else 10)
            if not low <= number <= high:
                raise ValueError
            return number
        if kind == "float64":
            return float(given or "0")
    except (KeyError, ValueError):
        raise place.error(f"'default' of type {kind}: {given!r}") from None
    if given and kind != "string":
        raise place.error(f"'default' of type {kind}: {given!r}")
    return None if kind == "records" else given


def _check_structs(message: Message, place: _Place) -> None:
    known = [struct.name for struct in message.structs()]
    for name in known:
        if known.count(name) > 1:
            raise place.error(f"struct {name!r} is defined twice")
    for struct in (*message.structs(), Struct(message.name, message.versions, message.fields)):
        tags = [field.tag for field in struct.fields if field.tag is not None]
        if len(set(tags)) != len(tags):
            raise place.error(f"struct {struct.name!r} uses a tag twice")
        for field in struct.fields:
            if field.struct is not None and field.struct not in known:
                raise place.inner(field.name).error(f"unknown type {field.type!r}")
