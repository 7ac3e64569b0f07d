"""AllocateProducerIds (67): v0. A block of 1000 producer ids for a broker.

- Needs CLUSTER_ACTION on the cluster.
- Errors: the code at the top.
"""

from __future__ import annotations

from pykraft.controller.producer_ids import allocate_producer_ids
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.allocate_producer_ids_request import AllocateProducerIdsRequestData
from pykraft.protocol.messages.allocate_producer_ids_response import AllocateProducerIdsResponseData
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.ALLOCATE_PRODUCER_IDS)
async def handle(context: RequestContext, request: AllocateProducerIdsRequestData) -> AllocateProducerIdsResponseData:
    return await context.node.writer.write(lambda ctx: allocate_producer_ids(ctx, request), name="allocateProducerIds")
