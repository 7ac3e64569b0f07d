"""Kafka's own command-line tools, unchanged, on pykraft beside Kafka's controller: each command writes the same.

Two clusters of two 3.9.1 brokers serve this module; the tools of other releases are in test_kafka_tools_releases.py.
What each command leaves behind is seen by those after it, as a user would see it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from pykraft.lab.cluster import scram_client
from tests.kafka.tool_sides import CONTROLLER_ID, ToolSide, ToolSides, changed_acls, followed, tool_sides

B: Final = ("--bootstrap-server", "{broker}")
C: Final = ("--bootstrap-controller", "{controller}")


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToolSides]:
    with tool_sides(tmp_path_factory.mktemp("tools"), "3.9.1", None, (1, 2)) as sides:
        yield sides


def create(sides: ToolSides, topic: str, assignment: str) -> None:
    """A topic that both sides place alike; returns when the brokers know it."""
    sides.same("topics", *B, "--create", "--topic", topic, "--replica-assignment", assignment, contains=["Created"])
    sides.same("topics", *B, "--describe", "--topic", topic, contains=[f"Topic: {topic}"], settles=True)


def fill(sides: ToolSides, topic: str, records: int, size: int = 100) -> None:
    sides.same(
        "producer-perf-test", "--topic", topic, "--num-records", str(records), "--record-size", str(size),
        "--throughput", "-1", "--producer-props", "bootstrap.servers={broker}", "acks=all",
        normal=lambda text: re.sub(r"sent, .*", "sent", text), contains=[f"{records} records sent"],
    )  # fmt: skip


def test_topics_created(sides: ToolSides) -> None:
    same = sides.same
    same("topics", *B, "--list")
    create(sides, "alpha", "1:2,2:1")
    new = ("topics", *B, "--create", "--topic")
    same(*new, "alpha", "--partitions", "1", code=1, refused=["alpha"])
    same(*new, "alpha", "--partitions", "1", "--if-not-exists")
    same(*new, "bad/name", code=1, refused=["bad/name"])
    same(*new, "a.b_c", "--partitions", "1", "--replication-factor", "5", code=1, refused=["5", "2"])
    same(*new, "ab", "--config", "retention.ms=abc", code=1, contains=["retention.ms"])
    same(*new, "ab", "--config", "no.such=1", code=1, contains=["no.such"])
    same(*new, "ab", "--replica-assignment", "1:1", code=1)
    same(*new, "ab", "--replica-assignment", "1:7", code=1, refused=["broker 7"])
    same(*new, "ab", "--partitions", "0", code=1)
    many = ("--partitions", "3", "--replication-factor", "2", "--config", "retention.ms=1000")
    same(*new, "many", *many, "--config", "cleanup.policy=compact", contains=["Created topic many"])
    same("topics", *B, "--list", contains=["alpha\nmany"], settles=True)
    same("topics", "--bootstrap-server", "{controller}", "--list", code=1, contains=["does not support METADATA"])


def unplaced(text: str) -> str:
    """Without the replicas that the controller drew."""
    return re.sub(r"(Leader|Replicas|Isr): [\d,]+", r"\1: <drawn>", text)


def test_topics_described(sides: ToolSides) -> None:
    look = ("topics", *B, "--describe")
    sides.same(*look, "--topic", "alpha", contains=["Leader: 2	Replicas: 2,1	Isr: 2,1"])
    sides.same(*look, "--topic", "al.*", contains=["Topic: alpha"], without=["many"])
    sides.same(
        *look, "--topic", "many", normal=unplaced, contains=["Configs: cleanup.policy=compact,retention.ms=1000"]
    )
    sides.same(*look, normal=unplaced, contains=["alpha", "many"])
    sides.same(*look, "--partition-size-limit-per-response", "1", normal=unplaced, contains=["alpha", "many"])
    sides.same(*look, "--topics-with-overrides", contains=["many"], without=["alpha"])
    for state in ("under-replicated", "unavailable", "under-min-isr", "at-min-isr"):
        sides.same(*look, f"--{state}-partitions", without=["alpha"])
    sides.same(*look, "--topic", "nope", code=1)
    sides.same(*look, "--topic", "nope", "--if-exists")
    sides.same(*look, "--topic-id", "8dC8C9d7TxKTRmZ7rZFDeg", code=1)


def test_topics_grown_and_deleted(sides: ToolSides) -> None:
    change = ("topics", *B, "--alter", "--topic")
    sides.same(*change, "alpha", "--partitions", "4", "--replica-assignment", "1:2,2:1,1,2", code=1)
    sides.same(*change, "alpha", "--partitions", "4", "--replica-assignment", "1:2,2:1,2:1,1:2")
    sides.same(*change, "alpha", "--partitions", "2", code=1, refused=["alpha", "4", "2"])
    sides.same(*change, "nope", "--partitions", "2", code=1)
    sides.same(*change, "nope", "--partitions", "2", "--if-exists")
    sides.same("topics", *B, "--describe", "--topic", "alpha", contains=["Partition: 3	Leader: 1"], settles=True)
    sides.same("topics", *B, "--delete", "--topic", "nope", code=1)
    sides.same("topics", *B, "--delete", "--topic", "nope", "--if-exists")
    sides.same("topics", *B, "--delete", "--topic", "al.*|many")
    sides.same("topics", *B, "--list", without=["alpha", "many"], settles=True)


def test_configs_of_topics(sides: ToolSides) -> None:
    create(sides, "beta", "1:2,2:1")
    change, look = ("configs", *B, "--alter"), ("configs", *B, "--describe")
    topic, added = ("--entity-type", "topics", "--entity-name", "beta"), "--add-config"
    sides.same(*change, *topic, added, "retention.ms=1000,cleanup.policy=[compact,delete]")
    sides.same(*change, "--topic", "beta", added, "max.message.bytes=2000")
    sides.same(*look, *topic, contains=["retention.ms=1000", "max.message.bytes=2000"], settles=True)
    sides.same(*change, *topic, added, "max.message.bytes=x", code=1, refused=["max.message.bytes"])
    sides.same(*change, *topic, added, "no.such=x", code=1, contains=["InvalidConfigurationException"])
    sides.same(*change, "--topic", "nope", added, "retention.ms=1", code=1, contains=["UnknownTopicOrPartition"])
    sides.same(*change, *topic, "--delete-config", "segment.ms", code=1)
    file = sides.file("topic.properties", "retention.bytes=5000\nsegment.ms=60000\n")
    sides.same(*change, *topic, "--add-config-file", file)
    sides.same(*look, *topic, contains=["retention.bytes=5000"], settles=True)
    sides.same(*look, "--entity-type", "topics", contains=["beta"])
    sides.same(*look, *topic, "--all", contains=["DYNAMIC_TOPIC_CONFIG:retention.bytes=5000"])
    sides.same(*change, *topic, "--delete-config", "retention.ms,cleanup.policy,max.message.bytes")
    sides.same(*look, *topic, contains=["retention.bytes"], without=["retention.ms"], settles=True)
    sides.same(*look, "--topic", "nope", code=1, contains=["UnknownTopicOrPartition"])
    sides.same("configs", *C, "--describe", *topic, "--all", contains=["DYNAMIC_TOPIC_CONFIG:retention.bytes=5000"])
    sides.same("configs", *C, "--alter", *topic, added, "segment.bytes=100000")
    sides.same(*look, *topic, contains=["segment.bytes=100000"], settles=True)


def test_configs_of_brokers(sides: ToolSides) -> None:
    change, look = ("configs", *B, "--alter"), ("configs", *B, "--describe")
    broker, default, added = ("--entity-type", "brokers", "--entity-name", "1"), "--broker-defaults", "--add-config"
    sides.same(*change, *broker, added, "log.cleaner.threads=2")
    sides.same(*change, *broker, added, "log.cleaner.threads=abc", code=1, contains=["log.cleaner.threads"])
    sides.same(*change, *broker, added, "process.roles=controller", code=1, contains=["process.roles"])
    sides.same(*change, default, added, "log.retention.ms=77777,message.max.bytes=3000000")
    sides.same(*look, *broker, contains=["log.cleaner.threads=2"], settles=True)
    sides.same(*look, "--entity-type", "brokers", contains=["log.retention.ms=77777"], settles=True)
    sides.same(*look, *broker, "--all", contains=["DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=77777"])
    sides.same(
        *look, "--topic", "beta", "--all", contains=["DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms"], settles=True
    )
    sides.same(*change, default, "--delete-config", "log.retention.ms,message.max.bytes")
    sides.same(*change, *broker, "--delete-config", "log.cleaner.threads")
    sides.same(*look, "--entity-type", "brokers", without=["77777", "threads"], settles=True)
    sides.same(*change, *broker, "--delete-config", "log.cleaner.threads", code=1)
    logger = ("--entity-type", "broker-loggers", "--entity-name", "1")
    sides.same(*change, *logger, added, "kafka.server.ReplicaManager=DEBUG")
    text = sides.same(*look, *logger, ordered=False, normal=lambda text: "\n".join(re.findall(r".*ReplicaMan.*", text)))
    assert "kafka.server.ReplicaManager=DEBUG" in text
    sides.same(*change, *logger, "--delete-config", "kafka.server.ReplicaManager")
    sides.same(*change, *logger, added, "no.such.Logger=DEBUG", code=1)


def test_configs_of_the_controller_itself(sides: ToolSides) -> None:
    change, look = ("configs", *C, "--alter"), ("configs", *C, "--describe")
    controller = ("--entity-type", "brokers", "--entity-name", str(CONTROLLER_ID))
    default, added = ("--entity-type", "brokers", "--entity-default"), "--add-config"
    sides.same(*look, *controller)
    sides.same(*look, *controller, "--all", contains=["STATIC_BROKER_CONFIG:process.roles=controller"])
    sides.same(*change, *default, added, "log.cleaner.backoff.ms=17000")
    sides.same(*change, *controller, added, "max.connections.per.ip=71")
    sides.same(*look, *controller, contains=["DYNAMIC_BROKER_CONFIG:max.connections.per.ip=71"], settles=True)
    sides.same(*look, *default, contains=["log.cleaner.backoff.ms=17000"], settles=True)
    sides.same(*look, "--entity-type", "brokers", contains=["max.connections.per.ip=71", "17000"])
    sides.same(*look, *controller, "--all", contains=["DYNAMIC_DEFAULT_BROKER_CONFIG:log.cleaner.backoff.ms=17000"])
    sides.same(*change, *controller, "--delete-config", "max.connections.per.ip")
    sides.same(*change, *default, "--delete-config", "log.cleaner.backoff.ms")
    sides.same(*look, "--entity-type", "brokers", without=["71", "17000"], settles=True)
    for kind in ("topics", "users", "client-metrics", "ips"):
        sides.same(*look, "--entity-type", kind, code=1, contains=["UnsupportedEndpointType"])
    user = ("--entity-type", "users", "--entity-name", "bob")
    sides.same(*change, *user, added, "consumer_byte_rate=3", code=1, contains=["UnsupportedEndpointType"])
    sides.same(*change, *user, added, "SCRAM-SHA-256=[password=x]", code=1, contains=["UnsupportedEndpointType"])


def mechanisms(text: str) -> str:
    """With a user's mechanisms in order; the broker tells them in that of a hash map."""
    return re.sub(r"(SCRAM-SHA-512=\S+), (SCRAM-SHA-256=\S+)", r"\2, \1", text)


