"""How a partition changes: leader choice, ISR, reassignment, epochs, directories, as one minimal record.

Source: metadata/.../controller/PartitionChangeBuilder.java, PartitionReassignmentReplicas.java and
ReplicationControlManager.generateLeaderAndIsrUpdates (Kafka 3.9; eligible leader replicas are off at every
metadata.version known here).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum, auto

from pykraft.controller.effective_configs import unclean_leader_election_enabled
from pykraft.controller.result import OperationContext
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import FEATURE_NAME, MetadataVersion
from pykraft.image.model import (
    DIRECTORY_MIGRATING,
    DIRECTORY_UNASSIGNED,
    NO_LEADER,
    NO_LEADER_CHANGE,
    LeaderRecoveryState,
    PartitionRegistration,
    TopicImage,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.uuids import Uuid

RECOVERY_STATE_NO_CHANGE = -1
"""The leaderRecoveryState of a PartitionChangeRecord that leaves the state as it is."""


UNCLEAN_ELECTION_CONFIG = "unclean.leader.election.enable"
NO_TOPIC = ""
"""No topic has this name, so what applies to it is what applies to topics without a value of their own."""


class Election(Enum):
    """Whom a partition change may make leader."""

    ONLINE = auto()
    """The leader while it can lead, else the first in-sync replica that can."""
    PREFERRED = auto()
    """The first replica when it is in sync and can lead, else as ONLINE."""
    UNCLEAN = auto()
    """As ONLINE, and when no in-sync replica can lead, the first replica that can: records may be lost."""


def active_brokers(image: MetadataImage) -> frozenset[int]:
    """The brokers that may lead: registered, unfenced, not in controlled shutdown."""
    return frozenset(
        broker.id for broker in image.brokers.values() if not broker.fenced and not broker.in_controlled_shutdown
    )


def default_directory(image: MetadataImage, broker_id: int) -> Uuid:
    """Where a broker puts a new replica, as far as the controller knows (ClusterControlManager.defaultDir)."""
    broker = image.brokers.get(broker_id)
    if broker is None:
        return DIRECTORY_UNASSIGNED
    if not broker.directories:
        return DIRECTORY_MIGRATING
    return broker.directories[0] if len(broker.directories) == 1 else DIRECTORY_UNASSIGNED


def zk_registration_allowed(ctx: OperationContext) -> bool:
    """Whether brokers in ZooKeeper mode may take part: migration is enabled and the metadata.version knows of it."""
    return ctx.migration_enabled and ctx.image.metadata_version.is_migration_supported


def has_brokers_that_ignore_equal_epochs(ctx: OperationContext) -> bool:
    """Whether a broker may be told by LeaderAndIsr that ignores one of a leader epoch it has already.

    Those before 3.6.2 do (KAFKA-16121). A broker in ZooKeeper mode tells of its release only its
    inter.broker.protocol.version, as the range of its metadata.version; 3.7 and later are free of the fault, so what is
    below 3.7-IV0 may have it.
    """
    return zk_registration_allowed(ctx) and any(
        feature.max_version < MetadataVersion.IBP_3_7_IV0
        for broker in ctx.image.brokers.values()
        if broker.is_migrating_zk_broker
        for feature in broker.features
        if feature.name == FEATURE_NAME
    )


def completed_reassignment(
    replicas: tuple[int, ...], removing: tuple[int, ...], isr: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The replicas and ISR that a reassignment ends with, or None while a target replica is not in sync."""
    new_isr = tuple(replica for replica in isr if replica not in removing)
    new_replicas = tuple(replica for replica in replicas if replica not in removing)
    if not new_replicas or not set(new_replicas) <= set(new_isr):
        return None
    return new_replicas, new_isr


