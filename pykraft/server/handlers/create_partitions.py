"""CreatePartitions (37): v0–3. More partitions for topics.

- Waits at most the request's timeoutMs for its turn.
- Errors of the whole request: at every topic.
- Needs ALTER on the topic.
Left out: the controller mutation quota (THROTTLING_QUOTA_EXCEEDED).
"""

from __future__ import annotations

from pykraft.controller.partitions import create_partitions
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData
from pykraft.protocol.messages.create_partitions_response import (
    CreatePartitionsResponseData,
    CreatePartitionsTopicResult,
)
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: CreatePartitionsRequestData, error: RequestError
) -> CreatePartitionsResponseData:
    return CreatePartitionsResponseData(
        results=[
            CreatePartitionsTopicResult(name=topic.name, error_code=error.code, error_message=error.message)
            for topic in request.topics
        ]
    )


@handles(ApiKey.CREATE_PARTITIONS, place_error=_place_error)
async def handle(context: RequestContext, request: CreatePartitionsRequestData) -> CreatePartitionsResponseData:
    return await context.node.writer.write(
        lambda ctx: create_partitions(ctx, request, context.authorize),
        name="createPartitions",
        timeout_ms=request.timeout_ms,
    )
