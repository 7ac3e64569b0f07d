"""A log that exists only as facts, requests, and what is read in the answers, for the tests of the quorum node."""

from __future__ import annotations

import random
from bisect import bisect_right
from typing import Any, TypeVar

from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import begin_quorum_epoch_request, end_quorum_epoch_request, vote_request
from pykraft.protocol.messages.fetch_request import FetchPartition, FetchRequestData, FetchTopic, ReplicaState
from pykraft.protocol.messages.fetch_response import FetchResponseData
from pykraft.protocol.messages.quorum_state_data import QuorumStateData, Voter
from pykraft.protocol.uuids import METADATA_TOPIC_ID
from pykraft.raft.events import AppendControlRecords, Effect, LogFlushed, Reply, RequestReceived, Started
from pykraft.raft.quorum import QuorumConfig, QuorumNode

T = TypeVar("T")

CLUSTER = "X-9PC9aZTaKjyjLnbX3gmA"
NODE = 3000
LISTENER = "CONTROLLER"
CONFIG = QuorumConfig(NODE, CLUSTER, (NODE,), {LISTENER: ("127.0.0.1", 9093)}, directory_id=b"our directory id")


class FactLog:
    """A log of which only each record's leader epoch is kept; answers as `LogFacts` demands."""

    def __init__(self, epochs: list[int] | None = None, start: int = 0) -> None:
        self.epochs = list(epochs or [])
        self.start_offset = start
        self.snapshots: list[tuple[int, int]] = []

    @property
    def end_offset(self) -> int:
        return self.start_offset + len(self.epochs)

    @property
    def last_epoch(self) -> int:
        if self.epochs:
            return self.epochs[-1]
        return self.snapshots[-1][1] if self.snapshots else 0

    @property
    def earliest_snapshot(self) -> tuple[int, int] | None:
        return self.snapshots[0] if self.snapshots else None

    @property
    def latest_snapshot(self) -> tuple[int, int] | None:
        return self.snapshots[-1] if self.snapshots else None

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        if not self.epochs or epoch > self.epochs[-1]:
            return self.end_offset, self.last_epoch
        count = bisect_right(self.epochs, epoch)
        if count:
            return self.start_offset + count, self.epochs[count - 1]
        if self.snapshots and self.snapshots[0][0] == self.start_offset:
            return self.snapshots[0]
        return self.start_offset, epoch

    def append(self, epoch: int, count: int = 1) -> int:
        self.epochs += [epoch] * count
        return self.end_offset

    def truncate(self, end_offset: int) -> None:
        del self.epochs[end_offset - self.start_offset :]


def node(log: FactLog | None = None, stored: QuorumStateData | None = None, **changes: Any) -> QuorumNode:
    """A node that has not started."""
    fields = {name: getattr(CONFIG, name) for name in CONFIG.__struct_fields__} | changes
    return QuorumNode(QuorumConfig(**fields), FactLog() if log is None else log, stored, random.Random(5))


def stored(
    epoch: int, *, leader_id: int = -1, voted_id: int = -1, voters: tuple[int, ...] = (NODE,)
) -> QuorumStateData:
    return QuorumStateData(
        leader_id=leader_id, leader_epoch=epoch, voted_id=voted_id, current_voters=[Voter(voter_id=v) for v in voters]
    )


def carry_out(quorum: QuorumNode, log: FactLog, effects: list[Effect], now_ms: int) -> list[Effect]:
    """Does the appends among the effects, and gives all effects, with those of the flush."""
    done = list(effects)
    for effect in effects:
        if isinstance(effect, AppendControlRecords):
            end_offset = log.append(effect.epoch, len(effect.records))
            done += carry_out(quorum, log, quorum.step(LogFlushed(end_offset), now_ms), now_ms)
    return done


def leader(log: FactLog, now_ms: int = 0, **changes: Any) -> QuorumNode:
    """A node that leads, its first record committed."""
    quorum = node(log, **changes)
    carry_out(quorum, log, quorum.step(Started(), now_ms), now_ms)
    return quorum


