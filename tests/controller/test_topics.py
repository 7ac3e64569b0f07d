"""CreateTopics, DeleteTopics and CreatePartitions: each check, and what is written."""

from __future__ import annotations

from typing import Any

import pytest

from pykraft.controller.errors import ApiError, TooManyRecordsError
from pykraft.controller.partitions import create_partitions
from pykraft.controller.result import RECORDS_PER_USER_OPERATION_MAX
from pykraft.controller.topics import create_topics, delete_topics
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.model import DIRECTORY_UNASSIGNED
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.create_partitions_request import (
    CreatePartitionsAssignment,
    CreatePartitionsRequestData,
    CreatePartitionsTopic,
)
from pykraft.protocol.messages.create_topics_request import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData, DeleteTopicState
from pykraft.protocol.messages.delete_topics_response import DeletableTopicResult
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.uuids import ZERO_UUID
from tests.controller.cluster import Cluster, directory_of

E = ErrorCode


def ready(version: MetadataVersion = MetadataVersion.IBP_3_9_IV0, **config: Any) -> Cluster:
    """Brokers 1 to 3 are up, 4 is fenced; topics `old` and `a.b` exist."""
    cluster = Cluster(version, **config)
    cluster.start(1, 2, 3)
    cluster.register(4)
    cluster.create("old", [1, 2, 3])
    cluster.create("a.b", [1])
    return cluster


def topic(
    name: str = "new", partitions: int = 1, factor: int = 1, configs: Any = (), assignments: Any = ()
) -> CreatableTopic:
    return CreatableTopic(
        name,
        partitions,
        factor,
        [CreatableReplicaAssignment(number, list(ids)) for number, ids in assignments],
        [CreatableTopicConfig(key, value) for key, value in configs],
    )


def manual(*assignments: tuple[int, list[int]]) -> CreatableTopic:
    return topic(partitions=-1, factor=-1, assignments=assignments)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (topic("__cluster_metadata"), E.INVALID_REQUEST),
        (topic(""), E.INVALID_TOPIC_EXCEPTION),
        (topic(".."), E.INVALID_TOPIC_EXCEPTION),
        (topic("x" * 249), E.NONE),
        (topic("x" * 250), E.INVALID_TOPIC_EXCEPTION),
        (topic("sp ace"), E.INVALID_TOPIC_EXCEPTION),
        (topic("a_b"), E.INVALID_TOPIC_EXCEPTION),
        (topic("a.b"), E.TOPIC_ALREADY_EXISTS),
        (topic("old", factor=9), E.TOPIC_ALREADY_EXISTS),
        (topic(configs=[("retention.ms", None)]), E.INVALID_CONFIG),
        (topic(configs=[("retention.ms", "soon")], factor=0), E.INVALID_CONFIG),
        (topic(configs=[("retention.ms", "1000")]), E.NONE),
        (topic(partitions=-1, assignments=[(0, [1])]), E.INVALID_REQUEST),
        (topic(factor=-1, assignments=[(0, [1])]), E.INVALID_REQUEST),
        (manual((0, [1]), (0, [2])), E.INVALID_REPLICA_ASSIGNMENT),
        (manual((0, [])), E.INVALID_REPLICA_ASSIGNMENT),
        (manual((0, [1, 9])), E.INVALID_REPLICA_ASSIGNMENT),
        (manual((0, [1, 1])), E.INVALID_REPLICA_ASSIGNMENT),
        (manual((0, [1, 2]), (1, [3])), E.INVALID_REPLICA_ASSIGNMENT),
        (manual((0, [4])), E.INVALID_REPLICA_ASSIGNMENT),
        (manual((1, [1])), E.INVALID_REPLICA_ASSIGNMENT),
        (manual((1, [2, 4]), (0, [4, 1])), E.NONE),
        (topic(factor=0), E.INVALID_REPLICATION_FACTOR),
        (topic(factor=-2), E.INVALID_REPLICATION_FACTOR),
        (topic(partitions=0), E.INVALID_PARTITIONS),
        (topic(partitions=-2), E.INVALID_PARTITIONS),
        (topic(partitions=0, factor=0), E.INVALID_REPLICATION_FACTOR),
        (topic(factor=5), E.INVALID_REPLICATION_FACTOR),
        (topic(factor=4), E.NONE),
        (topic(partitions=-1, factor=-1), E.NONE),
    ],
)
@pytest.mark.parametrize("validate_only", [False, True])
def test_what_topics_may_be_created(wanted: CreatableTopic, code: ErrorCode, validate_only: bool) -> None:
    cluster = ready()
    request = CreateTopicsRequestData(topics=[wanted], validate_only=validate_only)

    [result] = cluster.run(lambda ctx: create_topics(ctx, request, 7)).topics

    assert ErrorCode(result.error_code) is code
    assert (result.error_message is None) is (code is E.NONE)
    assert (result.topic_id == ZERO_UUID) is (code is not E.NONE)
    written = code is E.NONE and not validate_only
    assert bool(cluster.messages) is written
    if wanted.name not in ("old", "a.b"):
        assert (wanted.name in cluster.image.topics_by_name) is written


