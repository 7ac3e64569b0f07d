"""RenewDelegationToken (39): v0–2. Moves a token's expiry on, up to its end of life.

- Not allowed over a token-authenticated or a direct PLAINTEXT connection; brokers forward it in an Envelope.
- Errors of the whole request: the code at the top.
"""

from __future__ import annotations

from pykraft.controller.tokens import renew_delegation_token
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.renew_delegation_token_request import RenewDelegationTokenRequestData
from pykraft.protocol.messages.renew_delegation_token_response import RenewDelegationTokenResponseData
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.RENEW_DELEGATION_TOKEN)
async def handle(context: RequestContext, request: RenewDelegationTokenRequestData) -> RenewDelegationTokenResponseData:
    return await context.node.writer.write(
        lambda ctx: renew_delegation_token(ctx, request, context.requester), name="renewDelegationToken"
    )
