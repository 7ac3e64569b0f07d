"""One segment file of the metadata log: its bytes, a sparse index over them, the scan that checks them."""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path

from pykraft.log.batch import (
    HEADER_SIZE,
    LENGTH_OVERHEAD,
    Batch,
    BatchHeader,
    check_crc,
    check_header,
    decode_batch,
    read_header,
)
from pykraft.log.errors import CorruptBatchError

SUFFIX = ".log"
_KAFKAS_SUFFIXES = (".index", ".timeindex", ".snapshot")
INDEX_INTERVAL_BYTES = 4096
INDEX_ENTRIES_MAX = 8192
READ_CHUNK_BYTES = 4 * 1024 * 1024
WALK_BYTES = 64 * 1024

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) while a log is read."""

_WALK = struct.Struct(">qi11xi")


def segment_name(base_offset: int) -> str:
    """File name of the segment that begins at `base_offset`."""
    return f"{base_offset:020d}{SUFFIX}"


def read_chunks(fd: int, position: int, end: int) -> Iterator[tuple[bytes, int, BatchHeader, int]]:
    """(chunk, position in it, checked header, position in the file) of each batch in [position, end).

    Reads `READ_CHUNK_BYTES` at a time, more for a larger batch. Raises `CorruptBatchError` where the next
    batch is not whole or its header is impossible; CRC and records are left to the caller.
    """
    wanted = READ_CHUNK_BYTES
    while position < end:
        asked = min(wanted, end - position)
        chunk = os.pread(fd, asked, position)
        if len(chunk) < asked:
            raise CorruptBatchError(None, position, "the file became shorter while it was read")
        at, header = 0, None
        while len(chunk) - at >= HEADER_SIZE:
            header = read_header(chunk, at)
            check_header(header, position + at)
            if at + header.size > len(chunk):
                break
            yield chunk, at, header, position + at
            at, header = at + header.size, None
        position += at
        needed = HEADER_SIZE if header is None else header.size
        if 0 < end - position < needed:
            offset = None if header is None else header.base_offset
            reason = f"the batch needs {needed} bytes, the file ends after {end - position}"
            raise CorruptBatchError(offset, position, reason)
        wanted = max(READ_CHUNK_BYTES, needed)


def iter_file(path: Path, progress: Progress | None = None) -> Iterator[tuple[int, Batch]]:
    """(byte position, batch) of each batch of a `.log` or `.checkpoint` file, every field checked.

    For files nobody has to own: takes no lock. Raises `CorruptBatchError` at the first damage, OSError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        for chunk, at, header, position in read_chunks(fd, 0, size):
            yield position, decode_batch(chunk, at, file_position=position)
            if progress is not None:
                progress(position + header.size, size)
    finally:
        os.close(fd)


class Segment:
    """An open segment file.

    `size` is what readers may see; bytes behind it belong to an append under way. Not safe for threads by
    itself: `MetadataLog` serialises all but `fd` reads below `size`, which never change.
    """

    def __init__(self, path: Path, base_offset: int, fd: int) -> None:
        self.path = path
        self.base_offset = base_offset
        self.fd = fd
        self.size = 0
        self.first_timestamp_ms: int | None = None
        self._interval_bytes = INDEX_INTERVAL_BYTES
        self._offsets = array("q")
        self._positions = array("q")

    @classmethod
    def open(cls, directory: Path, base_offset: int, *, create: bool) -> Segment:
        """Opens the file, with O_EXCL when `create`; the caller syncs the directory. OSError."""
        path = directory / segment_name(base_offset)
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        return cls(path, base_offset, os.open(path, flags, 0o644))

    def close(self) -> None:
        os.close(self.fd)
        self.fd = -1

    def note(self, header: BatchHeader, position: int) -> None:
        """Takes up a batch at `position`, the end so far, and makes it visible."""
        if self.first_timestamp_ms is None:
            self.first_timestamp_ms = header.max_timestamp_ms
        if not self._positions or position - self._positions[-1] >= self._interval_bytes:
            self._offsets.append(header.base_offset)
            self._positions.append(position)
            if len(self._positions) >= INDEX_ENTRIES_MAX:
                self._offsets = self._offsets[::2]
                self._positions = self._positions[::2]
                self._interval_bytes *= 2
        self.size = position + header.size

    def scan(self, file_size: int) -> Iterator[tuple[BatchHeader, int]]:
        """(header, position) of each batch, CRC checked; `CorruptBatchError` at the first that is bad."""
        for chunk, at, header, position in read_chunks(self.fd, 0, file_size):
            check_crc(chunk, header, at, file_position=position)
            yield header, position

    def unlink(self) -> None:
        """Removes the file and what Kafka keeps beside it; the caller syncs the directory. OSError."""
        for suffix in _KAFKAS_SUFFIXES:
            self.path.with_suffix(suffix).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def read(self, offset: int, max_bytes: int) -> tuple[int, bytes]:
        """Whole batches from the one that holds `offset`, at least one, at most `max_bytes` otherwise, and the
        byte position where they begin."""
        start, first_size = self._find(offset)
        stop = start + first_size
        limit = min(self.size, start + max_bytes)
        if limit > stop:
            stop = limit if limit == self.size else self._boundary(stop, limit)
        return start, os.pread(self.fd, stop - start, start)

    def position_of(self, offset: int) -> int:
        """Byte position of the batch that holds `offset`, which the segment must hold."""
        return self._find(offset)[0]

    def _find(self, offset: int) -> tuple[int, int]:
        i = bisect_right(self._offsets, offset) - 1
        for position, next_offset, size in self._walk(self._positions[max(i, 0)]):
            if next_offset > offset:
                return position, size
        raise AssertionError(f"{self.path} does not hold offset {offset}")

    def _boundary(self, start: int, limit: int) -> int:
        """The last end of a batch in [start, limit], where `start` is one."""
        i = bisect_right(self._positions, limit) - 1
        stop = max(start, self._positions[i]) if i >= 0 else start
        for position, _, size in self._walk(stop):
            if position + size > limit:
                return position
            stop = position + size
        return stop

    def _walk(self, position: int) -> Iterator[tuple[int, int, int]]:
        """(position, next offset, size) of each visible batch from `position` on."""
        block, block_start = b"", 0
        while position < self.size:
            at = position - block_start
            if not block or at + _WALK.size > len(block):
                block, block_start, at = os.pread(self.fd, WALK_BYTES, position), position, 0
            base_offset, length, last_delta = _WALK.unpack_from(block, at)
            size = length + LENGTH_OVERHEAD
            yield position, base_offset + last_delta + 1, size
            position += size
