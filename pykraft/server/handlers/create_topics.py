"""CreateTopics (19): v0–7. Topics by count, by assignment, or validated only.

- Waits at most the request's timeoutMs for its turn.
- Errors of the whole request: at every topic.
- Needs CREATE on the cluster or the topic; DESCRIBE_CONFIGS to see what the topic got.
Left out: the controller mutation quota (THROTTLING_QUOTA_EXCEEDED).
"""

from __future__ import annotations

from pykraft.controller.topics import create_topics
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.create_topics_request import CreateTopicsRequestData
from pykraft.protocol.messages.create_topics_response import CreatableTopicResult, CreateTopicsResponseData
from pykraft.server.registry import RequestContext, RequestError, handles


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
    return await context.node.writer.write(
        lambda ctx: create_topics(ctx, request, context.api_version, context.authorize),
        name="createTopics",
        timeout_ms=request.timeout_ms,
    )
