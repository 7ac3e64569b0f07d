"""Runs the compiled readers and writers, and asks the careful ones what was wrong when they give up."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pykraft.protocol.errors import DecodeError, EncodeError, UnsupportedVersionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pykraft.protocol._message import Message

M = TypeVar("M", bound="Message")


class Misfit(Exception):  # noqa: N818 - never leaves this package: it asks for the careful pass
    """A compiled reader or writer met something it does not take; the careful pass says what and where."""


# What the straight-line code raises on bytes or values that do not fit.
READ_FAILURES: Final = (Misfit, IndexError, struct.error, UnicodeDecodeError)
WRITE_FAILURES: Final = (Misfit, AttributeError, TypeError, ValueError, OverflowError, struct.error)

# By version, then by class: two look-ups of a plain key are faster than one of a tuple.
readers: Final[dict[int, dict[type[Any], Callable[[bytes, int], tuple[Any, int]]]]] = {}
writers: Final[dict[int, dict[type[Any], Callable[[Any], bytes]]]] = {}


def decode(cls: type[M], data: bytes | bytearray | memoryview, version: int, start: int = 0) -> M:
    """Read a message that takes all of the data from `start` on."""
    if type(data) is not bytes:
        data = bytes(data)
    message, p = decode_prefix(cls, data, version, start)
    if p != len(data):
        raise DecodeError(cls.__name__, p, f"{len(data) - p} bytes are left over")
    return message


def decode_prefix(cls: type[M], data: bytes, version: int, start: int = 0) -> tuple[M, int]:
    """Read a message that more may follow; gives also the position after it."""
    reader = readers.get(version, {}).get(cls) or _reader(cls, version)
    try:
        message, p = reader(data, start)
        if p > len(data):
            raise Misfit
    except READ_FAILURES as failure:
        from pykraft.protocol import _careful  # only needed once something is wrong

        _careful.decode_prefix(cls, data, version, start)
        raise DecodeError(cls.__name__, start, f"version {version} cannot be read: {failure!r}") from failure
    return message, p


def encode(message: Message, version: int) -> bytes:
    """Write a message."""
    writer = writers.get(version, {}).get(type(message)) or _writer(type(message), version)
    try:
        return writer(message)
    except WRITE_FAILURES as failure:
        from pykraft.protocol import _careful  # only needed once something is wrong

        _careful.encode(message, version)
        raise EncodeError(type(message).__name__, f"version {version} cannot be written: {failure!r}") from failure


def check_version(cls: type[Message], version: int) -> None:
    """UnsupportedVersionError unless the class has this version."""
    if not cls.MIN_VERSION <= version <= cls.MAX_VERSION:
        raise UnsupportedVersionError(
            f"{cls.__name__} has versions {cls.MIN_VERSION} to {cls.MAX_VERSION}, not {version}"
        )


def _reader(cls: type[M], version: int) -> Callable[[bytes, int], tuple[M, int]]:
    from pykraft.protocol import _compile  # start-up does not need the compiler

    check_version(cls, version)
    reader: Callable[[bytes, int], tuple[M, int]] = _compile.build(_compile.reader_source(cls, version), cls, "decode")
    readers.setdefault(version, {})[cls] = reader
    return reader


def _writer(cls: type[M], version: int) -> Callable[[M], bytes]:
    from pykraft.protocol import _compile  # start-up does not need the compiler

    check_version(cls, version)
    writer: Callable[[M], bytes] = _compile.build(_compile.writer_source(cls, version), cls, "encode")
    writers.setdefault(version, {})[cls] = writer
    return writer
