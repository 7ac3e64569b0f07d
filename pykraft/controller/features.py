"""UpdateFeatures: raise and lower the finalized levels of features.

Sources: metadata/.../controller/FeatureControlManager.java and QuorumFeatures.java,
server-common/.../common/{Features,KRaftVersion}.java (Kafka 3.9); answers of 4.0.2 and 4.1.2 controllers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from pykraft.controller.elr import elr_safety_records
from pykraft.controller.errors import ApiError
from pykraft.controller.releases import KRAFT_VERSION, SUPPORTED_FEATURES, is_4, is_since
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.metadata_version import (
    ELR_VERSION,
    FEATURE_NAME,
    MINIMUM_BOOTSTRAP_VERSION,
    MetadataVersion,
)
from pykraft.image.model import FeatureRange, ZkMigrationState
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.update_features_request import UpdateFeaturesRequestData
from pykraft.protocol.messages.update_features_response import UpdatableFeatureResult, UpdateFeaturesResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord

ELR_METADATA_VERSION: Final = MetadataVersion.IBP_4_0_IV1
"""What eligible.leader.replicas.version depends on."""


_MISSING_IS_0_SINCE: Final = "3.7"
"""The first release to which a broker without a feature has it at level 0; to those before, it takes no level of it."""


def upgrades_quorum(request: UpdateFeaturesRequestData, release: str) -> bool:
    """Whether a request, once it is accepted, moves the quorum to kraft.version 1; 4.0 says yes to it and does not."""
    updates = {update.feature: update.max_version_level for update in request.feature_updates}
    return is_since(release, "4.1") and not request.validate_only and updates.get(KRAFT_VERSION, 0) > 0


class UpgradeType(IntEnum):
    """How a level may move (FeatureUpdate.UpgradeType)."""

    UPGRADE = 1
    SAFE_DOWNGRADE = 2
    UNSAFE_DOWNGRADE = 3


RESULTS_UNTIL_VERSION: Final = 1
"""The last UpdateFeatures version whose answer tells the outcome feature by feature."""


def update_features(
    ctx: OperationContext, request: UpdateFeaturesRequestData, api_version: int = RESULTS_UNTIL_VERSION
) -> ControllerResult[UpdateFeaturesResponseData]:
    """Set finalized feature levels (v0 to v2). Up to 3.9 each feature is taken or refused by itself; from 4.0 on all
    are taken or none.

    AllowDowngrade of v0 counts for nothing, as in Kafka; of a feature that comes twice the last entry counts.
    Raises ApiError INVALID_UPDATE_VERSION, from 4.0 on.
    """
    records: list[ApiMessageAndVersion] = []
    results = []
    updates = {update.feature: update for update in request.feature_updates}
    version = updates[FEATURE_NAME].max_version_level if FEATURE_NAME in updates else ctx.image.metadata_version
    for name, update in sorted(updates.items()):
        try:
            _check(ctx, name, update.max_version_level, update.upgrade_type)
            if name == ELR_VERSION and update.max_version_level > 0 and version < ELR_METADATA_VERSION:
                reason = f"It depends on metadata.version {ELR_METADATA_VERSION.text} or later."
                raise _refusal(name, update.max_version_level, reason)
        except ApiError as error:
            if is_4(ctx.config.release):
                raise ApiError(
                    error.code,
                    f"The update failed for all features since the following feature had an error: {error.message}",
                ) from error
            results.append(UpdatableFeatureResult(feature=name, error_code=error.code, error_message=error.message))
            continue
        results.append(UpdatableFeatureResult(feature=name, error_message=None))
        if is_4(ctx.config.release) and name == KRAFT_VERSION:
            continue
        record = FeatureLevelRecord(name=name, feature_level=update.max_version_level)
        records.append(ApiMessageAndVersion(record, 0))
    if is_4(ctx.config.release) and ELR_VERSION in updates and updates[ELR_VERSION].max_version_level > 0:
        records = [*elr_safety_records(ctx.image, ctx.config), *records]
    response = UpdateFeaturesResponseData(error_message=None)
    if api_version <= RESULTS_UNTIL_VERSION:
        response.results = results
    return ControllerResult(response, [] if request.validate_only else records, atomic=True)


def _check(ctx: OperationContext, name: str, level: int, upgrade_type: int) -> None:
    """Raises ApiError INVALID_UPDATE_VERSION."""
    if upgrade_type not in UpgradeType.__members__.values():
        raise _refusal(name, level, "The controller does not support the given upgrade type.")
    if level < 0:
        raise _refusal(name, level, "A feature version cannot be less than 0.")
    reason = _reason_not_supported(ctx, name, level)
    if reason is not None:
        raise _refusal(name, level, reason)
    current = _current(ctx, name)
    if level < current and upgrade_type == UpgradeType.UPGRADE:
        raise _refusal(
            name, level, f"It is {current} now: set the upgrade type to safe or unsafe downgrade to lower it."
        )
    if level > current and upgrade_type != UpgradeType.UPGRADE:
        raise _refusal(name, level, f"It is {current} now: a downgrade cannot raise it.")
    if name == FEATURE_NAME:
        _check_metadata_version(ctx, MetadataVersion(level), upgrade_type)
    if name == KRAFT_VERSION and level < ctx.kraft_version:
        raise _refusal(name, level, "The voters cannot leave the log again: kraft.version stays.")


def _current(ctx: OperationContext, name: str) -> int:
    if name == FEATURE_NAME:
        return ctx.image.metadata_version
    if name == KRAFT_VERSION and ctx.kraft_version:
        return ctx.kraft_version
    return ctx.image.features.get(name, 0)


def _reason_not_supported(ctx: OperationContext, name: str, level: int) -> str | None:
    """The first node that cannot take the level: this controller, a broker, then the other controllers."""
    own_id = ctx.config.node_id
    nodes = [(f"Local controller {own_id}", SUPPORTED_FEATURES[ctx.config.release])]
    nodes += [(f"Broker {broker.id}", broker.features) for broker in ctx.image.brokers.values()]
    checks_controllers = ctx.image.metadata_version.is_controller_registration_supported
    if checks_controllers:
        nodes += [
            (f"Controller {controller.id}", controller.features)
            for controller in ctx.image.controllers.values()
            if controller.id != own_id
        ]
    for node, features in nodes:
        found = next((feature for feature in features if feature.name == name), FeatureRange(name, 0, 0))
        must_be_known = node.startswith("Broker") and not is_since(ctx.config.release, _MISSING_IS_0_SINCE)
        if not found.min_version <= level <= found.max_version or (must_be_known and found not in features):
            if found.max_version == 0:
                return f"{node} does not support this feature."
            return f"{node} only supports versions {found.min_version} to {found.max_version}."
    if checks_controllers:
        for voter in sorted(ctx.controller_ids - ctx.image.controllers.keys() - {own_id}):
            return f"Controller {voter} has not registered, and may not support this feature."
    return None


def _check_metadata_version(ctx: OperationContext, wanted: MetadataVersion, upgrade_type: int) -> None:
    current = ctx.image.metadata_version
    if ctx.image.zk_migration_state in (ZkMigrationState.PRE_MIGRATION, ZkMigrationState.MIGRATION):
        raise _refusal(
            FEATURE_NAME, wanted, "Unable to modify metadata.version while a ZK migration is in progress: finalize it."
        )
    if wanted < MINIMUM_BOOTSTRAP_VERSION:
        raise _refusal(
            FEATURE_NAME, wanted, f"Unable to set a metadata.version less than {MINIMUM_BOOTSTRAP_VERSION.text}."
        )
    changed = any(MetadataVersion(level).did_metadata_change for level in range(wanted + 1, current + 1))
    if changed and upgrade_type == UpgradeType.UNSAFE_DOWNGRADE:
        raise _refusal(FEATURE_NAME, wanted, "Unsafe metadata downgrade is not supported in this version.")
    if changed:
        raise _refusal(
            FEATURE_NAME, wanted, "Refusing to perform the requested downgrade: it might delete metadata information."
        )


def _refusal(name: str, level: int, reason: str) -> ApiError:
    return ApiError(ErrorCode.INVALID_UPDATE_VERSION, f"Invalid update version {level} for feature {name}. {reason}")
