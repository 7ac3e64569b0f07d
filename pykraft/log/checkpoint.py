"""Checkpoint files, Kafka's name for snapshots of the metadata: their names, writing one, checking and reading one.

Name and content: Kafka `snapshot/Snapshots.java`, `snapshot/RecordsSnapshotWriter.java`,
`snapshot/FileRawSnapshotWriter.java`. The bootstrap checkpoint that formatting a directory leaves has the same
content under a name of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pykraft.log.batch import (
    Batch,
    BatchHeader,
    ControlRecordType,
    check_crc,
    decode_batch,
    encode_batches,
    encode_control_batch,
)
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.errors import CorruptBatchError, CorruptLogError, LogWriteError
from pykraft.log.files import sync_directory, write_all
from pykraft.log.segment import iter_file, read_chunks
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.messages.snapshot_footer_record import SnapshotFooterRecord
from pykraft.protocol.messages.snapshot_header_record import SnapshotHeaderRecord

BOOTSTRAP_NAME = "bootstrap.checkpoint"
PART_SUFFIX = ".checkpoint.part"
DELETED_SUFFIX = ".checkpoint.deleted"
DAMAGED_SUFFIX = ".damaged"
_CONTROL_RECORD_VERSION = 0
_NAME = re.compile(r"(\d{20})-(\d{10})\.checkpoint")


def checkpoint_name(snapshot: OffsetAndEpoch) -> str:
    """File name of the snapshot of everything before `snapshot.offset`."""
    return f"{snapshot.offset:020d}-{snapshot.epoch:010d}.checkpoint"


def list_checkpoints(directory: Path) -> list[OffsetAndEpoch]:
    """Finished snapshots in `directory`, oldest first; parts and deleted ones are left out. OSError."""
    found = (_NAME.fullmatch(entry.name) for entry in directory.iterdir())
    points = (OffsetAndEpoch(int(match[1]), int(match[2])) for match in found if match)
    return sorted(points, key=lambda point: point.order)


class _Course:
    """Checks that the batches of one checkpoint follow one another, from the header record to the footer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._expected = 0
        self._epoch: int | None = None
        self._opened = self._closed = False

    def take(self, header: BatchHeader, control_types: Sequence[int], position: int) -> None:
        """The batch at byte `position`; its `control_types` are empty for data. Raises CorruptLogError."""
        reason = None
        if header.base_offset != self._expected:
            reason = f"base offset {header.base_offset}, not {self._expected}"
        elif not self._opened and control_types[:1] != [ControlRecordType.SNAPSHOT_HEADER]:
            reason = "it does not begin with a snapshot header"
        elif self._epoch is not None and header.leader_epoch != self._epoch:
            reason = f"leader epoch {header.leader_epoch} after {self._epoch}"
        elif self._closed:
            reason = "a batch follows the snapshot footer"
        if reason is not None:
            raise CorruptLogError(self._path, self._expected, position, reason)
        self._opened, self._epoch = True, header.leader_epoch
        self._closed = control_types[-1:] == [ControlRecordType.SNAPSHOT_FOOTER]
        self._expected = header.next_offset

    def damage(self, bad: CorruptBatchError) -> CorruptLogError:
        return CorruptLogError(self._path, self._expected, bad.position, bad.reason)

    def end(self) -> None:
        if not self._closed:
            size = self._path.stat().st_size
            raise CorruptLogError(self._path, self._expected, size, "it does not end with a snapshot footer")


def iter_checkpoint(path: Path) -> Iterator[Batch]:
    """The batches of a checkpoint, the control batches that open and close it among them.

    Raises `CorruptLogError` for damage or a file that does not begin with a snapshot header or end with a
    footer, OSError.
    """
    course = _Course(path)
    try:
        for position, batch in iter_file(path):
            course.take(batch.header, batch.control_types, position)
            yield batch
    except CorruptBatchError as bad:
        raise course.damage(bad) from bad
    course.end()


