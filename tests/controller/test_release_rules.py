"""What the releases stood for answer differently, one release on each side of the change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pykraft.controller.configs import alter_configs, incremental_alter_configs
from pykraft.controller.features import update_features
from pykraft.controller.reassignment import alter_partition_reassignments
from pykraft.controller.result import Requester
from pykraft.controller.tokens import create_delegation_token, expire_delegation_token
from pykraft.controller.topics import create_topics
from pykraft.image.metadata_version import MetadataVersion
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import alter_configs_request as legacy
from pykraft.protocol.messages import incremental_alter_configs_request as incremental
from pykraft.protocol.messages.alter_partition_reassignments_request import (
    AlterPartitionReassignmentsRequestData,
    ReassignablePartition,
    ReassignableTopic,
)
from pykraft.protocol.messages.create_delegation_token_request import CreateDelegationTokenRequestData
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.expire_delegation_token_request import ExpireDelegationTokenRequestData
from pykraft.protocol.messages.update_features_request import FeatureUpdateKey, UpdateFeaturesRequestData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from tests.controller.cluster import Cluster

E = ErrorCode
CLIENT_METRICS, BROKER_LOGGER = 16, 8


def standing_for(release: str) -> Cluster:
    cluster = Cluster(MetadataVersion.IBP_3_6_IV2, delegation_token_secret_key="secret")
    cluster.config = replace(cluster.config, release=release)
    cluster.start(1, 2)
    return cluster


@pytest.mark.parametrize(
    ("release", "resource_type", "code"),
    [
        ("3.6", CLIENT_METRICS, E.UNSUPPORTED_VERSION),
        ("3.7", CLIENT_METRICS, E.NONE),
        ("3.6", BROKER_LOGGER, E.INVALID_REQUEST),
        ("3.7", BROKER_LOGGER, E.NONE),
    ],
)
def test_resource_types(release: str, resource_type: int, code: ErrorCode) -> None:
    cluster = standing_for(release)
    resource = incremental.AlterConfigsResource(resource_type=resource_type, resource_name="3000")
    request = incremental.IncrementalAlterConfigsRequestData(resources=[resource])
    [answer] = cluster.run(lambda ctx: incremental_alter_configs(ctx, request)).responses
    assert answer.error_code == code
    replaced = legacy.AlterConfigsResource(resource_type=resource_type, resource_name="3000")
    old = legacy.AlterConfigsRequestData(resources=[replaced])
    [old_answer] = cluster.run(lambda ctx: alter_configs(ctx, old)).responses
    assert old_answer.error_code == (E.INVALID_REQUEST if resource_type == BROKER_LOGGER else code)


@pytest.mark.parametrize(("release", "code"), [("3.8", E.TOPIC_AUTHORIZATION_FAILED), ("3.9", E.INVALID_REQUEST)])
def test_the_controllers_own_topic(release: str, code: ErrorCode) -> None:
    cluster = standing_for(release)
    request = CreateTopicsRequestData(topics=[CreatableTopic("__cluster_metadata", 1, 1)])
    [answer] = cluster.run(lambda ctx: create_topics(ctx, request, 7)).topics
    assert answer.error_code == code


@pytest.mark.parametrize(("release", "code"), [("3.6", E.INVALID_UPDATE_VERSION), ("3.7", E.NONE)])
def test_level_0_of_a_feature_that_brokers_do_not_have(release: str, code: ErrorCode) -> None:
    cluster = standing_for(release)
    update = FeatureUpdateKey("some.feature", 0, upgrade_type=1)
    request = UpdateFeaturesRequestData(feature_updates=[update], validate_only=True)
    [answer] = cluster.run(lambda ctx: update_features(ctx, request)).results
    assert answer.error_code == code


@pytest.mark.parametrize(
    ("release", "alive", "expired"),
    [("3.6", (E.NONE, -5), E.DELEGATION_TOKEN_EXPIRED), ("3.7", (E.NONE, 1_700_000_000_000), E.NONE)],
)
def test_the_end_of_a_token(release: str, alive: tuple[ErrorCode, int], expired: ErrorCode) -> None:
    cluster = standing_for(release)
    alice = Requester(principal="User:alice", forwarded=True)

    def end(lifetime_ms: int, after_ms: int) -> tuple[ErrorCode, int]:
        created = CreateDelegationTokenRequestData(max_lifetime_ms=lifetime_ms)
        token = cluster.run(lambda ctx: create_delegation_token(ctx, created, alice, 3))
        request = ExpireDelegationTokenRequestData(token.hmac, -5)
        later = cluster.ctx().now_ms + after_ms
        answer = cluster.run(lambda ctx: expire_delegation_token(replace(ctx, now_ms=later), request, alice))
        return ErrorCode(answer.error_code), answer.expiry_timestamp_ms

    assert end(-1, 0) == alive
    assert end(1_000, 2_000)[0] is expired


@pytest.mark.parametrize(("release", "removing"), [("3.7", ()), ("3.8", (3,))])
def test_a_replica_that_stays_is_not_in_sync_when_another_shall_go(release: str, removing: tuple[int, ...]) -> None:
    cluster = standing_for(release)
    cluster.start(3)
    cluster.create("a", [1, 2, 3])
    change = PartitionChangeRecord(0, cluster.image.topics_by_name["a"].id, isr=[1, 3])
    cluster.apply([ApiMessageAndVersion(change, 0)])
    moved = ReassignableTopic("a", [ReassignablePartition(0, [1, 2])])
    request = AlterPartitionReassignmentsRequestData(topics=[moved])
    cluster.run(lambda ctx: alter_partition_reassignments(ctx, request))
    assert cluster.partition("a").removing_replicas == removing
