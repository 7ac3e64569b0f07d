"""What must hold before the migration goes on. Each check gives None, or why not: who, what and what to do.

Source: KRaftMigrationDriver.java, QuorumFeatures.java (Kafka 3.9).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.model import ZkMigrationState
from pykraft.migration.states import ZkMigrationLeadershipState

NAMED_MAX: Final = 10
"""How many brokers or topics one message names."""

_RESTART: Final = (
    "restart each with zookeeper.metadata.migration.enable=true, controller.listener.names and"
    " controller.quorum.voters (or controller.quorum.bootstrap.servers) naming this controller"
)


def is_first_image(image: MetadataImage) -> bool:
    """Whether the image holds anything yet; an empty one says nothing about the migration."""
    return image.offset >= 0 and bool(image.features)


def no_migration_possible(image: MetadataImage) -> str | None:
    """Why the log rules a migration out altogether."""
    if image.zk_migration_state is ZkMigrationState.NONE:
        return (
            "the metadata log belongs to a cluster that was created in KRaft mode (ZkMigrationState NONE): start"
            " with zookeeper.metadata.migration.enable=false, or with an empty data directory"
        )
    if image.zk_migration_state is ZkMigrationState.POST_MIGRATION:
        return (
            "the migration is finalized (ZkMigrationState POST_MIGRATION), ZooKeeper is not written any more:"
            " remove zookeeper.metadata.migration.enable and zookeeper.connect"
        )
    return None


def left_from_another_attempt(image: MetadataImage, stored: ZkMigrationLeadershipState) -> str | None:
    """A log and a `/migration` (as it is `stored`) of which one tells of a copy that the other never saw.

    Going on with a log before its copy would empty ZooKeeper to match it; with one after its copy, beside a
    `/migration` that was deleted since, it would undo what changed in ZooKeeper after the roll-back. A copy that was
    committed by a controller that died then has left its claim in `/migration`.
    """
    if image.zk_migration_state is ZkMigrationState.PRE_MIGRATION and stored.initial_migration_complete:
        return (
            f"znode /migration says that controller {stored.kraft_controller_id} has migrated this ZooKeeper already"
            f" (up to offset {stored.kraft_metadata_offset}), but the metadata log here was never filled: after a"
            " roll-back delete /migration to migrate anew; otherwise start with the data directory of that migration"
        )
    if image.zk_migration_state is ZkMigrationState.MIGRATION and stored.kraft_controller_epoch < 0:
        return (
            "the metadata log here holds the copy of an earlier migration, but znode /migration says that none was ever"
            " begun: it was deleted for a roll-back; start with an empty data directory, which copies afresh"
        )
    return None


def quorum_not_ready(image: MetadataImage, voter_ids: Iterable[int]) -> str | None:
    """P6: every controller of the quorum must be ready to migrate."""
    version = image.metadata_version
    if not version.is_migration_supported:
        return f"metadata.version {version.text} is too low for a migration: it must be 3.4-IV0 or later"
    if not version.is_controller_registration_supported:
        return None
    for voter in sorted(voter_ids):
        registration = image.controllers.get(voter)
        if registration is None:
            return f"controller {voter} has not registered with the quorum: start it, or look in its log"
        if not registration.zk_migration_ready:
            return (
                f"controller {voter} is not ready to migrate: set zookeeper.metadata.migration.enable=true and"
                " zookeeper.connect there and restart it"
            )
    return None


def brokers_not_registered(image: MetadataImage, in_zookeeper: Mapping[int, str]) -> str | None:
    """P7 to P9: every broker that is in ZooKeeper must be registered here as a migrating one."""
    if not in_zookeeper:
        return (
            "no broker is registered in ZooKeeper (/brokers/ids has no children): start the ZooKeeper-mode brokers,"
            " and check that zookeeper.connect here names the same ensemble and chroot as theirs"
        )
    if not image.brokers:
        return f"no broker has registered with this controller, ZooKeeper has {_brokers(in_zookeeper)}: {_RESTART}"
    missing = {id_: text for id_, text in in_zookeeper.items() if id_ not in image.brokers}
    if missing:
        return f"{_brokers(missing)} not registered with this controller but in ZooKeeper: {_RESTART}"
    in_kraft_mode = {id_: text for id_, text in in_zookeeper.items() if not image.brokers[id_].is_migrating_zk_broker}
    if in_kraft_mode:
        return (
            f"{_brokers(in_kraft_mode)} registered with this controller in KRaft mode and in ZooKeeper as well:"
            " two brokers share an id, or the ZooKeeper session of an old one still lives; wait for its time-out"
        )
    return None


def brokers_out_of_reach(image: MetadataImage, listener: str) -> str | None:
    """Brokers whom this controller could not tell anything once it has claimed ZooKeeper."""
    brokers = {id_: broker.listener(listener) for id_, broker in image.brokers.items() if broker.is_migrating_zk_broker}
    without = {id_: "" for id_, endpoint in brokers.items() if endpoint is None}
    if without:
        return (
            f"{_brokers(without)} registered without a listener {listener}: set inter.broker.listener.name here to the"
            " brokers' inter-broker listener"
        )
    secured = {id_: f"{end.host}:{end.port}" for id_, end in brokers.items() if end and end.security_protocol}
    if secured:
        return (
            f"{_brokers(secured)} asking for TLS or SASL on its inter-broker listener {listener}, where this controller"
            " speaks PLAINTEXT only: give the brokers a PLAINTEXT listener and name it in inter.broker.listener.name,"
            " there and here"
        )
    return None


def replicas_not_registered(image: MetadataImage, replicas: Mapping[int, str]) -> str | None:
    """P10: every broker with replicas must be registered as a migrating one; fenced will do."""
    missing = {
        id_: partition
        for id_, partition in replicas.items()
        if id_ not in image.brokers or not image.brokers[id_].is_migrating_zk_broker
    }
    if not missing:
        return None
    return (
        f"{_brokers(missing)} not registered with this controller but has replicas: {_RESTART}; a broker that"
        " is gone for good needs its replicas moved away (kafka-reassign-partitions) before the migration"
    )


def topics_without_id(topics: Sequence[str]) -> str | None:
    """Topics that no ZooKeeper controller gave an id yet cannot be migrated."""
    if not topics:
        return None
    return (
        f"topic {some(sorted(topics))} has no topic_id in ZooKeeper: with inter.broker.protocol.version 2.8 or later"
        " on all brokers have a new ZooKeeper controller elected (delete /controller), which gives every topic an id"
    )


def contents_without_record(version: MetadataVersion, scram_users: Sequence[str], tokens: Sequence[str]) -> str | None:
    """What `version` has no record for cannot be copied.

    Brokers of that level know another layout under the same number, one that was never used, and cannot read ours.
    """
    kinds = (
        (version.is_scram_supported, scram_users, "SCRAM credentials of user", MetadataVersion.IBP_3_5_IV2),
        (version.is_delegation_token_supported, tokens, "delegation token", MetadataVersion.IBP_3_6_IV2),
    )
    for supported, names, what, needed in kinds:
        if names and not supported:
            return (
                f"ZooKeeper has the {what} {some(sorted(names))}, for which metadata.version {version.text} has no"
                f" record: upgrade the brokers, raise inter.broker.protocol.version to {needed.text} or later on all"
                " of them, and begin again with that level and an empty data directory here; or delete them"
            )
    return None


def log_behind_zookeeper(image: MetadataImage, state: ZkMigrationLeadershipState) -> str | None:
    """Writing an older log over ZooKeeper would undo what a longer one had put there."""
    if (image.epoch, image.offset) >= (state.kraft_metadata_epoch, state.kraft_metadata_offset):
        return None
    return (
        f"the metadata log ends at offset {image.offset} of epoch {image.epoch}, ZooKeeper was written up to offset"
        f" {state.kraft_metadata_offset} of epoch {state.kraft_metadata_epoch}: this data directory is older than"
        " ZooKeeper; start with the newest one, or wait until this controller has caught up"
    )


def _brokers(named: Mapping[int, str]) -> str:
    texts = [f"{id_} ({text})" if text else str(id_) for id_, text in sorted(named.items())]
    return f"broker {some(texts)}"


def some(names: Collection[str]) -> str:
    """Up to NAMED_MAX of them, and how many more."""
    listed = ", ".join(list(names)[:NAMED_MAX])
    return listed if len(names) <= NAMED_MAX else f"{listed} and {len(names) - NAMED_MAX} more"
