"""Vote (52): v0–2. A candidate asks for our vote; from v2 on it may ask beforehand, which binds nobody.

- Answered by the quorum node, see pykraft.raft.quorum; errors of the partition name the leader and its epoch.
- Needs CLUSTER_ACTION on the cluster.
"""

from __future__ import annotations

from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.vote_request import VoteRequestData
from pykraft.raft.events import RaftResponse
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.VOTE)
async def handle(context: RequestContext, request: VoteRequestData) -> RaftResponse:
    return await context.node.quorum.ask(request, context.api_version, context.requester.listener)
