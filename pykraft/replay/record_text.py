"""What kafka-dump-log prints for one metadata record, or instead of one that its release cannot read.

Sources: core/.../tools/DumpLogSegments.scala (the parser of cluster metadata) and
server-common/.../serialization/AbstractApiMessageSerde.java (the errors).
"""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple

from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol.api import message_class, record_class, record_versions, releases
from pykraft.protocol.errors import ProtocolError
from pykraft.replay.compiled_json import json_of

FRAME_VERSION: Final = 1
_SHORT_MAX: Final = 32_767
_VARINT_BYTES_MAX: Final = 5
# 3.4 has these records in a shape that nobody ever wrote: it takes none that were.
_SHAPED_OTHERWISE: Final = {"3.4.1": frozenset({10, 11})}
_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")


class UnknownReleaseError(ValueError):
    """The text names no release of Kafka that is known here."""


@functools.cache
def release_named(text: str) -> str:
    """The known release that `3.9`, `3.9.1` or another patch of 3.9 stands for; UnknownReleaseError."""
    minor = ".".join(text.split(".")[:2])
    for release in releases():
        if release.startswith(minor + "."):
            return release
    known = ", ".join(".".join(release.split(".")[:2]) for release in releases())
    raise UnknownReleaseError(f"release {text!r} is not known: use one of {known}")


def minor_of(release: str) -> tuple[int, int]:
    """(3, 9) of 3.9.1."""
    major, minor, *_ = release.split(".")
    return int(major), int(minor)


@functools.cache
def type_name(name: str) -> str:
    """Kafka's name of a record type (`PARTITION_RECORD`) from that of its class."""
    return _WORD.sub("_", name).upper()


class UnreadableRecordError(Exception):
    """Bytes that a release takes for no record; the text is the message of Kafka's exception."""


class Parsed(NamedTuple):
    """A record that was read; `read_as` is the version whose fields it has."""

    message: Message
    version: int
    read_as: int


def parse(value: bytes, release: str) -> Parsed:
    """The record in `value` as `release` (one of `releases()`) reads it; UnreadableRecordError."""
    key, version, position = frame_of(value)
    highest = versions_by_key(release).get(key)
    if highest is None:
        raise UnreadableRecordError(
            f"org.apache.kafka.common.errors.UnsupportedVersionException: Unknown metadata id {key}"
        )
    failed = f"Failed to deserialize record with type {key}"
    if key in _SHAPED_OTHERWISE.get(release, ()):
        raise UnreadableRecordError(failed)
    cls = record_class(key)
    # A release reads a version that is too new for it as its own newest; only structs inside check theirs.
    read_as = min(version, highest)
    try:
        message, end = cls.decode_prefix(value, read_as, position)
        if version > highest and _has_structs(message):
            raise UnreadableRecordError(failed)
        if end != len(value):
            raise UnreadableRecordError(f"Found {len(value) - end} byte(s) of garbage after {key}")
        return Parsed(message, version, read_as)
    except ProtocolError as error:
        raise UnreadableRecordError(failed) from error


def _has_structs(message: Message) -> bool:
    values = (getattr(message, name) for name in message.__struct_fields__)
    return any(isinstance(value, list) and value and isinstance(value[0], AnyStruct) for value in values)


def data_text(parsed: Parsed) -> str:
    """The JSON text of a record's fields."""
    return json_of(type(parsed.message), parsed.read_as)(parsed.message)


def payload(offset: int, value: bytes, release: str) -> str:
    """The text after `payload: `."""
    try:
        parsed = parse(value, release)
    except UnreadableRecordError as error:
        return f"Error at {offset}, skipping. {error}"
    cls = type(parsed.message)
    return f'{{"type":"{type_name(cls.__name__)}","version":{parsed.version},"data":{data_text(parsed)}}}'


def frame_of(value: bytes) -> tuple[int, int, int]:
    """(API key, version, position of the body) of a framed record; UnreadableRecordError."""
    if len(value) >= 3 and value[0] == FRAME_VERSION and value[1] < 128 and value[2] < 128:
        return value[1], value[2], 3
    frame_version, position = _short(value, 0, "frame version")
    if frame_version == 0:
        raise UnreadableRecordError(
            "Could not deserialize metadata record with frame version 0. Note that upgrades from the preview release"
            " of KRaft in 2.8 to newer versions are not supported."
        )
    if frame_version != FRAME_VERSION:
        raise UnreadableRecordError(
            f"Could not deserialize metadata record due to unknown frame version {frame_version}"
            f"(only frame version {FRAME_VERSION} is supported)"
        )
    key, position = _short(value, position, "type")
    version, position = _short(value, position, "version")
    return key, version, position


def _short(value: bytes, position: int, what: str) -> tuple[int, int]:
    found = shift = 0
    for byte in value[position : position + _VARINT_BYTES_MAX]:
        position += 1
        found |= (byte & 127) << shift
        if byte < 128:
            found = found & 0xFFFFFFFF
            if _SHORT_MAX < found < 1 << 31:
                raise UnreadableRecordError(f"Value for {what} was too large.")
            return (found + 0x8000) % 0x10000 - 0x8000, position
        shift += 7
    raise UnreadableRecordError(f"Error while reading {what}")


@functools.cache
def versions_by_key(release: str) -> dict[int, int]:
    """The highest version of each metadata record that a release knows, by its key."""
    return {message_class(name).API_KEY: highest for name, (_, highest) in record_versions(release).items()
            if _is_known(name)}  # fmt: skip


def _is_known(name: str) -> bool:
    try:
        message_class(name)
    except ProtocolError:
        return False
    return True
