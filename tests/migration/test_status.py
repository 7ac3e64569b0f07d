"""Which brokers count as in migration mode before the copy, whatever their release can say of itself."""

from __future__ import annotations

import pytest

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ZkMigrationState
from pykraft.migration.status import StageName, StageState, StatusFacts, ZooKeeperFacts, stages
from pykraft.protocol.records.register_broker_record import RegisterBrokerRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord


@pytest.mark.parametrize(
    ("migrating", "fenced", "state"),
    [(True, False, StageState.DONE), (True, True, StageState.BLOCKED), (False, False, StageState.BLOCKED)],
)
def test_a_broker_of_3_4_that_sends_heartbeats_in_migration_mode_is_ready(
    migrating: bool, fenced: bool, state: StageState
) -> None:
    """3.4 never sets ZkMigrationReady in ApiVersions."""
    image = MetadataImage()
    image.apply(ZkMigrationStateRecord(zk_migration_state=ZkMigrationState.PRE_MIGRATION), 0, 1)
    image.apply(RegisterBrokerRecord(broker_id=0, is_migrating_zk_broker=migrating, fenced=fenced), 1, 1)
    zookeeper = ZooKeeperFacts(brokers={0: "h:9092"}, not_ready=[0])
    found = stages(StatusFacts(image=image, leader_id=1, voters={}, zookeeper=zookeeper))
    (brokers,) = [stage for stage in found if stage.stage is StageName.BROKERS]
    assert brokers.state is state, brokers
    if state is StageState.BLOCKED:
        assert "broker 0 is running without zookeeper.metadata.migration.enable=true" in brokers.detail
