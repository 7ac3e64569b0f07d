"""A changed copy of a recorded log: records dropped, ids, hosts and names rewritten, offsets and CRCs made right.

A record that is dropped leaves a NoOpRecord in its place, so that every offset stays; when the log is renumbered it
goes, and offsets close up. Broker epochs are offsets too (of the registration) and follow them. A checkpoint holds what
dropped records did, merged with what others did: it is made anew from the edited log.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pykraft.image.snapshot import UnwritableMetadataError, snapshot_records
from pykraft.log.batch import Batch, ControlRecordType, encode_batches, encode_control_batch
from pykraft.log.checkpoint import (
    BOOTSTRAP_NAME,
    CheckpointWriter,
    checkpoint_name,
    iter_checkpoint,
    last_contained_timestamp_ms,
)
from pykraft.log.epochs import EpochCache, OffsetAndEpoch
from pykraft.log.metadata_log import DIRECTORY_NAME
from pykraft.log.quorum_state import read_quorum_state, write_quorum_state
from pykraft.log.segment import segment_name
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage
from pykraft.protocol.messages.voters_record import VotersRecord
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record, encode_record
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.replay.anonymise import Names
from pykraft.replay.record_text import type_name
from pykraft.replay.recorded import Checkpoint, NotALogError, Progress, RecordedLog, RecordError

NODE_ID_FIELDS: Final = frozenset({"broker_id", "controller_id", "leader", "leader_id", "voter_id"})
NODE_ID_LISTS: Final = frozenset(
    {"replicas", "isr", "removing_replicas", "adding_replicas", "eligible_leader_replicas", "last_known_elr"}
)
FENCING_RECORDS: Final = frozenset({"FenceBrokerRecord", "UnfenceBrokerRecord"})
"""Their fields `id` and `epoch` are a broker's; elsewhere `id` is an ACL's."""
BROKER_RESOURCES: Final = frozenset({4, 8})
"""The ConfigRecord resource types whose name is a node id."""

NAMING_CONTROL_RECORDS: Final[Mapping[int, type[LeaderChangeMessage | VotersRecord]]] = {
    ControlRecordType.LEADER_CHANGE: LeaderChangeMessage,
    ControlRecordType.KRAFT_VOTERS: VotersRecord,
}
"""The control records that name nodes and hosts."""

PARTITION_METADATA_NAME: Final = "partition.metadata"
PROPERTIES_ENCODING: Final = "latin-1"
CHECKPOINT_RECORDS_PER_WRITE: Final = 1_000

_ENTRY: Final = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True)
class Edits:
    """What to change. `hosts` maps a host, or host:port, to another; `drop` holds record types (`NO_OP_RECORD`),
    offsets and ranges of offsets (`12-40`)."""

    drop: tuple[str, ...] = ()
    node_ids: Mapping[int, int] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    anonymise: bool = False
    renumber: bool = False

    def drops(self) -> Callable[[int, str], bool]:
        """Whether the record at an offset, of a type, goes; ValueError for an entry that is neither."""
        types: set[str] = set()
        ranges: list[range] = []
        for entry in self.drop:
            match = _ENTRY.fullmatch(entry)
            if match is not None:
                ranges.append(range(int(match[1]), int(match[2] or match[1]) + 1))
            elif re.fullmatch(r"[A-Z_]+", entry):
                types.add(entry)
            else:
                raise ValueError(f"{entry!r} is no record type such as NO_OP_RECORD, offset or range 12-40")
        return lambda offset, kind: kind in types or any(offset in each for each in ranges)


@dataclass(slots=True)
class Report:
    """What was done; `left_out` says which checkpoints could not be made anew, and why."""

    records: int = 0
    dropped: int = 0
    changed: int = 0
    left_out: list[str] = field(default_factory=list)


class Editor:
    """Rewrites the records and batches of one file, or of all segments of a log, in order.

    The editors of one log share its `names`, so that somebody has the same pseudonym everywhere.
    """

    def __init__(self, edits: Edits, names: Names | None = None) -> None:
        self.report = Report()
        self.names = names if names is not None else Names()
        self._edits = edits
        self._drops = edits.drops()
        self._offset: int | None = None
        self._new_offsets: dict[int, int] = {}

    def batch(self, batch: Batch) -> list[bytes]:
        """The batch or batches that take its place."""
        header = batch.header
        if self._offset is None:
            self._offset = 0 if self._edits.renumber else header.base_offset
        place = {"leader_epoch": header.leader_epoch, "timestamp_ms": header.base_timestamp_ms}
        if header.is_control:
            records = self.control_records(batch)
            made = [encode_control_batch(records, base_offset=self._offset, **place)]
            self._number(range(header.base_offset, header.next_offset))
            return made
        base = self._offset
        values = [value for value in self._values(batch) if value is not None]
        return encode_batches(values, base_offset=base, atomic=True, **place) if values else []

    def new_offset(self, offset: int) -> int:
        """Where the record at an offset went; for one that went away, the one that took its place."""
        return self._new_offsets.get(offset, offset) if self._edits.renumber else offset

    def new_end(self, end: int) -> int:
        """Behind the last record that was before `end`, an offset up to the end of the log."""
        return self._new_offsets.get(end, self.end_offset) if self._edits.renumber else end

    @property
    def end_offset(self) -> int:
        return self._offset or 0

    def _number(self, offsets: Iterable[int]) -> None:
        assert self._offset is not None
        for offset in offsets:
            if self._edits.renumber:
                self._new_offsets[offset] = self._offset
            self._offset += 1

    def _values(self, batch: Batch) -> Iterable[bytes | None]:
        assert self._offset is not None
        for offset, value in enumerate(batch.values, batch.header.base_offset):
            self.report.records += 1
            record = decode_record(value)
            kind = type_name(type(record.message).__name__)
            if self._drops(offset, kind):
                self.report.dropped += 1
                if self._edits.renumber:
                    self._new_offsets[offset] = self._offset
                    continue
                record = ApiMessageAndVersion(NoOpRecord(), 0)
            self._number((offset,))
            self._rewrite(record.message)
            made = encode_record(record.message, record.version)
            self.report.changed += made != value
            yield made

    def control_records(self, batch: Batch) -> list[tuple[int, bytes]]:
        """(type, value) of each record of a control batch."""
        return [
            (kind, self._control(kind, value)) for kind, value in zip(batch.control_types, batch.values, strict=True)
        ]

    def _control(self, number: int, value: bytes) -> bytes:
        cls = NAMING_CONTROL_RECORDS.get(number)
        if cls is None:
            return value
        message = cls.decode(value, int.from_bytes(value[:2], "big", signed=True))
        self._rewrite(message)
        return message.encode(message.version)

    def _rewrite(self, message: Message) -> None:
        if type(message).__name__ in FENCING_RECORDS:
            fenced: Any = message
            fenced.id, fenced.epoch = self._node(fenced.id), self.new_offset(fenced.epoch)
        if type(message).__name__ == "ConfigRecord":
            config: Any = message
            if config.resource_type in BROKER_RESOURCES and config.resource_name.isdecimal():
                config.resource_name = str(self._node(int(config.resource_name)))
        if self._edits.anonymise:
            self.names.rewrite(message)
        self._rewrite_fields(message)

    def _rewrite_fields(self, struct: AnyStruct) -> None:
        for name in struct.__struct_fields__:
            value = getattr(struct, name)
            if name in NODE_ID_FIELDS:
                setattr(struct, name, self._node(value))
            elif name in NODE_ID_LISTS and value:
                setattr(struct, name, [self._node(one) for one in value])
            elif name == "broker_epoch":
                setattr(struct, name, self.new_offset(value))
            elif isinstance(value, list) and value and isinstance(value[0], AnyStruct):
                for one in value:
                    self._rewrite_fields(one)
        if self._edits.hosts and hasattr(struct, "host") and hasattr(struct, "port"):
            self._rewrite_host(struct)

    def _rewrite_host(self, endpoint: Any) -> None:
        hosts = self._edits.hosts
        target = hosts.get(f"{endpoint.host}:{endpoint.port}") or hosts.get(endpoint.host)
        if target is not None:
            host, colon, port = target.rpartition(":")
            endpoint.host = host if colon else target
            endpoint.port = int(port) if colon else endpoint.port

    def _node(self, number: int) -> int:
        return self._edits.node_ids.get(number, number)


def edit(log: RecordedLog, target: Path, edits: Edits, progress: Progress | None = None) -> Report:
    """Write the changed copy of a log to `target`, which must not exist: a file for a file, else a directory.

    What could not be finished is removed. Raises NotALogError for a target that exists or a log that cannot be
    renumbered, CorruptLogError, ProtocolError, OSError.
    """
    if target.exists():
        raise NotALogError(f"{target} exists: name a new one")
    if edits.renumber and log.start_offset > 0:
        raise NotALogError(f"{log.root} begins at offset {log.start_offset}: only a log from 0 on can be renumbered")
    part = target.with_name(f"{target.name}.part")
    try:
        if log.root.is_dir():
            editor = _Copy(log, edits, part).write(progress)
        else:
            editor = _write_file(log, part, edits, progress)
        part.rename(target)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    return editor.report


def _write_file(log: RecordedLog, target: Path, edits: Edits, progress: Progress | None) -> Editor:
    editor = Editor(edits)
    found = log.checkpoints[0] if log.checkpoints else None
    batches = iter_checkpoint(found.path) if found else (logged.batch for logged in log.batches(progress))
    with target.open("xb") as file:
        for batch in batches:
            file.writelines(editor.batch(batch))
    return editor


class _Copy:
    """The changed copy of a whole directory."""

    def __init__(self, log: RecordedLog, edits: Edits, target: Path) -> None:
        self._log, self._edits, self._target = log, edits, target
        self._directory = target / DIRECTORY_NAME
        self._editor = Editor(edits)

    def write(self, progress: Progress | None) -> Editor:
        self._directory.mkdir(parents=True)
        self._segments(progress)
        for checkpoint in self._log.checkpoints:
            # That of nothing (formatting leaves it) and that with which the log begins do not come out of segments.
            if self._edits.drop and checkpoint.end.offset > self._log.start_offset:
                self._make_anew(checkpoint)
            else:
                self._rewrite(checkpoint)
        self._files_beside()
        return self._editor

    def _segments(self, progress: Progress | None) -> None:
        log, editor = self._log, self._editor
        epochs = EpochCache()
        source: Path | None = None
        path = self._directory / segment_name(log.start_offset)
        for logged in log.batches(progress):
            if logged.path != source:
                source = logged.path
                path = self._directory / segment_name(editor.end_offset or log.start_offset)
            base = editor.end_offset
            with path.open("ab") as file:
                for made in editor.batch(logged.batch):
                    epochs.assign(logged.batch.header.leader_epoch, base)
                    file.write(made)
        epochs.write(self._directory)

    def _rewrite(self, checkpoint: Checkpoint) -> None:
        """Record by record. It has offsets of its own: nothing is dropped from it by offset, only by type."""
        types = tuple(entry for entry in self._edits.drop if not _ENTRY.fullmatch(entry))
        name = checkpoint_name(OffsetAndEpoch(*checkpoint.end))
        self._rewrite_file(checkpoint.path, self._directory / name, replace(self._edits, drop=types, renumber=False))

    def _rewrite_file(self, source: Path, target: Path, edits: Edits) -> None:
        editor = Editor(edits, self._editor.names)
        with target.open("xb") as file:
            for batch in iter_checkpoint(source):
                file.writelines(editor.batch(batch))

    def _make_anew(self, checkpoint: Checkpoint) -> None:
        """From the edited log, as what was dropped cannot be taken out of a snapshot of what it became."""
        offset, epoch = checkpoint.end
        end = OffsetAndEpoch(self._editor.new_end(offset), epoch)
        try:
            image = RecordedLog.at(self._directory).image(end.offset - 1)
            records = [encode_record(record.message, record.version) for record in snapshot_records(image)]
        except (RecordError, NotALogError, UnwritableMetadataError, ValueError) as error:
            self._editor.report.left_out.append(f"{checkpoint.path.name}: {error}")
            return
        first = next(iter_checkpoint(checkpoint.path))
        kept = (ControlRecordType.KRAFT_VERSION, ControlRecordType.KRAFT_VOTERS)
        writer = CheckpointWriter(
            self._directory, end,
            last_contained_timestamp_ms=last_contained_timestamp_ms(checkpoint.path),
            timestamp_ms=first.header.base_timestamp_ms,
            quorum_records=[record for record in self._editor.control_records(first) if record[0] in kept],
        )  # fmt: skip
        try:
            for start in range(0, len(records), CHECKPOINT_RECORDS_PER_WRITE):
                writer.append(records[start : start + CHECKPOINT_RECORDS_PER_WRITE])
            writer.finish()
        finally:
            writer.abandon()

    def _files_beside(self) -> None:
        """meta.properties, partition.metadata and the quorum's state, the node's own id mapped too."""
        log, edits = self._log, self._edits
        source = log.root / PARTITION_METADATA_NAME
        if source.exists():
            (self._directory / PARTITION_METADATA_NAME).write_bytes(source.read_bytes())
        bootstrap = log.root.parent / BOOTSTRAP_NAME
        if bootstrap.exists():
            self._rewrite_file(bootstrap, self._target / BOOTSTRAP_NAME, replace(edits, drop=(), renumber=False))
        properties = log.root.parent / "meta.properties"
        if properties.exists():
            lines = []
            for line in properties.read_text(PROPERTIES_ENCODING).splitlines():
                key, equals, value = line.partition("=")
                mapped = key in ("node.id", "broker.id") and value.strip().isdecimal()
                lines.append(f"{key}{equals}{edits.node_ids.get(int(value), int(value))}" if mapped else line)
            (self._target / "meta.properties").write_text("\n".join([*lines, ""]), PROPERTIES_ENCODING)
        state = read_quorum_state(log.root)
        if state is not None:
            state.leader_id = edits.node_ids.get(state.leader_id, state.leader_id)
            state.voted_id = edits.node_ids.get(state.voted_id, state.voted_id)
            for voter in state.current_voters or ():
                voter.voter_id = edits.node_ids.get(voter.voter_id, voter.voter_id)
            # Version 1, of dynamic quorums, holds no voters.
            write_quorum_state(self._directory, state, 0 if state.current_voters else 1)