def test_quotas_and_scram_credentials(sides: ToolSides) -> None:
    change, look, added = ("configs", *B, "--alter"), ("configs", *B, "--describe"), "--add-config"
    alice = ("--entity-type", "users", "--entity-name", "alice")
    sides.same(*change, *alice, added, "SCRAM-SHA-256=[iterations=8192,password=alice-secret]")
    sides.same(*change, "--user", "alice", added, "SCRAM-SHA-512=[password=alice-secret]")
    stored = ["SCRAM-SHA-256=iterations=8192", "SCRAM-SHA-512=iterations=4096"]
    sides.same(*look, *alice, contains=stored, normal=mechanisms, settles=True)
    both = "SCRAM-SHA-256=[password=a],SCRAM-SHA-512=[password=a]"
    sides.same(*change, *alice, added, both, code=1, contains=["DuplicateResourceException"])
    sides.same(*change, *alice, added, "SCRAM-SHA-256=[iterations=100,password=a]", code=1)
    sides.same(*change, *alice, added, "producer_byte_rate=1024,consumer_byte_rate=2048,request_percentage=12.5")
    sides.same(*change, "--user", "alice", "--client", "c1", added, "producer_byte_rate=1024")
    sides.same(*change, "--user-defaults", added, "request_percentage=90")
    sides.same(*change, "--client-defaults", added, "consumer_byte_rate=1000000")
    sides.same(*change, "--user-defaults", "--client-defaults", added, "consumer_byte_rate=1100000")
    sides.same(*change, "--client", "c2", added, "consumer_byte_rate=-1", code=1, refused=["consumer_byte_rate"])
    sides.same(*change, "--client", "c2", added, "no_such_rate=1", code=1)
    sides.same(*change, "--ip", "127.0.0.7", added, "connection_creation_rate=50")
    sides.same(*change, "--ip-defaults", added, "connection_creation_rate=600")
    sides.same(*look, "--entity-type", "ips", contains=["'127.0.0.7'", "=600"], settles=True)
    for names in (alice, ("--entity-type", "users"), ("--entity-type", "clients"), ("--user-defaults",)):
        sides.same(*look, *names, contains=["Quota configs for"], normal=mechanisms, ordered=False)
    pairs = ("--entity-type", "users", "--entity-type", "clients")
    sides.same(*look, *pairs, contains=["user-principal 'alice', client-id 'c1'", "=1100000.0"], ordered=False)
    sides.same(*look, "--user", "nobody")
    sides.same(*change, *alice, "--delete-config", "SCRAM-SHA-512")
    sides.same(*change, *alice, "--delete-config", "SCRAM-SHA-512", code=1, contains=["ResourceNotFoundException"])
    sides.same(*change, *alice, "--delete-config", "producer_byte_rate,consumer_byte_rate,request_percentage")
    for defaults, key in (
        (("--user-defaults",), "request_percentage"), (("--client-defaults",), "consumer_byte_rate"),
        (("--user-defaults", "--client-defaults"), "consumer_byte_rate"),
        (("--ip-defaults",), "connection_creation_rate"),
    ):  # fmt: skip
        sides.same(*change, *defaults, "--delete-config", key)
    sides.same(*look, *alice, contains=["SCRAM-SHA-256"], without=["SHA-512", "_rate"], settles=True)
    sides.same(*look, "--entity-type", "ips", without=["default"], settles=True)


