"""The frame of a metadata record: frame version 1, API key, version, body (`AbstractApiMessageSerde.java`)."""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

from pykraft.protocol._codecs import Decoder, Misfit
from pykraft.protocol._message import Message
from pykraft.protocol._wire import read_varint, varint
from pykraft.protocol.api import record_class
from pykraft.protocol.errors import DecodeError

FRAME_VERSION: Final = 1


class ApiMessageAndVersion(NamedTuple):
    """A metadata record and the version it is written in."""

    message: Message
    version: int


# The decoder and version for the three bytes that almost all records begin with; only what was decoded once is in it.
_known: Final[dict[bytes, tuple[Decoder[Message], int]]] = {}
_KNOWN_BYTES: Final = 3


def encode_record(message: Message, version: int) -> bytes:
    """A record as it stands in a batch; EncodeError or UnsupportedVersionError."""
    body = message.encode(version)
    return _frame(message.API_KEY, version) + body


@functools.cache
def _frame(key: int, version: int) -> bytes:
    return varint(FRAME_VERSION) + varint(key) + varint(version)


def decode_record(data: bytes | bytearray | memoryview) -> ApiMessageAndVersion:
    """Read a record of a batch.

    DecodeError for bytes that are no record; UnsupportedVersionError for a record type or version not known here.
    """
    raw = bytes(data)
    known = _known.get(raw[:_KNOWN_BYTES])
    if known is not None:
        decode, version = known
        return ApiMessageAndVersion(decode(raw, _KNOWN_BYTES), version)
    p = 0
    found = []
    for what in ("frameVersion", "apiKey", "version"):
        at = p
        try:
            value, p = read_varint(raw, p)
        except (Misfit, IndexError):
            raise DecodeError(what, at, "not an unsigned varint") from None
        if what == "frameVersion" and value != FRAME_VERSION:
            raise DecodeError(what, at, f"frame version {value}, expected {FRAME_VERSION}")
        found.append(value)
    _, key, version = found
    decode = record_class(key).decoder(version)
    record = ApiMessageAndVersion(decode(raw, p), version)
    if p == _KNOWN_BYTES:
        _known[raw[:p]] = decode, version
    return record
