"""The voters where the log keeps them: kraft.version 1, control records KRaftVersion and KRaftVoters (KIP-853).

Source: raft/src/main/java/org/apache/kafka/raft/internals/KRaftControlRecordStateMachine.java, VoterSet.java (3.9).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pykraft.controller.config import ControllerConfig
from pykraft.controller.releases import has_dynamic_quorums
from pykraft.image.model import Endpoint
from pykraft.log.batch import Batch, ControlRecordType
from pykraft.log.checkpoint import checkpoint_name, iter_checkpoint
from pykraft.log.metadata_log import MetadataLog
from pykraft.protocol.messages import voters_record
from pykraft.protocol.messages.kraft_version_record import KRaftVersionRecord
from pykraft.protocol.messages.quorum_state_data import QuorumStateData
from pykraft.protocol.messages.voters_record import VotersRecord
from pykraft.protocol.uuids import Uuid, uuid_to_text
from pykraft.server.storage import StorageError

_RECORD_VERSION: Final = 0
DYNAMIC: Final = 1
"""The kraft.version of a quorum whose voters are in the log."""


@dataclass(frozen=True, slots=True)
class RecordedQuorum:
    """What the log of a node says of its quorum.

    `records` are the control records that stand for it, (type, value), none at kraft.version 0; `missing` are those of
    them that the log lacks: they belong behind the LeaderChange of the next epoch that the node leads.
    """

    kraft_version: int = 0
    records: tuple[tuple[int, bytes], ...] = ()
    missing: tuple[tuple[int, bytes], ...] = ()


def recorded_quorum(
    opened: MetadataLog,
    stored: QuorumStateData | None,
    config: ControllerConfig,
    directory_id: Uuid,
    endpoint: Endpoint,
) -> RecordedQuorum:
    """The quorum of a log: kraft.version 1 when the log has it, or when it is empty and the configuration names
    bootstrap servers and no voters. This node, reached at `endpoint`, has to be the only voter.

    Raises StorageError when the log and the configuration rule each other out, CorruptLogError, ProtocolError.
    """
    is_empty = opened.end_offset == 0
    # At kraft.version 0 the file quorum-state names the voters, and most logs need not be read for them.
    may_be_dynamic = config.has_dynamic_quorum or (stored is not None and not stored.current_voters)
    version, voters, in_log = _scan(opened) if may_be_dynamic else (0, None, False)
    if not version and not (is_empty and config.has_dynamic_quorum):
        if config.has_dynamic_quorum:
            raise StorageError(
                f"the log in {opened.directory} is at kraft.version 0, whose voters are configured: give"
                " controller.quorum.voters, here and at the brokers, instead of controller.quorum.bootstrap.servers"
            )
        return RecordedQuorum()
    if not has_dynamic_quorums(config.release):
        raise StorageError(
            f"the log in {opened.directory} is at kraft.version 1, of which release {config.release} knows nothing:"
            " give --release 3.9 or later"
        )
    if voters is not None:
        _check_alone(voters, config.node_id, directory_id)
    wanted = _voters(config.node_id, directory_id, endpoint)
    records = quorum_records(config.node_id, directory_id, endpoint)
    if not in_log:
        missing = records
    else:
        missing = () if voters == wanted else records[1:]
    return RecordedQuorum(DYNAMIC, records, missing)


def quorum_records(node_id: int, directory_id: Uuid, endpoint: Endpoint) -> tuple[tuple[int, bytes], ...]:
    """The control records (type, value) of kraft.version 1 whose only voter is this node."""
    voters = _voters(node_id, directory_id, endpoint)
    version = KRaftVersionRecord(version=_RECORD_VERSION, kraft_version=DYNAMIC)
    return (
        (ControlRecordType.KRAFT_VERSION.value, version.encode(_RECORD_VERSION)),
        (ControlRecordType.KRAFT_VOTERS.value, voters.encode(_RECORD_VERSION)),
    )


def _scan(opened: MetadataLog) -> tuple[int, VotersRecord | None, bool]:
    """The latest kraft.version and voters, and whether the log itself holds them or a snapshot of some of it; the
    checkpoint of nothing that formatting a directory leaves is neither."""
    version, voters, in_log = 0, None, False
    for batch, counts in _control_batches(opened):
        for kind, value in zip(batch.control_types, batch.values, strict=True):
            if kind == ControlRecordType.KRAFT_VERSION:
                version = KRaftVersionRecord.decode(value, _RECORD_VERSION).kraft_version
                in_log |= counts
            elif kind == ControlRecordType.KRAFT_VOTERS:
                voters = VotersRecord.decode(value, _RECORD_VERSION)
                in_log |= counts
    return version, voters, in_log


def _control_batches(opened: MetadataLog) -> Iterator[tuple[Batch, bool]]:
    snapshot = opened.latest_snapshot
    if snapshot is not None:
        for batch in iter_checkpoint(opened.directory / checkpoint_name(snapshot)):
            if not batch.header.is_control:
                break
            yield batch, snapshot.offset > 0
    for batch in opened.iter_batches():
        if batch.header.is_control:
            yield batch, True


def _check_alone(record: VotersRecord, node_id: int, directory_id: Uuid) -> None:
    found = [(voter.voter_id, voter.voter_directory_id) for voter in record.voters]
    if found != [(node_id, directory_id)]:
        named = ", ".join(f"{voter}-{uuid_to_text(directory)}" for voter, directory in found)
        raise StorageError(
            f"the log says that the voters are {named}: node {node_id} in directory {uuid_to_text(directory_id)} can"
            " only be the only voter; remove the others with kafka-metadata-quorum first"
        )


def _voters(node_id: int, directory_id: Uuid, endpoint: Endpoint) -> VotersRecord:
    return VotersRecord(
        version=_RECORD_VERSION,
        voters=[
            voters_record.Voter(
                voter_id=node_id,
                voter_directory_id=directory_id,
                endpoints=[voters_record.Endpoint(endpoint.name, endpoint.host, endpoint.port)],
                kraft_version_feature=voters_record.KRaftVersionFeature(0, DYNAMIC),
            )
        ],
    )
