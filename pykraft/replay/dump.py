"""What every print of a recorded file has in common: batch by batch, like records in rows, the others one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pykraft.log.batch import HEADER_SIZE, BatchHeader
from pykraft.replay import record_runs
from pykraft.replay.batch_walk import Buffer, RawRecord, file_bytes, records, walk
from pykraft.replay.record_text import versions_by_key

STEP_MAX: Final = 16
"""How many records at most go one by one before a run is looked for again."""
_NOT_FOR_RUNS: Final = 0x0F  # compressed, or stamped by the log

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


class NotAMetadataFileError(ValueError):
    """A file whose name is not that of a segment or a checkpoint."""


class Gap(NamedTuple):
    """A record whose offset does not follow on the one before it."""

    offset: int
    next_offset: int


class RunFrame(NamedTuple):
    """What stands around the JSON of each record of a run; the offset between head and middle, if at all."""

    head: str
    middle: str
    tail: str
    offsets: bool = True


class Dump(ABC):
    """One file, printed; `gaps` fills meanwhile, and `progress` hears of bytes done."""

    def __init__(self, path: Path, release: str, *, progress: Progress | None = None) -> None:
        self.path = path
        self.release = release
        self.gaps: list[Gap] = []
        self._finder = record_runs.Finder(versions_by_key(release))
        self._progress = progress
        self._last_offset = -1

    @abstractmethod
    def begin(self) -> str:
        """What stands before the batches; NotAMetadataFileError."""

    @abstractmethod
    def batch(self, header: BatchHeader, position: int, batch: bytes) -> str:
        """What stands before the records of a batch."""

    @abstractmethod
    def record(self, record: RawRecord, header: BatchHeader) -> Iterator[str]:
        """A record."""

    @abstractmethod
    def run_frame(self, shape: record_runs.Shape, header: BatchHeader) -> RunFrame:
        """What stands around the JSON of the records of a run."""

    @abstractmethod
    def end(self, position: int, trailing: int) -> str:
        """What is said of `trailing` bytes at the end that are no batch."""

    def lines(self) -> Iterator[str]:
        """The text, in pieces. Raises UnreadableError, after all the text there is, where Kafka's reader gives up;
        NotAMetadataFileError, OSError."""
        yield self.begin()
        with file_bytes(self.path) as data:
            valid = 0
            for position, header in walk(data, str(self.path)):
                yield from self._batch(data, position, header)
                valid = position + header.size
                if self._progress is not None:
                    self._progress(valid, len(data))
            if valid < len(data):
                yield self.end(valid, len(data) - valid)

    def _batch(self, data: Buffer, position: int, header: BatchHeader) -> Iterator[str]:
        batch = data[position : position + header.size]
        yield self.batch(header, position, batch)
        at, done, count = HEADER_SIZE, 0, header.record_count
        may_run = not header.is_control and not header.attributes & _NOT_FOR_RUNS
        step = 1
        while done < count or count < 0:
            run = self._finder.find(batch, at, done, count - done) if may_run else None
            text = None if run is None else self._run(run, batch, at, header, done)
            if run is not None and text is not None:
                yield text
                at, done, step = at + run.records * run.shape.size, done + run.records, 1
                continue
            few = min(count - done, step)
            step = min(2 * step, STEP_MAX)
            for record, behind in records(batch, header, at, done, few):
                self._follow(record.offset, record.offset)
                yield from self.record(record, header)
                at = behind
            done += few

    def _run(self, run: record_runs.Run, batch: bytes, at: int, header: BatchHeader, done: int) -> str | None:
        """The text of a run; None where only the way of one by one tells what is wrong."""
        if done + run.records == header.record_count and at + run.records * run.shape.size != len(batch):
            return None
        offset = header.base_offset + done
        head, middle, tail, offsets = self.run_frame(run.shape, header)
        lines = run.shape.lines(offsets=offsets)
        try:
            text = "".join(
                [
                    "".join(lines(piece, offset + first, head, middle, tail))
                    for piece, first in record_runs.slices(run, batch, at)
                ]
            )
        except UnicodeDecodeError:
            return None
        self._follow(offset, offset + run.records - 1)
        return text

    def _follow(self, first: int, last: int) -> None:
        if self._last_offset not in (-1, first - 1):
            self.gaps.append(Gap(self._last_offset, first))
        self._last_offset = last
