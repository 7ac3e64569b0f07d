"""The slow second way to read and write: field by field, so that an error can name the field and the byte.

It runs only after the compiled code gave up, and is the compiled code's check in tests.
"""

from __future__ import annotations

import struct
from typing import Any, Final, TypeVar

from pykraft.protocol._layout import (
    FIXED,
    LENGTH_MAX,
    NONE,
    STRING_BYTES_MAX,
    Field,
    field_is_flexible,
    is_flexible,
    layout,
    size_min,
    tagged,
    untagged,
)
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol.errors import DecodeError, EncodeError

M = TypeVar("M", bound=Message)

_PACKERS: Final = {name: struct.Struct(">" + char) for name, char in FIXED.items()}
_VARINT_BYTES_MAX: Final = 5


def decode(cls: type[M], data: bytes, version: int) -> M:
    """Read a whole message; DecodeError with the path and offset of the first thing that is wrong."""
    message, p = decode_prefix(cls, data, version, 0)
    if p != len(data):
        raise DecodeError(cls.__name__, p, f"{len(data) - p} bytes are left over")
    return message


def decode_prefix(cls: type[M], data: bytes, version: int, start: int) -> tuple[M, int]:
    """Read a message that more may follow; gives also the position after it."""
    reader = _Reader(data, version, is_flexible(cls, version), start)
    message = cls(**reader.struct(cls, cls.__name__))
    return message, reader.p


def encode(message: Message, version: int) -> bytes:
    """Write a message; EncodeError with the path of the first value that does not fit."""
    cls = type(message)
    writer = _Writer(version, is_flexible(cls, version))
    return writer.struct(cls, message, cls.__name__)


def _inner(path: str, name: str, top: bool) -> str:
    return name if top else f"{path}.{name}"


