"""DescribeAcls (29): v0–3. The access control entries a filter matches, from the committed image.

- A body with codes that Kafka does not know closes the connection, as with Kafka.
- Errors: code and message at the top.
- Needs DESCRIBE on the cluster.
"""

from __future__ import annotations

from pykraft.controller.acls import check_describe_acls_body, describe_acls
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.describe_acls_request import DescribeAclsRequestData
from pykraft.protocol.messages.describe_acls_response import DescribeAclsResponseData
from pykraft.server.registry import RequestContext, handles, top_level_error


@handles(ApiKey.DESCRIBE_ACLS, place_error=top_level_error, check_body=check_describe_acls_body)
async def handle(context: RequestContext, request: DescribeAclsRequestData) -> DescribeAclsResponseData:
    config = context.node.config
    return await context.node.writer.read(lambda image: describe_acls(image, config, request))
