"""What every generated class is: a msgspec struct that knows its own layout on the wire."""

from __future__ import annotations

from typing import ClassVar, Self, TypeAlias

import msgspec

from pykraft.protocol import _codecs
from pykraft.protocol._codecs import Decoder, Encoder, decoders, encoders

# Tag and content of each tagged field that the schema does not know, in the order of the tags.
UnknownTaggedFields: TypeAlias = tuple[tuple[int, bytes], ...]


class AnyStruct:
    """What all structs of messages have in common. `WIRE` holds their fields in wire order, one a line, in the order
    of the attributes: Kafka's JSON name, type, versions, then what applies of `null=VERSIONS` (may be null),
    `tag=TAG:VERSIONS` (is a tagged field), `ignorable` (left out without complaint of versions that lack it),
    `flexible=VERSIONS` (its own flexible versions). The format is that of the schema files of Kafka's generator.
    """

    __slots__ = ()
    WIRE: ClassVar[str] = ""
    # As msgspec gives it: the names of the attributes.
    __struct_fields__: ClassVar[tuple[str, ...]]


class Struct(AnyStruct, msgspec.Struct, gc=False):
    """A struct of a message."""


class FrozenStruct(AnyStruct, msgspec.Struct, gc=False, frozen=True):
    """A struct of a tagged field. Where the field is absent all messages share one default, so that it cannot be
    changed: another struct takes its place."""


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
        # No calls but that of the compiled code: they cost what a small message does.
        try:
            message: Self = decoders[version][cls](data)
        except KeyError:
            return _codecs.decoder(cls, version)(data)
        return message

    @classmethod
    def decoder(cls, version: int) -> Decoder[Self]:
        """What `decode` does for one version, looked up once to be called often; UnsupportedVersionError."""
        return _codecs.decoder(cls, version)

    @classmethod
    def decode_prefix(cls, data: bytes, version: int, start: int = 0) -> tuple[Self, int]:
        """Read a message at `start` that more may follow, and the position after it; errors as of `decode`."""
        return _codecs.decode_prefix(cls, data, version, start)

    def encode(self, version: int) -> bytes:
        """Write the message; EncodeError when the value does not fit, UnsupportedVersionError for the version."""
        try:
            return encoders[version][type(self)](self)
        except KeyError:
            return _codecs.encoder(type(self), version)(self)

    @classmethod
    def encoder(cls, version: int) -> Encoder[Self]:
        """What `encode` does for messages of this class in one version, looked up once to be called often;
        UnsupportedVersionError."""
        return _codecs.encoder(cls, version)
