"""UnregisterBroker: a broker leaves the cluster for good.

Source: ReplicationControlManager.unregisterBroker (Kafka 3.9 and 4.1).
"""

from __future__ import annotations

from pykraft.controller.errors import ApiError, check_record_limit
from pykraft.controller.partition_change import (
    leader_and_isr_updates,
    partitions_with_elr_member,
    partitions_with_isr_member,
)
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from pykraft.protocol.messages.unregister_broker_response import UnregisterBrokerResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.unregister_broker_record import UnregisterBrokerRecord


def unregister_broker(
    ctx: OperationContext, request: UnregisterBrokerRequestData
) -> ControllerResult[UnregisterBrokerResponseData]:
    """Take a broker, alive or not, out of every ISR and forget its registration and session.

    Raises ApiError BROKER_ID_NOT_REGISTERED, POLICY_VIOLATION.
    """
    broker = ctx.image.brokers.get(request.broker_id)
    if broker is None:
        raise ApiError(ErrorCode.BROKER_ID_NOT_REGISTERED, f"Broker {request.broker_id} is not registered")
    records = leader_and_isr_updates(ctx, partitions_with_isr_member(ctx.image, broker.id), remove=broker.id)
    records += leader_and_isr_updates(ctx, partitions_with_elr_member(ctx.image, broker.id), remove=broker.id)
    unregister = UnregisterBrokerRecord(broker_id=broker.id, broker_epoch=broker.epoch)
    records.append(ApiMessageAndVersion(unregister, 0))
    check_record_limit(records)
    ctx.heartbeats.remove(broker.id)
    return ControllerResult(UnregisterBrokerResponseData(error_message=None), records)
