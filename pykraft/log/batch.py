"""Record batches v2 as they stand in the metadata log: encode, check, decode, and skip from one to the next.

Layout and limits: Kafka `DefaultRecordBatch.java`, `DefaultRecord.java`, `raft/internals/BatchBuilder.java`;
what a reader refuses: `raft/internals/RecordsIterator.java`. Data batches hold record values without keys,
control batches hold records whose key is a version and a type. Neither is ever compressed or transactional.
"""

from __future__ import annotations

import enum
import functools
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

from pykraft.log.crc import crc32c
from pykraft.log.errors import BatchTooLargeError, CorruptBatchError

HEADER_SIZE = 61
LENGTH_OVERHEAD = 12  # baseOffset and batchLength, which batchLength does not count
CRC_START = 21
MAGIC = 2
CONTROL_ATTRIBUTE = 0x20

BATCH_BYTES_MAX = 8 * 1024 * 1024
BATCH_RECORDS_MAX = 10_000

_HEADER = struct.Struct(">qiibIhiqqqhii")
_AFTER_CRC = struct.Struct(">hiqqqhii")
_BEFORE_CRC = struct.Struct(">qiibI")
_LENGTH_AND_CRC = struct.Struct(">8xi5xI")
_KEY = struct.Struct(">hh")
_SIZE_MIN = HEADER_SIZE + 6


class ControlRecordType(enum.IntEnum):
    """Types of control records (Kafka `ControlRecordType.java`); the first two never stand in this log."""

    ABORT = 0
    COMMIT = 1
    LEADER_CHANGE = 2
    SNAPSHOT_HEADER = 3
    SNAPSHOT_FOOTER = 4
    KRAFT_VERSION = 5
    KRAFT_VOTERS = 6


class BatchHeader(NamedTuple):
    """The 61 bytes before the records, in wire order; timestamps in milliseconds since 1970."""

    base_offset: int
    batch_length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return self.batch_length + LENGTH_OVERHEAD

    @property
    def next_offset(self) -> int:
        """Offset after the last record."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL_ATTRIBUTE)


class Batch(NamedTuple):
    """A decoded batch: record i has offset `header.base_offset + i`.

    `control_types` holds one type per value for a control batch and is empty for a data batch; a type may
    be one that `ControlRecordType` does not know.
    """

    header: BatchHeader
    values: list[bytes]
    control_types: list[int]


def _varint(value: int) -> bytes:
    """Zigzag varint of a non-negative number."""
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_TABLE_SIZE = 1024
_VARINTS = [_varint(i) for i in range(_TABLE_SIZE)]
_NO_KEY = b"\x01"


@functools.lru_cache(BATCH_RECORDS_MAX)
def _record_head(offset_delta: int) -> bytes:
    """What follows a data record's length: attributes 0, timestampDelta 0, offsetDelta, key length -1."""
    return b"\x00\x00" + _varint(offset_delta) + _NO_KEY


_HEADS = [_record_head(i) for i in range(_TABLE_SIZE)]


def _encode_records(values: Sequence[bytes]) -> bytes:
    parts: list[bytes] = []
    for delta, value in enumerate(values):
        head = _HEADS[delta] if delta < _TABLE_SIZE else _record_head(delta)
        size = len(value)
        if not size:
            raise ValueError(f"record {delta} has an empty value")
        size_varint = _VARINTS[size] if size < _TABLE_SIZE else _varint(size)
        body = len(head) + len(size_varint) + size + 1
        parts += (_VARINTS[body] if body < _TABLE_SIZE else _varint(body), head, size_varint, value, b"\x00")
    return b"".join(parts)


def _encode_control_records(records: Sequence[tuple[int, bytes]]) -> bytes:
    parts: list[bytes] = []
    for delta, (control_type, value) in enumerate(records):
        key = _KEY.pack(0, control_type)
        body = b"".join((b"\x00\x00", _varint(delta), _varint(len(key)), key, _varint(len(value)), value, b"\x00"))
        parts += (_varint(len(body)), body)
    return b"".join(parts)


