"""DescribeConfigs: values, where they come from, and what other names they have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pykraft.controller.broker_config_definitions import BROKER_CONFIGS
from pykraft.controller.config import ControllerConfig
from pykraft.controller.config_description import describe_configs
from pykraft.controller.effective_configs import ConfigSource, describe_topic_configs, unclean_leader_election_enabled
from pykraft.controller.errors import ApiError
from pykraft.image.model import ResourceType
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.describe_configs_request import DescribeConfigsRequestData, DescribeConfigsResource
from pykraft.protocol.messages.describe_configs_response import DescribeConfigsResourceResult, DescribeConfigsResult
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.config_record import ConfigRecord
from tests.controller.cluster import Cluster

TOPIC, BROKER, LOGGER = ResourceType.TOPIC, ResourceType.BROKER, ResourceType.BROKER_LOGGER
CLIENT_METRICS = ResourceType.CLIENT_METRICS
OWN, NODE, CLUSTER = (
    ConfigSource.DYNAMIC_TOPIC_CONFIG,
    ConfigSource.DYNAMIC_BROKER_CONFIG,
    ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG,
)
STATIC, DEFAULT = ConfigSource.STATIC_BROKER_CONFIG, ConfigSource.DEFAULT_CONFIG


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster(log_retention_hours=72, min_insync_replicas=2, any_thing="x", log_segment_bytes=" 1000 ")
    cluster.start(1)
    cluster.create("t", [1])
    return cluster


def put(cluster: Cluster, resource_type: int, name: str, **configs: str) -> None:
    cluster.apply(
        [
            ApiMessageAndVersion(ConfigRecord(resource_type, name, key.replace("_", "."), value), 0)
            for key, value in configs.items()
        ]
    )


def describe(
    cluster: Cluster, resource_type: int, name: str, keys: list[str] | None = None, *, synonyms: bool = True
) -> DescribeConfigsResult:
    request = DescribeConfigsRequestData([DescribeConfigsResource(resource_type, name, keys)], synonyms)
    response = describe_configs(cluster.image, cluster.config, request)
    [result] = response.results
    assert (result.resource_type, result.resource_name) == (resource_type, name)
    for version in range(5):
        response.encode(version)
    return result


def entry(cluster: Cluster, resource_type: int, name: str, key: str) -> DescribeConfigsResourceResult:
    [found] = describe(cluster, resource_type, name, [key]).configs
    return found


def value_of(found: DescribeConfigsResourceResult) -> tuple[str | None, int]:
    return found.value, found.config_source


RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "admin" / "described-configs.json").read_text()
)
"""What Kafka 3.9.1's controller with these properties answered after these changes. An entry: name, value, source, read
only, sensitive; described configs also type and synonyms, each with name, value, source."""


@pytest.mark.parametrize(
    ("answer", "resource_type", "name"),
    [
        ("topic", TOPIC, "t"),
        ("own", BROKER, "1"),
        ("cluster", BROKER, ""),
    ],
)
def test_what_kafka_describes(answer: str, resource_type: int, name: str) -> None:
    described = describe(recorded_cluster(), resource_type, name).configs
    assert [
        [
            found.name,
            found.value,
            found.config_source,
            found.read_only,
            found.is_sensitive,
            found.config_type,
            [[synonym.name, synonym.value, synonym.source] for synonym in found.synonyms],
        ]
        for found in described
    ] == RECORDED["answers"][answer]


def test_what_kafka_tells_of_a_new_topic() -> None:
    cluster = recorded_cluster()
    described = describe_topic_configs(cluster.image, cluster.config, {"segment.ms": " 8 "})
    assert [
        [found.name, found.value, found.config_source, found.read_only, found.is_sensitive] for found in described
    ] == RECORDED["answers"]["new topic"]


def recorded_cluster() -> Cluster:
    cluster = Cluster()
    cluster.config = ControllerConfig.from_properties(RECORDED["properties"])
    cluster.start(5)
    cluster.create("t", [5])
    for resource_type, name, configs in RECORDED["changes"]:
        put(cluster, resource_type, name, **configs)
    return cluster


def test_a_topic_shows_every_config_by_name(cluster: Cluster) -> None:
    names = [found.name for found in describe(cluster, TOPIC, "t").configs]
    assert len(names) == 36
    assert names == sorted(names)


def test_a_topics_value_comes_from_the_nearest_place(cluster: Cluster) -> None:
    """The topic's, the node's, the cluster's, the start-up configs, the default; another broker's never."""
    key = "min.insync.replicas"
    put(cluster, BROKER, "1", min_insync_replicas="9")
    assert value_of(entry(cluster, TOPIC, "t", key)) == ("2", STATIC)
    put(cluster, BROKER, "", min_insync_replicas="3")
    assert value_of(entry(cluster, TOPIC, "t", key)) == ("3", CLUSTER)
    put(cluster, BROKER, "3000", min_insync_replicas="4")
    assert value_of(entry(cluster, TOPIC, "t", key)) == ("4", NODE)
    put(cluster, TOPIC, "t", min_insync_replicas="5")
    found = entry(cluster, TOPIC, "t", key)
    assert value_of(found) == ("5", OWN)
    assert [(synonym.value, synonym.source) for synonym in found.synonyms] == [
        ("5", OWN),
        ("4", NODE),
        ("3", CLUSTER),
        ("2", STATIC),
        ("1", DEFAULT),
    ]
    assert value_of(entry(cluster, TOPIC, "t", "flush.messages")) == ("9223372036854775807", DEFAULT)


def test_values_show_as_they_were_read(cluster: Cluster) -> None:
    put(cluster, TOPIC, "t", max_message_bytes=" 7 ", cleanup_policy=" compact , delete ", preallocate="TRUE")
    put(cluster, TOPIC, "t", min_cleanable_dirty_ratio="1e-5")
    shown = {found.name: found.value for found in describe(cluster, TOPIC, "t").configs}
    assert shown["max.message.bytes"] == "7"
    assert shown["cleanup.policy"] == "compact,delete"
    assert shown["preallocate"] == "true"
    assert shown["min.cleanable.dirty.ratio"] == "1.0E-5"
    assert shown["segment.bytes"] == "1000"


def test_times_of_brokers_are_turned_into_milliseconds(cluster: Cluster) -> None:
    """log.retention.hours is no synonym that shows, because log.retention.ms comes first and has no value."""
    found = entry(cluster, TOPIC, "t", "retention.ms")
    assert (value_of(found), found.synonyms) == ((str(72 * 3_600_000), DEFAULT), [])
    put(cluster, BROKER, "", log_retention_ms="-5")
    assert value_of(entry(cluster, TOPIC, "t", "retention.ms")) == ("-1", CLUSTER)


def test_new_topics_are_described_from_the_same_places(cluster: Cluster) -> None:
    """But with values as they were given, and hours by their source."""
    put(cluster, BROKER, "", log_cleanup_policy="compact", log_flush_interval_messages=" 5 ")
    described = describe_topic_configs(cluster.image, cluster.config, {"segment.ms": " 8 "})
    shown = {found.name: (found.value, found.config_source) for found in described}
    assert list(shown) == sorted(shown)
    assert shown["segment.ms"] == (" 8 ", OWN)
    assert shown["cleanup.policy"] == ("compact", CLUSTER)
    assert shown["flush.messages"] == (" 5 ", CLUSTER)
    assert shown["retention.ms"] == (str(72 * 3_600_000), STATIC)
    assert shown["segment.bytes"] == (" 1000 ", STATIC)
    assert shown["segment.jitter.ms"] == ("0", DEFAULT)
    assert not any(found.read_only or found.is_sensitive for found in described)


def test_hours_that_cannot_be_read_count_as_none(cluster: Cluster) -> None:
    cluster = Cluster(log_roll_hours="soon")
    described = describe_topic_configs(cluster.image, cluster.config, {})
    assert next(found.value for found in described if found.name == "segment.ms") == "0"


def test_unclean_election_goes_by_the_effective_config() -> None:
    cluster = Cluster()
    for resource_type, name, text, enabled in (
        (BROKER, "", "true", True),
        (BROKER, "3000", "false", False),
        (TOPIC, "t", "TRUE", True),
    ):
        assert unclean_leader_election_enabled(cluster.image, cluster.config, "t") is not enabled
        put(cluster, resource_type, name, unclean_leader_election_enable=text)
        assert unclean_leader_election_enabled(cluster.image, cluster.config, "t") is enabled
    other = Cluster(unclean_leader_election_enable="true")
    assert unclean_leader_election_enabled(other.image, other.config, "t")


def test_the_controllers_own_configs(cluster: Cluster) -> None:
    put(cluster, BROKER, "3000", log_cleaner_threads="2", num_partitions="9", log_cleaner_backoff_ms="bad")
    shown = {found.name: found for found in describe(cluster, BROKER, "3000").configs}
    assert shown.keys() == {name for name, definition in BROKER_CONFIGS.items() if not definition.internal} | {
        "any.thing"
    }
    assert value_of(shown["node.id"]) == ("3000", STATIC)
    assert value_of(shown["broker.id"]) == ("3000", STATIC)
    assert value_of(shown["log.cleaner.threads"]) == ("2", NODE)
    assert (shown["log.cleaner.threads"].read_only, shown["num.partitions"].read_only) == (False, True)
    assert value_of(shown["num.partitions"]) == ("1", DEFAULT)
    assert value_of(shown["log.cleaner.backoff.ms"]) == ("15000", DEFAULT)
    assert value_of(shown["log.retention.hours"]) == ("72", STATIC)
    assert (value_of(shown["any.thing"]), shown["any.thing"].is_sensitive) == ((None, STATIC), True)
    assert (shown["ssl.key.password"].value, shown["ssl.key.password"].is_sensitive) == (None, True)


def test_a_dynamic_config_puts_its_other_names_aside(cluster: Cluster) -> None:
    put(cluster, BROKER, "", log_retention_ms="5")
    shown = {found.name: found.value for found in describe(cluster, BROKER, "3000").configs}
    assert (shown["log.retention.ms"], shown["log.retention.hours"]) == ("5", "168")


def test_the_cluster_wide_configs(cluster: Cluster) -> None:
    """Only what a node may take over for the whole cluster; values as they were given."""
    put(cluster, BROKER, "", log_cleaner_threads=" 2 ", num_partitions="9", ssl_keystore_type="PEM", own_config="x")
    put(cluster, BROKER, "", listener_name_a_ssl_keystore_type="PEM", listener_name_a_max_connections="5")
    found = {one.name: one for one in describe(cluster, BROKER, "").configs}
    assert {name: value_of(one) for name, one in found.items()} == {
        "log.cleaner.threads": (" 2 ", CLUSTER),
        "own.config": (None, CLUSTER),
        "listener.name.a.max.connections": ("5", CLUSTER),
    }
    assert [synonym.name for synonym in found["log.cleaner.threads"].synonyms] == ["log.cleaner.threads"]
    put(cluster, BROKER, "3000", listener_name_a_ssl_keystore_type="PEM")
    assert value_of(entry(cluster, BROKER, "3000", "listener.name.a.ssl.keystore.type")) == ("PEM", NODE)


@pytest.mark.parametrize(
    ("resource_type", "name", "code"),
    [
        (TOPIC, "missing", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (BROKER, "1", ErrorCode.INVALID_REQUEST),
        (BROKER, "x", ErrorCode.INVALID_REQUEST),
        (BROKER, "03000", ErrorCode.NONE),
        (LOGGER, "", ErrorCode.INVALID_REQUEST),
        (LOGGER, "1", ErrorCode.INVALID_REQUEST),
        (LOGGER, "3000", ErrorCode.NONE),
        (CLIENT_METRICS, "", ErrorCode.INVALID_REQUEST),
        (CLIENT_METRICS, "m", ErrorCode.NONE),
    ],
)
def test_which_resources_are_described(cluster: Cluster, resource_type: int, name: str, code: ErrorCode) -> None:
    result = describe(cluster, resource_type, name)
    assert result.error_code == code
    assert code == ErrorCode.NONE or result.configs == []


@pytest.mark.parametrize("resource_type", [-1, 0, 5, ResourceType.GROUP])
def test_an_unexpected_type_spoils_the_whole_request(cluster: Cluster, resource_type: int) -> None:
    request = DescribeConfigsRequestData(
        [DescribeConfigsResource(TOPIC, "t", None), DescribeConfigsResource(resource_type, "x", None)]
    )
    with pytest.raises(ApiError) as refused:
        describe_configs(cluster.image, cluster.config, request)
    assert refused.value.code is ErrorCode.INVALID_REQUEST


def test_client_metrics_show_what_was_set(cluster: Cluster) -> None:
    put(cluster, CLIENT_METRICS, "m", interval_ms="200")
    [found] = describe(cluster, CLIENT_METRICS, "m", ["other"]).configs
    assert (found.name, value_of(found)) == ("interval.ms", ("200", ConfigSource.CLIENT_METRICS_CONFIG))


def test_keys_and_synonyms_are_given_when_wanted(cluster: Cluster) -> None:
    names = ["retention.ms", "no.such.config", "min.insync.replicas"]
    plain = describe(cluster, TOPIC, "t", names, synonyms=False).configs
    assert [(found.name, found.synonyms) for found in plain] == [("min.insync.replicas", []), ("retention.ms", [])]
    assert value_of(plain[0]) == ("2", STATIC)
    assert len(describe(cluster, TOPIC, "t", []).configs) == 36
