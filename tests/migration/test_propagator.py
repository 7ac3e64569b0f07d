"""What brokers are told: each case is one change of an image and the requests that follow from it."""

from __future__ import annotations

import pytest

from pykraft.image.metadata_image import MetadataImage
from pykraft.migration.propagator import (
    LEADER_DURING_DELETE,
    ControlRequest,
    ControlRequests,
    Propagator,
    RequestType,
)
from pykraft.protocol._message import Message
from pykraft.protocol.messages.leader_and_isr_request import LeaderAndIsrRequestData
from pykraft.protocol.messages.stop_replica_request import StopReplicaRequestData
from pykraft.protocol.messages.update_metadata_request import UpdateMetadataRequestData
from pykraft.protocol.records.broker_registration_change_record import BrokerRegistrationChangeRecord
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.register_broker_record import BrokerEndpoint, RegisterBrokerRecord
from pykraft.protocol.records.register_controller_record import ControllerEndpoint, RegisterControllerRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.topic_record import TopicRecord

ORDERS, PAYMENTS = bytes(15) + b"\x21", bytes(15) + b"\x22"
ZK_EPOCH = 6
KRAFT_EPOCH = 3


class Cluster:
    """An image that records are applied to, with the deltas that follow."""

    def __init__(self) -> None:
        self.image = MetadataImage()
        self.propagator = Propagator(3000, "PLAINTEXT")

    def apply(self, *records: Message) -> None:
        for record in records:
            self.image.apply(record, self.image.offset + 1, KRAFT_EPOCH)

    def changed(self, *records: Message, brokers: tuple[int, ...] = (0, 1, 2)) -> ControlRequests:
        self.apply(*records)
        delta = self.image.take_delta()
        assert delta is not None
        return self.propagator.delta(self.image, delta, brokers, ZK_EPOCH)


def register(broker_id: int, *, fenced: bool = False, zk: bool = True) -> RegisterBrokerRecord:
    return RegisterBrokerRecord(
        broker_id=broker_id,
        is_migrating_zk_broker=zk,
        broker_epoch=100 + broker_id,
        fenced=fenced,
        end_points=[BrokerEndpoint(name="PLAINTEXT", host="h", port=9090 + broker_id, security_protocol=0)],
    )


def partition(topic: bytes, number: int, replicas: list[int], leader: int | None = None) -> PartitionRecord:
    return PartitionRecord(
        partition_id=number,
        topic_id=topic,
        replicas=replicas,
        isr=replicas,
        leader=replicas[0] if leader is None else leader,
        leader_epoch=4,
        partition_epoch=7,
    )


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    made.apply(
        register(0),
        register(1),
        register(2),
        TopicRecord(name="orders", topic_id=ORDERS),
        partition(ORDERS, 0, [0, 1]),
        partition(ORDERS, 1, [1, 0]),
    )
    made.image.take_delta()
    return made


def kinds(requests: list[ControlRequest]) -> list[str]:
    return [type(request).__name__.removesuffix("RequestData") for request in requests]


def test_c5_c6_c42_everything_goes_out_as_metadata_first_then_leadership_with_nothing_left_out(
    cluster: Cluster,
) -> None:
    requests = cluster.propagator.full(cluster.image, [0, 2], ZK_EPOCH)
    assert kinds(requests[0]) == kinds(requests[2]) == ["UpdateMetadata", "LeaderAndIsr"]
    metadata, leadership = requests[0]
    assert isinstance(metadata, UpdateMetadataRequestData)
    assert isinstance(leadership, LeaderAndIsrRequestData)
    assert (metadata.type, leadership.type) == (RequestType.FULL, RequestType.FULL)
    assert (metadata.controller_id, metadata.is_kraft_controller, metadata.controller_epoch) == (3000, True, ZK_EPOCH)
    assert metadata.broker_epoch == 100
    assert [broker.id for broker in metadata.live_brokers] == [0, 1, 2]
    assert [(t.topic_name, t.topic_id, len(t.partition_states)) for t in metadata.topic_states] == [
        ("orders", ORDERS, 2)
    ]
    state = leadership.topic_states[0].partition_states[1]
    assert (state.partition_index, state.leader, state.leader_epoch, state.partition_epoch) == (1, 1, 4, 7)
    assert (state.controller_epoch, state.is_new, state.isr, state.replicas) == (KRAFT_EPOCH, True, [1, 0], [1, 0])
    assert [(leader.broker_id, leader.port) for leader in leadership.live_leaders] == [(0, 9090), (1, 9091)]