class PartitionChangeBuilder:
    """Builds the changes of one operation; what is the same for all its partitions is worked out once."""

    def __init__(self, ctx: OperationContext, can_lead: AbstractSet[int] | None = None) -> None:
        """`can_lead`: the brokers that may be made leaders, the active ones when not given."""
        version = ctx.image.metadata_version
        self._ctx = ctx
        self._image = ctx.image
        self._can_lead = active_brokers(ctx.image) if can_lead is None else can_lead
        self._record_version = version.partition_change_record_version
        self._directories_supported = version.is_directory_assignment_supported
        self._recovery_supported = version.is_leader_recovery_supported
        self._bumps_epoch_on_isr_shrink = (
            version.is_leader_epoch_bump_required_on_isr_shrink or zk_registration_allowed(ctx)
        )
        self._bumps_epoch_on_all = has_brokers_that_ignore_equal_epochs(ctx)
        self._default_election = self._election_of(NO_TOPIC)

    def election(self, topic: str) -> Election:
        """UNCLEAN for a topic whose effective unclean.leader.election.enable says so, else ONLINE."""
        if UNCLEAN_ELECTION_CONFIG not in self._image.topic_configs(topic):
            return self._default_election
        return self._election_of(topic)

    def _election_of(self, topic: str) -> Election:
        unclean = unclean_leader_election_enabled(self._image, self._ctx.config, topic)
        return Election.UNCLEAN if unclean else Election.ONLINE

    def build(
        self,
        topic_id: Uuid,
        number: int,
        partition: PartitionRegistration,
        election: Election,
        *,
        isr: tuple[int, ...] | None = None,
        replicas: tuple[int, ...] | None = None,
        removing: tuple[int, ...] | None = None,
        adding: tuple[int, ...] | None = None,
        leader_recovery_state: int | None = None,
        directories: Mapping[int, Uuid] | None = None,
    ) -> ApiMessageAndVersion | None:
        """The record that takes a partition to the given targets (what is not given stays), None for no change.

        A reassignment that can be completed is; the leader is chosen by `election` among the target ISR.
        `directories` gives replicas their directories.
        """
        isr = partition.isr if isr is None else isr
        replicas = partition.replicas if replicas is None else replicas
        removing = partition.removing_replicas if removing is None else removing
        adding = partition.adding_replicas if adding is None else adding
        if removing or adding:
            completed = completed_reassignment(replicas, removing, isr)
            if completed is not None:
                replicas, isr = completed
                removing = adding = ()

        record = PartitionChangeRecord(partition_id=number, topic_id=topic_id)
        self._elect(record, partition, replicas, isr, election)
        if record.isr is None and isr and isr != partition.isr:
            record.isr = list(isr)
        is_moved = removing != partition.removing_replicas or adding != partition.adding_replicas
        self._bump_leader_epoch(record, partition, replicas, is_moved=is_moved)
        if replicas != partition.replicas:
            record.replicas = list(replicas)
        if self._directories_supported:
            self._assign_directories(record, partition, replicas, directories)
        if removing != partition.removing_replicas:
            record.removing_replicas = list(removing)
        if adding != partition.adding_replicas:
            record.adding_replicas = list(adding)
        if leader_recovery_state is not None and leader_recovery_state != partition.leader_recovery_state:
            record.leader_recovery_state = leader_recovery_state
        return None if _changes_nothing(record) else ApiMessageAndVersion(record, self._record_version)

    def _elect(
        self,
        record: PartitionChangeRecord,
        partition: PartitionRegistration,
        replicas: tuple[int, ...],
        isr: tuple[int, ...],
        election: Election,
    ) -> None:
        leader = partition.leader
        if election is Election.PREFERRED and self._is_valid_leader(partition, isr, replicas[0]):
            leader = replicas[0]
        elif not self._is_valid_leader(partition, isr, leader):
            leader = next((r for r in replicas if self._is_valid_leader(partition, isr, r)), NO_LEADER)
            if leader == NO_LEADER and election is Election.UNCLEAN:
                leader = next((r for r in replicas if self._is_acceptable(partition, r)), NO_LEADER)
                if leader != NO_LEADER and leader != partition.leader:
                    record.isr = [leader]
                    if self._recovery_supported and partition.leader_recovery_state != LeaderRecoveryState.RECOVERING:
                        record.leader_recovery_state = LeaderRecoveryState.RECOVERING.value
        if leader != partition.leader:
            record.leader = leader

    def _is_valid_leader(self, partition: PartitionRegistration, isr: tuple[int, ...], replica: int) -> bool:
        return replica in isr and self._is_acceptable(partition, replica)

    def _is_acceptable(self, partition: PartitionRegistration, replica: int) -> bool:
        if replica not in self._can_lead:
            return False
        if not partition.directories or replica not in partition.replicas:
            return True
        return self._image.brokers[replica].has_online_directory(partition.directory(replica))

    def _bump_leader_epoch(
        self,
        record: PartitionChangeRecord,
        partition: PartitionRegistration,
        replicas: tuple[int, ...],
        *,
        is_moved: bool,
    ) -> None:
        """Start a new leader epoch under the same leader where followers or brokers need to notice the change.

        It follows a replica leaving the replica list always, and one leaving the ISR before 3.6-IV0 (KAFKA-15021)
        and while brokers in ZooKeeper mode may be told by LeaderAndIsr (KAFKA-15109). For brokers that ignore one of an
        equal leader epoch it follows every change of the ISR, of the replicas and of a reassignment; Kafka leaves that
        out, and an ISR that such a broker does not hear of is not restored.
        """
        if record.leader != NO_LEADER_CHANGE:
            return
        left_replicas = replicas is not partition.replicas and not set(partition.replicas) <= set(replicas)
        left_isr = (
            self._bumps_epoch_on_isr_shrink and record.isr is not None and not set(partition.isr) <= set(record.isr)
        )
        unheard = self._bumps_epoch_on_all and (record.isr is not None or replicas != partition.replicas or is_moved)
        if left_replicas or left_isr or unheard:
            record.leader = partition.leader

    def _assign_directories(
        self,
        record: PartitionChangeRecord,
        partition: PartitionRegistration,
        replicas: tuple[int, ...],
        directories: Mapping[int, Uuid] | None,
    ) -> None:
        if directories is None and replicas == partition.replicas:
            return
        before = partition.all_directories()
        known = {**dict(zip(partition.replicas, before, strict=True)), **(directories or {})}
        wanted = [
            known[replica] if replica in known else default_directory(self._image, replica) for replica in replicas
        ]
        if wanted != list(before):
            record.directories = wanted


