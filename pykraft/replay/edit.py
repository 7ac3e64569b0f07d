"""A changed copy of a recorded log: records dropped, ids, hosts and names rewritten, offsets and CRCs made right.

A record that is dropped leaves a NoOpRecord in its place, so that every offset stays; when the log is renumbered it
goes, and offsets close up. Broker epochs are offsets too (of the registration) and follow them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pykraft.log.batch import Batch, ControlRecordType, encode_batches, encode_control_batch
from pykraft.log.checkpoint import BOOTSTRAP_NAME, checkpoint_name, iter_checkpoint
from pykraft.log.epochs import EpochCache, OffsetAndEpoch
from pykraft.log.metadata_log import DIRECTORY_NAME
from pykraft.log.quorum_state import read_quorum_state, write_quorum_state
from pykraft.log.segment import segment_name
from pykraft.protocol._message import Message, Struct
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record, encode_record
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.replay.anonymise import Names
from pykraft.replay.record_text import type_name
from pykraft.replay.recorded import Checkpoint, NotALogError, Progress, RecordedLog

NODE_ID_FIELDS: Final = frozenset({"broker_id", "controller_id", "leader", "leader_id", "voter_id"})
NODE_ID_LISTS: Final = frozenset(
    {"replicas", "isr", "removing_replicas", "adding_replicas", "eligible_leader_replicas", "last_known_elr"}
)
FENCING_RECORDS: Final = frozenset({"FenceBrokerRecord", "UnfenceBrokerRecord"})
"""Their fields `id` and `epoch` are a broker's; elsewhere `id` is an ACL's."""
BROKER_RESOURCES: Final = frozenset({4, 8})
"""The ConfigRecord resource types whose name is a node id."""

PARTITION_METADATA_NAME: Final = "partition.metadata"

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
    """What was done."""

    records: int = 0
    dropped: int = 0
    changed: int = 0


class Editor:
    """Rewrites the records and batches of one log, in order."""

    def __init__(self, edits: Edits) -> None:
        self.report = Report()
        self._edits = edits
        self._drops = edits.drops()
        self._names = Names() if edits.anonymise else None
        self._offset: int | None = None
        self._new_offsets: dict[int, int] = {}

    def batch(self, batch: Batch) -> list[bytes]:
        """The batch or batches that take its place."""
        header = batch.header
        if self._offset is None:
            self._offset = 0 if self._edits.renumber else header.base_offset
        place = {"leader_epoch": header.leader_epoch, "timestamp_ms": header.base_timestamp_ms}
        if header.is_control:
            records = list(zip(batch.control_types, map(self._control, batch.control_types, batch.values), strict=True))
            made = [encode_control_batch(records, base_offset=self._offset, **place)]
            self._number(range(header.base_offset, header.next_offset))
            return made
        base = self._offset
        values = [value for value in self._values(batch) if value is not None]
        return encode_batches(values, base_offset=base, atomic=True, **place) if values else []

    def new_offset(self, offset: int) -> int:
        """Where the record at an offset went; for one that went away, the one that took its place."""
        return self._new_offsets.get(offset, offset) if self._edits.renumber else offset

    @property
    def end_offset(self) -> int:
        return self._offset or 0

    def _number(self, offsets: Iterable[int]) -> None:
        assert self._offset is not None
        for offset in offsets:
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

    def _control(self, number: int, value: bytes) -> bytes:
        if number != ControlRecordType.LEADER_CHANGE or not self._edits.node_ids:
            return value
        message = LeaderChangeMessage.decode(value, int.from_bytes(value[:2], "big", signed=True))
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
        if self._names is not None:
            self._names.rewrite(message)
        self._rewrite_fields(message)

    def _rewrite_fields(self, struct: Struct) -> None:
        for name in struct.__struct_fields__:
            value = getattr(struct, name)
            if name in NODE_ID_FIELDS:
                setattr(struct, name, self._node(value))
            elif name in NODE_ID_LISTS and value:
                setattr(struct, name, [self._node(one) for one in value])
            elif name == "broker_epoch":
                setattr(struct, name, self.new_offset(value))
            elif isinstance(value, list) and value and isinstance(value[0], Struct):
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

    Raises NotALogError for a target that exists or a log that cannot be renumbered, CorruptLogError,
    ProtocolError, OSError.
    """
    if target.exists():
        raise NotALogError(f"{target} exists: name a new one")
    if edits.renumber and log.start_offset > 0:
        raise NotALogError(f"{log.root} begins at offset {log.start_offset}: only a log from 0 on can be renumbered")
    editor = Editor(edits)
    if not log.root.is_dir():
        found = log.checkpoints[0] if log.checkpoints else None
        batches = iter_checkpoint(found.path) if found else (logged.batch for logged in log.batches(progress))
        with target.open("xb") as file:
            for batch in batches:
                file.writelines(editor.batch(batch))
        return editor.report
    directory = target / DIRECTORY_NAME
    directory.mkdir(parents=True)
    _write_segments(log, directory, editor, progress)
    if not edits.renumber:
        for checkpoint in log.checkpoints:
            _write_checkpoint(checkpoint, directory, edits)
    _write_files_beside(log, target, directory, edits)
    return editor.report


