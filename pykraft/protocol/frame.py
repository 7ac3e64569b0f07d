"""Request and response frames, without the four bytes of length before them: header, then body."""

from __future__ import annotations

import struct
from typing import Final

from pykraft.protocol._message import Message
from pykraft.protocol.api import request_class, request_header_version, response_class, response_header_version
from pykraft.protocol.errors import DecodeError
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.messages.response_header import ResponseHeaderData

_KEY_AND_VERSION: Final = struct.Struct(">hh")


def decode_request_header(frame: bytes) -> tuple[RequestHeaderData, int, int]:
    """The header of a request, its version, and the position of the body.

    DecodeError for bytes that are no header, UnsupportedVersionError for an API key that is not known; the
    version of the API is not looked at, so that an ApiVersions request of any version can be answered.
    """
    if len(frame) < _KEY_AND_VERSION.size:
        raise DecodeError("requestApiKey", 0, f"needs {_KEY_AND_VERSION.size} bytes, {len(frame)} are left")
    key, version = _KEY_AND_VERSION.unpack_from(frame)
    header_version = request_header_version(key, version)
    header, p = RequestHeaderData.decode_prefix(frame, header_version)
    return header, header_version, p


def decode_request(frame: bytes) -> tuple[RequestHeaderData, int, Message]:
    """A request: header, header version, body. DecodeError (offsets count from the frame's start) or
    UnsupportedVersionError."""
    header, header_version, p = decode_request_header(frame)
    body = request_class(header.request_api_key).decoder(header.request_api_version)(frame, p)
    return header, header_version, body


def encode_request(header: RequestHeaderData, body: Message) -> bytes:
    """The frame of a request of the API and version that its header names."""
    header_version = request_header_version(header.request_api_key, header.request_api_version)
    return header.encode(header_version) + body.encode(header.request_api_version)


def decode_response(frame: bytes, api_key: int, api_version: int) -> tuple[ResponseHeaderData, int, Message]:
    """A response to a request of that API and version: header, header version, body. DecodeError (offsets count
    from the frame's start) or UnsupportedVersionError."""
    header_version = response_header_version(api_key, api_version)
    header, p = ResponseHeaderData.decode_prefix(frame, header_version)
    return header, header_version, response_class(api_key).decoder(api_version)(frame, p)


def encode_response(api_key: int, api_version: int, correlation_id: int, body: Message) -> bytes:
    """The frame of a response to a request of that API and version."""
    header = ResponseHeaderData(correlation_id=correlation_id)
    return header.encode(response_header_version(api_key, api_version)) + body.encode(api_version)