def test_a_name_given_twice_is_refused_and_the_rest_goes_on() -> None:
    cluster = ready()
    request = CreateTopicsRequestData(topics=[topic("x"), topic("y"), topic("x"), topic("z", factor=0)])
    results = cluster.run(lambda ctx: create_topics(ctx, request, 7)).topics
    assert {r.name: ErrorCode(r.error_code) for r in results} == {
        "x": E.INVALID_REQUEST,
        "y": E.NONE,
        "z": E.INVALID_REPLICATION_FACTOR,
    }
    assert len(results) == 3
    assert "y" in cluster.image.topics_by_name


def test_the_records_of_a_topic_come_in_order() -> None:
    cluster = ready()
    request = CreateTopicsRequestData(
        topics=[topic("x", 2, 2, [("retention.ms", "1"), ("retention.bytes", "2")]), topic("y")]
    )
    result = create_topics(cluster.ctx(), request, 7)
    assert result.atomic
    assert [(type(r.message), r.version) for r in result.records] == [
        (TopicRecord, 0),
        (ConfigRecord, 0),
        (ConfigRecord, 0),
        (PartitionRecord, 1),
        (PartitionRecord, 1),
        (TopicRecord, 0),
        (PartitionRecord, 1),
    ]
    cluster.apply(result.records)
    assert cluster.image.topic_configs("x") == {"retention.ms": "1", "retention.bytes": "2"}
    assert [m.partition_id for m in cluster.messages[3:5]] == [0, 1]


def test_a_new_partition_is_led_by_its_first_active_replica() -> None:
    cluster = ready()
    cluster.create("x", [4, 2, 1])
    partition = cluster.partition("x")
    assert (partition.replicas, partition.isr, partition.leader) == ((4, 2, 1), (2, 1), 2)
    assert (partition.leader_epoch, partition.partition_epoch, partition.leader_recovery_state) == (0, 0, 0)
    assert partition.directories == (directory_of(4), directory_of(2), directory_of(1))


def test_partitions_assigned_by_hand_may_come_in_any_order() -> None:
    cluster = ready()
    request = CreateTopicsRequestData(topics=[manual((1, [1, 2]), (0, [2, 3]))])
    cluster.run(lambda ctx: create_topics(ctx, request, 7))
    assert [message.partition_id for message in cluster.messages[1:]] == [0, 1]
    assert [cluster.partition("new", number).replicas for number in range(2)] == [(2, 3), (1, 2)]


def test_a_broker_with_two_directories_chooses_later_and_one_that_shuts_down_is_not_in_sync() -> None:
    cluster = ready()
    cluster.register(5, log_dirs=[directory_of(5), directory_of(5, 1)])
    cluster.heartbeat(5)
    cluster.heartbeat(1, shut_down=True)
    cluster.create("x", [5, 1])
    assert cluster.partition("x").directories == (DIRECTORY_UNASSIGNED, directory_of(1))
    assert cluster.partition("x").isr == (5,)


def test_before_3_7_iv2_partitions_have_no_directories() -> None:
    cluster = ready(MetadataVersion.IBP_3_7_IV1)
    cluster.create("x", [1, 2])
    assert [record.version for record in cluster.written] == [0, 0]
    assert cluster.partition("x").directories == ()


