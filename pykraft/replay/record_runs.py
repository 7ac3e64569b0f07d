"""Records that follow one another in a batch and have the same shape, turned into lines of JSON in one go.

A log of many partitions is long rows of records whose bytes differ only in numbers and ids. One look at the columns
of such a row tells how far it goes, and code compiled for its shape reads and prints it, without an object for
each record.
"""

from __future__ import annotations

import functools
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from pykraft.log.batch import BATCH_RECORDS_MAX
from pykraft.protocol._layout import FIXED, Field, untagged
from pykraft.protocol._message import Message
from pykraft.protocol.api import record_class
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.java_double import java_double
from pykraft.replay.compiled_json import BOOLEANS, CACHED_MAX, UUIDS, base64_text
from pykraft.replay.json_text import string_text

RUN_MIN: Final = 4
"""Shorter runs are not worth the look."""
SHAPES_MAX: Final = 256
PIECE_RECORDS: Final = 4096
_CONTENT_MAX: Final = 16 * 1024
_ITEMS_MAX: Final = 64
# The first offset deltas whose varint takes two and three bytes, and the end of what is looked at.
_BYTES: Final = tuple(bytes((byte,)) for byte in range(256))
_DELTA_STEPS: Final = (64, 8192, BATCH_RECORDS_MAX)

Lines = Callable[[bytes, int, str, str, str], list[str]]


class _TextsOfBytes(dict[bytes, str]):
    """The JSON text of UTF-8 bytes."""

    def __missing__(self, key: bytes) -> str:
        if len(self) >= CACHED_MAX:
            self.clear()
        text = self[key] = string_text(key.decode())
        return text


class _TextsOfArray(dict[bytes, str]):
    """The JSON of the elements of one kind that stand in bytes, without brackets: few arrays are met once only."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._char = FIXED[kind]
        self._text: Callable[[Any], str] = _ELEMENTS.get(kind, str)

    def __missing__(self, key: bytes) -> str:
        if len(self) >= CACHED_MAX:
            self.clear()
        values = struct.iter_unpack(">" + self._char, key)
        text = self[key] = ",".join(self._text(value) for (value,) in values)
        return text


_TEXTS: Final = _TextsOfBytes()
_ELEMENTS: Final[dict[str, Callable[[Any], str]]] = {
    "uuid": lambda value: f'"{UUIDS[value]}"', "bool": lambda value: BOOLEANS[value], "float64": java_double,
}  # fmt: skip
_ARRAYS: Final = {kind: _TextsOfArray(kind) for kind in FIXED}


class Shape:
    """What records of equal length have in common: `size` bytes each, of which `value_size` are the value.

    `marks` are the places in a record, and the bytes there, that make it one of this shape: all of its frame but the
    offset delta, and each length in its body.
    """

    def __init__(
        self, cls: type[Message], version: int, lengths: tuple[int, ...], size: int, value_size: int,
        body_at: int, delta_at: int, delta_bytes: int, marks: tuple[tuple[int, int], ...],
    ) -> None:  # fmt: skip
        self.cls, self.version, self.lengths = cls, version, lengths
        self.size, self.value_size, self.body_at = size, value_size, body_at
        self.delta_at, self.delta_bytes, self.marks = delta_at, delta_bytes, marks
        self._lines: dict[bool, Lines] = {}

    def fits(self, batch: bytes, position: int) -> bool:
        """Whether the record at `position`, which the batch must hold whole, has this shape."""
        return position + self.size <= len(batch) and all(batch[position + at] == byte for at, byte in self.marks)

    def count(self, batch: bytes, position: int, delta: int, left: int) -> int:
        """How many records of this shape follow one another, the first with offset delta `delta`."""
        size = self.size
        count = min(left, _DELTA_STEPS[self.delta_bytes - 1] - delta, (len(batch) - position) // size)
        stop = position + count * size
        for at, byte in self.marks:
            column = batch[position + at : stop : size]
            alike = len(column) - len(column.lstrip(_BYTES[byte]))
            if alike < count:
                if alike < RUN_MIN:
                    return 0
                count, stop = alike, position + alike * size
        for at, expected in enumerate(_delta_columns()[self.delta_bytes - 1], position + self.delta_at):
            if batch[at:stop:size] != expected[delta : delta + count]:
                return 0
        return count

    def lines(self, *, offsets: bool) -> Lines:
        """The function `(bytes of records, first offset, head, middle, tail) -> lines`.

        A line is head, offset, middle, the record's JSON, tail; without `offsets` middle, JSON, tail.
        """
        made = self._lines.get(offsets)
        if made is None:
            made = self._lines[offsets] = _compiled(self, offsets)
        return made


class Run(NamedTuple):
    """`records` records of one shape."""

    shape: Shape
    records: int


class Finder:
    """Looks for runs; `versions` has the highest version for each record's API key. Remembers shapes it has met."""

    def __init__(self, versions: dict[int, int]) -> None:
        self._versions = versions
        self._shapes: dict[tuple[int, int, int], list[Shape]] = {}
        self._met = 0

    def find(self, batch: bytes, position: int, delta: int, left: int) -> Run | None:
        """The run that begins with record `delta` at `position`, of at most `left` records; None for none."""
        if left < RUN_MIN or delta >= BATCH_RECORDS_MAX or position + 2 >= len(batch):
            return None
        delta_bytes = bisect_right(_DELTA_STEPS, delta) + 1
        key = batch[position], batch[position + 1], delta_bytes
        for shape in self._shapes.get(key, ()):
            if shape.fits(batch, position):
                count = shape.count(batch, position, delta, left)
                return Run(shape, count) if count >= RUN_MIN else None
        found = self._shape_at(batch, position, delta_bytes)
        if found is None:
            return None
        count = found.count(batch, position, delta, left)
        if count < RUN_MIN:
            return None
        if self._met >= SHAPES_MAX:
            self._shapes.clear()
            self._met = 0
        self._shapes.setdefault(key, []).append(found)
        self._met += 1
        return Run(found, count)

    def _shape_at(self, batch: bytes, position: int, delta_bytes: int) -> Shape | None:
        frame = _frame(batch, position, delta_bytes)
        if frame is None:
            return None
        value_at, value_size, stop = frame
        size = stop - position
        # Most records that are not in a run are told by the first byte of the next one.
        if stop + size > len(batch) or batch[stop] != batch[position]:
            return None
        key, version = batch[value_at + 1], batch[value_at + 2]
        if batch[value_at] != 1 or key > 127 or version > self._versions.get(key, -1):
            return None
        found = _class(key, version)
        walked = None if found is None else _walked(batch, value_at + 3, found[1], version)
        if found is None or walked is None:
            return None
        lengths, at, places = walked
        if at + 1 != stop - 1 or batch[at] or batch[stop - 1]:
            return None
        delta_at = position + _varint_size(batch, position) + 2
        delta_places = range(delta_at, delta_at + delta_bytes)
        same = [*range(position, value_at + 3), *places, at, stop - 1]
        marks = tuple((place - position, batch[place]) for place in same if place not in delta_places)
        return Shape(
            found[0], version, lengths, size, value_size, value_at + 3 - position, delta_at - position, delta_bytes,
            marks,
        )  # fmt: skip


