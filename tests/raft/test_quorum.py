"""The quorum node: how it starts, how it stops leading, and how it describes itself."""

from __future__ import annotations

from typing import Any

import pytest

from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import describe_quorum_request
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage
from pykraft.protocol.messages.quorum_state_data import QuorumStateData
from pykraft.raft.events import (
    AppendControlRecords,
    HighWatermarkAdvanced,
    LeaderChanged,
    LogFlushed,
    PersistQuorumState,
    Reply,
    ReplyFetch,
    ResignRequested,
    ShutdownBegun,
    Started,
    Tick,
)
from pykraft.raft.quorum import VoterSetError
from pykraft.raft.roles import Role
from tests.raft.quorum_samples import (
    NODE,
    FactLog,
    ask,
    carry_out,
    caught_up,
    fetch,
    leader,
    led,
    node,
    of,
    partition,
    received,
    stored,
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
