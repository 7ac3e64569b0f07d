"""CreateTopics (19): v0–7. Topics by count, by assignment, or validated only.

- Waits at most the request's timeoutMs for its turn.
- Errors of the whole request: at every topic.
- Needs CREATE on the cluster or the topic; DESCRIBE_CONFIGS to see what the topic got.
- Kept to the controller mutation quota of the requester's user and client id, strictly from v6 on
  (THROTTLING_QUOTA_EXCEEDED), before that by throttleTimeMs alone.
"""

from __future__ import annotations

from typing import Final

from pykraft.controller.topics import create_topics
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.create_topics_request import CreateTopicsRequestData
from pykraft.protocol.messages.create_topics_response import CreatableTopicResult, CreateTopicsResponseData
from pykraft.server.registry import RequestContext, RequestError, handles

STRICT_SINCE: Final = 6


def _place_error(
    context: RequestContext, request: CreateTopicsRequestData, error: RequestError
) -> CreateTopicsResponseData:
    return CreateTopicsResponseData(
        topics=[
            CreatableTopicResult(name=topic.name, error_code=error.code, error_message=error.message)
            for topic in request.topics
        ]
    )


@handles(ApiKey.CREATE_TOPICS, place_error=_place_error)
async def handle(context: RequestContext, request: CreateTopicsRequestData) -> CreateTopicsResponseData:
    quota = context.mutation_quota(STRICT_SINCE)
    response = await context.node.writer.write(
        lambda ctx: create_topics(ctx, request, context.api_version, context.authorize, quota),
        name="createTopics",
        timeout_ms=request.timeout_ms,
    )
    response.throttle_time_ms = quota.throttle_time_ms(context.node.now_ms())
    return response
