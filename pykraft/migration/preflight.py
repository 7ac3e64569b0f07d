"""What stands in the way of a migration before it is begun, from ZooKeeper's tree and the nodes' properties. Pure.

Each finding names its subject, says what is wrong and what to change. `blocker`s keep a migration from starting, stop
it half way or lose something; `warning`s are worth a look. Source: docs/ops.html (kraft_zk_migration),
KafkaConfig.scala, KRaftMigrationDriver.java, ClusterControlManager.java (Kafka 3.9).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from pykraft.migration.client_entities import SCRAM_CODES
from pykraft.migration.preconditions import some
from pykraft.migration.zk_contents import is_password_config
from pykraft.protocol.uuids import ZERO_UUID, uuid_from_text
from pykraft.zookeeper import paths
from pykraft.zookeeper.acls import PERM_CREATE, PERM_DELETE, PERM_WRITE, ZkAcls
from pykraft.zookeeper.dump import TreeDump
from pykraft.zookeeper.errors import ZkCode
from pykraft.zookeeper.typed import typed
from pykraft.zookeeper.znodes import (
    BrokerRegistration,
    Controller,
    Migration,
    PartitionState,
    TopicAssignment,
    ZnodeError,
)

WRITTEN_PATHS: Final = (
    paths.CONTROLLER, paths.CONTROLLER_EPOCH, paths.MIGRATION, paths.BROKER_TOPICS, paths.CONFIG_TOPICS,
    paths.CONFIG_BROKERS, paths.CONFIG_USERS, paths.CONFIG_CHANGES, paths.DELETE_TOPICS, paths.PRODUCER_ID_BLOCK,
)  # fmt: skip
"""Znodes whose access lists tell whether a controller may do its work."""

_BROKEN_MAX: Final = 50
"""Broken znodes that are told one by one."""


class Severity(StrEnum):
    BLOCKER = "blocker"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True):
    """One precondition that does not hold. `code` is stable, for machines; `subject` a znode, a file or a broker."""

    code: str
    severity: Severity
    subject: str
    problem: str
    remedy: str


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of ZooKeeper. `refused` are znodes that may not be read; `acls` the access lists of those of
    WRITTEN_PATHS that exist."""

    tree: TreeDump
    refused: Mapping[str, ZkCode] = {}
    acls: Mapping[str, ZkAcls] = {}


class ClusterFacts(msgspec.Struct, kw_only=True):
    """What the properties of the nodes are held against."""

    brokers: dict[int, BrokerRegistration] = {}
    has_acls: bool = False
    tokens: list[str] = []
    scram_users: list[str] = []
    secrets: list[str] = []
    is_migrated: bool = False


def blocker(code: str, subject: str, problem: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, subject, problem, remedy)


def warning(code: str, subject: str, problem: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, subject, problem, remedy)


def check_zookeeper(survey: Survey) -> tuple[list[Finding], ClusterFacts]:
    """All that ZooKeeper tells, and the facts that properties are checked with."""
    values: dict[str, object] = {}
    broken: list[ZnodeError] = []
    for path, node in survey.tree.items():
        try:
            values[path] = typed(path, node.data).value
        except ZnodeError as error:
            broken.append(error)
    facts = _facts(survey.tree, values)
    findings = [
        *_access(survey),
        *_broken(broken),
        *_cluster(survey.tree, values),
        *_controller(survey.tree, values),
        *_topics(values, facts.brokers),
        *_deletions(survey.tree),
    ]
    return findings, facts


def _facts(tree: TreeDump, values: Mapping[str, object]) -> ClusterFacts:
    facts = ClusterFacts()
    for path, value in values.items():
        if isinstance(value, BrokerRegistration):
            facts.brokers[int(path.rpartition("/")[2])] = value
        elif path.startswith((paths.ACLS_LITERAL + "/", paths.ACLS_PREFIXED + "/")):
            facts.has_acls = facts.has_acls or bool(value)
        elif path.startswith(paths.DELEGATION_TOKENS + "/"):
            facts.tokens.append(path.rpartition("/")[2])
        elif (
            path.startswith(paths.CONFIG_USERS + "/") and isinstance(value, dict) and value.keys() & SCRAM_CODES.keys()
        ):
            facts.scram_users.append(paths.desanitize(path.rpartition("/")[2]))
        elif path.startswith(paths.CONFIG_BROKERS + "/") and isinstance(value, dict):
            facts.secrets += [f"{path}: {name}" for name in value if is_password_config(name)]
    migration = values.get(paths.MIGRATION)
    facts.is_migrated = isinstance(migration, Migration) and migration.kraft_metadata_offset > 0
    return facts


