"""AssignReplicasToDirs (73): v0. A broker says which of its directories hold which replicas.

- Needs CLUSTER_ACTION on the cluster.
- Errors of the whole request: the code at the top.
"""

from __future__ import annotations

from pykraft.controller.assign_replicas import assign_replicas_to_dirs
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.assign_replicas_to_dirs_request import AssignReplicasToDirsRequestData
from pykraft.protocol.messages.assign_replicas_to_dirs_response import AssignReplicasToDirsResponseData
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.ASSIGN_REPLICAS_TO_DIRS)
async def handle(context: RequestContext, request: AssignReplicasToDirsRequestData) -> AssignReplicasToDirsResponseData:
    return await context.node.writer.write(
        lambda ctx: assign_replicas_to_dirs(ctx, request), name="assignReplicasToDirs"
    )
