"""Arrays of structs a run at a time: elements that follow each other and have the same lengths in them.

Such elements take the same number of bytes and have the same bytes in the same places, so that one `struct` reads or
writes a whole element, and a regular expression finds where such elements end and others begin. The code for one shape
(the lengths in it) is compiled when enough elements of it have been met. Whatever does not fit is left to the general
code, which takes one element at a time and says what is wrong.
"""

from __future__ import annotations

import re
import struct
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeAlias, TypeVar

from pykraft.protocol import _run_source, _source
from pykraft.protocol._codecs import WRITE_FAILURES, Misfit
from pykraft.protocol._layout import FIXED, Field, field_is_flexible, untagged
from pykraft.protocol._message import AnyStruct
from pykraft.protocol._run_source import Shape, content_size, is_sized
from pykraft.protocol._wire import read_varint

# Fewer elements are not looked at: the general code is as fast.
RUN_MIN: Final = 3
# So many are first taken for elements of the shape that was met last.
LAST_SHAPE_MIN: Final = 12
# How many elements are taken one by one before the next look.
BETWEEN_RUNS: Final = 16
# How many elements are looked at to learn their shapes.
SURVEY: Final = 16
# How many elements of one shape are met before it is compiled, which costs as much as reading some hundreds.
MET_MIN: Final = 64
# How many shapes of one struct are compiled, ever: an enemy could send new ones all the time.
SHAPES_MAX: Final = 32
# How many shapes are counted at a time.
COUNTED_MAX: Final = 256
# Longer arrays and contents do not come in runs.
ITEMS_MAX: Final = 32
CONTENT_MAX: Final = 16 * 1024
# A look that takes fewer elements than this is not worth it. After each of those in a row, up to so many, twice as many
# looks are left out.
WORTH: Final = 16
POOR_MAX: Final = 8
# How many arrays of several shapes are written before one is taken for an array of one shape again.
MIXED_ARRAYS: Final = 16

Fits: TypeAlias = Callable[[bytes, int, int], bool]
Read: TypeAlias = Callable[[bytes], list[Any]]
Reader: TypeAlias = tuple[Fits, Read, int]  # and the size of an element
Write: TypeAlias = Callable[[Sequence[Any], Callable[[bytes], None]], None]
Writer: TypeAlias = tuple[Callable[[Any], bytes], Write]
Match: TypeAlias = Callable[[bytes, int], Any]
F = TypeVar("F", Reader, Writer)


class _Shapes(ABC, Generic[F]):
    """The compiled code for the shapes of one struct in one version; threads share it."""

    def __init__(self, cls: type[AnyStruct], version: int, flexible: bool) -> None:
        self.cls = cls
        self.version = version
        self.flexible = flexible
        self.fields = [
            (field, is_sized(field), field_is_flexible(field, flexible, version)) for field in untagged(cls, version)
        ]
        self.compiled: dict[Shape, F] = {}
        self.met: Counter[Shape] = Counter()
        self.lock = threading.Lock()  # held while shapes are counted and compiled
        self.pause = 0  # how many looks are left out
        self.poor = 0  # how many looks in a row were not worth it

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

    def learn(self, shapes: Iterator[Shape], taken: int) -> bool:
        """Compile those of the shapes that have been met often enough; whether there was one. After a look that took
        few elements, and found no shape that is worth counting, the next looks are left out."""
        seen = Counter(shapes)
        learned = False
        with self.lock:
            new = {shape: count for shape, count in seen.items() if shape not in self.compiled}
            if len(self.compiled) == SHAPES_MAX:
                new.clear()
            if len(self.met) >= COUNTED_MAX:
                self.met.clear()
            for shape, count in new.items():
                self.met[shape] += count
                if self.met[shape] >= MET_MIN and len(self.compiled) < SHAPES_MAX:
                    self.compile(shape)
                    learned = True
        if learned or taken >= WORTH or any(count >= RUN_MIN for count in new.values()):
            self.poor = 0
        else:
            self.poor = min(self.poor + 1, POOR_MAX)
            self.pause = 2**self.poor - 1
        return learned

    @abstractmethod
    def compile(self, shape: Shape) -> None:
        """Make the code for a shape."""


