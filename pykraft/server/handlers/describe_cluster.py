"""DescribeCluster (60): v0–2. The controllers of the quorum, for clients that talk to controllers directly.

- Below metadata.version 3.7-IV0: UNSUPPORTED_VERSION (35), as controllers do not register there.
- v0 and an endpoint type other than CONTROLLER are refused as Kafka does.
- Controllers are never fenced, so v2's IncludeFencedBrokers adds none.
- Errors: code and message at the top.
- Needs ALTER on the cluster.
"""

from __future__ import annotations

from pykraft.controller.describe import describe_cluster
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.describe_cluster_request import DescribeClusterRequestData
from pykraft.protocol.messages.describe_cluster_response import DescribeClusterResponseData
from pykraft.server.registry import RequestContext, handles, top_level_error


@handles(ApiKey.DESCRIBE_CLUSTER, place_error=top_level_error)
async def handle(context: RequestContext, request: DescribeClusterRequestData) -> DescribeClusterResponseData:
    node, listener, version = context.node, context.requester.listener, context.api_version
    return await node.writer.read(
        lambda image: describe_cluster(
            image, node.cluster_id, node.leader_id, listener, request, version, context.authorize
        )
    )
