"""Kafka's own command-line tools of other releases on a broker of theirs: pykraft beside Kafka's controller of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pytest

from tests.kafka.tool_sides import CONTROLLER_ID, ToolSides, changed_acls, followed, tool_sides

B: Final = ("--bootstrap-server", "{broker}")
C: Final = ("--bootstrap-controller", "{controller}")
RELEASES: Final = {"3.6.2": "3.6", "4.1.2": "4.1"}
OF_3_6: Final = "3.6.2"


@pytest.fixture(scope="module", params=RELEASES)
def sides(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToolSides]:
    version: str = request.param
    with tool_sides(tmp_path_factory.mktemp("tools"), version, RELEASES[version], (1,)) as sides:
        yield sides


def test_topics_and_their_configs(sides: ToolSides) -> None:
    same, new = sides.same, ("topics", *B, "--create", "--topic")
    same(*new, "alpha", "--partitions", "2", "--config", "retention.ms=1000", contains=["Created topic alpha"])
    same(*new, "alpha", "--partitions", "2", code=1, refused=["alpha"])
    same(*new, "beta", "--replica-assignment", "1:7", code=1, refused=["broker 7"])
    same(*new, "beta", "--config", "retention.ms=x", code=1, contains=["retention.ms"])
    same("topics", *B, "--describe", "--topic", "alpha", contains=["retention.ms=1000", "Isr: 1"], settles=True)
    same("topics", *B, "--alter", "--topic", "alpha", "--partitions", "3")
    same("topics", *B, "--alter", "--topic", "alpha", "--partitions", "2", code=1, refused=["alpha", "3", "2"])
    same("topics", *B, "--describe", "--topic", "alpha", contains=["Partition: 2"], settles=True)
    topic = ("--entity-type", "topics", "--entity-name", "alpha")
    same("configs", *B, "--alter", *topic, "--add-config", "segment.bytes=2000000", "--delete-config", "retention.ms")
    same("configs", *B, "--describe", *topic, contains=["segment.bytes=2000000"], without=["retention"], settles=True)
    same("configs", *B, "--describe", *topic, "--all", contains=["DYNAMIC_TOPIC_CONFIG:segment.bytes=2000000"])
    same("configs", *B, "--alter", *topic, "--add-config", "no.such=1", code=1, contains=["InvalidConfiguration"])
    default = ("--entity-type", "brokers", "--entity-default")
    same("configs", *B, "--alter", *default, "--add-config", "log.retention.ms=77777")
    same("configs", *B, "--describe", *default, contains=["log.retention.ms=77777"], settles=True)
    same("get-offsets", *B, "--topic", "alpha", contains=["alpha:2:0"])
    same("log-dirs", *B, "--describe", "--topic-list", "alpha", ordered=False, normal=directories, contains=["alpha-2"])
    same("topics", *B, "--delete", "--topic", "alpha")
    same("topics", *B, "--list", without=["alpha"], settles=True)


def directories(text: str) -> str:
    return "\n".join(sorted(re.findall(r'"partition":"[\w-]+","size":\d+', text)))


def test_users_and_acls(sides: ToolSides) -> None:
    same, user = sides.same, ("--entity-type", "users", "--entity-name", "alice")
    same("configs", *B, "--alter", *user, "--add-config", "SCRAM-SHA-256=[iterations=8192,password=a]")
    same("configs", *B, "--alter", *user, "--add-config", "producer_byte_rate=1024,controller_mutation_rate=5")
    same("configs", *B, "--describe", *user, contains=["SHA-256=iterations=8192", "mutation_rate=5.0"], settles=True)
    bob = ("--allow-principal", "User:bob", "--operation", "Read", "--topic", "orders")
    same("acls", *B, "--add", *bob, contains=["Adding"], normal=changed_acls)
    same("acls", *B, "--list", contains=["User:bob"], settles=True)
    same("acls", *B, "--remove", "--force", *bob, normal=changed_acls)
    same("acls", *B, "--list", without=["User:bob"], settles=True)


def test_the_cluster_and_its_quorum(sides: ToolSides) -> None:
    same = sides.same
    same("cluster", "cluster-id", *B, contains=["Cluster ID: "])
    same("cluster", "unregister", *B, "--id", "9", code=1, refused=["BrokerIdNotRegisteredException"])
    same(
        "metadata-quorum",
        *B,
        "describe",
        "--status",
        normal=followed,
        contains=[f"LeaderId:               {CONTROLLER_ID}"],
    )
    same("metadata-quorum", *B, "describe", "--replication", normal=followed, contains=["Leader", "Observer"])
    same("reassign-partitions", *B, "--list", contains=["No partition reassignments found"])
    same("leader-election", *B, "--election-type", "preferred", "--all-topic-partitions")
    same("broker-api-versions", *B, contains=["CreateTopics(19): "])


def test_features(sides: ToolSides) -> None:
    _FEATURES[sides.version](sides)


def features_3_6(sides: ToolSides) -> None:
    same = sides.same
    same("features", *B, "describe", contains=["FinalizedVersionLevel: 3.6-IV2"])
    same("features", *B, "upgrade", "--metadata", "3.6-IV2", contains=["upgraded to 14"])
    same("features", *B, "upgrade", "--metadata", "3.7-IV0", code=1, contains=["Unsupported metadata version"])
    same("features", *B, "downgrade", "--metadata", "3.5-IV2", code=1, refused=["metadata.version"])
    same("features", *B, "downgrade", "--metadata", "3.6-IV1", "--dry-run", code=1, refused=["metadata.version"])
    same("features", *B, "disable", "--feature", "metadata.version", code=1, refused=["metadata.version"])


def features_4_1(sides: ToolSides) -> None:
    """The upgrade to all that a release has moves the voters to the log, which nothing takes back."""
    same = sides.same
    for route in (B, C):
        same("features", *route, "version-mapping", "--release-version", "4.0-IV3", contains=["kraft.version=1"])
        same("features", *route, "feature-dependencies", "--feature", "transaction.version=2")
        same("features", *route, "upgrade", "--release-version", "4.1-IV1", "--dry-run", contains=["can be upgraded"])
    same(
        "features",
        *C,
        "describe",
        contains=["kraft.version	SupportedMinVersion: 0	SupportedMaxVersion: 1	Fina"],
    )
    same("features", *C, "upgrade", "--release-version", "4.1-IV1", contains=["kraft.version was upgraded to 1"])
    same(
        "features",
        *B,
        "describe",
        normal=levels,
        contains=["kraft.version 1", "metadata.version 4.1-IV1"],
        settles=True,
    )
    status = ("metadata-quorum", *C, "describe", "--status")
    same(
        *status, normal=followed, contains=['CurrentVoters:          [{"id": 3000, "directoryId": "<id>"'], settles=True
    )
    out = ("--controller-id", "3000", "--controller-directory-id", "AAAAAAAAAAAAAAAAAAAAAQ")
    same("metadata-quorum", *C, "remove-controller", *out, code=1, refused=["VoterNotFoundException"])
    same("features", *B, "downgrade", "--feature", "kraft.version=0", code=1, refused=["kraft.version"])
    same("features", *B, "downgrade", "--release-version", "4.0-IV3", "--dry-run", contains=["can be downgraded to 25"])
    for feature, level in (("share.version", 1), ("group.version", 1), ("transaction.version", 2)):
        same("features", *B, "upgrade", "--feature", f"{feature}={level}", contains=[f"upgraded to {level}"])
    same("features", *B, "downgrade", "--feature", "share.version=0", contains=["downgraded to 0"])
    same("features", *B, "upgrade", "--feature", "no.such=1", code=1, refused=["no.such"])
    # The epoch goes on with a log that has other records in it now.
    same("topics", *B, "--create", "--topic", "behind", "--partitions", "1", contains=["Created topic behind"])
    same("topics", *B, "--describe", "--topic", "behind", contains=["Leader: 1"], settles=True)


def levels(text: str) -> str:
    return "\n".join(re.sub(r"Feature: (\S+).*Level: (\S+).*", r"\1 \2", line) for line in text.splitlines())


_FEATURES: Final[Mapping[str, Callable[[ToolSides], None]]] = {"3.6.2": features_3_6, "4.1.2": features_4_1}


def test_what_came_with_the_release(sides: ToolSides) -> None:
    """Before 3.7 no tool asks the controller itself; 4.x has configs of groups, and more tools that do."""
    same = sides.same
    if sides.version == OF_3_6:
        same("configs", *C, "--describe", "--entity-type", "topics", code=1, contains=["bootstrap-controller"])
        return
    for config in ("message.format.version=3.0-IV1", "segment.bytes=1000"):
        refused = [config.partition("=")[0], "InvalidConfigurationException"]
        new = ("--create", "--topic", "old-style", "--config", config)
        same("topics", *B, *new, code=1, contains=refused[:1], normal=first_words)
    for route, word in ((B, "broker"), (C, "controller")):
        same("cluster", "list-endpoints", *route, normal=ports, contains=["127.0.0.1", word])
    same("cluster", "list-endpoints", *B, "--include-fenced-brokers", normal=ports, contains=["unfenced"])
    same("cluster", "unregister", *C, "--id", "9", code=1, refused=["BrokerIdNotRegisteredException"])
    change, group = ("configs", *B, "--alter", "--group", "g1", "--add-config"), ("--group", "g1")
    same(*change, "consumer.session.timeout.ms=50000,share.auto.offset.reset=earliest")
    same(*change, "streams.num.standby.replicas=1")
    same(*change, "consumer.session.timeout.ms=x", code=1, refused=["consumer.session.timeout.ms"])
    same(*change, "consumer.session.timeout.ms=1", code=1, refused=["group.consumer.min.session.timeout.ms"])
    same(*change, "no.such=1", code=1, contains=["InvalidConfigurationException"])
    same("configs", *C, "--alter", *group, "--add-config", "consumer.heartbeat.interval.ms=6000")
    same("configs", *B, "--describe", "--entity-type", "groups", contains=["g1", "interval.ms=6000"], settles=True)
    same(
        "configs", *C, "--describe", *group, "--all", contains=["DYNAMIC_GROUP_CONFIG:share.auto.offset.reset=earliest"]
    )
    same("configs", *B, "--alter", *group, "--delete-config", "consumer.session.timeout.ms")
    same("configs", *B, "--describe", *group, without=["session.timeout"], settles=True)
    same("configs", *B, "--alter", "--client-metrics", "m1", "--add-config", "interval.ms=6000,metrics=[a.,b.]")
    same("configs", *B, "--describe", "--client-metrics", "m1", contains=["metrics=a.,b."], settles=True)
    bob = ("--allow-principal", "User:bob", "--operation", "Write", "--topic", "orders")
    same("acls", *C, "--add", *bob, contains=["Adding"], normal=changed_acls)
    same("acls", *C, "--list", contains=["User:bob"], settles=True)
    same("acls", *B, "--list", contains=["User:bob"], settles=True)
    same("acls", *C, "--remove", "--force", *bob, normal=changed_acls)
    same("acls", *C, "--list", without=["User:bob"], settles=True)
    same("reassign-partitions", *C, "--list", contains=["No partition reassignments found"])
    same("groups", *B, "--list", contains=["PROTOCOL"])


def first_words(text: str) -> str:
    """Of the reason only which config it is about."""
    return "\n".join(re.findall(r"exit \d|message\.format\.version|segment\.bytes", text))


def ports(text: str) -> str:
    return re.sub(r"(127\.0\.0\.1) \d+ +", r"\1 <port> ", text)
