"""A recorded metadata log: its files, its batches and records in order, and the cluster they make at any point."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import NamedTuple, Self

from pykraft.image.metadata_image import MetadataImage, ReplayError
from pykraft.image.replay import apply_values
from pykraft.log.batch import Batch
from pykraft.log.checkpoint import BOOTSTRAP_NAME, iter_checkpoint
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.errors import CorruptBatchError, CorruptLogError
from pykraft.log.metadata_log import DIRECTORY_NAME
from pykraft.log.segment import iter_file
from pykraft.protocol._message import Message
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.record_frame import decode_record

SEGMENT_NAME = re.compile(r"(\d{20})\.log")
CHECKPOINT_NAME = re.compile(r"(\d{20})-(\d{10})\.checkpoint")

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


class NotALogError(Exception):
    """A path that holds no metadata log, or not the part of it that is asked for; the text says what would do."""


class RecordError(Exception):
    """A record that cannot be read or does not follow on those before; says where it stands."""

    def __init__(self, path: Path, offset: int, position: int, reason: str) -> None:
        self.path, self.offset, self.position, self.reason = path, offset, position, reason
        super().__init__(f"{path}: offset {offset}, batch at byte {position}: {reason}")


class Checkpoint(NamedTuple):
    """A snapshot of everything before `end.offset`."""

    end: OffsetAndEpoch
    path: Path


class LoggedBatch(NamedTuple):
    """A batch and the place where it stands."""

    path: Path
    position: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class RecordedLog:
    """The segments and checkpoints of one log, each oldest first. Takes no lock and changes nothing."""

    root: Path
    segments: tuple[Path, ...]
    checkpoints: tuple[Checkpoint, ...]

    @classmethod
    def at(cls, path: Path) -> Self:
        """The log at a path: a segment, a checkpoint, a `__cluster_metadata-0`, or the directory that holds one.

        Raises NotALogError, OSError.
        """
        if path.is_dir():
            return cls._of_directory(path)
        if not path.exists():
            raise NotALogError(f"{path} does not exist")
        if SEGMENT_NAME.fullmatch(path.name):
            return cls(path, (path,), ())
        checkpoint = _checkpoint(path)
        if checkpoint is not None:
            return cls(path, (), (checkpoint,))
        raise NotALogError(
            f"{path} is named neither as a segment (00000000000000000000.log) nor as a checkpoint"
            " (00000000000000000012-0000000001.checkpoint): give it such a name, or name its directory"
        )

    @classmethod
    def _of_directory(cls, path: Path) -> Self:
        directory = path / DIRECTORY_NAME if (path / DIRECTORY_NAME).is_dir() else path
        entries = sorted(directory.iterdir())
        segments = tuple(entry for entry in entries if SEGMENT_NAME.fullmatch(entry.name))
        checkpoints = tuple(filter(None, (_checkpoint(entry) for entry in entries if entry.name != BOOTSTRAP_NAME)))
        if not segments and not checkpoints:
            raise NotALogError(f"{path} holds neither segments nor checkpoints of a metadata log")
        return cls(directory, segments, checkpoints)

    @property
    def start_offset(self) -> int:
        """The first offset of the segments; that of the last checkpoint when there are none."""
        if self.segments:
            return int(self.segments[0].name[:20])
        return self.checkpoints[-1].end.offset if self.checkpoints else 0

    @property
    def size(self) -> int:
        """Bytes in all segments; OSError."""
        return sum(path.stat().st_size for path in self.segments)

    def batches(self, progress: Progress | None = None) -> Iterator[LoggedBatch]:
        """The batches of all segments, every field checked, offsets in step.

        Raises CorruptLogError at the first damage, OSError.
        """
        expected, done, total = self.start_offset, 0, self.size
        for path in self.segments:
            position = 0
            try:
                for position, batch in iter_file(path):
                    if batch.header.base_offset != expected:
                        raise CorruptBatchError(
                            batch.header.base_offset, position,
                            f"base offset {batch.header.base_offset}, not {expected}",
                        )  # fmt: skip
                    expected = batch.header.next_offset
                    yield LoggedBatch(path, position, batch)
                    if progress is not None:
                        progress(done + position + batch.header.size, total)
            except CorruptBatchError as bad:
                raise CorruptLogError(path, expected, bad.position, bad.reason) from bad
            done += path.stat().st_size

    def checkpoint_before(self, offset: int | None) -> Checkpoint | None:
        """The newest checkpoint that replay up to `offset`, that record included, can begin with.

        None where the log goes back to its beginning, which is the better start.
        """
        if self.segments and self.start_offset == 0:
            return None
        fitting = [
            found for found in self.checkpoints
            if (offset is None or found.end.offset <= offset + 1) and found.end.offset >= self.start_offset
        ]  # fmt: skip
        return fitting[-1] if fitting else None

    def image(
        self, until: int | None = None, *, until_ms: int | None = None, progress: Progress | None = None
    ) -> MetadataImage:
        """The cluster after the record at offset `until`, or after the last batch not newer than `until_ms`.

        Without either after the last record. Raises CorruptLogError, RecordError, NotALogError, OSError.
        """
        replay = Replay.starting(self, until)
        for logged in self.batches(progress):
            header = logged.batch.header
            if until_ms is not None and header.max_timestamp_ms > until_ms:
                break
            if until is not None and header.base_offset > until:
                break
            replay.apply(logged, until)
        return replay.image


class Replay:
    """An image that takes batches in turn."""

    def __init__(self, image: MetadataImage) -> None:
        self.image = image

    @classmethod
    def starting(cls, log: RecordedLog, until: int | None = None) -> Self:
        """At the start of the log, or with the checkpoint that stands for what was before it."""
        replay = cls(MetadataImage())
        checkpoint = log.checkpoint_before(until)
        if checkpoint is not None:
            replay._load(checkpoint)
        elif log.start_offset > 0:
            what = "its end" if until is None else f"offset {until}"
            raise NotALogError(
                f"{log.root} begins at offset {log.start_offset} and has no checkpoint to begin with for {what}:"
                " name a directory that holds one"
            )
        return replay

    def _load(self, checkpoint: Checkpoint) -> None:
        end, path = checkpoint
        for batch in iter_checkpoint(path):
            if not batch.header.is_control:
                self._apply(batch.values, repeat(end.offset - 1), end.epoch, path, 0)
        self.image.offset, self.image.epoch = end.offset - 1, end.epoch

    def apply(self, logged: LoggedBatch, until: int | None = None) -> None:
        """Apply the records of a batch that the image does not have yet, up to `until`; RecordError."""
        path, position, batch = logged
        header, image = batch.header, self.image
        if header.is_control:
            if header.next_offset - 1 > image.offset:
                image.offset, image.epoch = header.next_offset - 1, header.leader_epoch
            return
        first = max(header.base_offset, image.offset + 1)
        last = header.next_offset if until is None else min(header.next_offset, until + 1)
        values = batch.values[first - header.base_offset : max(last - header.base_offset, 0)]
        self._apply(values, range(first, last), header.leader_epoch, path, position)

    def _apply(self, values: Sequence[bytes], offsets: Iterable[int], epoch: int, path: Path, position: int) -> None:
        image, before = self.image, self.image.offset
        try:
            apply_values(image, values, offsets, epoch)
        except (ReplayError, ProtocolError) as error:
            # The image stands at the last record that went well.
            offset = image.offset + 1 if image.offset != before else next(iter(offsets))
            reason = str(error).removeprefix(f"offset {offset}: ")
            if isinstance(error, ProtocolError):
                reason = f"no readable record: {reason}"
            raise RecordError(path, offset, position, reason) from error
        image.take_delta()  # nobody asks for it, and it would grow to the size of the image


def decoded(value: bytes, path: Path, offset: int, position: int) -> Message:
    """The metadata record in `value`; RecordError."""
    try:
        return decode_record(value).message
    except ProtocolError as error:
        raise RecordError(path, offset, position, f"no readable record: {error}") from error


def _checkpoint(path: Path) -> Checkpoint | None:
    match = CHECKPOINT_NAME.fullmatch(path.name)
    if match is not None:
        return Checkpoint(OffsetAndEpoch(int(match[1]), int(match[2])), path)
    return Checkpoint(OffsetAndEpoch(0, 0), path) if path.name == BOOTSTRAP_NAME else None
