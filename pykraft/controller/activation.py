"""What a new leader writes first, and what it writes when there is nothing to write.

Source: ActivationRecordsGenerator.java, QuorumController.maybeScheduleNextWriteNoOpRecord (Kafka 3.9), what their
place held in 3.4 to 3.6, and the first bytes that 4.0 and 4.1 controllers write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pykraft.controller.copied_by_3_4 import put_right
from pykraft.controller.elr import elr_safety_records
from pykraft.controller.releases import default_features, is_4, supported_levels
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.controller.transactions import abort_transaction
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import ELR_VERSION, FEATURE_NAME, MINIMUM_BOOTSTRAP_VERSION, MetadataVersion
from pykraft.image.model import NO_PRODUCER_IDS, ZkMigrationState
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord

BOOTSTRAP_TRANSACTION: Final = "Bootstrap records"
ABORT_REASON: Final = "Controller failover"
FINALIZE_FORCE: Final = "pykraft.migration.finalize.force"
"""`true` finalizes a migration although brokers are registered in ZooKeeper mode, which are cut off then."""
_STATE_BELOW_TRANSACTIONS: Final = ("3.5", "3.6")
"""The releases that begin a log with the migration state also at a metadata.version without transactions."""


class ActivationError(Exception):
    """The log and the configuration rule each other out: this controller must not lead."""


def activation_records(
    ctx: OperationContext, bootstrap: Sequence[ApiMessageAndVersion] | None = None
) -> ControllerResult[None]:
    """The records that make the log fit to be led on, possibly none.

    An empty log gets the metadata.version of the configuration, the levels of other features that go with it (or what
    `bootstrap` holds instead) and the migration state; a transaction that another leader left open is aborted; what 3.4
    copied wrongly is put right; a migration that the configuration no longer enables is finalized, unless a
    broker is still registered in ZooKeeper mode.

    Raises ActivationError.
    """
    image = ctx.image
    records: list[ApiMessageAndVersion] = []
    _check_release(ctx)
    bootstraps = image.is_blank or (image.in_transaction and image.transaction_name == BOOTSTRAP_TRANSACTION)
    if image.in_transaction:
        version = ctx.config.metadata_version if bootstraps else image.metadata_version
        if not version.is_metadata_transaction_supported:
            raise ActivationError(
                f"the log holds the transaction {image.transaction_name!r}, open since offset"
                f" {image.transaction_start_offset}, and metadata.version {version.text} has no transactions to abort"
                " it with: set inter.broker.protocol.version to 3.6-IV1 or later"
            )
        records += abort_transaction(ctx, ABORT_REASON)
    if bootstraps:
        records += _bootstrap_records(ctx, bootstrap)
        return ControllerResult(None, records, atomic=not ctx.config.metadata_version.is_metadata_transaction_supported)
    state = _state_3_4_left_out(image)
    if _is_to_be_finalized(ctx, image, state):
        records.append(_migration_state(ZkMigrationState.POST_MIGRATION))
    elif ctx.migration_enabled and state is not image.stable_zk_migration_state:
        records.append(_migration_state(state))
    # Each of these may come by itself: what is left undone is done at the next activation.
    mended = put_right(image, ctx.config.release) if state is ZkMigrationState.MIGRATION else []
    return ControllerResult(None, [*records, *mended], atomic=not mended)


def _bootstrap_records(
    ctx: OperationContext, bootstrap: Sequence[ApiMessageAndVersion] | None
) -> list[ApiMessageAndVersion]:
    version = ctx.config.metadata_version
    if version < MINIMUM_BOOTSTRAP_VERSION:
        raise ActivationError(
            f"a new log cannot begin with metadata.version {version.text}: set inter.broker.protocol.version to"
            f" {MINIMUM_BOOTSTRAP_VERSION.text} or later"
        )
    if bootstrap is None:
        bootstrap = [_level(name, level) for name, level in default_features(ctx.config.release, version).items()]
    records = [_level(FEATURE_NAME, version.value), *bootstrap]
    if any(isinstance(message, FeatureLevelRecord) and message.name == ELR_VERSION for message, _ in bootstrap):
        records += elr_safety_records(ctx.image, ctx.config)
    if ctx.migration_enabled:
        _check_can_migrate(ctx, version)
        records.append(_migration_state(ZkMigrationState.PRE_MIGRATION))
    elif _begins_with_migration_state(ctx.config.release, version):
        records.append(_migration_state(ZkMigrationState.NONE))
    if version.is_metadata_transaction_supported:
        begin = ApiMessageAndVersion(BeginTransactionRecord(name=BOOTSTRAP_TRANSACTION), 0)
        return [begin, *records, ApiMessageAndVersion(EndTransactionRecord(), 0)]
    return records


def _level(name: str, level: int) -> ApiMessageAndVersion:
    return ApiMessageAndVersion(FeatureLevelRecord(name=name, feature_level=level), 0)


def _check_can_migrate(ctx: OperationContext, version: MetadataVersion) -> None:
    """3.4 to 3.6 migrate clusters of an older metadata.version than 3.7 and later do.

    What 3.4 itself writes, no state until the copy begins and then a number that others read as another state, is not
    followed: whoever stands for 3.4 migrates as 3.5 does.
    """
    before_3_7 = ctx.config.release in ("3.4", *_STATE_BELOW_TRANSACTIONS)
    needed = MetadataVersion.IBP_3_4_IV0 if before_3_7 else MetadataVersion.IBP_3_6_IV1
    if version < needed:
        raise ActivationError(
            f"metadata.version {version.text} cannot begin a migration from ZooKeeper in release {ctx.config.release}:"
            f" set inter.broker.protocol.version to {needed.text} or later here and on the brokers, or name the"
            " release of the brokers with --release"
        )


def _begins_with_migration_state(release: str, version: MetadataVersion) -> bool:
    if is_4(release):
        return False
    if release in _STATE_BELOW_TRANSACTIONS and version.is_migration_supported:
        return True
    return version.is_metadata_transaction_supported


def _check_release(ctx: OperationContext) -> None:
    """Refuse a log that the release stood for could not read on from."""
    image, release = ctx.image, ctx.config.release
    levels = supported_levels(release)
    version = image.metadata_version if image.features else ctx.config.metadata_version
    if version not in levels:
        what = "holds" if image.features else "is to begin with"
        raise ActivationError(
            f"the log {what} metadata.version {version.text}, and release {release} has"
            f" {MetadataVersion(levels[0]).text} to {MetadataVersion(levels[-1]).text}: give --release"
            f" {version.release}"
        )
    state = image.stable_zk_migration_state
    if is_4(release) and state in (ZkMigrationState.PRE_MIGRATION, ZkMigrationState.MIGRATION):
        raise ActivationError(
            f"the log is in the middle of a migration ({state.name}), of which release {release} knows nothing:"
            " finalize it, or go back, with --release 3.9"
        )


def _state_3_4_left_out(image: MetadataImage) -> ZkMigrationState:
    """The migration state, also where only brokers in ZooKeeper mode are left to tell of it.

    3.4 writes none before its copy begins, and none into snapshots, so a log that begins with one of them reads NONE.
    Nowhere else does such a broker go with NONE. What /migration says of the copy is compared later, by the driver.
    """
    state = image.stable_zk_migration_state
    if state is not ZkMigrationState.NONE or not any(each.is_migrating_zk_broker for each in image.brokers.values()):
        return state
    is_copied = image.topics_by_id or image.configs or image.client_quotas or image.producer_ids != NO_PRODUCER_IDS
    return ZkMigrationState.MIGRATION if is_copied else ZkMigrationState.PRE_MIGRATION


def _is_to_be_finalized(ctx: OperationContext, image: MetadataImage, state: ZkMigrationState) -> bool:
    version = image.metadata_version
    if ctx.migration_enabled and not version.is_migration_supported:
        raise ActivationError(
            f"zookeeper.metadata.migration.enable=true needs metadata.version {MetadataVersion.IBP_3_4_IV0.text}, the"
            f" log has {version.text}: set it to false"
        )
    if ctx.migration_enabled and state is ZkMigrationState.NONE:
        raise ActivationError(
            "zookeeper.metadata.migration.enable=true, but the log is that of a cluster born in KRaft mode: set it to"
            " false, or give the controller the empty data directory of a new cluster"
        )
    finalizes = state is ZkMigrationState.MIGRATION and version.is_migration_supported and not ctx.migration_enabled
    if finalizes and ctx.config.properties.get(FINALIZE_FORCE, "").strip().lower() != "true":
        _require_no_zk_broker(image)
    return finalizes


def _require_no_zk_broker(image: MetadataImage) -> None:
    """Kafka finalizes without looking; it cannot be undone, and such a broker would hear of nothing any more."""
    zk_brokers = [str(id_) for id_, broker in sorted(image.brokers.items()) if broker.is_migrating_zk_broker]
    if zk_brokers:
        raise ActivationError(
            "zookeeper.metadata.migration.enable is not true, which would finalize the migration for good, and broker"
            f" {', '.join(zk_brokers)} is still registered in ZooKeeper mode: set it to true (or give --zookeeper),"
            " move these brokers to KRaft mode or unregister those that are gone, then come back; to cut them off"
            f" all the same set {FINALIZE_FORCE}=true"
        )


def _migration_state(state: ZkMigrationState) -> ApiMessageAndVersion:
    return ApiMessageAndVersion(ZkMigrationStateRecord(zk_migration_state=state.value), 0)


def no_op_record(ctx: OperationContext) -> ControllerResult[None]:
    """What moves the high watermark of an idle log; nothing where the metadata.version has no NoOpRecord."""
    if not ctx.image.metadata_version.is_no_op_record_supported:
        return ControllerResult(None)
    return ControllerResult(None, [ApiMessageAndVersion(NoOpRecord(), 0)])