def test_c41_l18_a_broker_that_hosts_nothing_is_told_so_that_its_strays_are_found(cluster: Cluster) -> None:
    leadership = cluster.propagator.full(cluster.image, [2], ZK_EPOCH)[2][1]
    assert isinstance(leadership, LeaderAndIsrRequestData)
    assert leadership.topic_states == []
    assert leadership.type == RequestType.FULL


def test_a_changed_partition_goes_to_its_replicas_and_its_metadata_to_all(cluster: Cluster) -> None:
    change = PartitionChangeRecord(partition_id=0, topic_id=ORDERS, leader=1, isr=[1])
    requests = cluster.changed(change)
    assert kinds(requests[0]) == kinds(requests[1]) == ["LeaderAndIsr", "UpdateMetadata"]
    assert kinds(requests[2]) == ["UpdateMetadata"]
    leadership = requests[1][0]
    assert isinstance(leadership, LeaderAndIsrRequestData)
    states = [state for topic in leadership.topic_states for state in topic.partition_states]
    assert [(s.partition_index, s.leader, s.leader_epoch, s.partition_epoch) for s in states] == [(0, 1, 5, 8)]
    assert leadership.type == RequestType.INCREMENTAL


def test_c47_a_replica_that_was_moved_away_is_stopped_and_deleted_last(cluster: Cluster) -> None:
    change = PartitionChangeRecord(partition_id=0, topic_id=ORDERS, replicas=[1, 2], isr=[1, 2], leader=1)
    requests = cluster.changed(change)
    assert kinds(requests[0]) == ["UpdateMetadata", "StopReplica"]
    stop = requests[0][1]
    assert isinstance(stop, StopReplicaRequestData)
    state = stop.topic_states[0].partition_states[0]
    assert (stop.topic_states[0].topic_name, state.partition_index, state.leader_epoch) == ("orders", 0, 5)
    assert state.delete_partition


def test_c60_controllers_are_no_live_brokers(cluster: Cluster) -> None:
    """KAFKA-16515: brokers know their controller from the quorum; clients would take a listed one for a broker."""
    end = ControllerEndpoint(name="CONTROLLER", host="c", port=9093, security_protocol=0)
    cluster.apply(RegisterControllerRecord(controller_id=3000, zk_migration_ready=True, end_points=[end]))
    cluster.image.take_delta()
    change = PartitionChangeRecord(partition_id=0, topic_id=ORDERS, leader=1, isr=[1])
    for requests in (cluster.propagator.full(cluster.image, [0], ZK_EPOCH), cluster.changed(change)):
        for metadata in requests[0]:
            if isinstance(metadata, UpdateMetadataRequestData):
                assert [broker.id for broker in metadata.live_brokers] == [0, 1, 2]


def test_c5_every_request_names_one_controller_that_is_krafts(cluster: Cluster) -> None:
    cluster.apply(TopicRecord(name="payments", topic_id=PAYMENTS), partition(PAYMENTS, 0, [0, 1]))
    full = cluster.propagator.full(cluster.image, [0], ZK_EPOCH)[0]
    cluster.image.take_delta()
    moved = PartitionChangeRecord(partition_id=0, topic_id=ORDERS, replicas=[1, 2], isr=[1, 2], leader=1)
    delta = cluster.changed(moved, RemoveTopicRecord(topic_id=PAYMENTS))[0]
    assert {type(request).__name__.removesuffix("RequestData") for request in [*full, *delta]} == {
        "UpdateMetadata",
        "LeaderAndIsr",
        "StopReplica",
    }
    for request in [*full, *delta]:
        assert (request.controller_id, request.is_kraft_controller) == (3000, True)
        assert (request.controller_epoch, request.broker_epoch) == (ZK_EPOCH, 100)