def test_client_metrics(sides: ToolSides) -> None:
    same = sides.same
    push = ("--metrics", "org.apache.kafka.producer.", "--interval", "60000", "--match", "client_id=p.*")
    same("client-metrics", *B, "--alter", "--name", "m1", *push)
    same("client-metrics", *B, "--alter", "--name", "m2", "--interval", "10", code=1, contains=["interval.ms"])
    same("client-metrics", *B, "--alter", "--name", "m2", "--match", "no_such=1", code=1, contains=["no_such=1"])
    same("client-metrics", *B, "--list", contains=["m1"], without=["m2"], settles=True)
    same("client-metrics", *B, "--describe", contains=["interval.ms=60000"], settles=True)
    same("client-metrics", *B, "--describe", "--name", "m1", contains=["match=client_id=p.*"])
    one = ("--entity-type", "client-metrics", "--entity-name", "m1")
    same("configs", *C, "--alter", *one, "--add-config", "interval.ms=70000")
    same("configs", *B, "--describe", *one, contains=["interval.ms=70000"], settles=True)
    same("configs", *B, "--alter", *one, "--delete-config", "match")
    same("configs", *B, "--describe", "--entity-type", "client-metrics", without=["match"], settles=True)
    same("client-metrics", *B, "--delete", "--name", "m1")
    same("client-metrics", *B, "--delete", "--name", "nope")
    same("client-metrics", *B, "--list", without=["m1"], settles=True)


