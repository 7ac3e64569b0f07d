"""BeginQuorumEpoch (53): v0–1. A new leader announces itself.

- Answered by the quorum node, see pykraft.raft.quorum; errors of the partition name the leader and its epoch.
- Needs CLUSTER_ACTION on the cluster.
"""

from __future__ import annotations

from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.begin_quorum_epoch_request import BeginQuorumEpochRequestData
from pykraft.raft.events import RaftResponse
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.BEGIN_QUORUM_EPOCH)
async def handle(context: RequestContext, request: BeginQuorumEpochRequestData) -> RaftResponse:
    return await context.node.quorum.ask(request, context.api_version, context.requester.listener)
