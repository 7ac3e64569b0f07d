"""Keeps the compiled decoders and encoders, and says what was wrong when they give up."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from pykraft.protocol.errors import DecodeError, EncodeError, UnsupportedVersionError

if TYPE_CHECKING:
    from pykraft.protocol._message import Message

M = TypeVar("M", bound="Message")
M_co = TypeVar("M_co", bound="Message", covariant=True)
M_contra = TypeVar("M_contra", bound="Message", contravariant=True)


class Decoder(Protocol[M_co]):
    """Reads one version of a message, which takes all of the data from `start` (0 or more) on.

    DecodeError for bytes that are no such message and for bytes left over; its offset counts from the data's start.
    """

    def __call__(self, data: bytes | bytearray | memoryview, start: int = 0, /) -> M_co: ...


class Encoder(Protocol[M_contra]):
    """Writes one version of a message; EncodeError when the value does not fit."""

    def __call__(self, message: M_contra, /) -> bytes: ...


class Misfit(Exception):  # noqa: N818 - never leaves this package: it asks for the careful pass
    """A compiled reader or writer met something it does not take; the careful pass says what and where."""


# What the straight-line code raises on bytes or values that do not fit.
READ_FAILURES: Final = (Misfit, IndexError, struct.error, UnicodeDecodeError)
WRITE_FAILURES: Final = (Misfit, AttributeError, TypeError, ValueError, OverflowError, struct.error)

# By version, then by class: two look-ups of a plain key are faster than one of a tuple.
decoders: Final[dict[int, dict[type[Any], Callable[..., Any]]]] = {}
encoders: Final[dict[int, dict[type[Any], Callable[[Any], bytes]]]] = {}
_readers: Final[dict[int, dict[type[Any], Callable[[bytes, int], tuple[Any, int]]]]] = {}


def decoder(cls: type[M], version: int) -> Decoder[M]:
    """The compiled code that reads a message; UnsupportedVersionError for the version."""
    found: Decoder[M] | None = decoders.get(version, {}).get(cls)
    if found is None:
        from pykraft.protocol import _compile  # start-up does not need the compiler

        check_version(cls, version)
        found = _compile.build(_compile.decoder_source(cls, version), cls, "decode")
        decoders.setdefault(version, {})[cls] = found
    return found


def encoder(cls: type[M], version: int) -> Encoder[M]:
    """The compiled code that writes a message; UnsupportedVersionError for the version."""
    found: Encoder[M] | None = encoders.get(version, {}).get(cls)
    if found is None:
        from pykraft.protocol import _compile  # start-up does not need the compiler

        check_version(cls, version)
        found = _compile.build(_compile.encoder_source(cls, version), cls, "encode")
        encoders.setdefault(version, {})[cls] = found
    return found


def decode_prefix(cls: type[M], data: bytes, version: int, start: int = 0) -> tuple[M, int]:
    """Read a message that more may follow; gives also the position after it."""
    reader = _readers.get(version, {}).get(cls) or _reader(cls, version)
    try:
        message, p = reader(data, start)
        if p > len(data):
            raise Misfit
    except READ_FAILURES as failure:
        raise unread(cls, data, version, start, failure, whole=False) from None
    return message, p


def _reader(cls: type[M], version: int) -> Callable[[bytes, int], tuple[M, int]]:
    from pykraft.protocol import _compile  # start-up does not need the compiler

    check_version(cls, version)
    reader: Callable[[bytes, int], tuple[M, int]] = _compile.build(_compile.reader_source(cls, version), cls, "read")
    _readers.setdefault(version, {})[cls] = reader
    return reader


def unread(
    cls: type[Message], data: bytes, version: int, start: int, failure: Exception, *, whole: bool = True
) -> DecodeError:
    """What is wrong with the bytes that compiled code gave up on."""
    from pykraft.protocol import _careful  # only needed once something is wrong

    try:
        _, p = _careful.decode_prefix(cls, data, version, start)
    except DecodeError as error:
        return error
    if whole and p != len(data):
        return DecodeError(cls.__name__, p, f"{len(data) - p} bytes are left over")
    return DecodeError(cls.__name__, start, f"version {version} cannot be read: {failure!r}")


def unwritten(message: Message, version: int, failure: Exception) -> EncodeError:
    """What is wrong with the value that compiled code gave up on."""
    from pykraft.protocol import _careful  # only needed once something is wrong

    try:
        _careful.encode(message, version)
    except EncodeError as error:
        return error
    return EncodeError(type(message).__name__, f"version {version} cannot be written: {failure!r}")


def check_version(cls: type[Message], version: int) -> None:
    """UnsupportedVersionError unless the class has this version."""
    if not cls.MIN_VERSION <= version <= cls.MAX_VERSION:
        raise UnsupportedVersionError(
            f"{cls.__name__} has versions {cls.MIN_VERSION} to {cls.MAX_VERSION}, not {version}"
        )
