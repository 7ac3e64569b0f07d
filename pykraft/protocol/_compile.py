"""Makes the straight-line code that reads or writes one version of a message, from the layout of its classes."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pykraft.protocol import _run_source, _source, _wire
from pykraft.protocol._codecs import READ_FAILURES, WRITE_FAILURES, unread, unwritten
from pykraft.protocol._layout import (
    FIXED,
    Field,
    field_is_flexible,
    has_tagged_fields,
    is_flexible,
    layout,
    size_min,
    tagged,
    untagged,
)
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol._runs import RUN_MIN, ReadRuns, WriteRuns
from pykraft.protocol._source import default_source, not_default

# How many elements are taken one by one before runs are looked for again.
BETWEEN_RUNS: Final = 16
_ITEM_SIZE = {char: struct.calcsize(">" + char) for char in FIXED.values()}
_GIVEN: Final = {
    **_wire.NAMES, "ARRAYS": _wire.ARRAYS, "ReadRuns": ReadRuns, "WriteRuns": WriteRuns,
    "READ_FAILURES": READ_FAILURES, "WRITE_FAILURES": WRITE_FAILURES, "unread": unread, "unwritten": unwritten,
}  # fmt: skip


def build(source: str, cls: type[Message], name: str) -> Any:
    """Run the source of a reader or writer; gives the function of that name."""
    return _source.run(source, cls, name, _GIVEN)


def decoder_source(cls: type[Message], version: int) -> str:
    """The source of `decode(data, start) -> message` for one version, which takes all of the data.

    It reads slices without looking at the end of the data: a position behind the end means truncated data.
    """
    return _Reader(version, is_flexible(cls, version)).decoder(cls)


def reader_source(cls: type[Message], version: int) -> str:
    """The source of `read(data, p) -> message, position after it`: a decoder for messages that more may follow."""
    return _Reader(version, is_flexible(cls, version)).reader(cls)


def encoder_source(cls: type[Message], version: int) -> str:
    """The source of `encode(message) -> bytes` for one version."""
    return _Writer(version, is_flexible(cls, version)).source(cls)


def run_examples(cls: type[Message], version: int) -> Iterator[str]:
    """The source of the readers and writers of runs in arrays of a message, for elements of one shape."""
    flexible = is_flexible(cls, version)
    for struct_class in dict.fromkeys(_in_runs(cls, version)):
        shape = _run_source.example(struct_class, version)
        for source in (_run_source.reader, _run_source.writer):
            title = f"# {struct_class.__name__}: elements with the lengths {shape} in them\n"
            yield title + source(struct_class, version, flexible, shape)


def _in_runs(cls: type[AnyStruct], version: int) -> Iterator[type[AnyStruct]]:
    for field in layout(cls):
        if field.struct is not None and version in field.versions:
            if field.is_array and _run_source.suits(field.struct, version):
                yield field.struct
            yield from _in_runs(field.struct, version)


class _Emitter:
    """Lines of code, and the packers they use, which are made once, before the function."""

    def __init__(self, version: int, flexible: bool) -> None:
        self.version = version
        self.flexible = flexible
        self.lines: list[str] = []
        self.indent = 1
        self.packers: dict[str, str] = {}

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    def packer(self, fmt: str, method: str) -> str:
        made = f'Packer(">{fmt}").{method}'
        return self.packers.setdefault(made, f"s{len(self.packers)}")

    def array(self, char: str) -> str:
        return self.packers.setdefault(f'ARRAYS["{char}"]', f"{_ARRAY_NAMES[char]}s")

    def runs(self, kind: str, cls: type[AnyStruct]) -> str:
        made = f"{kind}({cls.__name__}, {self.version}, {self.flexible}).{kind.removesuffix('Runs').lower()}"
        return self.packers.setdefault(made, f"runs{len(self.packers)}")

    def finish(self, head: str) -> str:
        consts = [f"{name} = {made}" for made, name in self.packers.items()]
        return "\n".join([*consts, "", "", head, *self.lines, ""])


_ARRAY_NAMES = {char: name for name, char in FIXED.items()}


class _Optional(NamedTuple):
    """An array of structs that may be null, with the place behind its length among the pending values."""

    field: Field
    target: str
    depth: int
    behind: int


_END: Final = re.compile(r"\bend\b")


class _Reader(_Emitter):
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
            self.emit(f"{target} = [*{self.array(char)}[n].unpack_from(data, p)]")
            self.emit("p += n" if _ITEM_SIZE[char] == 1 else f"p += n * {_ITEM_SIZE[char]}")

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
            self.emit(f"while left_{depth} > 0:")
            self.indent += 1
            self.emit(f"if left_{depth} >= {RUN_MIN}:")
            runs = self.runs("ReadRuns", cls)
            self.emit(f"    left_{depth}, p = {runs}(data, p, left_{depth}, {target})")
            self.emit(f"    if not left_{depth}:")
            self.emit("        break")
            self.emit(f"for _ in range(left_{depth} if left_{depth} < {BETWEEN_RUNS} else {BETWEEN_RUNS}):")
        else:
            self.emit("for _ in range(n):")
        self.indent += 1
        made = self.struct(cls, depth + 1)
        self.flush()
        self.emit(f"add_{depth}({made})")
        self.indent -= 1
        if in_runs:
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


_OUT: Final = "out"
_PARTS: Final = f"        w = ({_OUT} := []).append"


class _Writer(_Emitter):
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
        self.length(compact, encoding)
        if field.is_array:
            self.elements(field, name, depth, compact)
        else:
            self.emit(f"{self.sink}({name})")

    def length(self, compact: bool, string: bool) -> None:
        self.wrote = True
        if not compact:
            self.pending.append(("h" if string else "i", "n"))
            self.flush()
            return
        self.emit("if n < 128:")
        self.emit(f"    {self.sink}({self.packed((('B', 'n'),))})")
        self.emit("else:")
        if self.pending:
            self.emit(f"    {self.sink}({self.packed()})")
        self.emit(f"    {self.sink}({'string_varint' if string else 'varint'}(n))")
        self.pending.clear()

    def elements(self, field: Field, name: str, depth: int, compact: bool) -> None:
        if field.struct is not None:
            if depth and self.parts == _OUT:
                self.repeated_structs(field.struct, name, depth)
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
            self.emit(f"    {self.sink}({self.array(FIXED[field.kind])}[len({name})].pack(*{name}))")

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
        in_runs = _run_source.suits(cls, self.version)
        if in_runs:
            self.emit(f"i_{depth} = 0")
            self.emit(f"while i_{depth} < len({name}):")
            self.indent += 1
            self.emit(f"if len({name}) - i_{depth} >= {RUN_MIN}:")
            self.emit(f"    i_{depth} = {self.runs('WriteRuns', cls)}({name}, i_{depth}, {self.parts})")
            self.emit(f"for e_{depth} in {name}[i_{depth}:i_{depth} + {BETWEEN_RUNS}]:")
        else:
            self.emit(f"for e_{depth} in {name}:")
        self.indent += 1
        self.struct(cls, f"e_{depth}", depth + 1)
        self.flush()
        self.indent -= 1
        if in_runs:
            self.emit(f"i_{depth} += {BETWEEN_RUNS}")
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
            numbers = f'framed_numbers({field.tag}, y_{depth}, "{char}", {_ITEM_SIZE[char]})'
            self.emit(f"t_{depth}.append({numbers})")
        else:
            self.tagged_parts(field, depth)
        self.indent -= 1

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