def test_c28_a_new_partition_is_in_leadership_and_metadata(cluster: Cluster) -> None:
    requests = cluster.changed(partition(ORDERS, 2, [1, 2]))
    assert kinds(requests[1]) == ["LeaderAndIsr", "UpdateMetadata"]
    assert kinds(requests[0]) == ["UpdateMetadata"]
    for request in [*requests[1], *requests[0]]:
        assert not isinstance(request, StopReplicaRequestData)
        assert [[state.partition_index for state in topic.partition_states] for topic in request.topic_states] == [[2]]


def test_l10_a_deleted_topic_is_stopped_first_and_unlearnt_by_all(cluster: Cluster) -> None:
    requests = cluster.changed(RemoveTopicRecord(topic_id=ORDERS))
    assert kinds(requests[0]) == ["StopReplica", "UpdateMetadata"]
    assert kinds(requests[2]) == ["UpdateMetadata"]
    stop, metadata = requests[0]
    assert isinstance(stop, StopReplicaRequestData)
    assert isinstance(metadata, UpdateMetadataRequestData)
    assert [s.leader_epoch for s in stop.topic_states[0].partition_states] == [-2, -2]
    state = metadata.topic_states[0].partition_states[0]
    assert (state.leader, state.offline_replicas) == (LEADER_DURING_DELETE, [])
    assert metadata.topic_states[0].topic_id == ORDERS


def test_l10_the_offline_replicas_of_a_deleted_topic_are_those_that_are_offline(cluster: Cluster) -> None:
    """Kafka lists the others."""
    gone = BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=101, fenced=1)
    cluster.apply(gone, *(PartitionChangeRecord(partition_id=n, topic_id=ORDERS, leader=0, isr=[0]) for n in (0, 1)))
    cluster.image.take_delta()
    metadata = cluster.changed(RemoveTopicRecord(topic_id=ORDERS), brokers=(2,))[2][0]
    assert isinstance(metadata, UpdateMetadataRequestData)
    assert [state.offline_replicas for state in metadata.topic_states[0].partition_states] == [[1], [1]]


def test_c51_l23_a_topic_deleted_and_made_again_is_stopped_before_it_is_started(cluster: Cluster) -> None:
    requests = cluster.changed(
        RemoveTopicRecord(topic_id=ORDERS), TopicRecord(name="orders", topic_id=PAYMENTS), partition(PAYMENTS, 0, [0])
    )
    assert kinds(requests[0]) == ["StopReplica", "LeaderAndIsr", "UpdateMetadata"]
    metadata = requests[0][2]
    assert isinstance(metadata, UpdateMetadataRequestData)
    assert [(t.topic_id, t.partition_states[0].leader) for t in metadata.topic_states] == [
        (ORDERS, LEADER_DURING_DELETE),
        (PAYMENTS, 0),
    ]


def test_l17_a_fenced_broker_is_offline_to_the_others_once_it_leads_nothing(cluster: Cluster) -> None:
    fence = BrokerRegistrationChangeRecord(broker_id=0, broker_epoch=100, fenced=1)
    still_leading = cluster.changed(fence, brokers=(1,))[1]
    assert kinds(still_leading) == ["UpdateMetadata"]
    assert isinstance(still_leading[0], UpdateMetadataRequestData)
    assert [broker.id for broker in still_leading[0].live_brokers] == [0, 1, 2]
    moved = cluster.changed(PartitionChangeRecord(partition_id=0, topic_id=ORDERS, leader=1, isr=[1]), brokers=(1,))[1]
    metadata = moved[1]
    assert isinstance(metadata, UpdateMetadataRequestData)
    assert [broker.id for broker in metadata.live_brokers] == [1, 2]
    assert metadata.topic_states[0].partition_states[0].offline_replicas == [0]


def test_c8_a_change_of_neither_topics_nor_brokers_sends_nothing(cluster: Cluster) -> None:
    config = ConfigRecord(resource_type=2, resource_name="orders", name="retention.ms", value="1")
    assert cluster.changed(config) == {}
