"""Makes the straight-line code that reads or writes one version of a message, from the layout of its classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pykraft.protocol import _run_source, _source, _wire
from pykraft.protocol._codecs import READ_FAILURES, WRITE_FAILURES, unread, unwritten
from pykraft.protocol._layout import is_flexible, layout
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol._reader_source import Reader
from pykraft.protocol._runs import ReadRuns, WriteRuns
from pykraft.protocol._writer_source import Writer

_GIVEN: Final = {
    **_wire.NAMES, "Arrays": _wire.arrays, "ReadRuns": ReadRuns, "WriteRuns": WriteRuns,
    "READ_FAILURES": READ_FAILURES, "WRITE_FAILURES": WRITE_FAILURES, "unread": unread, "unwritten": unwritten,
}  # fmt: skip


def build(source: str, cls: type[Message], name: str) -> Any:
    """Run the source of a reader or writer; gives the function of that name."""
    return _source.run(source, cls, name, _GIVEN)


def decoder_source(cls: type[Message], version: int) -> str:
    """The source of `decode(data, start) -> message` for one version, which takes all of the data.

    It reads slices without looking at the end of the data: a position behind the end means truncated data.
    """
    return Reader(version, is_flexible(cls, version)).decoder(cls)


def reader_source(cls: type[Message], version: int) -> str:
    """The source of `read(data, p) -> message, position after it`: a decoder for messages that more may follow."""
    return Reader(version, is_flexible(cls, version)).reader(cls)


def encoder_source(cls: type[Message], version: int) -> str:
    """The source of `encode(message) -> bytes` for one version."""
    return Writer(version, is_flexible(cls, version)).source(cls)


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
