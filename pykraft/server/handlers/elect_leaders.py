"""ElectLeaders (43): v0–2. Preferred and unclean elections of named or of all partitions.

- Waits at most the request's timeoutMs for its turn.
- Needs ALTER on the cluster.
- Errors of the whole request: the code at the top (v1+) and at every named partition.
"""

from __future__ import annotations

from pykraft.controller.election import elect_leaders
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.elect_leaders_request import ElectLeadersRequestData
from pykraft.protocol.messages.elect_leaders_response import (
    ElectLeadersResponseData,
    PartitionResult,
    ReplicaElectionResult,
)
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: ElectLeadersRequestData, error: RequestError
) -> ElectLeadersResponseData:
    results = [
        ReplicaElectionResult(
            topic=topic.topic,
            partition_result=[
                PartitionResult(partition_id=partition, error_code=error.code, error_message=error.message)
                for partition in topic.partitions
            ],
        )
        for topic in request.topic_partitions or ()
    ]
    code = error.code if context.api_version >= 1 else 0
    return ElectLeadersResponseData(error_code=code, replica_election_results=results)


@handles(ApiKey.ELECT_LEADERS, place_error=_place_error)
async def handle(context: RequestContext, request: ElectLeadersRequestData) -> ElectLeadersResponseData:
    return await context.node.writer.write(
        lambda ctx: elect_leaders(ctx, request), name="electLeaders", timeout_ms=request.timeout_ms
    )
