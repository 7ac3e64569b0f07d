"""CreatePartitions (37): v0–3. More partitions for topics.

- Waits at most the request's timeoutMs for its turn.
- Errors of the whole request: at every topic.
- Needs ALTER on the topic.
- Kept to the controller mutation quota of the requester's user and client id, strictly from v3 on
  (THROTTLING_QUOTA_EXCEEDED), before that by throttleTimeMs alone.
"""

from __future__ import annotations

from typing import Final

from pykraft.controller.partitions import create_partitions
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData
from pykraft.protocol.messages.create_partitions_response import (
    CreatePartitionsResponseData,
    CreatePartitionsTopicResult,
)
from pykraft.server.registry import RequestContext, RequestError, handles

STRICT_SINCE: Final = 3


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
    quota = context.mutation_quota(STRICT_SINCE)
    response = await context.node.writer.write(
        lambda ctx: create_partitions(ctx, request, context.authorize, quota),
        name="createPartitions",
        timeout_ms=request.timeout_ms,
    )
    response.throttle_time_ms = quota.throttle_time_ms(context.node.now_ms())
    return response
