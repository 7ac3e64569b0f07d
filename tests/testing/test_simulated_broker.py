"""Simulated brokers: with a controller in a thread, and sent by hand what a controller sends to ZooKeeper brokers."""

from __future__ import annotations

import socket
import struct
import time
from functools import partial

import pytest

import pykraft.testing
from pykraft.log.batch import iter_headers
from pykraft.protocol import frame
from pykraft.protocol._message import Message
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.leader_and_isr_request import (
    LeaderAndIsrPartitionState,
    LeaderAndIsrRequestData,
    LeaderAndIsrTopicState,
)
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.messages.stop_replica_request import (
    StopReplicaPartitionState,
    StopReplicaRequestData,
    StopReplicaTopicState,
)
from pykraft.protocol.messages.update_metadata_request import UpdateMetadataBroker, UpdateMetadataRequestData
from pykraft.server import maintenance
from pykraft.testing.simulated_broker import SimulatedBroker, SimulatedBrokerError, running
from tests import waiting

DEADLINE_S = 15.0

until = partial(waiting.until, deadline_s=DEADLINE_S, poll_s=0.01)


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def ask(port: int, key: ApiKey, version: int, request: Message) -> Message:
    """Send one request as a controller would, and return the answer."""
    header = RequestHeaderData(request_api_key=key, request_api_version=version, correlation_id=7, client_id="c")
    data = frame.encode_request(header, request)
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection, connection.makefile("rb") as reader:
        connection.sendall(struct.pack(">i", len(data)) + data)
        (length,) = struct.unpack(">i", reader.read(4))
        answered, _, body = frame.decode_response(reader.read(length), key, version)
    assert answered.correlation_id == 7
    return body


def test_kraft_brokers_register_and_are_unfenced() -> None:
    with pykraft.testing.controller() as controller:
        brokers = [
            SimulatedBroker(each, controller.cluster_id, address(controller.address), migrating=False, rack=f"r{each}")
            for each in (0, 1)
        ]
        with running(brokers):
            until(lambda: not any(broker.fenced for broker in brokers), "all brokers are unfenced")
            racks = controller.read(lambda image: {number: each.rack for number, each in image.brokers.items()})
            epochs = controller.read(lambda image: {number: each.epoch for number, each in image.brokers.items()})
    assert racks == {0: "r0", 1: "r1"}
    assert epochs == {broker.broker_id: broker.epoch for broker in brokers}


def test_a_broker_that_fetches_is_handed_the_whole_log() -> None:
    batches: dict[int, list[bytes]] = {2: [], 3: []}  # another id than the controller has

    def tap(broker_id: int, arrived_s: float, key: ApiKey, data: bytes) -> None:
        assert key is ApiKey.FETCH
        assert arrived_s <= time.monotonic()
        batches[broker_id].append(data)

    with pykraft.testing.controller() as controller:
        brokers = [
            SimulatedBroker(
                each, controller.cluster_id, address(controller.address), migrating=False, fetches=True, tap=tap
            )
            for each in batches
        ]
        with running(brokers):
            until(lambda: not any(broker.fenced for broker in brokers), "all brokers are unfenced")
            brokers[1].silent = True
            end_offset = controller.read(lambda image: image.offset) + 1
            until(
                lambda: all(broker.fetched_offset >= end_offset for broker in brokers), "all brokers have the whole log"
            )
    for fetched in batches.values():
        headers = [header for data in fetched for _, header in iter_headers(data)]
        assert [header.base_offset for header in headers] == [0, *(header.next_offset for header in headers[:-1])]


def test_a_silent_broker_is_fenced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "FENCING_CHECK_INTERVAL_MS_MAX", 10)
    with pykraft.testing.controller(broker_session_timeout_ms=500) as controller:
        broker = SimulatedBroker(0, controller.cluster_id, address(controller.address), migrating=False, fetches=True)
        with running([broker]):
            until(lambda: not broker.fenced, "the broker is unfenced")
            broker.silent = True
            controller.wait_event("broker_fenced", DEADLINE_S, broker_id=0)


def test_with_a_tap_requests_are_handed_over_and_not_looked_into() -> None:
    tapped: list[tuple[int, ApiKey, bytes]] = []
    broker = SimulatedBroker(
        1, "cluster", ("127.0.0.1", 9), tap=lambda broker_id, _, key, data: tapped.append((broker_id, key, data))
    )
    state = LeaderAndIsrPartitionState(partition_index=0, leader=1, isr=[1])
    topic = LeaderAndIsrTopicState(topic_name="orders", topic_id=b"0123456789abcdef", partition_states=[state])
    request = LeaderAndIsrRequestData(topic_states=[topic])
    with running([broker]):
        answer = ask(broker.port, ApiKey.LEADER_AND_ISR, 7, request)
    assert answer.error_code == 0  # type: ignore[attr-defined]
    [(broker_id, key, data)] = tapped
    assert (broker_id, key) == (1, ApiKey.LEADER_AND_ISR)
    assert frame.decode_request(data)[2] == request
    assert not broker.partitions


def test_a_migrating_broker_is_refused_by_a_controller_that_does_not_migrate() -> None:
    with pykraft.testing.controller() as controller:
        broker = SimulatedBroker(0, controller.cluster_id, address(controller.address))
        with running([broker]):
            until(lambda: broker.refusals["BROKER_ID_NOT_REGISTERED"] > 0, "a heartbeat is refused")
    assert broker.epoch == -1


def test_a_wrong_cluster_id_ends_the_broker() -> None:
    with pykraft.testing.controller() as controller:
        broker = SimulatedBroker(0, "MkU3OEVBNTcwNTJENDM2Qg", address(controller.address), migrating=False)
        with (
            pytest.RaisesGroup(
                pytest.RaisesExc(SimulatedBrokerError, match="INCONSISTENT_CLUSTER_ID"), flatten_subgroups=True
            ),
            running([broker]),
        ):
            until(lambda: broker.failure is not None, "the broker has failed")


def test_what_a_controller_sends_to_zookeeper_brokers_is_obeyed() -> None:
    broker = SimulatedBroker(1, "cluster", ("127.0.0.1", 9))
    states = [LeaderAndIsrPartitionState(partition_index=each, leader=1, isr=[1]) for each in (0, 1)]
    topic = LeaderAndIsrTopicState(topic_name="orders", topic_id=b"0123456789abcdef", partition_states=states)
    with running([broker]):
        versions = ask(broker.port, ApiKey.API_VERSIONS, 3, ApiVersionsRequestData(client_software_name="c"))
        assert ApiKey.LEADER_AND_ISR in {each.api_key for each in versions.api_keys}  # type: ignore[attr-defined]
        for version in (4, 7):
            answer = ask(broker.port, ApiKey.LEADER_AND_ISR, version, LeaderAndIsrRequestData(topic_states=[topic]))
            assert answer.error_code == 0  # type: ignore[attr-defined]
        assert set(broker.partitions) == {("orders", 0), ("orders", 1)}
        alive = [UpdateMetadataBroker(id=each) for each in (1, 2)]
        ask(broker.port, ApiKey.UPDATE_METADATA, 8, UpdateMetadataRequestData(live_brokers=alive))
        assert broker.live_brokers == {1, 2}
        gone = StopReplicaTopicState(
            topic_name="orders", partition_states=[StopReplicaPartitionState(partition_index=1, delete_partition=True)]
        )
        ask(broker.port, ApiKey.STOP_REPLICA, 4, StopReplicaRequestData(topic_states=[gone]))
    assert set(broker.partitions) == {("orders", 0)}
    assert broker.requests["LEADER_AND_ISR"] == 2
