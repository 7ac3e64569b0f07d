"""The frame of a metadata record: frame version 1, API key, version, body (`AbstractApiMessageSerde.java`)."""

from __future__ import annotations

from typing import Final, NamedTuple

from pykraft.protocol import _codecs
from pykraft.protocol._message import Message
from pykraft.protocol._wire import read_varint, varint
from pykraft.protocol.api import record_class
from pykraft.protocol.errors import DecodeError

FRAME_VERSION: Final = 1


class ApiMessageAndVersion(NamedTuple):
    """A metadata record and the version it is written in."""

    message: Message
    version: int


def encode_record(message: Message, version: int) -> bytes:
    """A record as it stands in a batch; EncodeError or UnsupportedVersionError."""
    return varint(FRAME_VERSION) + varint(message.API_KEY) + varint(version) + message.encode(version)


def decode_record(data: bytes | bytearray | memoryview) -> ApiMessageAndVersion:
    """Read a record of a batch.

    DecodeError for bytes that are no record; UnsupportedVersionError for a record type or version not known here.
    """
    raw = bytes(data)
    p = 0
    found = []
    for what in ("frameVersion", "apiKey", "version"):
        at = p
        try:
            value, p = read_varint(raw, p)
        except (_codecs.Misfit, IndexError):
            raise DecodeError(what, at, "not an unsigned varint") from None
        if what == "frameVersion" and value != FRAME_VERSION:
            raise DecodeError(what, at, f"frame version {value}, expected {FRAME_VERSION}")
        found.append(value)
    _, key, version = found
    return ApiMessageAndVersion(_codecs.decode(record_class(key), raw, version, p), version)