def _access(survey: Survey) -> Iterator[Finding]:
    for path, code in sorted(survey.refused.items()):
        yield blocker(
            "zookeeper-no-auth",
            path,
            f"cannot be read: ZooKeeper answers {code.name}",
            "give the controllers the ZooKeeper login of the brokers, or open the znode (zookeeper-security-migration"
            " --zookeeper.acl unsecure)",
        )
    needed = PERM_WRITE | PERM_CREATE | PERM_DELETE
    closed = [
        path for path, acls in survey.acls.items()
        if not any(acl.scheme == "world" and acl.perms & needed == needed for acl in acls)
    ]  # fmt: skip
    if closed:
        yield blocker(
            "zookeeper-acl",
            some(sorted(closed)),
            "can be changed only with a ZooKeeper login",
            "a controller without that login cannot write them: open them for the migration"
            " (zookeeper-security-migration --zookeeper.acl unsecure), or use controllers that log in as the brokers"
            " do, with zookeeper.set.acl as theirs",
        )


def _broken(broken: list[ZnodeError]) -> Iterator[Finding]:
    for error in broken[:_BROKEN_MAX]:
        code = "null-migration" if error.path == paths.MIGRATION else "broken-znode"
        yield blocker(code, error.path, error.reason, error.remedy)
    if len(broken) > _BROKEN_MAX:
        yield blocker(
            "broken-znode",
            "ZooKeeper",
            f"{len(broken) - _BROKEN_MAX} more znodes cannot be read",
            "put those named here right and look again",
        )


def _cluster(tree: TreeDump, values: Mapping[str, object]) -> Iterator[Finding]:
    if paths.CLUSTER_ID not in tree:
        yield blocker(
            "no-cluster-id",
            paths.CLUSTER_ID,
            "does not exist: no broker was ever started on this ZooKeeper",
            "check the address and the chroot behind it: they must be those of the brokers' zookeeper.connect",
        )
    elif isinstance(cluster_id := values.get(paths.CLUSTER_ID), str) and not _is_uuid(cluster_id):
        yield warning(
            "old-cluster-id",
            paths.CLUSTER_ID,
            f"holds {cluster_id!r}, which is no base64 UUID",
            "Kafka's kafka-storage formats no directory with it: write meta.properties of its controllers by hand",
        )
    if not any(path.startswith(paths.BROKER_IDS + "/") for path in tree):
        yield blocker(
            "no-brokers",
            paths.BROKER_IDS,
            "has no children: no broker is running on this ZooKeeper",
            "start the brokers, and check the chroot of the address",
        )


def _is_uuid(text: str) -> bool:
    try:
        return uuid_from_text(text) != ZERO_UUID
    except ValueError:
        return False


def _controller(tree: TreeDump, values: Mapping[str, object]) -> Iterator[Finding]:
    if paths.CONTROLLER_EPOCH not in tree:
        yield blocker(
            "no-controller-epoch",
            paths.CONTROLLER_EPOCH,
            "does not exist: no ZooKeeper controller was ever elected",
            "start the brokers in ZooKeeper mode and wait until one of them is the controller",
        )
    controller, migration = values.get(paths.CONTROLLER), values.get(paths.MIGRATION)
    held = isinstance(controller, Controller) and (controller.kraft_controller_epoch or -1) >= 0
    done = isinstance(migration, Migration) and migration.kraft_metadata_offset > 0
    if paths.CONTROLLER not in tree:
        yield blocker(
            "no-controller",
            paths.CONTROLLER,
            "does not exist: no broker is the ZooKeeper controller",
            "wait until one is elected; if none is, look in the brokers' logs",
        )
    elif held and isinstance(controller, Controller):
        yield blocker(
            "kraft-controller",
            paths.CONTROLLER,
            f"is held by KRaft controller {controller.broker_id} (epoch {controller.kraft_controller_epoch}): a"
            " migration is under way, or was rolled back half",
            "see `pykraft migration status`; to roll back, stop the controllers, then delete /controller and"
            " /migration",
        )
    if done and isinstance(migration, Migration):
        yield blocker(
            "stale-migration",
            paths.MIGRATION,
            f"says that controller {migration.kraft_controller_id} has copied this ZooKeeper already (up to offset"
            f" {migration.kraft_metadata_offset})",
            "leave it alone while that migration goes on; after a roll-back delete it before another attempt with an"
            " empty data directory: Kafka's controllers would skip the copy and empty ZooKeeper",
        )


