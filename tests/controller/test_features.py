"""UpdateFeatures: which levels may be set, from where, and who has to support them."""

from __future__ import annotations

import pytest

from pykraft.controller.features import UpgradeType, update_features
from pykraft.controller.releases import KRAFT_VERSION, SUPPORTED_FEATURES
from pykraft.image.metadata_version import FEATURE_NAME, MetadataVersion
from pykraft.image.model import ZkMigrationState
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.broker_registration_request import Feature
from pykraft.protocol.messages.update_features_request import FeatureUpdateKey, UpdateFeaturesRequestData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.register_controller_record import ControllerFeature, RegisterControllerRecord
from tests.controller.cluster import Cluster

NONE, REFUSED = ErrorCode.NONE, ErrorCode.INVALID_UPDATE_VERSION
UP, SAFE, UNSAFE = UpgradeType.UPGRADE, UpgradeType.SAFE_DOWNGRADE, UpgradeType.UNSAFE_DOWNGRADE
V39, V37, V34 = MetadataVersion.IBP_3_9_IV0, MetadataVersion.IBP_3_7_IV2, MetadataVersion.IBP_3_4_IV0


def update(
    cluster: Cluster, *updates: tuple[str, int, int], validate_only: bool = False
) -> list[tuple[str, ErrorCode]]:
    request = UpdateFeaturesRequestData(
        feature_updates=[FeatureUpdateKey(name, level, upgrade_type=kind) for name, level, kind in updates],
        validate_only=validate_only,
    )
    response = cluster.run(lambda ctx: update_features(ctx, request))
    assert response.error_code == NONE
    return [(result.feature, ErrorCode(result.error_code)) for result in response.results]


@pytest.mark.parametrize(
    ("current", "level", "kind", "code"),
    [
        (V34, 21, UP, NONE),
        (V34, 8, UP, NONE),
        (V34, 8, SAFE, NONE),
        (V34, 22, UP, REFUSED),
        (V34, 21, SAFE, REFUSED),
        (V34, 21, UNSAFE, REFUSED),
        (V34, 9, 0, REFUSED),
        (V34, 9, 4, REFUSED),
        (V34, -1, UP, REFUSED),
        (V34, 0, SAFE, REFUSED),
        (V34, 7, UP, REFUSED),
        (V34, 7, SAFE, REFUSED),
        (V34, 7, UNSAFE, REFUSED),
        (V39, 17, UP, REFUSED),
        (V39, 17, SAFE, NONE),
        (V39, 17, UNSAFE, NONE),
        (V39, 16, SAFE, REFUSED),
        (V39, 20, SAFE, NONE),
        (V37, 16, SAFE, REFUSED),
        (V37, 16, UNSAFE, REFUSED),
        (MetadataVersion.IBP_3_3_IV0, 4, SAFE, NONE),
        (MetadataVersion.IBP_3_3_IV0, 3, SAFE, REFUSED),
        (MetadataVersion.IBP_3_0_IV1, 1, UP, REFUSED),
        (MetadataVersion.IBP_3_0_IV1, 4, UP, NONE),
        (MetadataVersion.IBP_3_6_IV0, 11, SAFE, NONE),
        (MetadataVersion.IBP_3_6_IV0, 10, SAFE, REFUSED),
    ],
)
def test_moves_of_metadata_version(current: MetadataVersion, level: int, kind: int, code: ErrorCode) -> None:
    cluster = Cluster(current)
    assert update(cluster, (FEATURE_NAME, level, kind), validate_only=True) == [(FEATURE_NAME, code)]
    assert cluster.messages == []
    assert update(cluster, (FEATURE_NAME, level, kind)) == [(FEATURE_NAME, code)]
    assert cluster.messages == ([FeatureLevelRecord(FEATURE_NAME, level)] if code is NONE else [])
    assert cluster.image.metadata_version == (level if code is NONE else current)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (ZkMigrationState.NONE, NONE),
        (ZkMigrationState.PRE_MIGRATION, REFUSED),
        (ZkMigrationState.MIGRATION, REFUSED),
        (ZkMigrationState.POST_MIGRATION, NONE),
    ],
)
def test_metadata_version_stays_during_a_migration(state: ZkMigrationState, code: ErrorCode) -> None:
    cluster = Cluster(V34, state=state)
    answers = update(cluster, (FEATURE_NAME, 9, UP), (KRAFT_VERSION, 1, UP))
    assert answers == [(KRAFT_VERSION, NONE), (FEATURE_NAME, code)]


