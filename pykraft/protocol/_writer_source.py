"""The source of the straight-line code that writes one version of a message."""

from __future__ import annotations

import struct
from typing import Final

from pykraft.protocol import _run_source
from pykraft.protocol._emitter import ITEM_SIZE, Emitter
from pykraft.protocol._layout import (
    FIXED,
    Field,
    field_is_flexible,
    has_tagged_fields,
    layout,
    size_min,
    tagged,
    untagged,
)
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol._runs import RUN_MIN
from pykraft.protocol._source import not_default

_OUT: Final = "out"
_PARTS: Final = f"        w = ({_OUT} := []).append"


class Writer(Emitter):
    """Emits a writer. `w` appends to the parts of the output; fixed-width values wait in `pending` and are
    packed together, with the length that follows them when that takes one byte."""

    def __init__(self, version: int, flexible: bool) -> None:
        super().__init__(version, flexible)
        self.pending: list[tuple[str, str]] = []
        self.wrote = False  # whether anything stands before the pending values
        self.parts = _OUT
        self.sink = "w"
        self.repeated: list[str] = []  # the names of lists that an element may share with the one before

    def source(self, cls: type[Message]) -> str:
        self.lines += ["    try:", _PARTS]
        self.indent = 2
        self.struct(cls, "m", 0)
        self.flush()
        self.emit('return b"".join(out)')
        if self.repeated:
            self.lines.insert(0, f"    {' = '.join(self.repeated)} = None")
        self.indent = 1
        self.emit("except WRITE_FAILURES as failure:")
        self.emit(f"    raise unwritten(m, {self.version}, failure) from None")
        return self.finish("def encode(m):")

    def packed(self, extra: tuple[tuple[str, str], ...] = ()) -> str:
        """The expression for the pending values and some more, in one call."""
        items = [*self.pending, *extra]
        fmt = "".join(char for char, _ in items)
        values = ", ".join(value for _, value in items if value)
        return f"{self.packer(fmt, 'pack')}({values})"

    def flush(self) -> None:
        if self.pending:
            self.wrote = True
            self.emit(f"{self.sink}({self.packed()})")
            self.pending.clear()

    def struct(self, cls: type[AnyStruct], value: str, depth: int) -> None:
        for field in layout(cls):
            if self.version not in field.versions:
                if not field.ignorable:
                    self.emit(f"if {not_default(field, f'{value}.{field.attr}')}:")
                    self.emit("    raise Misfit")
            elif self.version not in field.tagged:
                compact = field_is_flexible(field, self.flexible, self.version)
                self.field(field, f"{value}.{field.attr}", depth, compact)
        if self.flexible:
            self.tags(cls, value, depth)
        elif has_tagged_fields(cls):
            self.emit(f"if {value}.unknown_tagged_fields:")
            self.emit("    raise Misfit")

    def field(self, field: Field, value: str, depth: int, compact: bool) -> None:
        nullable = self.version in field.nullable
        if field.is_array or field.kind in ("string", "bytes", "records"):
            self.sized(field, value, depth, compact, nullable)
        elif field.struct is not None:
            self.flush()
            self.emit(f"x_{depth} = {value}")
            if nullable:
                self.nullable_struct(field.struct, depth, 'b"\\xff"', 'b"\\x01"')
            else:
                self.struct(field.struct, f"x_{depth}", depth + 1)
                self.flush()
        elif field.kind == "uuid":
            self.emit(f"if len({value}) != 16:")
            self.emit("    raise Misfit")
            self.pending.append(("16s", value))
        else:
            self.pending.append((FIXED[field.kind], value))

    def nullable_struct(self, cls: type[AnyStruct], depth: int, absent: str, present: str) -> None:
        self.wrote = True
        self.emit(f"if x_{depth} is None:")
        self.emit(f"    {self.sink}({absent})")
        self.emit("else:")
        self.indent += 1
        self.emit(f"{self.sink}({present})")
        self.struct(cls, f"x_{depth}", depth + 1)
        self.flush()
        self.indent -= 1

    def sized(self, field: Field, value: str, depth: int, compact: bool, nullable: bool) -> None:
        """A value after its length (in compact form the length plus one; null is 0, else -1)."""
        name = f"x_{depth}"
        if field.is_array and field.kind in FIXED and field.kind != "uuid" and not nullable:
            self.numbers(FIXED[field.kind], name, value, compact)
            return
        encoding = field.kind == "string" and not field.is_array
        plus = " + 1" if compact else ""
        if nullable:
            self.emit(f"{name} = {value}")
            self.emit(f"if {name} is None:")
            self.emit(f"    n = {0 if compact else -1}")
            self.emit(f"    {name} = {'()' if field.is_array else 'b' + chr(34) * 2}")
            self.emit("else:")
            if encoding:
                self.emit(f"    {name} = {name}.encode()")
            self.emit(f"    n = len({name}){plus}")
        else:
            self.emit(f"{name} = {value}" + (".encode()" if encoding else ""))
            self.emit(f"n = len({name}){plus}")
        self.length(compact, encoding, often_long=not field.is_array and not encoding)
        if field.is_array:
            self.elements(field, name, depth, compact)
        else:
            self.emit(f"{self.sink}({name})")

    def numbers(self, char: str, name: str, value: str, compact: bool) -> None:
        """An array of numbers: in one call with what was pending and the length."""
        self.wrote = True
        self.emit(f"{name} = {value}")
        self.emit(f"n = len({name})")
        before = "".join(char for char, _ in self.pending)
        values = "".join(f"{value}, " for _, value in self.pending if value)
        whole = self.arrays(before + ("B" if compact else "i"), char, "", "pack")
        none = self.packed(((("B", "1") if compact else ("i", "0")),))
        self.emit("if not n:")
        self.emit(f"    {self.sink}({none})")
        if not compact:
            self.emit("else:")
            self.emit(f"    {self.sink}({whole}[n]({values}n, *{name}))")
        else:
            self.emit("elif n < 127:")
            self.emit(f"    {self.sink}({whole}[n]({values}n + 1, *{name}))")
            self.emit("else:")
            if self.pending:
                self.emit(f"    {self.sink}({self.packed()})")
            self.emit(f"    {self.sink}(varint(n + 1))")
            self.emit(f"    {self.sink}({self.arrays('', char, '', 'pack')}[n](*{name}))")
        self.pending.clear()

    def length(self, compact: bool, string: bool, *, often_long: bool) -> None:
        self.wrote = True
        if not compact:
            self.pending.append(("h" if string else "i", "n"))
            self.flush()
            return
        self.emit("if n < 128:")
        self.emit(f"    {self.sink}({self.packed((('B', 'n'),))})")
        if often_long:  # more often than not two bytes: no call for those
            self.emit("elif n < 16384:")
            two = (("B", "n & 127 | 128"), ("B", "n >> 7"))
            self.emit(f"    {self.sink}({self.packed(two)})")
        self.emit("else:")
        if self.pending:
            self.emit(f"    {self.sink}({self.packed()})")
        self.emit(f"    {self.sink}({'string_varint' if string else 'varint'}(n))")
        self.pending.clear()

    def elements(self, field: Field, name: str, depth: int, compact: bool) -> None:
        if field.struct is not None:
            if depth and self.parts == _OUT:
                self.emit(f"if n > {int(compact)}:")
                self.indent += 1
                self.repeated_structs(field.struct, name, depth)
                self.indent -= 1
            else:
                self.structs(field.struct, name, depth)
        elif field.kind == "string":
            self.emit(f"for e_{depth} in {name}:")
            self.indent += 1
            self.sized(field._replace(is_array=False), f"e_{depth}", depth + 1, compact, nullable=False)
            self.indent -= 1
        elif field.kind == "uuid":
            self.emit(f"if {name}:")
            self.emit(f"    if set(map(len, {name})) != {{16}}:")
            self.emit("        raise Misfit")
            self.emit(f'    {self.sink}(b"".join({name}))')
        else:
            self.emit(f"if {name}:")
            self.emit(f"    {self.sink}({self.arrays('', FIXED[field.kind], '', 'pack')}[len({name})](*{name}))")

    def repeated_structs(self, cls: type[AnyStruct], name: str, depth: int) -> None:
        """An array inside of array elements: when it is the very list that the element before had, its bytes are too.

        Answers that tell the same of many things share a list, such as the configs of new topics.
        """
        last = f"last_{len(self.repeated)}"
        self.repeated.append(last)
        self.emit(f"if {name} is {last}:")
        self.emit(f"    {self.sink}({last}_bytes := {last}_bytes or b''.join({_OUT}[{last}_from:{last}_to]))")
        self.emit("else:")
        self.indent += 1
        self.emit(f"{last}_from = len({_OUT})")
        self.structs(cls, name, depth)
        self.emit(f"{last}, {last}_to, {last}_bytes = {name}, len({_OUT}), b''")
        self.indent -= 1

    def structs(self, cls: type[AnyStruct], name: str, depth: int) -> None:
        elements = name
        if _run_source.suits(cls, self.version):
            written = f"{self.runs('WriteRuns', cls)}({name}, {self.parts})"
            elements += f" if len({name}) < {RUN_MIN} else {written}"
        self.emit(f"for e_{depth} in {elements}:")
        self.indent += 1
        self.struct(cls, f"e_{depth}", depth + 1)
        self.flush()
        self.indent -= 1

    def tags(self, cls: type[AnyStruct], value: str, depth: int) -> None:
        """The block of tagged fields: those that are not default, and the unknown ones that were kept."""
        alone, self.wrote = depth == 0 and not self.wrote, True
        known = tagged(cls, self.version)
        unknown = f"{value}.unknown_tagged_fields"
        conditions = [not_default(field, f"{value}.{field.attr}") for field in known]
        self.emit(f"if {' or '.join([*conditions, unknown])}:")
        self.indent += 1
        if alone:
            self.lines.remove(_PARTS)
            self.emit(_PARTS.strip())
        before = list(self.pending)
        self.flush()
        if known:
            self.emit(f"t_{depth} = []")
            for field in known:
                self.tagged_field(field, value, depth)
        self.emit(f"{self.sink}(write_tags({f't_{depth}' if known else '()'}, {unknown}))")
        self.indent -= 1
        self.emit("else:")
        self.pending = [*before, ("x", "")]
        made = self.packed() if before else 'b"\\x00"'
        self.emit(f"    return {made}" if alone else f"    {self.sink}({made})")
        self.pending.clear()

    def tagged_field(self, field: Field, value: str, depth: int) -> None:
        self.emit(f"y_{depth} = {value}.{field.attr}")
        self.emit(f"if {not_default(field, f'y_{depth}')}:")
        self.indent += 1
        if field.kind == "uuid" and not field.is_array:
            self.emit(f"if len(y_{depth}) != 16:")
            self.emit("    raise Misfit")
        if field.kind in FIXED and not field.is_array:
            char = FIXED[field.kind]
            pack = self.packer(f"BB{char}", "pack")
            self.emit(f"t_{depth}.append({pack}({field.tag}, {struct.calcsize('>' + char)}, y_{depth}))")
        elif field.kind in FIXED and field.kind != "uuid" and field.is_array and field.default is None:
            char = FIXED[field.kind]
            numbers = f'framed_numbers({field.tag}, y_{depth}, "{char}", {ITEM_SIZE[char]})'
            self.emit(f"t_{depth}.append({numbers})")
        elif field.struct is not None and not field.is_array and self.plain(field.struct):
            self.tagged_plain(field, field.struct, depth)
        else:
            self.tagged_parts(field, depth)
        self.indent -= 1

    def plain(self, cls: type[AnyStruct]) -> bool:
        """Whether a struct is nothing but numbers, and its size takes one byte."""
        return (
            layout(cls) == tuple(untagged(cls, self.version))
            and all(field.kind in FIXED and field.kind != "uuid" and not field.is_array for field in layout(cls))
            and size_min(cls, self.version, self.flexible) < 128
        )

    def tagged_plain(self, field: Field, cls: type[AnyStruct], depth: int) -> None:
        """A tagged struct of numbers: in one call when it has no unknown fields."""
        fmt = "".join(FIXED[inner.kind] for inner in layout(cls)) + "x"
        values = ", ".join(f"y_{depth}.{inner.attr}" for inner in layout(cls))
        self.emit(f"if y_{depth}.unknown_tagged_fields:")
        self.indent += 1
        self.tagged_parts(field, depth)
        self.indent -= 1
        self.emit("else:")
        pack = self.packer(f"BB{fmt}", "pack")
        self.emit(f"    t_{depth}.append({pack}({field.tag}, {struct.calcsize('>' + fmt)}, {values}))")

    def tagged_parts(self, field: Field, depth: int) -> None:
        """A tagged field whose content is written as any other, and then framed."""
        outer = self.parts, self.sink
        self.parts, self.sink = f"out_{depth}_{field.tag}", f"w_{depth}_{field.tag}"
        self.emit(f"{self.parts} = []")
        self.emit(f"{self.sink} = {self.parts}.append")
        if field.struct is not None and not field.is_array and self.version in field.nullable:
            self.emit(f"x_{depth} = y_{depth}")
            self.nullable_struct(field.struct, depth, 'b"\\x00"', 'b"\\x01"')
        else:
            self.field(field, f"y_{depth}", depth, compact=True)
            self.flush()
        self.emit(f't_{depth}.append(framed({field.tag}, b"".join({self.parts})))')
        self.parts, self.sink = outer
