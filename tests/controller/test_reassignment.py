"""Moving partitions to other replicas, cancelling and listing moves."""

from __future__ import annotations

from typing import Any

import pytest

from pykraft.controller.reassignment import alter_partition_reassignments, list_partition_reassignments
from pykraft.image.model import PartitionRegistration
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.alter_partition_reassignments_request import (
    AlterPartitionReassignmentsRequestData,
    ReassignablePartition,
    ReassignableTopic,
)
from pykraft.protocol.messages.list_partition_reassignments_request import (
    ListPartitionReassignmentsRequestData,
    ListPartitionReassignmentsTopics,
)
from pykraft.protocol.messages.list_partition_reassignments_response import OngoingPartitionReassignment
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from tests.controller.cluster import Cluster, directory_of

E = ErrorCode


def ready(*replicas: list[int], configs: Any = None) -> Cluster:
    cluster = Cluster()
    cluster.start(1, 2, 3, 4)
    cluster.create("a", *(replicas or [[1, 2, 3]]), configs=configs)
    return cluster


def move(cluster: Cluster, replicas: list[int] | None, *, topic: str = "a", number: int = 0) -> ErrorCode:
    request = AlterPartitionReassignmentsRequestData(
        topics=[ReassignableTopic(topic, [ReassignablePartition(number, replicas)])]
    )
    request = AlterPartitionReassignmentsRequestData.decode(request.encode(0), 0)
    response = cluster.run(lambda ctx: alter_partition_reassignments(ctx, request))
    assert response.error_code == 0
    assert response.error_message is None
    [answer] = response.responses[0].partitions
    assert (answer.error_message is None) is (answer.error_code == 0)
    return ErrorCode(answer.error_code)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ([1, 2, 4], E.NONE),
        ([1, 2], E.INVALID_REPLICATION_FACTOR),
        ([1, 2, 3, 4], E.INVALID_REPLICATION_FACTOR),
    ],
)
def test_a_request_may_forbid_another_replication_factor(target: list[int], code: ErrorCode) -> None:
    cluster = ready()
    # A move to other replicas is under way: it is its end that counts.
    assert move(cluster, [2, 3, 4]) is E.NONE
    request = AlterPartitionReassignmentsRequestData(
        topics=[ReassignableTopic("a", [ReassignablePartition(0, target)])], allow_replication_factor_change=False
    )
    response = cluster.run(lambda ctx: alter_partition_reassignments(ctx, request))
    assert response.responses[0].partitions[0].error_code == code
    assert response.allow_replication_factor_change is False


def in_sync(cluster: Cluster, *isr: int) -> None:
    """Set the ISR as a record would, without completing anything."""
    record = PartitionChangeRecord(0, cluster.image.topics_by_name["a"].id, isr=list(isr))
    cluster.apply([ApiMessageAndVersion(record, 1)])


def shape(partition: PartitionRegistration) -> tuple[tuple[int, ...], ...]:
    return partition.replicas, partition.adding_replicas, partition.removing_replicas


def test_a_move_adds_first_and_removes_when_all_are_in_sync() -> None:
    cluster = ready()
    assert move(cluster, [4, 2]) is E.NONE
    partition = cluster.partition("a")
    assert shape(partition) == ((4, 2, 1, 3), (4,), (1, 3))
    assert (partition.leader, partition.isr, partition.leader_epoch) == (1, (1, 2, 3), 0)
    assert partition.directories == tuple(directory_of(i) for i in (4, 2, 1, 3))
    assert len(cluster.image.reassigning) == 1


@pytest.mark.parametrize(
    ("target", "expected", "leader"),
    [
        ([3, 2, 1], ((3, 2, 1), (), ()), 1),
        ([1, 2, 3], ((1, 2, 3), (), ()), 1),
        ([1, 2], ((1, 2), (), ()), 1),
        ([3], ((3,), (), ()), 3),
    ],
    ids=["another order", "the same", "one less", "without the leader"],
)
def test_a_move_that_needs_no_catching_up_is_done_at_once(target: list[int], expected: Any, leader: int) -> None:
    cluster = ready()
    assert move(cluster, target) is E.NONE
    assert shape(cluster.partition("a")) == expected
    assert cluster.partition("a").leader == leader
    assert bool(cluster.messages) is (target != [1, 2, 3])


