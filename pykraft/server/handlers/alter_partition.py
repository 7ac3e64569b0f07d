"""AlterPartition (56): v0–3. A leader reports the ISR it sees.

- Checks and errors per partition: pykraft.controller.alter_partition. No time-out.
- Needs CLUSTER_ACTION on the cluster.
- Errors of the whole request: the code at the top.
"""

from __future__ import annotations

from pykraft.controller.alter_partition import alter_partition
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.alter_partition_request import AlterPartitionRequestData
from pykraft.protocol.messages.alter_partition_response import AlterPartitionResponseData
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.ALTER_PARTITION)
async def handle(context: RequestContext, request: AlterPartitionRequestData) -> AlterPartitionResponseData:
    return await context.node.writer.write(
        lambda ctx: alter_partition(ctx, request, context.api_version), name="alterPartition"
    )
