"""IncrementalAlterConfigs (44): v0–1. Set, delete, append to and subtract from configs.

- Errors of the whole request: at every resource.
- Needs ALTER_CONFIGS on the topic or, for other resources, on the cluster.
"""

from __future__ import annotations

from pykraft.controller.configs import incremental_alter_configs
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.incremental_alter_configs_request import IncrementalAlterConfigsRequestData
from pykraft.protocol.messages.incremental_alter_configs_response import (
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsResponseData,
)
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: IncrementalAlterConfigsRequestData, error: RequestError
) -> IncrementalAlterConfigsResponseData:
    return IncrementalAlterConfigsResponseData(
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


@handles(ApiKey.INCREMENTAL_ALTER_CONFIGS, place_error=_place_error)
async def handle(
    context: RequestContext, request: IncrementalAlterConfigsRequestData
) -> IncrementalAlterConfigsResponseData:
    return await context.node.writer.write(
        lambda ctx: incremental_alter_configs(ctx, request, context.authorize), name="incrementalAlterConfigs"
    )