def test_acls(sides: ToolSides) -> None:
    add, remove, bob = ("acls", *B, "--add"), ("acls", *B, "--remove", "--force"), ("--allow-principal", "User:bob")
    look = ("acls", *B, "--list")
    sides.same(*look)
    sides.same(
        *add,
        *bob,
        "--operation",
        "Read",
        "--operation",
        "Write",
        "--topic",
        "orders",
        contains=["Adding"],
        normal=changed_acls,
    )
    producer = ("--producer", "--topic", "orders", "--idempotent", "--transactional-id", "tx")
    sides.same(
        *add, *bob, "--allow-principal", "User:carol", *producer, contains=["IDEMPOTENT_WRITE"], normal=changed_acls
    )
    sides.same(
        *add, *bob, "--consumer", "--topic", "orders", "--group", "g1", contains=["DESCRIBE"], normal=changed_acls
    )
    denied = ("--deny-principal", "User:eve", "--deny-host", "10.0.0.9", "--operation", "All")
    sides.same(
        *add,
        *denied,
        "--topic",
        "ord",
        "--resource-pattern-type",
        "prefixed",
        contains=["PREFIXED"],
        normal=changed_acls,
    )
    sides.same(*add, *bob, "--operation", "Alter", "--cluster", normal=changed_acls)
    sides.same(*add, *bob, "--operation", "Describe", "--delegation-token", "tok", normal=changed_acls)
    sides.same(*add, *bob, "--operation", "CreateTokens", "--user-principal", "User:carol", normal=changed_acls)
    sides.same(*add, "--allow-principal", "bob", "--operation", "Read", "--topic", "x", code=1)
    sides.same(*add, *bob, "--operation", "Create", "--group", "x", code=1)
    sides.same(*look, ordered=False, contains=["name=User:carol"], settles=True)
    sides.same(*look, "--topic", "orders", ordered=False, contains=["operation=READ"])
    for kind in ("match", "any", "literal", "prefixed"):
        sides.same(*look, "--topic", "orders", "--resource-pattern-type", kind, ordered=False)
    sides.same(*look, "--principal", "User:eve", "--topic", "orders", "--resource-pattern-type", "match",
               contains=["host=10.0.0.9, operation=ALL, permissionType=DENY"])  # fmt: skip
    sides.same(*look, "--cluster", ordered=False, contains=["operation=ALTER"])
    sides.same(*remove, *bob, "--operation", "Read", "--topic", "orders", normal=changed_acls)
    sides.same(*remove, "--topic", "nope", normal=changed_acls)
    sides.same(*look, "--topic", "orders", ordered=False, without=["READ"], settles=True)
    for resource in (
        ("--topic", "orders", "--resource-pattern-type", "match"), ("--group", "g1"), ("--cluster",),
        ("--transactional-id", "tx"), ("--delegation-token", "tok"), ("--user-principal", "User:carol"),
    ):  # fmt: skip
        sides.same(*remove, *resource, normal=changed_acls)
    sides.same(*look, without=["principal"], settles=True)


