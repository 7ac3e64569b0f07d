"""UpdateFeatures (57): v0–2. Raises or lowers metadata.version and other features.

- Each feature by itself; standing for 4.0 and later all of them or none.
- Errors of the whole request: code and message at the top.
- Needs ALTER on the cluster.
Left out: a change of kraft.version in a running cluster.
"""

from __future__ import annotations

from pykraft.controller.features import update_features
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.update_features_request import UpdateFeaturesRequestData
from pykraft.protocol.messages.update_features_response import UpdateFeaturesResponseData
from pykraft.server.registry import RequestContext, handles, top_level_error


@handles(ApiKey.UPDATE_FEATURES, place_error=top_level_error)
async def handle(context: RequestContext, request: UpdateFeaturesRequestData) -> UpdateFeaturesResponseData:
    return await context.node.writer.write(lambda ctx: update_features(ctx, request), name="updateFeatures")