def _frame(
    records: bytes, count: int, attributes: int, base_offset: int, leader_epoch: int, timestamp_ms: int
) -> bytes:
    size = HEADER_SIZE + len(records)
    if not count:
        raise ValueError("a record batch holds at least one record")
    if size > BATCH_BYTES_MAX:
        raise BatchTooLargeError(
            f"a batch of {count} records at offset {base_offset} takes {size} bytes, "
            f"more than the {BATCH_BYTES_MAX} a reader accepts"
        )
    covered = _AFTER_CRC.pack(attributes, count - 1, timestamp_ms, timestamp_ms, -1, -1, -1, count) + records
    before = _BEFORE_CRC.pack(base_offset, size - LENGTH_OVERHEAD, leader_epoch, MAGIC, crc32c(covered))
    return before + covered


def encode_batch(values: Sequence[bytes], *, base_offset: int, leader_epoch: int, timestamp_ms: int) -> bytes:
    """One data batch with the given record values, each already framed as a metadata record.

    Raises `BatchTooLargeError` over `BATCH_BYTES_MAX` bytes, ValueError for no or empty values.
    """
    return _frame(_encode_records(values), len(values), 0, base_offset, leader_epoch, timestamp_ms)


def encode_control_batch(
    records: Sequence[tuple[int, bytes]], *, base_offset: int, leader_epoch: int, timestamp_ms: int
) -> bytes:
    """One control batch with the given (type, value) pairs; raises as `encode_batch` does."""
    body = _encode_control_records(records)
    return _frame(body, len(records), CONTROL_ATTRIBUTE, base_offset, leader_epoch, timestamp_ms)


def encode_batches(
    values: Sequence[bytes], *, base_offset: int, leader_epoch: int, timestamp_ms: int, atomic: bool = False
) -> list[bytes]:
    """Data batches for any number of values, in as few batches as the limits allow.

    `atomic` demands one batch, so that a reader applies all or nothing: `BatchTooLargeError` when the values
    are more than `BATCH_RECORDS_MAX` or do not fit into `BATCH_BYTES_MAX`.
    """
    if atomic and len(values) > BATCH_RECORDS_MAX:
        raise BatchTooLargeError(
            f"{len(values)} records cannot be written atomically: a batch holds {BATCH_RECORDS_MAX}"
        )
    runs = [(0, len(values))] if atomic else _runs(values)
    return [
        encode_batch(
            values[start:stop],
            base_offset=base_offset + start,
            leader_epoch=leader_epoch,
            timestamp_ms=timestamp_ms,
        )
        for start, stop in runs
    ]


