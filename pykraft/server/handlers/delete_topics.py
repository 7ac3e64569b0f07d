"""DeleteTopics (20): v0–6. Topics by name or, v6, by id.

- Waits at most the request's timeoutMs for its turn.
- Errors of the whole request: at every topic, without a message.
- Needs DELETE on the cluster or the topic; without DESCRIBE a topic looks the same whether it exists or not.
- Kept to the controller mutation quota of the requester's user and client id, strictly from v5 on
  (THROTTLING_QUOTA_EXCEEDED), before that by throttleTimeMs alone.
"""

from __future__ import annotations

from typing import Final

from pykraft.controller.topics import delete_topics
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData
from pykraft.protocol.messages.delete_topics_response import DeletableTopicResult, DeleteTopicsResponseData
from pykraft.server.registry import RequestContext, RequestError, handles

STRICT_SINCE: Final = 5


def _place_error(
    context: RequestContext, request: DeleteTopicsRequestData, error: RequestError
) -> DeleteTopicsResponseData:
    results = [DeletableTopicResult(name=name, error_code=error.code) for name in request.topic_names]
    results += [
        DeletableTopicResult(name=topic.name, topic_id=topic.topic_id, error_code=error.code)
        for topic in request.topics
    ]
    return DeleteTopicsResponseData(responses=results)


@handles(ApiKey.DELETE_TOPICS, place_error=_place_error)
async def handle(context: RequestContext, request: DeleteTopicsRequestData) -> DeleteTopicsResponseData:
    quota = context.mutation_quota(STRICT_SINCE)
    response = await context.node.writer.write(
        lambda ctx: delete_topics(ctx, request, context.api_version, context.authorize, quota),
        name="deleteTopics",
        timeout_ms=request.timeout_ms,
    )
    response.throttle_time_ms = quota.throttle_time_ms(context.node.now_ms())
    return response
