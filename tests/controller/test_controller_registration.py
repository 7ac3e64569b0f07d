"""Controllers register themselves and each other."""

from __future__ import annotations

import pytest

from pykraft.controller.controller_registration import own_registration, register_controller
from pykraft.controller.errors import ApiError
from pykraft.image.metadata_version import FEATURE_NAME, MetadataVersion
from pykraft.image.model import Endpoint, FeatureRange, ZkMigrationState
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.controller_registration_request import (
    ControllerRegistrationRequestData,
    Feature,
    Listener,
)
from tests.controller.cluster import Cluster

INCARNATION = bytes([5]) * 16
LISTENERS = [Endpoint("CONTROLLER", "127.0.0.1", 9093, 0)]


def test_c44_a_controller_s_registration_is_written_as_sent() -> None:
    cluster = Cluster()
    request = ControllerRegistrationRequestData(
        3001, INCARNATION, True, [Listener("CONTROLLER", "h", 9093, 1)], [Feature(FEATURE_NAME, 1, 21)]
    )
    assert cluster.run(lambda ctx: register_controller(ctx, request)).error_code == 0
    registered = cluster.image.controllers[3001]
    assert registered.zk_migration_ready
    assert registered.listeners == (Endpoint("CONTROLLER", "h", 9093, 1),)
    assert registered.features == (FeatureRange(FEATURE_NAME, 1, 21),)


@pytest.mark.parametrize(
    ("version", "protocol", "code"),
    [
        (MetadataVersion.IBP_3_6_IV2, 0, ErrorCode.UNSUPPORTED_VERSION),
        (MetadataVersion.IBP_3_7_IV0, 4, ErrorCode.INVALID_REGISTRATION),
    ],
)
def test_what_is_refused(version: MetadataVersion, protocol: int, code: ErrorCode) -> None:
    cluster = Cluster(version)
    request = ControllerRegistrationRequestData(3001, listeners=[Listener("CONTROLLER", "h", 9093, protocol)])
    with pytest.raises(ApiError) as caught:
        cluster.run(lambda ctx: register_controller(ctx, request))
    assert caught.value.code is code


def test_c44_our_own_registration_is_written_when_it_is_news() -> None:
    cluster = Cluster(migration=True, state=ZkMigrationState.PRE_MIGRATION)

    def registers(incarnation: bytes = INCARNATION) -> bool:
        cluster.run(lambda ctx: own_registration(ctx, incarnation, LISTENERS))
        return bool(cluster.messages)

    assert registers()
    own = cluster.image.controllers[3000]
    assert own.zk_migration_ready
    assert own.features == (FeatureRange("kraft.version", 0, 1), FeatureRange(FEATURE_NAME, 1, 21))
    assert not registers()
    assert registers(bytes([6]) * 16)


def test_before_3_7_controllers_do_not_register() -> None:
    cluster = Cluster(MetadataVersion.IBP_3_6_IV2)
    cluster.run(lambda ctx: own_registration(ctx, INCARNATION, LISTENERS))
    assert cluster.messages == []
