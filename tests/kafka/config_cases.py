"""Configs of topics, brokers, client metrics and groups: their values, who may have them, changes, descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pykraft.controller.releases import DEFAULT_RELEASE
from pykraft.controller.topic_config_definitions import topic_configs
from pykraft.protocol._message import Message
from pykraft.protocol.messages import alter_configs_request as legacy
from pykraft.protocol.messages import incremental_alter_configs_request as incremental
from pykraft.protocol.messages.create_topics_request import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.describe_configs_request import DescribeConfigsRequestData, DescribeConfigsResource
from tests.kafka.case import Case

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3

Change = tuple[str, int, str | None]


def incremental_change(*resources: tuple[int, str, Sequence[Change]], validate_only: bool = False) -> Message:
    return incremental.IncrementalAlterConfigsRequestData(
        resources=[
            incremental.AlterConfigsResource(
                resource_type=resource_type,
                resource_name=name,
                configs=[
                    incremental.AlterableConfig(name=key, config_operation=operation, value=value)
                    for key, operation, value in changes
                ],
            )
            for resource_type, name, changes in resources
        ],
        validate_only=validate_only,
    )


def legacy_change(*resources: tuple[int, str, Mapping[str, str | None]], validate_only: bool = False) -> Message:
    return legacy.AlterConfigsRequestData(
        resources=[
            legacy.AlterConfigsResource(
                resource_type=resource_type,
                resource_name=name,
                configs=[legacy.AlterableConfig(name=key, value=value) for key, value in configs.items()],
            )
            for resource_type, name, configs in resources
        ],
        validate_only=validate_only,
    )


def description(*resources: tuple[int, str], keys: list[str] | None = None, synonyms: bool = True) -> Message:
    return DescribeConfigsRequestData(
        resources=[
            DescribeConfigsResource(resource_type=resource_type, resource_name=name, configuration_keys=keys)
            for resource_type, name in resources
        ],
        include_synonyms=synonyms,
    )


VALUES = (
    "",
    " ",
    "x",
    "-3",
    "-2",
    "-1",
    "0",
    "1",
    "+1",
    " 7 ",
    "9",
    "10",
    "13",
    "14",
    "17",
    "18",
    "22",
    "23",
    "-131072",
    "-131073",
    "100000000",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "0.5",
    ".5",
    "1.5",
    "1e-5",
    "1d",
    "0x1",
    "NaN",
    "1_0",
    "true",
    " TRUE ",
    "False",
    "yes",
    "compact",
    "delete",
    "compact, delete",
    "compact,delete,",
    "Compact",
    "compact,",
    "*",
    "1:2,3:4",
    "1:2, 3:4 ,",
    "1:2,*",
    "1:-2",
    "gzip",
    "producer",
    "uncompressed",
    "none",
    "GZIP",
    "3.0",
    "3.0-IV1",
    "3.0-IV9",
    "3.9",
    "4.0",
    "4.0-IV1",
    "0.11",
    "0.11.0",
    "0.11.0.1",
    "2.8.2",
    "3.9-IV0.7",
    "0.8",
    "CreateTime",
    "LogAppendTime",
    "createtime",
)
"""Texts on both sides of every border of every topic config."""


def topic_value_cases() -> Iterator[Case]:
    """Every topic config with every value, checked but not set."""
    for name in (*topic_configs(DEFAULT_RELEASE), "no.such.config", ""):
        for value in VALUES:
            yield Case(
                f"{name}={value!r}", incremental_change((TOPIC, "t1", [(name, SET, value)]), validate_only=True), 1
            )


def topic_combination_cases() -> Iterator[Case]:
    """Topic configs against each other and against the broker's defaults."""
    combinations: tuple[Mapping[str, str], ...] = (
        {"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "9"},
        {"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "10"},
        {"remote.storage.enable": "true"},
        {"remote.storage.enable": "true", "cleanup.policy": "compact"},
        {"remote.log.copy.disable": "true", "remote.log.delete.on.disable": "true"},
        {"local.retention.ms": "100", "retention.ms": "10"},
        {"local.retention.bytes": "100", "retention.bytes": "10"},
        {"segment.bytes": "x", "no.such.config": "1"},
    )
    for index, configs in enumerate(combinations):
        changes = [(name, SET, value) for name, value in configs.items()]
        yield Case(f"combination {index}", incremental_change((TOPIC, "t1", changes), validate_only=True), 1)
        yield Case(f"legacy combination {index}", legacy_change((TOPIC, "t1", configs), validate_only=True), 2)
        topic = CreatableTopic(
            name="new",
            num_partitions=1,
            replication_factor=1,
            configs=[CreatableTopicConfig(name=name, value=value) for name, value in configs.items()],
        )
        yield Case(f"create with {index}", CreateTopicsRequestData(topics=[topic], validate_only=True), 7)


RESOURCES = (
    (TOPIC, ""),
    (TOPIC, "."),
    (TOPIC, ".."),
    (TOPIC, "a b"),
    (TOPIC, "x" * 250),
    (TOPIC, "x" * 249),
    (TOPIC, "missing"),
    (TOPIC, "t1"),
    (TOPIC, "ü"),
    (BROKER, ""),
    (BROKER, "5"),
    (BROKER, "05"),
    (BROKER, "+5"),
    (BROKER, "1"),
    (BROKER, "6"),
    (BROKER, "-1"),
    (BROKER, "x"),
    (BROKER, "99999999999"),
    (BROKER_LOGGER, "1"),
    (BROKER_LOGGER, ""),
    (BROKER_LOGGER, "x"),
    (BROKER_LOGGER, "5"),
    (CLIENT_METRICS, ""),
    (CLIENT_METRICS, "m"),
    (GROUP, "g"),
    (0, "u"),
    (3, "u"),
    (64, "u"),
    (-1, "u"),
)


def resource_cases() -> Iterator[Case]:
    """Which resources may be altered and described."""
    for resource_type, name in RESOURCES:
        shown = f"{resource_type} {name[:9]!r} {len(name)}"
        resource = (resource_type, name)
        yield Case(f"incremental {shown}", incremental_change((*resource, ()), validate_only=True), 1)
        yield Case(f"legacy {shown}", legacy_change((*resource, {}), validate_only=True), 2)
        yield Case(f"describe {shown}", description(resource), 4)
    logger = [("no.such.logger", SET, "INFO")]
    yield Case("set logger", incremental_change((BROKER_LOGGER, "1", logger)), 1)
    yield Case("append logger", incremental_change((BROKER_LOGGER, "1", [("root", APPEND, "INFO")])), 1)
    yield Case("delete logger", incremental_change((BROKER_LOGGER, "1", [("no.such.logger", DELETE, None)])), 1)
    yield Case("unknown and good", description((TOPIC, "t1"), (0, "u")), 4)
    twice = ((TOPIC, "t1", ()), (TOPIC, "t1", ()), (TOPIC, "t1", ()), (TOPIC, "t2", ()), (64, "u", ()), (64, "u", ()))
    yield Case("incremental twice", incremental_change(*twice), 0)
    yield Case("legacy twice", legacy_change((TOPIC, "t1", {}), (TOPIC, "t1", {}), (TOPIC, "t2", {})), 0)


def config_change_cases() -> Iterator[Case]:
    """Changes that are made, and what is described after them."""
    for index, resources in enumerate(CONFIG_CHANGES):
        yield Case(f"config change {index}", incremental_change(*resources), index % 2)
        yield Case(f"topics after change {index}", description((TOPIC, "t1"), (TOPIC, "t2")), 4)
    for index, (resource_type, name, configs) in enumerate(LEGACY_CHANGES):
        yield Case(f"legacy change {index}", legacy_change((resource_type, name, configs)), index % 3)
        yield Case(f"described after legacy change {index}", description((resource_type, name)), 4)
    for version in range(5):
        yield Case(f"describe v{version}", description((TOPIC, "t1"), (BROKER, ""), synonyms=version > 0), version)
    yield Case("describe keys", description((TOPIC, "t1"), keys=["retention.ms", "no.such.config"]), 4)
    yield Case("describe no keys", description((TOPIC, "t1"), keys=[], synonyms=False), 4)
    yield Case("describe own configs", description((BROKER, "1")), 4)
    yield Case("describe defaults", description((BROKER, "")), 4)
    topic = CreatableTopic(
        name="new",
        num_partitions=1,
        replication_factor=1,
        configs=[
            CreatableTopicConfig(name="cleanup.policy", value=" compact , delete"),
            CreatableTopicConfig(name="retention.ms", value=" 7 "),
        ],
    )
    for version in (5, 7):
        yield Case(f"create v{version}", CreateTopicsRequestData(topics=[topic], validate_only=True), version)
    bare = CreatableTopic(name="bare", num_partitions=1, replication_factor=1)
    yield Case("create without configs", CreateTopicsRequestData(topics=[bare], validate_only=True), 7)


CONFIG_CHANGES: tuple[Sequence[tuple[int, str, Sequence[Change]]], ...] = (
    [(TOPIC, "t1", [("retention.ms", SET, "1000"), ("cleanup.policy", APPEND, "compact")])],
    [(TOPIC, "t1", [("retention.ms", SET, "1000"), ("cleanup.policy", APPEND, "compact")])],
    [(TOPIC, "t1", [("cleanup.policy", SUBTRACT, "delete"), ("retention.ms", DELETE, None)])],
    [(TOPIC, "t1", [("cleanup.policy", SUBTRACT, "delete,compact")])],
    [(TOPIC, "t1", [("cleanup.policy", APPEND, "compact,,compact")])],
    [(TOPIC, "t1", [("cleanup.policy", APPEND, "bad")])],
    [(TOPIC, "t1", [("retention.ms", APPEND, "1")])],
    [(TOPIC, "t1", [("no.such.config", SUBTRACT, "1")])],
    [
        (TOPIC, "t1", [("leader.replication.throttled.replicas", APPEND, "0:1,0:2")]),
        (TOPIC, "t2", [("leader.replication.throttled.replicas", SET, "*")]),
    ],
    [
        (TOPIC, "t1", [("leader.replication.throttled.replicas", SUBTRACT, "0:1,9:9")]),
        (TOPIC, "missing", [("retention.ms", SET, "1")]),
        (TOPIC, "t2", [("retention.ms", SET, "bad")]),
    ],
    [(TOPIC, "t1", [("leader.replication.throttled.replicas", SUBTRACT, "0:2")])],
    [(TOPIC, "t1", [("retention.ms", SET, None), ("segment.bytes", DELETE, "5")])],
    [(TOPIC, "t1", [("retention.ms", SET, "1"), ("retention.ms", SET, "2")])],
    [(TOPIC, "t1", [("min.cleanable.dirty.ratio", SET, "1e-5"), ("max.message.bytes", SET, " 7 ")])],
    [(TOPIC, "t1", [("min.cleanable.dirty.ratio", SET, ".25"), ("message.format.version", SET, "2.8")])],
    [(BROKER, "", [("log.retention.ms", SET, "5000"), ("min.insync.replicas", SET, "1")])],
    [(BROKER, "1", [("log.retention.ms", SET, "6000"), ("log.cleaner.threads", SET, "2")])],
    [(BROKER, "1", [("log.retention.ms", DELETE, None), ("log.cleaner.threads", SET, "2")])],
    [(BROKER, "", [("num.partitions", SET, "9"), ("unknown.config", SET, "u"), ("max.connections", SET, "77")])],
    [(BROKER, "", [("log.cleanup.policy", APPEND, "compact"), ("metric.reporters", SUBTRACT, "x")])],
    [(BROKER, "", [("log.flush.interval.ms", SET, "333"), ("log.roll.ms", SET, "86400001")])],
    [(BROKER, "", [("num.io.threads", APPEND, "1")])],
    [(BROKER, "1", [("ssl.keystore.password", SET, "secret"), ("unknown.config", SET, "v")])],
    [(BROKER, "1", [("listener.name.controller.ssl.keystore.type", SET, "PKCS12")])],
    [(BROKER, "1", [("follower.replication.throttled.rate", SET, "1000")])],
    [(BROKER, "5", [("log.retention.ms", SET, "bad")])],
    [(BROKER, "", [("log.retention.ms", SET, "-1"), ("compression.type", SET, "zstd")])],
    [(CLIENT_METRICS, "m", [("interval.ms", SET, "100"), ("match", SET, "client_id=a.*")])],
    [(CLIENT_METRICS, "m", [("metrics", SET, "*")])],
    [(CLIENT_METRICS, "m", [("metrics", APPEND, "x")])],
    [(CLIENT_METRICS, "m", [("interval.ms", SET, "99")])],
    [(CLIENT_METRICS, "m", [("interval.ms", SET, "3600001")])],
    [(CLIENT_METRICS, "m", [("interval.ms", SET, "x")])],
    [(CLIENT_METRICS, "m", [("match", SET, "client_id")])],
    [(CLIENT_METRICS, "m", [("match", SET, "nobody=a")])],
    [(CLIENT_METRICS, "m", [("match", SET, "client_id=[")])],
    [(CLIENT_METRICS, "m", [("match", SET, "")])],
    [(CLIENT_METRICS, "m", [("match", SET, " client_id = a ,client_source_port=1=")])],
    [(CLIENT_METRICS, "m", [("no.such.config", SET, "1")])],
)
LEGACY_CHANGES: tuple[tuple[int, str, Mapping[str, str | None]], ...] = (
    (TOPIC, "t1", {"retention.ms": "5", "segment.bytes": "100"}),
    (TOPIC, "t1", {"retention.ms": "5", "segment.ms": "100"}),
    (TOPIC, "t1", {"retention.ms": None, "flush.ms": None}),
    (TOPIC, "t1", {"segment.ms": "0"}),
    (TOPIC, "t2", {}),
    (CLIENT_METRICS, "m", {"interval.ms": "200"}),
    (CLIENT_METRICS, "m", {}),
    (BROKER, "1", {"log.cleaner.threads": "2"}),
    (BROKER, "", {}),
)
