"""DescribeQuorum (55): v0–2. Leader, epoch, high watermark, and how far voters and observers are.

- Answered by the quorum node, see pykraft.raft.quorum. v1 adds the replicas' times, v2 directory ids and endpoints.
- Needs DESCRIBE on the cluster.
"""

from __future__ import annotations

from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.describe_quorum_request import DescribeQuorumRequestData
from pykraft.raft.events import RaftResponse
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.DESCRIBE_QUORUM)
async def handle(context: RequestContext, request: DescribeQuorumRequestData) -> RaftResponse:
    return await context.node.quorum.ask(request, context.api_version, context.requester.listener)
