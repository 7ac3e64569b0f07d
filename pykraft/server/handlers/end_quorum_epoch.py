"""EndQuorumEpoch (54): v0–1. A leader resigns and names who should follow.

- Answered by the quorum node, see pykraft.raft.quorum; errors of the partition name the leader and its epoch.
- Needs CLUSTER_ACTION on the cluster.
"""

from __future__ import annotations

from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.end_quorum_epoch_request import EndQuorumEpochRequestData
from pykraft.raft.events import RaftResponse
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.END_QUORUM_EPOCH)
async def handle(context: RequestContext, request: EndQuorumEpochRequestData) -> RaftResponse:
    return await context.node.quorum.ask(request, context.api_version, context.requester.listener)
