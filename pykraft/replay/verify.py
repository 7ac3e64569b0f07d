"""Everything that is wrong with a recorded log, from the CRC of a batch to a record that cannot follow on the others.

Unlike the readers that stop at the first damage this goes on with the next batch, so that one look tells all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pykraft.image.metadata_image import MetadataImage, ReplayError
from pykraft.log.batch import (
    HEADER_SIZE,
    Batch,
    ControlRecordType,
    batch_crc,
    check_header,
    decode_batch,
    read_header,
)
from pykraft.log.epochs import FILE_NAME as EPOCHS_FILE_NAME
from pykraft.log.epochs import EpochCache
from pykraft.log.errors import CorruptBatchError, LogStateError
from pykraft.log.quorum_state import FILE_NAME as QUORUM_STATE_NAME
from pykraft.log.quorum_state import read_quorum_state
from pykraft.protocol._message import Message
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.record_frame import decode_record
from pykraft.replay.batch_walk import Buffer, file_bytes
from pykraft.replay.control import CONTROL_RECORDS
from pykraft.replay.recorded import Checkpoint, Progress, RecordedLog


class Finding(NamedTuple):
    """Something wrong at byte `position` of a file, where `offset` stands or should; None where that is unknown."""

    path: Path
    offset: int | None
    position: int
    text: str


class Verifier:
    """Checks one log; `batches`, `records` count what was sound."""

    def __init__(self, log: RecordedLog, progress: Progress | None = None) -> None:
        self.batches = 0
        self.records = 0
        self._log = log
        self._progress = progress
        self._epochs = EpochCache()
        self._done = 0
        self._total = log.size + sum(found.path.stat().st_size for found in log.checkpoints)

    def findings(self) -> Iterator[Finding]:
        """All that is wrong, in the order of the files; OSError."""
        for checkpoint in self._log.checkpoints:
            yield from self._checkpoint(checkpoint)
        yield from self._segments()
        if self._log.root.is_dir():
            yield from self._files_beside()

    def _segments(self) -> Iterator[Finding]:
        log = self._log
        if not log.segments:
            return
        expected, epoch = log.start_offset, 0
        start = log.checkpoint_before(None)
        replay = _Replay(MetadataImage())
        if start is not None:
            counted = self.batches, self.records, self._done
            replay.broken = any(True for _ in self._replayed_checkpoint(start, replay))  # said once already
            self.batches, self.records, self._done = counted
        elif log.start_offset > 0:
            text = f"the log begins at offset {log.start_offset} and no checkpoint stands for what was before"
            yield Finding(log.segments[0], log.start_offset, 0, text)
            replay.broken = True
        for path in log.segments:
            base = int(path.name[:20])
            if base != expected:
                text = f"the file begins at offset {base}, the log before it ends at {expected}"
                yield Finding(path, expected, 0, text)
                expected, replay.broken = base, True
            with file_bytes(path) as data:
                for item in self._batches(path, data):
                    if isinstance(item, Finding):
                        replay.broken = True
                        yield item
                        continue
                    position, batch = item
                    header = batch.header
                    if header.base_offset != expected:
                        replay.broken = True
                        yield Finding(path, header.base_offset, position,
                                      f"base offset {header.base_offset}, {expected} comes next")  # fmt: skip
                    if header.leader_epoch < epoch:
                        yield Finding(path, header.base_offset, position,
                                      f"leader epoch {header.leader_epoch} after {epoch}")  # fmt: skip
                    epoch = max(epoch, header.leader_epoch)
                    self._epochs.assign(header.leader_epoch, header.base_offset)
                    expected = header.next_offset
                    yield from self._records(path, position, batch, replay)
        if replay.image.in_transaction and not replay.broken:
            text = f"the log ends within the transaction that began at offset {replay.image.transaction_start_offset}"
            yield Finding(log.segments[-1], expected, log.segments[-1].stat().st_size, text)

    def _batches(self, path: Path, data: Buffer) -> Iterator[Finding | tuple[int, Batch]]:
        """Each batch that is whole and sound in itself, and what is wrong with the others."""
        position, end = 0, len(data)
        while position < end:
            if end - position < HEADER_SIZE:
                yield Finding(path, None, position, f"{end - position} bytes at the end are no batch")
                break
            header = read_header(data[position : position + HEADER_SIZE])
            try:
                check_header(header, position)
            except CorruptBatchError as bad:
                yield Finding(path, header.base_offset, position, f"{bad.reason}; nothing behind it can be read")
                break
            if position + header.size > end:
                text = f"the batch needs {header.size} bytes, the file ends after {end - position}"
                yield Finding(path, header.base_offset, position, text)
                break
            chunk = data[position : position + header.size]
            actual = batch_crc(chunk, 0, header.size)
            if actual != header.crc:
                text = f"CRC-32C is {actual:#010x}, the header says {header.crc:#010x}"
                yield Finding(path, header.base_offset, position, text)
            else:
                try:
                    yield position, decode_batch(chunk, 0, file_position=position)
                    self.batches += 1
                except CorruptBatchError as bad:
                    yield Finding(path, header.base_offset, position, bad.reason)
            position += header.size
            if self._progress is not None:
                self._progress(self._done + position, self._total)
        self._done += end

    def _records(self, path: Path, position: int, batch: Batch, replay: _Replay) -> Iterator[Finding]:
        header = batch.header
        for offset, value in enumerate(batch.values, header.base_offset):
            try:
                if header.is_control:
                    text = _control_trouble(batch.control_types[offset - header.base_offset], value)
                    if text is not None:
                        yield Finding(path, offset, position, text)
                        continue
                else:
                    replay.apply(decode_record(value).message, offset, header.leader_epoch)
                self.records += 1
            except ProtocolError as error:
                replay.broken = True
                yield Finding(path, offset, position, f"no readable record: {error}")
            except ReplayError as error:
                yield Finding(path, offset, position, str(error).removeprefix(f"offset {offset}: "))

    def _checkpoint(self, checkpoint: Checkpoint) -> Iterator[Finding]:
        yield from self._replayed_checkpoint(checkpoint, _Replay(MetadataImage()))

    def _replayed_checkpoint(self, checkpoint: Checkpoint, replay: _Replay) -> Iterator[Finding]:
        end, path = checkpoint
        expected, last = 0, 0
        types: list[list[int]] = []
        with file_bytes(path) as data:
            for item in self._batches(path, data):
                if isinstance(item, Finding):
                    replay.broken = True
                    yield item
                    continue
                last, batch = item
                types += [list(batch.control_types)]
                header = batch.header
                if header.base_offset != expected:
                    yield Finding(path, header.base_offset, last,
                                  f"base offset {header.base_offset}, {expected} comes next")  # fmt: skip
                if header.leader_epoch != end.epoch:
                    yield Finding(path, header.base_offset, last,
                                  f"leader epoch {header.leader_epoch}, the file is named for {end.epoch}")  # fmt: skip
                expected = header.next_offset
                yield from self._records(path, last, batch, replay)
        if not types or types[0][:1] != [ControlRecordType.SNAPSHOT_HEADER]:
            yield Finding(path, 0, 0, "it does not begin with a snapshot header")
        if not types or types[-1][-1:] != [ControlRecordType.SNAPSHOT_FOOTER]:
            yield Finding(path, expected, last, "it does not end with a snapshot footer")
        replay.image.offset, replay.image.epoch = end.offset - 1, end.epoch

    def _files_beside(self) -> Iterator[Finding]:
        """The epochs and the quorum's state, which must agree with the batches."""
        path = self._log.root / EPOCHS_FILE_NAME
        if path.exists() and self._log.segments and self._log.start_offset == 0:
            said = path.read_text(errors="replace")
            if said != self._epochs.text():
                rows = " ".join(f"{epoch}@{start}" for epoch, start in self._epochs.entries())
                yield Finding(path, None, 0, f"it does not say what the batches say, epochs {rows}")
        try:
            state = read_quorum_state(self._log.root)
        except LogStateError as error:
            yield Finding(self._log.root / QUORUM_STATE_NAME, None, 0, error.reason)
            return
        latest = self._epochs.latest
        if state is not None and latest is not None and state.leader_epoch < latest:
            text = f"leader epoch {state.leader_epoch}, the log has been written in epoch {latest}"
            yield Finding(self._log.root / QUORUM_STATE_NAME, None, 0, text)


class _Replay:
    """An image that is given up, without a further word, once what it needs is missing."""

    def __init__(self, image: MetadataImage) -> None:
        self.image = image
        self.broken = False

    def apply(self, message: Message, offset: int, epoch: int) -> None:
        if not self.broken:
            self.image.apply(message, offset, epoch)


def _control_trouble(control_type: int, value: bytes) -> str | None:
    cls = CONTROL_RECORDS.get(control_type)
    if cls is None:
        return f"control records of type {control_type} do not belong here"
    version = int.from_bytes(value[:2], "big", signed=True)
    try:
        cls.decode(value, version)
    except ProtocolError as error:
        return f"no readable control record of type {control_type}: {error}"
    return None