def verify_checkpoint(path: Path) -> None:
    """Checks every CRC of a checkpoint and the order of its batches, but not the records in them.

    Raises as `iter_checkpoint` does.
    """
    course = _Course(path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for chunk, at, header, position in read_chunks(fd, 0, os.fstat(fd).st_size):
            check_crc(chunk, header, at, file_position=position)
            types = decode_batch(chunk, at, file_position=position).control_types if header.is_control else ()
            course.take(header, types, position)
    except CorruptBatchError as bad:
        raise course.damage(bad) from bad
    finally:
        os.close(fd)
    course.end()


def read_checkpoint(path: Path) -> list[bytes]:
    """The metadata records of a checkpoint, as raw values; raises as `iter_checkpoint` does."""
    return [value for batch in iter_checkpoint(path) if not batch.control_types for value in batch.values]


def last_contained_timestamp_ms(path: Path) -> int:
    """Time of the last record that the snapshot stands for, as its header says.

    Raises `CorruptLogError` when the file does not begin with a header, OSError.
    """
    for batch in iter_checkpoint(path):
        try:
            return SnapshotHeaderRecord.decode(batch.values[0], _CONTROL_RECORD_VERSION).last_contained_log_timestamp
        except ProtocolError as error:
            raise CorruptLogError(path, 0, 0, f"its snapshot header cannot be read: {error}") from error
    raise CorruptLogError(path, 0, 0, "it is empty")


class CheckpointWriter:
    """Writes the snapshot of everything before `snapshot.offset` under a temporary name, then gives it its own.

    The records go in with `append`; `finish` makes the file durable and visible, `abandon` removes it. All
    calls block on the disk and raise `LogWriteError` when it refuses, after which the file is gone.
    """

    def __init__(
        self,
        directory: Path,
        snapshot: OffsetAndEpoch,
        *,
        last_contained_timestamp_ms: int,
        timestamp_ms: int,
        quorum_records: Sequence[tuple[int, bytes]] = (),
    ) -> None:
        """`timestamp_ms` is that of the batches of the snapshot itself; `quorum_records` are the control records (type,
        value) that stand for the voters of the log."""
        self.snapshot = snapshot
        self.size = 0
        self._final = directory / checkpoint_name(snapshot)
        self._part = directory / f"{self._final.stem}-{os.getpid()}{PART_SUFFIX}"
        self._timestamp_ms = timestamp_ms
        self._next_offset = 0
        try:
            self._fd = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LogWriteError(self._part, str(error), usable=True) from error
        header = SnapshotHeaderRecord(
            version=_CONTROL_RECORD_VERSION, last_contained_log_timestamp=last_contained_timestamp_ms
        )
        self._control((ControlRecordType.SNAPSHOT_HEADER, header.encode(_CONTROL_RECORD_VERSION)), *quorum_records)

    def append(self, values: Sequence[bytes]) -> None:
        """The next records, framed, at least one; they go into as few batches as the limits allow."""
        batches = encode_batches(
            values, base_offset=self._next_offset, leader_epoch=self.snapshot.epoch, timestamp_ms=self._timestamp_ms
        )
        self._next_offset += len(values)
        self._write(b"".join(batches))

    def finish(self) -> None:
        """Closes the snapshot with its footer and puts it under its name, durably."""
        footer = SnapshotFooterRecord(version=_CONTROL_RECORD_VERSION)
        self._control((ControlRecordType.SNAPSHOT_FOOTER, footer.encode(_CONTROL_RECORD_VERSION)))
        try:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._part.replace(self._final)
            sync_directory(self._final.parent)
        except OSError as error:
            self.abandon()
            raise LogWriteError(self._part, str(error), usable=True) from error

    def abandon(self) -> None:
        """Removes the unfinished file; nothing to do after `finish`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _control(self, *records: tuple[int, bytes]) -> None:
        batch = encode_control_batch(
            records,
            base_offset=self._next_offset,
            leader_epoch=self.snapshot.epoch,
            timestamp_ms=self._timestamp_ms,
        )
        self._next_offset += len(records)
        self._write(batch)

    def _write(self, data: bytes) -> None:
        try:
            write_all(self._fd, data, self.size)
        except OSError as error:
            self.abandon()
            raise LogWriteError(self._part, str(error), usable=True) from error
        self.size += len(data)
