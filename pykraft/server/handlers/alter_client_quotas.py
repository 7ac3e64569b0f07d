"""AlterClientQuotas (49): v0–1. Quotas of users, client ids and addresses.

- Errors of the whole request: at every entry.
Left out: authorization.
"""

from __future__ import annotations

from pykraft.controller.quotas import alter_client_quotas
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.alter_client_quotas_request import AlterClientQuotasRequestData
from pykraft.protocol.messages.alter_client_quotas_response import (
    AlterClientQuotasResponseData,
    EntityData,
    EntryData,
)
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: AlterClientQuotasRequestData, error: RequestError
) -> AlterClientQuotasResponseData:
    return AlterClientQuotasResponseData(entries=[
        EntryData(error_code=error.code, error_message=error.message, entity=[
            EntityData(entity_type=entity.entity_type, entity_name=entity.entity_name) for entity in entry.entity
        ])
        for entry in request.entries
    ])


@handles(ApiKey.ALTER_CLIENT_QUOTAS, place_error=_place_error)
async def handle(context: RequestContext, request: AlterClientQuotasRequestData) -> AlterClientQuotasResponseData:
    return await context.node.writer.write(
        lambda ctx: alter_client_quotas(ctx, request), name="alterClientQuotas"
    )
