"""The records that bring about a registered node, as it stands in the image."""

from __future__ import annotations

from pykraft.image.model import BrokerRegistration, ControllerRegistration
from pykraft.protocol.records.register_broker_record import BrokerEndpoint, BrokerFeature, RegisterBrokerRecord
from pykraft.protocol.records.register_controller_record import (
    ControllerEndpoint,
    ControllerFeature,
    RegisterControllerRecord,
)


def register_broker_record(broker: BrokerRegistration) -> RegisterBrokerRecord:
    """Replayed, it gives the same registration, at the offset of this record."""
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
    """Replayed, it gives the same registration."""
    return RegisterControllerRecord(
        controller_id=controller.id,
        incarnation_id=controller.incarnation_id,
        zk_migration_ready=controller.zk_migration_ready,
        end_points=[ControllerEndpoint(e.name, e.host, e.port, e.security_protocol) for e in controller.listeners],
        features=[ControllerFeature(f.name, f.min_version, f.max_version) for f in controller.features],
    )
