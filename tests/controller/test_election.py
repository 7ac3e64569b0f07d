"""ElectLeaders, preferred balancing and unclean elections."""

from __future__ import annotations

import pytest

from pykraft.controller import election
from pykraft.controller.election import balance_partition_leaders, elect_leaders, elect_unclean_leaders
from pykraft.controller.errors import ApiError
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.elect_leaders_request import ElectLeadersRequestData, TopicPartitions
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from tests.controller.cluster import Cluster

E = ErrorCode
PREFERRED, UNCLEAN = 0, 1


def elect(cluster: Cluster, kind: int, *topics: TopicPartitions) -> dict[tuple[str, int], ErrorCode]:
    request = ElectLeadersRequestData(kind, list(topics) if topics else None)
    request = ElectLeadersRequestData.decode(request.encode(2), 2)
    response = cluster.run(lambda ctx: elect_leaders(ctx, request))
    return {
        (topic.topic, result.partition_id): ErrorCode(result.error_code)
        for topic in response.replica_election_results
        for result in topic.partition_result
    }


def test_preferred_and_unclean_elections_one_by_one() -> None:
    cluster = Cluster()
    cluster.start(1, 2, 3)
    cluster.create("a", [1, 2], [2, 1], [3, 2])
    cluster.create("b", [3])
    cluster.create("c", [3, 1], configs={"retention.ms": "1"})
    cluster.expire(2)
    cluster.heartbeat(2)
    cluster.expire(3)
    # a-0: 1 leads, a-1: 1 leads and 2 is out of sync, a-2: nobody (ISR 3), b-0: nobody, c-0: 1 leads.
    a, b, c = (TopicPartitions(name, [0, 1, 2] if name == "a" else [0]) for name in "abc")
    assert elect(cluster, PREFERRED, a, b, TopicPartitions("a", [7]), TopicPartitions("x", [0])) == {
        ("a", 0): E.ELECTION_NOT_NEEDED,
        ("a", 1): E.PREFERRED_LEADER_NOT_AVAILABLE,
        ("a", 2): E.PREFERRED_LEADER_NOT_AVAILABLE,
        ("b", 0): E.PREFERRED_LEADER_NOT_AVAILABLE,
        ("a", 7): E.UNKNOWN_TOPIC_OR_PARTITION,
        ("x", 0): E.UNKNOWN_TOPIC_OR_PARTITION,
    }
    assert elect(cluster, UNCLEAN, a, b, c) == {
        ("a", 0): E.ELECTION_NOT_NEEDED,
        ("a", 1): E.ELECTION_NOT_NEEDED,
        ("a", 2): E.NONE,
        ("b", 0): E.ELIGIBLE_LEADERS_NOT_AVAILABLE,
        ("c", 0): E.ELECTION_NOT_NEEDED,
    }
    led = cluster.partition("a", 2)
    assert (led.leader, led.isr, led.leader_recovery_state) == (2, (2,), 1)


def test_all_partitions_means_those_that_need_it() -> None:
    cluster = Cluster()
    cluster.start(1, 2)
    cluster.create("a", [1, 2], [2, 1])
    assert elect(cluster, PREFERRED) == {}
    assert elect(cluster, PREFERRED, TopicPartitions("a", [0])) == {("a", 0): E.ELECTION_NOT_NEEDED}


def test_a_preferred_replica_that_is_in_sync_again_takes_over() -> None:
    cluster = Cluster()
    cluster.start(1, 2)
    cluster.create("a", [1, 2])
    topic = TopicPartitions("a", [0])
    from_two_to_one(cluster)
    assert cluster.partition("a").leader == 2
    assert elect(cluster, PREFERRED, topic) == {("a", 0): E.NONE}
    assert cluster.partition("a").leader == 1


def from_two_to_one(cluster: Cluster) -> None:
    """Broker 1 goes and comes back, and the leaders take it into their ISRs again."""
    cluster.expire(1)
    cluster.heartbeat(1)
    for topic in cluster.image.topics_by_id.values():
        for number, partition in topic.partitions.items():
            record = PartitionChangeRecord(number, topic.id, isr=list(partition.replicas))
            cluster.apply([ApiMessageAndVersion(record, 1)])


def test_an_unknown_election_type_refuses_the_request() -> None:
    with pytest.raises(ApiError) as caught:
        elect(Cluster(), 2)
    assert caught.value.code is E.INVALID_REQUEST


def test_balancing_gives_back_what_can_be_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    cluster.start(1, 2, 3)
    cluster.create("a", *[[1, 2]] * 5)
    cluster.create("b", [3, 2])
    from_two_to_one(cluster)
    cluster.expire(3)
    assert len(cluster.image.not_preferred) == 6
    monkeypatch.setattr(election, "ELECTIONS_PER_RUN_MAX", 2)

    assert [cluster.run(balance_partition_leaders) for _ in range(3)] == [True, True, False]

    assert {p.leader for p in cluster.image.topics_by_name["a"].partitions.values()} == {1}
    assert cluster.partition("b").leader == 2, "its preferred replica is fenced"
    assert len(cluster.image.not_preferred) == 1
    assert cluster.run(balance_partition_leaders) is False
    assert cluster.messages == []


def test_leaderless_partitions_of_unclean_topics_are_led_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    cluster.start(1, 2, 3)
    cluster.create("clean", [1, 2])
    cluster.create("unclean", [1, 2], [1, 2], [3, 1])
    cluster.expire(2)
    cluster.expire(1)
    cluster.heartbeat(2)
    assert cluster.run(elect_unclean_leaders) is False
    assert cluster.messages == []
    turn_on(cluster, "unclean")
    monkeypatch.setattr(election, "ELECTIONS_PER_RUN_MAX", 1)

    assert [cluster.run(elect_unclean_leaders) for _ in range(3)] == [True, True, False]

    assert [cluster.partition("unclean", n).leader for n in range(3)] == [2, 2, 3]
    assert cluster.partition("clean").leader == -1


def turn_on(cluster: Cluster, topic: str) -> None:
    record = ConfigRecord(2, topic, "unclean.leader.election.enable", "true")
    cluster.apply([ApiMessageAndVersion(record, 0)])
