"""Where a migration stands: each of its stages done, waited for, blocked, or not to be told. Pure.

A stage is decided from the metadata image, from what the quorum's leader says and from ZooKeeper alone, so it holds for
Apache Kafka's controllers as for these. Source: docs/ops.html (kraft_zk_migration), KRaftMigrationDriver.java (3.9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import NO_LEADER_CHANGE, ResourceType, ZkMigrationState
from pykraft.migration import preconditions
from pykraft.migration.states import ZkMigrationLeadershipState
from pykraft.protocol._message import Message
from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.remove_access_control_entry_record import RemoveAccessControlEntryRecord
from pykraft.protocol.records.remove_delegation_token_record import RemoveDelegationTokenRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.remove_user_scram_credential_record import RemoveUserScramCredentialRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord
from pykraft.zookeeper.znodes import Controller

QUORUM_LAG_MAX: Final = 100
"""Records that a caught-up voter may be behind: some are always on their way."""

DUAL_WRITE_LAG_MAX: Final = 1_000
"""Records that ZooKeeper may be behind the log before that counts as trouble."""

_WRITTEN_TO_ZOOKEEPER: Final = (
    TopicRecord, RemoveTopicRecord, PartitionRecord, ClientQuotaRecord, ProducerIdsRecord, UserScramCredentialRecord,
    RemoveUserScramCredentialRecord, AccessControlEntryRecord, RemoveAccessControlEntryRecord, DelegationTokenRecord,
    RemoveDelegationTokenRecord,
)  # fmt: skip


class StageName(StrEnum):
    """The stages, in the order in which a migration gets there."""

    QUORUM = "quorum"
    CONTROLLERS = "controllers"
    BROKERS = "brokers"
    REASSIGNMENTS = "reassignments"
    COPY = "copy"
    DUAL_WRITE = "dual-write"
    KRAFT_BROKERS = "kraft-brokers"
    FINALIZED = "finalized"


class StageState(StrEnum):
    """`waiting`: its turn comes later, or an operator may take their time. `blocked`: it will not pass by itself."""

    DONE = "done"
    WAITING = "waiting"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class Stage(msgspec.Struct, frozen=True):
    """One stage; `detail` says who, what and, where something is to be done, what."""

    stage: StageName
    state: StageState
    detail: str


class ZooKeeperFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What ZooKeeper says. `brokers` are its registered ones with their addresses, `not_ready` those of them that
    answer without the migration flag, `silent` those that could not be asked, each with the reason. `replicas` names a
    partition for each broker that has some. All but `brokers`, `controller` and `migration` are read before the copy
    only. `migration` is None when there is no such znode."""

    brokers: Mapping[int, str] = {}
    not_ready: Sequence[int] = ()
    silent: Mapping[int, str] = {}
    replicas: Mapping[int, str] = {}
    topics_without_id: Sequence[str] = ()
    scram_users: Sequence[str] = ()
    tokens: Sequence[str] = ()
    reassigning: Sequence[str] = ()
    controller: Controller | None = None
    migration: ZkMigrationLeadershipState | None = None


class StatusFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a status is decided from. `voters` has each voter's lag in records; `unwritten` counts the records behind
    the offset in `/migration` that ZooKeeper is to be told of; `expected` are broker ids the operator counts on."""

    image: MetadataImage
    leader_id: int
    voters: Mapping[int, int]
    zookeeper: ZooKeeperFacts | None = None
    expected: frozenset[int] = frozenset()
    unwritten: int = 0
    lag_max: int = DUAL_WRITE_LAG_MAX


def is_written_to_zookeeper(record: Message) -> bool:
    """Whether a record changes something that ZooKeeper holds too."""
    if isinstance(record, ConfigRecord):
        return record.resource_type in (ResourceType.TOPIC, ResourceType.BROKER)
    if isinstance(record, PartitionChangeRecord):
        changed = (record.isr, record.replicas, record.adding_replicas, record.removing_replicas)
        return any(field is not None for field in changed) or record.leader != NO_LEADER_CHANGE
    return isinstance(record, _WRITTEN_TO_ZOOKEEPER)


def stages(facts: StatusFacts) -> list[Stage]:
    """Every stage, in order."""
    return [
        _quorum(facts), _controllers(facts), _brokers(facts), _reassignments(facts), _copy(facts), _dual_write(facts),
        _kraft_brokers(facts), _finalized(facts),
    ]  # fmt: skip


def verdict(found: Sequence[Stage]) -> str:
    """`complete`, `blocked`, `unknown` or `on track`: the first of them that applies."""
    states = {stage.state for stage in found}
    if found[-1].state is StageState.DONE:
        return "complete"
    if StageState.BLOCKED in states:
        return "blocked"
    return "unknown" if StageState.UNKNOWN in states else "on track"


def metrics(facts: StatusFacts) -> dict[str, int | None]:
    """Kafka's gauges of the migration, as the leading controller's are; None where ZooKeeper would have to be asked.

    Source: QuorumControllerMetrics.java, ControllerMetadataMetrics.java (kafka.controller:type=KafkaController).
    """
    brokers, zookeeper = facts.image.brokers.values(), facts.zookeeper
    writes = facts.image.zk_migration_state is ZkMigrationState.MIGRATION
    unwritten = None if zookeeper is None or zookeeper.migration is None else facts.unwritten
    return {
        "ZkMigrationState": int(facts.image.zk_migration_state),
        "MigratingZkBrokerCount": sum(broker.is_migrating_zk_broker for broker in brokers),
        "ActiveBrokerCount": sum(not broker.fenced for broker in brokers),
        "FencedBrokerCount": sum(broker.fenced for broker in brokers),
        "ZkWriteBehindLag": unwritten if writes else 0,
    }


def finalize_gates(image: MetadataImage) -> list[str]:
    """What must hold before a migration is finalized and does not, each with what to do; empty when it may be."""
    found = []
    if image.zk_migration_state is not ZkMigrationState.MIGRATION:
        found.append(
            f"ZkMigrationState is {image.zk_migration_state.name}, only a migration in MIGRATION can be finalized: see"
            " `pykraft migration status` for what it waits for"
        )
    if zk_brokers := _ids(image, zk=True):
        found.append(
            f"{_named(zk_brokers)} still registered in ZooKeeper mode and would be cut off for good: restart each in"
            " KRaft mode; unregister one that is gone for good"
        )
    if image.in_transaction:
        found.append(f"the transaction {image.transaction_name!r} is open: let the controller end it first")
    if image.reassigning:
        found.append("partitions are being reassigned: wait until `kafka-reassign-partitions --list` shows none")
    return found


def _quorum(facts: StatusFacts) -> Stage:
    behind = {voter: lag for voter, lag in facts.voters.items() if lag > QUORUM_LAG_MAX}
    if not behind:
        return Stage(
            StageName.QUORUM,
            StageState.DONE,
            f"controller {facts.leader_id} leads, voters {_listed(facts.voters)} have caught up",
        )
    texts = ", ".join(f"{voter} is {lag} records behind" for voter, lag in sorted(behind.items()))
    return Stage(
        StageName.QUORUM, StageState.BLOCKED, f"controller {texts}: start it, or look in its log why it cannot follow"
    )


def _controllers(facts: StatusFacts) -> Stage:
    image, name = facts.image, StageName.CONTROLLERS
    if image.zk_migration_state is ZkMigrationState.NONE:
        return Stage(name, StageState.BLOCKED, preconditions.no_migration_possible(image) or "")
    if image.zk_migration_state is not ZkMigrationState.PRE_MIGRATION:
        return Stage(name, StageState.DONE, f"ZkMigrationState is {image.zk_migration_state.name}")
    reason = preconditions.quorum_not_ready(image, facts.voters)
    if reason is not None:
        return Stage(name, StageState.BLOCKED, reason)
    return Stage(name, StageState.DONE, f"controllers {_listed(facts.voters)} are ready to migrate")


def _brokers(facts: StatusFacts) -> Stage:
    image, name, zookeeper = facts.image, StageName.BROKERS, facts.zookeeper
    missing = sorted(facts.expected - image.brokers.keys())
    if missing:
        return Stage(
            name,
            StageState.BLOCKED,
            f"{_named(missing)} not registered with the controllers: start each, in migration mode until the copy is"
            " done",
        )
    if image.zk_migration_state is not ZkMigrationState.PRE_MIGRATION:
        return Stage(name, StageState.DONE, f"{_named(image.brokers)} registered")
    if zookeeper is None:
        kraft = _ids(image, zk=False)
        if facts.expected and not kraft:
            return Stage(name, StageState.DONE, f"{_named(image.brokers)} registered in migration mode")
        detail = f"{_named(kraft)} in KRaft mode already" if kraft else "which brokers there are, ZooKeeper knows"
        return Stage(name, StageState.UNKNOWN, f"{detail}: give --zookeeper")
    not_ready = [id_ for id_ in zookeeper.not_ready if not _runs_migrating(image, id_)]
    if not_ready:
        return Stage(
            name,
            StageState.BLOCKED,
            f"{_named(not_ready)} running without zookeeper.metadata.migration.enable=true: set it, with"
            " controller.quorum.voters and controller.listener.names, and restart each",
        )
    reason = preconditions.brokers_not_registered(image, zookeeper.brokers) or preconditions.replicas_not_registered(
        image, zookeeper.replicas
    )
    if reason is not None:
        return Stage(name, StageState.BLOCKED, reason)
    note = "".join(f"; broker {id_} could not be asked: {why}" for id_, why in sorted(zookeeper.silent.items()))
    return Stage(name, StageState.DONE, f"{_named(zookeeper.brokers)} registered in migration mode{note}")


def _runs_migrating(image: MetadataImage, broker_id: int) -> bool:
    """Whether a broker's heartbeats tell that it is in migration mode: 3.4's have no other way to say so."""
    broker = image.brokers.get(broker_id)
    return broker is not None and broker.is_migrating_zk_broker and not broker.fenced


def _reassignments(facts: StatusFacts) -> Stage:
    image = facts.image
    found = [
        f"{image.topics_by_id[key.topic_id].name}-{key.partition}" for key in image.reassigning
        if key.topic_id in image.topics_by_id
    ]  # fmt: skip
    if image.zk_migration_state is ZkMigrationState.PRE_MIGRATION:
        if facts.zookeeper is None:
            return Stage(StageName.REASSIGNMENTS, StageState.UNKNOWN, "only ZooKeeper knows them now: give --zookeeper")
        found += facts.zookeeper.reassigning
    if not found:
        return Stage(StageName.REASSIGNMENTS, StageState.DONE, "none is in flight")
    return Stage(
        StageName.REASSIGNMENTS,
        StageState.BLOCKED,
        f"{preconditions.some(sorted(found))} being reassigned: wait until that is done, or cancel it"
        " (kafka-reassign-partitions --cancel)",
    )


def _copy(facts: StatusFacts) -> Stage:
    image = facts.image
    if image.zk_migration_state in (ZkMigrationState.MIGRATION, ZkMigrationState.POST_MIGRATION):
        return Stage(
            StageName.COPY,
            StageState.DONE,
            f"{len(image.topics_by_name)} topics and {image.partition_count} partitions are in the metadata log",
        )
    zookeeper = facts.zookeeper
    if zookeeper is not None:
        stored = zookeeper.migration
        reason = (
            (None if stored is None else preconditions.left_from_another_attempt(image, stored))
            or preconditions.topics_without_id(zookeeper.topics_without_id)
            or preconditions.contents_without_record(image.metadata_version, zookeeper.scram_users, zookeeper.tokens)
        )
        if reason is not None:
            return Stage(StageName.COPY, StageState.BLOCKED, reason)
    return Stage(StageName.COPY, StageState.WAITING, "begins by itself when the stages before are done")


def _dual_write(facts: StatusFacts) -> Stage:
    image, name, zookeeper = facts.image, StageName.DUAL_WRITE, facts.zookeeper
    if image.zk_migration_state is ZkMigrationState.POST_MIGRATION:
        return Stage(name, StageState.DONE, "over: ZooKeeper is not written any more")
    if image.zk_migration_state is not ZkMigrationState.MIGRATION:
        return Stage(name, StageState.WAITING, "comes after the copy")
    if zookeeper is None:
        return Stage(name, StageState.UNKNOWN, "how far ZooKeeper was written, ZooKeeper says: give --zookeeper")
    holder, stored = zookeeper.controller, zookeeper.migration
    if holder is None or holder.kraft_controller_epoch in (None, -1):
        who = "nobody" if holder is None else f"ZooKeeper-mode broker {holder.broker_id}"
        return Stage(
            name,
            StageState.BLOCKED,
            f"{who} is in /controller, not a KRaft controller: was the migration rolled back? If so start again with"
            " /migration deleted and an empty data directory; otherwise look in the leader's log",
        )
    if stored is None or not stored.initial_migration_complete:
        return Stage(
            name,
            StageState.BLOCKED,
            "/migration has no offset although the copy is committed: restart the leading controller; after a roll-back"
            " start with an empty data directory",
        )
    if facts.unwritten > facts.lag_max:
        return Stage(
            name,
            StageState.BLOCKED,
            f"ZooKeeper is {facts.unwritten} records behind (/migration is at offset {stored.kraft_metadata_offset},"
            f" the log at {image.offset}): see that ZooKeeper runs, and what the leading controller waits for",
        )
    return Stage(
        name,
        StageState.DONE,
        f"controller {holder.broker_id} writes ZooKeeper, {facts.unwritten} records behind",
    )


def _kraft_brokers(facts: StatusFacts) -> Stage:
    image, name = facts.image, StageName.KRAFT_BROKERS
    zk, kraft = _ids(image, zk=True), _ids(image, zk=False)
    if image.zk_migration_state is ZkMigrationState.POST_MIGRATION and zk:
        return Stage(
            name,
            StageState.BLOCKED,
            f"{_named(zk)} in ZooKeeper mode after the migration was finalized: restart each in KRaft mode",
        )
    if zk or not kraft:
        return Stage(name, StageState.WAITING, f"{_named(zk)} in ZooKeeper mode, {_named(kraft)} in KRaft mode")
    return Stage(name, StageState.DONE, f"{_named(kraft)} in KRaft mode, none in ZooKeeper mode")


def _finalized(facts: StatusFacts) -> Stage:
    if facts.image.zk_migration_state is ZkMigrationState.POST_MIGRATION:
        return Stage(StageName.FINALIZED, StageState.DONE, "ZkMigrationState is POST_MIGRATION")
    return Stage(StageName.FINALIZED, StageState.WAITING, f"ZkMigrationState is {facts.image.zk_migration_state.name}")


def _ids(image: MetadataImage, *, zk: bool) -> list[int]:
    return sorted(id_ for id_, broker in image.brokers.items() if broker.is_migrating_zk_broker is zk)


def _listed(ids: Mapping[int, object] | Sequence[int]) -> str:
    return ", ".join(map(str, sorted(ids)))


def _named(ids: Mapping[int, object] | Sequence[int]) -> str:
    if not ids:
        return "no broker is"
    return f"broker {_listed(ids)} is" if len(ids) == 1 else f"brokers {_listed(ids)} are"