def moves(*replicas: list[int], topic: str = "mover") -> str:
    parts: list[dict[str, Any]] = [
        {"topic": topic, "partition": number, "replicas": places} for number, places in enumerate(replicas)
    ]
    return json.dumps({"version": 1, "partitions": parts})


def test_reassignments(sides: ToolSides) -> None:
    create(sides, "mover", "1,1")
    fill(sides, "mover", 4000, 4000)
    tool = ("reassign-partitions", *B)
    topics = sides.file("topics.json", '{"version":1,"topics":[{"topic":"mover"}]}')
    wanted = ("--generate", "--topics-to-move-json-file", topics, "--broker-list")
    sides.same(*tool, *wanted, "7", code=1)
    sides.same(*tool, *wanted, "1,2,7", "--disable-rack-aware", contains=["Proposed partition"], normal=proposal)
    for name, text in (("unknown", moves([2, 7])), ("empty", moves([])), ("twice", moves([2, 2]))):
        sides.same(*tool, "--execute", "--reassignment-json-file", sides.file(f"{name}.json", text), code=1)
    away = ("--reassignment-json-file", sides.file("away.json", moves([2, 1], [2])))
    sides.same(*tool, "--execute", *away, "--throttle", "1000", contains=["Successfully started"])
    sides.same(*tool, "--list", contains=["mover-0"], settles=True)
    sides.same(*tool, "--verify", *away, contains=["mover-0 is still in progress"])
    sides.same("topics", *B, "--describe", "--topic", "mover", contains=["Adding Replicas: 2"], settles=True)
    sides.same("configs", *B, "--describe", "--entity-type", "brokers", contains=["throttled.rate=1000 "], settles=True)
    sides.same("configs", *B, "--describe", "--topic", "mover", contains=["throttled.replicas"], settles=True)
    sides.same(*tool, "--execute", *away, code=1)
    sides.same(*tool, "--cancel", *away, contains=["Successfully cancelled"])
    sides.same(*tool, "--list", without=["mover"], settles=True)
    sides.same(*tool, "--execute", *away, "--throttle", "100000000", contains=["Successfully started"])
    sides.same(*tool, "--list", contains=["No partition reassignments found"], settles=True)
    sides.same(*tool, "--verify", *away, "--preserve-throttles", contains=["mover-0 is completed"])
    sides.same(*tool, "--verify", *away, contains=["Clearing topic-level throttles"])
    sides.same("configs", *B, "--describe", "--entity-type", "brokers", without=["throttled"], settles=True)
    sides.same(*tool, "--cancel", *away)
    sides.same(*tool, "--execute", *away, "--additional", "--replica-alter-log-dirs-throttle", "100000")
    sides.same(*tool, "--verify", *away, contains=["completed"], settles=True)


