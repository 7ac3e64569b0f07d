"""DescribeConfigs (32): v0–4. The configs of topics, brokers and this controller.

- Read from the committed image.
- Errors of the whole request: at every resource.
- Needs DESCRIBE_CONFIGS on the topic or, for other resources, on the cluster.
"""

from __future__ import annotations

from pykraft.controller.config_description import describe_configs
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.describe_configs_request import DescribeConfigsRequestData
from pykraft.protocol.messages.describe_configs_response import DescribeConfigsResponseData, DescribeConfigsResult
from pykraft.server.registry import RequestContext, RequestError, handles


def _place_error(
    context: RequestContext, request: DescribeConfigsRequestData, error: RequestError
) -> DescribeConfigsResponseData:
    return DescribeConfigsResponseData(
        results=[
            DescribeConfigsResult(
                error_code=error.code,
                error_message=error.message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
            for resource in request.resources
        ]
    )


@handles(ApiKey.DESCRIBE_CONFIGS, place_error=_place_error)
async def handle(context: RequestContext, request: DescribeConfigsRequestData) -> DescribeConfigsResponseData:
    config = context.node.config
    return await context.node.writer.read(lambda image: describe_configs(image, config, request, context.authorize))
