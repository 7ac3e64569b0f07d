"""ApiVersions (18): v0–3, from release 3.9 on v0–4. Which APIs, versions and features the release stood for offers.

- A version above that gets a v0 answer with UNSUPPORTED_VERSION (35) and the one entry for ApiVersions (KIP-511).
- v3+: a client software name or version that is not [a-zA-Z0-9] with dots and dashes inside gets 42.
- Features with minimum 0 (kraft.version) only in v4 answers: clients before 3.9 refuse them.
- ZkMigrationReady is `zookeeper.metadata.migration.enable`, from 3.5 on; finalized features are told from 3.6 on, those
  at level 0 are not listed.
Source: ApiVersionsRequest.java, ApiVersionsResponse.java, ApiVersionManager.scala.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pykraft.controller.releases import (
    KRAFT_VERSION,
    SUPPORTED_FEATURES,
    tells_finalized_features,
    tells_migration_readiness,
)
from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.api_versions_response import (
    ApiVersion,
    ApiVersionsResponseData,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)
from pykraft.server.features import NO_FEATURES, FinalizedFeatures
from pykraft.server.registry import RequestContext, handles

if TYPE_CHECKING:
    from pykraft.server.node import Node

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


@handles(ApiKey.API_VERSIONS)
async def handle(context: RequestContext, request: ApiVersionsRequestData | None) -> ApiVersionsResponseData:
    node, version = context.node, context.api_version
    lowest, highest = node.apis[ApiKey.API_VERSIONS]
    if request is None:
        only = [ApiVersion(api_key=ApiKey.API_VERSIONS, min_version=lowest, max_version=highest)]
        return ApiVersionsResponseData(error_code=ErrorCode.UNSUPPORTED_VERSION, api_keys=only)
    if version >= 3 and not (
        _SOFTWARE.fullmatch(request.client_software_name) and _SOFTWARE.fullmatch(request.client_software_version)
    ):
        return ApiVersionsResponseData(error_code=ErrorCode.INVALID_REQUEST)
    release = node.config.release
    finalized = node.finalized_features if tells_finalized_features(release) else NO_FEATURES
    return ApiVersionsResponseData(
        api_keys=[
            ApiVersion(api_key=key, min_version=first, max_version=last) for key, (first, last) in node.apis.items()
        ],
        supported_features=[
            SupportedFeatureKey(name=each.name, min_version=each.min_version, max_version=each.max_version)
            for each in SUPPORTED_FEATURES[release]
            if version >= 4 or each.min_version > 0
        ],
        finalized_features_epoch=finalized.offset,
        finalized_features=[
            FinalizedFeatureKey(name=name, max_version_level=level, min_version_level=level)
            for name, level in _levels(node, finalized).items()
            if level > 0
        ],
        zk_migration_ready=(node.config.zookeeper_metadata_migration_enable and tells_migration_readiness(release)),
    )


def _levels(node: Node, finalized: FinalizedFeatures) -> dict[str, int]:
    """The finalized levels; that of kraft.version comes from the quorum, not from a record."""
    levels = dict(finalized.levels)
    if node.kraft_version > 0:
        levels[KRAFT_VERSION] = node.kraft_version
    return levels
