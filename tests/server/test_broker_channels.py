"""Channels over real sockets: what a broker receives, in which order, and what happens when it goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from pykraft.image.metadata_image import MetadataImage
from pykraft.migration.propagator import ControlRequests, Propagator, RequestType
from pykraft.protocol.api import ApiKey
from pykraft.protocol.frame import decode_request, encode_response
from pykraft.protocol.messages.leader_and_isr_response import LeaderAndIsrResponseData
from pykraft.protocol.messages.stop_replica_response import StopReplicaResponseData
from pykraft.protocol.messages.update_metadata_response import UpdateMetadataResponseData
from pykraft.protocol.records.broker_registration_change_record import BrokerRegistrationChangeRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.register_broker_record import BrokerEndpoint, RegisterBrokerRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.server import broker_channels
from pykraft.server.broker_channels import BrokerChannels

TOPIC = bytes(15) + b"\x21"
ANSWERS: dict[ApiKey, type[Any]] = {
    ApiKey.LEADER_AND_ISR: LeaderAndIsrResponseData,
    ApiKey.UPDATE_METADATA: UpdateMetadataResponseData,
    ApiKey.STOP_REPLICA: StopReplicaResponseData,
}


class Broker:
    """Takes control requests; with `deaf`, or after `deaf_after` of them, it closes the connection unanswered."""

    def __init__(self) -> None:
        self.received: list[tuple[ApiKey, Any]] = []
        self.versions: dict[ApiKey, int] = {}
        self.deaf = False
        self.deaf_after: int | None = None
        self.refused = 0
        self.changed = trio.Event()
        self.port = 0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        await trio.serve_listeners(self._serve, listeners, task_status=task_status)  # type: ignore[arg-type]  # ours tells nothing

    async def _serve(self, stream: trio.SocketStream) -> None:
        buffer = bytearray()
        async with stream:
            async for chunk in stream:
                buffer += chunk
                while len(buffer) >= 4 and len(buffer) >= 4 + (size := int.from_bytes(buffer[:4], "big")):
                    frame, buffer = bytes(buffer[4 : 4 + size]), buffer[4 + size :]
                    if self.deaf or (self.deaf_after is not None and len(self.received) >= self.deaf_after):
                        self.refused += 1
                        self._notify()
                        return
                    header, _, body = decode_request(frame)
                    key = ApiKey(header.request_api_key)
                    answer = encode_response(key, header.request_api_version, header.correlation_id, ANSWERS[key]())
                    await stream.send_all(len(answer).to_bytes(4, "big") + answer)
                    self.received.append((key, body))
                    self.versions[key] = header.request_api_version
                    self._notify()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(30):
            while not condition():
                await self.changed.wait()


class Cluster:
    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.image = MetadataImage()
        self.channels = BrokerChannels(Propagator(3000, "PLAINTEXT"), self._read)

    async def _read(self, function: Callable[[MetadataImage], ControlRequests]) -> ControlRequests:
        return function(self.image)

    def apply(self, *records: Any) -> None:
        for record in records:
            self.image.apply(record, self.image.offset + 1, 3)

    def register(self, epoch: int, *ends: BrokerEndpoint, broker_id: int = 1, zk: bool = True) -> None:
        self.apply(
            RegisterBrokerRecord(
                broker_id=broker_id,
                is_migrating_zk_broker=zk,
                broker_epoch=epoch,
                fenced=False,
                end_points=list(ends) or [BrokerEndpoint(name="PLAINTEXT", host="127.0.0.1", port=self.broker.port)],
            )
        )

    def publish(self, *records: Any) -> None:
        self.apply(*records)
        delta = self.image.take_delta()
        assert delta is not None
        self.channels.publish_delta(self.image, delta, 6)


@asynccontextmanager
async def running() -> AsyncIterator[Cluster]:
    async with trio.open_nursery() as nursery:
        broker = Broker()
        await nursery.start(broker.run)
        cluster = Cluster(broker)
        await nursery.start(cluster.channels.run)
        cluster.register(epoch=10)
        cluster.apply(
            TopicRecord(name="t", topic_id=TOPIC),
            PartitionRecord(partition_id=0, topic_id=TOPIC, replicas=[1], isr=[1], leader=1, leader_epoch=0),
        )
        cluster.image.take_delta()
        yield cluster
        nursery.cancel_scope.cancel()


def shrink() -> PartitionChangeRecord:
    return PartitionChangeRecord(partition_id=0, topic_id=TOPIC, leader=1)


async def test_c6_a_broker_first_gets_everything_and_then_each_change() -> None:
    async with running() as cluster:
        cluster.channels.publish_full(cluster.image, 6)
        await cluster.broker.wait_for(lambda: len(cluster.broker.received) == 2)
        assert [key for key, _ in cluster.broker.received] == [ApiKey.UPDATE_METADATA, ApiKey.LEADER_AND_ISR]
        assert [body.type for _, body in cluster.broker.received] == [RequestType.FULL, RequestType.FULL]
        cluster.publish(shrink())
        await cluster.broker.wait_for(lambda: len(cluster.broker.received) == 4)
        key, body = cluster.broker.received[2]
        assert (key, body.broker_epoch, body.topic_states[0].partition_states[0].leader_epoch) == (
            ApiKey.LEADER_AND_ISR,
            10,
            1,
        )


async def test_an_unanswered_request_is_sent_again_on_a_new_connection() -> None:
    async with running() as cluster:
        cluster.channels.publish_full(cluster.image, 6)
        await cluster.broker.wait_for(lambda: len(cluster.broker.received) == 2)
        cluster.broker.deaf = True
        cluster.publish(shrink())
        await cluster.broker.wait_for(lambda: cluster.broker.refused > 0)
        cluster.broker.deaf = False
        await cluster.broker.wait_for(lambda: len(cluster.broker.received) == 4)
        assert [key for key, _ in cluster.broker.received[2:]] == [ApiKey.LEADER_AND_ISR, ApiKey.UPDATE_METADATA]


async def test_a_queue_that_overflows_is_replaced_by_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_channels, "QUEUED_REQUESTS_MAX", 10)
    async with running() as cluster:
        cluster.channels.publish_full(cluster.image, 6)
        await cluster.broker.wait_for(lambda: len(cluster.broker.received) == 2)
        cluster.broker.deaf = True
        for _ in range(50):
            cluster.publish(shrink())
        assert cluster.channels.statistics()[1].overflows == 1
        assert cluster.channels.statistics()[1].queued == 0
        cluster.broker.deaf = False
        await cluster.broker.wait_for(
            lambda: [b.type for _, b in cluster.broker.received[2:]] == [RequestType.FULL, RequestType.FULL]
        )
        assert cluster.broker.received[3][1].topic_states[0].partition_states[0].leader_epoch == 50


async def test_c42_a_fenced_broker_has_no_channel_and_a_new_registration_gets_everything() -> None:
    async with running() as cluster:
        cluster.channels.publish_full(cluster.image, 6)
        await cluster.broker.wait_for(lambda: len(cluster.broker.received) == 2)
        cluster.publish(BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=10, fenced=1))
        assert cluster.channels.statistics() == {}
        cluster.register(epoch=11)
        cluster.publish()
        await cluster.broker.wait_for(lambda: len(cluster.broker.received) == 4)
        assert [(body.broker_epoch, body.type) for _, body in cluster.broker.received[2:]] == [
            (11, RequestType.FULL)
        ] * 2


async def test_c13_only_unfenced_brokers_in_zookeeper_mode_have_a_channel() -> None:
    """KAFKA-14918; Kafka's MigrationPropagatorTest.testCalculateBrokerChanges."""
    async with running() as cluster:
        cluster.register(20, broker_id=2, zk=False)
        cluster.register(30, broker_id=3)
        cluster.apply(BrokerRegistrationChangeRecord(broker_id=3, broker_epoch=30, fenced=1))
        cluster.channels.publish_full(cluster.image, 6)
        assert cluster.channels.statistics().keys() == {1}
        cluster.publish(BrokerRegistrationChangeRecord(broker_id=3, broker_epoch=30, fenced=-1))
        assert cluster.channels.statistics().keys() == {1, 3}
        cluster.register(40, broker_id=1, zk=False)
        cluster.publish()
        assert cluster.channels.statistics().keys() == {3}, "a broker that came back in KRaft mode reads the log"
        cluster.register(50, broker_id=1)
        cluster.publish()
        assert cluster.channels.statistics().keys() == {1, 3}, "and one that went back to ZooKeeper mode does not"


