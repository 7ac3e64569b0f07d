"""Fetch (1): v0–18, of which observers need v13 and above. The metadata log, long-polled.

- Only `__cluster_metadata`-0 by its topic id; anything else, and so any version below 13, gets 42 at the top.
- Which records, a divergence or a snapshot: pykraft.raft.divergence. Waits up to MaxWaitMs for the log or the high
  watermark to move; the leader is named in every answer.
- Errors of the whole request: the code at the top, below v13 also at every partition.
- Needs CLUSTER_ACTION on the cluster.
Left out: sessions (the id is not looked at); v18's HighWatermark, since a replica is told a new high watermark at once
whatever it says.
"""

from __future__ import annotations

from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.fetch_request import FetchRequestData
from pykraft.protocol.messages.fetch_response import FetchableTopicResponse, FetchResponseData, PartitionData
from pykraft.raft.events import RaftResponse
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(context: RequestContext, request: FetchRequestData, error: RequestError) -> RaftResponse:
    topics = (
        []
        if context.api_version >= 13
        else [
            FetchableTopicResponse(
                topic=topic.topic,
                topic_id=topic.topic_id,
                partitions=[
                    PartitionData(partition_index=partition.partition, error_code=error.code, high_watermark=-1)
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
    return FetchResponseData(error_code=error.code, session_id=request.session_id, responses=topics)


@handles(ApiKey.FETCH, place_error=_place_error)
async def handle(context: RequestContext, request: FetchRequestData) -> RaftResponse:
    return await context.node.quorum.ask(request, context.api_version, context.requester.listener)