def _runs(values: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Ranges of `values` that fit one batch each, reckoned with the largest frame a record can have."""
    frame_bytes_max = 5 + 2 + 5 + 1 + 5 + 1
    start, room = 0, BATCH_BYTES_MAX - HEADER_SIZE
    for i, value in enumerate(values):
        need = len(value) + frame_bytes_max
        if i > start and (need > room or i - start == BATCH_RECORDS_MAX):
            yield start, i
            start, room = i, BATCH_BYTES_MAX - HEADER_SIZE
        room -= need
    if start < len(values):
        yield start, len(values)


def read_header(data: bytes, position: int = 0) -> BatchHeader:
    """The header at `position`, unchecked; struct.error when fewer than 61 bytes are left."""
    return BatchHeader._make(_HEADER.unpack_from(data, position))


def check_header(header: BatchHeader, position: int = 0) -> None:
    """Raises `CorruptBatchError` for a header that no writer of a metadata log makes."""
    reason = None
    if header.magic != MAGIC:
        reason = f"magic {header.magic}, not {MAGIC}"
    elif not _SIZE_MIN <= header.size <= BATCH_BYTES_MAX:
        reason = f"a size of {header.size} bytes, not {_SIZE_MIN} to {BATCH_BYTES_MAX}"
    elif header.attributes & ~CONTROL_ATTRIBUTE:
        reason = f"attributes {header.attributes:#x}: compressed or transactional batches do not belong here"
    elif header.record_count < 1 or header.last_offset_delta != header.record_count - 1:
        reason = f"{header.record_count} records but a last offset delta of {header.last_offset_delta}"
    elif header.base_offset < 0 or header.leader_epoch < 0:
        reason = f"base offset {header.base_offset}, leader epoch {header.leader_epoch}"
    if reason is not None:
        raise CorruptBatchError(header.base_offset, position, reason)


def batch_crc(data: bytes | memoryview, position: int, size: int) -> int:
    """CRC-32C over the bytes of the batch at `position` that its crc field covers."""
    return crc32c(memoryview(data)[position + CRC_START : position + size])


def check_crc(data: bytes, header: BatchHeader, position: int, *, file_position: int | None = None) -> None:
    """Raises `CorruptBatchError` when the whole batch in `data` does not have the crc its header claims."""
    actual = batch_crc(data, position, header.size)
    if actual != header.crc:
        at = position if file_position is None else file_position
        reason = f"CRC-32C is {actual:#010x}, the header says {header.crc:#010x}"
        raise CorruptBatchError(header.base_offset, at, reason)


def first_bad_batch(data: bytes) -> int | None:
    """Position of the first batch in `data`, a run of whole batches, whose CRC is wrong; None when all are right."""
    view = memoryview(data)
    position, end = 0, len(data)
    while position < end:
        length, crc = _LENGTH_AND_CRC.unpack_from(data, position)
        stop = position + length + LENGTH_OVERHEAD
        if length < HEADER_SIZE - LENGTH_OVERHEAD or stop > end or crc32c(view[position + CRC_START : stop]) != crc:
            return position
        position = stop
    return None


def decode_batch(data: bytes, position: int = 0, *, file_position: int | None = None) -> Batch:
    """The batch at `position` of `data`, checked in every field.

    `file_position` is the byte position errors name, `position` by default. Raises `CorruptBatchError`.
    """
    at = position if file_position is None else file_position
    if len(data) - position < HEADER_SIZE:
        raise CorruptBatchError(None, at, f"only {len(data) - position} bytes left for a header")
    header = read_header(data, position)
    check_header(header, at)
    end = position + header.size
    if end > len(data):
        reason = f"{header.size} bytes long, {len(data) - position} are there"
        raise CorruptBatchError(header.base_offset, at, reason)
    check_crc(data, header, position, file_position=at)
    start = position + HEADER_SIZE
    try:
        if header.is_control:
            types, values = _decode_control_records(data, start, end, header.record_count)
            return Batch(header, values, types)
        return Batch(header, _decode_records(data, start, end, header.record_count), [])
    except (IndexError, struct.error):
        raise CorruptBatchError(header.base_offset, at, "a record runs beyond the batch") from None
    except _BadRecordError as bad:
        raise CorruptBatchError(header.base_offset, at, str(bad)) from None


def iter_batches(data: bytes, position: int = 0) -> Iterator[Batch]:
    """All batches from `position` to the end of `data`, which must end with a whole batch."""
    while position < len(data):
        batch = decode_batch(data, position)
        yield batch
        position += batch.header.size


def iter_headers(data: bytes, position: int = 0) -> Iterator[tuple[int, BatchHeader]]:
    """(position, header) of each batch without a look at the records or the CRC; a cut batch at the end
    raises `CorruptBatchError`."""
    end = len(data)
    while position < end:
        if end - position < HEADER_SIZE:
            raise CorruptBatchError(None, position, f"only {end - position} bytes left for a header")
        header = read_header(data, position)
        check_header(header, position)
        if position + header.size > end:
            reason = f"{header.size} bytes long, {end - position} are there"
            raise CorruptBatchError(header.base_offset, position, reason)
        yield position, header
        position += header.size


class _BadRecordError(Exception):
    pass


def _bad_value(delta: int, size: int) -> _BadRecordError:
    return _BadRecordError(f"record {delta} has a value of {size} bytes or headers that do not fit it")


def _read_unsigned(data: bytes, position: int) -> tuple[int, int]:
    """(value, position after it) of a varint of at most 5 bytes, zigzag left as it is."""
    value = shift = 0
    for _ in range(5):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _BadRecordError("a varint of more than 5 bytes")


def _signed(zigzag: int) -> int:
    return (zigzag >> 1) ^ -(zigzag & 1)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, position after it) of a zigzag varint."""
    value, position = _read_unsigned(data, position)
    return _signed(value), position


def _decode_records(data: bytes, position: int, end: int, count: int) -> list[bytes]:
    """The values of a data batch; written out, because replaying a log is mostly this loop."""
    values: list[bytes] = []
    append, starts_with = values.append, data.startswith
    for delta in range(count):
        # Both lengths are zigzag varints, so twice their value; a metadata record has them in one byte or two.
        length = data[position]
        if length < 0x80:
            position += 1
        elif (high := data[position + 1]) < 0x80:
            length = length & 0x7F | high << 7
            position += 2
        else:
            length, position = _read_unsigned(data, position)
        stop = position + (length >> 1)
        head = _HEADS[delta] if delta < _TABLE_SIZE else _record_head(delta)
        if length & 1 or stop > end or not starts_with(head, position):
            _refuse_record(data, position, end, delta, _signed(length))
        position += len(head)
        size = data[position]
        if size < 0x80:
            position += 1
        elif (high := data[position + 1]) < 0x80:
            size = size & 0x7F | high << 7
            position += 2
        else:
            size, position = _read_unsigned(data, position)
        last = position + (size >> 1)
        if size & 1 or not size or last + 1 != stop or data[last]:
            raise _bad_value(delta, _signed(size))
        append(data[position:last])
        position = stop
    if position != end:
        raise _BadRecordError(f"{end - position} bytes follow the last record")
    return values


def _refuse_record(data: bytes, position: int, end: int, delta: int, length: int) -> NoReturn:
    """Says which of the fields before a data record's value is wrong."""
    if length < 1 or position + length > end:
        raise _BadRecordError(f"record {delta} claims {length} bytes, {end - position} are left")
    if data[position]:
        raise _BadRecordError(f"record {delta} has attributes {data[position]}, not 0")
    timestamp_delta, position = _read_varint(data, position + 1)
    if timestamp_delta:
        raise _BadRecordError(f"record {delta} has a timestamp delta of {timestamp_delta}, not 0")
    offset_delta, position = _read_varint(data, position)
    if offset_delta != delta:
        raise _BadRecordError(f"record {delta} has an offset delta of {offset_delta}")
    key_size, _ = _read_varint(data, position)
    if key_size != -1:
        raise _BadRecordError(f"record {delta} has a key of {key_size} bytes: metadata records have none")
    raise _BadRecordError(f"record {delta} has a number that is not in its shortest form")


def _decode_control_records(data: bytes, position: int, end: int, count: int) -> tuple[list[int], list[bytes]]:
    types: list[int] = []
    values: list[bytes] = []
    for delta in range(count):
        length, position = _read_varint(data, position)
        stop = position + length
        if length < 1 or stop > end:
            raise _BadRecordError(f"record {delta} claims {length} bytes, {end - position} are left")
        head = b"\x00\x00" + _varint(delta) + _varint(_KEY.size)
        if not data.startswith(head, position):
            raise _BadRecordError(f"control record {delta} does not begin with attributes, deltas and a key")
        position += len(head)
        version, control_type = _KEY.unpack_from(data, position)
        if version:
            raise _BadRecordError(f"control record {delta} has a key of version {version}, not 0")
        size, position = _read_varint(data, position + _KEY.size)
        if size < 1 or position + size + 1 != stop or data[stop - 1]:
            raise _bad_value(delta, size)
        types.append(control_type)
        values.append(data[position : stop - 1])
        position = stop
    if position != end:
        raise _BadRecordError(f"{end - position} bytes follow the last record")
    return types, values