def proposal(text: str) -> str:
    """Without the plan, which the tool itself draws."""
    return re.sub(r"(?s)Proposed partition reassignment configuration.*?(?=\n---)", "Proposed partition", text)


def test_elections(sides: ToolSides) -> None:
    elect = ("leader-election", *B, "--election-type")

    def isr(text: str) -> str:
        return re.sub(r"Isr: 1,2|Isr: 2,1", "Isr: both", text)

    one = ("--topic", "mover", "--partition", "0")
    sides.same("topics", *B, "--describe", "--topic", "mover", normal=isr, contains=["Replicas: 2,1	Isr: both"],
               settles=True)  # fmt: skip
    sides.same(*elect, "preferred", *one, contains=["Successfully completed"])
    sides.same(*elect, "preferred", *one, contains=["Valid replica already elected"])
    sides.same("topics", *B, "--describe", "--topic", "mover", normal=isr, contains=["Partition: 0	Leader: 2"],
               settles=True)  # fmt: skip
    sides.same(*elect, "preferred", "--topic", "mover", "--partition", "9", code=1, refused=["mover", "9"])
    sides.same(*elect, "preferred", "--topic", "nope", "--partition", "0", code=1, refused=["nope"])
    sides.same(*elect, "unclean", *one, contains=["Valid replica already elected"])
    sides.same(*elect, "preferred", "--all-topic-partitions")
    sides.same(*elect, "unclean", "--all-topic-partitions")
    some = {"partitions": [{"topic": "mover", "partition": 0}, {"topic": "mover", "partition": 9}]}
    file = sides.file("election.json", json.dumps(some))
    sides.same(*elect, "preferred", "--path-to-json-file", file, code=1, refused=["mover", "9"])