def _topics(values: Mapping[str, object], brokers: Mapping[int, BrokerRegistration]) -> Iterator[Finding]:
    deleted = {path.rpartition("/")[2] for path in values if path.startswith(paths.DELETE_TOPICS + "/")}
    topics = {
        path.rpartition("/")[2]: value for path, value in values.items()
        if isinstance(value, TopicAssignment) and path.rpartition("/")[2] not in deleted
    }  # fmt: skip
    yield from _topic_ids(topics)
    stateless, leaderless, moving = [], [], []
    missing: dict[int, list[str]] = {}
    for name, topic in topics.items():
        for number, replicas in topic.partitions.items():
            partition = f"{name}-{number}"
            for broker in replicas:
                if brokers and broker not in brokers:
                    missing.setdefault(broker, []).append(partition)
            if topic.adding_replicas.get(number) or topic.removing_replicas.get(number):
                moving.append(partition)
            state = values.get(paths.topic_partition_state(name, number))
            if not isinstance(state, PartitionState):
                stateless.append(partition)
            elif state.leader < 0:
                leaderless.append(partition)
    for broker, partitions in sorted(missing.items()):
        yield blocker(
            "broker-with-replicas-missing",
            f"broker {broker}",
            f"is not registered in ZooKeeper and has {len(partitions)} replicas ({some(partitions)}); the migration"
            " waits for it",
            "start it; one that is gone for good needs its replicas moved away first (kafka-reassign-partitions)",
        )
    yield from _reassignments(values, moving)
    if stateless:
        yield blocker(
            "partition-without-state",
            some(stateless),
            "no partition state znode: never had a leader",
            "see that the ZooKeeper controller runs and has made them, or delete the topic",
        )
    if leaderless:
        yield warning(
            "partition-offline",
            some(leaderless),
            "has no leader",
            "start the brokers in its ISR; it comes out of the migration as it goes in",
        )


def _topic_ids(topics: Mapping[str, TopicAssignment]) -> Iterator[Finding]:
    without = sorted(name for name, topic in topics.items() if topic.topic_id is None)
    if without:
        yield blocker(
            "topic-without-id",
            some(without),
            "has no topic_id in ZooKeeper",
            "with inter.broker.protocol.version 2.8 or later on all brokers have a new ZooKeeper controller elected"
            " (delete /controller), which gives every topic an id",
        )
    ids = {name: topic.topic_id for name, topic in topics.items() if topic.topic_id is not None}
    wrong = sorted(name for name, topic_id in ids.items() if not _is_uuid(topic_id))
    if wrong:
        yield blocker(
            "topic-id-broken", some(wrong), "has a topic_id that is no UUID", "restore the topic's znode from a backup"
        )
    for topic_id, count in Counter(ids.values()).items():
        if count > 1:
            names = sorted(name for name, held in ids.items() if held == topic_id)
            yield blocker(
                "topic-id-twice", some(names), f"have the same topic_id {topic_id}", "delete all of them but one"
            )


def _reassignments(values: Mapping[str, object], moving: list[str]) -> Iterator[Finding]:
    if moving or paths.REASSIGN_PARTITIONS in values:
        yield blocker(
            "reassignment",
            some(moving) or paths.REASSIGN_PARTITIONS,
            "is being reassigned",
            "wait until `kafka-reassign-partitions --list` shows none, or cancel them",
        )


def _deletions(tree: TreeDump) -> Iterator[Finding]:
    deleted = [path.rpartition("/")[2] for path in tree if path.startswith(paths.DELETE_TOPICS + "/")]
    if deleted:
        yield warning(
            "pending-deletion",
            some(deleted),
            "is marked for deletion and still there; the migration leaves it out and"
            " removes it from ZooKeeper, but its replicas on brokers that are down stay on their disks",
            "start the brokers that have replicas of it and wait until it is gone",
        )
