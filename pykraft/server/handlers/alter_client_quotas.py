"""AlterClientQuotas (49): v0–1. Quotas of users, client ids and addresses.

- An ip entity that is a host name has to resolve, within RESOLVE_MS_MAX; otherwise that entry is refused.
- Errors of the whole request: at every entry.
- Needs ALTER_CONFIGS on the cluster.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import trio

from pykraft.controller.quotas import alter_client_quotas, host_names
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.alter_client_quotas_request import AlterClientQuotasRequestData
from pykraft.protocol.messages.alter_client_quotas_response import (
    AlterClientQuotasResponseData,
    EntityData,
    EntryData,
)
from pykraft.server.registry import RequestContext, RequestError, handles

RESOLVE_MS_MAX: Final = 5_000
HOST_NAMES_MAX: Final = 100
"""How many names of one request are looked up; those beyond count as unresolvable."""


def _place_error(
    context: RequestContext, request: AlterClientQuotasRequestData, error: RequestError
) -> AlterClientQuotasResponseData:
    return AlterClientQuotasResponseData(
        entries=[
            EntryData(
                error_code=error.code,
                error_message=error.message,
                entity=[
                    EntityData(entity_type=entity.entity_type, entity_name=entity.entity_name)
                    for entity in entry.entity
                ],
            )
            for entry in request.entries
        ]
    )


@handles(ApiKey.ALTER_CLIENT_QUOTAS, place_error=_place_error)
async def handle(context: RequestContext, request: AlterClientQuotasRequestData) -> AlterClientQuotasResponseData:
    unresolvable = await _unresolvable(host_names(request))
    return await context.node.writer.write(
        lambda ctx: alter_client_quotas(ctx, request, unresolvable), name="alterClientQuotas"
    )


async def _unresolvable(names: Iterable[str]) -> set[str]:
    left = set(names)

    async def resolve(name: str) -> None:
        with suppress(OSError, UnicodeError):
            await trio.socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            left.discard(name)

    with trio.move_on_after(RESOLVE_MS_MAX / 1000):
        async with trio.open_nursery() as nursery:
            for name in sorted(left)[:HOST_NAMES_MAX]:
                nursery.start_soon(resolve, name)
    return left