def led(**changes: Any) -> QuorumNode:
    """A leader of epoch 5 with offsets 0-2 of epoch 1, 3-5 of epoch 4, 6-9 of its own."""
    log = FactLog([1] * 3 + [4] * 3)
    quorum = leader(log, **changes)
    log.append(5, 3)
    quorum.step(LogFlushed(10), 0)
    assert (quorum.epoch, quorum.high_watermark) == (5, 10)
    return quorum


def caught_up(log: FactLog, now_ms: int = 0) -> QuorumNode:
    """A leader whose observer 1 has everything and knows it."""
    quorum = leader(log, now_ms)
    assert of(Reply, quorum.step(received(fetch(1, 1, epoch=1)), now_ms))
    return quorum


def fetch(
    offset: int,
    last_fetched_epoch: int,
    *,
    epoch: int,
    replica_id: int = 1,
    wait_ms: int = 500,
    cluster_id: str | None = CLUSTER,
    directory_id: bytes = bytes(16),
) -> FetchRequestData:
    """A Fetch as an observer of 3.9 sends it."""
    fetched = FetchPartition(
        current_leader_epoch=epoch,
        fetch_offset=offset,
        last_fetched_epoch=last_fetched_epoch,
        replica_directory_id=directory_id,
    )
    return FetchRequestData(
        cluster_id=cluster_id,
        replica_state=ReplicaState(replica_id=replica_id),
        max_wait_ms=wait_ms,
        topics=[FetchTopic(topic_id=METADATA_TOPIC_ID, partitions=[fetched])],
    )


def received(request: Any, token: int = 1, version: int | None = None) -> RequestReceived:
    """The request as it comes in, in its latest version unless another is asked for."""
    return RequestReceived(token, request, type(request).MAX_VERSION if version is None else version, LISTENER)


def vote(epoch: int, candidate_id: int = 7, *, last: tuple[int, int] = (10, 4), **changes: Any) -> Any:
    asked = vote_request.PartitionData(
        candidate_epoch=epoch, candidate_id=candidate_id, last_offset=last[0], last_offset_epoch=last[1]
    )
    request = vote_request.VoteRequestData(
        cluster_id=CLUSTER, topics=[vote_request.TopicData(topic_name="__cluster_metadata", partitions=[asked])]
    )
    for name, value in changes.items():
        setattr(asked if hasattr(asked, name) else request, name, value)
    return request


def begin(epoch: int, leader_id: int, **changes: Any) -> Any:
    m = begin_quorum_epoch_request
    asked = m.PartitionData(leader_id=leader_id, leader_epoch=epoch)
    request = m.BeginQuorumEpochRequestData(
        cluster_id=CLUSTER,
        topics=[m.TopicData(topic_name="__cluster_metadata", partitions=[asked])],
        leader_endpoints=[m.LeaderEndpoint(name="CONTROLLER", host="other", port=9094)],
    )
    for name, value in changes.items():
        setattr(asked if hasattr(asked, name) else request, name, value)
    return request


def end(epoch: int, leader_id: int, successors: list[int] | None = None) -> Any:
    m = end_quorum_epoch_request
    candidates = [m.ReplicaInfo(candidate_id=successor) for successor in successors or []]
    asked = m.PartitionData(leader_id=leader_id, leader_epoch=epoch, preferred_candidates=candidates)
    return m.EndQuorumEpochRequestData(
        cluster_id=CLUSTER, topics=[m.TopicData(topic_name="__cluster_metadata", partitions=[asked])]
    )


def of(kind: type[T], effects: list[Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def ask(quorum: QuorumNode, request: Any, now_ms: int = 0, version: int | None = None) -> Any:
    """The response to a request that is answered at once."""
    (reply,) = of(Reply, quorum.step(received(request, version=version), now_ms))
    return reply.response


def partition(response: Any) -> Any:
    topics = response.responses if isinstance(response, FetchResponseData) else response.topics
    assert response.error_code == ErrorCode.NONE
    return topics[0].partitions[0]
