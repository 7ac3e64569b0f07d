"""What every generated class is: a msgspec Struct that knows its own layout on the wire."""

from __future__ import annotations

from typing import ClassVar, Final, Self, TypeAlias

import msgspec

from pykraft.protocol import _codecs
from pykraft.protocol._codecs import READ_FAILURES, WRITE_FAILURES, readers, writers

# Tag and content of each tagged field that the schema does not know, in the order of the tags.
UnknownTaggedFields: TypeAlias = tuple[tuple[int, bytes], ...]

# No compiled code yet, or it gave up.
_ANY_DOUBT: Final = (KeyError, *READ_FAILURES, *WRITE_FAILURES)


class Struct(msgspec.Struct, gc=False):
    """A struct of a message. `WIRE` holds its fields in wire order, one a line, in the order of its attributes:
    Kafka's JSON name, type, versions, then what applies of `null=VERSIONS` (may be null), `tag=TAG:VERSIONS`
    (is a tagged field), `ignorable` (left out without complaint of versions that lack it), `flexible=VERSIONS`
    (its own flexible versions). The format is that of the schema files of Kafka's generator.
    """

    WIRE: ClassVar[str] = ""


class Message(Struct):
    """A whole message: a request, a response, a header, a data message or a record.

    `FLEXIBLE_FROM` is the first version with compact lengths and tagged fields, None when there is none.
    """

    API_KEY: ClassVar[int] = -1
    MIN_VERSION: ClassVar[int] = 0
    MAX_VERSION: ClassVar[int] = -1
    FLEXIBLE_FROM: ClassVar[int | None] = None

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview, version: int) -> Self:
        """Read a whole message; DecodeError also for bytes left over, UnsupportedVersionError for the version."""
        # The way that almost all messages go, without the calls of the whole one: they cost what a small message does.
        if type(data) is bytes:
            try:
                message: Self
                message, p = readers[version][cls](data, 0)
                if p == len(data):
                    return message
            except _ANY_DOUBT:
                pass
        return _codecs.decode(cls, data, version)

    @classmethod
    def decode_prefix(cls, data: bytes, version: int, start: int = 0) -> tuple[Self, int]:
        """Read a message at `start` that more may follow, and the position after it; errors as of `decode`."""
        return _codecs.decode_prefix(cls, data, version, start)

    def encode(self, version: int) -> bytes:
        """Write the message; EncodeError when the value does not fit, UnsupportedVersionError for the version."""
        try:
            return writers[version][type(self)](self)
        except _ANY_DOUBT:
            pass
        return _codecs.encode(self, version)
