"""Tells a torn tail, which a crash in the middle of an append leaves, from damage to what was acknowledged.

A torn tail may be cut: nobody was told of it. It is one when nothing whole follows and the bytes can come
from one interrupted write, that is, they are a good batch up to some point and then missing or zero (a file
grows before its pages reach the disk). Everything else stops the start.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from pykraft.log.batch import (
    BATCH_BYTES_MAX,
    HEADER_SIZE,
    LENGTH_OVERHEAD,
    MAGIC,
    batch_crc,
    check_header,
    read_header,
)
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.errors import CorruptBatchError, CorruptLogError

# producerId, producerEpoch and baseSequence of every batch of this log: -1 in 14 bytes, 43 after the start.
_NO_PRODUCER = b"\xff" * 14
_NO_PRODUCER_AT = 43
_MAGIC_AT = 16
_PAGE_BYTES = 4 * 1024 * 1024


class TornTail(NamedTuple):
    """What recovery cut: `size` bytes at byte `position` of `path`, where `offset` would have come next."""

    path: Path
    offset: int
    position: int
    size: int
    reason: str


class RecoveryReport(NamedTuple):
    """What opening a log found.

    `torn_tail` is what it cut off, None after an orderly end. `started_over_at` is the checkpoint for which a log
    that ended before it was dropped. `damaged` are checkpoints that were set aside, of which none was needed.
    """

    segments: int
    batches: int
    size: int
    torn_tail: TornTail | None
    started_over_at: OffsetAndEpoch | None = None
    damaged: tuple[CorruptLogError, ...] = ()


def not_torn_because(fd: int, position: int, end: int, expected_offset: int) -> str | None:
    """Why the damage at `position` of a last segment of `end` bytes is not a torn tail; None when it is."""
    follower = _find_batch(fd, position + 1, end)
    if follower is not None:
        return f"a whole batch follows at byte {follower}"
    data = os.pread(fd, min(end - position, HEADER_SIZE), position)
    written = _last_nonzero(fd, position, end) - position
    if written <= 0:
        return None
    if written < HEADER_SIZE:
        data = data[:written]
    if len(data) >= 8 and int.from_bytes(data[:8], "big") != expected_offset:
        return f"the batch claims base offset {int.from_bytes(data[:8], 'big', signed=True)}"
    if len(data) < HEADER_SIZE:
        return _bad_partial_header(data)
    header = read_header(data)
    try:
        check_header(header)
    except CorruptBatchError as bad:
        return bad.reason
    if header.size < written:
        return f"{written - header.size} bytes that are no batch follow"
    left = end - position
    if header.size > left and batch_crc(os.pread(fd, left, position), 0, left) == header.crc:
        return f"only its length is wrong, the CRC fits the {left} bytes there are"
    return None


def _bad_partial_header(data: bytes) -> str | None:
    """Whether the start of a header, trailing zeros left off, is one that an append would have written."""
    if len(data) > _MAGIC_AT and data[_MAGIC_AT] != MAGIC:
        return f"magic {data[_MAGIC_AT]}, not {MAGIC}"
    if len(data) >= LENGTH_OVERHEAD:
        batch_size = int.from_bytes(data[8:12], "big", signed=True) + LENGTH_OVERHEAD
        if not HEADER_SIZE < batch_size <= BATCH_BYTES_MAX:
            return f"a size of {batch_size} bytes"
    return None


def _last_nonzero(fd: int, position: int, end: int) -> int:
    """Position after the last byte that is not zero, `position` when all are."""
    while end > position:
        start = max(position, end - _PAGE_BYTES)
        kept = os.pread(fd, end - start, start).rstrip(b"\0")
        if kept:
            return start + len(kept)
        end = start
    return position


def _find_batch(fd: int, position: int, end: int) -> int | None:
    """Position of the first whole batch with a good CRC, if any."""
    while position < end:
        data = os.pread(fd, min(_PAGE_BYTES + HEADER_SIZE, end - position), position)
        found = data.find(_NO_PRODUCER)
        while found >= 0:
            candidate = found - _NO_PRODUCER_AT
            if candidate >= 0 and _is_batch(fd, position + candidate, end):
                return position + candidate
            found = data.find(_NO_PRODUCER, found + 1)
        position += _PAGE_BYTES
    return None


def _is_batch(fd: int, position: int, end: int) -> bool:
    if end - position < HEADER_SIZE:
        return False
    header = read_header(os.pread(fd, HEADER_SIZE, position))
    try:
        check_header(header)
    except CorruptBatchError:
        return False
    if position + header.size > end:
        return False
    return batch_crc(os.pread(fd, header.size, position), 0, header.size) == header.crc
