"""AlterUserScramCredentials (51): v0. Sets and deletes SCRAM credentials, one result per user.

- Errors of the whole request: at every user, by name.
- Needs ALTER on the cluster.
"""

from __future__ import annotations

from pykraft.controller.scram import alter_user_scram_credentials
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.alter_user_scram_credentials_request import AlterUserScramCredentialsRequestData
from pykraft.protocol.messages.alter_user_scram_credentials_response import (
    AlterUserScramCredentialsResponseData,
    AlterUserScramCredentialsResult,
)
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: AlterUserScramCredentialsRequestData, error: RequestError
) -> AlterUserScramCredentialsResponseData:
    users = {deletion.name for deletion in request.deletions} | {each.name for each in request.upsertions}
    return AlterUserScramCredentialsResponseData(
        results=[
            AlterUserScramCredentialsResult(user=user, error_code=error.code, error_message=error.message)
            for user in sorted(users)
        ]
    )


@handles(ApiKey.ALTER_USER_SCRAM_CREDENTIALS, place_error=_place_error)
async def handle(
    context: RequestContext, request: AlterUserScramCredentialsRequestData
) -> AlterUserScramCredentialsResponseData:
    return await context.node.writer.write(
        lambda ctx: alter_user_scram_credentials(ctx, request), name="alterUserScramCredentials"
    )
