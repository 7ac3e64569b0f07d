"""Arrays of structs a run at a time: elements that follow each other and have the same lengths in them.

Such elements take the same number of bytes and have the same bytes in the same places, so that one `struct` reads or
writes a whole element. The code for one shape (the lengths in it) is compiled when enough elements of it have been
met. Whatever does not fit is left to the general code, which takes one element at a time and says what is wrong.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeAlias, TypeVar

from pykraft.protocol import _run_source, _source
from pykraft.protocol._codecs import WRITE_FAILURES, Misfit
from pykraft.protocol._layout import FIXED, Field, field_is_flexible, untagged
from pykraft.protocol._message import AnyStruct
from pykraft.protocol._run_source import Mark, Shape, content_size, is_sized
from pykraft.protocol._wire import read_varint

# Fewer elements are not looked at, and a shorter run is not worth code of its own.
RUN_MIN: Final = 8
# How many elements are looked at first, so that a short run in a long array costs little; more as the run goes on.
WINDOW_MIN: Final = 64
# How many elements of one shape are met before it is compiled, which costs as much as reading some hundreds.
MET_MIN: Final = 64
# How many shapes of one struct are compiled, ever: an enemy could send new ones all the time.
SHAPES_MAX: Final = 64
# How many shapes are counted at a time.
COUNTED_MAX: Final = 256
# Longer arrays and contents do not come in runs.
ITEMS_MAX: Final = 32
CONTENT_MAX: Final = 16 * 1024

Read: TypeAlias = Callable[[bytes, int, int], list[Any]]
Write: TypeAlias = Callable[[Sequence[Any], Callable[[bytes], None]], None]
F = TypeVar("F", Read, Write)


def alike(data: bytes, p: int, stop: int, size: int, marks: Sequence[Mark]) -> int:
    """How many elements at p, up to the first other, have these bytes in these places."""
    count = (stop - p) // size
    for at, byte in marks:
        column = data[p + at : stop : size]
        count = min(count, len(column) - len(column.lstrip(bytes((byte,)))))
    return count


class _Shapes(Generic[F]):
    """The compiled code for the shapes of one struct in one version."""

    def __init__(self, cls: type[AnyStruct], version: int, flexible: bool) -> None:
        self.cls = cls
        self.version = version
        self.flexible = flexible
        self.fields = [
            (field, is_sized(field), field_is_flexible(field, flexible, version)) for field in untagged(cls, version)
        ]
        self.compiled: dict[Shape, F] = {}
        self.met: Counter[Shape] = Counter()

    def fits(self, shape: Shape) -> bool:
        """Whether elements of this shape can come in runs."""
        sized = [field for field, has_length, _ in self.fields if has_length]
        return all(self.length_fits(field, length) for field, length in zip(sized, shape, strict=True))

    def length_fits(self, field: Field, length: int) -> bool:
        """Whether elements with this length in this field can come in runs."""
        lowest = -1 if self.version in field.nullable else 0
        numbers = field.kind in FIXED and field.kind != "uuid"
        highest = CONTENT_MAX if not field.is_array else ITEMS_MAX if numbers else 0
        return lowest <= length <= highest

    def met_enough(self, shape: Shape, count: int) -> bool:
        """Count elements of a shape; whether it is to be compiled now."""
        if len(self.met) >= COUNTED_MAX:
            self.met.clear()
        self.met[shape] += count
        return self.met[shape] >= MET_MIN and len(self.compiled) < SHAPES_MAX


class ReadRuns(_Shapes[Read]):
    """Reads the runs of elements that an array, or the rest of one, begins with."""

    def __init__(self, cls: type[AnyStruct], version: int, flexible: bool) -> None:
        super().__init__(cls, version, flexible)
        self.last: tuple[Read, int] = (_reads_nothing, 1)
        self.window = WINDOW_MIN  # as large as the last run was long

    def read(self, data: bytes, p: int, left: int, out: list[Any]) -> tuple[int, int]:
        """Read some of the `left` elements at p; gives how many are left then, and the position behind those read."""
        window = self.window
        while left >= RUN_MIN:
            read, size = self.last
            found = read(data, p, left if left < window else window)  # noqa: FURB136 - a call for each array
            out += found
            count = len(found)
            if count == left:
                return 0, p + count * size
            left -= count
            p += count * size
            if count == window:
                self.window = window = window * 4
            elif count < RUN_MIN:
                self.window = window = WINDOW_MIN
                if not self.turn(data, p, left):
                    break
        return left, p

    def turn(self, data: bytes, p: int, left: int) -> bool:
        """Find the code for the element at p; False when there is none, or too few of its shape follow."""
        shape = self.shape_at(data, p)
        if shape is None:
            return False
        marks, size = _run_source.marks(self.cls, self.version, self.flexible, shape)
        count = min(left, WINDOW_MIN, (len(data) - p) // size) if size else 0
        count = alike(data, p, p + count * size, size, marks) if count >= RUN_MIN else 0
        if count < RUN_MIN:
            return False
        read = self.compiled.get(shape)
        if read is None:
            if not self.met_enough(shape, count):
                return False
            source = _run_source.reader(self.cls, self.version, self.flexible, shape)
            read = self.compiled[shape] = _source.run(source, self.cls, "read", {"alike": alike})
        self.last = read, size
        return True

    def shape_at(self, data: bytes, p: int) -> Shape | None:
        """The lengths in the element at p; None when they are no lengths or not those of a run."""
        found = []
        try:
            for field, has_length, compact in self.fields:
                length = -1
                if has_length:
                    length, p = _length(data, p, compact, field.kind == "string" and not field.is_array)
                    if not self.length_fits(field, length):
                        return None
                    found.append(length)
                p += content_size(field, length)
        except (IndexError, struct.error, Misfit):
            return None
        return tuple(found)


def _length(data: bytes, p: int, compact: bool, short: bool) -> tuple[int, int]:
    if compact:
        length, p = read_varint(data, p)
        return length - 1, p
    if short:
        return _INT16.unpack_from(data, p)[0], p + _INT16.size
    return _INT32.unpack_from(data, p)[0], p + _INT32.size


class WriteRuns(_Shapes[Write]):
    """Writes the runs of elements that an array, or the rest of one, begins with."""

    def __init__(self, cls: type[AnyStruct], version: int, flexible: bool) -> None:
        super().__init__(cls, version, flexible)
        self.last: Write = _writes_nothing

    def write(self, elements: Sequence[Any], i: int, out: list[bytes]) -> int:
        """Write some of the elements from i on, one part each; gives the number of the first that is not written."""
        window = WINDOW_MIN
        while len(elements) - i >= RUN_MIN:
            before = len(out)
            # What is raised: the element has another shape, or cannot be written, which the general code finds out.
            with suppress(*WRITE_FAILURES):
                self.last(elements[i : i + window], out.append)
            written = len(out) - before
            i += written
            if written == window:
                window *= 4
            elif written < RUN_MIN:
                window = WINDOW_MIN
                if not self.turn(elements, i):
                    break
        return i

    def turn(self, elements: Sequence[Any], i: int) -> bool:
        """Find other code for the element at i; False when there is none, or too few of its shape follow."""
        if len(elements) - i < RUN_MIN:
            return False
        try:
            shape, *others = (self.shape_of(elements[number]) for number in (i, i + 1, i + RUN_MIN - 1))
        except WRITE_FAILURES:
            return False
        if any(other != shape for other in others) or not self.fits(shape):
            return False
        write = self.compiled.get(shape)
        if write is None:
            if not self.met_enough(shape, min(len(elements) - i, MET_MIN // 2)):
                return False
            source = _run_source.writer(self.cls, self.version, self.flexible, shape)
            write = self.compiled[shape] = _source.run(source, self.cls, "write", {})
        if write is self.last:
            return False  # it was tried: the value does not fit for another reason than its lengths
        self.last = write
        return True

    def shape_of(self, element: Any) -> Shape:
        """The lengths in an element, as they will be on the wire."""
        found = []
        for field, has_length, _ in self.fields:
            if has_length:
                item = getattr(element, field.attr)
                found.append(-1 if item is None else len(item.encode() if isinstance(item, str) else item))
        return tuple(found)


def _reads_nothing(data: bytes, p: int, n: int) -> list[Any]:
    return []


def _writes_nothing(elements: Sequence[Any], w: Callable[[bytes], None]) -> None:
    """As those that write."""


_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")