@pytest.mark.parametrize(
    ("target", "where", "code"),
    [
        ([1], {"topic": "x"}, E.UNKNOWN_TOPIC_OR_PARTITION),
        ([1], {"number": 5}, E.UNKNOWN_TOPIC_OR_PARTITION),
        (None, {}, E.NO_REASSIGNMENT_IN_PROGRESS),
        ([], {}, E.INVALID_REPLICA_ASSIGNMENT),
        ([1, 9], {}, E.INVALID_REPLICA_ASSIGNMENT),
        ([1, 1], {}, E.INVALID_REPLICA_ASSIGNMENT),
    ],
)
def test_what_cannot_be_moved(target: list[int] | None, where: dict[str, Any], code: ErrorCode) -> None:
    cluster = ready()
    assert move(cluster, target, **where) is code
    assert cluster.messages == []


def test_a_fenced_broker_can_be_moved_to() -> None:
    cluster = ready()
    cluster.expire(4)
    assert move(cluster, [4]) is E.NONE
    assert shape(cluster.partition("a")) == ((4, 1, 2, 3), (4,), (1, 2, 3))


def test_cancelling_goes_back_to_the_replicas_of_before() -> None:
    cluster = ready()
    move(cluster, [4, 2])
    in_sync(cluster, 1, 4)
    assert move(cluster, None) is E.NONE
    partition = cluster.partition("a")
    assert shape(partition) == ((2, 1, 3), (), ())
    assert (partition.isr, partition.leader) == ((1,), 1)
    assert cluster.image.reassigning == set()


@pytest.mark.parametrize(("unclean", "code"), [("true", E.NONE), ("false", E.INVALID_REPLICA_ASSIGNMENT)])
def test_cancelling_when_only_added_replicas_are_in_sync_needs_an_unclean_election(
    unclean: str, code: ErrorCode
) -> None:
    cluster = ready([1], configs={"unclean.leader.election.enable": unclean})
    move(cluster, [4, 3])
    in_sync(cluster, 4)
    assert move(cluster, None) is code
    if unclean == "true":
        assert (cluster.partition("a").isr, cluster.partition("a").leader) == ((1,), 1)


def test_added_and_removed_replicas_are_listed_in_ascending_order() -> None:
    cluster = ready([1, 2])
    cluster.start(9, 16)
    move(cluster, [16, 9])
    assert shape(cluster.partition("a")) == ((16, 9, 1, 2), (9, 16), (1, 2))
    move(cluster, [1])
    assert shape(cluster.partition("a")) == ((1,), (), ())


def test_another_target_among_the_replicas_leaves_what_is_being_added_as_it_is() -> None:
    cluster = ready([1, 2])
    move(cluster, [3, 4])
    assert shape(cluster.partition("a")) == ((3, 4, 1, 2), (3, 4), (1, 2))
    move(cluster, [1, 4])
    assert shape(cluster.partition("a")) == ((1, 4, 2, 3), (3, 4), (2, 3))


def test_wanting_all_replicas_there_are_leaves_what_is_being_removed_as_it_is() -> None:
    cluster = ready([1, 2])
    move(cluster, [2, 3])
    assert shape(cluster.partition("a")) == ((2, 3, 1), (3,), (1,))
    move(cluster, [1, 2, 3])
    assert shape(cluster.partition("a")) == ((1, 2, 3), (3,), (1,))


def test_one_partition_s_refusal_leaves_the_others_alone() -> None:
    cluster = ready([1], [2])
    request = AlterPartitionReassignmentsRequestData(
        topics=[ReassignableTopic("a", [ReassignablePartition(0, [9]), ReassignablePartition(1, [3])])]
    )
    result = alter_partition_reassignments(cluster.ctx(), request)
    assert [p.error_code for p in result.response.responses[0].partitions] == [E.INVALID_REPLICA_ASSIGNMENT, 0]
    assert result.atomic
    assert len(result.records) == 1


def test_moves_under_way_are_listed() -> None:
    cluster = ready([1], [2], [3])
    cluster.create("b", [1])
    move(cluster, [4], number=1)
    move(cluster, [2], topic="b")
    ongoing = OngoingPartitionReassignment(1, [4, 2], [4], [2])

    def listed(*topics: ListPartitionReassignmentsTopics) -> dict[str, list[OngoingPartitionReassignment]]:
        request = ListPartitionReassignmentsRequestData(topics=list(topics) if topics else None)
        return {t.name: t.partitions for t in list_partition_reassignments(cluster.image, request).topics}

    assert listed() == {"a": [ongoing], "b": [OngoingPartitionReassignment(0, [2, 1], [2], [1])]}
    assert listed(ListPartitionReassignmentsTopics("a", [0, 1, 9]), ListPartitionReassignmentsTopics("x", [0])) == {
        "a": [ongoing]
    }
    assert listed(ListPartitionReassignmentsTopics("a", [0])) == {}
