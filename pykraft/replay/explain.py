"""A batch byte by byte: the declarations of `pykraft.log.layout`, read by construct, field after field."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

import construct

from pykraft.log import layout
from pykraft.log.batch import ControlRecordType, batch_crc
from pykraft.protocol._layout import FIXED, Field, tagged, untagged
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol.api import record_class
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.uuids import uuid_to_text
from pykraft.replay.batch_walk import file_bytes, walk
from pykraft.replay.control import CONTROL_RECORDS
from pykraft.replay.record_text import type_name
from pykraft.replay.recorded import NotALogError

_INTEGERS: Final = {
    "bool": construct.Flag, "int8": construct.Int8sb, "int16": construct.Int16sb, "uint16": construct.Int16ub,
    "int32": construct.Int32sb, "uint32": construct.Int32ub, "int64": construct.Int64sb, "float64": construct.Float64b,
    "uuid": construct.Bytes(16),
}  # fmt: skip


CONTROL_KEY_BYTES: Final = 4


class Part(NamedTuple):
    """A field: where it stands in the batch, its bytes, its name and value; `error` when it could not be read."""

    position: int
    data: bytes
    depth: int
    name: str
    value: str
    error: bool = False


def batch_bytes(paths: list[Path], offset: int) -> tuple[Path, int, bytes]:
    """(file, byte position, bytes) of the batch that holds an offset, sound or not; NotALogError, OSError."""
    for path in paths:
        with file_bytes(path) as data:
            for position, header in walk(data, str(path)):
                if header.base_offset <= offset < max(header.next_offset, header.base_offset + 1):
                    return path, position, data[position : position + header.size]
    names = ", ".join(map(str, paths))
    raise NotALogError(f"no batch of {names} holds offset {offset}")


def explain(data: bytes) -> Iterator[Part]:
    """Every field of a batch in order; the last part is an error when it cannot be read to its end."""
    reader = _Reader(data)
    try:
        yield from reader.batch()
    except (construct.ConstructError, ProtocolError, UnicodeDecodeError, IndexError) as error:
        reason = str(error).splitlines()[-1] if str(error) else type(error).__name__
        rest = data[reader.position :]
        yield Part(reader.position, rest, 0, "(unreadable)", reason, error=True)


class _Reader:
    """Reads the declarations' fields one after the other from one stream."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stream = BytesIO(data)

    @property
    def position(self) -> int:
        return self._stream.tell()

    def batch(self) -> Iterator[Part]:
        """The whole batch."""
        head: dict[str, Any] = {}
        yield from self._fields(layout.batch, 0, head)
        yield from self._fields(layout.batch_content, 0, head)
        found = {name: head[name] for name in ("attributes", "record_count", "base_offset")}
        for number in range(found["record_count"]):
            yield from self._record(number, found["base_offset"], bool(found["attributes"].control))
        if self.position < len(self._data):
            rest = self._data[self.position :]
            yield Part(self.position, rest, 0, "(left over)", f"{len(rest)} bytes", error=True)

    def _fields(self, struct: Any, depth: int, found: dict[str, Any]) -> Iterator[Part]:
        """The fields of a declaration with what they hold in `found`; one with others inside is gone into."""
        for field in struct.subcons:
            name, inner = field.name, _bare(field)
            if name == "content":
                return
            if name == "covered":
                yield from self._fields(layout.covered, depth, found)
                return
            if name == "records" or inner is construct.Terminated:
                return
            yield self._leaf(name, field, depth, found)

    def _leaf(self, name: str, field: Any, depth: int, found: dict[str, Any]) -> Part:
        at = self.position
        value = found[name] = field.parse_stream(self._stream, **found)
        text = _text(value)
        if name == "crc":
            actual = batch_crc(self._data, 0, len(self._data))
            text = f"{value:#010x}" + (" (right)" if actual == value else f" (WRONG: the bytes have {actual:#010x})")
        elif name == "attributes" and not isinstance(value, int):
            text = " ".join(f"{key}={int(bit)}" for key, bit in value.items() if not key.startswith("_"))
        return Part(at, self._data[at : self.position], depth, name, text)

    def _record(self, number: int, base_offset: int, is_control: bool) -> Iterator[Part]:
        at = self.position
        yield Part(at, b"", 1, f"record {number}, offset {base_offset + number}", "")
        found: dict[str, Any] = {}
        yield self._leaf("length", layout.record.subcons[0], 2, found)
        for field in layout.record_body.subcons:
            if field.name in ("key", "value"):
                size = found[f"{field.name}_length"]
                if size < 0:
                    continue
                start = self.position
                found[field.name] = self._data[start : start + size]
                if field.name == "key":
                    yield from self._control_key(start, size)
                elif is_control:
                    yield from self._control_value(found)
                else:
                    yield from self._metadata_record(start + size)
                self._stream.seek(start + size)
            elif field.name is not None:
                yield self._leaf(field.name, field, 2, found)

    def _control_key(self, start: int, size: int) -> Iterator[Part]:
        if size == CONTROL_KEY_BYTES:
            yield from self._fields(layout.control_key, 3, {})
        else:
            yield Part(start, self._data[start : start + size], 3, "key", "")

    def _control_value(self, found: dict[str, Any]) -> Iterator[Part]:
        number = int.from_bytes(found["key"][2:4], "big", signed=True)
        cls = CONTROL_RECORDS.get(number)
        if cls is None:
            yield Part(self.position, found["value"], 3, "value", f"control type {number}")
            return
        version = int.from_bytes(found["value"][:2], "big", signed=True)
        yield Part(self.position, b"", 3, ControlRecordType(number).name, f"version {version}")
        yield from self._struct(cls, version, 4)

    def _metadata_record(self, stop: int) -> Iterator[Part]:
        numbers: dict[str, Any] = {}
        for name in ("frame_version", "api_key", "version"):
            yield self._leaf(name, construct.VarInt, 3, numbers)
        cls: type[Message] = record_class(numbers["api_key"])
        yield Part(self.position, b"", 3, type_name(cls.__name__), f"version {numbers['version']}")
        yield from self._struct(cls, numbers["version"], 4)
        if self.position < stop:
            rest = self._data[self.position : stop]
            yield Part(self.position, rest, 4, "(left over)", f"{len(rest)} bytes", error=True)

    def _struct(self, cls: type[AnyStruct], version: int, depth: int) -> Iterator[Part]:
        for field in untagged(cls, version):
            yield from self._field(field, version, depth)
        at = self.position
        count = construct.VarInt.parse_stream(self._stream)
        yield Part(at, self._data[at : self.position], depth, "tagged fields", str(count))
        known = {field.tag: field for field in tagged(cls, version)}
        for _ in range(count):
            at = self.position
            tag, size = construct.VarInt.parse_stream(self._stream), construct.VarInt.parse_stream(self._stream)
            yield Part(at, self._data[at : self.position], depth + 1, f"tag {tag}", f"{size} bytes")
            stop = self.position + size
            if tag in known:
                yield from self._field(known[tag], version, depth + 1)
            else:
                yield Part(self.position, self._data[self.position : stop], depth + 1, "(unknown)", "")
            self._stream.seek(stop)

    def _field(self, field: Field, version: int, depth: int) -> Iterator[Part]:
        at = self.position
        if field.is_array:
            count = construct.VarInt.parse_stream(self._stream) - 1
            text = "null" if count < 0 else f"{count} elements"
            yield Part(at, self._data[at : self.position], depth, field.name, text)
            one = field._replace(is_array=False, name="element")
            for number in range(count):
                if field.struct is not None:
                    yield Part(self.position, b"", depth + 1, f"element {number}", "")
                    yield from self._struct(field.struct, version, depth + 2)
                else:
                    yield from self._field(one, version, depth + 1)
        elif field.struct is not None:
            yield Part(at, b"", depth, field.name, "")
            yield from self._struct(field.struct, version, depth + 1)
        elif field.kind in FIXED:
            value = _INTEGERS[field.kind].parse_stream(self._stream)
            text = uuid_to_text(value) if field.kind == "uuid" else _text(value)
            yield Part(at, self._data[at : self.position], depth, field.name, text)
        else:
            size = construct.VarInt.parse_stream(self._stream) - 1
            raw = construct.Bytes(max(size, 0)).parse_stream(self._stream)
            shown = repr(raw.decode()) if field.kind == "string" else base64.b64encode(raw).decode()
            text = "null" if size < 0 else shown
            yield Part(at, self._data[at : self.position], depth, field.name, text)


def _bare(field: Any) -> Any:
    """A declaration without its name."""
    return field.subcon if isinstance(field, construct.Renamed) else field


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
