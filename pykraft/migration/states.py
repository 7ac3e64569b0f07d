"""States of the migration driver, the moves between them, and what is remembered about leadership in ZooKeeper.

Source: metadata/src/main/java/org/apache/kafka/metadata/migration/{MigrationDriverState,KRaftMigrationDriver,
ZkMigrationLeadershipState}.java (Kafka 3.9).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from pykraft.zookeeper import znodes
from pykraft.zookeeper.port import UNKNOWN_VERSION


class MigrationDriverState(Enum):
    """Where the driver stands; the values are what `migration_state` events show."""

    UNINITIALIZED = "UNINITIALIZED"
    INACTIVE = "INACTIVE"
    WAIT_FOR_CONTROLLER_QUORUM = "WAIT_FOR_CONTROLLER_QUORUM"
    WAIT_FOR_BROKERS = "WAIT_FOR_BROKERS"
    BECOME_CONTROLLER = "BECOME_CONTROLLER"
    ZK_MIGRATION = "ZK_MIGRATION"
    SYNC_KRAFT_TO_ZK = "SYNC_KRAFT_TO_ZK"
    KRAFT_CONTROLLER_TO_BROKER_COMM = "KRAFT_CONTROLLER_TO_BROKER_COMM"
    DUAL_WRITE = "DUAL_WRITE"


_S = MigrationDriverState

TRANSITIONS: Final[dict[MigrationDriverState, frozenset[MigrationDriverState]]] = {
    _S.UNINITIALIZED: frozenset({_S.INACTIVE}),
    _S.INACTIVE: frozenset({_S.WAIT_FOR_CONTROLLER_QUORUM}),
    _S.WAIT_FOR_CONTROLLER_QUORUM: frozenset({_S.INACTIVE, _S.WAIT_FOR_BROKERS, _S.BECOME_CONTROLLER}),
    _S.WAIT_FOR_BROKERS: frozenset({_S.INACTIVE, _S.BECOME_CONTROLLER}),
    _S.BECOME_CONTROLLER: frozenset({_S.INACTIVE, _S.ZK_MIGRATION, _S.SYNC_KRAFT_TO_ZK}),
    _S.ZK_MIGRATION: frozenset({_S.INACTIVE, _S.SYNC_KRAFT_TO_ZK}),
    _S.SYNC_KRAFT_TO_ZK: frozenset({_S.INACTIVE, _S.KRAFT_CONTROLLER_TO_BROKER_COMM}),
    _S.KRAFT_CONTROLLER_TO_BROKER_COMM: frozenset({_S.INACTIVE, _S.DUAL_WRITE}),
    _S.DUAL_WRITE: frozenset({_S.INACTIVE}),
}
"""Which state may follow which; besides, each may follow itself."""


class IllegalTransitionError(Exception):
    """A move that the table does not have; the driver stays where it was."""

    def __init__(self, current: MigrationDriverState, wanted: MigrationDriverState) -> None:
        super().__init__(f"Invalid transition in migration driver from {current.name} to {wanted.name}")
        self.current = current
        self.wanted = wanted


def check_transition(current: MigrationDriverState, wanted: MigrationDriverState) -> None:
    """Raises IllegalTransitionError unless `wanted` may follow `current`."""
    if wanted is not current and wanted not in TRANSITIONS[current]:
        raise IllegalTransitionError(current, wanted)


class ZkMigrationLeadershipState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the migration in ZooKeeper: four numbers stored in `/migration`, the rest in memory.

    `migration_zk_version` and `controller_epoch_zk_version` are znode versions, −2 when not known: writing with
    them fails instead of matching any version.
    """

    kraft_controller_id: int = -1
    kraft_controller_epoch: int = -1
    kraft_metadata_offset: int = -1
    kraft_metadata_epoch: int = -1
    last_updated_time_ms: int = -1
    migration_zk_version: int = UNKNOWN_VERSION
    zk_controller_epoch: int = -1
    controller_epoch_zk_version: int = UNKNOWN_VERSION

    @property
    def initial_migration_complete(self) -> bool:
        return self.kraft_metadata_offset > 0

    def with_leader(self, node_id: int, epoch: int) -> ZkMigrationLeadershipState:
        """The same migration under another KRaft controller, which has claimed nothing yet."""
        return msgspec.structs.replace(
            self,
            kraft_controller_id=node_id,
            kraft_controller_epoch=epoch,
            zk_controller_epoch=-1,
            controller_epoch_zk_version=UNKNOWN_VERSION,
        )

    def with_offset(self, offset: int, epoch: int) -> ZkMigrationLeadershipState:
        return msgspec.structs.replace(self, kraft_metadata_offset=offset, kraft_metadata_epoch=epoch)

    def with_migration_version(self, version: int) -> ZkMigrationLeadershipState:
        return msgspec.structs.replace(self, migration_zk_version=version)

    def with_zk_controller(self, epoch: int, epoch_zk_version: int) -> ZkMigrationLeadershipState:
        return msgspec.structs.replace(self, zk_controller_epoch=epoch, controller_epoch_zk_version=epoch_zk_version)

    def encode(self) -> bytes:
        """The JSON of `/migration`."""
        return znodes.encode_migration(
            kraft_controller_id=self.kraft_controller_id,
            kraft_controller_epoch=self.kraft_controller_epoch,
            kraft_metadata_offset=self.kraft_metadata_offset,
            kraft_metadata_epoch=self.kraft_metadata_epoch,
        )


EMPTY: Final = ZkMigrationLeadershipState()
