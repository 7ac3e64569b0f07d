"""A log that exists only as facts, and requests, for the tests of the quorum node."""

from __future__ import annotations

import random
from bisect import bisect_right
from typing import Any

from pykraft.protocol.messages.fetch_request import FetchPartition, FetchRequestData, FetchTopic, ReplicaState
from pykraft.protocol.messages.quorum_state_data import QuorumStateData
from pykraft.protocol.uuids import METADATA_TOPIC_ID
from pykraft.raft.events import AppendControlRecords, Effect, LogFlushed, RequestReceived, Started
from pykraft.raft.quorum import QuorumConfig, QuorumNode

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
    partition = FetchPartition(
        current_leader_epoch=epoch,
        fetch_offset=offset,
        last_fetched_epoch=last_fetched_epoch,
        replica_directory_id=directory_id,
    )
    return FetchRequestData(
        cluster_id=cluster_id,
        replica_state=ReplicaState(replica_id=replica_id),
        max_wait_ms=wait_ms,
        topics=[FetchTopic(topic_id=METADATA_TOPIC_ID, partitions=[partition])],
    )


def received(request: Any, token: int = 1, version: int | None = None) -> RequestReceived:
    """The request as it comes in, in its latest version unless another is asked for."""
    return RequestReceived(token, request, type(request).MAX_VERSION if version is None else version, LISTENER)
