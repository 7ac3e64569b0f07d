"""ControlledShutdown (7) v0–3, DescribeDelegationToken (41) v0–3, DescribeUserScramCredentials (50) v0: advertised,
never served by a KRaft controller.

- Kafka's controller lists them and answers UNKNOWN_SERVER_ERROR (−1); brokers serve the describes from their image.
Source: ControllerApis.scala (the "Unsupported ApiKey" branch).
"""

from __future__ import annotations

from typing import Any

from pykraft.controller.errors import ApiError
from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.describe_user_scram_credentials_request import DescribeUserScramCredentialsRequestData
from pykraft.protocol.messages.describe_user_scram_credentials_response import (
    DescribeUserScramCredentialsResponseData,
    DescribeUserScramCredentialsResult,
)
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_scram_error(
    context: RequestContext, request: DescribeUserScramCredentialsRequestData, error: RequestError
) -> DescribeUserScramCredentialsResponseData:
    results = [
        DescribeUserScramCredentialsResult(error_code=error.code, error_message=error.message)
        for _ in request.users or ()
    ]
    return DescribeUserScramCredentialsResponseData(error_code=error.code, error_message=error.message, results=results)


@handles(ApiKey.CONTROLLED_SHUTDOWN, ApiKey.DESCRIBE_DELEGATION_TOKEN)
async def handle(context: RequestContext, request: Any) -> Any:
    raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, f"Unsupported ApiKey {context.api_key.name}")


@handles(ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS, place_error=_place_scram_error)
async def handle_scram(
    context: RequestContext, request: DescribeUserScramCredentialsRequestData
) -> DescribeUserScramCredentialsResponseData:
    raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, f"Unsupported ApiKey {context.api_key.name}")
