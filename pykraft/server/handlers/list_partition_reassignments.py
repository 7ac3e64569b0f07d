"""ListPartitionReassignments (46): v0. What is being reassigned, from the committed image.

- Errors of the whole request: code and message at the top, the partitions asked for without replicas.
- Needs DESCRIBE on the cluster.
"""

from __future__ import annotations

from pykraft.controller.reassignment import list_partition_reassignments
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.list_partition_reassignments_request import ListPartitionReassignmentsRequestData
from pykraft.protocol.messages.list_partition_reassignments_response import (
    ListPartitionReassignmentsResponseData,
    OngoingPartitionReassignment,
    OngoingTopicReassignment,
)
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: ListPartitionReassignmentsRequestData, error: RequestError
) -> ListPartitionReassignmentsResponseData:
    topics = [
        OngoingTopicReassignment(
            name=topic.name,
            partitions=[OngoingPartitionReassignment(partition_index=index) for index in topic.partition_indexes],
        )
        for topic in request.topics or ()
    ]
    return ListPartitionReassignmentsResponseData(error_code=error.code, error_message=error.message, topics=topics)


@handles(ApiKey.LIST_PARTITION_REASSIGNMENTS, place_error=_place_error)
async def handle(
    context: RequestContext, request: ListPartitionReassignmentsRequestData
) -> ListPartitionReassignmentsResponseData:
    return await context.node.writer.read(lambda image: list_partition_reassignments(image, request))
