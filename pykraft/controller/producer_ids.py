"""AllocateProducerIds: blocks of producer ids for brokers.

Source: metadata/.../controller/ProducerIdControlManager.java.
"""

from __future__ import annotations

from typing import Final

from pykraft.controller.errors import ApiError, broker_with_epoch
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.allocate_producer_ids_request import AllocateProducerIdsRequestData
from pykraft.protocol.messages.allocate_producer_ids_response import AllocateProducerIdsResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord

PRODUCER_IDS_PER_BLOCK: Final = 1_000
_INT64_MAX: Final = (1 << 63) - 1


def allocate_producer_ids(
    ctx: OperationContext, request: AllocateProducerIdsRequestData
) -> ControllerResult[AllocateProducerIdsResponseData]:
    """Give a broker the next block of producer ids (v0).

    Raises ApiError STALE_BROKER_EPOCH for a broker of another epoch, UNKNOWN_SERVER_ERROR when no ids are left.
    """
    broker_with_epoch(ctx.image, request.broker_id, request.broker_epoch)
    first = max(ctx.image.producer_ids.next_producer_id, 0)
    if first > _INT64_MAX - PRODUCER_IDS_PER_BLOCK:
        raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, f"All producer ids are used up: the next one would be {first}")
    record = ProducerIdsRecord(
        broker_id=request.broker_id,
        broker_epoch=request.broker_epoch,
        next_producer_id=first + PRODUCER_IDS_PER_BLOCK,
    )
    response = AllocateProducerIdsResponseData(producer_id_start=first, producer_id_len=PRODUCER_IDS_PER_BLOCK)
    return ControllerResult(response, [ApiMessageAndVersion(record, 0)])
