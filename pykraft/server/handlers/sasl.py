"""SaslHandshake (17) v0–1 and SaslAuthenticate (36) v0–2: the listener is PLAINTEXT, so both come too late.

- Both answer ILLEGAL_SASL_STATE (34), as Kafka does after authentication.
Left out: SASL itself; a broker that must authenticate to the controller cannot use this listener.
Source: ControllerApis.scala (handleSaslHandshakeRequest, handleSaslAuthenticateRequest).
"""

from __future__ import annotations

from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.sasl_authenticate_request import SaslAuthenticateRequestData
from pykraft.protocol.messages.sasl_authenticate_response import SaslAuthenticateResponseData
from pykraft.protocol.messages.sasl_handshake_request import SaslHandshakeRequestData
from pykraft.protocol.messages.sasl_handshake_response import SaslHandshakeResponseData
from pykraft.server.registry import RequestContext, handles, top_level_error


@handles(ApiKey.SASL_HANDSHAKE)
async def handle_handshake(context: RequestContext, request: SaslHandshakeRequestData) -> SaslHandshakeResponseData:
    return SaslHandshakeResponseData(error_code=ErrorCode.ILLEGAL_SASL_STATE)


@handles(ApiKey.SASL_AUTHENTICATE, place_error=top_level_error)
async def handle_authenticate(
    context: RequestContext, request: SaslAuthenticateRequestData
) -> SaslAuthenticateResponseData:
    return SaslAuthenticateResponseData(
        error_code=ErrorCode.ILLEGAL_SASL_STATE,
        error_message="SaslAuthenticate request received after successful authentication",
    )