def test_features(sides: ToolSides) -> None:
    for route in (B, C):
        sides.same("features", *route, "describe", contains=["metadata.version", "FinalizedVersionLevel: 3.9-IV0"])
        change = ("features", *route)
        sides.same(*change, "upgrade", "--metadata", "3.9-IV0", contains=["upgraded to 21"])
        sides.same(*change, "upgrade", "--metadata", "3.9-IV0", "--dry-run", contains=["can be upgraded to 21"])
        sides.same(*change, "upgrade", "--metadata", "3.8-IV0", code=1, refused=["metadata.version", "20"])
        sides.same(*change, "downgrade", "--metadata", "3.8-IV0", "--dry-run", contains=["can be downgraded to 20"])
        sides.same(*change, "downgrade", "--metadata", "3.7-IV1", code=1, refused=["metadata.version", "16"])
        unsafe = ("downgrade", "--metadata", "3.3-IV0", "--unsafe")
        sides.same(*change, *unsafe, code=1, refused=["metadata.version", "4"])
        for feature in ("group.version", "transaction.version", "no.such"):
            sides.same(*change, "upgrade", "--feature", f"{feature}=1", code=1, refused=[feature])
        sides.same(*change, "disable", "--feature", "metadata.version", code=1, refused=["metadata.version"])
        sides.same(*change, "disable", "--feature", "transaction.version", "--unsafe", "--dry-run")
    sides.same("features", *B, "downgrade", "--metadata", "3.8-IV0", contains=["downgraded to 20"])
    sides.same("features", *B, "describe", contains=["FinalizedVersionLevel: 3.8-IV0"], settles=True)
    sides.same("features", *C, "upgrade", "--metadata", "3.9-IV0", contains=["upgraded to 21"])
    sides.same("features", *B, "describe", contains=["FinalizedVersionLevel: 3.9-IV0"], settles=True)


def test_metadata_quorum(sides: ToolSides) -> None:
    for route in (B, C):
        status = ("metadata-quorum", *route, "describe", "--status")
        text = sides.same(*status, normal=followed, contains=["LeaderId:               3000", "CurrentObservers"])
        assert '"endpoints": ["CONTROLLER://<controller 0>"]' in text
        replication = ("metadata-quorum", *route, "describe", "--replication")
        sides.same(*replication, normal=followed, ordered=False, contains=["Leader", "Observer"])
        sides.same(*replication, "--human-readable", normal=followed, ordered=False, contains=["<age>"])
        out = ("--controller-id", "3000", "--controller-directory-id", "AAAAAAAAAAAAAAAAAAAAAQ")
        removal = ("metadata-quorum", *route, "remove-controller", *out)
        sides.same(*removal, "--dry-run", contains=["DRY RUN"])
        sides.same(*removal, code=1, refused=["UnsupportedVersionException", "kraft.version"])


def test_cluster_and_versions(sides: ToolSides) -> None:
    sides.same("cluster", "cluster-id", *B, contains=["Cluster ID: "])
    sides.same("cluster", "cluster-id", *C, contains=["Cluster ID: "])
    sides.same("cluster", "unregister", *B, "--id", "9", code=1, contains=["BrokerIdNotRegistered"])
    sides.same("cluster", "unregister", *C, "--id", "9", code=1, contains=["UnsupportedEndpointType"])
    sides.same("broker-api-versions", *B, ordered=False, contains=["CreateTopics(19): 0 to 7"])


def test_looking_at_logs_and_groups(sides: ToolSides) -> None:
    create(sides, "seen", "1:2")
    fill(sides, "seen", 300)
    same, two = sides.same, ("--topic", "seen")
    same("get-offsets", *B, *two, contains=["seen:0:300"], settles=True)
    same("get-offsets", *B, "--topic-partitions", "seen:0-1", "--time", "earliest", contains=["seen:0:0"])
    same("get-offsets", *B, "--topic", "nope", code=1)
    same("delete-records", *B, "--offset-json-file", sides.file(
        "records.json", '{"version":1,"partitions":[{"topic":"seen","partition":0,"offset":100}]}'
    ), contains=["low_watermark: 100"])  # fmt: skip
    same("get-offsets", *B, *two, "--time", "-2", contains=["seen:0:100"])

    def sizes(text: str) -> str:
        return re.sub(r'"size":\d+', '"size":<n>', text)

    same("log-dirs", *B, "--describe", "--topic-list", "seen", normal=sizes, contains=["seen-0", '"error":null'])
    same("consumer-groups", *B, "--list")
    reset = ("--reset-offsets", "--to-earliest", *two)
    same("consumer-groups", *B, "--group", "g1", *reset, "--execute", contains=["100"])
    same("consumer-groups", *B, "--describe", "--group", "g1", contains=["300"])
    same("consumer-groups", *B, "--list", "--state", contains=["Empty"])
    same("consumer-groups", *B, "--delete", "--group", "g1", contains=["successful"])
    same("transactions", *B, "list")


