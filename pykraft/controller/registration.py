"""BrokerRegistration: who may join the cluster, and as what.

Source: metadata/.../controller/ClusterControlManager.java, registerBroker, of the Kafka releases named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Final

from pykraft.controller.errors import ApiError
from pykraft.controller.fencing import fence_records
from pykraft.controller.partition_change import (
    leader_and_isr_updates,
    partitions_with_elr_member,
    partitions_with_isr_member,
    zk_registration_allowed,
)
from pykraft.controller.releases import KRAFT_VERSION
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.metadata_version import FEATURE_NAME, MINIMUM_VERSION
from pykraft.image.model import BrokerRegistration, ZkMigrationState
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.register_broker_record import BrokerEndpoint, BrokerFeature, RegisterBrokerRecord
from pykraft.protocol.uuids import uuid_to_text

RESERVED_DIRECTORIES: Final = 100
"""Directory ids below this number are Kafka's own (DirectoryId.reserved)."""

SECURITY_PROTOCOLS: Final = range(4)
"""PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL."""


@dataclass(frozen=True, slots=True)
class RegistrationRules:
    """What the releases of Kafka do differently."""

    kraft_brokers_wait_for_migration: bool = True
    inter_broker_listener_required: bool = True
    features_without_level_must_allow_0: bool = True
    finalized_features_must_be_listed: bool = True
    same_incarnation_stays_as_it_is: bool = True
    same_incarnation_keeps_epoch: bool = True
    metadata_version_must_be_listed: bool = False
    zookeeper_is_known: bool = True
    tells_unclean_shutdowns: bool = False


_RULES_4_0: Final = RegistrationRules(
    metadata_version_must_be_listed=True, zookeeper_is_known=False, tells_unclean_shutdowns=True
)
_RULES_3_9: Final = RegistrationRules()
_RULES_3_8: Final = RegistrationRules(
    inter_broker_listener_required=False, finalized_features_must_be_listed=False, same_incarnation_keeps_epoch=False
)
_RULES_3_7: Final = RegistrationRules(
    inter_broker_listener_required=False,
    features_without_level_must_allow_0=False,
    finalized_features_must_be_listed=False,
    same_incarnation_keeps_epoch=False,
)
_RULES_3_5: Final = RegistrationRules(
    inter_broker_listener_required=False,
    features_without_level_must_allow_0=False,
    finalized_features_must_be_listed=False,
    same_incarnation_stays_as_it_is=False,
    same_incarnation_keeps_epoch=False,
)
_RULES_3_4: Final = RegistrationRules(
    kraft_brokers_wait_for_migration=False,
    inter_broker_listener_required=False,
    features_without_level_must_allow_0=False,
    finalized_features_must_be_listed=False,
    same_incarnation_stays_as_it_is=False,
    same_incarnation_keeps_epoch=False,
)

REGISTRATION_RULES: Final[Mapping[str, RegistrationRules]] = MappingProxyType(
    {
        "3.4": _RULES_3_4,
        "3.5": _RULES_3_5,
        "3.6": _RULES_3_5,
        "3.7": _RULES_3_7,
        "3.8": _RULES_3_8,
        "3.9": _RULES_3_9,
        "4.0": _RULES_4_0,
        "4.1": _RULES_4_0,
    }
)
"""By Kafka release. 4.0 and 4.1 also hold a fenced broker's id for its last session, 9 s after a clean shutdown: that
is left out, and another incarnation may take it at once as in 3.9."""


