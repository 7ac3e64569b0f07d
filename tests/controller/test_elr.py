"""Eligible leader replicas (KIP-966): a partition's way down to nobody in sync and back, and the feature itself.

The rules themselves are compared with Kafka's own in tests/oracle.
"""

from __future__ import annotations

import pytest

from pykraft.controller.configs import OpType, alter_configs, incremental_alter_configs
from pykraft.controller.errors import ApiError
from pykraft.controller.features import UpgradeType, update_features
from pykraft.image.metadata_version import ELR_VERSION, FEATURE_NAME, MetadataVersion
from pykraft.image.model import ConfigResource, ResourceType
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import alter_configs_request as legacy
from pykraft.protocol.messages import incremental_alter_configs_request as incremental
from pykraft.protocol.messages.broker_registration_request import Feature
from pykraft.protocol.messages.update_features_request import FeatureUpdateKey, UpdateFeaturesRequestData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.clear_elr_record import ClearElrRecord
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.register_broker_record import RegisterBrokerRecord
from tests.controller.cluster import SESSION_MS, Cluster

V = MetadataVersion
MIN_ISR = "min.insync.replicas"
TWO = {MIN_ISR: "2"}
FEATURES = [Feature(FEATURE_NAME, 7, 27), Feature(ELR_VERSION, 0, 1)]


def elr_cluster(*broker_ids: int) -> Cluster:
    cluster = Cluster(V.IBP_4_1_IV1)
    cluster.apply([ApiMessageAndVersion(FeatureLevelRecord(name=ELR_VERSION, feature_level=1), 0)])
    for broker_id in broker_ids:
        back(cluster, broker_id)
    return cluster


def back(cluster: Cluster, broker_id: int, *, clean: bool = False) -> None:
    """Register a broker anew and unfence it."""
    before = cluster.image.brokers.get(broker_id)
    previous = before.epoch if clean and before is not None else -1
    cluster.register(broker_id, features=FEATURES, previous_broker_epoch=previous)
    registered = cluster.written
    cluster.heartbeat(broker_id)
    cluster.written = [*registered, *cluster.written]


def shape(cluster: Cluster) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:
    partition = cluster.partition("a")
    return partition.isr, partition.elr, partition.last_known_elr, partition.leader


def test_brokers_that_were_shut_down_in_order_come_back_as_leaders() -> None:
    cluster = elr_cluster(1, 2)
    cluster.create("a", [1, 2], configs={MIN_ISR: "2"})
    cluster.expire(2)
    assert shape(cluster) == ((1,), (2,), (), 1)
    cluster.expire(1)
    assert shape(cluster) == ((), (1, 2), (1,), -1)

    back(cluster, 2, clean=True)

    assert shape(cluster) == ((2,), (1,), (), 2)
    assert cluster.partition("a").leader_recovery_state == 0, "nothing was lost"


def test_a_broker_that_was_killed_is_no_eligible_leader() -> None:
    cluster = elr_cluster(1, 2)
    cluster.create("a", [1, 2], configs={MIN_ISR: "2"})
    cluster.expire(2)
    cluster.expire(1)
    epoch = cluster.image.offset + 1

    back(cluster, 2)

    assert shape(cluster) == ((), (1,), (1,), -1), "the one that may still have everything is waited for"
    assert [type(message) for message in cluster.messages][:2] == [PartitionChangeRecord, RegisterBrokerRecord]
    assert cluster.image.brokers[2].epoch == epoch, "the offset of the first record of the registration"

    back(cluster, 1)

    assert shape(cluster) == ((1,), (), (), 1)
    assert cluster.partition("a").leader_recovery_state == 1, "the last leader, who may have lost records"


def test_an_incarnation_that_takes_over_is_taken_out_of_every_isr_first() -> None:
    cluster = elr_cluster(1, 2)
    cluster.create("a", [1, 2])
    cluster.monotonic_ms += SESSION_MS + 1
    cluster.heartbeat(2)

    cluster.register(1, features=FEATURES, previous_broker_epoch=cluster.image.brokers[1].epoch)

    assert shape(cluster) == ((2,), (), (), 2)
    assert [type(message) for message in cluster.messages] == [PartitionChangeRecord, RegisterBrokerRecord]


def test_without_the_feature_the_last_member_stays_in_the_isr() -> None:
    cluster = Cluster(V.IBP_4_1_IV1)
    for broker_id in (1, 2):
        back(cluster, broker_id)
    cluster.create("a", [1, 2], configs={MIN_ISR: "2"})
    assert ClearElrRecord not in map(type, cluster.messages)
    cluster.expire(2)
    cluster.expire(1)
    assert shape(cluster) == ((1,), (), (), -1)