def test_the_answer_describes_the_topic_from_version_5() -> None:
    cluster = ready(num_partitions=4, default_replication_factor=2)
    result = cluster.create("x", configs={"retention.ms": "5"})
    assert (result.num_partitions, result.replication_factor, result.topic_config_error_code) == (4, 2, 0)
    assert result.topic_id == cluster.image.topics_by_name["x"].id
    assert result.configs is not None
    described = {config.name: (config.value, config.config_source) for config in result.configs}
    assert described["retention.ms"] == ("5", 1)
    assert described["retention.bytes"] == ("-1", 5)
    assert list(described) == sorted(described)
    assert cluster.create("y", partitions=1, replication_factor=1, api_version=4).configs == []


def test_each_topic_of_a_request_is_described_with_its_own_configs() -> None:
    cluster = ready()
    wanted = [topic("plain", 1), topic("own", 1), topic("plain2", 1)]
    wanted[1].configs = [CreatableTopicConfig("retention.ms", "5")]
    response = cluster.run(lambda ctx: create_topics(ctx, CreateTopicsRequestData(topics=wanted), 7))
    described = [
        {config.name: (config.value, config.config_source) for config in result.configs or []}
        for result in response.topics
    ]
    assert [each["retention.ms"] for each in described] == [("604800000", 5), ("5", 1), ("604800000", 5)]
    assert all(len(each) == len(described[0]) for each in described)


