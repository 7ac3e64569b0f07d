"""CreateDelegationToken (38): v0–3. A token for the requester, or v3 for another owner.

- Not allowed over a token-authenticated or a direct PLAINTEXT connection; brokers forward it in an Envelope.
- Errors of the whole request: the code at the top, owner and requester ANONYMOUS, times −1.
- Needs CREATE_TOKENS on the owner when that is another user.
"""

from __future__ import annotations

from pykraft.controller.tokens import create_delegation_token
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.create_delegation_token_request import CreateDelegationTokenRequestData
from pykraft.protocol.messages.create_delegation_token_response import CreateDelegationTokenResponseData
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: CreateDelegationTokenRequestData, error: RequestError
) -> CreateDelegationTokenResponseData:
    response = CreateDelegationTokenResponseData(
        error_code=error.code,
        principal_type="User",
        principal_name="ANONYMOUS",
        issue_timestamp_ms=-1,
        expiry_timestamp_ms=-1,
        max_timestamp_ms=-1,
    )
    if context.api_version >= 3:
        response.token_requester_principal_type = "User"
        response.token_requester_principal_name = "ANONYMOUS"
    return response


@handles(ApiKey.CREATE_DELEGATION_TOKEN, place_error=_place_error)
async def handle(
    context: RequestContext, request: CreateDelegationTokenRequestData
) -> CreateDelegationTokenResponseData:
    return await context.node.writer.write(
        lambda ctx: create_delegation_token(ctx, request, context.requester, context.api_version, context.authorize),
        name="createDelegationToken",
    )
