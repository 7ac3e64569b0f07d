"""The directory `__cluster_metadata-0`: recovered when opened, appended with fsync, read by offset."""

from __future__ import annotations

import contextlib
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pykraft.log import recovery
from pykraft.log.batch import (
    BATCH_BYTES_MAX,
    Batch,
    BatchHeader,
    check_header,
    decode_batch,
    first_bad_batch,
    read_header,
)
from pykraft.log.checkpoint import (
    DAMAGED_SUFFIX,
    DELETED_SUFFIX,
    PART_SUFFIX,
    CheckpointWriter,
    checkpoint_name,
    last_contained_timestamp_ms,
    list_checkpoints,
    verify_checkpoint,
)
from pykraft.log.epochs import EpochCache, OffsetAndEpoch, latest_epoch_on_file
from pykraft.log.errors import (
    CorruptBatchError,
    CorruptLogError,
    LogClosedError,
    LogStateError,
    LogWriteError,
    OffsetOutOfRangeError,
    UnusableDirectoryError,
)
from pykraft.log.files import DirectoryLock, sync_data, sync_directory, write_all
from pykraft.log.partition_metadata import check_topic
from pykraft.log.recovery import RecoveryReport, TornTail
from pykraft.log.segment import SUFFIX, Progress, Segment, read_chunks

DIRECTORY_NAME = "__cluster_metadata-0"
SEGMENT_BYTES_MIN = BATCH_BYTES_MAX


@dataclass(frozen=True, slots=True)
class LogConfig:
    """When a segment is full: `metadata.log.segment.bytes` and `metadata.log.segment.ms`."""

    segment_bytes: int = 1024 * 1024 * 1024
    segment_ms: int = 7 * 24 * 60 * 60 * 1000

    def __post_init__(self) -> None:
        if self.segment_bytes < SEGMENT_BYTES_MIN:
            raise ValueError(
                f"metadata.log.segment.bytes is {self.segment_bytes}, at least {SEGMENT_BYTES_MIN} is needed "
                "to hold any batch"
            )
        if self.segment_ms < 1:
            raise ValueError(f"metadata.log.segment.ms is {self.segment_ms}, it must be positive")


