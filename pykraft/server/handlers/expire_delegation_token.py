"""ExpireDelegationToken (40): v0–2. Brings a token's expiry forward, or ends it at once.

- Not allowed over a token-authenticated or a direct PLAINTEXT connection; brokers forward it in an Envelope.
- Errors of the whole request: the code at the top.
"""

from __future__ import annotations

from pykraft.controller.tokens import expire_delegation_token
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.expire_delegation_token_request import ExpireDelegationTokenRequestData
from pykraft.protocol.messages.expire_delegation_token_response import ExpireDelegationTokenResponseData
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.EXPIRE_DELEGATION_TOKEN)
async def handle(
    context: RequestContext, request: ExpireDelegationTokenRequestData
) -> ExpireDelegationTokenResponseData:
    return await context.node.writer.write(
        lambda ctx: expire_delegation_token(ctx, request, context.requester), name="expireDelegationToken"
    )
