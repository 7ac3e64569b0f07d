"""DeleteTopics (20): v0–6. Topics by name or, v6, by id.

- Waits at most the request's timeoutMs for its turn.
- Errors of the whole request: at every topic, without a message.
- Needs DELETE on the cluster or the topic; without DESCRIBE a topic looks the same whether it exists or not.
Left out: the controller mutation quota (THROTTLING_QUOTA_EXCEEDED).
"""

from __future__ import annotations

from pykraft.controller.topics import delete_topics
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData
from pykraft.protocol.messages.delete_topics_response import DeletableTopicResult, DeleteTopicsResponseData
from pykraft.server.registry import RequestContext, RequestError, handles


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
    return await context.node.writer.write(
        lambda ctx: delete_topics(ctx, request, context.api_version, context.authorize),
        name="deleteTopics",
        timeout_ms=request.timeout_ms,
    )
