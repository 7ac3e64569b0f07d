"""The source of the code that reads or writes a run of structs of one shape."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, TypeAlias

from pykraft.protocol import _wire
from pykraft.protocol._layout import FIXED, Field, field_is_flexible, has_tagged_fields, layout, tagged, untagged
from pykraft.protocol._message import AnyStruct
from pykraft.protocol._source import default_source, not_default

# The lengths in an element, in the order of its fields; -1 is null.
Shape: TypeAlias = tuple[int, ...]
# A byte that is the same in every element of a shape: its place in the element, and its value.
Mark: TypeAlias = tuple[int, int]

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

    def marks(self) -> tuple[list[Mark], int]:
        """The bytes that are the same in every element, and the size of an element."""
        found = []
        at = 0
        for field, length_bytes, length in self.parts():
            found += [(at + number, byte) for number, byte in enumerate(length_bytes)]
            at += len(length_bytes) + content_size(field, length)
        if self.flexible:
            found.append((at, 0))
            at += 1
        return found, at


def content_size(field: Field, length: int) -> int:
    """The bytes a field takes behind its length."""
    if not is_sized(field):
        return struct.calcsize(">" + FIXED[field.kind])
    if length <= 0:
        return 0
    return length * (struct.calcsize(">" + FIXED[field.kind]) if field.is_array else 1)


def marks(cls: type[AnyStruct], version: int, flexible: bool, shape: Shape) -> tuple[list[Mark], int]:
    """The bytes that are the same in every element of a shape, and the size of an element."""
    return _Plan(cls, version, flexible, shape).marks()


def reader(cls: type[AnyStruct], version: int, flexible: bool, shape: Shape) -> str:
    """The source of `read(data, p, n) -> elements`: those of the n at p that have this shape, up to the first other."""
    plan = _Plan(cls, version, flexible, shape)
    places, size = plan.marks()
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
    columns: dict[int, list[str]] = {}
    for at, byte in places:
        columns.setdefault(byte, []).append(f"data[p + {at}:stop:{size}]")
    checks = [f"{' == '.join(alike)} == {bytes((byte,))!r} * n" for byte, alike in columns.items()]
    lines = [
        f'rows = Packer(">{fmt}").iter_unpack',
        f"marks = {tuple(places)}",
        "",
        "",
        "def read(data, p, n):",
        f"    stop = p + n * {size}",
    ]
    if checks:
        lines += [
            "    if not (" + "\n            and ".join(checks) + "):",
            f"        n = alike(data, p, stop, {size}, marks)",
            f"        stop = p + n * {size}",
        ]
    target = f"({', '.join(names)},)" if names else "_"
    return "\n".join(
        [
            *lines,
            "    return [",
            f"        {cls.__name__}({', '.join(_arguments(cls, made))})",
            f"        for {target} in rows(data[p:stop])",
            "    ]",
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
    """The source of `write(elements, w)`: writes those of this shape, raises at the first that is not."""
    plan = _Plan(cls, version, flexible, shape)
    before: list[str] = []
    fmt, values = "", []
    for field, length_bytes, length in plan.parts():
        if len(length_bytes) == 1:
            fmt += "B"
            values.append(str(length_bytes[0]))
        elif length_bytes:
            fmt += f"{len(length_bytes)}s"
            values.append(repr(length_bytes))
        extra, char, found = _written(field, length)
        before += extra
        fmt += char
        values += found
    if flexible:
        fmt += "x"
    checks = [*_absent(cls, version), *(not_default(field, f"e.{field.attr}") for field in tagged(cls, version))]
    if has_tagged_fields(cls):
        checks.append("e.unknown_tagged_fields")
    lines = [f'pack = Packer(">{fmt}").pack', "", "", "def write(elements, w):", "    for e in elements:"]
    lines += [f"        {line}" for line in before]
    if checks:
        lines += [f"        if {' or '.join(checks)}:", "            raise Misfit"]
    lines.append(f"        w(pack({', '.join(values)}))")
    return "\n".join([*lines, ""])


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
