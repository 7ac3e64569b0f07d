"""The parts of the wire format that compiled readers and writers call: varints, long lengths, tagged fields."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from pykraft.protocol._codecs import Misfit
from pykraft.protocol._layout import LENGTH_MAX, STRING_BYTES_MAX

# Longer arrays get their struct made each time.
ARRAY_STRUCTS_MAX: Final = 512


class Arrays(dict[int, Callable[..., Any]]):
    """The packing, or unpacking, of n numbers of one type with what stands before and behind them, by n."""

    def __init__(self, before: str, char: str, behind: str, method: str) -> None:
        super().__init__()
        self.before = before
        self.char = char
        self.behind = behind
        self.method = method

    def __missing__(self, count: int) -> Callable[..., Any]:
        packer = struct.Struct(f">{self.before}{count}{self.char}{self.behind}")
        made: Callable[..., Any] = getattr(packer, self.method)
        if count <= ARRAY_STRUCTS_MAX:
            self[count] = made
        return made


# Code for many versions of many messages shares them.
arrays: Final = functools.cache(Arrays)
_NUMBERS: Final = {char: arrays("", char, "", "pack") for char in "?bhHiIqd"}


def varint(value: int) -> bytes:
    """An unsigned varint; Misfit when it does not fit the 31 bits that lengths, tags and sizes have."""
    if value < 128:
        return bytes((value,))
    if value < 1 << 14:
        return bytes((value & 127 | 128, value >> 7))
    if value > LENGTH_MAX:
        raise Misfit
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def string_varint(value: int) -> bytes:
    """The length prefix, length + 1, of a compact string that may be too long."""
    if value > STRING_BYTES_MAX + 1:
        raise Misfit
    return varint(value)


def read_varint(data: bytes, p: int) -> tuple[int, int]:
    """An unsigned varint at p and the position after it."""
    value = data[p]
    p += 1
    if value > 127:
        return long_varint(data, p, value)
    return value, p


def long_varint(data: bytes, p: int, first: int) -> tuple[int, int]:
    """The rest of an unsigned varint whose first byte had its high bit set."""
    value = first & 127
    for shift in (7, 14, 21, 28):
        byte = data[p]
        p += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value > LENGTH_MAX:
                break
            return value, p
    raise Misfit


def long_string(data: bytes, p: int, first: int) -> tuple[int, int]:
    """As long_varint, for the length + 1 of a string."""
    value, p = long_varint(data, p, first)
    if value > STRING_BYTES_MAX + 1:
        raise Misfit
    return value, p


def read_tags(data: bytes, p: int, count: int, end: int) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """Tagged fields of a struct that knows none; `count` is the first byte of their number."""
    if count > 127:
        count, p = long_varint(data, p, count)
    found = []
    last = -1
    for _ in range(count):
        tag, p = read_varint(data, p)
        size, p = read_varint(data, p)
        stop = p + size
        if tag <= last or stop > end:
            raise Misfit
        found.append((tag, data[p:stop]))
        p = stop
        last = tag
    return tuple(found), p


def framed(tag: int, content: bytes) -> bytes:
    """A tagged field: its tag, its size, its content."""
    size = len(content)
    if tag < 128 and size < 128:
        return _TWO_BYTES(tag, size) + content
    return varint(tag) + varint(size) + content


def framed_numbers(tag: int, items: Sequence[int], char: str, size: int) -> bytes:
    """A tagged array of numbers: tag (of one byte), size, length, items."""
    count = len(items)
    content: bytes = _NUMBERS[char][count](*items)
    if size * count < 126:
        return _THREE_BYTES(tag, size * count + 1, count + 1) + content
    return framed(tag, varint(count + 1) + content)


def write_tags(known: Sequence[bytes], unknown: Sequence[tuple[int, bytes]]) -> bytes:
    """The block of tagged fields that ends a struct, in the order of the tags; those known are framed, and their tags
    take one byte."""
    if not unknown:
        return b"".join((varint(len(known)), *known))
    fields = [(field[0], field) for field in known]
    fields += [(tag, framed(tag, content)) for tag, content in unknown]
    fields.sort(key=_tag_of)
    if len({tag for tag, _ in fields}) < len(fields):
        raise Misfit
    return b"".join((varint(len(fields)), *(field for _, field in fields)))


def _tag_of(field: tuple[int, bytes]) -> int:
    return field[0]


_TWO_BYTES: Final = struct.Struct("BB").pack
_THREE_BYTES: Final = struct.Struct("BBB").pack
_CALLED: Final = (
    varint, string_varint, read_varint, long_varint, long_string, read_tags, framed, framed_numbers, write_tags,
)  # fmt: skip
NAMES: Final[dict[str, Callable[..., object]]] = {function.__name__: function for function in _CALLED}
