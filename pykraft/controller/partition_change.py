"""How a partition changes: leader choice, ISR, reassignment, epochs, directories, as one minimal record.

Source: metadata/.../controller/PartitionChangeBuilder.java, PartitionReassignmentReplicas.java and
ReplicationControlManager.generateLeaderAndIsrUpdates (Kafka 3.9, and 4.1 for eligible leader replicas, KIP-966).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from copy import copy
from enum import Enum, auto

from pykraft.controller.effective_configs import min_insync_replicas, unclean_leader_election_enabled
from pykraft.controller.releases import is_since
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


_COMPLETES_WITH_ALL_IN_SYNC_SINCE = "3.8"
"""The first release in which a reassignment waits for all replicas that stay; before it is for those that are added."""

UNCLEAN_ELECTION_CONFIG = "unclean.leader.election.enable"
NO_TOPIC = ""
"""No topic has this name, so what applies to it is what applies to topics without a value of their own."""


class Election(Enum):
    """Whom a partition change may make leader."""

    ONLINE = auto()
    """The leader while it can lead, else the first in-sync replica that can; with eligible leader replicas on, and
    nobody in sync, the first eligible one, and when there is none left either the last leader, uncleanly."""
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
    replicas: tuple[int, ...], removing: tuple[int, ...], isr: tuple[int, ...], needed: tuple[int, ...] | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The replicas and ISR that a reassignment ends with, or None while one of `needed`, which without it are all that
    stay, is not in sync."""
    new_isr = tuple(replica for replica in isr if replica not in removing)
    new_replicas = tuple(replica for replica in replicas if replica not in removing)
    if not new_replicas or not new_isr or not set(new_replicas if needed is None else needed) <= set(new_isr):
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
        # Before that also when the last member is to leave, which then stays.
        self._bumps_epoch_on_isr_change = is_since(ctx.config.release, "3.8")
        self._bumps_epoch_on_all = has_brokers_that_ignore_equal_epochs(ctx)
        self._elr_enabled = ctx.image.is_elr_enabled
        self._min_isrs: dict[Uuid, int] = {}
        self._completes_with_all_in_sync = is_since(ctx.config.release, _COMPLETES_WITH_ALL_IN_SYNC_SINCE)
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
        unclean_shutdown: int | None = None,
        min_isr: int | None = None,
    ) -> ApiMessageAndVersion | None:
        """The record that takes a partition to the given targets (what is not given stays), None for no change.

        A reassignment that can be completed is; the leader is chosen by `election` among the target ISR.
        `directories` gives replicas their directories; `unclean_shutdown` is a broker that may have lost records and
        so is no eligible leader; `min_isr` is the topic's effective min.insync.replicas when not given.
        """
        isr = partition.isr if isr is None else isr
        replicas = partition.replicas if replicas is None else replicas
        removing = partition.removing_replicas if removing is None else removing
        adding = partition.adding_replicas if adding is None else adding
        if removing or adding:
            needed = None if self._completes_with_all_in_sync else adding
            completed = completed_reassignment(replicas, removing, isr, needed)
            if completed is not None:
                replicas, isr = completed
                removing = adding = ()

        elr = partition.elr
        if self._elr_enabled:
            least = self.min_isr(topic_id) if min_isr is None else min_isr
            elr = () if len(isr) >= least else _eligible(partition, isr, unclean_shutdown)
        record = PartitionChangeRecord(partition_id=number, topic_id=topic_id)
        isr, elr = self._elect(record, partition, replicas, isr, elr, election)
        if record.isr is not None or not self._elr_enabled:
            elr = ()
        if elr != partition.elr:
            record.eligible_leader_replicas = list(elr)
        if record.isr is None and (isr or self._elr_enabled) and isr != partition.isr:
            record.isr = list(isr)
        is_moved = removing != partition.removing_replicas or adding != partition.adding_replicas
        in_sync = record.isr if self._bumps_epoch_on_isr_change else isr
        self._bump_leader_epoch(record, partition, replicas, in_sync, is_moved=is_moved)
        if self._elr_enabled:
            _keep_last_leader(record, partition)
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
        elr: tuple[int, ...],
        election: Election,
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Choose the leader; gives the ISR and ELR as an eligible leader's election leaves them. The ISR that an
        unclean election makes is written to the record."""
        leader, is_unclean = partition.leader, False
        candidates = isr or elr
        if election is Election.PREFERRED and self._is_valid_leader(partition, candidates, replicas[0]):
            leader = replicas[0]
        elif not self._is_valid_leader(partition, candidates, leader):
            leader = next((r for r in replicas if self._is_valid_leader(partition, candidates, r)), NO_LEADER)
            if leader == NO_LEADER:
                leader = self._elect_unclean(partition, replicas, candidates, election)
                is_unclean = leader != NO_LEADER
        if leader == partition.leader:
            return isr, elr
        record.leader = leader
        if leader in elr:
            isr, elr = (leader,), tuple(replica for replica in elr if replica != leader)
        if is_unclean:
            record.isr = [leader]
            if self._recovery_supported and partition.leader_recovery_state != LeaderRecoveryState.RECOVERING:
                record.leader_recovery_state = LeaderRecoveryState.RECOVERING.value
        return isr, elr

    def _elect_unclean(
        self,
        partition: PartitionRegistration,
        replicas: tuple[int, ...],
        candidates: tuple[int, ...],
        election: Election,
    ) -> int:
        if self._elr_enabled and not candidates and len(partition.last_known_elr) == 1:
            last = partition.last_known_elr[0]
            if last in replicas and self._is_acceptable(partition, last):
                return last
        if election is Election.UNCLEAN:
            return next((replica for replica in replicas if self._is_acceptable(partition, replica)), NO_LEADER)
        return NO_LEADER

    def min_isr(self, topic_id: Uuid) -> int:
        """The effective min.insync.replicas of a topic that exists: at most its replication factor."""
        found = self._min_isrs.get(topic_id)
        if found is None:
            topic = self._image.topics_by_id[topic_id]
            wanted = min_insync_replicas(self._image, self._ctx.config, topic.name)
            found = self._min_isrs[topic_id] = min(wanted, len(topic.partitions[0].replicas))
        return found

    def _is_valid_leader(self, partition: PartitionRegistration, candidates: tuple[int, ...], replica: int) -> bool:
        return replica in candidates and self._is_acceptable(partition, replica)

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
        in_sync: Iterable[int] | None,
        *,
        is_moved: bool,
    ) -> None:
        """Start a new leader epoch under the same leader where followers or brokers need to notice the change.

        It follows a replica leaving the replica list always, and one leaving the ISR before 3.6-IV0 (KAFKA-15021)
        and while brokers in ZooKeeper mode may be told by LeaderAndIsr (KAFKA-15109); `in_sync` is the ISR, None for
        one that does not change. For brokers that ignore one of an equal leader epoch it follows every change of the
        ISR, of the replicas and of a reassignment; Kafka leaves that out, and an ISR that such a broker does not hear
        of is not restored.
        """
        if record.leader != NO_LEADER_CHANGE:
            return
        left_replicas = replicas is not partition.replicas and not set(partition.replicas) <= set(replicas)
        left_isr = self._bumps_epoch_on_isr_shrink and in_sync is not None and not set(partition.isr) <= set(in_sync)
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
        and record.eligible_leader_replicas is None
        and record.last_known_elr is None
    )


def _eligible(partition: PartitionRegistration, isr: tuple[int, ...], unclean_shutdown: int | None) -> tuple[int, ...]:
    """Who is eligible while the ISR is too small: whoever was in sync or eligible and has not lost records since."""
    return tuple(sorted({*partition.elr, *partition.isr}.difference(isr, (unclean_shutdown,))))


def _keep_last_leader(record: PartitionChangeRecord, partition: PartitionRegistration) -> None:
    """Note who led last when the partition loses its leader, and forget it when it gets one."""
    if record.leader == NO_LEADER and not partition.last_known_elr:
        record.last_known_elr = [partition.leader]
    elif record.leader >= 0 and partition.last_known_elr:
        record.last_known_elr = []


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


def partitions_with_elr_member(
    image: MetadataImage, broker_id: int
) -> Iterator[tuple[TopicImage, int, PartitionRegistration]]:
    """The partitions that a broker is an eligible leader of, in a fixed order."""
    for topic_id, number in sorted(image.with_elr):
        topic = image.topics_by_id[topic_id]
        if broker_id in topic.partitions[number].elr:
            yield topic, number, topic.partitions[number]


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
    unclean_shutdown: int | None = None,
) -> list[ApiMessageAndVersion]:
    """The changes that follow when one broker can no longer lead or be in sync (`remove`), can again (`add`), or has
    come back without what it had (`unclean_shutdown`), so that it is no eligible leader either.

    The image still shows the broker as it was. The last member of an ISR stays in it, without being leader, unless
    there are eligible leader replicas.
    """
    can_lead = active_brokers(ctx.image)
    gone = {remove, unclean_shutdown} - {None}
    can_lead -= gone
    if add is not None:
        can_lead |= {add}
    builder = PartitionChangeBuilder(ctx, can_lead)
    records: list[ApiMessageAndVersion] = []
    # Many partitions have the same replicas in the same state, and with the same configs change alike.
    alike: defaultdict[Uuid | None, dict[Hashable, ApiMessageAndVersion]] = defaultdict(dict)
    known, last_topic = alike[None], None
    for topic, number, partition in partitions:
        if topic is not last_topic:
            known, last_topic = alike[topic.id if ctx.image.topic_configs(topic.name) else None], topic
        state = partition.without_epochs()
        model = known.get(state)
        if model is not None:
            records.append(_for_partition(model, topic.id, number))
            continue
        isr = partition.isr
        if not gone.isdisjoint(isr):
            isr = tuple(replica for replica in isr if replica not in gone)
        election = builder.election(topic.name)
        record = builder.build(topic.id, number, partition, election, isr=isr, unclean_shutdown=unclean_shutdown)
        if record is not None:
            known[state] = record
            records.append(record)
    return records


def _for_partition(model: ApiMessageAndVersion, topic_id: Uuid, number: int) -> ApiMessageAndVersion:
    """The same change of another partition."""
    record = copy(model.message)
    assert isinstance(record, PartitionChangeRecord)
    record.partition_id, record.topic_id = number, topic_id
    return ApiMessageAndVersion(record, model.version)
