"""The quorum node: start, roles, fetches that wait, and the answers of a single-voter leader."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import pytest

from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import (
    begin_quorum_epoch_request,
    describe_quorum_request,
    end_quorum_epoch_request,
    vote_request,
    vote_response,
)
from pykraft.protocol.messages.fetch_response import FetchResponseData
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage
from pykraft.protocol.messages.quorum_state_data import QuorumStateData, Voter
from pykraft.raft import quorum as quorum_module
from pykraft.raft.events import (
    AppendControlRecords,
    Effect,
    HighWatermarkAdvanced,
    LeaderChanged,
    LogFlushed,
    PersistQuorumState,
    Reply,
    ReplyFetch,
    RequestDropped,
    ResignRequested,
    ShutdownBegun,
    Started,
    Tick,
)
from pykraft.raft.quorum import QuorumNode, VoterSetError
from pykraft.raft.roles import Role
from tests.raft.quorum_samples import CLUSTER, CONFIG, NODE, FactLog, carry_out, fetch, leader, node, received

T = TypeVar("T")


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


def stored(
    epoch: int, *, leader_id: int = -1, voted_id: int = -1, voters: tuple[int, ...] = (NODE,)
) -> QuorumStateData:
    return QuorumStateData(
        leader_id=leader_id, leader_epoch=epoch, voted_id=voted_id, current_voters=[Voter(voter_id=v) for v in voters]
    )


# Starting


def test_a_new_node_leads_epoch_1_and_is_announced_when_its_first_record_is_committed() -> None:
    log, quorum = FactLog(), node()
    persist, append = quorum.step(Started(), 1000)
    assert persist == PersistQuorumState(stored(1, leader_id=NODE))
    assert isinstance(append, AppendControlRecords)
    ((control_type, value),) = append.records
    change = LeaderChangeMessage.decode(value, 0)
    assert (append.epoch, control_type, change.version, change.leader_id) == (1, 2, 0, NODE)
    assert [v.voter_id for v in change.voters] == [v.voter_id for v in change.granting_voters] == [NODE]
    assert (quorum.role, quorum.epoch, quorum.leader_id) == (Role.LEADER, 1, NODE)
    assert (quorum.epoch_start_offset, quorum.high_watermark, quorum.deadline_ms) == (0, None, None)
    assert quorum.step(LogFlushed(0), 1001) == []
    flushed = log.append(1)
    assert quorum.step(LogFlushed(flushed), 1002) == [HighWatermarkAdvanced(1), LeaderChanged(NODE, 1)]
    assert quorum.step(LogFlushed(4), 1003) == [HighWatermarkAdvanced(4)]
    assert quorum.high_watermark == 4


@pytest.mark.parametrize(
    ("state", "log_epoch", "epoch"),
    [
        (None, 0, 1),
        (None, 7, 8),
        (stored(4, leader_id=NODE), 4, 5),
        (stored(6, leader_id=NODE), 4, 7),
        (stored(4, leader_id=NODE), 9, 10),
        (stored(5, voted_id=NODE), 4, 6),
        (stored(5, voted_id=77), 4, 6),
        (stored(5, leader_id=77), 4, 6),
        (stored(5, voters=()), 5, 6),
        (QuorumStateData(leader_epoch=5, current_voters=None), 5, 6),
    ],
)
def test_every_start_begins_an_epoch_nobody_has_seen(state: QuorumStateData | None, log_epoch: int, epoch: int) -> None:
    log = FactLog([log_epoch] * 3 if log_epoch else [])
    quorum = node(log, state)
    effects = quorum.step(Started(), 0)
    assert [type(effect) for effect in effects] == [PersistQuorumState, AppendControlRecords]
    assert effects[0] == PersistQuorumState(stored(epoch, leader_id=NODE))
    assert (quorum.role, quorum.epoch, quorum.epoch_start_offset) == (Role.LEADER, epoch, log.end_offset)


def test_a_log_that_goes_on_is_committed_only_with_the_new_epochs_first_record() -> None:
    log = FactLog([1] * 5)
    quorum = node(log)
    quorum.step(Started(), 0)
    assert quorum.step(LogFlushed(5), 0) == []
    answer = partition(of(ReplyFetch, quorum.step(received(fetch(2, 1, epoch=2)), 0))[0].response)
    assert answer.high_watermark == -1
    assert quorum.step(LogFlushed(6), 0) == [HighWatermarkAdvanced(6), LeaderChanged(NODE, 2)]


@pytest.mark.parametrize("voters", [(), (1,), (NODE, 1), (1, NODE)])
def test_a_voter_set_that_is_not_this_node_alone_is_refused(voters: tuple[int, ...]) -> None:
    with pytest.raises(VoterSetError, match="can only be the only voter"):
        node(voters=voters)


def test_the_state_of_another_voter_set_is_refused() -> None:
    with pytest.raises(VoterSetError, match=r"quorum-state says that the voters are \[1, 2, 3000\]"):
        node(stored=stored(3, leader_id=1, voters=(1, 2, NODE)))


# Fetch: errors


def led(**changes: Any) -> QuorumNode:
    """A leader of epoch 5 with offsets 0-2 of epoch 1, 3-5 of epoch 4, 6-9 of its own."""
    log = FactLog([1] * 3 + [4] * 3)
    quorum = leader(log, **changes)
    log.append(5, 3)
    quorum.step(LogFlushed(10), 0)
    assert (quorum.epoch, quorum.high_watermark) == (5, 10)
    return quorum


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


def caught_up(log: FactLog, now_ms: int = 0) -> QuorumNode:
    """A leader whose observer 1 has everything and knows it."""
    quorum = leader(log, now_ms)
    assert of(Reply, quorum.step(received(fetch(1, 1, epoch=1)), now_ms))
    return quorum


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


# Losing leadership


def test_waiting_fetches_are_refused_when_the_leader_resigns() -> None:
    quorum = caught_up(FactLog())
    quorum.step(received(fetch(1, 1, epoch=1), token=7), 0)
    assert quorum.step(ResignRequested(2), 0) == []
    refused, changed = quorum.step(ResignRequested(1), 100)
    assert isinstance(refused, Reply)
    answer = partition(refused.response)
    assert (answer.error_code, answer.current_leader.leader_id) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, NODE)
    assert changed == LeaderChanged(None, 1)
    assert (quorum.role, quorum.high_watermark) == (Role.RESIGNED, None)
    assert partition(ask(quorum, fetch(1, 1, epoch=1))).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert quorum.step(ResignRequested(1), 100) == []


def test_who_resigned_leads_the_next_epoch_after_an_election_time_out() -> None:
    log = FactLog()
    quorum = leader(log)
    quorum.step(ResignRequested(1), 5000)
    due = quorum.deadline_ms
    assert due is not None
    assert 6000 <= due < 7000
    assert quorum.step(Tick(), due - 1) == []
    effects = carry_out(quorum, log, quorum.step(Tick(), due), due)
    assert effects[0] == PersistQuorumState(stored(2, leader_id=NODE))
    assert effects[2:] == [HighWatermarkAdvanced(2), LeaderChanged(NODE, 2)]
    assert log.epochs == [1, 2]


def test_a_node_that_stops_refuses_fetches_and_never_leads_again() -> None:
    quorum = caught_up(FactLog())
    quorum.step(received(fetch(1, 1, epoch=1), token=7), 0)
    (refused,) = of(Reply, quorum.step(ShutdownBegun(), 0))
    assert partition(refused.response).error_code == ErrorCode.BROKER_NOT_AVAILABLE
    assert partition(ask(quorum, fetch(1, 1, epoch=1))).error_code == ErrorCode.BROKER_NOT_AVAILABLE
    assert partition(ask(quorum, fetch(1, 1, epoch=2))).error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    assert quorum.step(ResignRequested(1), 0) == [LeaderChanged(None, 1)]
    assert quorum.deadline_ms is None
    assert quorum.step(Tick(), 1_000_000) == []
    assert partition(ask(quorum, fetch(1, 1, epoch=1))).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER


# Vote


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


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (vote(5), ErrorCode.NONE),
        (vote(4, last=(10, 3)), ErrorCode.FENCED_LEADER_EPOCH),
        (vote(6, last=(-1, 4)), ErrorCode.INVALID_REQUEST),
        (vote(6, last=(1, -1)), ErrorCode.INVALID_REQUEST),
        (vote(6, last=(1, 6)), ErrorCode.INVALID_REQUEST),
        (vote(6, -1), ErrorCode.INVALID_REQUEST),
    ],
)
def test_a_leader_gives_no_vote(request_: Any, error: ErrorCode) -> None:
    quorum = led()
    response = ask(quorum, request_)
    answer = partition(response)
    assert (answer.error_code, answer.vote_granted) == (error, False)
    assert (answer.leader_id, answer.leader_epoch) == (NODE, 5)
    assert response.node_endpoints[0].port == 9093
    assert ask(led(), copy.deepcopy(request_), version=0).node_endpoints == []
    assert quorum.role is Role.LEADER


@pytest.mark.parametrize(
    ("last", "granted"), [((10, 5), True), ((11, 5), True), ((9, 5), False), ((100, 4), False), ((0, 6), True)]
)
def test_a_candidate_of_a_later_epoch_ends_the_epoch_and_gets_the_vote_if_its_log_is_not_behind(
    last: tuple[int, int], granted: bool
) -> None:
    quorum = led()
    effects = quorum.step(received(vote(8, last=last)), 100)
    assert effects[0] == PersistQuorumState(stored(8, voted_id=7 if granted else -1))
    assert effects[1] == LeaderChanged(None, 8)
    assert isinstance(effects[2], Reply)
    answer = partition(effects[2].response)
    assert (answer.vote_granted, answer.leader_id, answer.leader_epoch) == (granted, -1, 8)
    assert quorum.role is (Role.VOTED if granted else Role.UNATTACHED)
    due = quorum.deadline_ms
    assert due is not None
    assert 1100 <= due < 2100
    assert of(AppendControlRecords, quorum.step(Tick(), due))
    assert (quorum.role, quorum.epoch) == (Role.LEADER, 9)


def test_a_vote_is_given_once_in_an_epoch_and_again_only_to_the_same_candidate() -> None:
    quorum = led()
    first, other = b"a" * 16, b"b" * 16
    assert partition(ask(quorum, vote(8, last=(10, 5), candidate_directory_id=first))).vote_granted
    assert not partition(ask(quorum, vote(8, 9, last=(99, 7)))).vote_granted
    assert not partition(ask(quorum, vote(8, last=(10, 5), candidate_directory_id=other))).vote_granted
    again = quorum.step(received(vote(8, last=(0, 1), candidate_directory_id=first)), 0)
    assert of(PersistQuorumState, again) == []
    assert partition(of(Reply, again)[0].response).vote_granted


def test_an_unattached_node_keeps_its_election_time_when_another_epoch_comes() -> None:
    quorum = led()
    ask(quorum, vote(8, last=(1, 1)), now_ms=100)
    due = quorum.deadline_ms
    ask(quorum, vote(9, last=(1, 1)), now_ms=900)
    assert (quorum.role, quorum.epoch, quorum.deadline_ms) == (Role.UNATTACHED, 9, due)


def test_a_request_that_names_another_voter_is_refused_but_its_epoch_heard() -> None:
    quorum = led()
    for wrong in ({"voter_id": 1}, {"voter_id": NODE, "voter_directory_id": b"x" * 16}):
        answer = partition(ask(quorum, vote(8, last=(10, 5), **wrong)))
        assert (answer.error_code, answer.vote_granted) == (ErrorCode.INVALID_VOTER_KEY, False)
    assert quorum.epoch == 8
    right = vote(8, last=(10, 5), voter_id=NODE, voter_directory_id=CONFIG.directory_id)
    assert partition(ask(quorum, right)).vote_granted


def test_releases_before_3_9_do_not_hear_strangers() -> None:
    quorum = led(refuses_non_voters=True)
    assert partition(ask(quorum, vote(8))).error_code == ErrorCode.INCONSISTENT_VOTER_SET
    assert partition(ask(quorum, begin(8, 7))).error_code == ErrorCode.INCONSISTENT_VOTER_SET
    assert partition(ask(quorum, end(8, 7))).error_code == ErrorCode.INCONSISTENT_VOTER_SET
    assert partition(ask(quorum, vote(4, last=(0, 0)))).error_code == ErrorCode.FENCED_LEADER_EPOCH
    assert (quorum.role, quorum.epoch) == (Role.LEADER, 5)


# BeginQuorumEpoch, EndQuorumEpoch


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


@pytest.mark.parametrize("request_of", [begin, end])
@pytest.mark.parametrize(
    ("epoch", "leader_id", "error"),
    [
        (5, NODE, ErrorCode.NONE),
        (4, 7, ErrorCode.FENCED_LEADER_EPOCH),
        (5, -1, ErrorCode.INVALID_REQUEST),
        (5, 7, ErrorCode.UNKNOWN_SERVER_ERROR),
        (6, NODE, ErrorCode.UNKNOWN_SERVER_ERROR),
    ],
)
def test_a_leader_stays_what_it_is_whoever_else_claims_its_epoch(
    request_of: Any, epoch: int, leader_id: int, error: ErrorCode
) -> None:
    quorum = led()
    answer = partition(ask(quorum, request_of(epoch, leader_id)))
    assert (answer.error_code, answer.leader_id, answer.leader_epoch) == (error, NODE, 5)
    assert (quorum.role, quorum.epoch, quorum.high_watermark) == (Role.LEADER, 5, 10)


def test_a_leader_of_a_later_epoch_is_followed_until_it_is_missed() -> None:
    quorum = led()
    effects = quorum.step(received(begin(8, 7)), 100)
    assert effects[:2] == [PersistQuorumState(stored(8, leader_id=7)), LeaderChanged(7, 8)]
    response: Any = of(Reply, effects)[0].response
    assert (partition(response).leader_id, partition(response).leader_epoch) == (7, 8)
    assert (response.node_endpoints[0].node_id, response.node_endpoints[0].port) == (7, 9094)
    assert quorum.role is Role.FOLLOWER
    answer = partition(ask(quorum, fetch(10, 5, epoch=8)))
    assert (answer.error_code, answer.current_leader.leader_id) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, 7)
    assert not partition(ask(quorum, vote(8, last=(99, 7)))).vote_granted
    assert quorum.deadline_ms == 2100
    assert of(AppendControlRecords, quorum.step(Tick(), 2100))[0].epoch == 9


def test_a_leader_meant_for_another_voter_is_followed_all_the_same() -> None:
    quorum = led()
    assert partition(ask(quorum, begin(8, 7, voter_id=1))).error_code == ErrorCode.INVALID_VOTER_KEY
    assert (quorum.role, quorum.leader_id) == (Role.FOLLOWER, 7)


@pytest.mark.parametrize(
    ("successors", "wait_ms"),
    [([NODE], 0), ([NODE, 1], 0), ([1, NODE], 500), ([1, NODE, 2], 250), ([1, 2, NODE], 500), ([1, 2], 1000), ([], 0)],
)
def test_a_leader_that_ends_its_epoch_says_who_may_stand_first(successors: list[int], wait_ms: int) -> None:
    quorum = led()
    ask(quorum, begin(8, 7), now_ms=100)
    assert partition(ask(quorum, end(8, 7, successors), now_ms=300)).error_code == ErrorCode.NONE
    assert quorum.deadline_ms == 300 + wait_ms


@pytest.mark.parametrize("request_of", [vote, begin, end])
def test_requests_of_another_cluster_or_topic_are_refused_as_a_whole(request_of: Any) -> None:
    request = request_of(8, 7)
    request.cluster_id = "other"
    response = ask(led(), request)
    assert (response.error_code, response.topics) == (ErrorCode.INCONSISTENT_CLUSTER_ID, [])
    request.cluster_id = None
    request.topics[0].topic_name = "another"
    response = ask(led(), request)
    assert (response.error_code, response.topics) == (ErrorCode.INVALID_REQUEST, [])
    request.topics[0].topic_name = "__cluster_metadata"
    request.topics[0].partitions[0].partition_index = 1
    assert ask(led(), request).error_code == ErrorCode.INVALID_REQUEST


# DescribeQuorum


def describe(*partitions: int, topic: str = "__cluster_metadata") -> Any:
    m = describe_quorum_request
    asked = [m.PartitionData(partition_index=index) for index in partitions]
    return m.DescribeQuorumRequestData(topics=[m.TopicData(topic_name=topic, partitions=asked)])


def test_the_leader_describes_the_quorum() -> None:
    quorum = led()
    quorum.step(received(fetch(6, 4, epoch=5, directory_id=b"d" * 16)), 1000)
    response = ask(quorum, describe(0), now_ms=1700)
    answer = partition(response)
    assert (answer.leader_id, answer.leader_epoch, answer.high_watermark) == (NODE, 5, 10)
    (voter,) = answer.current_voters
    assert (voter.replica_id, voter.log_end_offset) == (NODE, 10)
    assert (voter.last_fetch_timestamp, voter.last_caught_up_timestamp) == (1700, 1700)
    (observer,) = answer.observers
    assert (observer.replica_id, observer.replica_directory_id, observer.log_end_offset) == (1, b"d" * 16, 6)
    assert (observer.last_fetch_timestamp, observer.last_caught_up_timestamp) == (1000, -1)
    (described,) = response.nodes
    assert [(x.name, x.host, x.port) for x in described.listeners] == [("CONTROLLER", "127.0.0.1", 9093)]
    assert partition(ask(quorum, describe(0), now_ms=301_000)).observers == []


@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_version_of_the_description_can_be_encoded(version: int) -> None:
    quorum = led()
    quorum.step(received(fetch(6, 4, epoch=5, directory_id=b"d" * 16)), 1000)
    response = ask(quorum, describe(0), now_ms=1700, version=version)
    assert response.encode(version)
    assert len(response.nodes) == (1 if version == 2 else 0)


@pytest.mark.parametrize("request_", [describe(1), describe(0, 1), describe(0, topic="another")])
def test_other_partitions_have_no_quorum(request_: Any) -> None:
    response = ask(led(), request_)
    errors = [found.error_code for found in response.topics[0].partitions]
    assert errors == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION] * len(request_.topics[0].partitions)


def test_who_does_not_lead_describes_nothing() -> None:
    quorum = led()
    quorum.step(ResignRequested(5), 0)
    assert partition(ask(quorum, describe(0))).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER


@pytest.mark.parametrize(("epoch", "deposed"), [(5, False), (6, True)])
def test_who_asks_beforehand_gets_an_answer_that_binds_nobody(epoch: int, deposed: bool) -> None:
    log = FactLog([4] * 10)
    quorum = leader(log)
    assert quorum.epoch == 5
    # It names the epoch it is in, and its log may be of that epoch.
    effects = quorum.step(received(vote(epoch, last=(20, epoch), pre_vote=True), 1, 2), 0)
    [reply] = [effect for effect in effects if isinstance(effect, Reply)]
    response = reply.response
    assert isinstance(response, vote_response.VoteResponseData)
    answered = response.topics[0].partitions[0]
    assert (answered.error_code, answered.vote_granted) == (0, deposed)
    assert quorum.epoch == epoch
    assert quorum.role is (Role.UNATTACHED if deposed else Role.LEADER)
