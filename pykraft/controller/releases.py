"""The releases of Kafka whose controller this one can stand for, and the features that each of them has.

Source: server-common/.../server/common/{MetadataVersion,Feature,KRaftVersion}.java of the releases; ApiVersions answers
of the released controllers 3.4.1, 3.5.2, 3.6.2, 3.7.2, 3.8.1, 3.9.1, 4.0.2 and 4.1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pykraft.image.metadata_version import ELR_VERSION, FEATURE_NAME, MetadataVersion, metadata_version_from_text
from pykraft.image.model import FeatureRange

KRAFT_VERSION: Final = "kraft.version"
GROUP_VERSION: Final = "group.version"
TRANSACTION_VERSION: Final = "transaction.version"
SHARE_VERSION: Final = "share.version"

DEFAULT_RELEASE: Final = "3.9"

_KRAFT: Final = FeatureRange(KRAFT_VERSION, 0, 1)
_FEATURES_4_0: Final = (
    FeatureRange(ELR_VERSION, 0, 1),
    FeatureRange(GROUP_VERSION, 0, 1),
    _KRAFT,
    FeatureRange(TRANSACTION_VERSION, 0, 2),
)


def _range(first: MetadataVersion, last: MetadataVersion) -> FeatureRange:
    return FeatureRange(FEATURE_NAME, first.value, last.value)


_V = MetadataVersion

SUPPORTED_FEATURES: Final[Mapping[str, tuple[FeatureRange, ...]]] = MappingProxyType(
    {
        "3.4": (_range(_V.IBP_3_0_IV1, _V.IBP_3_4_IV0),),
        "3.5": (_range(_V.IBP_3_0_IV1, _V.IBP_3_5_IV2),),
        "3.6": (_range(_V.IBP_3_0_IV1, _V.IBP_3_6_IV2),),
        "3.7": (_range(_V.IBP_3_0_IV1, _V.IBP_3_7_IV4),),
        "3.8": (_range(_V.IBP_3_0_IV1, _V.IBP_3_8_IV0),),
        "3.9": (_range(_V.IBP_3_0_IV1, _V.IBP_3_9_IV0), _KRAFT),
        "4.0": (_range(_V.IBP_3_3_IV3, _V.IBP_4_0_IV3), *_FEATURES_4_0),
        "4.1": (_range(_V.IBP_3_3_IV3, _V.IBP_4_1_IV1), *_FEATURES_4_0, FeatureRange(SHARE_VERSION, 0, 1)),
    }
)
"""The features of each release's controller, as it tells them in ApiVersions and in its registration."""

RELEASES: Final = tuple(SUPPORTED_FEATURES)


def release_of(text: str) -> str:
    """The release that `3.9-IV0`, `3.9` or another name of a metadata.version stands for; the lowest of RELEASES for
    levels from before it, which it knows too. Raises UnknownMetadataVersionError."""
    named = metadata_version_from_text(text).release
    return named if named in RELEASES else RELEASES[0]


def is_since(release: str, first: str) -> bool:
    """Whether a release is `first` or came after it; both are of RELEASES."""
    return RELEASES.index(release) >= RELEASES.index(first)


def is_4(release: str) -> bool:
    """Whether it is one of those without ZooKeeper, 4.0 and later."""
    return not release.startswith("3.")


def has_dynamic_quorums(release: str) -> bool:
    """Whether it can keep the voters in the log, kraft.version 1."""
    return _KRAFT in SUPPORTED_FEATURES[release]


def refuses_non_voters(release: str) -> bool:
    """Whether it answers Vote, BeginQuorumEpoch and EndQuorumEpoch of a node that is no voter with an error; those
    that can have dynamic quorums may learn of a new voter so, and hear it."""
    return not has_dynamic_quorums(release)


def tells_finalized_features(release: str) -> bool:
    """Whether its ApiVersions answers tell the finalized features and their offset."""
    return release not in ("3.4", "3.5")


def tells_migration_readiness(release: str) -> bool:
    """Whether its ApiVersions answers tell that migration is enabled."""
    return release != "3.4"


def has_mutation_quotas(release: str) -> bool:
    """Whether it keeps clients to their controller mutation quotas."""
    return release != "3.4"


def supported_levels(release: str) -> range:
    """The levels of metadata.version that a release knows."""
    found = next(feature for feature in SUPPORTED_FEATURES[release] if feature.name == FEATURE_NAME)
    return range(found.min_version, found.max_version + 1)


def default_features(release: str, version: MetadataVersion) -> dict[str, int]:
    """The levels other than 0 that formatting a cluster at `version` gives the features beside metadata.version, in
    the order of their records; kraft.version is not among them, as it is not kept in such a record."""
    if not is_4(release):
        return {}
    levels = {}
    if version >= MetadataVersion.IBP_4_1_IV0:
        levels[ELR_VERSION] = 1
    if version >= MetadataVersion.IBP_4_0_IV0:
        levels[GROUP_VERSION] = 1
    if version >= MetadataVersion.IBP_4_0_IV2:
        levels[TRANSACTION_VERSION] = 2
    return levels
