"""What a leader answers to Fetch: refusals, what follows, where to cut, and fetches that wait."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pykraft.protocol.errors import ErrorCode
from pykraft.raft import quorum as quorum_module
from pykraft.raft.events import HighWatermarkAdvanced, LogFlushed, Reply, ReplyFetch, RequestDropped, Tick
from tests.raft.quorum_samples import (
    CLUSTER,
    NODE,
    FactLog,
    ask,
    caught_up,
    fetch,
    leader,
    led,
    of,
    partition,
    received,
)

# Fetch: errors


@pytest.mark.parametrize("version", [13, 17])
@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (fetch(10, 5, epoch=4), ErrorCode.INVALID_REQUEST),
        (fetch(10, 4, epoch=4), ErrorCode.FENCED_LEADER_EPOCH),
        (fetch(0, 0, epoch=0), ErrorCode.FENCED_LEADER_EPOCH),
        (fetch(10, 5, epoch=6), ErrorCode.UNKNOWN_LEADER_EPOCH),
        (fetch(-1, 0, epoch=5), ErrorCode.INVALID_REQUEST),
        (fetch(0, -1, epoch=5), ErrorCode.INVALID_REQUEST),
        (fetch(0, 6, epoch=5), ErrorCode.INVALID_REQUEST),
        (fetch(0, 0, epoch=5, wait_ms=-1), ErrorCode.INVALID_REQUEST),
        (fetch(10, 5, epoch=5, replica_id=NODE), ErrorCode.UNKNOWN_SERVER_ERROR),
    ],
)
def test_a_fetch_that_is_refused_is_told_who_leads(request_: Any, error: ErrorCode, version: int) -> None:
    response = ask(led(), copy.deepcopy(request_), version=version)
    answer = partition(response)
    assert (answer.error_code, answer.high_watermark, answer.log_start_offset) == (error, -1, 0)
    assert (answer.current_leader.leader_id, answer.current_leader.leader_epoch) == (NODE, 5)
    assert answer.records == b""
    named = [(n.node_id, n.host, n.port) for n in response.node_endpoints]
    assert named == ([(NODE, "127.0.0.1", 9093)] if version >= 17 else [])
    assert response.encode(version)


def test_a_fetch_of_another_cluster_is_refused_as_a_whole() -> None:
    response = ask(led(), fetch(0, 0, epoch=5, cluster_id="other"))
    assert (response.error_code, response.responses) == (ErrorCode.INCONSISTENT_CLUSTER_ID, [])
    assert of(ReplyFetch, led().step(received(fetch(0, 0, epoch=5, cluster_id=None)), 0))


@pytest.mark.parametrize("change", ["topic", "partition", "no topic", "two topics", "no partition", "two partitions"])
def test_a_fetch_of_anything_but_the_metadata_partition_is_refused_as_a_whole(change: str) -> None:
    request = fetch(0, 0, epoch=5)
    topic = request.topics[0]
    match change:
        case "topic":
            topic.topic_id = bytes(16)
        case "partition":
            topic.partitions[0].partition = 1
        case "no topic":
            request.topics = []
        case "two topics":
            request.topics = [topic, topic]
        case "no partition":
            topic.partitions = []
        case "two partitions":
            topic.partitions = topic.partitions * 2
    response = ask(led(), request)
    assert (response.error_code, response.responses) == (ErrorCode.INVALID_REQUEST, [])


def test_the_cluster_is_checked_before_the_topic_and_the_fields_before_the_epoch() -> None:
    request = fetch(-1, 0, epoch=99, cluster_id="other")
    request.topics[0].topic_id = bytes(16)
    assert ask(led(), request).error_code == ErrorCode.INCONSISTENT_CLUSTER_ID
    request.cluster_id = CLUSTER
    assert ask(led(), request).error_code == ErrorCode.INVALID_REQUEST
    assert partition(ask(led(), fetch(-1, 0, epoch=99))).error_code == ErrorCode.INVALID_REQUEST


# Fetch: records, divergence, snapshots, waiting


@pytest.mark.parametrize(("offset", "epoch"), [(0, 0), (3, 1), (5, 4), (9, 5)])
def test_a_valid_fetch_gets_what_follows_up_to_the_end(offset: int, epoch: int) -> None:
    (reply,) = led().step(received(fetch(offset, epoch, epoch=5)), 0)
    assert isinstance(reply, ReplyFetch)
    assert (reply.token, reply.offset, reply.max_bytes) == (1, offset, 8 * 1024 * 1024)
    answer = partition(reply.response)
    assert (answer.error_code, answer.high_watermark) == (0, 10)
    assert (answer.diverging_epoch.epoch, answer.snapshot_id.epoch) == (-1, -1)


@pytest.mark.parametrize(
    ("offset", "epoch", "diverging"), [(4, 1, (3, 1)), (5, 2, (3, 1)), (7, 4, (6, 4)), (11, 5, (10, 5))]
)
def test_a_diverging_fetch_is_told_where_to_cut(offset: int, epoch: int, diverging: tuple[int, int]) -> None:
    answer = partition(ask(led(), fetch(offset, epoch, epoch=5)))
    assert (answer.diverging_epoch.end_offset, answer.diverging_epoch.epoch) == diverging
    assert (answer.error_code, answer.high_watermark, answer.records) == (0, 10, b"")


def test_an_empty_replica_is_sent_to_a_snapshot() -> None:
    log = FactLog([1] * 4)
    log.snapshots = [(3, 1)]
    answer = partition(ask(leader(log), fetch(0, 0, epoch=2)))
    assert (answer.snapshot_id.end_offset, answer.snapshot_id.epoch) == (3, 1)
    assert answer.error_code == 0


def test_a_fetch_with_nothing_to_get_waits_its_time() -> None:
    quorum = caught_up(FactLog())
    assert quorum.step(received(fetch(1, 1, epoch=1), token=9), 1000) == []
    due = quorum.deadline_ms
    assert due == 1500
    assert quorum.step(Tick(), 1499) == []
    (reply,) = quorum.step(Tick(), 1500)
    assert isinstance(reply, Reply)
    assert reply.token == 9
    answer = partition(reply.response)
    assert (answer.error_code, answer.high_watermark, answer.records) == (0, 1, b"")
    assert quorum.deadline_ms is None
    assert quorum.step(Tick(), 2000) == []


def test_a_fetch_that_will_not_wait_is_answered_at_once() -> None:
    quorum = caught_up(FactLog())
    assert partition(ask(quorum, fetch(1, 1, epoch=1, wait_ms=0))).high_watermark == 1
    assert quorum.deadline_ms is None


def test_waiting_fetches_are_answered_when_the_log_grows() -> None:
    log = FactLog()
    quorum = caught_up(log)
    for token in (7, 8):
        assert quorum.step(received(fetch(1, 1, epoch=1, replica_id=-1), token=token), 100) == []
    log.append(1, 2)
    effects = quorum.step(LogFlushed(3), 200)
    assert effects[0] == HighWatermarkAdvanced(3)
    assert [(reply.token, reply.offset) for reply in of(ReplyFetch, effects)] == [(7, 1), (8, 1)]
    assert [partition(reply.response).high_watermark for reply in of(ReplyFetch, effects)] == [3, 3]
    assert quorum.step(Tick(), 5000) == []


def test_a_fetch_beyond_the_high_watermark_is_answered_when_the_high_watermark_moves() -> None:
    """The records were on disk and went out before the node heard of the flush."""
    log = FactLog()
    quorum = caught_up(log)
    log.append(1)
    (reply,) = of(ReplyFetch, quorum.step(received(fetch(1, 1, epoch=1)), 0))
    assert partition(reply.response).high_watermark == 1
    assert quorum.step(received(fetch(2, 1, epoch=1), token=2), 0) == []
    moved, answered = quorum.step(LogFlushed(2), 10)
    assert moved == HighWatermarkAdvanced(2)
    assert isinstance(answered, Reply)
    assert partition(answered.response).high_watermark == 2


def test_a_replica_that_was_told_an_older_high_watermark_does_not_wait() -> None:
    log = FactLog()
    quorum = caught_up(log)
    log.append(1)
    assert of(ReplyFetch, quorum.step(received(fetch(1, 1, epoch=1)), 0))
    assert quorum.step(LogFlushed(2), 10) == [HighWatermarkAdvanced(2)]
    assert partition(ask(quorum, fetch(2, 1, epoch=1))).high_watermark == 2
    assert quorum.step(received(fetch(2, 1, epoch=1)), 20) == []


def test_a_dropped_request_is_not_answered() -> None:
    log = FactLog()
    quorum = caught_up(log)
    quorum.step(received(fetch(1, 1, epoch=1), token=7), 0)
    assert quorum.step(RequestDropped(7), 1) == []
    assert quorum.step(RequestDropped(8), 1) == []
    assert quorum.deadline_ms is None
    log.append(1)
    assert quorum.step(LogFlushed(2), 2) == [HighWatermarkAdvanced(2)]


def test_no_more_fetches_wait_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorum_module, "PARKED_FETCHES_MAX", 2)
    quorum = caught_up(FactLog())
    answered = [bool(quorum.step(received(fetch(1, 1, epoch=1, replica_id=-1), token=token), 0)) for token in range(4)]
    assert answered == [False, False, True, True]
