"""Fetch, FetchSnapshot and the quorum's RPCs over the wire."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio

from pykraft.log.batch import iter_batches
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.add_raft_voter_request import AddRaftVoterRequestData
from pykraft.protocol.messages.begin_quorum_epoch_request import BeginQuorumEpochRequestData
from pykraft.protocol.messages.describe_quorum_request import DescribeQuorumRequestData, PartitionData, TopicData
from pykraft.protocol.messages.fetch_request import FetchPartition, FetchTopic, ReplicaState
from pykraft.protocol.messages.fetch_snapshot_request import (
    FetchSnapshotRequestData,
    PartitionSnapshot,
    SnapshotId,
    TopicSnapshot,
)
from pykraft.protocol.messages.remove_raft_voter_request import RemoveRaftVoterRequestData
from pykraft.protocol.messages.update_raft_voter_request import UpdateRaftVoterRequestData
from pykraft.protocol.messages.vote_request import VoteRequestData
from pykraft.protocol.record_frame import decode_record
from pykraft.server.node import Node
from pykraft.testing import serve_controller
from tests.server.client import connected, fetch, register

TOPIC = "__cluster_metadata"


def partition(response: Any) -> Any:
    assert response.error_code == ErrorCode.NONE
    ((only,),) = [topic.partitions for topic in response.responses]
    return only


@pytest.mark.parametrize("version", [13, 14, 15, 16, 17])
async def test_an_observer_reads_the_log_from_its_start(node: Node, version: int) -> None:
    request = fetch(node, 0)
    if version < 15:
        request.replica_id, request.replica_state = 7, ReplicaState()
    async with connected(node) as client:
        response = await client.ask(request, version)
    answer = partition(response)
    batches = list(iter_batches(answer.records))
    assert batches[0].header.is_control
    assert [batch.header.base_offset for batch in batches] == sorted(batch.header.base_offset for batch in batches)
    names = [type(decode_record(v).message).__name__ for b in batches if not b.header.is_control for v in b.values]
    assert names[:5] == [
        "BeginTransactionRecord",
        "FeatureLevelRecord",
        "ZkMigrationStateRecord",
        "EndTransactionRecord",
        "RegisterControllerRecord",
    ]
    assert answer.high_watermark == batches[-1].header.next_offset
    assert (answer.current_leader.leader_id, answer.current_leader.leader_epoch) == (1, 1)
    endpoints = [(each.node_id, each.host, each.port) for each in response.node_endpoints]
    assert endpoints == ([(1, node.endpoint.host, node.endpoint.port)] if version >= 17 else [])


async def test_version_12_is_refused_as_kafka_does(node: Node) -> None:
    request = fetch(node, 0)
    request.topics[0].topic, request.replica_state = TOPIC, ReplicaState()
    async with connected(node) as client:
        assert (await client.ask(request, 12)).error_code == ErrorCode.INVALID_REQUEST


async def test_a_fetch_waits_for_the_log_to_move(node: Node) -> None:
    async with connected(node) as observer, connected(node) as broker:
        end = partition(await observer.ask(fetch(node, 0))).high_watermark
        received: list[Any] = []

        async def wait() -> None:
            received.append(partition(await observer.ask(fetch(node, end, max_wait_ms=9_000))))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            epoch = await register(broker, node)
        answer = received[0]
        assert answer.records
        assert answer.high_watermark > end
        assert epoch >= end


async def test_a_fetch_that_nothing_happens_to_comes_back_after_its_time(nursery: trio.Nursery) -> None:
    node = await serve_controller(nursery, metadata_max_idle_interval_ms=0)
    async with connected(node) as observer:
        end = partition(await observer.ask(fetch(node, node.log.end_offset))).high_watermark
        begun = time.monotonic()
        answer = partition(await observer.ask(fetch(node, end, max_wait_ms=120)))
        assert 0.1 < time.monotonic() - begun < 5
        assert (answer.records, answer.high_watermark) == (b"", end)


async def test_a_connection_that_waits_holds_up_no_other(node: Node) -> None:
    async with connected(node) as waiting, connected(node) as other, trio.open_nursery() as nursery:
        nursery.start_soon(waiting.ask, fetch(node, node.log.end_offset, max_wait_ms=60_000))
        await trio.testing.wait_all_tasks_blocked()
        await register(other, node)
        nursery.cancel_scope.cancel()


async def test_epochs_and_offsets_that_do_not_fit(node: Node) -> None:
    async with connected(node) as client:
        answer = partition(await client.ask(fetch(node, 1, epoch=9, last_epoch=1)))
        assert answer.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
        answer = partition(await client.ask(fetch(node, 1, epoch=0, last_epoch=0)))
        assert answer.error_code == ErrorCode.FENCED_LEADER_EPOCH
        answer = partition(await client.ask(fetch(node, 10_000)))
        assert answer.diverging_epoch.epoch == 1
        assert answer.diverging_epoch.end_offset <= node.log.end_offset
        assert answer.current_leader.leader_id == 1


async def test_another_cluster_or_topic(node: Node) -> None:
    async with connected(node) as client:
        refused = await client.ask(fetch(node, 0, cluster_id="someone-elses-cluster-"))
        assert refused.error_code == ErrorCode.INCONSISTENT_CLUSTER_ID
        topics = [FetchTopic(topic_id=b"another topic id", partitions=[FetchPartition()])]
        assert (await client.ask(fetch(node, 0, topics=topics))).error_code == ErrorCode.INVALID_REQUEST
        assert (await client.ask(fetch(node, 0, topics=[]))).error_code == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("version", [0, 1])
async def test_fetch_snapshot_has_none(node: Node, version: int) -> None:
    asked = PartitionSnapshot(current_leader_epoch=1, snapshot_id=SnapshotId(end_offset=3, epoch=1))
    request = FetchSnapshotRequestData(max_bytes=1024, topics=[TopicSnapshot(name=TOPIC, partitions=[asked])])
    async with connected(node) as client:
        only = (await client.ask(request, version)).topics[0].partitions[0]
        assert only.error_code == ErrorCode.SNAPSHOT_NOT_FOUND
        assert only.current_leader.leader_id == 1
        request.topics[0].name = "another"
        other = (await client.ask(request, version)).topics[0].partitions[0]
        assert other.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        request.topics[0].name, asked.current_leader_epoch = TOPIC, 5
        newer = (await client.ask(request, version)).topics[0].partitions[0]
        assert newer.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
        request.cluster_id = "someone-elses-cluster-"
        assert (await client.ask(request, version)).error_code == ErrorCode.INCONSISTENT_CLUSTER_ID


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_describe_quorum_knows_observers(node: Node, version: int) -> None:
    request = DescribeQuorumRequestData(topics=[TopicData(topic_name=TOPIC, partitions=[PartitionData()])])
    async with connected(node) as client:
        await client.ask(fetch(node, 0))
        answer = (await client.ask(request, version)).topics[0].partitions[0]
        assert (answer.error_code, answer.leader_id, answer.leader_epoch) == (0, 1, 1)
        assert [voter.replica_id for voter in answer.current_voters] == [1]
        assert [observer.replica_id for observer in answer.observers] == [7]
        assert answer.current_voters[0].log_end_offset == answer.high_watermark


async def test_a_lost_vote_and_a_false_leader_change_nothing(node: Node) -> None:
    async with connected(node) as client:
        assert (await client.ask(VoteRequestData(topics=[]))).error_code == ErrorCode.INVALID_REQUEST
        begin = BeginQuorumEpochRequestData(cluster_id="someone-elses-cluster-")
        assert (await client.ask(begin)).error_code == ErrorCode.INCONSISTENT_CLUSTER_ID
        await register(client, node)


async def test_the_voter_set_cannot_be_changed(node: Node) -> None:
    async with connected(node) as client:
        for request in (AddRaftVoterRequestData(cluster_id=None), RemoveRaftVoterRequestData(cluster_id=None)):
            assert (await client.ask(request)).error_code == ErrorCode.UNSUPPORTED_VERSION
            request.cluster_id = "someone-elses-cluster-"
            assert (await client.ask(request)).error_code == ErrorCode.INCONSISTENT_CLUSTER_ID
        update = UpdateRaftVoterRequestData(cluster_id=None, current_leader_epoch=1)
        answer = await client.ask(update)
        assert answer.error_code == ErrorCode.UNSUPPORTED_VERSION
        assert (answer.current_leader.leader_id, answer.current_leader.port) == (1, node.endpoint.port)
        update.current_leader_epoch = 2
        assert (await client.ask(update)).error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
