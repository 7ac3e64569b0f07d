"""The text of kafka-dump-log with --cluster-metadata-decoder, as any release of Kafka prints it.

Source: core/.../tools/DumpLogSegments.scala (`dumpLog`). Releases differ in the records they know and in what they
say of control records. Where Kafka's tool dies of an exception the text ends at the same place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pykraft.log.batch import HEADER_SIZE, BatchHeader, ControlRecordType, batch_crc
from pykraft.log.checkpoint import BOOTSTRAP_NAME
from pykraft.protocol._message import Message
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.messages.kraft_version_record import KRaftVersionRecord
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage
from pykraft.protocol.messages.snapshot_footer_record import SnapshotFooterRecord
from pykraft.protocol.messages.snapshot_header_record import SnapshotHeaderRecord
from pykraft.protocol.messages.voters_record import VotersRecord
from pykraft.replay import record_runs
from pykraft.replay.batch_walk import Buffer, RawRecord, UnreadableError, compression_of, file_bytes, records, walk
from pykraft.replay.json_text import json_text
from pykraft.replay.record_text import minor_of, payload, type_name, versions_by_key

LOG_SUFFIX: Final = ".log"
CHECKPOINT_SUFFIX: Final = ".checkpoint"
STEP_MAX: Final = 16
"""How many records at most go one by one before a run is looked for again."""

_CHECKPOINT_NAME: Final = re.compile(r"(\d{20})-(\d{10})\.checkpoint$")
_LOG_APPEND_TIME: Final = 0x08
_TRANSACTIONAL: Final = 0x10
_DELETE_HORIZON: Final = 0x40
_NOT_FOR_RUNS: Final = 0x07 | _LOG_APPEND_TIME
_NO_HEADERS: Final = " sequence: -1 headerKeys: []"
_CONTROL_KEY_BYTES: Final = 4
_MARKER_BYTES: Final = 6
_CONTROL_RECORDS: Final[dict[int, tuple[str, type[Message], tuple[int, int]]]] = {
    ControlRecordType.LEADER_CHANGE: ("LeaderChange:", LeaderChangeMessage, (4, 1)),
    ControlRecordType.SNAPSHOT_HEADER: ("SnapshotHeader", SnapshotHeaderRecord, (0, 0)),
    ControlRecordType.SNAPSHOT_FOOTER: ("SnapshotFooter", SnapshotFooterRecord, (0, 0)),
    ControlRecordType.KRAFT_VERSION: ("KRaftVersion", KRaftVersionRecord, (3, 8)),
    ControlRecordType.KRAFT_VOTERS: ("KRaftVoters", VotersRecord, (3, 8)),
}
"""Label, class, and the first release that prints it."""
_NAMED_SINCE: Final[dict[int, tuple[int, int]]] = {ControlRecordType.LEADER_CHANGE: (0, 0)}

Progress = Callable[[int, int], None]


class NotAMetadataFileError(ValueError):
    """A file whose name is not that of a segment or a checkpoint."""


class Gap(NamedTuple):
    """A record whose offset does not follow on the one before it."""

    offset: int
    next_offset: int


class Dump:
    """One file's text, in pieces, from `lines`; `gaps` fills meanwhile, and `progress` hears of bytes done."""

    def __init__(
        self, path: Path, release: str, *, skip_record_metadata: bool = False, progress: Progress | None = None
    ) -> None:
        self.path = path
        self.gaps: list[Gap] = []
        self._release = release
        self._minor = minor_of(release)
        self._finder = record_runs.Finder(versions_by_key(release))
        self._skip = skip_record_metadata
        self._progress = progress
        self._last_offset = -1

    def lines(self) -> Iterator[str]:
        """The text, each piece some whole lines but where Kafka's tool ends within one.

        Raises UnreadableError, after all the text there is, where Kafka's tool ends with an exception;
        NotAMetadataFileError, OSError.
        """
        yield head_line(self.path)
        with file_bytes(self.path) as data:
            valid = 0
            for position, header in walk(data, str(self.path)):
                yield from self._batch(data, position, header)
                valid = position + header.size
                if self._progress is not None:
                    self._progress(valid, len(data))
            if valid < len(data):
                yield f"Found {len(data) - valid} invalid bytes at the end of {self.path.name}\n"

    def _batch(self, data: Buffer, position: int, header: BatchHeader) -> Iterator[str]:
        batch = data[position : position + header.size]
        yield batch_line(header, position, batch)
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
                yield from self._record(record, header)
                at = behind
            done += few

    def _run(self, run: record_runs.Run, batch: bytes, at: int, header: BatchHeader, done: int) -> str | None:
        """The lines of a run; None where only the way of one by one tells what is wrong."""
        if done + run.records == header.record_count and at + run.records * run.shape.size != len(batch):
            return None
        offset = header.base_offset + done
        middle = ""
        if not self._skip:
            middle = f" CreateTime: {header.base_timestamp_ms} keySize: -1 valueSize: {run.shape.value_size}{_NO_HEADERS}"
        middle += f' payload: {{"type":"{type_name(run.shape.cls.__name__)}","version":{run.shape.version},"data":'
        lines = run.shape.lines(offsets=not self._skip)
        try:
            text = "".join(
                line
                for piece, first in record_runs.slices(run, batch, at)
                for line in lines(piece, offset + first, "| offset: ", middle, "}\n")
            )
        except UnicodeDecodeError:
            return None
        self._follow(offset, offset + run.records - 1)
        return text

    def _record(self, record: RawRecord, header: BatchHeader) -> Iterator[str]:
        self._follow(record.offset, record.offset)
        if not self._skip:
            time_type = "LogAppendTime" if header.attributes & _LOG_APPEND_TIME else "CreateTime"
            yield (
                f"| offset: {record.offset} {time_type}: {record.timestamp_ms} keySize: {_size(record.key)}"
                f" valueSize: {_size(record.value)} sequence: {_sequence(record, header)}"
                f" headerKeys: [{','.join(record.header_keys)}]"
            )
            if header.is_control:
                yield control_text(record, self._minor)
        if not header.is_control and record.value is not None:
            yield f" payload: {payload(record.offset, record.value, self._release)}"
        yield "\n"

    def _follow(self, first: int, last: int) -> None:
        if self._last_offset not in (-1, first - 1):
            self.gaps.append(Gap(self._last_offset, first))
        self._last_offset = last