async def test_c18_requests_have_the_versions_of_every_level_that_can_migrate() -> None:
    """KAFKA-15007. From 3.4-IV0 on these are the newest, and the only ones that say isKRaftController."""
    async with running() as cluster:
        cluster.channels.publish_full(cluster.image, 6)
        await cluster.broker.wait_for(lambda: len(cluster.broker.received) == 2)
        cluster.publish(RemoveTopicRecord(topic_id=TOPIC))
        await cluster.broker.wait_for(lambda: len(cluster.broker.versions) == 3)
        assert cluster.broker.versions == {
            ApiKey.LEADER_AND_ISR: 7,
            ApiKey.UPDATE_METADATA: 8,
            ApiKey.STOP_REPLICA: 4,
        }
        assert all(body.is_kraft_controller for _, body in cluster.broker.received)


async def test_c59_brokers_are_reached_on_their_inter_broker_listener(caplog: pytest.LogCaptureFixture) -> None:
    """KAFKA-15670. What asks for TLS or SASL is not spoken to, and that is said."""
    async with running() as cluster:
        client = BrokerEndpoint(name="CLIENT", host="127.0.0.1", port=1)
        inter_broker = BrokerEndpoint(name="PLAINTEXT", host="127.0.0.1", port=cluster.broker.port)
        cluster.register(11, client, inter_broker)
        cluster.channels.publish_full(cluster.image, 6)
        await cluster.broker.wait_for(lambda: len(cluster.broker.received) == 2)
        assert caplog.text == ""
        for ends in ([client], [BrokerEndpoint(name="PLAINTEXT", host="127.0.0.1", port=1, security_protocol=3)]):
            cluster.register(12, *ends)
            caplog.clear()
            cluster.publish()
            assert cluster.channels.statistics() == {}
            assert "Broker 1 has no listener PLAINTEXT without TLS and SASL" in caplog.text


