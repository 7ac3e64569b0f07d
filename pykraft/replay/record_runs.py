"""Records that follow one another in a batch and have the same shape, turned into lines of JSON in one go.

A log of many partitions is long rows of records whose bytes differ only in numbers and ids. One look at the columns
of such a row tells how far it goes, and code compiled for its shape reads and prints it, without an object for
each record.
"""

from __future__ import annotations

import base64
import functools
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from pykraft.protocol._layout import FIXED, Field, untagged
from pykraft.protocol._message import Message
from pykraft.protocol.api import record_class
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.uuids import uuid_to_text
from pykraft.replay.json_text import java_double, string_text

RUN_MIN: Final = 4
"""Shorter runs are not worth the look."""
SHAPES_MAX: Final = 256
PIECE_RECORDS: Final = 4096
TEXTS_MAX: Final = 65_536
DELTAS_MAX: Final = 8192
"""Offset deltas from here on take three bytes, and their records go one by one."""
_CONTENT_MAX: Final = 16 * 1024
_ITEMS_MAX: Final = 64
_ONE_BYTE_DELTAS: Final = 64
_DELTA_LOW: Final = bytes((2 * delta & 127) | (128 if delta >= _ONE_BYTE_DELTAS else 0) for delta in range(DELTAS_MAX))
_DELTA_HIGH: Final = bytes(2 * delta >> 7 for delta in range(DELTAS_MAX))

Lines = Callable[[bytes, int, str, str, str], list[str]]


class Run(NamedTuple):
    """`count` records of one class and version at the same distance from one another; `value_size` bytes each."""

    cls: type[Message]
    version: int
    count: int
    size: int
    value_size: int
    bytes_before: int
    shape: tuple[int, ...]


class _Texts(dict[bytes, str]):
    """The JSON text of UTF-8 bytes."""

    def __missing__(self, key: bytes) -> str:
        if len(self) >= TEXTS_MAX:
            self.clear()
        text = self[key] = string_text(key.decode())
        return text


class _Uuids(dict[bytes, str]):
    """The 22 characters of a uuid."""

    def __missing__(self, key: bytes) -> str:
        if len(self) >= TEXTS_MAX:
            self.clear()
        text = self[key] = uuid_to_text(key)
        return text


_TEXTS: Final = _Texts()
_UUIDS: Final = _Uuids()