def head_line(path: Path) -> str:
    """What stands before the batches of a file; NotAMetadataFileError."""
    name = path.name
    if name == BOOTSTRAP_NAME:
        return "KRaft bootstrap snapshot\n"
    base = name.partition(".")[0]
    if name.endswith(LOG_SUFFIX) and base.isdecimal():
        return f"Log starting offset: {int(base)}\n"
    checkpoint = _CHECKPOINT_NAME.match(name)
    if checkpoint is not None:
        return f"Snapshot end offset: {int(checkpoint[1])}, epoch: {int(checkpoint[2])}\n"
    raise NotAMetadataFileError(
        f"{path} is named neither as a segment (00000000000000000000.log) nor as a checkpoint"
        " (00000000000000000012-0000000001.checkpoint): give it such a name"
    )


def batch_line(header: BatchHeader, position: int, batch: bytes) -> str:
    """The line of a batch; UnreadableError for a compression that Kafka does not know."""
    attributes = header.attributes
    last_sequence = -1
    if header.base_sequence != -1:
        last_sequence = (header.base_sequence + header.last_offset_delta) & 0x7FFFFFFF
    horizon = f"OptionalLong[{header.base_timestamp_ms}]" if attributes & _DELETE_HORIZON else "OptionalLong.empty"
    time_type = "LogAppendTime" if attributes & _LOG_APPEND_TIME else "CreateTime"
    is_valid = header.size >= HEADER_SIZE and batch_crc(batch, 0, header.size) == header.crc
    return (
        f"baseOffset: {header.base_offset} lastOffset: {header.base_offset + header.last_offset_delta}"
        f" count: {header.record_count} baseSequence: {header.base_sequence} lastSequence: {last_sequence}"
        f" producerId: {header.producer_id} producerEpoch: {header.producer_epoch}"
        f" partitionLeaderEpoch: {header.leader_epoch} isTransactional: {_java(bool(attributes & _TRANSACTIONAL))}"
        f" isControl: {_java(header.is_control)} deleteHorizonMs: {horizon} position: {position}"
        f" {time_type}: {header.max_timestamp_ms} size: {header.size} magic: {header.magic}"
        f" compresscodec: {compression_of(header)} crc: {header.crc} isvalid: {_java(is_valid)}\n"
    )


def control_text(record: RawRecord, minor: tuple[int, int]) -> str:
    """What a release says of a control record; UnreadableError where it ends with an exception."""
    key, value = record.key or b"", record.value or b""
    if len(key) < _CONTROL_KEY_BYTES:
        raise UnreadableError(f"Invalid value size found for end control record key. Must have at least "
                              f"{_CONTROL_KEY_BYTES} bytes, but found only {len(key)}")  # fmt: skip
    number = int.from_bytes(key[2:4], "big", signed=True)
    if number in (ControlRecordType.ABORT, ControlRecordType.COMMIT):
        if len(value) < _MARKER_BYTES:
            raise UnreadableError("the end transaction marker is cut")
        epoch = int.from_bytes(value[2:_MARKER_BYTES], "big", signed=True)
        return f" endTxnMarker: {ControlRecordType(number).name} coordinatorEpoch: {epoch}"
    if number in _CONTROL_RECORDS:
        label, cls, since = _CONTROL_RECORDS[number]
        if minor >= since:
            try:
                message, _ = cls.decode_prefix(value, 0)
            except ProtocolError as error:
                raise UnreadableError(str(error)) from error
            return f" {label} {json_text(to_json(message, 0))}"
    name = ControlRecordType(number).name if number in _NAMED_SINCE and minor >= _NAMED_SINCE[number] else "UNKNOWN"
    return f" controlType: {name}({number})"


def _size(part: bytes | None) -> int:
    return -1 if part is None else len(part)


def _sequence(record: RawRecord, header: BatchHeader) -> int:
    if header.base_sequence < 0:
        return -1
    return (header.base_sequence + record.offset - header.base_offset) & 0x7FFFFFFF


def _java(value: bool) -> str:
    return "true" if value else "false"
