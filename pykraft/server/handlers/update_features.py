"""UpdateFeatures (57): v0–2. Raises or lowers metadata.version and other features.

- Each feature by itself; standing for 4.0 and later all of them or none.
- Errors of the whole request: code and message at the top.
- Needs ALTER on the cluster.
- kraft.version 1 moves the voters of the running quorum to the log from 4.1 on; before that it is accepted and nothing
  happens, as in Kafka.
"""

from __future__ import annotations

from pykraft.controller.features import update_features, upgrades_quorum
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.update_features_request import UpdateFeaturesRequestData
from pykraft.protocol.messages.update_features_response import UpdateFeaturesResponseData
from pykraft.server.registry import RequestContext, handles, top_level_error


@handles(ApiKey.UPDATE_FEATURES, place_error=top_level_error)
async def handle(context: RequestContext, request: UpdateFeaturesRequestData) -> UpdateFeaturesResponseData:
    node = context.node
    response = await node.writer.write(
        lambda ctx: update_features(ctx, request, context.api_version), name="updateFeatures"
    )
    if upgrades_quorum(request, node.config.release) and not node.kraft_version:
        await node.upgrade_kraft_version()
    return response
