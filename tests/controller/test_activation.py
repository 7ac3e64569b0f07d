"""What a new leader writes first, by what it finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pykraft.controller.activation import FINALIZE_FORCE, ActivationError, activation_records, no_op_record
from pykraft.controller.config import ControllerConfig
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import FEATURE_NAME, MetadataVersion
from pykraft.image.model import ZkMigrationState
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.abort_transaction_record import AbortTransactionRecord
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.register_broker_record import RegisterBrokerRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from tests.controller.cluster import Cluster

V = MetadataVersion
Z = ZkMigrationState
LATEST = V.IBP_3_9_IV0


def level(version: MetadataVersion) -> FeatureLevelRecord:
    return FeatureLevelRecord(name=FEATURE_NAME, feature_level=version.value)


def state(value: ZkMigrationState) -> ZkMigrationStateRecord:
    return ZkMigrationStateRecord(zk_migration_state=value.value)


BEGIN, END = BeginTransactionRecord(name="Bootstrap records"), EndTransactionRecord()
ABORT = AbortTransactionRecord(reason="Controller failover")


def controller(version: MetadataVersion, migration: bool, *log: Any) -> Cluster:
    """A controller of this configuration that has loaded this log."""
    cluster = Cluster(version, migration=migration)
    cluster.image = MetadataImage()
    cluster.apply([ApiMessageAndVersion(record, 0) for record in log])
    return cluster


def activate(cluster: Cluster) -> tuple[list[Any], bool]:
    result = activation_records(cluster.ctx())
    cluster.apply(result.records)
    assert not cluster.image.in_transaction
    return cluster.messages, result.atomic


@pytest.mark.parametrize(
    ("version", "migration", "records", "atomic"),
    [
        (V.IBP_3_3_IV0, False, [level(V.IBP_3_3_IV0)], True),
        (V.IBP_3_6_IV0, False, [level(V.IBP_3_6_IV0)], True),
        (V.IBP_3_6_IV1, False, [BEGIN, level(V.IBP_3_6_IV1), state(Z.NONE), END], False),
        (LATEST, False, [BEGIN, level(LATEST), state(Z.NONE), END], False),
        (LATEST, True, [BEGIN, level(LATEST), state(Z.PRE_MIGRATION), END], False),
    ],
)
def test_an_empty_log_begins_with_the_configured_metadata_version(
    version: MetadataVersion, migration: bool, records: list[Any], atomic: bool
) -> None:
    cluster = controller(version, migration)
    assert activate(cluster) == (records, atomic)
    assert cluster.image.metadata_version is version
    assert activate(cluster)[0] == [], "the next leader finds nothing to do"


@pytest.mark.parametrize("rest", [[], [level(LATEST)], [level(LATEST), state(Z.PRE_MIGRATION)]])
def test_a_bootstrap_that_was_not_finished_is_done_again(rest: list[Any]) -> None:
    cluster = controller(LATEST, True, BEGIN, *rest)
    assert activate(cluster) == ([ABORT, BEGIN, level(LATEST), state(Z.PRE_MIGRATION), END], False)
    assert cluster.image.zk_migration_state is Z.PRE_MIGRATION


def test_an_aborted_bootstrap_leaves_an_empty_log() -> None:
    cluster = controller(LATEST, False, BEGIN, level(LATEST), ABORT)
    assert activate(cluster)[0] == [BEGIN, level(LATEST), state(Z.NONE), END]


@pytest.mark.parametrize(
    ("version", "migration", "found", "records"),
    [
        (LATEST, False, Z.NONE, []),
        (LATEST, False, Z.PRE_MIGRATION, []),
        (LATEST, True, Z.PRE_MIGRATION, []),
        (LATEST, True, Z.MIGRATION, []),
        (LATEST, False, Z.MIGRATION, [state(Z.POST_MIGRATION)]),
        (LATEST, True, Z.POST_MIGRATION, []),
        (LATEST, False, Z.POST_MIGRATION, []),
        (V.IBP_3_4_IV0, False, Z.MIGRATION, [state(Z.POST_MIGRATION)]),
        (V.IBP_3_4_IV0, True, Z.MIGRATION, []),
        (V.IBP_3_3_IV3, False, Z.NONE, []),
    ],
)
def test_c50_a_log_with_metadata_is_led_on(
    version: MetadataVersion, migration: bool, found: ZkMigrationState, records: list[Any]
) -> None:
    log = [level(version)] if found is Z.NONE else [level(version), state(found)]
    assert activate(controller(version, migration, *log)) == (records, True)


def test_a_migration_is_not_finalized_over_a_broker_in_zookeeper_mode_unless_forced() -> None:
    """It cannot be undone: Kafka takes this step without looking."""
    brokers = [
        ApiMessageAndVersion(RegisterBrokerRecord(broker_id=id_, is_migrating_zk_broker=id_ == 1), 3) for id_ in (0, 1)
    ]
    cluster = controller(LATEST, False, level(LATEST), state(Z.MIGRATION))
    cluster.apply(brokers)
    with pytest.raises(ActivationError, match=r"broker 1 is still registered in ZooKeeper mode.*--zookeeper"):
        activate(cluster)
    cluster.config = ControllerConfig.from_properties({**cluster.config.properties, FINALIZE_FORCE: "true"})
    assert activate(cluster)[0] == [state(Z.POST_MIGRATION)]
    cluster = controller(LATEST, True, level(LATEST), state(Z.MIGRATION))
    cluster.apply(brokers)
    assert activate(cluster)[0] == []


ZK_BROKER = RegisterBrokerRecord(broker_id=1, is_migrating_zk_broker=True)
COPIED = TopicRecord(name="a", topic_id=bytes([1]) * 16)


@pytest.mark.parametrize(("copied", "found"), [([COPIED], Z.MIGRATION), ([], Z.PRE_MIGRATION)])
def test_the_state_that_a_snapshot_of_3_4_leaves_out_is_written_again(copied: list[Any], found: Z) -> None:
    cluster = controller(V.IBP_3_4_IV0, True, level(V.IBP_3_4_IV0), *copied)
    cluster.apply([ApiMessageAndVersion(ZK_BROKER, 2)])
    assert activate(cluster)[0] == [state(found)]
    assert activate(cluster)[0] == []


def test_a_migration_that_a_snapshot_of_3_4_does_not_tell_of_is_finalized_by_force_only() -> None:
    cluster = controller(V.IBP_3_4_IV0, False, level(V.IBP_3_4_IV0), COPIED)
    cluster.apply([ApiMessageAndVersion(ZK_BROKER, 2)])
    with pytest.raises(ActivationError, match="broker 1 is still registered in ZooKeeper mode"):
        activate(cluster)
    cluster.config = ControllerConfig.from_properties({**cluster.config.properties, FINALIZE_FORCE: "true"})
    assert activate(cluster)[0] == [state(Z.POST_MIGRATION)]


def quota(value: float | None, *entity: tuple[str, str | None]) -> ClientQuotaRecord:
    named = [EntityData(entity_type=kind, entity_name=name) for kind, name in entity]
    return ClientQuotaRecord(entity=named, key="producer_byte_rate", value=value or 0.0, remove=value is None)


def test_quotas_that_3_4_copied_under_names_of_znodes_are_put_right() -> None:
    """A dual write from such a log would delete them in ZooKeeper."""
    copied = [
        quota(1.0, ("users", "a%40b")),
        quota(2.0, ("users", "u"), ("clients", "<default>")),
        quota(3.0, ("ips", "10.0.0.1")),
        quota(4.0, ("clients", "c")),
        quota(5.0, ("client-id", "c")),
        quota(6.0, ("user", "users")),
    ]
    cluster = controller(V.IBP_3_4_IV0, True, level(V.IBP_3_4_IV0), state(Z.MIGRATION), *copied)
    activate(cluster)
    assert {entity: quotas["producer_byte_rate"] for entity, quotas in cluster.image.client_quotas.items()} == {
        (("user", "a@b"),): 1.0,
        (("client-id", None), ("user", "u")): 2.0,
        (("ip", "10.0.0.1"),): 3.0,
        (("client-id", "c"),): 5.0,
        (("user", "users"),): 6.0,
    }
    assert activate(cluster)[0] == []


@pytest.mark.parametrize(
    ("version", "found", "record", "next_id"),
    [
        (V.IBP_3_4_IV0, Z.MIGRATION, ProducerIdsRecord(broker_id=2, broker_epoch=-1, next_producer_id=5000), 6000),
        (V.IBP_3_5_IV2, Z.MIGRATION, ProducerIdsRecord(broker_id=2, broker_epoch=-1, next_producer_id=5000), 6000),
        (V.IBP_3_4_IV0, Z.MIGRATION, ProducerIdsRecord(broker_id=2, broker_epoch=7, next_producer_id=5000), 5000),
        (V.IBP_3_4_IV0, Z.NONE, ProducerIdsRecord(broker_id=2, broker_epoch=-1, next_producer_id=5000), 5000),
        (V.IBP_3_6_IV2, Z.MIGRATION, ProducerIdsRecord(broker_id=2, broker_epoch=-1, next_producer_id=5000), 5000),
    ],
)
def test_a_block_of_producer_ids_that_a_broker_holds_since_before_the_copy_is_not_given_out_again(
    version: MetadataVersion, found: Z, record: ProducerIdsRecord, next_id: int
) -> None:
    """KAFKA-15552: 3.4 and 3.5 before 3.5.2 copied the first id of that block as the next."""
    cluster = controller(version, found is Z.MIGRATION, level(version), state(found), record)
    cluster.config = replace(cluster.config, release=version.release)
    activate(cluster)
    assert cluster.image.producer_ids.next_producer_id == next_id


def test_a_log_without_any_metadata_version_is_treated_as_the_first() -> None:
    cluster = controller(LATEST, False, TopicRecord(name="a", topic_id=bytes([1]) * 16))
    assert activate(cluster)[0] == []
    assert cluster.image.metadata_version is V.IBP_3_0_IV1


@pytest.mark.parametrize("migration", [True, False])
@pytest.mark.parametrize("last", [[], [state(Z.MIGRATION)]])
def test_c35_a_copy_from_zookeeper_that_was_not_finished_is_taken_back_and_not_finalized(
    migration: bool, last: list[Any]
) -> None:
    copy = [BeginTransactionRecord(name="ZK Migration"), TopicRecord(name="a", topic_id=bytes([1]) * 16), *last]
    cluster = controller(LATEST, migration, level(LATEST), state(Z.PRE_MIGRATION), *copy)
    assert activate(cluster) == ([ABORT], True)
    assert cluster.image.zk_migration_state is Z.PRE_MIGRATION
    assert cluster.image.topics_by_id == {}


@pytest.mark.parametrize(
    ("version", "migration", "log", "reason"),
    [
        (V.IBP_3_6_IV0, True, [], "3.6-IV0 cannot begin a migration"),
        (V.IBP_3_2_IV0, False, [], "cannot begin with metadata.version 3.2-IV0"),
        (LATEST, True, [level(LATEST)], "born in KRaft mode"),
        (LATEST, True, [level(V.IBP_3_3_IV3)], "needs metadata.version 3.4-IV0, the log has 3.3-IV3"),
        (LATEST, False, [level(V.IBP_3_6_IV0), BeginTransactionRecord(name="x")], "no transactions to abort it"),
        (V.IBP_3_6_IV0, False, [BEGIN], "no transactions to abort it"),
    ],
)
def test_c50_a_log_and_a_configuration_that_rule_each_other_out_are_fatal(
    version: MetadataVersion, migration: bool, log: list[Any], reason: str
) -> None:
    with pytest.raises(ActivationError, match=reason):
        activation_records(controller(version, migration, *log).ctx())


@pytest.mark.parametrize(("version", "records"), [(V.IBP_3_3_IV0, []), (V.IBP_3_3_IV1, [NoOpRecord()])])
def test_no_op_records_are_written_where_they_are_known(version: MetadataVersion, records: list[Any]) -> None:
    cluster = Cluster(version)
    cluster.run(no_op_record)
    assert cluster.messages == records
