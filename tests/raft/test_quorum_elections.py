"""What a node makes of other candidates and leaders: Vote, BeginQuorumEpoch, EndQuorumEpoch."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import vote_response
from pykraft.raft.events import AppendControlRecords, LeaderChanged, PersistQuorumState, Reply, Tick
from pykraft.raft.roles import Role
from tests.raft.quorum_samples import (
    CONFIG,
    NODE,
    FactLog,
    ask,
    begin,
    end,
    fetch,
    leader,
    led,
    of,
    partition,
    received,
    stored,
    vote,
)

# Vote


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


# BeginQuorumEpoch, EndQuorumEpoch


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