@functools.cache
def _delta_columns() -> tuple[tuple[bytes, ...], ...]:
    """For varints of one, two and three bytes: what each byte is, for each offset delta."""
    zigzags = range(0, 2 * BATCH_RECORDS_MAX, 2)
    return tuple(
        tuple(
            bytes(zigzag >> 7 * number & 127 | (128 if number + 1 < width else 0) for zigzag in zigzags)
            for number in range(width)
        )
        for width in (1, 2, 3)
    )


def _varint_size(batch: bytes, position: int) -> int:
    size = 1
    while batch[position] > 127:
        position += 1
        size += 1
    return size


def _frame(batch: bytes, position: int, delta_bytes: int) -> tuple[int, int, int] | None:
    """(position of the value, its size, end of the record) of a record without key, headers or deltas of its own."""
    try:
        length, at = _zigzag(batch, position)
        stop = at + length
        at += 2 + delta_bytes
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


def _walked(
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


def _compiled(shape: Shape, offsets: bool) -> Lines:
    formats = [f">{shape.body_at}x"]
    names: list[str] = []
    parts: list[str] = []
    lengths = iter(shape.lengths)
    for field in untagged(shape.cls, shape.version):
        length = next(lengths) if _is_sized(field) else -1
        parts.append(f'"{field.name}":' + _field_source(field, length, formats, names))
    used = struct.calcsize("".join(formats))
    formats.append(f"{shape.size - used}x")
    body = "{{" + ",".join(parts) + "}}"
    line = f"{{head}}{{offset}}{{middle}}{body}{{tail}}" if offsets else f"{{middle}}{body}{{tail}}"
    targets = "".join(f"{name}, " for name in names)
    rows = "enumerate(unpack(data), offset)" if offsets else "((0, row) for row in unpack(data))"
    source = (
        f"def lines(data, offset, head, middle, tail):\n    return [f'''{line}''' for offset, ({targets}) in {rows}]\n"
    )
    space: dict[str, Any] = {
        "unpack": struct.Struct("".join(formats)).iter_unpack, "TEXT": _TEXTS, "UUID": UUIDS,
        "BOOL": BOOLEANS, "BASE64": base64_text, "FLOAT": java_double,
        **{f"{kind.upper()}_ARRAY": texts for kind, texts in _ARRAYS.items()},
    }  # fmt: skip
    exec(compile(source, f"<lines of {shape.cls.__name__}>", "exec"), space)
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
        name = take(f"{_width(field, length)}s")
        return f"[{{{field.kind.upper()}_ARRAY[{name}]}}]"
    name = take(f"{length}s")
    return f"{{TEXT[{name}]}}" if field.kind == "string" else f'"{{BASE64({name})}}"'


def _scalar_source(kind: str, name: str) -> str:
    if kind == "uuid":
        return f'"{{UUID[{name}]}}"'
    if kind == "bool":
        return f"{{BOOL[{name}]}}"
    return f"{{FLOAT({name})}}" if kind == "float64" else f"{{{name}}}"


def slices(run: Run, batch: bytes, position: int) -> Iterator[tuple[bytes, int]]:
    """The run's bytes in pieces of some thousand records, each with the number of its first record in the run."""
    size = run.shape.size
    for first in range(0, run.records, PIECE_RECORDS):
        count = min(PIECE_RECORDS, run.records - first)
        yield batch[position + first * size : position + (first + count) * size], first