def register_broker(
    ctx: OperationContext, request: BrokerRegistrationRequestData
) -> ControllerResult[BrokerRegistrationResponseData]:
    """Register a broker, fenced until its heartbeats show that it has caught up, and start its session.

    What is checked, and what stays of a registration that the same incarnation repeats, goes by the release stood for.

    The broker epoch is the offset of its RegisterBrokerRecord. A broker whose session has ended, but which was not
    fenced yet, is fenced first when another incarnation takes its id, so that no fenced broker is left a leader.
    From 4.0 on the partitions are looked after without that, and the epoch is the offset of the first record: another
    incarnation leaves every ISR, and the eligible leader replicas too unless it names the epoch of the one before,
    which tells that that one was shut down in order.

    Raises ApiError: INCONSISTENT_CLUSTER_ID, DUPLICATE_BROKER_REGISTRATION, BROKER_ID_NOT_REGISTERED,
    INVALID_REGISTRATION, UNSUPPORTED_VERSION.
    """
    broker_id, rules = request.broker_id, REGISTRATION_RULES[ctx.config.release]
    if request.cluster_id != ctx.cluster_id:
        raise ApiError(
            ErrorCode.INCONSISTENT_CLUSTER_ID,
            f"Broker {broker_id} belongs to cluster {request.cluster_id}, this controller to {ctx.cluster_id}:"
            " correct the broker's cluster.id or its controller.quorum.voters",
        )
    existing = ctx.image.brokers.get(broker_id)
    same_incarnation = existing is not None and existing.incarnation_id == request.incarnation_id
    if not same_incarnation and ctx.heartbeats.has_valid_session(broker_id, ctx.monotonic_ms):
        raise ApiError(
            ErrorCode.DUPLICATE_BROKER_REGISTRATION,
            f"Another broker with the id {broker_id} is alive: give this one another broker.id, or wait for the"
            f" other's session of {ctx.config.broker_session_timeout_ms} ms to end",
        )
    _check_mode(ctx, request, rules)
    _check_listeners(ctx, request, rules)
    if ctx.image.metadata_version.is_directory_assignment_supported:
        _check_directories(ctx, request)
    features = _checked_features(ctx, request, rules)

    records: list[ApiMessageAndVersion] = []
    record = _record(ctx, request, features)
    if rules.tells_unclean_shutdowns:
        if not same_incarnation:
            is_clean = existing is not None and existing.epoch == request.previous_broker_epoch
            records = _shutdown_records(ctx, broker_id, is_clean=is_clean)
        record.broker_epoch = ctx.next_offset
    else:
        if existing is not None and not same_incarnation and not existing.fenced:
            records = fence_records(ctx, existing)
        record.broker_epoch = ctx.next_offset + len(records)
    if existing is not None and same_incarnation:
        _keep_standing(record, existing, rules)
    atomic = not records
    records.append(ApiMessageAndVersion(record, ctx.image.metadata_version.register_broker_record_version))
    ctx.heartbeats.register(broker_id, fenced=record.fenced, monotonic_ms=ctx.monotonic_ms)
    return ControllerResult(BrokerRegistrationResponseData(broker_epoch=record.broker_epoch), records, atomic=atomic)


def _shutdown_records(ctx: OperationContext, broker_id: int, *, is_clean: bool) -> list[ApiMessageAndVersion]:
    """What follows for partitions from the end of the incarnation before (handleBrokerShutdown)."""
    in_sync = partitions_with_isr_member(ctx.image, broker_id)
    if is_clean or not ctx.image.is_elr_enabled:
        return leader_and_isr_updates(ctx, in_sync, remove=broker_id)
    eligible = partitions_with_elr_member(ctx.image, broker_id)
    return leader_and_isr_updates(ctx, chain(in_sync, eligible), unclean_shutdown=broker_id)


def _keep_standing(record: RegisterBrokerRecord, existing: BrokerRegistration, rules: RegistrationRules) -> None:
    if rules.same_incarnation_stays_as_it_is:
        record.fenced = existing.fenced
        record.in_controlled_shutdown = existing.in_controlled_shutdown
    if rules.same_incarnation_keeps_epoch:
        record.broker_epoch = existing.epoch


def _check_mode(ctx: OperationContext, request: BrokerRegistrationRequestData, rules: RegistrationRules) -> None:
    broker_id = request.broker_id
    if request.is_migrating_zk_broker and not (rules.zookeeper_is_known and zk_registration_allowed(ctx)):
        raise ApiError(
            ErrorCode.BROKER_ID_NOT_REGISTERED,
            f"Broker {broker_id} is in ZooKeeper mode and this controller takes no such brokers: it needs"
            " zookeeper.metadata.migration.enable=true and metadata.version 3.4-IV0 or later, and has"
            f" {str(ctx.migration_enabled).lower()} and {ctx.image.metadata_version.text}",
        )
    if (
        rules.kraft_brokers_wait_for_migration
        and not request.is_migrating_zk_broker
        and ctx.image.zk_migration_state is ZkMigrationState.PRE_MIGRATION
    ):
        raise ApiError(
            ErrorCode.BROKER_ID_NOT_REGISTERED,
            f"Broker {broker_id} is in KRaft mode and the metadata is not migrated yet: start it in ZooKeeper mode"
            " with zookeeper.metadata.migration.enable=true until it is",
        )


