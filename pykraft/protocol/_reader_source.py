"""The source of the straight-line code that reads one version of a message."""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

from pykraft.protocol import _run_source
from pykraft.protocol._emitter import ITEM_SIZE, Emitter
from pykraft.protocol._layout import FIXED, Field, field_is_flexible, layout, size_min, tagged, untagged
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol._runs import BETWEEN_RUNS, RUN_MIN
from pykraft.protocol._source import default_source


class _Optional(NamedTuple):
    """An array of structs that may be null, with the place behind its length among the pending values."""

    field: Field
    target: str
    depth: int
    behind: int


_END: Final = re.compile(r"\bend\b")


class Reader(Emitter):
    """Emits a reader. `p` is the position, `n` a length as read; fixed-width values wait in `pending` until
    something of unknown length comes, and are then read in one call."""

    def __init__(self, version: int, flexible: bool) -> None:
        super().__init__(version, flexible)
        self.pending: list[tuple[str, str]] = []
        # An array in `pending` that may be null and is then followed by what comes behind it there.
        self.optional: _Optional | None = None

    def decoder(self, cls: type[Message]) -> str:
        self.all_fixed(cls)
        self.emit("if type(data) is not bytes:")
        self.emit("    data = bytes(data)")
        self.emit("end = len(data)")
        self.emit("p = start")
        self.emit("try:")
        self.indent = 2
        made = self.struct(cls, 0)
        self.flush()
        self.emit("if p == end:")
        self.emit(f"    return {made}")
        self.emit("raise Misfit")
        self.indent = 1
        self.emit("except READ_FAILURES as failure:")
        self.emit(f"    raise unread({cls.__name__}, data, {self.version}, start, failure) from None")
        return self.finish("def decode(data, start=0):")

    def all_fixed(self, cls: type[Message]) -> None:
        """The short way of a message that always takes the same bytes when it has no tagged fields."""
        fields = untagged(cls, self.version)
        if any(field.is_array or field.kind not in FIXED for field in fields) or fields != [
            *layout(cls)[: len(fields)]
        ]:
            return
        fmt = "".join(FIXED[field.kind] for field in fields) + "x" * self.flexible
        no_tags = f" and not data[{struct.calcsize('>' + fmt) - 1}]" if self.flexible else ""
        self.emit("try:")
        self.emit(f"    if not start{no_tags}:")
        self.emit(f"        return {cls.__name__}(*{self.packer(fmt, 'unpack')}(data))")
        self.emit("except Exception:")
        self.emit("    pass")

    def reader(self, cls: type[Message]) -> str:
        made = self.struct(cls, 0)
        self.flush()
        self.emit(f"return {made}, p")
        if any(_END.search(line) for line in self.lines):
            self.lines.insert(0, "    end = len(data)")
        return self.finish("def read(data, p):")

    def flush(self) -> None:
        if not self.pending:
            return
        fmt = "".join(char for char, _ in self.pending)
        targets = ", ".join(target for _, target in self.pending)
        if fmt == "B":
            self.emit(f"{targets} = data[p]")
        elif len(self.pending) == 1:
            self.emit(f"{targets}, = {self.packer(fmt, 'unpack_from')}(data, p)")
        else:
            self.emit(f"{targets} = {self.packer(fmt, 'unpack_from')}(data, p)")
        pending, optional = self.pending, self.optional
        self.pending, self.optional = [], None
        if optional is not None:
            self.read_optional(optional, pending)
            self.emit("else:")
            self.emit(f"    {optional.target} = None")
        self.emit("    " * (optional is not None) + f"p += {struct.calcsize('>' + fmt)}")

    def read_optional(self, optional: _Optional, pending: list[tuple[str, str]]) -> None:
        """What was read behind the array holds when the array is null, as it mostly is; else it is read again."""
        before = "".join(char for char, _ in pending[: optional.behind])
        length = pending[optional.behind - 1][1]
        self.emit(f"if {length}:")
        self.indent += 1
        self.emit(f"p += {struct.calcsize('>' + before)}")
        self.emit(f"n = {length}")
        self.emit("if n > 127:")
        self.emit("    n, p = long_varint(data, p, n)")
        self.emit("if n:")
        self.indent += 1
        self.content(optional.field, optional.target, optional.depth, "n - 1")
        self.indent -= 1
        self.emit("else:")
        self.emit(f"    {optional.target} = None")
        self.pending = pending[optional.behind :]
        self.flush()
        self.indent -= 1

    def take(self, char: str, target: str) -> None:
        self.pending.append((char, target))

    def struct(self, cls: type[AnyStruct], depth: int) -> str:
        """Emit the reading of a struct; gives the expression that makes it."""
        present = untagged(cls, self.version)
        for field in present:
            self.field(field, depth, compact=field_is_flexible(field, self.flexible, self.version))
        known = tagged(cls, self.version) if self.flexible else []
        if self.flexible:
            self.tags(known, depth)
        read = {field.attr for field in (*present, *known)}
        arguments = [f"{field.attr}_{depth}" if field.attr in read else default_source(field) for field in layout(cls)]
        if self.flexible:
            arguments.append(f"tags_{depth}")
        else:
            while arguments and layout(cls)[len(arguments) - 1].attr not in read:
                arguments.pop()
        return f"{cls.__name__}({', '.join(arguments)})"

    def field(self, field: Field, depth: int, *, compact: bool) -> None:
        target = f"{field.attr}_{depth}"
        nullable = self.version in field.nullable
        if field.is_array:
            self.sized(field, target, depth, compact, nullable)
        elif field.struct is not None:
            if nullable:
                self.take("b", "n")
                self.flush()
                self.nullable_struct("n < 0", field.struct, target, depth)
            else:
                made = self.struct(field.struct, depth + 1)
                self.flush()
                self.emit(f"{target} = {made}")
        elif field.kind in FIXED:
            self.take(FIXED[field.kind], target)
        else:
            self.sized(field, target, depth, compact, nullable)

    def nullable_struct(self, is_null: str, cls: type[AnyStruct], target: str, depth: int) -> None:
        self.emit(f"if {is_null}:")
        self.emit(f"    {target} = None")
        self.emit("else:")
        self.indent += 1
        made = self.struct(cls, depth + 1)
        self.flush()
        self.emit(f"{target} = {made}")
        self.indent -= 1

    def sized(self, field: Field, target: str, depth: int, compact: bool, nullable: bool) -> None:
        """A value after a length: n is the length, or in compact form the length plus one."""
        string = field.kind == "string" and not field.is_array
        if field.is_array and field.struct is not None and nullable and compact and self.optional is None:
            self.take("B", f"n_{depth}")
            self.optional = _Optional(field, target, depth, len(self.pending))
            return
        self.take("B" if compact else "h" if string else "i", "n")
        self.flush()
        if compact:
            self.emit("if n > 127:")
            if field.is_array or string:
                self.emit(f"    n, p = {'long_string' if string else 'long_varint'}(data, p, n)")
            else:
                self.two_bytes()
        if nullable:
            self.emit("if n:" if compact else "if n >= 0:")
            self.indent += 1
            self.content(field, target, depth, "n - 1" if compact else "n")
            self.indent -= 1
            if not compact:
                self.emit("elif n != -1:")
                self.emit("    raise Misfit")
            self.emit("else:")
            self.emit(f"    {target} = None")
        else:
            self.emit("if not n:" if compact else "if n < 0:")
            self.emit("    raise Misfit")
            self.content(field, target, depth, "n - 1" if compact else "n")

    def two_bytes(self) -> None:
        """The length of content, which has more often than not two bytes: no call for those."""
        self.emit("    q = data[p]")
        self.emit("    if q < 128:")
        self.emit("        n += (q << 7) - 128")
        self.emit("        p += 1")
        self.emit("    else:")
        self.emit("        n, p = long_varint(data, p, n)")

    def content(self, field: Field, target: str, depth: int, length: str) -> None:
        if not field.is_array:
            self.emit(f"q = p + {length}")
            self.emit(f"{target} = data[p:q]" + (".decode()" if field.kind == "string" else ""))
            self.emit("p = q")
        elif field.struct is not None:
            self.struct_array(field, field.struct, target, depth, length)
        elif field.kind == "string":
            self.string_array(field, target, depth, length)
        elif field.kind == "uuid":
            self.emit(f"q = p + ({length}) * 16")
            self.emit("if q > end:")
            self.emit("    raise Misfit")
            self.emit(f"{target} = [data[i:i + 16] for i in range(p, q, 16)]")
            self.emit("p = q")
        else:
            char = FIXED[field.kind]
            self.emit(f"n = {length}") if length != "n" else None
            self.emit("if n:")
            self.emit(f"    {target} = [*{self.arrays('', char, '', 'unpack_from')}[n](data, p)]")
            self.emit("    p += n" if ITEM_SIZE[char] == 1 else f"    p += n * {ITEM_SIZE[char]}")
            self.emit("else:")
            self.emit(f"    {target} = []")

    def struct_array(self, field: Field, cls: type[AnyStruct], target: str, depth: int, length: str) -> None:
        smallest = max(1, size_min(cls, self.version, self.flexible))
        self.emit(f"n = {length}") if length != "n" else None
        self.emit(f"if n * {smallest} > end - p:")
        self.emit("    raise Misfit")
        self.emit(f"{target} = []")
        self.emit(f"add_{depth} = {target}.append")
        in_runs = _run_source.suits(cls, self.version)
        if in_runs:
            self.emit(f"left_{depth} = n")
            self.emit("while True:")
            self.indent += 1
            self.emit(f"if left_{depth} >= {RUN_MIN}:")
            runs = self.runs("ReadRuns", cls)
            self.emit(f"    left_{depth}, p = {runs}(data, p, left_{depth}, {target})")
            self.emit(f"for _ in range(left_{depth} if left_{depth} < {BETWEEN_RUNS} else {BETWEEN_RUNS}):")
        else:
            self.emit("for _ in range(n):")
        self.indent += 1
        made = self.struct(cls, depth + 1)
        self.flush()
        self.emit(f"add_{depth}({made})")
        self.indent -= 1
        if in_runs:
            self.emit(f"if left_{depth} <= {BETWEEN_RUNS}:")
            self.emit("    break")
            self.emit(f"left_{depth} -= {BETWEEN_RUNS}")
            self.indent -= 1

    def string_array(self, field: Field, target: str, depth: int, length: str) -> None:
        compact = field_is_flexible(field, self.flexible, self.version)
        self.emit(f"n = {length}") if length != "n" else None
        self.emit(f"if n * {1 if compact else 2} > end - p:")
        self.emit("    raise Misfit")
        self.emit(f"{target} = []")
        self.emit("for _ in range(n):")
        self.indent += 1
        one = field._replace(is_array=False)
        self.sized(one, f"item_{depth}", depth, compact, nullable=False)
        self.emit(f"{target}.append(item_{depth})")
        self.indent -= 1

    def tags(self, known: list[Field], depth: int) -> None:
        """The block of tagged fields; almost always empty."""
        self.take("B", "n")
        self.flush()
        if not known:
            self.emit("if n:")
            self.emit(f"    tags_{depth}, p = read_tags(data, p, n, end)")
            self.emit("else:")
            self.emit(f"    tags_{depth} = ()")
            return
        for field in known:
            self.emit(f"{field.attr}_{depth} = {default_source(field)}")
        self.emit(f"tags_{depth} = ()")
        self.emit("if n:")
        self.indent += 1
        self.emit("if n > 127:")
        self.emit("    n, p = long_varint(data, p, n)")
        self.emit(f"last_{depth} = -1")
        self.emit("for _ in range(n):")
        self.indent += 1
        self.emit(f"tag_{depth} = data[p]")
        self.emit("n = data[p + 1]")
        self.emit("p += 2")
        self.emit(f"if tag_{depth} > 127 or n > 127:")
        self.emit(f"    tag_{depth}, p = read_varint(data, p - 2)")
        self.emit("    n, p = read_varint(data, p)")
        self.emit(f"stop_{depth} = p + n")
        self.emit(f"if tag_{depth} <= last_{depth} or stop_{depth} > end:")
        self.emit("    raise Misfit")
        self.emit(f"last_{depth} = tag_{depth}")
        word = "if"
        for field in known:
            self.emit(f"{word} tag_{depth} == {field.tag}:")
            self.indent += 1
            self.tagged_field(field, depth)
            self.flush()
            self.indent -= 1
            word = "elif"
        self.emit("else:")
        self.emit(f"    tags_{depth} += ((tag_{depth}, data[p:stop_{depth}]),)")
        self.emit(f"    p = stop_{depth}")
        self.emit(f"if p != stop_{depth}:")
        self.emit("    raise Misfit")
        self.indent -= 2

    def tagged_field(self, field: Field, depth: int) -> None:
        if field.struct is not None and not field.is_array and self.version in field.nullable:
            self.emit("n, p = read_varint(data, p)")
            self.nullable_struct("not n", field.struct, f"{field.attr}_{depth}", depth)
        else:
            self.field(field, depth, compact=True)