class ReadRuns(_Shapes[Reader]):
    """Reads the elements that an array, or the rest of one, begins with, up to the first of unknown shape."""

    def __init__(self, cls: type[AnyStruct], version: int, flexible: bool) -> None:
        super().__init__(cls, version, flexible)
        self.last: Reader = _fits_nothing, _reads_nothing, 1
        # Finds as many elements of one known shape as follow each other; its groups are the shapes.
        self.known: tuple[Match, tuple[Reader, ...]] = _matches_nothing, ()

    def read(self, data: bytes, p: int, left: int, out: list[Any]) -> tuple[int, int]:
        """Read some of the `left` elements at p; gives how many are left then, and the position behind those read."""
        if self.pause:
            self.pause -= 1
            return left, p
        fits, read, size = self.last
        if left >= LAST_SHAPE_MIN and fits(data, p, left):
            stop = p + left * size
            out += read(data[p:stop])
            return 0, stop
        before = left
        match, readers = self.known
        while found := match(data, p):
            stop = found.end()
            _, read, size = self.last = readers[found.lastindex - 1]
            count = (stop - p) // size
            if count >= left:
                stop = p + left * size
                out += read(data[p:stop])
                return 0, stop
            out += read(data[p:stop])
            left -= count
            p = stop
        if self.learn(self.survey(data, p, min(left, SURVEY)), before - left):
            return self.read(data, p, left, out)
        return left, p

    def survey(self, data: bytes, p: int, count: int) -> Iterator[Shape]:
        """The shapes of the elements at p, up to the first that cannot come in a run."""
        with suppress(IndexError, struct.error, Misfit):
            for _ in range(count):
                found = []
                for field, has_length, compact in self.fields:
                    length = -1
                    if has_length:
                        length, p = _length(data, p, compact, field.kind == "string" and not field.is_array)
                        if not self.length_fits(field, length):
                            return
                        found.append(length)
                    p += content_size(field, length)
                if self.flexible:
                    if data[p]:
                        return  # tagged fields
                    p += 1
                yield tuple(found)

    def compile(self, shape: Shape) -> None:
        source = _run_source.reader(self.cls, self.version, self.flexible, shape)
        fits, read = _source.run(source, self.cls, "made", {})
        size = _run_source.size(self.cls, self.version, self.flexible, shape)
        self.last = self.compiled[shape] = fits, read, size
        patterns = [_run_source.pattern(self.cls, self.version, self.flexible, each) for each in self.compiled]
        whole = re.compile(b"|".join(b"(%s)" % each for each in patterns), re.DOTALL)
        self.known = whole.match, tuple(self.compiled.values())


def _length(data: bytes, p: int, compact: bool, short: bool) -> tuple[int, int]:
    if compact:
        length, p = read_varint(data, p)
        return length - 1, p
    if short:
        return _INT16.unpack_from(data, p)[0], p + _INT16.size
    return _INT32.unpack_from(data, p)[0], p + _INT32.size


class WriteRuns(_Shapes[Writer]):
    """Writes the elements that an array, or the rest of one, begins with, up to the first of unknown shape."""

    def __init__(self, cls: type[AnyStruct], version: int, flexible: bool) -> None:
        super().__init__(cls, version, flexible)
        self.known: dict[Shape, Callable[[Any], bytes]] = {}
        self.shape: Callable[[Any], Shape] = _no_shape
        self.mixed: Write = _writes_nothing
        self.mixed_arrays = 0  # how many arrays are not taken for arrays of one shape

    def write(self, elements: Sequence[Any], out: list[bytes]) -> Iterable[Any]:
        """Write elements, one part each; gives those that the general code is to write, each in its turn."""
        i = self.some(elements, 0, out)
        return self.rest(elements, i, out) if i < len(elements) else ()

    def rest(self, elements: Sequence[Any], i: int, out: list[bytes]) -> Iterator[Any]:
        """As `write`, from the element i on, which is not to be written in a run."""
        while i < len(elements):
            yield from elements[i : i + BETWEEN_RUNS]
            i += BETWEEN_RUNS
            if len(elements) - i >= RUN_MIN:
                i = self.some(elements, i, out)

    def some(self, elements: Sequence[Any], i: int, out: list[bytes]) -> int:
        """Write some of the elements from i on; gives the number of the first that is not written."""
        if self.pause:
            self.pause -= 1
            return i
        before = len(out) - i
        # What is raised: the element has an unknown shape, or cannot be written, which the general code finds out.
        if self.mixed_arrays:
            self.mixed_arrays -= 1
        else:
            with suppress(KeyError, *WRITE_FAILURES):
                _, write = self.compiled[self.shape(elements[i])]
                write(elements[i:] if i else elements, out.append)
                return len(elements)
            self.mixed_arrays = MIXED_ARRAYS
        first, i = i, len(out) - before
        with suppress(KeyError, *WRITE_FAILURES):
            self.mixed(elements[i:] if i else elements, out.append)
            return len(elements)
        i = len(out) - before
        if self.learn(self.survey(elements[i : i + SURVEY]), i - first):
            return self.some(elements, i, out)
        return i

    def survey(self, elements: Sequence[Any]) -> Iterator[Shape]:
        """The shapes of elements, up to the first that cannot come in a run."""
        with suppress(*WRITE_FAILURES):
            for element in elements:
                shape = self.shape_of(element)
                if not self.fits(shape):
                    return
                yield shape

    def shape_of(self, element: Any) -> Shape:
        """The lengths in an element, as they will be on the wire."""
        found = []
        for field, has_length, _ in self.fields:
            if has_length:
                item = getattr(element, field.attr)
                found.append(-1 if item is None else len(item.encode() if isinstance(item, str) else item))
        return tuple(found)

    def compile(self, shape: Shape) -> None:
        source = _run_source.writer(self.cls, self.version, self.flexible, shape)
        self.compiled[shape] = one, _ = _source.run(source, self.cls, "made", {})
        self.known[shape] = one
        self.mixed_arrays = 0
        if self.mixed is _writes_nothing:
            source = _run_source.mixed_writer(self.cls, self.version)
            self.shape, self.mixed = _source.run(source, self.cls, "made", {"known": self.known})


def _fits_nothing(data: bytes, p: int, n: int) -> bool:
    return False


def _matches_nothing(data: bytes, p: int) -> None:
    return None


def _reads_nothing(data: bytes) -> list[Any]:
    return []


def _no_shape(element: Any) -> Shape:
    raise Misfit


def _writes_nothing(elements: Sequence[Any], w: Callable[[bytes], None]) -> None:
    raise Misfit


_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")
