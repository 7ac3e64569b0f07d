"""BrokerRegistration (62): v0–4. A broker presents itself and gets its epoch.

- Every check in Kafka's order, see pykraft.controller.registration; the epoch is the offset of the record.
- Also served before the migration.
- Needs CLUSTER_ACTION on the cluster.
- Errors: the code at the top.
"""

from __future__ import annotations

from pykraft.controller.registration import register_broker
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.BROKER_REGISTRATION)
async def handle(context: RequestContext, request: BrokerRegistrationRequestData) -> BrokerRegistrationResponseData:
    return await context.node.writer.write(
        lambda ctx: register_broker(ctx, request), name="registerBroker", runs_in_premigration=True
    )