def test_delegation_tokens(sides: ToolSides) -> None:
    """Through the brokers' SASL listener: the controller sees the forwarded principal, and the token logs in."""
    text = "".join(f"{key}={value}\n" for key, value in scram_client("alice", "alice-secret").items())
    alice = ("--bootstrap-server", "{sasl}", "--command-config", sides.file("alice.properties", text))
    tokens, new = ("delegation-tokens", *alice), ("--create", "--max-life-time-period")
    nobody = ("delegation-tokens", *B, "--command-config", sides.file("nobody.properties", ""))
    sides.same(*nobody, *new, "-1", code=1, contains=["UnsupportedByAuthenticationException"])
    sides.same("topics", *alice, "--list", contains=["seen"])
    sides.same(*tokens, *new, "3600000", "--renewer-principal", "User:bob", contains=["User:alice", "User:bob"])
    for owner in ("User:alice", "User:bob", "User:carol"):
        sides.same(*tokens, "--describe", "--owner-principal", owner, normal=no_times, settles=True,
                   contains=["User:alice"] if owner != "User:carol" else ["number of tokens : 0"])  # fmt: skip
    sides.same(*tokens, "--describe")
    for word in ("--renew", "--expire"):
        period = ("--renew-time-period" if word == "--renew" else "--expiry-time-period", "-1")
        sides.same(*tokens, word, *period, "--hmac", "YWJj", code=1, contains=["DelegationTokenNotFound"])
    for side in (sides.kafka, sides.pykraft):
        by_token(sides, side, tokens)
    with_token = ("--bootstrap-server", "{sasl}", "--command-config", "{token_file}")
    sides.same("topics", *with_token, "--list", contains=["seen"])
    sides.same("topics", *with_token, "--create", "--topic", "by-token", "--replica-assignment", "1:2")
    sides.same("delegation-tokens", *with_token, *new, "-1", code=1, contains=["UnsupportedByAuthentication"])
    sides.same(*tokens, "--renew", "--renew-time-period", "120000", "--hmac", "{hmac}", contains=["Completed renew"],
               normal=no_times)  # fmt: skip
    sides.same(*tokens, "--expire", "--expiry-time-period", "-1", "--hmac", "{hmac}", contains=["Completed expire"],
               normal=no_times)  # fmt: skip
    sides.same(*tokens, "--describe", "--owner-principal", "User:alice", without=["User:bob"], settles=True)
    sides.same("topics", *with_token, "--list", code=1, contains=["Authentication failed"], settles=True)


def no_times(text: str) -> str:
    return re.sub(r"<date> ?|\d\d/\d\d/\d\d.*|(date : ).*", r"\1<date>", text)


def by_token(sides: ToolSides, side: ToolSide, tokens: tuple[str, ...]) -> None:
    """Notes the token's secret, and writes the settings of a client that logs in with it."""
    found = sides.run(side, *tokens, "--describe", "--owner-principal", "User:alice").stdout
    match = re.search(r"^(\S{22}) +(\S{86}==) ", found, re.MULTILINE)
    assert match is not None, found
    settings = scram_client(match[1], match[2])
    settings["sasl.jaas.config"] = settings["sasl.jaas.config"].replace(";", ' tokenauth="true";')
    path = Path(side.places["folder"]) / "token.properties"
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    side.places |= {"hmac": match[2], "token_file": str(path)}