def _write_segments(log: RecordedLog, directory: Path, editor: Editor, progress: Progress | None) -> None:
    epochs = EpochCache()
    source: Path | None = None
    path = directory / segment_name(log.start_offset)
    for logged in log.batches(progress):
        if logged.path != source:
            source = logged.path
            path = directory / segment_name(editor.end_offset or log.start_offset)
        base = editor.end_offset
        with path.open("ab") as file:
            for made in editor.batch(logged.batch):
                epochs.assign(logged.batch.header.leader_epoch, base)
                file.write(made)
    epochs.write(directory)


def _write_checkpoint(checkpoint: Checkpoint, directory: Path, edits: Edits) -> None:
    """A checkpoint has offsets of its own: nothing is dropped from it by offset, only by type."""
    types = tuple(entry for entry in edits.drop if not _ENTRY.fullmatch(entry))
    editor = Editor(Edits(types, edits.node_ids, edits.hosts, edits.anonymise))
    name = checkpoint_name(OffsetAndEpoch(*checkpoint.end))
    with (directory / name).open("xb") as file:
        for batch in iter_checkpoint(checkpoint.path):
            file.writelines(editor.batch(batch))


def _write_files_beside(log: RecordedLog, target: Path, directory: Path, edits: Edits) -> None:
    """meta.properties, partition.metadata and the quorum's state, the node's own id mapped too."""
    source = log.root / PARTITION_METADATA_NAME
    if source.exists():
        (directory / PARTITION_METADATA_NAME).write_bytes(source.read_bytes())
    bootstrap = log.root.parent / BOOTSTRAP_NAME
    if bootstrap.exists():
        (target / BOOTSTRAP_NAME).write_bytes(bootstrap.read_bytes())
    properties = log.root.parent / "meta.properties"
    if properties.exists():
        lines = []
        for line in properties.read_text().splitlines():
            key, equals, value = line.partition("=")
            mapped = key == "node.id" and value.strip().isdecimal()
            lines.append(f"{key}{equals}{edits.node_ids.get(int(value), int(value))}" if mapped else line)
        (target / "meta.properties").write_text("\n".join([*lines, ""]))
    state = read_quorum_state(log.root)
    if state is not None:
        state.leader_id = edits.node_ids.get(state.leader_id, state.leader_id)
        state.voted_id = edits.node_ids.get(state.voted_id, state.voted_id)
        for voter in state.current_voters or ():
            voter.voter_id = edits.node_ids.get(voter.voter_id, voter.voter_id)
        write_quorum_state(directory, state, 0)
