"""Configs of groups: which a release knows, what they may be, who may change and see them."""

from __future__ import annotations

from typing import Any

import pytest

from pykraft.controller.authorizer import AclOperation, AclResourceType
from pykraft.controller.config_description import describe_configs
from pykraft.controller.configs import incremental_alter_configs
from pykraft.controller.errors import ApiError
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.model import ConfigResource, ResourceType
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.describe_configs_request import DescribeConfigsRequestData, DescribeConfigsResource
from pykraft.protocol.messages.incremental_alter_configs_request import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequestData,
)
from tests.controller.cluster import Cluster

GROUP = ResourceType.GROUP
V_3_9, V_4_0, V_4_1 = MetadataVersion.IBP_3_9_IV0, MetadataVersion.IBP_4_0_IV3, MetadataVersion.IBP_4_1_IV1
RESET = "share.auto.offset.reset"


def alter(cluster: Cluster, name: str, *changes: tuple[str, str | None], **options: Any) -> ErrorCode:
    configs = [AlterableConfig(key, 0 if value is not None else 1, value) for key, value in changes]
    request = IncrementalAlterConfigsRequestData([AlterConfigsResource(GROUP, name, configs)])
    [answer] = cluster.run(lambda ctx: incremental_alter_configs(ctx, request, **options)).responses
    assert (answer.resource_type, answer.resource_name) == (GROUP, name)
    return ErrorCode(answer.error_code)


def describe(cluster: Cluster, name: str, **options: Any) -> Any:
    request = DescribeConfigsRequestData([DescribeConfigsResource(GROUP, name, None)], True)
    [result] = describe_configs(cluster.image, cluster.config, request, **options).results
    return result


GOOD = [
    ("consumer.session.timeout.ms", "50000"), ("consumer.heartbeat.interval.ms", "15000"),
    ("share.record.lock.duration.ms", "60000"), (RESET, "earliest"), (RESET, "by_duration:PT1H"),
    (RESET, "by_duration:PT1H2M3.5S"), (RESET, "by_duration:P1D"), (RESET, "by_duration:pt1h"),
    (RESET, "by_duration:PT0S"), (RESET, " latest"),
]  # fmt: skip
BAD = [
    ("consumer.session.timeout.ms", "x"), ("consumer.session.timeout.ms", "44999"),
    ("consumer.session.timeout.ms", "60001"), ("consumer.heartbeat.interval.ms", "4999"),
    ("consumer.heartbeat.interval.ms", "15001"), ("share.session.timeout.ms", "44999"),
    ("share.session.timeout.ms", "60001"), ("share.heartbeat.interval.ms", "4999"),
    ("share.heartbeat.interval.ms", "15001"), ("share.record.lock.duration.ms", "14999"),
    ("share.record.lock.duration.ms", "60001"), ("share.record.lock.duration.ms", "500"), (RESET, "EARLIEST"),
    (RESET, "none"), (RESET, "by_duration:-PT1H"), (RESET, "by_duration:PT-1H"), (RESET, "by_duration:x"),
    (RESET, "by_duration:"), (RESET, "by_duration"), (RESET, "BY_DURATION:PT1H"), (RESET, "by_duration:PT"),
    (RESET, "by_duration:P"), ("no.such", "1"),
]  # fmt: skip
GOOD_4_1 = [
    ("share.isolation.level", "read_committed"), ("streams.num.standby.replicas", "2"),
    ("streams.session.timeout.ms", "60000"), ("streams.heartbeat.interval.ms", "5000"),
]  # fmt: skip
BAD_4_1 = [
    ("share.isolation.level", "READ_COMMITTED"), ("streams.num.standby.replicas", "3"),
    ("streams.num.standby.replicas", "-1"), ("streams.session.timeout.ms", "60001"),
    ("streams.heartbeat.interval.ms", "4999"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "good", "bad"), [(V_4_0, GOOD, [*BAD, *GOOD_4_1]), (V_4_1, GOOD + GOOD_4_1, BAD + BAD_4_1)]
)
def test_values_as_the_releases_check_them(
    version: MetadataVersion, good: list[tuple[str, str]], bad: list[tuple[str, str]]
) -> None:
    for change in good:
        assert alter(Cluster(version), "g", change) is ErrorCode.NONE, change
    for change in bad:
        assert alter(Cluster(version), "g", change) is ErrorCode.INVALID_CONFIG, change


