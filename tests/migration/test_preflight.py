"""Every precondition by itself: a cluster where all hold, and one change that makes exactly one fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pykraft.migration.preflight import ClusterFacts, Finding, Severity, Survey, check_zookeeper
from pykraft.migration.preflight_properties import STANDARD_AUTHORIZER, check_properties
from pykraft.zookeeper.acls import CREATOR_ALL_WORLD_READ, WORLD_ALL
from pykraft.zookeeper.dump import TreeDump, ZnodeDump, tree_from_json
from pykraft.zookeeper.errors import ZkCode
from tests.zookeeper.fixture_trees import tree_path

CONNECT = "zk:2181"
TOPIC = "/brokers/topics/orders"
SECRET = {"version": 1, "config": {"listener.name.sasl_ssl.ssl.keystore.password": "encrypted"}}


def recorded(name: str = "before") -> TreeDump:
    """The tree of a real cluster of three brokers."""
    return tree_from_json(tree_path(name).read_bytes(), name)


def put(tree: TreeDump, path: str, data: Any) -> None:
    content = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
    tree[path] = ZnodeDump(content, 0, ephemeral=False)


def change(tree: TreeDump, path: str, **fields: Any) -> None:
    found = json.loads(tree[path].data or b"{}")
    put(tree, path, found | fields)


def drop(tree: TreeDump, path: str) -> None:
    for each in [each for each in tree if each == path or each.startswith(path + "/")]:
        del tree[each]


def codes(findings: list[Finding], severity: Severity = Severity.BLOCKER) -> list[str]:
    return sorted({finding.code for finding in findings if finding.severity is severity})


def test_a_healthy_cluster_has_no_findings() -> None:
    findings, facts = check_zookeeper(Survey(tree=recorded(), acls={"/controller_epoch": WORLD_ALL}))
    assert findings == []
    assert sorted(facts.brokers) == [0, 1, 2]
    assert (facts.has_acls, bool(facts.tokens), facts.scram_users, facts.is_migrated) == (
        True,
        True,
        ["alice", "bob@EXAMPLE.COM"],
        False,
    )


TREE_CASES: dict[str, tuple[str, Callable[[TreeDump], None]]] = {
    "no cluster id": ("no-cluster-id", lambda tree: drop(tree, "/cluster/id")),
    "no brokers": ("no-brokers", lambda tree: drop(tree, "/brokers/ids")),
    "no epoch": ("no-controller-epoch", lambda tree: drop(tree, "/controller_epoch")),
    "epoch not a number": ("broken-znode", lambda tree: put(tree, "/controller_epoch", b"four")),
    "no controller": ("no-controller", lambda tree: drop(tree, "/controller")),
    "kraft controller": ("kraft-controller", lambda tree: change(tree, "/controller", kraftControllerEpoch=3)),
    "null migration": ("null-migration", lambda tree: put(tree, "/migration", None)),
    "migration of another version": ("null-migration", lambda tree: put(tree, "/migration", {"version": 1})),
    "stale migration": ("stale-migration", lambda tree: put(tree, "/migration", {
        "version": 0, "kraft_controller_id": 3000, "kraft_controller_epoch": 2, "kraft_metadata_offset": 9,
        "kraft_metadata_epoch": 2})),
    "topic without id": ("topic-without-id", lambda tree: change(tree, TOPIC, topic_id=None)),
    "topic id broken": ("topic-id-broken", lambda tree: change(tree, TOPIC, topic_id="no")),
    "topic id twice": ("topic-id-twice", lambda tree: change(
        tree, TOPIC, topic_id=json.loads(tree["/brokers/topics/under_score"].data or b"")["topic_id"])),
    "topic not JSON": ("broken-znode", lambda tree: put(tree, TOPIC, b"{")),
    "config not JSON": ("broken-znode", lambda tree: put(tree, "/config/topics/orders", b"[")),
    "acl of an unknown kind": ("broken-znode", lambda tree: put(tree, "/kafka-acl/Topic/orders", {
        "version": 1,
        "acls": [{"principal": "User:a", "permissionType": "Perhaps", "operation": "Read", "host": "*"}]})),
    "broker gone": ("broker-with-replicas-missing", lambda tree: drop(tree, "/brokers/ids/1")),
    "reassignment": ("reassignment", lambda tree: change(tree, TOPIC, adding_replicas={"0": [2]})),
    "reassignment asked for": ("reassignment", lambda tree: put(tree, "/admin/reassign_partitions", {"version": 1})),
    "state missing": ("partition-without-state", lambda tree: drop(tree, f"{TOPIC}/partitions/0/state")),
}  # fmt: skip


@pytest.mark.parametrize("case", TREE_CASES)
def test_each_precondition_in_zookeeper(case: str) -> None:
    code, spoil = TREE_CASES[case]
    tree = recorded()
    spoil(tree)
    findings, _ = check_zookeeper(Survey(tree=tree))
    assert codes(findings) == [code]
    assert all(finding.problem and finding.remedy and finding.subject for finding in findings)


def test_a_deletion_that_is_pending_is_a_warning_and_its_topic_is_left_alone() -> None:
    tree = recorded()
    put(tree, "/admin/delete_topics/orders", None)
    change(tree, TOPIC, topic_id=None)
    findings, _ = check_zookeeper(Survey(tree=tree))
    assert (codes(findings), codes(findings, Severity.WARNING)) == ([], ["pending-deletion"])


def test_what_may_not_be_read_or_written_is_named() -> None:
    findings, _ = check_zookeeper(Survey(
        tree=recorded(), refused={"/config/users/alice": ZkCode.NO_AUTH},
        acls={"/controller": WORLD_ALL, "/controller_epoch": CREATOR_ALL_WORLD_READ},
    ))  # fmt: skip
    assert [(finding.code, finding.subject) for finding in findings] == [
        ("zookeeper-no-auth", "/config/users/alice"), ("zookeeper-acl", "/controller_epoch"),
    ]  # fmt: skip


def test_a_migration_under_way_and_its_facts() -> None:
    findings, facts = check_zookeeper(Survey(tree=recorded("after-migration")))
    assert codes(findings) == ["kraft-controller", "stale-migration"]
    assert facts.is_migrated


# -- properties --------------------------------------------------------------------------------------------------

BROKER = {
    "broker.id": "0", "zookeeper.connect": CONNECT, "inter.broker.protocol.version": "3.9",
    "zookeeper.metadata.migration.enable": "true", "controller.quorum.voters": "3000@c:9093",
    "controller.listener.names": "CONTROLLER", "listeners": "PLAINTEXT://:9092,SASL_PLAINTEXT://:9094",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    "log.dirs": "/data/1", "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
    "delegation.token.secret.key": "key",
}  # fmt: skip
CONTROLLER = {
    "process.roles": "controller", "node.id": "3000", "zookeeper.connect": CONNECT,
    "zookeeper.metadata.migration.enable": "true", "controller.quorum.voters": "3000@c:9093",
    "controller.listener.names": "CONTROLLER", "listeners": "CONTROLLER://:9093",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "delegation.token.secret.key": "key", "inter.broker.protocol.version": "3.9-IV0",
}  # fmt: skip
FILES = {
    "b0": BROKER, "b1": {**BROKER, "broker.id": "1"}, "b2": {**BROKER, "broker.id": "2"}, "controller": CONTROLLER
}  # fmt: skip


def facts(**changes: Any) -> ClusterFacts:
    _, found = check_zookeeper(Survey(tree=recorded()))
    return msgspec.structs.replace(found, **changes)


def test_c27_healthy_files_have_no_findings() -> None:
    assert check_properties(FILES, facts(), CONNECT) == []
    assert check_properties(FILES) == []


@pytest.mark.parametrize(
    ("code", "file", "changes"),
    [
        ("migration-flag", "b0", {"zookeeper.metadata.migration.enable": None}),
        ("migration-flag", "controller", {"zookeeper.metadata.migration.enable": "false"}),
        ("zookeeper-connect", "b0", {"zookeeper.connect": None}),
        ("zookeeper-connect", "controller", {"zookeeper.connect": None}),
        ("chroot", "b0", {"zookeeper.connect": "zk:2181/kafka"}),
        ("broker-id", "b0", {"node.id": "7"}),
        ("broker-id", "b0", {"broker.id": "1001"}),
        ("id-clash", "b0", {"broker.id": "1"}),
        ("id-clash", "controller", {"node.id": "2", "controller.quorum.voters": "2@c:9093"}),
        ("quorum-voters", "b0", {"controller.quorum.voters": None}),
        ("quorum-voters", "b0", {"controller.quorum.voters": "c:9093"}),
        ("quorum-voters", "controller", {"node.id": "3001"}),
        ("controller-listener-names", "b0", {"controller.listener.names": None}),
        ("controller-listener-names", "b0", {"controller.listener.names": "PLAINTEXT"}),
        ("listener-protocol-map", "b0", {"listener.security.protocol.map": None}),
        ("inter-broker-protocol", "b0", {"inter.broker.protocol.version": "3.3"}),
        ("inter-broker-protocol", "b0", {"inter.broker.protocol.version": "2.8-IV1"}),
        ("inter-broker-protocol", "b0", {"inter.broker.protocol.version": "newest"}),
        ("not-the-same", "b0", {"inter.broker.protocol.version": "3.8"}),
        ("not-the-same", "b0", {"password.encoder.secret": "a"}),
        ("metadata-version", "controller", {"inter.broker.protocol.version": "3.8"}),
        ("authorizer", "b0", {"authorizer.class.name": "kafka.security.auth.SimpleAclAuthorizer"}),
        ("authorizer", "b0", {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer"}),
        ("authorizer", "controller", {"authorizer.class.name": None}),
        ("delegation-tokens", "controller", {"delegation.token.secret.key": None}),
        ("kraft-mode-too-early", "b0", {"process.roles": "broker"}),
        ("zookeeper-left", "b0", {"process.roles": "broker"}),
        ("combined-node", "controller", {"process.roles": "broker,controller"}),
        ("node-id", "controller", {"node.id": None}),
    ],
)  # fmt: skip
def test_each_precondition_in_properties(code: str, file: str, changes: dict[str, str | None]) -> None:
    changed = {key: value for key, value in {**FILES[file], **changes}.items() if value is not None}
    secrets = "password.encoder.secret" in changes
    other = {name: found | ({"password.encoder.secret": "b"} if secrets else {}) for name, found in FILES.items()}
    findings = check_properties({**other, file: changed}, facts(), CONNECT)
    assert code in codes(findings), findings
    assert all(finding.problem and finding.remedy for finding in findings)


def changed_file(name: str, changes: dict[str, str | None]) -> dict[str, dict[str, str]]:
    """FILES with one of them changed; None takes a key out."""
    return {**FILES, name: {key: value for key, value in {**FILES[name], **changes}.items() if value is not None}}


@pytest.mark.parametrize("directories", ["/a,/b", "/a"])
def test_c32_several_log_dirs_need_directory_ids(directories: str) -> None:
    """KAFKA-15450: a ZooKeeper-mode broker before 3.7-IV2 does not start in migration mode with more than one."""
    files = changed_file("b0", {"log.dirs": directories, "inter.broker.protocol.version": "3.7-IV1"})
    assert ("several-log-dirs" in codes(check_properties(files, facts(), CONNECT))) is (directories == "/a,/b")


def test_c33_several_log_dirs_are_fine_where_directories_have_ids() -> None:
    files = {name: found | ({"log.dirs": "/a,/b"} if name != "controller" else {}) for name, found in FILES.items()}
    assert check_properties(files, facts(), CONNECT) == []


def test_secrets_in_zookeeper_need_their_key_everywhere() -> None:
    tree = recorded()
    put(tree, "/config/brokers/0", SECRET)
    _, found = check_zookeeper(Survey(tree=tree))
    findings = check_properties(FILES, found, CONNECT)
    assert [(finding.code, finding.subject) for finding in findings] == [
        ("password-encoder", name) for name in FILES
    ]  # fmt: skip


def test_a_broker_that_nobody_named_is_a_warning() -> None:
    files = {name: found for name, found in FILES.items() if name != "b2"}
    findings = check_properties(files, facts(), CONNECT)
    assert codes(findings, Severity.WARNING) == ["no-properties"]
    assert codes(findings) == []


def test_kraft_mode_brokers_after_the_copy() -> None:
    assert check_properties({**FILES, "b0": kraft_mode()}, facts(is_migrated=True), CONNECT) == []


@pytest.mark.parametrize("changes", [{"broker.id": None}, {"broker.id": "-1"}, {"broker.id": ""}])
@pytest.mark.parametrize("generation", [None, "true", "false"])
def test_c65_c68_an_id_that_zookeeper_generated_must_be_written_down(
    changes: dict[str, str | None], generation: str | None
) -> None:
    """KAFKA-17543, 17042; a broker with its id written down may keep broker.id.generation.enable."""
    given = {"broker.id.generation.enable": generation}
    found = check_properties(changed_file("b0", changes | given), facts(), CONNECT)
    assert codes(found) == ["generated-broker-id"]
    assert "set broker.id to the id in the broker's meta.properties" in found[0].remedy
    assert codes(check_properties(changed_file("b0", given), facts(), CONNECT)) == []


def kraft_mode(**changes: str) -> dict[str, str]:
    """Broker 0 after its restart in KRaft mode."""
    old = ("zookeeper.connect", "zookeeper.metadata.migration.enable", "broker.id")
    return {key: value for key, value in BROKER.items() if key not in old} | {
        "process.roles": "broker", "node.id": "0", "authorizer.class.name": STANDARD_AUTHORIZER, **changes
    }  # fmt: skip


def test_c66_a_control_plane_listener_stays_while_migrating_and_goes_with_kraft_mode() -> None:
    """KAFKA-17788, 17790."""
    control = {
        "control.plane.listener.name": "CONTROL", "listeners": f"{BROKER['listeners']},CONTROL://:9095",
        "listener.security.protocol.map": f"{BROKER['listener.security.protocol.map']},CONTROL:PLAINTEXT",
    }  # fmt: skip
    found = check_properties({**FILES, "b0": {**BROKER, **control}}, facts(), CONNECT)
    assert (codes(found), codes(found, Severity.WARNING)) == ([], ["control-plane-listener"])
    left = kraft_mode(**{"control.plane.listener.name": "CONTROL"})
    found = check_properties({**FILES, "b0": left}, facts(is_migrated=True), CONNECT)
    assert [(finding.code, finding.problem) for finding in found] == [
        ("zookeeper-left", "has control.plane.listener.name in KRaft mode")
    ]


@pytest.mark.parametrize(("version", "warned"), [("3.4", True), ("3.5", True), ("3.6", False), ("3.9", False)])
def test_c7_c27_an_authorizer_needs_brokers_of_3_5_1(version: str, warned: bool) -> None:
    """KAFKA-14621 forbade it, KAFKA-15098 allowed it; which release runs below that level cannot be told."""
    found = check_properties({"b0": {**BROKER, "inter.broker.protocol.version": version}})
    assert ([finding.code for finding in found if "3.5.1" in finding.remedy] == ["authorizer"]) is warned
    assert codes(found) == []
    without = {key: value for key, value in BROKER.items() if key != "authorizer.class.name"}
    found = check_properties({"b0": {**without, "inter.broker.protocol.version": version}})
    assert "authorizer" not in codes(found, Severity.WARNING)


@pytest.mark.parametrize(
    ("version", "blocked", "warned"),
    [("3.3", True, False), ("3.4", False, True), ("3.6-IV0", False, True), ("3.6-IV1", False, False)],
)
def test_c50_a_migration_begins_at_3_6_iv1_or_below_it_with_the_controller_of_that_release(
    version: str, blocked: bool, warned: bool
) -> None:
    """KAFKA-17457."""
    found = check_properties({"b0": {**BROKER, "inter.broker.protocol.version": version}})
    assert ("inter-broker-protocol" in codes(found)) is blocked
    assert ("inter-broker-protocol" in codes(found, Severity.WARNING)) is warned


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("3.5-IV1", "the SCRAM credentials of user alice, bob@EXAMPLE.COM"),
        ("3.6-IV1", "the delegation token gIUbD9FlTd65RugLXNZXiQ"),
        ("3.6-IV2", None),
    ],
)
def test_c16_what_a_level_has_no_record_for_is_named(version: str, missing: str | None) -> None:
    files = changed_file("b0", {"inter.broker.protocol.version": version})
    found = [each for each in check_properties(files, facts(), CONNECT) if each.code == "no-record"]
    assert [each.subject for each in found] == ([] if missing is None else ["b0"])
    assert all(missing is not None and missing in each.problem for each in found)


INTERNAL = {"inter.broker.listener.name": "INTERNAL"}
SECURE = {"inter.broker.listener.name": "SASL_PLAINTEXT"}


@pytest.mark.parametrize(
    ("file", "changes", "code"),
    [
        ("b0", INTERNAL, "inter-broker-listener"),
        ("controller", INTERNAL, "inter-broker-listener"),
        ("controller", {**SECURE, "listener.security.protocol.map": "SASL_PLAINTEXT:SSL"}, "inter-broker-security"),
        ("controller", SECURE, None),
    ],
)
def test_c59_the_controller_needs_the_brokers_listener_and_its_security(
    file: str, changes: dict[str, str | None], code: str | None
) -> None:
    """KAFKA-15670; and pykraft's own controllers can do without TLS and SASL only."""
    files = changed_file(file, changes)
    if changes.keys() & SECURE.keys() and changes["inter.broker.listener.name"] == "SASL_PLAINTEXT":
        files |= {name: {**files[name], **SECURE} for name in ("b0", "b1", "b2")}
    found = check_properties(files, facts(), CONNECT)
    assert codes(found) == ([] if code is None else [code])
    if code is None:
        assert codes(found, Severity.WARNING) == ["inter-broker-security"]
        assert "pykraft's controllers speak PLAINTEXT only" in found[0].problem
