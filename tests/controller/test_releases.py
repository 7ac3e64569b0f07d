"""Standing for a release: which metadata.version goes with it, how its logs begin, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pykraft.controller.activation import ActivationError, activation_records
from pykraft.controller.config import ConfigError, ControllerConfig
from pykraft.controller.errors import ApiError
from pykraft.controller.features import UpgradeType, update_features, upgrades_quorum
from pykraft.controller.registration import register_broker
from pykraft.controller.releases import GROUP_VERSION, KRAFT_VERSION, RELEASES, TRANSACTION_VERSION, release_of
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import ELR_VERSION, FEATURE_NAME, MetadataVersion, metadata_version_from_text
from pykraft.image.model import ZkMigrationState
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.broker_registration_request import Feature
from pykraft.protocol.messages.update_features_request import FeatureUpdateKey, UpdateFeaturesRequestData
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from tests.controller.cluster import Cluster

V = MetadataVersion
BEGIN, END = BeginTransactionRecord(name="Bootstrap records"), EndTransactionRecord()
ONE_IN_SYNC = ConfigRecord(resource_type=4, resource_name="", name="min.insync.replicas", value="1")
NO_MIGRATION, WAITING = ZkMigrationStateRecord(zk_migration_state=0), ZkMigrationStateRecord(zk_migration_state=2)


def level(value: int, name: str = FEATURE_NAME) -> FeatureLevelRecord:
    return FeatureLevelRecord(name=name, feature_level=value)


def cluster_of(release: str, version: MetadataVersion | None = None, *, migration: bool = False) -> Cluster:
    """A cluster under a controller that stands for a release, without a log."""
    cluster = Cluster(version or metadata_version_from_text(release), migration=migration)
    cluster.config = replace(cluster.config, release=release)
    return cluster


def first_records(cluster: Cluster) -> list[Any]:
    cluster.image = MetadataImage()
    result = activation_records(cluster.ctx())
    cluster.apply(result.records)
    return cluster.messages


@pytest.mark.parametrize(
    ("release", "version", "migration", "records"),
    [
        ("3.4", V.IBP_3_4_IV0, False, [level(8)]),
        ("3.4", V.IBP_3_4_IV0, True, [level(8), WAITING]),
        ("3.4", V.IBP_3_3_IV3, False, [level(7)]),
        ("3.5", V.IBP_3_3_IV3, False, [level(7)]),
        ("3.5", V.IBP_3_5_IV2, False, [level(11), NO_MIGRATION]),
        ("3.5", V.IBP_3_5_IV2, True, [level(11), WAITING]),
        ("3.6", V.IBP_3_4_IV0, False, [level(8), NO_MIGRATION]),
        ("3.6", V.IBP_3_6_IV2, False, [BEGIN, level(14), NO_MIGRATION, END]),
        ("3.7", V.IBP_3_6_IV0, False, [level(12)]),
        ("3.9", V.IBP_3_9_IV0, True, [BEGIN, level(21), WAITING, END]),
        ("4.0", V.IBP_3_3_IV3, False, [level(7)]),
        ("4.0", V.IBP_3_9_IV0, False, [BEGIN, level(21), END]),
        ("4.0", V.IBP_4_0_IV0, False, [BEGIN, level(22), level(1, GROUP_VERSION), END]),
        ("4.0", V.IBP_4_0_IV3, False, [BEGIN, level(25), level(1, GROUP_VERSION), level(2, TRANSACTION_VERSION), END]),
        (
            "4.1",
            V.IBP_4_1_IV1,
            False,
            [
                BEGIN,
                level(27),
                level(1, ELR_VERSION),
                level(1, GROUP_VERSION),
                level(2, TRANSACTION_VERSION),
                ONE_IN_SYNC,
                END,
            ],
        ),
    ],
)
def test_how_a_log_begins(release: str, version: MetadataVersion, migration: bool, records: list[Any]) -> None:
    assert first_records(cluster_of(release, version, migration=migration)) == records


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("3.4", V.IBP_3_3_IV3),
        ("3.6", V.IBP_3_3_IV3),
        ("3.7", V.IBP_3_6_IV0),
        ("3.9", V.IBP_3_4_IV0),
    ],
)
def test_c50_a_migration_that_a_release_cannot_begin(release: str, version: MetadataVersion) -> None:
    with pytest.raises(ActivationError, match="cannot begin a migration"):
        first_records(cluster_of(release, version, migration=True))


@pytest.mark.parametrize(("release", "log"), [("3.9", "4.0-IV0"), ("3.4", "3.5-IV0"), ("4.1", "3.3-IV2")])
def test_a_log_that_a_release_cannot_read_is_not_led_on(release: str, log: str) -> None:
    version = metadata_version_from_text(log)
    with pytest.raises(ActivationError, match=f"give --release {version.release}"):
        activation_records(cluster_of(release, version).ctx())


@pytest.mark.parametrize("state", [ZkMigrationState.PRE_MIGRATION, ZkMigrationState.MIGRATION])
def test_4_does_not_take_over_a_migration_half_way(state: ZkMigrationState) -> None:
    cluster = Cluster(V.IBP_3_9_IV0, state=state)
    cluster.config = replace(cluster.config, release="4.0")
    with pytest.raises(ActivationError, match="in the middle of a migration"):
        activation_records(cluster.ctx())


def test_names_of_releases() -> None:
    assert [release_of(name) for name in ("3.3", "3.4-IV0", "3.6", "3.9-IV0", "4.0-IV0", "4.1")] == [
        "3.4",
        "3.4",
        "3.6",
        "3.9",
        "4.0",
        "4.1",
    ]
    assert [release_of(release) for release in RELEASES] == list(RELEASES)


def test_the_release_of_a_configuration() -> None:
    read = ControllerConfig.from_properties
    key = "inter.broker.protocol.version"
    assert (read({}).release, read({}).metadata_version) == ("3.9", V.IBP_3_9_IV0)
    assert read({key: "3.6"}).release == "3.9"
    assert read({key: "4.1"}).release == "4.1"
    assert read({key: "3.6"}, "3.6-IV2").release == "3.6"


@pytest.mark.parametrize(
    ("release", "properties", "reason"),
    [
        ("3.6", {"inter.broker.protocol.version": "3.7"}, "is not a metadata.version of release 3.6"),
        ("4.0", {"inter.broker.protocol.version": "3.3-IV2"}, "3.3-IV3 to 4.0-IV3"),
        ("5.0", {}, "release 5.0"),
        (
            "4.0",
            {
                "inter.broker.protocol.version": "4.0",
                "zookeeper.connect": "zk:2181",
                "zookeeper.metadata.migration.enable": "true",
            },
            "knows no ZooKeeper",
        ),
        (
            "3.8",
            {"inter.broker.protocol.version": "3.8", "controller.quorum.bootstrap.servers": "c:9093"},
            "give controller.quorum.voters",
        ),
        (
            "3.9",
            {"inter.broker.protocol.version": "3.8", "controller.quorum.bootstrap.servers": "c:9093"},
            "begins with 3.9-IV0",
        ),
    ],
)
def test_configurations_that_rule_each_other_out(release: str, properties: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        ControllerConfig.from_properties(properties, release)


def refusal(cluster: Cluster, **changes: Any) -> ErrorCode:
    request = cluster.registration(1, **changes)
    try:
        cluster.run(lambda ctx: register_broker(ctx, request))
    except ApiError as error:
        return error.code
    return ErrorCode.NONE


@pytest.mark.parametrize("release", ["4.0", "4.1"])
def test_registrations_as_4_takes_them(release: str) -> None:
    cluster = cluster_of(release)
    top = int(cluster.image.metadata_version)
    own = Feature(FEATURE_NAME, 7, top)
    assert refusal(cluster, features=[]) is ErrorCode.INVALID_REGISTRATION
    assert refusal(cluster, features=[Feature(FEATURE_NAME, 7, top - 1)]) is ErrorCode.UNSUPPORTED_VERSION
    assert refusal(cluster, features=[own, Feature("x", 1, 2)]) is ErrorCode.UNSUPPORTED_VERSION
    assert refusal(cluster, features=[own], is_migrating_zk_broker=True) is ErrorCode.BROKER_ID_NOT_REGISTERED
    assert refusal(cluster, features=[own, Feature("x", 0, 2)]) is ErrorCode.NONE


def test_a_broker_has_to_know_the_kraft_version_of_the_quorum() -> None:
    cluster = cluster_of("3.9")
    context = replace(cluster.ctx(), kraft_version=1)
    request = cluster.registration(1)
    with pytest.raises(ApiError, match=r"kraft\.version 1"):
        register_broker(context, request)
    request.features.append(Feature(KRAFT_VERSION, 0, 1))
    assert register_broker(context, request).response.error_code == 0


def updates(*levels: tuple[str, int]) -> UpdateFeaturesRequestData:
    return UpdateFeaturesRequestData(
        feature_updates=[FeatureUpdateKey(name, value, upgrade_type=UpgradeType.UPGRADE) for name, value in levels]
    )


@pytest.mark.parametrize(("release", "moves"), [("3.9", False), ("4.0", False), ("4.1", True)])
def test_kraft_version_moves_the_quorum_from_4_1_on(release: str, moves: bool) -> None:
    wanted = updates((KRAFT_VERSION, 1))
    assert upgrades_quorum(wanted, release) is moves
    wanted.validate_only = True
    assert not upgrades_quorum(wanted, release)
    assert not upgrades_quorum(updates((KRAFT_VERSION, 0), (GROUP_VERSION, 1)), release)


@pytest.mark.parametrize(("kraft_version", "code"), [(0, ErrorCode.NONE), (1, ErrorCode.INVALID_UPDATE_VERSION)])
def test_voters_do_not_leave_the_log_again(kraft_version: int, code: ErrorCode) -> None:
    cluster = cluster_of("4.1", V.IBP_4_1_IV1)
    request = UpdateFeaturesRequestData(
        feature_updates=[FeatureUpdateKey(KRAFT_VERSION, 0, upgrade_type=UpgradeType.SAFE_DOWNGRADE)]
    )
    context = replace(cluster.ctx(), kraft_version=kraft_version)
    try:
        update_features(context, request)
    except ApiError as error:
        found = error.code
    else:
        found = ErrorCode.NONE
    assert found is code


def test_4_sets_all_features_or_none() -> None:
    cluster = cluster_of("4.0", V.IBP_4_0_IV0)
    request = updates((FEATURE_NAME, 25), (TRANSACTION_VERSION, 2), (KRAFT_VERSION, 0))
    older = update_features(cluster.ctx(), request, 1).response
    assert {(result.feature, result.error_code) for result in older.results} == {
        (update.feature, 0) for update in request.feature_updates
    }
    result = update_features(cluster.ctx(), request, 2)
    assert (result.response.error_code, result.response.results, result.atomic) == (0, [], True)
    assert [record.message for record in result.records] == [level(25), level(2, TRANSACTION_VERSION)]
    not_known = ("share.version", "eligible.leader.replicas.version")
    for refused in ((FEATURE_NAME, 26), *((name, 1) for name in not_known)):
        with pytest.raises(ApiError, match="The update failed for all features") as failed:
            update_features(cluster.ctx(), updates((GROUP_VERSION, 1), refused))
        assert failed.value.code is ErrorCode.INVALID_UPDATE_VERSION