def test_more_records_than_a_request_may_write_refuse_it_whole() -> None:
    cluster = ready()
    limit = RECORDS_PER_USER_OPERATION_MAX
    fits = CreateTopicsRequestData(topics=[topic("x", limit - 1)])
    assert len(create_topics(cluster.ctx(), fits, 7).records) == limit
    for topics in (
        [topic("x", limit)],
        [topic("x", limit // 2), topic("y", limit // 2)],
        [topic("x", 2_147_483_647)],
        [topic("x", limit - 1, configs=[("retention.ms", "1")])],
        [manual(*((number, [1]) for number in range(limit)))],
    ):
        with pytest.raises(TooManyRecordsError) as caught:
            create_topics(cluster.ctx(), CreateTopicsRequestData(topics=topics), 7)
        assert caught.value.code is E.POLICY_VIOLATION


# -- DeleteTopics ------------------------------------------------------------------------------------------------


def delete(cluster: Cluster, *states: DeleteTopicState, names: Any = ()) -> dict[Any, DeletableTopicResult]:
    request = DeleteTopicsRequestData(topics=list(states), topic_names=list(names))
    responses = cluster.run(lambda ctx: delete_topics(ctx, request, 6 if states else 5)).responses
    keyed = {(r.name, r.topic_id): r for r in responses}
    assert len(keyed) == len(responses)
    return keyed


def codes(results: dict[Any, DeletableTopicResult]) -> dict[Any, ErrorCode]:
    return {key: ErrorCode(result.error_code) for key, result in results.items()}


def test_topics_are_deleted_by_name_with_their_configs() -> None:
    cluster = ready()
    cluster.create("x", [1, 2], [2, 1], configs={"retention.ms": "1"})
    ident = cluster.image.topics_by_name["x"].id
    results = delete(cluster, names=["x", "nope", "old", "old"])
    assert codes(results) == {
        ("x", ident): E.NONE,
        ("nope", ZERO_UUID): E.UNKNOWN_TOPIC_OR_PARTITION,
        ("old", ZERO_UUID): E.INVALID_REQUEST,
    }
    assert cluster.messages == [RemoveTopicRecord(topic_id=ident)]
    assert cluster.image.topic_configs("x") == {}
    assert set(cluster.image.topics_by_name) == {"old", "a.b"}


def test_topics_are_deleted_by_id_and_every_muddle_is_told() -> None:
    cluster = ready()
    cluster.create("x", [1])
    cluster.create("y", [1])
    ids = {name: t.id for name, t in cluster.image.topics_by_name.items()}
    unknown = bytes([9]) * 16
    results = delete(
        cluster,
        DeleteTopicState(None, ids["x"]),
        DeleteTopicState(None, unknown),
        DeleteTopicState(None, ZERO_UUID),
        DeleteTopicState("y", ids["y"]),
        DeleteTopicState("old"),
        DeleteTopicState(None, ids["old"]),
        DeleteTopicState(None, ids["a.b"]),
        DeleteTopicState(None, ids["a.b"]),
        DeleteTopicState("a.b"),
    )
    assert codes(results) == {
        ("x", ids["x"]): E.NONE,
        (None, unknown): E.UNKNOWN_TOPIC_ID,
        (None, ZERO_UUID): E.INVALID_REQUEST,
        ("y", ids["y"]): E.INVALID_REQUEST,
        ("old", ids["old"]): E.INVALID_REQUEST,
        (None, ids["a.b"]): E.INVALID_REQUEST,
        ("a.b", ids["a.b"]): E.INVALID_REQUEST,
    }
    assert set(cluster.image.topics_by_name) == {"old", "a.b", "y"}


@pytest.mark.parametrize(("api_version", "code"), [(2, E.INVALID_REQUEST), (3, E.TOPIC_DELETION_DISABLED)])
def test_deletion_can_be_switched_off(api_version: int, code: ErrorCode) -> None:
    cluster = ready(delete_topic_enable=False)
    with pytest.raises(ApiError) as caught:
        delete_topics(cluster.ctx(), DeleteTopicsRequestData(topic_names=["old"]), api_version)
    assert caught.value.code is code


# -- CreatePartitions --------------------------------------------------------------------------------------------


def grow(cluster: Cluster, *topics: CreatePartitionsTopic, validate_only: bool = False) -> dict[str, ErrorCode]:
    request = CreatePartitionsRequestData(topics=list(topics), validate_only=validate_only)
    results = cluster.run(lambda ctx: create_partitions(ctx, request)).results
    assert all((r.error_message is None) is (r.error_code == 0) for r in results)
    return {r.name: ErrorCode(r.error_code) for r in results}


def placed(*replicas: list[int]) -> list[CreatePartitionsAssignment]:
    return [CreatePartitionsAssignment(ids) for ids in replicas]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (CreatePartitionsTopic("nope", 2, None), E.UNKNOWN_TOPIC_OR_PARTITION),
        (CreatePartitionsTopic("old", 1, None), E.INVALID_PARTITIONS),
        (CreatePartitionsTopic("old", 0, None), E.INVALID_PARTITIONS),
        (CreatePartitionsTopic("old", 3, placed([1, 2, 3])), E.INVALID_REPLICA_ASSIGNMENT),
        (CreatePartitionsTopic("old", 2, placed([1, 2])), E.INVALID_REPLICA_ASSIGNMENT),
        (CreatePartitionsTopic("old", 2, placed([1, 2, 9])), E.INVALID_REPLICA_ASSIGNMENT),
        (CreatePartitionsTopic("a.b", 2, placed([4])), E.INVALID_REPLICA_ASSIGNMENT),
        (CreatePartitionsTopic("old", 2, placed([4, 3, 2])), E.NONE),
        (CreatePartitionsTopic("old", 4, None), E.NONE),
    ],
)
def test_which_partitions_may_be_added(wanted: CreatePartitionsTopic, code: ErrorCode) -> None:
    cluster = ready()
    assert grow(cluster, wanted, validate_only=True) == {wanted.name: code}
    assert cluster.messages == []
    assert grow(cluster, wanted) == {wanted.name: code}
    if code is E.NONE:
        partitions = cluster.image.topics_by_name["old"].partitions
        assert sorted(partitions) == list(range(wanted.count))
        assert all(len(p.replicas) == 3 and p.leader == p.isr[0] for p in partitions.values())


def test_adding_partitions_needs_brokers_that_are_up() -> None:
    cluster = ready()
    cluster.expire(1, 2, 3)
    assert grow(cluster, CreatePartitionsTopic("a.b", 2, None)) == {"a.b": E.INVALID_REPLICATION_FACTOR}


def test_a_topic_to_grow_given_twice_is_refused_once() -> None:
    cluster = ready()
    twice = CreatePartitionsTopic("old", 2, None)
    assert grow(cluster, twice, CreatePartitionsTopic("a.b", 2, None), twice) == {
        "old": E.INVALID_REQUEST,
        "a.b": E.NONE,
    }


def test_too_many_new_partitions_refuse_the_request() -> None:
    cluster = ready()
    with pytest.raises(TooManyRecordsError):
        grow(cluster, CreatePartitionsTopic("old", 2_000_000_000, None))
