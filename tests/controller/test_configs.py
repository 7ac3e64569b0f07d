"""IncrementalAlterConfigs and AlterConfigs: checks, their order, and the records that are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from pykraft.controller.configs import OpType, alter_configs, create_topic_configs, incremental_alter_configs
from pykraft.controller.errors import ApiError
from pykraft.image.model import ConfigResource, ResourceType
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import alter_configs_request as legacy
from pykraft.protocol.messages.incremental_alter_configs_request import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequestData,
)
from pykraft.protocol.records.config_record import ConfigRecord
from tests.controller.cluster import Cluster

TOPIC, BROKER, LOGGER = ResourceType.TOPIC, ResourceType.BROKER, ResourceType.BROKER_LOGGER
CLIENT_METRICS, GROUP = ResourceType.CLIENT_METRICS, ResourceType.GROUP
SET, DELETE, APPEND, SUBTRACT = OpType.SET, OpType.DELETE, OpType.APPEND, OpType.SUBTRACT
THROTTLED = "leader.replication.throttled.replicas"
NONE, BAD_REQUEST, BAD_CONFIG = ErrorCode.NONE, ErrorCode.INVALID_REQUEST, ErrorCode.INVALID_CONFIG

Change = tuple[str, int, str | None]
Answer = tuple[int, str, ErrorCode]


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster()
    cluster.start(1)
    cluster.create("t", [1])
    cluster.create("u", [1])
    return cluster


def incremental(
    cluster: Cluster, *resources: tuple[int, str, Sequence[Change]], validate_only: bool = False
) -> list[Answer]:
    request = IncrementalAlterConfigsRequestData(
        resources=[
            AlterConfigsResource(resource_type, name, [AlterableConfig(*change) for change in changes])
            for resource_type, name, changes in resources
        ],
        validate_only=validate_only,
    )
    response = cluster.run(lambda ctx: incremental_alter_configs(ctx, request))
    return [(answer.resource_type, answer.resource_name, ErrorCode(answer.error_code)) for answer in response.responses]


def replace(
    cluster: Cluster, *resources: tuple[int, str, Mapping[str, str | None]], validate_only: bool = False
) -> list[Answer]:
    request = legacy.AlterConfigsRequestData(
        resources=[
            legacy.AlterConfigsResource(
                resource_type, name, [legacy.AlterableConfig(key, value) for key, value in configs.items()]
            )
            for resource_type, name, configs in resources
        ],
        validate_only=validate_only,
    )
    response = cluster.run(lambda ctx: alter_configs(ctx, request))
    return [(answer.resource_type, answer.resource_name, ErrorCode(answer.error_code)) for answer in response.responses]


def configs(cluster: Cluster, resource_type: int, name: str) -> dict[str, str]:
    return dict(cluster.image.configs.get(ConfigResource(resource_type, name), {}))


@pytest.mark.parametrize(
    ("resource_type", "name", "code"),
    [
        (TOPIC, "t", NONE),
        (TOPIC, "", BAD_REQUEST),
        (TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "missing", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (BROKER, "", NONE),
        (BROKER, "1", NONE),
        (BROKER, "+01", NONE),
        (BROKER, "2", ErrorCode.BROKER_ID_NOT_REGISTERED),
        (BROKER, "-1", BAD_REQUEST),
        (BROKER, "one", BAD_REQUEST),
        (BROKER, "2147483647", ErrorCode.BROKER_ID_NOT_REGISTERED),
        (BROKER, "2147483648", BAD_REQUEST),
        (CLIENT_METRICS, "m", NONE),
        (CLIENT_METRICS, "", BAD_REQUEST),
        (GROUP, "g", ErrorCode.UNSUPPORTED_VERSION),
        (0, "x", ErrorCode.UNSUPPORTED_VERSION),
        (5, "x", ErrorCode.UNSUPPORTED_VERSION),
    ],
)
def test_which_resources_may_be_altered(cluster: Cluster, resource_type: int, name: str, code: ErrorCode) -> None:
    assert incremental(cluster, (resource_type, name, [])) == [(resource_type, name, code)]
    assert replace(cluster, (resource_type, name, {})) == [(resource_type, name, code)]
    assert cluster.messages == []


def test_the_controllers_own_id_may_be_altered(cluster: Cluster) -> None:
    ctx = cluster.ctx()
    ctx.controller_ids = frozenset({3000})
    request = IncrementalAlterConfigsRequestData(resources=[AlterConfigsResource(BROKER, "3000", [])])
    assert incremental_alter_configs(ctx, request).response.responses[0].error_code == NONE


def test_values_are_checked_before_existence(cluster: Cluster) -> None:
    bad = [("retention.ms", SET, "x")]
    assert incremental(cluster, (TOPIC, "missing", bad)) == [(TOPIC, "missing", BAD_CONFIG)]
    assert incremental(cluster, (TOPIC, "a b", bad)) == [(TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION)]
    append = [("retention.ms", APPEND, "1")]
    assert incremental(cluster, (TOPIC, "a b", append)) == [(TOPIC, "a b", BAD_CONFIG)]


def test_a_resource_that_comes_twice_is_refused_once(cluster: Cluster) -> None:
    change = [("retention.ms", SET, "1")]
    twice = ((TOPIC, "t", change), (TOPIC, "t", change), (TOPIC, "u", change), (TOPIC, "t", change))
    assert incremental(cluster, *twice) == [(TOPIC, "t", BAD_REQUEST), (TOPIC, "u", NONE)]
    assert replace(cluster, *((TOPIC, "t", {}),) * 3) == [(TOPIC, "t", BAD_REQUEST)]
    assert configs(cluster, TOPIC, "t") == {}


def test_unknown_types_are_refused_each_time(cluster: Cluster) -> None:
    unknown = (9, "x", ErrorCode.UNSUPPORTED_VERSION)
    assert incremental(cluster, (9, "x", []), (9, "x", [])) == [unknown, unknown]


def test_operations_on_a_topic(cluster: Cluster) -> None:
    steps: list[tuple[list[Change], dict[str, str]]] = [
        ([("retention.ms", SET, "5"), ("flush.ms", SET, "7")], {"retention.ms": "5", "flush.ms": "7"}),
        ([("flush.ms", DELETE, None)], {"retention.ms": "5"}),
        ([("retention.ms", SET, None)], {}),
        ([("cleanup.policy", APPEND, "compact")], {"cleanup.policy": "delete,compact"}),
        ([("cleanup.policy", APPEND, "compact,delete,")], {"cleanup.policy": "delete,compact"}),
        ([("cleanup.policy", SUBTRACT, "delete,compact,x")], {"cleanup.policy": ""}),
        ([("cleanup.policy", DELETE, "ignored")], {}),
        ([(THROTTLED, APPEND, "0:1,0:2")], {THROTTLED: "0:1,0:2"}),
        ([(THROTTLED, SUBTRACT, "0:1")], {THROTTLED: "0:2"}),
        ([("flush.ms", SET, "1"), ("flush.ms", SET, "2"), (THROTTLED, DELETE, None)], {"flush.ms": "2"}),
    ]
    for changes, expected in steps:
        assert incremental(cluster, (TOPIC, "t", changes)) == [(TOPIC, "t", NONE)]
        assert configs(cluster, TOPIC, "t") == expected


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("retention.ms", APPEND, "1"), BAD_CONFIG),
        (("no.such.config", SUBTRACT, "1"), BAD_CONFIG),
        (("cleanup.policy", APPEND, None), BAD_REQUEST),
        (("cleanup.policy", 4, "x"), BAD_REQUEST),
        (("cleanup.policy", -1, "x"), BAD_REQUEST),
        (("no.such.config", SET, "1"), BAD_CONFIG),
        (("no.such.config", DELETE, None), NONE),
        (("cleanup.policy", APPEND, "bad"), BAD_CONFIG),
        (("cleanup.policy", APPEND, "compact,,delete"), BAD_CONFIG),
        (("min.insync.replicas", SET, "0"), BAD_CONFIG),
    ],
)
def test_one_bad_change_spoils_its_resource_only(cluster: Cluster, change: Change, code: ErrorCode) -> None:
    good = ("segment.bytes", SET, "100")
    answers = incremental(cluster, (TOPIC, "t", [good, change]), (TOPIC, "u", [good]))
    assert answers == [(TOPIC, "t", code), (TOPIC, "u", NONE)]
    assert configs(cluster, TOPIC, "t") == ({} if code else {"segment.bytes": "100"})
    assert configs(cluster, TOPIC, "u") == {"segment.bytes": "100"}


def test_existing_configs_count_in_the_check(cluster: Cluster) -> None:
    assert incremental(cluster, (TOPIC, "t", [("max.compaction.lag.ms", SET, "10")]))[0][2] == NONE
    assert incremental(cluster, (TOPIC, "t", [("min.compaction.lag.ms", SET, "11")]))[0][2] == BAD_CONFIG
    assert replace(cluster, (TOPIC, "t", {"min.compaction.lag.ms": "11"}))[0][2] == NONE
    assert configs(cluster, TOPIC, "t") == {"min.compaction.lag.ms": "11"}


def test_broker_defaults_count_in_the_check(cluster: Cluster) -> None:
    assert incremental(cluster, (BROKER, "", [("log.cleaner.max.compaction.lag.ms", SET, "10")]))[0][2] == NONE
    assert incremental(cluster, (TOPIC, "t", [("min.compaction.lag.ms", SET, "11")]))[0][2] == BAD_CONFIG


@pytest.mark.parametrize(("enabled", "code"), [("true", NONE), ("false", BAD_CONFIG)])
def test_tiered_storage_needs_its_switch(enabled: str, code: ErrorCode) -> None:
    cluster = Cluster(remote_log_storage_system_enable=enabled)
    cluster.start(1)
    cluster.create("t", [1])
    change = [("remote.storage.enable", SET, "true")]
    assert incremental(cluster, (TOPIC, "t", change)) == [(TOPIC, "t", code)]


def test_only_changes_are_written_but_for_brokers(cluster: Cluster) -> None:
    for resource, count in (((TOPIC, "t"), 0), ((BROKER, ""), 1), ((BROKER, "1"), 1), ((CLIENT_METRICS, "m"), 0)):
        key = "interval.ms" if resource[0] == CLIENT_METRICS else "min.insync.replicas"
        for records in (1, count):
            assert incremental(cluster, (*resource, [(key, SET, "200")]))[0][2] == NONE
            assert len(cluster.messages) == records
        assert replace(cluster, (*resource, {key: "200"}))[0][2] == NONE
        assert len(cluster.messages) == count


def test_values_of_brokers_are_not_checked(cluster: Cluster) -> None:
    assert incremental(cluster, (BROKER, "1", [("num.io.threads", SET, "many"), ("any.thing", SET, "x")]))[0][2] == NONE
    assert configs(cluster, BROKER, "1") == {"num.io.threads": "many", "any.thing": "x"}


def test_lists_of_brokers_start_from_their_default(cluster: Cluster) -> None:
    assert incremental(cluster, (BROKER, "", [("log.cleanup.policy", APPEND, "compact")]))[0][2] == NONE
    assert incremental(cluster, (BROKER, "", [("num.io.threads", APPEND, "1")]))[0][2] == BAD_CONFIG
    assert configs(cluster, BROKER, "") == {"log.cleanup.policy": "delete,compact"}


def test_deleting_what_a_broker_does_not_have_is_written(cluster: Cluster) -> None:
    assert incremental(cluster, (BROKER, "1", [("num.io.threads", DELETE, None)]))[0][2] == NONE
    assert cluster.messages == [ConfigRecord(BROKER, "1", "num.io.threads", None)]


def test_replacing_drops_what_is_not_listed(cluster: Cluster) -> None:
    replace(cluster, (TOPIC, "t", {"retention.ms": "5", "flush.ms": "7"}))
    replace(cluster, (TOPIC, "t", {"flush.ms": "8", "segment.ms": None}))
    assert cluster.messages == [
        ConfigRecord(TOPIC, "t", "flush.ms", "8"),
        ConfigRecord(TOPIC, "t", "retention.ms", None),
    ]
    assert replace(cluster, (TOPIC, "t", {"flush.ms": "bad"})) == [(TOPIC, "t", BAD_CONFIG)]
    assert configs(cluster, TOPIC, "t") == {"flush.ms": "8"}
    replace(cluster, (TOPIC, "t", {}))
    assert configs(cluster, TOPIC, "t") == {}


def test_checking_only_writes_nothing(cluster: Cluster) -> None:
    good, bad = (TOPIC, "t", [("retention.ms", SET, "5")]), (TOPIC, "u", [("retention.ms", SET, "x")])
    assert incremental(cluster, good, bad, validate_only=True) == [(TOPIC, "t", NONE), (TOPIC, "u", BAD_CONFIG)]
    assert replace(cluster, (TOPIC, "t", {"retention.ms": "5"}), validate_only=True) == [(TOPIC, "t", NONE)]
    assert cluster.messages == []


@pytest.mark.parametrize("validate_only", [False, True])
def test_too_many_records_are_refused_as_a_whole(cluster: Cluster, validate_only: bool) -> None:
    changes = [(f"key.{number}", SET, "1") for number in range(10_001)]
    with pytest.raises(ApiError) as refused:
        incremental(cluster, (BROKER, "", changes), validate_only=validate_only)
    assert refused.value.code is ErrorCode.POLICY_VIOLATION
    with pytest.raises(ApiError) as refused:
        replace(cluster, (BROKER, "", {name: value for name, _, value in changes}), validate_only=validate_only)
    assert refused.value.code is ErrorCode.POLICY_VIOLATION
    assert incremental(cluster, (BROKER, "", changes[1:]))[0][2] == NONE


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    [
        ("x", [], BAD_REQUEST),
        ("1", [], BAD_REQUEST),
        ("3000", [], NONE),
        ("3000", [("root", SET, "INFO")], BAD_CONFIG),
        ("3000", [("root", DELETE, None)], BAD_CONFIG),
        ("3000", [("root", APPEND, "INFO")], BAD_REQUEST),
    ],
)
def test_loggers_of_this_process(cluster: Cluster, name: str, changes: list[Change], code: ErrorCode) -> None:
    assert incremental(cluster, (LOGGER, name, changes)) == [(LOGGER, name, code)]
    assert replace(cluster, (LOGGER, name, {})) == [(LOGGER, name, BAD_REQUEST)]


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("interval.ms", "100", NONE),
        ("interval.ms", "3600000", NONE),
        ("interval.ms", "99", BAD_REQUEST),
        ("interval.ms", "3600001", BAD_REQUEST),
        ("interval.ms", "soon", ErrorCode.UNKNOWN_SERVER_ERROR),
        ("interval.ms", "2147483647", BAD_REQUEST),
        ("interval.ms", "2147483648", ErrorCode.UNKNOWN_SERVER_ERROR),
        ("metrics", "a,b", NONE),
        ("no.such.config", "1", BAD_REQUEST),
        ("match", "client_id=a.*,client_source_port = 1", NONE),
        ("match", "client_id", BAD_CONFIG),
        ("match", "client_id=a=b", BAD_CONFIG),
        ("match", "name=a", BAD_CONFIG),
        ("match", "client_id=[", BAD_CONFIG),
        ("match", "", BAD_CONFIG),
    ],
)
def test_client_metrics(cluster: Cluster, key: str, value: str, code: ErrorCode) -> None:
    assert incremental(cluster, (CLIENT_METRICS, "m", [(key, SET, value)])) == [(CLIENT_METRICS, "m", code)]
    assert incremental(cluster, (CLIENT_METRICS, "m", [("metrics", APPEND, "x")]))[0][2] == BAD_CONFIG


def test_new_topics_get_checked_configs(cluster: Cluster) -> None:
    records = create_topic_configs(cluster.ctx(), "new", {"retention.ms": "5", "flush.ms": "6"})
    assert [record.message for record in records] == [
        ConfigRecord(TOPIC, "new", "retention.ms", "5"),
        ConfigRecord(TOPIC, "new", "flush.ms", "6"),
    ]
    assert create_topic_configs(cluster.ctx(), "new", {}) == []
    for name, configs_of_topic, code in (
        ("new", {"retention.ms": "x"}, BAD_CONFIG),
        ("", {"retention.ms": "5"}, BAD_REQUEST),
        ("a b", {"retention.ms": "x"}, ErrorCode.INVALID_TOPIC_EXCEPTION),
    ):
        with pytest.raises(ApiError) as refused:
            create_topic_configs(cluster.ctx(), name, configs_of_topic)
        assert refused.value.code is code