def _check_listeners(ctx: OperationContext, request: BrokerRegistrationRequestData, rules: RegistrationRules) -> None:
    wanted = ctx.config.inter_broker_listener_name
    if (
        rules.inter_broker_listener_required
        and request.is_migrating_zk_broker
        and all(listener.name != wanted for listener in request.listeners)
    ):
        raise ApiError(
            ErrorCode.INVALID_REGISTRATION,
            f"Broker {request.broker_id} has no listener {wanted}, which the controller's"
            " inter.broker.listener.name says it will be reached at",
        )
    for listener in request.listeners:
        if listener.security_protocol not in SECURITY_PROTOCOLS:
            raise ApiError(
                ErrorCode.INVALID_REGISTRATION,
                f"Listener {listener.name} of broker {request.broker_id} has the unknown security protocol"
                f" {listener.security_protocol}",
            )


def _check_directories(ctx: OperationContext, request: BrokerRegistrationRequestData) -> None:
    broker_id, directories = request.broker_id, request.log_dirs
    if not directories:
        raise ApiError(
            ErrorCode.INVALID_REGISTRATION,
            f"Broker {broker_id} named no log directories, which metadata.version {ctx.image.metadata_version.text}"
            " asks for",
        )
    if any(int.from_bytes(directory) < RESERVED_DIRECTORIES for directory in directories):
        raise ApiError(ErrorCode.INVALID_REGISTRATION, f"Broker {broker_id} named a reserved log directory id")
    if len(set(directories)) != len(directories):
        raise ApiError(ErrorCode.INVALID_REGISTRATION, f"Broker {broker_id} named a log directory id twice")
    for other in ctx.image.brokers.values():
        if other.id != broker_id:
            for directory in directories:
                if directory in other.directories:
                    raise ApiError(
                        ErrorCode.INVALID_REGISTRATION,
                        f"Broker {broker_id} named the log directory {uuid_to_text(directory)} that broker {other.id}"
                        " is registered with",
                    )


def _checked_features(
    ctx: OperationContext, request: BrokerRegistrationRequestData, rules: RegistrationRules
) -> list[BrokerFeature]:
    """The features for the record, each checked against its finalized level."""
    finalized = {FEATURE_NAME: MINIMUM_VERSION.value, **ctx.image.features}
    if ctx.kraft_version:
        finalized[KRAFT_VERSION] = ctx.kraft_version
    listed = list(request.features)
    lacks_version = all(feature.name != FEATURE_NAME for feature in listed)
    if lacks_version and not rules.metadata_version_must_be_listed:
        # Brokers that send no range know the first metadata.version only.
        listed.append(Feature(FEATURE_NAME, MINIMUM_VERSION.value, MINIMUM_VERSION.value))
    for feature in listed:
        if feature.name in finalized or rules.features_without_level_must_allow_0:
            _check_feature(request.broker_id, feature, finalized.get(feature.name, 0))
    if lacks_version and rules.metadata_version_must_be_listed:
        raise ApiError(ErrorCode.INVALID_REGISTRATION, f"Broker {request.broker_id} does not tell its metadata.version")
    if rules.finalized_features_must_be_listed:
        for name in finalized.keys() - {feature.name for feature in listed}:
            _check_feature(request.broker_id, Feature(name, 0, 0), finalized[name])
    return [BrokerFeature(f.name, f.min_supported_version, f.max_supported_version) for f in listed]


def _check_feature(broker_id: int, feature: Feature, level: int) -> None:
    if not feature.min_supported_version <= level <= feature.max_supported_version:
        raise ApiError(
            ErrorCode.UNSUPPORTED_VERSION,
            f"Broker {broker_id} does not support {feature.name} {level}, the cluster's level: it supports"
            f" {feature.min_supported_version} to {feature.max_supported_version}. Use a broker release, or for a"
            " broker in ZooKeeper mode an inter.broker.protocol.version, that matches",
        )


def _record(
    ctx: OperationContext, request: BrokerRegistrationRequestData, features: list[BrokerFeature]
) -> RegisterBrokerRecord:
    return RegisterBrokerRecord(
        broker_id=request.broker_id,
        is_migrating_zk_broker=request.is_migrating_zk_broker,
        incarnation_id=request.incarnation_id,
        end_points=[BrokerEndpoint(e.name, e.host, e.port, e.security_protocol) for e in request.listeners],
        features=features,
        rack=request.rack,
        fenced=True,
        log_dirs=list(request.log_dirs) if ctx.image.metadata_version.is_directory_assignment_supported else [],
    )