def _changes_nothing(record: PartitionChangeRecord) -> bool:
    return (
        record.isr is None
        and record.leader == NO_LEADER_CHANGE
        and record.replicas is None
        and record.removing_replicas is None
        and record.adding_replicas is None
        and record.leader_recovery_state == RECOVERY_STATE_NO_CHANGE
        and record.directories is None
    )


def partitions_with_isr_member(
    image: MetadataImage, broker_id: int
) -> Iterator[tuple[TopicImage, int, PartitionRegistration]]:
    """The partitions in whose ISR a broker is: one pass over the image, none when the counts say there are none."""
    left = image.isr_counts.get(broker_id, 0)
    if not left:
        return
    for topic in image.topics_by_id.values():
        for number, partition in topic.partitions.items():
            if broker_id in partition.isr:
                yield topic, number, partition
                left -= 1
                if not left:
                    return


def leaderless_partitions(image: MetadataImage) -> Iterator[tuple[TopicImage, int, PartitionRegistration]]:
    """The partitions without a leader, in a fixed order."""
    for topic_id, number in sorted(image.leaderless):
        topic = image.topics_by_id[topic_id]
        yield topic, number, topic.partitions[number]


def leader_and_isr_updates(
    ctx: OperationContext,
    partitions: Iterable[tuple[TopicImage, int, PartitionRegistration]],
    *,
    remove: int | None = None,
    add: int | None = None,
) -> list[ApiMessageAndVersion]:
    """The changes that follow when one broker can no longer lead or be in sync (`remove`), or can again (`add`).

    The image still shows the broker as it was. The last member of an ISR stays in it, without being leader.
    """
    can_lead = active_brokers(ctx.image)
    if remove is not None:
        can_lead -= {remove}
    if add is not None:
        can_lead |= {add}
    builder = PartitionChangeBuilder(ctx, can_lead)
    records: list[ApiMessageAndVersion] = []
    for topic, number, partition in partitions:
        isr = partition.isr
        if remove is not None and remove in isr:
            isr = tuple(replica for replica in isr if replica != remove)
        record = builder.build(topic.id, number, partition, builder.election(topic.name), isr=isr)
        if record is not None:
            records.append(record)
    return records
