"""The text of kafka-dump-log with --cluster-metadata-decoder, as any release of Kafka prints it.

Source: core/.../tools/DumpLogSegments.scala (`dumpLog`). Releases differ in the records they know and in what they
say of control records. Where Kafka's tool dies of an exception the text ends at the same place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pykraft.log.batch import HEADER_SIZE, BatchHeader, ControlRecordType, batch_crc
from pykraft.log.checkpoint import BOOTSTRAP_NAME
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.jsonconv import to_json
from pykraft.replay.batch_walk import RawRecord, UnreadableError, compression_of
from pykraft.replay.control import CONTROL_RECORDS
from pykraft.replay.dump import Dump, NotAMetadataFileError, Progress, RunFrame
from pykraft.replay.json_text import json_text
from pykraft.replay.record_runs import Shape
from pykraft.replay.record_text import minor_of, payload, type_name

LOG_SUFFIX: Final = ".log"
CHECKPOINT_SUFFIX: Final = ".checkpoint"
_CHECKPOINT_NAME: Final = re.compile(r"(\d{20})-(\d{10})\.checkpoint$")
_LOG_APPEND_TIME: Final = 0x08
_TRANSACTIONAL: Final = 0x10
_DELETE_HORIZON: Final = 0x40
_NO_HEADERS: Final = " sequence: -1 headerKeys: []"
_CONTROL_KEY_BYTES: Final = 4
_MARKER_BYTES: Final = 6
_INT_MAX: Final = (1 << 31) - 1
_LABELS: Final[dict[int, tuple[str, tuple[int, int]]]] = {
    ControlRecordType.LEADER_CHANGE: ("LeaderChange:", (4, 1)),
    ControlRecordType.SNAPSHOT_HEADER: ("SnapshotHeader", (0, 0)),
    ControlRecordType.SNAPSHOT_FOOTER: ("SnapshotFooter", (0, 0)),
    ControlRecordType.KRAFT_VERSION: ("KRaftVersion", (3, 8)),
    ControlRecordType.KRAFT_VOTERS: ("KRaftVoters", (3, 8)),
}
"""What stands before a control record's JSON, and the first release that prints it."""


class KafkaDump(Dump):
    """A file as a release's own tool prints it, after its line `Dumping …`."""

    def __init__(
        self, path: Path, release: str, *, skip_record_metadata: bool = False, progress: Progress | None = None
    ) -> None:
        super().__init__(path, release, progress=progress)
        self._minor = minor_of(release)
        self._skip = skip_record_metadata

    def begin(self) -> str:
        return head_line(self.path)

    def batch(self, header: BatchHeader, position: int, batch: bytes) -> str:
        return batch_line(header, position, batch)

    def end(self, position: int, trailing: int) -> str:
        return f"Found {trailing} invalid bytes at the end of {self.path.name}\n"

    def run_frame(self, shape: Shape, header: BatchHeader) -> RunFrame:
        payload_head = f' payload: {{"type":"{type_name(shape.cls.__name__)}","version":{shape.version},"data":'
        if self._skip:
            return RunFrame("", payload_head, "}\n", offsets=False)
        about = f" CreateTime: {header.base_timestamp_ms} keySize: -1 valueSize: {shape.value_size}{_NO_HEADERS}"
        return RunFrame("| offset: ", about + payload_head, "}\n")

    def record(self, record: RawRecord, header: BatchHeader) -> Iterator[str]:
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
            yield f" payload: {payload(record.offset, record.value, self.release)}"
        yield "\n"


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
        last_sequence = _incremented(header.base_sequence, header.last_offset_delta)
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
    label, since = _LABELS.get(number, ("", minor))
    if label and minor >= since:
        try:
            message, _ = CONTROL_RECORDS[number].decode_prefix(value, 0)
        except ProtocolError as error:
            raise UnreadableError(str(error)) from error
        return f" {label} {json_text(to_json(message, 0))}"
    return f" controlType: {'LEADER_CHANGE' if number == ControlRecordType.LEADER_CHANGE else 'UNKNOWN'}({number})"


def _size(part: bytes | None) -> int:
    return -1 if part is None else len(part)


def _sequence(record: RawRecord, header: BatchHeader) -> int:
    if header.base_sequence < 0:
        return -1
    return _incremented(header.base_sequence, record.offset - header.base_offset)


def _incremented(sequence: int, by: int) -> int:
    """A sequence number some steps on: after the largest comes 0."""
    return sequence + by - (1 << 31 if sequence > _INT_MAX - by else 0)


def _java(value: bool) -> str:
    return "true" if value else "false"
