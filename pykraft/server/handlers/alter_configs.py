"""AlterConfigs (33): v0–2. The legacy way: the configs given replace all that a resource has.

- Errors of the whole request: at every resource.
- Needs ALTER_CONFIGS on the topic or, for other resources, on the cluster.
"""

from __future__ import annotations

from pykraft.controller.configs import alter_configs
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.alter_configs_request import AlterConfigsRequestData
from pykraft.protocol.messages.alter_configs_response import (
    AlterConfigsResourceResponse,
    AlterConfigsResponseData,
)
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: AlterConfigsRequestData, error: RequestError
) -> AlterConfigsResponseData:
    return AlterConfigsResponseData(
        responses=[
            AlterConfigsResourceResponse(
                error_code=error.code,
                error_message=error.message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
            for resource in request.resources
        ]
    )


@handles(ApiKey.ALTER_CONFIGS, place_error=_place_error)
async def handle(context: RequestContext, request: AlterConfigsRequestData) -> AlterConfigsResponseData:
    return await context.node.writer.write(
        lambda ctx: alter_configs(ctx, request, context.authorize), name="legacyAlterConfigs"
    )
