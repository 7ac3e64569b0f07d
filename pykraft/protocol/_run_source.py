"""The source of the code that reads or writes a run of structs of one shape."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final, TypeAlias

from pykraft.protocol import _wire
from pykraft.protocol._layout import FIXED, Field, field_is_flexible, has_tagged_fields, layout, tagged, untagged
from pykraft.protocol._message import AnyStruct
from pykraft.protocol._source import default_source, not_default

# The lengths in an element, in the order of its fields; -1 is null.
Shape: TypeAlias = tuple[int, ...]

_BYTE_MAX: Final = 127


def is_sized(field: Field) -> bool:
    """Whether a length stands before the field."""
    return field.is_array or field.kind in ("string", "bytes", "records")


def suits(cls: type[AnyStruct], version: int) -> bool:
    """Whether structs of this class can come in runs.

    They have no structs inside and no arrays but of numbers, except arrays that may be null and often are.
    """
    return not any(
        (field.struct is not None or (field.is_array and (field.kind not in FIXED or field.kind == "uuid")))
        and not (field.is_array and version in field.nullable)
        for field in untagged(cls, version)
    )


def prefix(field: Field, length: int, compact: bool) -> bytes:
    """The bytes of a length; -1 is null."""
    if compact:
        return _wire.varint(length + 1)
    return struct.pack(">h" if field.kind == "string" and not field.is_array else ">i", length)


class _Plan:
    """The elements of a shape: for each untagged field its prefix, length and format."""

    def __init__(self, cls: type[AnyStruct], version: int, flexible: bool, shape: Shape) -> None:
        self.cls = cls
        self.version = version
        self.flexible = flexible
        self.shape = shape

    def parts(self) -> Iterator[tuple[Field, bytes, int]]:
        """Each field with its length and the bytes of it; no bytes and -1 for a field of fixed width."""
        lengths = iter(self.shape)
        for field in untagged(self.cls, self.version):
            if is_sized(field):
                length = next(lengths)
                yield field, prefix(field, length, field_is_flexible(field, self.flexible, self.version)), length
            else:
                yield field, b"", -1

    def pieces(self) -> Iterator[tuple[bytes, int]]:
        """The element as bytes that are the same in all of its shape, each with the number of others behind it."""
        for field, length_bytes, length in self.parts():
            yield length_bytes, content_size(field, length)
        if self.flexible:
            yield b"\x00", 0  # no tagged fields

    def size(self) -> int:
        """The bytes of an element."""
        return sum(len(known) + others for known, others in self.pieces())

    def columns(self) -> dict[int, list[int]]:
        """The places of the bytes that are the same in all elements, by what they are."""
        found: dict[int, list[int]] = {}
        at = 0
        for known, others in self.pieces():
            for number, byte in enumerate(known):
                found.setdefault(byte, []).append(at + number)
            at += len(known) + others
        return found


def content_size(field: Field, length: int) -> int:
    """The bytes a field takes behind its length."""
    if not is_sized(field):
        return struct.calcsize(">" + FIXED[field.kind])
    if length <= 0:
        return 0
    return length * (struct.calcsize(">" + FIXED[field.kind]) if field.is_array else 1)


def size(cls: type[AnyStruct], version: int, flexible: bool, shape: Shape) -> int:
    """The bytes of an element of a shape."""
    return _Plan(cls, version, flexible, shape).size()


def pattern(cls: type[AnyStruct], version: int, flexible: bool, shape: Shape) -> bytes:
    """The regular expression (where `.` is any byte) of as many elements of a shape as follow each other."""
    found, gap = [], 0
    for known, others in _Plan(cls, version, flexible, shape).pieces():
        if known:
            found += [b".{%d}" % gap] * bool(gap) + [re.escape(known)]
            gap = 0
        gap += others
    found += [b".{%d}" % gap] * bool(gap)
    return b"(?:%s)++" % b"".join(found)


def reader(cls: type[AnyStruct], version: int, flexible: bool, shape: Shape) -> str:
    """The source of `fits(data, p, n) -> bool`, whether the n elements at p have this shape, and `read(data) ->
    elements`, for data with nothing but such elements; `made` is both."""
    plan = _Plan(cls, version, flexible, shape)
    fmt, names, made = "", [], {}
    for field, length_bytes, length in plan.parts():
        fmt += "x" * len(length_bytes)
        if not is_sized(field):
            fmt += FIXED[field.kind]
            names.append(f"{field.attr}_")
            made[field.attr] = f"{field.attr}_"
        elif length < 0:
            made[field.attr] = "None"
        elif field.is_array:
            items = [f"{field.attr}_{number}" for number in range(length)]
            fmt += _repeated(field, length)
            names += items
            made[field.attr] = f"[{', '.join(items)}]"
        else:
            fmt += f"{length}s"
            names.append(f"{field.attr}_")
            made[field.attr] = f"{field.attr}_" + (".decode()" if field.kind == "string" else "")
    fmt += "x" if flexible else ""
    each = plan.size()
    checks = [
        f"{' == '.join(f'data[p + {at}:stop:{each}]' for at in places)} == {bytes((byte,))!r} * n"
        for byte, places in plan.columns().items()
    ]
    target = f"({', '.join(names)},)" if names else "_"
    return "\n".join(
        [
            f'rows = Packer(">{fmt}").iter_unpack',
            "",
            "",
            "def fits(data, p, n):",
            f"    stop = p + n * {each}",
            "    return stop <= len(data)" + "".join(f" and (\n        {check}\n    )" for check in checks),
            "",
            "",
            "def read(data):",
            "    return [",
            f"        {cls.__name__}({', '.join(_arguments(cls, made))})",
            f"        for {target} in rows(data)",
            "    ]",
            "",
            "",
            "made = fits, read",
            "",
        ]
    )


def _arguments(cls: type[AnyStruct], made: dict[str, str]) -> list[str]:
    """What a struct is made with; msgspec makes the last fields itself when they are at their default."""
    arguments = [made.get(field.attr) or default_source(field) for field in layout(cls)]
    while arguments and arguments[-1] == default_source(layout(cls)[len(arguments) - 1]):
        arguments.pop()
    return arguments


def writer(cls: type[AnyStruct], version: int, flexible: bool, shape: Shape) -> str:
    """The source of `one(element) -> bytes` and `write(elements, w)`, which gives the bytes of each to w; both raise
    at an element that has another shape; `made` is both."""
    plan = _Plan(cls, version, flexible, shape)
    lines: list[str] = []
    fmt, values = "", []
    for field, length_bytes, length in plan.parts():
        if len(length_bytes) == 1:
            fmt += "B"
            values.append(str(length_bytes[0]))
        elif length_bytes:
            fmt += f"{len(length_bytes)}s"
            values.append(repr(length_bytes))
        extra, char, found = _written(field, length)
        lines += extra
        fmt += char
        values += found
    if flexible:
        fmt += "x"
    checks = [*_absent(cls, version), *(not_default(field, f"e.{field.attr}") for field in tagged(cls, version))]
    if has_tagged_fields(cls):
        checks.append("e.unknown_tagged_fields")
    if checks:
        lines += [f"if {' or '.join(checks)}:", "    raise Misfit"]
    packed = f"pack({', '.join(values)})"
    return "\n".join(
        [
            f'pack = Packer(">{fmt}").pack',
            "",
            "",
            "def one(e):",
            *(f"    {line}" for line in lines),
            f"    return {packed}",
            "",
            "",
            "def write(elements, w):",
            "    for e in elements:",
            *(f"        {line}" for line in lines),
            f"        w({packed})",
            "",
            "",
            "made = one, write",
            "",
        ]
    )


def mixed_writer(cls: type[AnyStruct], version: int) -> str:
    """The source of `shape(element)`, its lengths (of texts: in characters), and `write(elements, w)` for elements of
    several shapes, which `known` gives the writers of; that raises at the first element that has none; `made` is both.
    """
    lengths = [
        f"-1 if e.{field.attr} is None else len(e.{field.attr})"
        if version in field.nullable
        else f"len(e.{field.attr})"
        for field in untagged(cls, version)
        if is_sized(field)
    ]
    shape = f"({''.join(f'{length}, ' for length in lengths).strip()})"
    return "\n".join(
        [
            "def shape(e):",
            f"    return {shape}",
            "",
            "",
            "def write(elements, w):",
            "    for e in elements:",
            f"        w(known[{shape}](e))",
            "",
            "",
            "made = shape, write",
            "",
        ]
    )


def _repeated(field: Field, count: int) -> str:
    """The format of the items of an array."""
    return f"{count}{FIXED[field.kind]}" if count else ""


def example(cls: type[AnyStruct], version: int) -> Shape:
    """Lengths to show the code with: three in each array, null where structs may be in it, texts of eight bytes."""
    return tuple(
        8 if not field.is_array else 3 if field.kind in FIXED else -1
        for field in untagged(cls, version)
        if is_sized(field)
    )


def _absent(cls: type[AnyStruct], version: int) -> list[str]:
    """The conditions under which a version cannot say what its elements hold."""
    return [
        not_default(field, f"e.{field.attr}")
        for field in layout(cls)
        if version not in field.versions and not field.ignorable
    ]


def _written(field: Field, length: int) -> tuple[list[str], str, list[str]]:
    """The lines before the packing, the format and the values of a field."""
    value, name = f"e.{field.attr}", f"{field.attr}_"
    if not is_sized(field):
        if field.kind == "uuid":
            return [f"if len({value}) != 16:", "    raise Misfit"], "16s", [value]
        return [], FIXED[field.kind], [value]
    if length < 0:
        return [f"if {value} is not None:", "    raise Misfit"], "", []
    if field.is_array:
        items = [f"{name}{number}" for number in range(length)]
        return [f"[{', '.join(items)}] = {value}"], _repeated(field, length), items
    coded = ".encode()" if field.kind == "string" else ""
    return [f"{name} = {value}{coded}", f"if len({name}) != {length}:", "    raise Misfit"], f"{length}s", [name]