def test_bounds_come_from_the_controllers_own_configs() -> None:
    cluster = Cluster(
        V_4_1, group_consumer_max_session_timeout_ms=46_000, group_consumer_max_heartbeat_interval_ms=90_000
    )
    assert alter(cluster, "g", ("consumer.session.timeout.ms", "46001")) is ErrorCode.INVALID_CONFIG
    assert alter(cluster, "g", ("consumer.session.timeout.ms", "46000")) is ErrorCode.NONE
    assert alter(cluster, "g", ("consumer.heartbeat.interval.ms", "45999")) is ErrorCode.NONE
    assert alter(cluster, "g", ("consumer.heartbeat.interval.ms", "46000")) is ErrorCode.INVALID_CONFIG


def test_a_group_keeps_all_its_configs_when_one_is_bad() -> None:
    cluster = Cluster(V_4_1)
    resource = ConfigResource(GROUP, "g")
    assert alter(cluster, "g", ("consumer.session.timeout.ms", "50000"), (RESET, "earliest")) is ErrorCode.NONE
    assert alter(cluster, "g", (RESET, None), ("no.such", "1")) is ErrorCode.INVALID_CONFIG
    assert cluster.image.configs[resource] == {"consumer.session.timeout.ms": "50000", RESET: "earliest"}
    assert alter(cluster, "g", (RESET, None)) is ErrorCode.NONE
    assert cluster.image.configs[resource] == {"consumer.session.timeout.ms": "50000"}
    assert alter(cluster, "", (RESET, "earliest")) is ErrorCode.INVALID_REQUEST


def test_groups_have_no_configs_before_4_0() -> None:
    cluster = Cluster(V_3_9)
    assert alter(cluster, "g", (RESET, "earliest")) is ErrorCode.UNSUPPORTED_VERSION
    with pytest.raises(ApiError) as refused:
        describe(cluster, "g")
    assert refused.value.code is ErrorCode.INVALID_REQUEST


def test_description() -> None:
    cluster = Cluster(V_4_1, group_share_session_timeout_ms=46_000)
    alter(cluster, "g", ("consumer.session.timeout.ms", "50000"))
    result = describe(cluster, "g")
    assert result.error_code == 0
    shown = {each.name: (each.value, each.config_source) for each in result.configs}
    assert len(shown) == 10
    assert shown["consumer.session.timeout.ms"] == ("50000", 8)
    assert shown["consumer.heartbeat.interval.ms"] == ("5000", 5)
    assert shown["share.session.timeout.ms"] == ("46000", 5)
    first = next(each for each in result.configs if each.name == "consumer.session.timeout.ms")
    assert [(each.name, each.value, each.source) for each in first.synonyms] == [(first.name, "50000", 8)]
    assert describe(cluster, "").error_code == ErrorCode.INVALID_REQUEST


def test_who_may_change_and_see_them() -> None:
    cluster = Cluster(V_4_1)

    def may(operation: AclOperation, resource_type: AclResourceType, name: str) -> bool:
        return resource_type is AclResourceType.GROUP and name == "mine"

    assert alter(cluster, "mine", (RESET, "earliest"), authorize=may) is ErrorCode.NONE
    assert alter(cluster, "other", (RESET, "earliest"), authorize=may) is ErrorCode.GROUP_AUTHORIZATION_FAILED
    assert describe(cluster, "mine", authorize=may).error_code == 0
    assert describe(cluster, "other", authorize=may).error_code == ErrorCode.GROUP_AUTHORIZATION_FAILED
