"""Batches and records of a file as Kafka's own reader finds them, damage and all.

`pykraft.log` refuses a file at the first wrong byte; this reads on wherever kafka-dump-log does. Sources:
clients/.../record/FileLogInputStream.java, DefaultRecordBatch.java, DefaultRecord.java.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from pykraft.log.batch import HEADER_SIZE, LENGTH_OVERHEAD, MAGIC, BatchHeader, read_header

COMPRESSION_NAMES: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_UP_TO_MAGIC: Final = 17
_RECORD_OVERHEAD_MIN: Final = 14

Buffer = bytes | mmap.mmap


class UnreadableError(Exception):
    """Bytes that Kafka's reader gives up at."""


class RawRecord(NamedTuple):
    """A record with what its batch adds to it; None for a key or value that is null."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    header_keys: tuple[str, ...]


@contextmanager
def file_bytes(path: Path) -> Iterator[Buffer]:
    """The content of a file, mapped; OSError."""
    with path.open("rb") as file:
        file.seek(0, 2)
        if not file.tell():
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


def walk(data: Buffer, name: str) -> Iterator[tuple[int, BatchHeader]]:
    """(position, header) of each batch whose length says that it is whole.

    Raises UnreadableError for a length that no batch has, and for a batch of an old format.
    """
    position, end = 0, len(data)
    while position + _UP_TO_MAGIC < end:
        size = int.from_bytes(data[position + 8 : position + 12], "big", signed=True)
        if size < _RECORD_OVERHEAD_MIN:
            raise UnreadableError(
                f"Found record size {size} smaller than minimum record overhead"
                f" ({_RECORD_OVERHEAD_MIN}) in file {name}."
            )
        if position + LENGTH_OVERHEAD + size > end:
            return
        if data[position + _UP_TO_MAGIC - 1] < MAGIC or end - position < HEADER_SIZE:
            raise UnreadableError(f"the batch at byte {position} of {name} is of a format older than 2")
        yield position, read_header(data[position : position + HEADER_SIZE])
        position += LENGTH_OVERHEAD + size


def compression_of(header: BatchHeader) -> str:
    """The name of the batch's compression; UnreadableError for a number that has none."""
    number = header.attributes & 7
    if number >= len(COMPRESSION_NAMES):
        raise UnreadableError(f"Unknown compression type id: {number}")
    return COMPRESSION_NAMES[number]


def records(
    batch: bytes, header: BatchHeader, position: int = HEADER_SIZE, first: int = 0, count: int | None = None
) -> Iterator[tuple[RawRecord, int]]:
    """The records of a batch, its 61 bytes of header before them, each with the position behind it.

    Begins with record `first`, which stands at `position`, and gives `count`, or all that follow. Raises
    UnreadableError where they end in disorder.
    """
    if compression_of(header) != "none":
        raise UnreadableError("the batch is compressed, which no controller does")
    if header.record_count < 0:
        raise UnreadableError(f"Found invalid record count {header.record_count} in magic v{header.magic} batch")
    last = header.record_count if count is None else first + count
    for number in range(first, last):
        record, position = _record(batch, position, header)
        if number + 1 == header.record_count and position != len(batch):
            raise UnreadableError("Incorrect declared batch size, records still remaining in file")
        yield record, position


def _record(batch: bytes, position: int, header: BatchHeader) -> tuple[RawRecord, int]:
    size, position = varint(batch, position)
    stop = position + size
    if size < 0 or stop > len(batch):
        raise UnreadableError(
            f"Invalid record size: expected {size} bytes in record payload, but instead the buffer has only"
            f" {len(batch) - position} remaining bytes."
        )
    timestamp_delta, at = varint(batch, position + 1, bytes_max=10)
    offset_delta, at = varint(batch, at)
    key, at = _sized(batch, at)
    value, at = _sized(batch, at)
    count, at = varint(batch, at)
    if not 0 <= count <= len(batch) - at:
        raise UnreadableError(f"Found invalid number of record headers {count}")
    keys = []
    for _ in range(count):
        name, at = _sized(batch, at)
        if name is None:
            raise UnreadableError("Invalid negative header key size -1")
        keys.append(name.decode(errors="replace"))
        _, at = _sized(batch, at)
    if at != stop:
        raise UnreadableError(f"Invalid record size: expected to read {size} bytes in record payload, but instead read"
                              f" {at - position}")  # fmt: skip
    timestamp = header.max_timestamp_ms if header.attributes & 8 else header.base_timestamp_ms + timestamp_delta
    return RawRecord(header.base_offset + offset_delta, timestamp, key, value, tuple(keys)), stop


def _sized(batch: bytes, position: int) -> tuple[bytes | None, int]:
    size, position = varint(batch, position)
    if size < 0:
        return None, position
    if position + size > len(batch):
        raise UnreadableError("Found invalid record structure")
    return batch[position : position + size], position + size


def varint(data: bytes, position: int, *, bytes_max: int = 5) -> tuple[int, int]:
    """A zigzag varint and the position after it; UnreadableError."""
    raw = shift = 0
    for byte in data[position : position + bytes_max]:
        position += 1
        raw |= (byte & 127) << shift
        if byte < 128:
            return (raw >> 1) ^ -(raw & 1), position
        shift += 7
    raise UnreadableError("Found invalid record structure")
