"""The records that bring about what stands in the image; replayed, each gives the same again."""

from __future__ import annotations

from pykraft.image.model import Acl, BrokerRegistration, ControllerRegistration, DelegationToken
from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.register_broker_record import BrokerEndpoint, BrokerFeature, RegisterBrokerRecord
from pykraft.protocol.records.register_controller_record import (
    ControllerEndpoint,
    ControllerFeature,
    RegisterControllerRecord,
)
from pykraft.protocol.uuids import Uuid


def register_broker_record(broker: BrokerRegistration) -> RegisterBrokerRecord:
    """The registration, whose offset will be that of this record."""
    return RegisterBrokerRecord(
        broker_id=broker.id,
        is_migrating_zk_broker=broker.is_migrating_zk_broker,
        incarnation_id=broker.incarnation_id,
        broker_epoch=broker.epoch,
        end_points=[BrokerEndpoint(e.name, e.host, e.port, e.security_protocol) for e in broker.listeners],
        features=[BrokerFeature(f.name, f.min_version, f.max_version) for f in broker.features],
        rack=broker.rack,
        fenced=broker.fenced,
        in_controlled_shutdown=broker.in_controlled_shutdown,
        log_dirs=list(broker.directories),
    )


def register_controller_record(controller: ControllerRegistration) -> RegisterControllerRecord:
    return RegisterControllerRecord(
        controller_id=controller.id,
        incarnation_id=controller.incarnation_id,
        zk_migration_ready=controller.zk_migration_ready,
        end_points=[ControllerEndpoint(e.name, e.host, e.port, e.security_protocol) for e in controller.listeners],
        features=[ControllerFeature(f.name, f.min_version, f.max_version) for f in controller.features],
    )


def access_control_entry_record(acl_id: Uuid, acl: Acl) -> AccessControlEntryRecord:
    return AccessControlEntryRecord(
        id=acl_id,
        resource_type=acl.resource_type,
        resource_name=acl.resource_name,
        pattern_type=acl.pattern_type,
        principal=acl.principal,
        host=acl.host,
        operation=acl.operation,
        permission_type=acl.permission_type,
    )


def delegation_token_record(token: DelegationToken) -> DelegationTokenRecord:
    return DelegationTokenRecord(
        owner=token.owner,
        requester=token.requester,
        renewers=list(token.renewers),
        issue_timestamp=token.issue_timestamp_ms,
        max_timestamp=token.max_timestamp_ms,
        expiration_timestamp=token.expiration_timestamp_ms,
        token_id=token.token_id,
    )