def test_every_broker_must_support_a_level_fenced_ones_too() -> None:
    cluster = Cluster(V34)
    cluster.start(1)
    cluster.register(2, features=[Feature(FEATURE_NAME, 1, 11)])
    assert update(cluster, (FEATURE_NAME, 9, UP)) == [(FEATURE_NAME, REFUSED)]
    cluster = Cluster(V34)
    cluster.register(2, features=[Feature(FEATURE_NAME, 1, 11)])
    assert update(cluster, (FEATURE_NAME, 11, UP), (KRAFT_VERSION, 1, UP)) == [
        (KRAFT_VERSION, REFUSED),
        (FEATURE_NAME, NONE),
    ]


def test_every_controller_must_have_registered_its_support() -> None:
    """From metadata.version 15 on, where controllers register; before, nobody knows."""
    for version, code in ((V37, REFUSED), (V34, NONE)):
        cluster = Cluster(version)
        ctx = cluster.ctx()
        ctx.controller_ids = frozenset({3000, 3001})
        request = UpdateFeaturesRequestData(feature_updates=[FeatureUpdateKey(FEATURE_NAME, 18)])
        assert update_features(ctx, request).response.results[0].error_code == code
    cluster = Cluster(V37)
    for max_level, code in ((17, REFUSED), (18, NONE)):
        features = [ControllerFeature(FEATURE_NAME, 1, max_level)]
        cluster.apply([ApiMessageAndVersion(RegisterControllerRecord(3001, features=features), 0)])
        assert update(cluster, (FEATURE_NAME, 18, UP), validate_only=True) == [(FEATURE_NAME, code)]


def test_other_features() -> None:
    cluster = Cluster()
    for level, kind, code in (
        (0, UP, NONE),
        (1, SAFE, REFUSED),
        (2, UP, REFUSED),
        (-1, UP, REFUSED),
        (1, UP, NONE),
        (0, UP, REFUSED),
        (0, SAFE, NONE),
    ):
        assert update(cluster, (KRAFT_VERSION, level, kind)) == [(KRAFT_VERSION, code)]
        if code is NONE:
            assert cluster.image.features.get(KRAFT_VERSION, 0) == level
    for name in ("", "no.such.feature"):
        assert update(cluster, (name, 1, UP)) == [(name, REFUSED)]
        assert update(cluster, (name, 0, SAFE)) == [(name, NONE)]


def test_features_are_taken_one_by_one() -> None:
    cluster = Cluster(V34)
    assert update(cluster, ("z", 1, UP), (FEATURE_NAME, 9, UP), ("a", 1, UP)) == [
        ("a", REFUSED),
        (FEATURE_NAME, NONE),
        ("z", REFUSED),
    ]
    assert cluster.messages == [FeatureLevelRecord(FEATURE_NAME, 9)]
    assert update(cluster, (FEATURE_NAME, 99, UP), (FEATURE_NAME, 10, UP)) == [(FEATURE_NAME, NONE)]
    assert update(cluster) == []


def test_allow_downgrade_of_version_0_counts_for_nothing() -> None:
    request = UpdateFeaturesRequestData(feature_updates=[FeatureUpdateKey(FEATURE_NAME, 20, allow_downgrade=True)])
    request = UpdateFeaturesRequestData.decode(request.encode(0), 0)
    assert update_features(Cluster().ctx(), request).response.results[0].error_code == REFUSED


def test_what_this_controller_supports() -> None:
    assert {(found.name, found.min_version, found.max_version) for found in SUPPORTED_FEATURES["3.9"]} == {
        (FEATURE_NAME, 1, 21),
        (KRAFT_VERSION, 0, 1),
    }
