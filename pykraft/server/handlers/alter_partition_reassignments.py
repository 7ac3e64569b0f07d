"""AlterPartitionReassignments (45): v0–1. Starts, changes and cancels reassignments.

- Waits at most the request's timeoutMs for its turn.
- Errors of the whole request: code and message at the top and at every partition.
- Needs ALTER on the cluster.
"""

from __future__ import annotations

from pykraft.controller.reassignment import alter_partition_reassignments
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.alter_partition_reassignments_request import AlterPartitionReassignmentsRequestData
from pykraft.protocol.messages.alter_partition_reassignments_response import (
    AlterPartitionReassignmentsResponseData,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: AlterPartitionReassignmentsRequestData, error: RequestError
) -> AlterPartitionReassignmentsResponseData:
    topics = [
        ReassignableTopicResponse(
            name=topic.name,
            partitions=[
                ReassignablePartitionResponse(
                    partition_index=partition.partition_index, error_code=error.code, error_message=error.message
                )
                for partition in topic.partitions
            ],
        )
        for topic in request.topics
    ]
    return AlterPartitionReassignmentsResponseData(error_code=error.code, error_message=error.message, responses=topics)


@handles(ApiKey.ALTER_PARTITION_REASSIGNMENTS, place_error=_place_error)
async def handle(
    context: RequestContext, request: AlterPartitionReassignmentsRequestData
) -> AlterPartitionReassignmentsResponseData:
    return await context.node.writer.write(
        lambda ctx: alter_partition_reassignments(ctx, request),
        name="alterPartitionReassignments",
        timeout_ms=request.timeout_ms,
    )