@pytest.mark.parametrize("away", ["fenced", "deaf", "overflow"])
async def test_c41_c42_a_deletion_that_a_broker_missed_goes_first_when_it_is_back(
    away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers before 3.6.1 cannot tell from what is missing in a FULL request that a topic is gone."""
    async with running() as cluster:
        broker = cluster.broker
        cluster.channels.publish_full(cluster.image, 6)
        await broker.wait_for(lambda: len(broker.received) == 2)
        if away == "fenced":
            cluster.publish(BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=10, fenced=1))
        broker.deaf = True
        if away == "overflow":
            monkeypatch.setattr(broker_channels, "QUEUED_REQUESTS_MAX", 1)
        again = bytes(15) + b"\x22"
        created = PartitionRecord(partition_id=0, topic_id=again, replicas=[1], isr=[1], leader=1, leader_epoch=0)
        cluster.publish(RemoveTopicRecord(topic_id=TOPIC))
        cluster.publish(TopicRecord(name="t", topic_id=again), created)
        if away == "deaf":
            await broker.wait_for(lambda: broker.refused > 0)
        cluster.register(epoch=11)
        cluster.publish()
        broker.deaf = False
        await broker.wait_for(lambda: len(broker.received) == 6)
        assert [key for key, _ in broker.received[2:]] == [
            ApiKey.STOP_REPLICA, ApiKey.UPDATE_METADATA, ApiKey.UPDATE_METADATA, ApiKey.LEADER_AND_ISR
        ]  # fmt: skip
        stop, unlearn, *everything = (body for _, body in broker.received[2:])
        (stopped,) = stop.topic_states[0].partition_states
        assert (stopped.leader_epoch, stopped.delete_partition, stop.broker_epoch) == (-2, True, 11)
        (unlearnt,) = unlearn.topic_states
        assert (unlearnt.topic_id, unlearnt.partition_states[0].leader) == (TOPIC, -2)
        assert [[topic.topic_id for topic in each.topic_states] for each in everything] == [[again], [again]]

        cluster.register(epoch=12)
        cluster.publish()
        await broker.wait_for(lambda: len(broker.received) == 8)
        assert [body.type for _, body in broker.received[6:]] == [RequestType.FULL, RequestType.FULL], "it has answered"


async def test_a_deletion_that_was_answered_is_never_sent_again_to_a_newer_topic_of_the_name() -> None:
    """StopReplica names no id: it would delete what the newer topic holds."""
    async with running() as cluster:
        broker = cluster.broker
        cluster.channels.publish_full(cluster.image, 6)
        await broker.wait_for(lambda: len(broker.received) == 2)
        again = bytes(15) + b"\x22"
        created = PartitionRecord(partition_id=0, topic_id=again, replicas=[1], isr=[1], leader=1, leader_epoch=0)
        broker.deaf_after = 5
        cluster.publish(RemoveTopicRecord(topic_id=TOPIC))
        cluster.publish(TopicRecord(name="t", topic_id=again), created)
        await broker.wait_for(lambda: broker.refused > 0)
        assert [key for key, _ in broker.received[2:]] == [
            ApiKey.STOP_REPLICA, ApiKey.UPDATE_METADATA, ApiKey.LEADER_AND_ISR
        ]  # fmt: skip
        broker.deaf_after = None
        cluster.register(epoch=11)
        cluster.publish()
        await broker.wait_for(lambda: len(broker.received) == 7)
        assert [key for key, _ in broker.received[5:]] == [ApiKey.UPDATE_METADATA, ApiKey.LEADER_AND_ISR]


async def test_a_broker_that_was_in_kraft_mode_meanwhile_is_told_of_no_deletion_before() -> None:
    async with running() as cluster:
        broker = cluster.broker
        cluster.channels.publish_full(cluster.image, 6)
        await broker.wait_for(lambda: len(broker.received) == 2)
        cluster.publish(BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=10, fenced=1))
        cluster.publish(RemoveTopicRecord(topic_id=TOPIC))
        for epoch, zk in ((20, False), (30, True)):
            cluster.register(epoch, zk=zk)
            cluster.publish()
        await broker.wait_for(lambda: len(broker.received) == 4)
        assert [key for key, _ in broker.received[2:]] == [ApiKey.UPDATE_METADATA, ApiKey.LEADER_AND_ISR]


async def test_no_more_deletions_are_kept_than_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_channels, "MISSED_DELETIONS_MAX", 2)
    async with running() as cluster:
        cluster.channels.publish_full(cluster.image, 6)
        cluster.publish(BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=10, fenced=1))
        for number in range(5):
            topic = bytes(15) + bytes([0x40 + number])
            made = PartitionRecord(partition_id=0, topic_id=topic, replicas=[1], isr=[1], leader=1, leader_epoch=0)
            cluster.publish(TopicRecord(name=f"t{number}", topic_id=topic), made)
            cluster.publish(RemoveTopicRecord(topic_id=topic))
        cluster.register(epoch=11)
        cluster.publish()
        received = cluster.broker.received
        await cluster.broker.wait_for(lambda: bool(received) and received[-1][0] is ApiKey.LEADER_AND_ISR)
        stop = next(body for key, body in received if key is ApiKey.STOP_REPLICA)
        assert [topic.topic_name for topic in stop.topic_states] == ["t3", "t4"]
