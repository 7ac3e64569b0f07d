"""Aborting a metadata transaction without losing the brokers that registered while it was open."""

from __future__ import annotations

from pykraft.controller.result import OperationContext
from pykraft.image.records import register_broker_record, register_controller_record
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.abort_transaction_record import AbortTransactionRecord
from pykraft.protocol.records.unregister_broker_record import UnregisterBrokerRecord


def abort_transaction(ctx: OperationContext, reason: str) -> list[ApiMessageAndVersion]:
    """The records that abort the open transaction and write once more what nodes did meanwhile.

    A metadata transaction holds all records between its begin and its end, also those of heartbeats and registrations
    that were served while ZooKeeper was copied. An abort alone would take these back, and a broker whose registration
    is gone is refused with STALE_BROKER_EPOCH for good: it registers once per start. Raises ValueError when no
    transaction is open.
    """
    image = ctx.image
    changes = image.transaction_changes
    if changes is None:
        raise ValueError("no transaction is open to abort")
    records = [ApiMessageAndVersion(AbortTransactionRecord(reason=reason), 0)]
    version = image.metadata_version.register_broker_record_version
    for broker_id, before in changes.brokers.items():
        broker = image.brokers.get(broker_id)
        if broker is not None:
            records.append(ApiMessageAndVersion(register_broker_record(broker), version))
        elif before is not None:
            unregister = UnregisterBrokerRecord(broker_id=broker_id, broker_epoch=before.epoch)
            records.append(ApiMessageAndVersion(unregister, 0))
    for controller_id in changes.controllers:
        record = register_controller_record(image.controllers[controller_id])
        records.append(ApiMessageAndVersion(record, 0))
    return records
