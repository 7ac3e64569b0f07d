"""ControllerRegistration (70): v0. Another controller of the quorum presents itself.

- UNSUPPORTED_VERSION (35) below metadata.version 3.7-IV0. Also served before the migration.
- Needs CLUSTER_ACTION on the cluster.
- Errors: code and message at the top.
"""

from __future__ import annotations

from pykraft.controller.controller_registration import register_controller
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.controller_registration_request import ControllerRegistrationRequestData
from pykraft.protocol.messages.controller_registration_response import ControllerRegistrationResponseData
from pykraft.server.registry import RequestContext, handles, top_level_error


@handles(ApiKey.CONTROLLER_REGISTRATION, place_error=top_level_error)
async def handle(
    context: RequestContext, request: ControllerRegistrationRequestData
) -> ControllerRegistrationResponseData:
    return await context.node.writer.write(
        lambda ctx: register_controller(ctx, request), name="registerController", runs_in_premigration=True
    )
