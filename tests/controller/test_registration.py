"""BrokerRegistration: every check, in its order, and what a registration leads to, by Kafka release."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pykraft.controller.errors import ApiError
from pykraft.controller.registration import register_broker
from pykraft.image.metadata_version import FEATURE_NAME, MetadataVersion
from pykraft.image.model import ZkMigrationState
from pykraft.protocol.errors import EncodeError, ErrorCode
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature, Listener
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record, encode_record
from pykraft.protocol.records.broker_registration_change_record import BrokerRegistrationChangeRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.register_broker_record import BrokerFeature, RegisterBrokerRecord
from tests.controller.cluster import CLUSTER_ID, SESSION_MS, Cluster, directory_of

V = MetadataVersion
NONE = ErrorCode.NONE
NOT_REGISTERED = ErrorCode.BROKER_ID_NOT_REGISTERED
UNSUPPORTED = ErrorCode.UNSUPPORTED_VERSION
INVALID = ErrorCode.INVALID_REGISTRATION
INCARNATION = bytes([7]) * 16


def answer(cluster: Cluster, request: BrokerRegistrationRequestData, release: str = "3.9") -> ErrorCode:
    """The error code of a registration; its records are applied."""
    cluster.config = replace(cluster.config, release=release)
    try:
        cluster.run(lambda ctx: register_broker(ctx, request))
    except ApiError as error:
        return error.code
    return NONE


def levels(low: MetadataVersion, high: MetadataVersion) -> list[Feature]:
    return [Feature(FEATURE_NAME, low.value, high.value)]


F33, F333, F34 = V.IBP_3_3_IV0, V.IBP_3_3_IV3, V.IBP_3_4_IV0
F361, F39 = V.IBP_3_6_IV1, V.IBP_3_9_IV0

# The rows of BrokerRegistrationRequestTest: metadata.version, migration enabled, migrating broker, range, answer.
MATRIX_3_4 = [
    (F34, False, True, (F33, F33), NOT_REGISTERED),
    (F34, False, True, None, NOT_REGISTERED),
    (F34, False, True, (F34, F34), NOT_REGISTERED),
    (F34, False, False, (F34, F34), NONE),
    (F333, True, True, (F33, F33), NOT_REGISTERED),
    (F333, True, True, None, NOT_REGISTERED),
    (F333, True, True, (F34, F34), NOT_REGISTERED),
    (F333, True, False, (F333, F34), NONE),
    (F34, True, True, (F34, F34), NONE),
    (F34, True, True, None, UNSUPPORTED),
    (F34, True, True, (F333, F333), UNSUPPORTED),
    (F34, True, False, (F34, F34), NONE),
]
MATRIX_3_9 = [
    *MATRIX_3_4[:4],
    (F333, False, True, (F33, F333), NOT_REGISTERED),
    (F333, False, True, None, NOT_REGISTERED),
    (F333, False, True, (F34, F34), NOT_REGISTERED),
    (F333, False, False, (F333, F34), NONE),
    (F361, True, True, (F34, F361), NONE),
    (F361, True, True, (F34, F34), UNSUPPORTED),
    (F361, True, True, None, UNSUPPORTED),
    (F361, True, True, (F333, F333), UNSUPPORTED),
    (F361, True, False, (F34, F34), NOT_REGISTERED),
    (F39, True, True, (F39, F39), NONE),
    (F39, True, False, (F39, F39), NOT_REGISTERED),
]


@pytest.mark.parametrize(
    ("release", "version", "migration", "migrating", "features", "expected"),
    [("3.4", *row) for row in MATRIX_3_4] + [("3.9", *row) for row in MATRIX_3_9],
)
def test_c4_which_brokers_may_register(
    release: str,
    version: MetadataVersion,
    migration: bool,
    migrating: bool,
    features: tuple[MetadataVersion, MetadataVersion] | None,
    expected: ErrorCode,
) -> None:
    waits = migration and release != "3.4"
    cluster = Cluster(
        version,
        migration=migration,
        state=ZkMigrationState.PRE_MIGRATION if waits else ZkMigrationState.NONE,
        inter_broker_listener_name="EXTERNAL",
    )
    request = cluster.registration(
        100,
        is_migrating_zk_broker=migrating,
        features=[] if features is None else levels(*features),
        listeners=[Listener("EXTERNAL", "example.com", 8082, 0)],
    )

    assert answer(cluster, request, release) is expected
    assert (100 in cluster.image.brokers) is (expected is NONE)


# What real single controllers answered, by release: column 8.6 of the protocol notes, migration off.
@pytest.mark.parametrize(
    ("release", "version"), [("3.4", V.IBP_3_4_IV0), ("3.7", V.IBP_3_7_IV4), ("3.9", V.IBP_3_9_IV0)]
)
def test_a_broker_s_life_as_observed_on_real_controllers(release: str, version: MetadataVersion) -> None:
    cluster = Cluster(version)
    own = levels(version, version)

    def send(**changes: Any) -> ErrorCode:
        return answer(cluster, cluster.registration(5, **({"features": own} | changes)), release)

    assert send(cluster_id="other") is ErrorCode.INCONSISTENT_CLUSTER_ID
    assert send(is_migrating_zk_broker=True) is NOT_REGISTERED
    assert send(features=[]) is UNSUPPORTED
    assert send(features=[Feature(FEATURE_NAME, version + 1, version + 1)]) is UNSUPPORTED
    if release != "3.4":
        assert send(log_dirs=[]) is INVALID
        assert send(log_dirs=[bytes(15) + b"\x02"]) is INVALID
    extra = send(features=[*own, Feature("x", 1, 2)])
    assert extra is (UNSUPPORTED if release == "3.9" else NONE)

    assert send() is NONE
    first = cluster.image.brokers[5].epoch
    assert first == cluster.image.offset
    assert send(incarnation_id=INCARNATION) is NONE, "another incarnation may take over while fenced"
    second = cluster.image.brokers[5].epoch
    assert second > first
    assert send(incarnation_id=INCARNATION) is NONE
    assert (cluster.image.brokers[5].epoch == second) is (release == "3.9")

    registered = cluster.image.offset
    early = cluster.heartbeat(5, offset=registered - 1)
    assert (early.is_caught_up, early.is_fenced) == (False, True)
    caught_up = cluster.heartbeat(5, offset=registered)
    assert (caught_up.is_caught_up, caught_up.is_fenced) == (True, False)

    assert send() is ErrorCode.DUPLICATE_BROKER_REGISTRATION
    live = cluster.image.brokers[5].epoch
    assert send(incarnation_id=INCARNATION) is NONE
    assert cluster.image.brokers[5].fenced is (release == "3.4")
    assert (cluster.image.brokers[5].epoch == live) is (release == "3.9")
    cluster.heartbeat(5)
    down = cluster.heartbeat(5, shut_down=True)
    assert (down.is_fenced, down.should_shut_down) == (True, True)


BAD: dict[str, Any] = {
    "cluster_id": "other",
    "is_migrating_zk_broker": True,
    "listeners": [Listener("X", "h", 1, 0)],
    "log_dirs": [],
    "features": [],
}


@pytest.mark.parametrize(
    ("mended", "state", "expected"),
    [
        ((), ZkMigrationState.PRE_MIGRATION, ErrorCode.INCONSISTENT_CLUSTER_ID),
        (("cluster_id",), ZkMigrationState.PRE_MIGRATION, ErrorCode.DUPLICATE_BROKER_REGISTRATION),
        (("cluster_id", "session"), ZkMigrationState.PRE_MIGRATION, INVALID),
        (("cluster_id", "session", "migrating"), ZkMigrationState.PRE_MIGRATION, NOT_REGISTERED),
        (("cluster_id", "session", "listeners"), ZkMigrationState.PRE_MIGRATION, INVALID),
        (("cluster_id", "session", "listeners", "log_dirs"), ZkMigrationState.MIGRATION, UNSUPPORTED),
        (("cluster_id", "session", "listeners", "log_dirs", "features"), ZkMigrationState.MIGRATION, NONE),
    ],
)
def test_the_first_check_that_fails_is_answered(
    mended: tuple[str, ...], state: ZkMigrationState, expected: ErrorCode
) -> None:
    cluster = Cluster(migration=True, state=state)
    cluster.register(1, is_migrating_zk_broker=True)
    cluster.heartbeat(1)
    if "session" in mended:
        cluster.expire(1)
    changes = {key: value for key, value in BAD.items() if key not in mended}
    if "is_migrating_zk_broker" in changes and "migrating" in mended:
        changes["is_migrating_zk_broker"] = False

    assert answer(cluster, cluster.registration(1, **changes)) is expected


@pytest.mark.parametrize(
    ("directories", "expected"),
    [
        ([], INVALID),
        ([(99).to_bytes(16, "big")], INVALID),
        ([(100).to_bytes(16, "big")], NONE),
        ([directory_of(1), directory_of(1)], INVALID),
        ([directory_of(2), directory_of(1)], INVALID),
        ([directory_of(1), directory_of(1, 1)], NONE),
    ],
)
def test_c45_log_directories_are_checked(directories: list[bytes], expected: ErrorCode) -> None:
    cluster = Cluster()
    cluster.start(2)
    assert answer(cluster, cluster.registration(1, log_dirs=directories)) is expected


def test_before_3_7_log_directories_are_neither_checked_nor_written() -> None:
    cluster = Cluster(V.IBP_3_7_IV1)
    assert answer(cluster, cluster.registration(1, log_dirs=[])) is NONE
    assert answer(cluster, cluster.registration(2)) is NONE
    assert cluster.image.brokers[2].directories == ()


@pytest.mark.parametrize(
    ("release", "features", "expected"),
    [
        ("3.9", [Feature("group.version", 0, 1)], NONE),
        ("3.9", [Feature("group.version", 2, 3)], UNSUPPORTED),
        ("3.9", [], UNSUPPORTED),
        ("3.8", [], NONE),
        ("3.8", [Feature("other", 1, 1)], UNSUPPORTED),
        ("3.7", [Feature("other", 1, 1)], NONE),
        ("3.7", [Feature("group.version", 2, 3)], UNSUPPORTED),
    ],
)
def test_features_are_held_against_their_finalized_levels(
    release: str, features: list[Feature], expected: ErrorCode
) -> None:
    cluster = Cluster()
    cluster.apply([ApiMessageAndVersion(FeatureLevelRecord(name="group.version", feature_level=1), 0)])
    request = cluster.registration(1, features=[*levels(V.IBP_3_0_IV1, F39), *features])
    assert answer(cluster, request, release) is expected


@pytest.mark.parametrize(
    ("version", "record_version"),
    [
        (V.IBP_3_3_IV0, 0),
        (V.IBP_3_3_IV2, 0),
        (V.IBP_3_3_IV3, 1),
        (V.IBP_3_4_IV0, 2),
        (V.IBP_3_7_IV1, 2),
        (V.IBP_3_7_IV2, 3),
        (V.IBP_3_9_IV0, 3),
    ],
)
def test_the_record_holds_what_the_metadata_version_has_room_for(version: MetadataVersion, record_version: int) -> None:
    cluster = Cluster(version)
    request = cluster.registration(
        1, rack="r1", incarnation_id=INCARNATION, listeners=[Listener("A", "a", 1, 0), Listener("B", "b", 2, 3)]
    )
    assert answer(cluster, request) is NONE

    [written] = cluster.written
    assert written.version == record_version
    record = written.message
    assert isinstance(record, RegisterBrokerRecord)
    assert (record.broker_id, record.rack, record.fenced, record.incarnation_id) == (1, "r1", True, INCARNATION)
    assert record.broker_epoch == cluster.image.offset == cluster.image.brokers[1].registration_offset
    assert record.features == [BrokerFeature(FEATURE_NAME, 1, version.value)]
    assert [(e.name, e.host, e.port, e.security_protocol) for e in record.end_points] == [
        ("A", "a", 1, 0),
        ("B", "b", 2, 3),
    ]
    assert record.log_dirs == ([directory_of(1)] if record_version == 3 else [])


@pytest.mark.parametrize("migrating", [True, False])
@pytest.mark.parametrize("version", [V.IBP_3_4_IV0, V.IBP_3_7_IV1, V.IBP_3_9_IV0])
def test_c1_request_and_record_say_that_a_broker_is_in_zookeeper_mode(version: V, migrating: bool) -> None:
    """KAFKA-14304: from version 1 of the request and 2 of the record on; its epoch is the log's, not ZooKeeper's."""
    cluster = Cluster(version, migration=True, state=ZkMigrationState.MIGRATION)
    sent = cluster.registration(1, is_migrating_zk_broker=migrating, features=levels(version, version))
    sent.log_dirs, sent.previous_broker_epoch = [], -1
    received = BrokerRegistrationRequestData.decode(sent.encode(1), 1)
    assert received.is_migrating_zk_broker is migrating
    if version.is_directory_assignment_supported:
        received.log_dirs = [directory_of(1)]
    assert answer(cluster, received) is NONE
    [written] = cluster.written
    record = decode_record(encode_record(written.message, written.version)).message
    assert isinstance(record, RegisterBrokerRecord)
    assert (written.version >= 2, record.is_migrating_zk_broker) == (True, migrating)
    assert record.broker_epoch == cluster.image.offset
    assert cluster.image.brokers[1].is_migrating_zk_broker is migrating


def test_c1_versions_before_the_flag_cannot_say_it() -> None:
    cluster = Cluster(migration=True, state=ZkMigrationState.MIGRATION)
    with pytest.raises(EncodeError, match="isMigratingZkBroker"):
        BrokerRegistrationRequestData(is_migrating_zk_broker=True, cluster_id=CLUSTER_ID).encode(0)
    with pytest.raises(EncodeError, match="isMigratingZkBroker"):
        encode_record(RegisterBrokerRecord(is_migrating_zk_broker=True), 1)
    assert not cluster.image.brokers


@pytest.mark.parametrize(
    ("release", "migrating", "listener", "expected"),
    [
        ("3.9", True, "CLIENT", INVALID),
        ("3.9", True, "INTERNAL", NONE),
        ("3.9", False, "CLIENT", NONE),
        ("3.8", True, "CLIENT", NONE),
    ],
)
def test_c63_a_broker_in_zookeeper_mode_names_the_listener_it_is_reached_at(
    release: str, migrating: bool, listener: str, expected: ErrorCode
) -> None:
    """KAFKA-16468; controllers of earlier releases take it, and the migration waits before the claim instead."""
    cluster = Cluster(migration=True, state=ZkMigrationState.MIGRATION, inter_broker_listener_name="INTERNAL")
    request = cluster.registration(1, is_migrating_zk_broker=migrating, listeners=[Listener(listener, "h", 1, 0)])
    assert answer(cluster, request, release) is expected


@pytest.mark.parametrize(("release", "version"), [("3.7", V.IBP_3_7_IV4), ("3.8", V.IBP_3_8_IV0)])
def test_c70_a_newer_broker_registers_with_the_controller_of_an_older_release(release: str, version: V) -> None:
    """KAFKA-17497: a broker of 3.9 in the version that such a controller offers, with all features it knows."""
    cluster = Cluster(version, migration=True, state=ZkMigrationState.PRE_MIGRATION)
    newer = [Feature("group.version", 0, 1), Feature("kraft.version", 0, 1), Feature("transaction.version", 0, 2)]
    sent = cluster.registration(1, is_migrating_zk_broker=True, features=[*levels(version, version), *newer])
    assert answer(cluster, BrokerRegistrationRequestData.decode(sent.encode(3), 3), release) is NONE
    assert cluster.image.brokers[1].is_migrating_zk_broker


@pytest.mark.parametrize(("release", "expected"), [("3.4", NONE), ("3.5", NOT_REGISTERED), ("3.9", NOT_REGISTERED)])
def test_c14_since_3_5_brokers_in_kraft_mode_wait_for_the_migration(release: str, expected: ErrorCode) -> None:
    cluster = Cluster(F34, migration=True, state=ZkMigrationState.PRE_MIGRATION)
    assert answer(cluster, cluster.registration(1), release) is expected


def test_the_mode_is_checked_before_the_listeners() -> None:
    cluster = Cluster()
    request = cluster.registration(1, is_migrating_zk_broker=True, listeners=[])
    assert answer(cluster, request) is NOT_REGISTERED


def test_an_unknown_security_protocol_is_refused() -> None:
    cluster = Cluster()
    assert answer(cluster, cluster.registration(1, listeners=[Listener("A", "a", 1, 9)])) is INVALID


def test_a_broker_in_kraft_mode_replaces_its_registration_in_zookeeper_mode() -> None:
    cluster = Cluster(migration=True, state=ZkMigrationState.MIGRATION)
    cluster.register(1, is_migrating_zk_broker=True)
    assert cluster.image.brokers[1].is_migrating_zk_broker

    cluster.register(1)

    assert not cluster.image.brokers[1].is_migrating_zk_broker


def test_taking_over_an_id_whose_session_ended_unnoticed_fences_it_first() -> None:
    cluster = Cluster()
    cluster.start(1, 2)
    cluster.create("a", [1, 2])
    cluster.monotonic_ms += SESSION_MS + 1

    epoch = cluster.register(1)

    kinds = [type(message) for message in cluster.messages]
    assert kinds == [PartitionChangeRecord, BrokerRegistrationChangeRecord, RegisterBrokerRecord]
    assert epoch == cluster.image.offset
    assert (cluster.partition("a").leader, cluster.partition("a").isr) == (2, (2,))


def test_a_registration_starts_a_session_only_for_a_broker_that_stays_unfenced() -> None:
    cluster = Cluster()
    cluster.register(1, incarnation_id=INCARNATION)
    assert cluster.heartbeats.next_expiry_ms() is None
    cluster.heartbeat(1)
    cluster.monotonic_ms += 100

    cluster.register(1, incarnation_id=INCARNATION)

    assert not cluster.image.brokers[1].fenced
    assert cluster.heartbeats.next_expiry_ms() == cluster.monotonic_ms + SESSION_MS + 1


def test_a_refusal_says_who_what_and_what_to_do() -> None:
    cluster = Cluster()
    cluster.start(1)
    with pytest.raises(ApiError) as caught:
        cluster.register(1)
    assert str(caught.value).startswith("DUPLICATE_BROKER_REGISTRATION: Another broker with the id 1 is alive:")
    with pytest.raises(ApiError, match=f"belongs to cluster other, this controller to {CLUSTER_ID}"):
        cluster.register(2, cluster_id="other")