class MetadataLog:
    """The metadata log of one node.

    Threads: any number may read while one appends; `append` calls wait for one another. What `append` has
    not returned from is not visible to a read. `close` waits for both.
    """

    def __init__(self, directory: Path, config: LogConfig, lock: DirectoryLock) -> None:
        self.directory = directory
        self._config = config
        self._lock = lock
        self._append_guard = threading.Lock()
        # Held by reads for one lookup and pread, by an append only to publish: never across an fsync.
        self._state_guard = threading.Lock()
        self._segments: list[Segment] = []
        self._bases: list[int] = []
        self._epochs = EpochCache()
        self._epoch_max: int | None = None
        self._snapshots: list[OffsetAndEpoch] = []  # replaced, never changed: read without the guard
        self._damaged: list[CorruptLogError] = []
        self._appended_bytes = 0
        self._start_offset = 0
        self._end_offset = 0
        self._poison: str | None = None
        self._closed = False
        self.recovery: RecoveryReport

    @classmethod
    def open(cls, data_directory: Path, config: LogConfig | None = None, *, progress: Progress | None = None) -> Self:
        """Locks `data_directory` (Kafka's `metadata.log.dir`), makes or recovers the log in it.

        Reads every byte once and checks every CRC, of checkpoints too; `progress` hears of it. A torn tail is cut,
        a log that ends before the latest checkpoint is dropped for it, as Kafka does, a damaged checkpoint that is
        not needed is set aside: all reported in `recovery`. Raises `LogLockedError`, `CorruptLogError` for any
        other damage, `LogStateError` for files that do not belong together, `UnusableDirectoryError` where the
        directory cannot be written.
        """
        directory = data_directory / DIRECTORY_NAME
        try:
            data_directory.mkdir(parents=True, exist_ok=True)
            lock = DirectoryLock(data_directory)
        except OSError as error:
            raise UnusableDirectoryError(data_directory, str(error)) from error
        log = cls(directory, config or LogConfig(), lock)
        try:
            if not directory.is_dir():
                directory.mkdir()
                sync_directory(data_directory)
            check_topic(directory)
            log._epoch_max = latest_epoch_on_file(directory)
            log._check_checkpoints()
            log._load_segments(progress)
            log._settle_snapshots()
            log._epochs.write(directory)
        except OSError as error:
            log.close()
            raise UnusableDirectoryError(directory, str(error)) from error
        except BaseException:
            log.close()
            raise
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all use and gives the directory free; calls after it raise `LogClosedError`."""
        with self._append_guard, self._state_guard:
            if self._closed:
                return
            self._closed = True
            for segment in self._segments:
                segment.close()
            self._lock.release()

    @property
    def start_offset(self) -> int:
        """Offset of the first record that is read; what came before is in a snapshot."""
        return self._start_offset

    @property
    def end_offset(self) -> int:
        """Offset the next record gets; every record before it is on disk and fsynced."""
        return self._end_offset

    @property
    def last_epoch(self) -> int:
        """Leader epoch of the last record, of the latest snapshot when the log is empty behind it, else 0."""
        latest = self._epochs.latest
        if latest is not None:
            return latest
        return self._snapshots[-1].epoch if self._snapshots else 0

    @property
    def epochs(self) -> list[tuple[int, int]]:
        """(leader epoch, offset of its first record), ascending."""
        with self._state_guard:
            return self._epochs.entries()

    @property
    def snapshots(self) -> list[OffsetAndEpoch]:
        """The finished checkpoints in the directory, oldest first."""
        return list(self._snapshots)

    @property
    def earliest_snapshot(self) -> OffsetAndEpoch | None:
        return self._snapshots[0] if self._snapshots else None

    @property
    def latest_snapshot(self) -> OffsetAndEpoch | None:
        return self._snapshots[-1] if self._snapshots else None

    @property
    def appended_bytes(self) -> int:
        """Bytes appended since the log was opened."""
        return self._appended_bytes

    @property
    def size(self) -> int:
        """Bytes in all segments."""
        with self._state_guard:
            return sum(segment.size for segment in self._segments)

    def end_offset_for_epoch(self, epoch: int) -> OffsetAndEpoch:
        """Where the largest epoch <= `epoch` ends: (end offset, that epoch).

        For an epoch newer than all, (log end, last epoch); for one older than all, (log start, `epoch`) or
        the snapshot the log starts with. Kafka: `KafkaMetadataLog.endOffsetForEpoch`.
        """
        with self._state_guard:
            found = self._epochs.end_offset_for(epoch, self._end_offset)
            if found is None:
                return OffsetAndEpoch(self._end_offset, self.last_epoch)
            earliest = self.earliest_snapshot
            if earliest is not None and found == (earliest.offset, epoch):
                return earliest
            return found

    def append(self, batches: Sequence[bytes]) -> int:
        """Writes whole batches, the first at `end_offset`; the new end offset once all are on disk.

        One fsync however many batches (group commit). Blocks: call it from a worker thread. Raises
        `CorruptBatchError` for batches that are not next in offset and epoch, `LogWriteError` when the disk
        refuses, after which nothing of the call is in the log; `LogClosedError`.
        """
        with self._append_guard:
            if self._closed:
                raise LogClosedError(f"{self.directory} is closed")
            if self._poison is not None:
                raise LogWriteError(self.directory, self._poison, usable=False)
            headers = self._check_next(batches)
            if headers:
                _Append(self, batches, headers).run()
            return self._end_offset

    def read(self, offset: int, max_bytes: int) -> bytes:
        """Whole batches from the one that holds `offset`: at least one, otherwise at most `max_bytes`.

        Empty at the end of the log; never more than to the end of a segment. Blocks. Raises `CorruptLogError` for
        bytes that fail their CRC, `OffsetOutOfRangeError`, `LogClosedError`.
        """
        with self._state_guard:
            if offset == self._end_offset and not self._closed:
                return b""
            segment = self._segment_of(offset)
            position, data = segment.read(offset, max_bytes)
        bad = first_bad_batch(data)
        if bad is not None:
            reason = "a batch that was good when the log was opened fails its CRC"
            raise CorruptLogError(segment.path, read_header(data, bad).base_offset, position + bad, reason)
        return data

    def iter_batches(self, from_offset: int | None = None, progress: Progress | None = None) -> Iterator[Batch]:
        """Every batch from the one that holds `from_offset` (default: the start) to the end as of now.

        Checks everything again on the way: `CorruptLogError`. `progress` counts bytes.
        """
        if from_offset is None:
            from_offset = self.start_offset
        with self._state_guard:
            end_offset = self._end_offset
            if from_offset == end_offset and not self._closed:
                return
            first = self._segments.index(self._segment_of(from_offset))
            plan = [(segment, 0, segment.size) for segment in self._segments[first:]]
            plan[0] = (plan[0][0], plan[0][0].position_of(from_offset), plan[0][2])
        total, done = sum(stop - start for _, start, stop in plan), 0
        for segment, start, stop in plan:
            fd = self._borrow(segment)
            try:
                for chunk, at, header, position in read_chunks(fd, start, stop):
                    yield decode_batch(chunk, at, file_position=position)
                    done += header.size
                    if progress is not None:
                        progress(done, total)
            except CorruptBatchError as bad:
                raise CorruptLogError(segment.path, bad.offset or 0, bad.position, bad.reason) from bad
            finally:
                os.close(fd)

    def timestamp_ms_before(self, offset: int) -> int:
        """Time of the last record before `offset`, which is the log's start or in it; 0 in an empty log.

        Raises as `read` and `last_contained_timestamp_ms` do.
        """
        if offset > self._start_offset:
            return read_header(self.read(offset - 1, 1)).max_timestamp_ms
        latest = self.latest_snapshot
        return 0 if latest is None else last_contained_timestamp_ms(self.directory / checkpoint_name(latest))

    def begin_snapshot(
        self, snapshot: OffsetAndEpoch, timestamp_ms: int, quorum_records: Sequence[tuple[int, bytes]] = ()
    ) -> CheckpointWriter:
        """A writer for the snapshot of everything before `snapshot.offset`, to be given to `add_snapshot`.

        `quorum_records` are the control records (type, value) that stand for the voters of the log.

        Raises ValueError for a point that is not in the log, `LogWriteError`.
        """
        end = self.end_offset_for_epoch(snapshot.epoch)
        if snapshot.offset < self._start_offset or end.epoch != snapshot.epoch or end.offset < snapshot.offset:
            raise ValueError(f"the log from {self._start_offset} to {self._end_offset} does not contain {snapshot}")
        return CheckpointWriter(
            self.directory,
            snapshot,
            timestamp_ms=timestamp_ms,
            quorum_records=quorum_records,
            last_contained_timestamp_ms=self.timestamp_ms_before(snapshot.offset),
        )

    def add_snapshot(self, writer: CheckpointWriter) -> None:
        """Finishes a snapshot and counts it among those of the log. Raises `LogWriteError`, `LogClosedError`."""
        with self._append_guard:
            if self._closed:
                writer.abandon()
                raise LogClosedError(f"{self.directory} is closed")
            writer.finish()
            self._snapshots = sorted({*self._snapshots, writer.snapshot}, key=lambda each: each.order)

    def clean(self, *, retention_bytes: int, retention_ms: int, now_ms: int) -> list[OffsetAndEpoch]:
        """Removes the oldest snapshots, and the segments before the one after them; the removed snapshots.

        That is while there are two and the log and all snapshots have more than `retention_bytes`, or the oldest is
        older than `retention_ms`; a negative limit is none. Kafka: `KafkaMetadataLog.maybeClean`. Raises
        `CorruptLogError`, `LogWriteError`, `LogClosedError`.
        """
        removed: list[OffsetAndEpoch] = []
        with self._append_guard:
            try:
                sizes = {each: (self.directory / checkpoint_name(each)).stat().st_size for each in self._snapshots}
                while len(self._snapshots) > 1:
                    oldest, following = self._snapshots[:2]
                    is_large = 0 <= retention_bytes < self.size + sum(sizes.values())
                    if not is_large and not self._is_old(oldest, retention_ms, now_ms):
                        break
                    del sizes[oldest]
                    self._delete_before(following)
                    removed.append(oldest)
            except OSError as error:
                raise LogWriteError(self.directory, str(error), usable=True) from error
        return removed

    def _is_old(self, snapshot: OffsetAndEpoch, retention_ms: int, now_ms: int) -> bool:
        if retention_ms < 0:
            return False
        return now_ms - last_contained_timestamp_ms(self.directory / checkpoint_name(snapshot)) > retention_ms

    def _delete_before(self, snapshot: OffsetAndEpoch) -> None:
        """Makes the log begin at `snapshot`; a segment goes when all of its records are before it. OSError."""
        with self._state_guard:
            if self._closed:
                raise LogClosedError(f"{self.directory} is closed")
            gone = bisect_right(self._bases, snapshot.offset) - 1
            segments, self._segments = self._segments[:gone], self._segments[gone:]
            del self._bases[:gone]
            self._start_offset = snapshot.offset
            self._epochs.truncate_from_start(snapshot.offset)
            snapshots = [each for each in self._snapshots if each.offset < snapshot.offset]
            self._snapshots = [each for each in self._snapshots if each.offset >= snapshot.offset]
            for segment in segments:
                segment.close()
        self._epochs.write(self.directory)
        for each in snapshots:
            (self.directory / checkpoint_name(each)).unlink(missing_ok=True)
        for segment in segments:
            segment.unlink()
        sync_directory(self.directory)

    def _borrow(self, segment: Segment) -> int:
        with self._state_guard:
            if self._closed:
                raise LogClosedError(f"{self.directory} is closed")
            return os.dup(segment.fd)

    def _segment_of(self, offset: int) -> Segment:
        if self._closed:
            raise LogClosedError(f"{self.directory} is closed")
        if not self._start_offset <= offset < self._end_offset:
            raise OffsetOutOfRangeError(offset, self._start_offset, self._end_offset)
        return self._segments[bisect_right(self._bases, offset) - 1]

    def _check_next(self, batches: Sequence[bytes]) -> list[BatchHeader]:
        headers: list[BatchHeader] = []
        expected, epoch = self._end_offset, self._epochs.latest or 0
        for data in batches:
            header = read_header(data)
            check_header(header)
            if header.size != len(data):
                reason = f"{len(data)} bytes for a batch of {header.size}"
                raise CorruptBatchError(header.base_offset, 0, reason)
            if header.base_offset != expected:
                raise CorruptBatchError(header.base_offset, 0, f"the log ends at {expected}")
            if header.leader_epoch < epoch:
                reason = f"leader epoch {header.leader_epoch} after {epoch}"
                raise CorruptBatchError(header.base_offset, 0, reason)
            expected, epoch = header.next_offset, header.leader_epoch
            headers.append(header)
        return headers

    def _load_segments(self, progress: Progress | None) -> None:
        bases = sorted(
            int(entry.stem)
            for entry in self.directory.iterdir()
            if entry.suffix == SUFFIX and entry.stem.isdigit() and len(entry.stem) == 20
        )
        if not bases:
            if self._damaged and not self._snapshots:
                raise self._damaged[-1]
            latest = self._snapshots[-1].offset if self._snapshots else 0
            self._add(Segment.open(self.directory, latest, create=True))
            sync_directory(self.directory)
            self._start_offset = self._end_offset = latest
            self.recovery = RecoveryReport(1, 0, 0, None)
            return
        for base in bases:
            self._add(Segment.open(self.directory, base, create=False))
        sizes = [os.fstat(segment.fd).st_size for segment in self._segments]
        self._start_offset = self._end_offset = bases[0]
        batches, done, torn, total = 0, 0, None, sum(sizes)
        for segment, size in zip(self._segments, sizes, strict=True):
            if segment.base_offset != self._end_offset:
                reason = f"the segment before it ends at {self._end_offset}"
                raise CorruptLogError(segment.path, self._end_offset, 0, reason)
            try:
                for header, position in segment.scan(size):
                    self._check_order(header, position, segment)
                    self._epochs.assign(header.leader_epoch, header.base_offset)
                    segment.note(header, position)
                    self._end_offset = header.next_offset
                    batches += 1
                    if progress is not None:
                        progress(done + segment.size, total)
            except CorruptBatchError as bad:
                if segment is not self._segments[-1]:
                    raise CorruptLogError(segment.path, self._end_offset, bad.position, bad.reason) from bad
                torn = self._cut_tail(segment, size, bad)
            done += size
        self.recovery = RecoveryReport(len(bases), batches, total - (torn.size if torn else 0), torn)

    def _check_order(self, header: BatchHeader, position: int, segment: Segment) -> None:
        reason = None
        if header.base_offset != self._end_offset:
            reason = f"base offset {header.base_offset} where {self._end_offset} comes next"
        elif header.leader_epoch < (self._epochs.latest or 0):
            reason = f"leader epoch {header.leader_epoch} after {self._epochs.latest}"
        elif self._epoch_max is not None and header.leader_epoch > self._epoch_max:
            # The CRC does not cover it, and nothing follows a last batch that would give it away.
            reason = f"leader epoch {header.leader_epoch}, but leader-epoch-checkpoint ends with {self._epoch_max}"
        if reason is not None:
            raise CorruptLogError(segment.path, self._end_offset, position, reason)

    def _cut_tail(self, segment: Segment, size: int, bad: CorruptBatchError) -> TornTail:
        why_not = recovery.not_torn_because(segment.fd, bad.position, size, self._end_offset)
        if why_not is not None:
            reason = f"{bad.reason}; not a torn tail: {why_not}"
            raise CorruptLogError(segment.path, self._end_offset, bad.position, reason) from bad
        os.ftruncate(segment.fd, bad.position)
        os.fsync(segment.fd)
        return TornTail(segment.path, self._end_offset, bad.position, size - bad.position, bad.reason)

    def _check_checkpoints(self) -> None:
        """Finds out which checkpoints are whole, before anything is decided."""
        for found in list_checkpoints(self.directory):
            try:
                verify_checkpoint(self.directory / checkpoint_name(found))
            except CorruptLogError as damage:
                self._damaged.append(damage)
            else:
                self._snapshots = [*self._snapshots, found]

    def _settle_snapshots(self) -> None:
        """Brings checkpoints and segments together, and clears away what is neither.

        Kafka: `KafkaMetadataLog.recoverSnapshots`, `truncateToLatestSnapshot`.
        """
        all_found = list_checkpoints(self.directory)
        latest = all_found[-1] if all_found else None
        goes_on = latest is not None and self._epochs.latest is None and self._end_offset == latest.offset
        ahead = latest is not None and not goes_on and latest.order > (self._epochs.latest or 0, self._end_offset)
        whole = [each for each in self._snapshots if each.offset >= self._start_offset]
        needed = (ahead and latest not in self._snapshots) or (self._start_offset > 0 and not whole)
        if self._damaged and needed:
            # Without it, records that were acknowledged would be missing.
            raise self._damaged[-1]
        if self._start_offset > 0 and not whole:
            reason = f"the log starts at offset {self._start_offset} and no checkpoint holds what came before"
            raise LogStateError(self.directory, reason)
        for path in list(self.directory.iterdir()):
            if path.name.endswith((PART_SUFFIX, DELETED_SUFFIX)):
                path.unlink()
        for damage in self._damaged:
            damage.path.replace(damage.path.with_name(damage.path.name + DAMAGED_SUFFIX))
        started_over = None
        if ahead and latest is not None:
            started_over = latest
            self._start_over_at(latest)
            whole = [latest]
        for each in set(self._snapshots).difference(whole):
            (self.directory / checkpoint_name(each)).unlink()
        self._snapshots = whole
        self.recovery = self.recovery._replace(started_over_at=started_over, damaged=tuple(self._damaged))

    def _start_over_at(self, snapshot: OffsetAndEpoch) -> None:
        """Drops every segment, the last one first so that a crash leaves a log, and begins behind `snapshot`."""
        for segment in reversed(self._segments):
            segment.close()
            segment.unlink()
        self._segments, self._bases, self._epochs = [], [], EpochCache()
        self._start_offset = self._end_offset = snapshot.offset
        self._add(Segment.open(self.directory, snapshot.offset, create=True))
        sync_directory(self.directory)

    def _add(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._bases.append(segment.base_offset)


class _Append:
    """One append under way: which segment each batch goes to, and how to take it all back."""

    def __init__(self, log: MetadataLog, batches: Sequence[bytes], headers: list[BatchHeader]) -> None:
        self._log = log
        self._batches = batches
        self._headers = headers
        self._created: list[Segment] = []
        self._in_doubt = False

    def run(self) -> None:
        log = self._log
        active = log._segments[-1]
        placed: list[tuple[Segment, int, int]] = []
        try:
            self._write_epochs()
            for first, last, rolled in self._runs(active):
                segment = active
                if rolled:
                    segment = Segment.open(log.directory, self._headers[first].base_offset, create=True)
                    self._created.append(segment)
                write_all(segment.fd, b"".join(self._batches[first:last]), segment.size)
                self._sync(segment)
                placed.append((segment, first, last))
            if self._created:
                sync_directory(log.directory)
        except OSError as error:
            self._undo(active, error)
        with log._state_guard:
            for segment in self._created:
                log._add(segment)
            for segment, first, last in placed:
                for header in self._headers[first:last]:
                    segment.note(header, segment.size)
                    log._epochs.assign(header.leader_epoch, header.base_offset)
            log._end_offset = self._headers[-1].next_offset
            log._appended_bytes += sum(header.size for header in self._headers)

    def _write_epochs(self) -> None:
        """The epoch file first: an entry too many at the log's end is dropped by every reader of it."""
        latest = self._log._epochs.latest
        for header in self._headers:
            if latest is None or header.leader_epoch > latest:
                latest = header.leader_epoch
                self._log._epochs.write(self._log.directory, (latest, header.base_offset))

    def _runs(self, active: Segment) -> Iterator[tuple[int, int, bool]]:
        """(first, after last, in a new segment) of the batches that go to one segment each."""
        config = self._log._config
        first, rolled = 0, False
        size, begun_ms = active.size, active.first_timestamp_ms
        for i, header in enumerate(self._headers):
            late = begun_ms is not None and header.max_timestamp_ms - begun_ms > config.segment_ms
            if size and (late or size + header.size > config.segment_bytes):
                if i > first:
                    yield first, i, rolled
                first, rolled, size, begun_ms = i, True, 0, None
            size += header.size
            begun_ms = header.max_timestamp_ms if begun_ms is None else begun_ms
        yield first, len(self._headers), rolled

    def _sync(self, segment: Segment) -> None:
        try:
            sync_data(segment.fd)
        except OSError:
            # The kernel may have dropped the pages it could not write: what the file holds is unknown even
            # where it reads well, so only a fresh start, which checks, may go on.
            self._in_doubt = True
            raise

    def _undo(self, active: Segment, error: OSError) -> None:
        """Takes the files back to where they were; poisons the log where that is not certain."""
        log = self._log
        usable = not self._in_doubt
        try:
            for segment in reversed(self._created):
                segment.path.unlink(missing_ok=True)
                segment.close()
            sync_directory(log.directory)
            os.ftruncate(active.fd, active.size)
            os.fsync(active.fd)
        except OSError:
            usable = False
        if not usable:
            log._poison = f"an earlier append failed ({error}) and could not be taken back"
        with contextlib.suppress(OSError):
            log._epochs.write(log.directory)
        raise LogWriteError(active.path, str(error), usable=usable) from error