def find(batch: bytes, position: int, delta: int, left: int, versions: dict[int, int]) -> Run | None:
    """The run that begins with record `delta` at `position`, of at most `left` records; None when there is none.

    `versions` has the highest version for each record's API key.
    """
    if left < RUN_MIN or delta >= DELTAS_MAX:
        return None
    frame = _frame(batch, position, delta)
    if frame is None:
        return None
    value_at, value_size, stop = frame
    key, version = batch[value_at + 1], batch[value_at + 2]
    if batch[value_at] != 1 or key > 127 or version > versions.get(key, -1):
        return None
    found = _class(key, version)
    if found is None:
        return None
    cls, fields = found
    walked = _shape(batch, value_at + 3, fields, version)
    if walked is None:
        return None
    shape, at, lengths_at = walked
    if at + 1 != stop - 1 or batch[at] or batch[stop - 1]:
        return None
    size = stop - position
    delta_bytes = 1 if delta < _ONE_BYTE_DELTAS else 2
    # Everything up to the body but the offset delta is the same in each record, and so is every length in it.
    same = [*range(position, value_at + 3), *lengths_at, at, stop - 1]
    delta_at = position + _varint_size(batch, position) + 2
    count = min(left, (_ONE_BYTE_DELTAS if delta_bytes == 1 else DELTAS_MAX) - delta, (len(batch) - position) // size)
    for place in same:
        if delta_at <= place < delta_at + delta_bytes:
            continue
        column = batch[place : position + count * size : size]
        count = min(count, len(column) - len(column.lstrip(column[:1])))
        if count < RUN_MIN:
            return None
    count = _deltas_in_step(batch, delta_at, size, delta, count, delta_bytes)
    return Run(cls, version, count, size, value_size, value_at + 3 - position, shape) if count >= RUN_MIN else None


def _deltas_in_step(batch: bytes, at: int, size: int, delta: int, count: int, width: int) -> int:
    for place, expected in ((at, _DELTA_LOW), (at + 1, _DELTA_HIGH))[:width]:
        column = batch[place : place + (count - 1) * size + 1 : size]
        if column != expected[delta : delta + count]:
            return 0
    return count


def _varint_size(batch: bytes, position: int) -> int:
    size = 1
    while batch[position] > 127:
        position += 1
        size += 1
    return size


def _frame(batch: bytes, position: int, delta: int) -> tuple[int, int, int] | None:
    """(position of the value, its size, end of the record) of a record without key, headers or deltas of its own."""
    try:
        length, at = _zigzag(batch, position)
        stop = at + length
        at += 2 + (1 if delta < _ONE_BYTE_DELTAS else 2)
        if batch[at - 1] > 127 or batch[at] != 1:
            return None
        value_size, at = _zigzag(batch, at + 1)
        if value_size < 3 or at + value_size + 1 != stop or stop > len(batch):
            return None
    except IndexError:
        return None
    if any(batch[stop - length : stop - length + 2]):
        return None
    return at, value_size, stop


def _zigzag(batch: bytes, position: int) -> tuple[int, int]:
    value = batch[position]
    position += 1
    shift = 7
    if value > 127:
        value &= 127
        while shift < 32:
            byte = batch[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
    return -1 if value & 1 else value >> 1, position


@functools.cache
def _class(key: int, version: int) -> tuple[type[Message], tuple[Field, ...]] | None:
    """The class of a record and its fields; None when it does not come in runs."""
    try:
        cls = record_class(key)
    except ProtocolError:
        return None
    fields = tuple(untagged(cls, version))
    known = all(
        (field.kind in FIXED or field.kind in ("string", "bytes")) and not (field.is_array and field.kind not in FIXED)
        for field in fields
    )
    return (cls, fields) if known and fields and cls.FLEXIBLE_FROM == 0 else None


def _is_sized(field: Field) -> bool:
    return field.is_array or field.kind not in FIXED


def _width(field: Field, length: int) -> int:
    each = struct.calcsize(">" + FIXED[field.kind]) if field.kind in FIXED else 1
    return each * max(length, 0) if _is_sized(field) else each


def _shape(
    batch: bytes, at: int, fields: tuple[Field, ...], version: int
) -> tuple[tuple[int, ...], int, list[int]] | None:
    """(lengths, end, places of the bytes of the lengths) of a body; None for one that is not for a run."""
    lengths: list[int] = []
    places: list[int] = []
    end = len(batch)
    for field in fields:
        length = -1
        if _is_sized(field):
            if at >= end:
                return None
            places.append(at)
            raw = batch[at]
            at += 1
            if raw > 127:
                if at >= end or batch[at] > 127:
                    return None
                places.append(at)
                raw = raw & 127 | batch[at] << 7
                at += 1
            length = raw - 1
            limit = _ITEMS_MAX if field.is_array else _CONTENT_MAX
            if length > limit or (length < 0 and version not in field.nullable):
                return None
            lengths.append(length)
        at += _width(field, length)
    return (tuple(lengths), at, places) if at < end else None


def lines_of(run: Run, *, offsets: bool) -> Lines:
    """The function `(bytes of the run, first offset, head, middle, tail) -> lines` for the shape of a run.

    A line is head, offset, middle, the record's JSON, tail; without `offsets` middle, JSON, tail.
    """
    return _lines(run.cls, run.version, run.bytes_before, run.size, run.shape, offsets)


@functools.lru_cache(maxsize=SHAPES_MAX)
def _lines(
    cls: type[Message], version: int, before: int, size: int, shape: tuple[int, ...], offsets: bool
) -> Lines:
    formats = [f">{before}x"]
    names: list[str] = []
    parts: list[str] = []
    lengths = iter(shape)
    for field in untagged(cls, version):
        length = next(lengths) if _is_sized(field) else -1
        parts.append(f'"{field.name}":' + _field_source(field, length, formats, names))
    used = struct.calcsize("".join(formats))
    formats.append(f"{size - used}x")
    body = "{{" + ",".join(parts) + "}}"
    line = f"{{head}}{{offset}}{{middle}}{body}{{tail}}" if offsets else f"{{middle}}{body}{{tail}}"
    targets = "".join(f"{name}, " for name in names)
    rows = "enumerate(unpack(data), offset)" if offsets else "((0, row) for row in unpack(data))"
    source = (
        "def lines(data, offset, head, middle, tail):\n"
        f"    return [f'''{line}''' for offset, ({targets}) in {rows}]\n"
    )
    space: dict[str, Any] = {
        "unpack": struct.Struct("".join(formats)).iter_unpack, "TEXT": _TEXTS, "UUID": _UUIDS,
        "BOOL": {False: "false", True: "true"}, "BASE64": _base64, "FLOAT": java_double,
    }  # fmt: skip
    exec(compile(source, f"<lines of {cls.__name__}>", "exec"), space)
    made: Lines = space["lines"]
    return made


def _field_source(field: Field, length: int, formats: list[str], names: list[str]) -> str:
    """The source of a field's JSON inside an f-string; adds what it unpacks."""

    def take(form: str) -> str:
        formats.append(form)
        names.append(f"v{len(names)}")
        return names[-1]

    if not _is_sized(field):
        return _scalar_source(field.kind, take(FIXED[field.kind]))
    # The one or two bytes of the length, which the run has in common.
    formats.append("x" if length + 1 < 128 else "2x")
    if length < 0:
        return "null"
    if field.is_array:
        return "[" + ",".join(_scalar_source(field.kind, take(FIXED[field.kind])) for _ in range(length)) + "]"
    name = take(f"{length}s")
    return f"{{TEXT[{name}]}}" if field.kind == "string" else f'"{{BASE64({name})}}"'


def _scalar_source(kind: str, name: str) -> str:
    if kind == "uuid":
        return f'"{{UUID[{name}]}}"'
    if kind == "bool":
        return f"{{BOOL[{name}]}}"
    return f"{{FLOAT({name})}}" if kind == "float64" else f"{{{name}}}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def slices(run: Run, batch: bytes, position: int) -> Iterator[tuple[bytes, int]]:
    """The run's bytes in pieces of some thousand records, each with the number of its first record in the run."""
    for first in range(0, run.count, PIECE_RECORDS):
        count = min(PIECE_RECORDS, run.count - first)
        yield batch[position + first * run.size : position + (first + count) * run.size], first
