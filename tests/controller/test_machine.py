"""Any sequence of operations keeps what must always hold of a cluster, its image and its deltas."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pykraft.controller.alter_partition import alter_partition
from pykraft.controller.assign_replicas import assign_replicas_to_dirs
from pykraft.controller.election import balance_partition_leaders, elect_leaders, elect_unclean_leaders
from pykraft.controller.errors import ApiError
from pykraft.controller.fencing import process_broker_heartbeat
from pykraft.controller.partition_change import active_brokers
from pykraft.controller.partitions import create_partitions
from pykraft.controller.reassignment import alter_partition_reassignments, list_partition_reassignments
from pykraft.controller.registration import register_broker
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.controller.topics import create_topics, delete_topics
from pykraft.controller.unregister import unregister_broker
from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.model import DIRECTORY_MIGRATING, NO_LEADER, PartitionRegistration, ZkMigrationState
from pykraft.protocol.messages import alter_partition_request as alter
from pykraft.protocol.messages import assign_replicas_to_dirs_request as assign
from pykraft.protocol.messages.alter_partition_reassignments_request import (
    AlterPartitionReassignmentsRequestData,
    ReassignablePartition,
    ReassignableTopic,
)
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData, CreatePartitionsTopic
from pykraft.protocol.messages.create_topics_request import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData
from pykraft.protocol.messages.elect_leaders_request import ElectLeadersRequestData
from pykraft.protocol.messages.list_partition_reassignments_request import ListPartitionReassignmentsRequestData
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.abort_transaction_record import AbortTransactionRecord
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from tests.controller.cluster import Cluster, directory_of
from tests.image.contents import contents, recounted
from tests.image.samples import sundry_records

BROKERS = st.integers(1, 4)
TOPICS = st.sampled_from(["a", "b", "c"])
VERSIONS = st.sampled_from(
    [
        MetadataVersion.IBP_3_3_IV0,
        MetadataVersion.IBP_3_3_IV3,
        MetadataVersion.IBP_3_5_IV2,
        MetadataVersion.IBP_3_6_IV1,
        MetadataVersion.IBP_3_9_IV0,
        MetadataVersion.IBP_3_9_IV0,
    ]
)
ISR = st.lists(BROKERS, min_size=1, max_size=3, unique=True)


class Watched(Cluster):
    """Looks at every record as it is applied, and at operations: they may not change the image."""

    def apply(self, records: list[ApiMessageAndVersion]) -> None:
        for record in records:
            before = self._partitions()
            super().apply([record])
            taken_back = isinstance(record.message, AbortTransactionRecord)
            for key, after in self._partitions().items():
                was = before.get(key)
                if was is not None and was is not after and not taken_back:
                    assert after.leader_epoch >= was.leader_epoch, (was, after, record)
                    assert after.partition_epoch == was.partition_epoch + 1, (was, after, record)
        self.written = records

    def _partitions(self) -> dict[Any, PartitionRegistration]:
        return {
            (topic.id, number): partition
            for topic in self.image.topics_by_id.values()
            for number, partition in topic.partitions.items()
        }

    def attempt(self, operation: Callable[[OperationContext], ControllerResult[Any]]) -> None:
        before = contents(self.image)
        before = {key: copy.copy(value) for key, value in before.items()}
        try:
            result = operation(self.ctx())
        except ApiError:
            result = ControllerResult(None)
        assert contents(self.image) == before, "an operation changed the image"
        self.apply(result.records)


class Machine(RuleBasedStateMachine):
    """Brokers come, go and misbehave while topics come, change and go, in and out of transactions."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[dict[str, Any], MetadataDelta]] = []
        self.before_delta: dict[str, Any] = {}
        self.before_transaction: dict[str, Any] = {}

    @initialize(version=VERSIONS, migration=st.booleans(), seed=st.integers(0, 1000))
    def begin(self, version: MetadataVersion, migration: bool, seed: int) -> None:
        migration = migration and version.is_migration_supported
        state = ZkMigrationState.MIGRATION if migration else ZkMigrationState.NONE
        self.cluster = Watched(version, migration=migration, state=state, seed=seed)
        self.cluster.start(1, 2, 3, racks={1: "x", 2: "y"})
        self.cluster.create("a", [1, 2, 3], [2, 3, 1], [3, 1, 2])
        self.cluster.create("b", [1, 2], [3, 1], configs={"unclean.leader.election.enable": "true"})
        self.take_delta()

    @property
    def image(self) -> MetadataImage:
        return self.cluster.image

    def _epoch(self, broker_id: int) -> int:
        broker = self.image.brokers.get(broker_id)
        return -1 if broker is None else broker.epoch

    # -- brokers -------------------------------------------------------------------------------------------------

    @rule(broker_id=BROKERS, same=st.booleans(), directories=st.integers(1, 2))
    def register(self, broker_id: int, same: bool, directories: int) -> None:
        existing = self.image.brokers.get(broker_id)
        request = self.cluster.registration(
            broker_id, log_dirs=[directory_of(broker_id, n) for n in range(directories)]
        )
        if same and existing is not None:
            request.incarnation_id = existing.incarnation_id
        self.cluster.attempt(lambda ctx: register_broker(ctx, request))

    @rule(
        broker_id=BROKERS,
        fence=st.booleans(),
        shut_down=st.booleans(),
        behind=st.booleans(),
        lost=st.lists(st.integers(0, 1), max_size=1),
    )
    def heartbeat(self, broker_id: int, fence: bool, shut_down: bool, behind: bool, lost: list[int]) -> None:
        request = BrokerHeartbeatRequestData(
            broker_id,
            self._epoch(broker_id),
            -1 if behind else self.image.offset,
            fence,
            shut_down,
            [directory_of(broker_id, number) for number in lost],
        )
        self.cluster.attempt(lambda ctx: process_broker_heartbeat(ctx, request))

    @rule(broker_ids=st.lists(BROKERS, min_size=1, max_size=4))
    def come_up(self, broker_ids: list[int]) -> None:
        for broker_id in broker_ids:
            broker = self.image.brokers.get(broker_id)
            if broker is None or (broker.fenced and broker.in_controlled_shutdown):
                self.register(broker_id, same=False, directories=2)
            self.heartbeat(broker_id, fence=False, shut_down=False, behind=False, lost=[])

    @rule(broker_ids=st.lists(BROKERS, max_size=2))
    def expire(self, broker_ids: list[int]) -> None:
        self.cluster.expire(*broker_ids)

    @rule(ms=st.integers(1, 10_000))
    def time_passes(self, ms: int) -> None:
        self.cluster.monotonic_ms += ms

    @rule(broker_id=BROKERS)
    def unregister(self, broker_id: int) -> None:
        self.cluster.attempt(lambda ctx: unregister_broker(ctx, UnregisterBrokerRequestData(broker_id)))

    @rule()
    def new_active_controller(self) -> None:
        self.cluster.heartbeats.activate(self.image, self.cluster.monotonic_ms)

    # -- topics --------------------------------------------------------------------------------------------------

    @rule(name=TOPICS, partitions=st.integers(1, 3), factor=st.integers(1, 3), unclean=st.booleans())
    def create_topic(self, name: str, partitions: int, factor: int, unclean: bool) -> None:
        configs = [CreatableTopicConfig("unclean.leader.election.enable", "true")] if unclean else []
        request = CreateTopicsRequestData([CreatableTopic(name, partitions, factor, [], configs)])
        self.cluster.attempt(lambda ctx: create_topics(ctx, request, 7))

    @rule(name=TOPICS)
    def delete_topic(self, name: str) -> None:
        self.cluster.attempt(lambda ctx: delete_topics(ctx, DeleteTopicsRequestData(topic_names=[name]), 5))

    @rule(name=TOPICS, count=st.integers(1, 4))
    def add_partitions(self, name: str, count: int) -> None:
        request = CreatePartitionsRequestData([CreatePartitionsTopic(name, count, None)])
        self.cluster.attempt(lambda ctx: create_partitions(ctx, request))

    @rule(name=TOPICS)
    def followers_catch_up(self, name: str) -> None:
        topic = self.image.topics_by_name.get(name)
        for number, partition in list(topic.partitions.items()) if topic else []:
            up = [i for i in partition.replicas if i in active_brokers(self.image)]
            self.alter_isr(name, number, up, recovering=0)

    @rule(name=TOPICS, number=st.integers(0, 2), isr=ISR, recovering=st.integers(0, 1))
    def alter_isr(self, name: str, number: int, isr: list[int], recovering: int) -> None:
        topic = self.image.topics_by_name.get(name)
        partition = None if topic is None else topic.partitions.get(number)
        if topic is None or partition is None:
            return
        members = [alter.BrokerState(i, self._epoch(i)) for i in isr]
        data = alter.PartitionData(number, partition.leader_epoch, [], members, recovering, partition.partition_epoch)
        request = alter.AlterPartitionRequestData(
            partition.leader, self._epoch(partition.leader), [alter.TopicData("", topic.id, [data])]
        )
        self.cluster.attempt(lambda ctx: alter_partition(ctx, request, 3))

    @rule(kind=st.integers(0, 1))
    def elect(self, kind: int) -> None:
        self.cluster.attempt(lambda ctx: elect_leaders(ctx, ElectLeadersRequestData(kind, None)))

    @rule()
    def background_elections(self) -> None:
        self.cluster.attempt(balance_partition_leaders)
        self.cluster.attempt(elect_unclean_leaders)

    @rule(name=TOPICS, number=st.integers(0, 2), replicas=st.none() | ISR)
    def reassign(self, name: str, number: int, replicas: list[int] | None) -> None:
        request = AlterPartitionReassignmentsRequestData(
            topics=[ReassignableTopic(name, [ReassignablePartition(number, replicas)])]
        )
        self.cluster.attempt(lambda ctx: alter_partition_reassignments(ctx, request))

    @rule(name=TOPICS, broker_id=BROKERS, directory=st.integers(0, 2))
    def assign_directory(self, name: str, broker_id: int, directory: int) -> None:
        topic = self.image.topics_by_name.get(name)
        if topic is None:
            return
        data = assign.TopicData(topic.id, [assign.PartitionData(number) for number in topic.partitions])
        request = assign.AssignReplicasToDirsRequestData(
            broker_id, self._epoch(broker_id), [assign.DirectoryData(directory_of(broker_id, directory), [data])]
        )
        self.cluster.attempt(lambda ctx: assign_replicas_to_dirs(ctx, request))

    # -- everything else in the image, deltas and transactions ---------------------------------------------------

    @rule(record=sundry_records())
    def write_something_else(self, record: ApiMessageAndVersion) -> None:
        self.cluster.apply([record])

    @precondition(lambda self: not self.image.in_transaction)
    @rule(now=st.sampled_from([True, False, False]))
    def begin_transaction(self, now: bool) -> None:
        if not now:
            return
        self.before_transaction = contents(self.image)
        self.cluster.apply([ApiMessageAndVersion(BeginTransactionRecord(name="x"), 0)])

    @precondition(lambda self: self.image.in_transaction)
    @rule(abort=st.booleans())
    def end_transaction(self, abort: bool) -> None:
        record = AbortTransactionRecord(reason="x") if abort else EndTransactionRecord()
        self.cluster.apply([ApiMessageAndVersion(record, 0)])
        if abort:
            assert contents(self.image) == self.before_transaction
            # Liveness is not in the log: what brokers the aborted records brought is forgotten with them.
            self.cluster.heartbeats.activate(self.image, self.cluster.monotonic_ms)

    @precondition(lambda self: not self.image.in_transaction)
    @rule()
    def take_delta(self) -> None:
        delta = self.image.take_delta()
        if delta is None:
            assert contents(self.image) == (self.before_delta or contents(self.image))
        else:
            self.published.append((self.before_delta or contents(MetadataImage()), delta))
        self.before_delta = contents(self.image)

    # -- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def leaders_are_fit_to_lead(self) -> None:
        for topic in self.image.topics_by_id.values():
            assert self.image.topics_by_name[topic.name] is topic
            for partition in topic.partitions.values():
                assert partition.isr
                assert len(set(partition.isr)) == len(partition.isr)
                assert set(partition.isr) <= set(partition.replicas)
                assert set(partition.adding_replicas) | set(partition.removing_replicas) <= set(partition.replicas)
                assert len(partition.directories) in (0, len(partition.replicas))
                if partition.leader != NO_LEADER:
                    assert partition.leader in partition.isr
                    leader = self.image.brokers[partition.leader]
                    assert not leader.fenced
                    assert not leader.in_controlled_shutdown
                    if partition.directories:
                        assert leader.has_online_directory(partition.directory(leader.id))
                if not self.image.metadata_version.is_directory_assignment_supported:
                    assert set(partition.directories) <= {DIRECTORY_MIGRATING}

    @invariant()
    def counts_are_right(self) -> None:
        held = contents(self.image)
        for name, expected in recounted(self.image).items():
            assert held[name] == expected, name

    @invariant()
    def liveness_follows_the_image(self) -> None:
        for broker in self.image.brokers.values():
            assert self.cluster.heartbeats.session(broker.id) is not None
        for broker_id in range(1, 5):
            tracked = self.cluster.heartbeats.has_valid_session(broker_id, 0)
            assert tracked == (broker_id in self.image.brokers and not self.image.brokers[broker_id].fenced)

    @invariant()
    def reassignments_are_listed(self) -> None:
        response = list_partition_reassignments(self.image, ListPartitionReassignmentsRequestData())
        assert sum(len(topic.partitions) for topic in response.topics) == len(self.image.reassigning)

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        replayed = self._replayed()
        assert contents(replayed) == contents(self.image), "replaying the records gives another image"
        if self.image.in_transaction:
            self.end_transaction(abort=True)
        self.take_delta()
        image = self._replayed()
        for before, delta in reversed(self.published):
            image.revert(copy.deepcopy(delta))
            assert contents(image) == before, "a delta does not lead back"
        merged = MetadataDelta()
        for _, delta in self.published:
            merged.merge(copy.deepcopy(delta))
        image = self._replayed()
        image.revert(merged)
        assert contents(image) == contents(MetadataImage()), "the merged delta does not lead back"

    def _replayed(self) -> MetadataImage:
        image = MetadataImage()
        for offset, record in enumerate(self.cluster.log):
            image.apply(copy.deepcopy(record.message), offset, 1)
        return image


Machine.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None, derandomize=True)
TestMachine = Machine.TestCase
