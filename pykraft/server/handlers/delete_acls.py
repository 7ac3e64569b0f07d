"""DeleteAcls (31): v0–3. Removes what the filters match, one result per filter.

- A body with codes that Kafka does not know closes the connection, as with Kafka.
- Errors of the whole request: at every filter.
- Needs ALTER on the cluster.
"""

from __future__ import annotations

from pykraft.controller.acls import check_delete_acls_body, delete_acls
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.delete_acls_request import DeleteAclsRequestData
from pykraft.protocol.messages.delete_acls_response import DeleteAclsFilterResult, DeleteAclsResponseData
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: DeleteAclsRequestData, error: RequestError
) -> DeleteAclsResponseData:
    return DeleteAclsResponseData(
        filter_results=[
            DeleteAclsFilterResult(error_code=error.code, error_message=error.message) for _ in request.filters
        ]
    )


@handles(ApiKey.DELETE_ACLS, place_error=_place_error, check_body=check_delete_acls_body)
async def handle(context: RequestContext, request: DeleteAclsRequestData) -> DeleteAclsResponseData:
    return await context.node.writer.write(lambda ctx: delete_acls(ctx, request), name="deleteAcls")