class _Reader:
    def __init__(self, data: bytes, version: int, flexible: bool, start: int) -> None:
        self.data = data
        self.version = version
        self.flexible = flexible
        self.p = start

    def struct(self, cls: type[AnyStruct], path: str) -> dict[str, Any]:
        top = issubclass(cls, Message)
        values = {}
        for field in untagged(cls, self.version):
            compact = field_is_flexible(field, self.flexible, self.version)
            values[field.attr] = self.field(field, _inner(path, field.name, top), compact)
        if self.flexible:
            values.update(self.tags(cls, path, top))
        return values

    def tags(self, cls: type[AnyStruct], path: str, top: bool) -> dict[str, Any]:
        known = {field.tag: field for field in tagged(cls, self.version)}
        values: dict[str, Any] = {}
        unknown = []
        where = _inner(path, "taggedFields", top)
        last = -1
        for _ in range(self.varint(where, "the number of tagged fields")):
            at = self.p
            tag = self.varint(where, "a tag")
            size = self.varint(where, "the size of a tagged field")
            if tag <= last:
                raise DecodeError(where, at, f"tag {tag} comes after tag {last}")
            last = tag
            field = known.get(tag)
            path_of = where if field is None else _inner(path, field.name, top)
            if size > len(self.data) - self.p:
                raise DecodeError(path_of, at, f"tag {tag} says {size} bytes, {len(self.data) - self.p} are left")
            stop = self.p + size
            if field is None:
                unknown.append((tag, self.take(size, path_of, at)))
            elif field.struct is not None and not field.is_array and self.version in field.nullable:
                present = self.varint(path_of, "the presence of a struct")
                values[field.attr] = self.made(field.struct, path_of) if present else None
            else:
                values[field.attr] = self.field(field, path_of, True)
            if self.p != stop:
                raise DecodeError(path_of, at, f"tag {tag} says {size} bytes, its field takes {self.p - stop + size}")
        return {**values, "unknown_tagged_fields": tuple(unknown)}

    def made(self, cls: type[AnyStruct], path: str) -> AnyStruct:
        return cls(**self.struct(cls, path))

    def field(self, field: Field, path: str, compact: bool) -> Any:
        nullable = self.version in field.nullable
        if field.is_array:
            return self.array(field, path, compact, nullable)
        if field.struct is not None:
            if nullable and self.fixed("int8", path) < 0:
                return None
            return self.made(field.struct, path)
        if field.kind in FIXED:
            return self.fixed(field.kind, path)
        return self.sized(field.kind, path, compact, nullable)

    def fixed(self, kind: str, path: str) -> Any:
        packer = _PACKERS[kind]
        return packer.unpack(self.take(packer.size, path, self.p))[0]

    def take(self, size: int, path: str, at: int) -> bytes:
        left = len(self.data) - self.p
        if size > left:
            raise DecodeError(path, at, f"needs {size} bytes, {max(left, 0)} are left")
        self.p += size
        return self.data[self.p - size : self.p]

    def varint(self, path: str, what: str) -> int:
        at = self.p
        value = 0
        for shift in range(0, 7 * _VARINT_BYTES_MAX, 7):
            byte = self.take(1, path, at)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                if value > LENGTH_MAX:
                    raise DecodeError(path, at, f"{what} is {value}, above {LENGTH_MAX}")
                return value
        raise DecodeError(path, at, f"{what} is a varint that does not end within {_VARINT_BYTES_MAX} bytes")

    def length(self, path: str, compact: bool, short: bool, nullable: bool) -> int:
        at = self.p
        if compact:
            found = self.varint(path, "a length") - 1
        else:
            found = self.fixed("int16" if short else "int32", path)
        if found < -1:
            raise DecodeError(path, at, f"length {found} is negative")
        if found == -1 and not nullable:
            raise DecodeError(path, at, "null where a value is needed")
        return found

    def sized(self, kind: str, path: str, compact: bool, nullable: bool) -> str | bytes | None:
        at = self.p
        found = self.length(path, compact, kind == "string", nullable)
        if found < 0:
            return None
        if kind != "string":
            return self.take(found, path, at)
        if found > STRING_BYTES_MAX:
            raise DecodeError(path, at, f"a string of {found} bytes, above {STRING_BYTES_MAX}")
        raw = self.take(found, path, at)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise DecodeError(path, at, f"not UTF-8: {error.reason} at its byte {error.start}") from None

    def array(self, field: Field, path: str, compact: bool, nullable: bool) -> list[Any] | None:
        at = self.p
        count = self.length(path, compact, False, nullable)
        if count < 0:
            return None
        if field.struct is not None:
            smallest = max(1, size_min(field.struct, self.version, self.flexible))
        elif field.kind in FIXED:
            smallest = _PACKERS[field.kind].size
        else:
            smallest = 1 if compact else 2
        left = len(self.data) - self.p
        if count * smallest > left:
            raise DecodeError(path, at, f"{count} elements need at least {count * smallest} bytes, {left} are left")
        one = field._replace(is_array=False, nullable=NONE)
        return [self.field(one, f"{path}[{number}]", compact) for number in range(count)]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Writer:
    def __init__(self, version: int, flexible: bool) -> None:
        self.version = version
        self.flexible = flexible

    def struct(self, cls: type[AnyStruct], value: object, path: str) -> bytes:
        if not isinstance(value, cls):
            raise EncodeError(path, f"expected {cls.__name__}, got {_described(value)}")
        top = issubclass(cls, Message)
        out = bytearray()
        known = []
        for field in layout(cls):
            found = getattr(value, field.attr)
            inner = _inner(path, field.name, top)
            if self.version not in field.versions:
                if not field.ignorable and not field.is_default(found):
                    raise EncodeError(inner, f"version {self.version} has no such field, its value is not the default")
            elif self.version not in field.tagged:
                out += self.field(field, found, inner, field_is_flexible(field, self.flexible, self.version))
            elif not field.is_default(found):
                known.append((field.tag, self.tagged_field(field, found, inner)))
        unknown = getattr(value, "unknown_tagged_fields", ())
        where = _inner(path, "taggedFields", top)
        if self.flexible:
            out += self.tags(known, unknown, where)
        elif unknown:
            raise EncodeError(where, f"version {self.version} has no tagged fields")
        return bytes(out)

    def tags(self, known: list[tuple[int, bytes]], unknown: Any, path: str) -> bytes:
        try:
            fields = sorted([*known, *((tag, bytes(memoryview(content))) for tag, content in unknown)])
        except (TypeError, ValueError):
            raise EncodeError(path, f"expected pairs of tag and bytes, got {_described(unknown)}") from None
        out = bytearray(_varint(len(fields)))
        last = -1
        for tag, content in fields:
            if not 0 <= tag <= LENGTH_MAX:
                raise EncodeError(path, f"tag {tag} is not within 0 and {LENGTH_MAX}")
            if tag == last:
                raise EncodeError(path, f"tag {tag} is there twice")
            last = tag
            out += _varint(tag) + _varint(len(content)) + content
        return bytes(out)

    def tagged_field(self, field: Field, value: object, path: str) -> bytes:
        if field.struct is not None and not field.is_array and self.version in field.nullable:
            return b"\x00" if value is None else b"\x01" + self.struct(field.struct, value, path)
        return self.field(field, value, path, True)

    def field(self, field: Field, value: Any, path: str, compact: bool) -> bytes:
        nullable = self.version in field.nullable
        if field.is_array or field.kind in ("string", "bytes", "records"):
            return self.sized(field, value, path, compact, nullable)
        if field.struct is None:
            return _fixed(field.kind, value, path)
        if not nullable:
            return self.struct(field.struct, value, path)
        return b"\xff" if value is None else b"\x01" + self.struct(field.struct, value, path)

    def sized(self, field: Field, value: Any, path: str, compact: bool, nullable: bool) -> bytes:
        short = field.kind == "string" and not field.is_array
        if value is None:
            if not nullable:
                raise EncodeError(path, f"null, which version {self.version} cannot say")
            return b"\x00" if compact else b"\xff\xff" if short else b"\xff\xff\xff\xff"
        if field.is_array:
            if not isinstance(value, list | tuple):
                raise EncodeError(path, f"expected a list, got {_described(value)}")
            one = field._replace(is_array=False, nullable=NONE)
            content = b"".join(self.field(one, item, f"{path}[{number}]", compact) for number, item in enumerate(value))
            count = len(value)
        else:
            content = _text(value, path) if short else _bytes(value, path)
            count = len(content)
        if count > (STRING_BYTES_MAX if short else LENGTH_MAX - 1):
            raise EncodeError(path, f"length {count} is above {STRING_BYTES_MAX if short else LENGTH_MAX - 1}")
        return (_varint(count + 1) if compact else struct.pack(">h" if short else ">i", count)) + content


def _fixed(kind: str, value: Any, path: str) -> bytes:
    if kind == "uuid" and (not isinstance(value, bytes) or len(value) != _PACKERS[kind].size):
        raise EncodeError(path, f"expected the 16 bytes of a uuid, got {_described(value)}")
    try:
        return _PACKERS[kind].pack(value)
    except (struct.error, OverflowError):
        raise EncodeError(path, f"expected {kind}, got {_described(value)}") from None


def _text(value: object, path: str) -> bytes:
    if not isinstance(value, str):
        raise EncodeError(path, f"expected a text, got {_described(value)}")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(path, f"not writable as UTF-8: {error.reason} at character {error.start}") from None


def _bytes(value: Any, path: str) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise EncodeError(path, f"expected bytes, got {_described(value)}")
    return bytes(value)


def _described(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + '...'}"


_SHOWN_MAX: Final = 60
