"""CreateAcls (30): v0–3. Access control entries, one result each.

- A body with codes that Kafka does not know closes the connection, as with Kafka.
- Errors of the whole request: at every creation.
- Needs ALTER on the cluster.
"""

from __future__ import annotations

from pykraft.controller.acls import check_create_acls_body, create_acls
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.create_acls_request import CreateAclsRequestData
from pykraft.protocol.messages.create_acls_response import AclCreationResult, CreateAclsResponseData
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: CreateAclsRequestData, error: RequestError
) -> CreateAclsResponseData:
    return CreateAclsResponseData(
        results=[AclCreationResult(error_code=error.code, error_message=error.message) for _ in request.creations]
    )


def _check_body(request: CreateAclsRequestData, api_version: int) -> None:
    check_create_acls_body(request)


@handles(ApiKey.CREATE_ACLS, place_error=_place_error, check_body=_check_body)
async def handle(context: RequestContext, request: CreateAclsRequestData) -> CreateAclsResponseData:
    return await context.node.writer.write(lambda ctx: create_acls(ctx, request), name="createAcls")
