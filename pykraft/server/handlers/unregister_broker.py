"""UnregisterBroker (64): v0. Forget a broker that will not come back.

- BROKER_ID_NOT_REGISTERED (102) for a broker that is not known. Also served before the migration.
- Needs ALTER on the cluster.
- Errors: code and message at the top; tools before 4.0 show the code only.
"""

from __future__ import annotations

from pykraft.controller.unregister import unregister_broker
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from pykraft.protocol.messages.unregister_broker_response import UnregisterBrokerResponseData
from pykraft.server.registry import RequestContext, handles, top_level_error


@handles(ApiKey.UNREGISTER_BROKER, place_error=top_level_error)
async def handle(context: RequestContext, request: UnregisterBrokerRequestData) -> UnregisterBrokerResponseData:
    return await context.node.writer.write(
        lambda ctx: unregister_broker(ctx, request), name="unregisterBroker", runs_in_premigration=True
    )