def test_a_change_of_min_insync_replicas_clears_what_was_found_by_the_old_value() -> None:
    cluster = elr_cluster(1, 2)
    cluster.create("a", [1, 2], configs={MIN_ISR: "2"})
    assert [type(message).__name__ for message in cluster.messages] == [
        "TopicRecord",
        "ConfigRecord",
        "ClearElrRecord",
        "PartitionRecord",
    ]
    cluster.expire(2)
    before = cluster.partition("a").partition_epoch

    assert alter(cluster, ResourceType.TOPIC, "a", "1") == ErrorCode.NONE

    assert cluster.messages[1:] == [ClearElrRecord(topic_name="a")]
    assert shape(cluster) == ((1,), (), (), 1)
    assert cluster.partition("a").partition_epoch == before + 1

    assert alter(cluster, ResourceType.BROKER, "", "2") == ErrorCode.NONE
    assert cluster.messages[1:] == [ClearElrRecord(topic_name="")]


def alter(cluster: Cluster, kind: ResourceType, name: str, value: str | None) -> int:
    change = incremental.AlterableConfig(MIN_ISR, OpType.DELETE if value is None else OpType.SET, value)
    request = incremental.IncrementalAlterConfigsRequestData([incremental.AlterConfigsResource(kind, name, [change])])
    return cluster.run(lambda ctx: incremental_alter_configs(ctx, request)).responses[0].error_code


def replace_all(cluster: Cluster, name: str, configs: dict[str, str]) -> int:
    listed = [legacy.AlterableConfig(key, value) for key, value in configs.items()]
    request = legacy.AlterConfigsRequestData([legacy.AlterConfigsResource(ResourceType.BROKER, name, listed)])
    return cluster.run(lambda ctx: alter_configs(ctx, request)).responses[0].error_code


def test_min_insync_replicas_has_one_value_for_all_brokers() -> None:
    cluster = elr_cluster(1)
    assert alter(cluster, ResourceType.BROKER, "", "2") == ErrorCode.NONE
    for refused in (alter(cluster, ResourceType.BROKER, "1", "2"), alter(cluster, ResourceType.BROKER, "1", None)):
        assert refused == ErrorCode.INVALID_CONFIG
    assert alter(cluster, ResourceType.BROKER, "", None) == ErrorCode.INVALID_CONFIG
    assert replace_all(cluster, "", {}) == ErrorCode.INVALID_CONFIG
    assert replace_all(cluster, "1", TWO) == ErrorCode.INVALID_CONFIG
    assert replace_all(cluster, "", TWO | {"log.retention.ms": "1000"}) == ErrorCode.NONE
    assert replace_all(cluster, "1", {"log.retention.ms": "1000"}) == ErrorCode.NONE
    assert cluster.image.configs[ConfigResource(ResourceType.BROKER, "")][MIN_ISR] == "2"


def test_without_the_feature_brokers_may_have_their_own() -> None:
    cluster = Cluster(V.IBP_4_1_IV1)
    back(cluster, 1)
    assert alter(cluster, ResourceType.BROKER, "1", "2") == ErrorCode.NONE
    assert alter(cluster, ResourceType.BROKER, "", None) == ErrorCode.NONE


def enable(cluster: Cluster, level: int = 1, kind: UpgradeType = UpgradeType.UPGRADE, **others: int) -> None:
    levels = {ELR_VERSION: level} | {name.replace("_", "."): value for name, value in others.items()}
    request = UpdateFeaturesRequestData(
        feature_updates=[FeatureUpdateKey(name, value, upgrade_type=kind) for name, value in levels.items()]
    )
    cluster.run(lambda ctx: update_features(ctx, request))


def test_switching_it_on_sets_min_insync_replicas_for_the_cluster_and_for_no_broker() -> None:
    cluster = Cluster(V.IBP_4_1_IV1, min_insync_replicas=3)
    for broker_id in (1, 2):
        back(cluster, broker_id)
        alter(cluster, ResourceType.BROKER, str(broker_id), "2")

    enable(cluster)

    assert cluster.messages == [
        ConfigRecord(resource_type=4, resource_name="", name=MIN_ISR, value="3"),
        ConfigRecord(resource_type=4, resource_name="1", name=MIN_ISR, value=None),
        ConfigRecord(resource_type=4, resource_name="2", name=MIN_ISR, value=None),
        FeatureLevelRecord(name=ELR_VERSION, feature_level=1),
    ]
    enable(cluster, 0, UpgradeType.SAFE_DOWNGRADE)
    assert cluster.messages == [FeatureLevelRecord(name=ELR_VERSION, feature_level=0)]
    enable(cluster)
    assert cluster.messages == [FeatureLevelRecord(name=ELR_VERSION, feature_level=1)], "the cluster has its value"


def test_it_depends_on_the_metadata_version() -> None:
    cluster = Cluster(V.IBP_4_0_IV0)
    back(cluster, 1)
    with pytest.raises(ApiError, match=r"depends on metadata.version 4\.0-IV1") as caught:
        enable(cluster)
    assert caught.value.code is ErrorCode.INVALID_UPDATE_VERSION
    enable(cluster, metadata_version=23)
    assert cluster.image.is_elr_enabled
    assert cluster.image.metadata_version is V.IBP_4_0_IV1
