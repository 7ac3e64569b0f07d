"""What becomes of a partition: leader, ISR, epochs, reassignment, directories, in one minimal record."""

from __future__ import annotations

from typing import Any

import pytest

from pykraft.controller.partition_change import Election, PartitionChangeBuilder, completed_reassignment
from pykraft.image.metadata_version import FEATURE_NAME, MetadataVersion
from pykraft.image.model import (
    DIRECTORY_LOST,
    DIRECTORY_MIGRATING,
    DIRECTORY_UNASSIGNED,
    PartitionRegistration,
    ZkMigrationState,
)
from pykraft.image.partition_merge import merge_partition
from pykraft.protocol.messages.broker_registration_request import Feature
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from tests.controller.cluster import Cluster, directory_of

V = MetadataVersion
TOPIC = bytes([1]) * 16
ONLINE, PREFERRED, UNCLEAN = Election


def state(
    replicas: tuple[int, ...] = (1, 2, 3), isr: tuple[int, ...] = (1, 2, 3), leader: int = 1, **more: Any
) -> PartitionRegistration:
    return PartitionRegistration(replicas, isr, leader, leader_epoch=10, partition_epoch=20, **more)


def cluster_of(*brokers: int, version: MetadataVersion = V.IBP_3_9_IV0, migration: bool = False) -> Cluster:
    cluster = Cluster(
        version, migration=migration, state=ZkMigrationState.MIGRATION if migration else ZkMigrationState.NONE
    )
    cluster.start(*brokers)
    return cluster


def change(
    partition: PartitionRegistration, election: Election = ONLINE, *, cluster: Cluster | None = None, **targets: Any
) -> dict[str, Any] | None:
    """The fields that the record sets, None for no record."""
    builder = PartitionChangeBuilder((cluster or cluster_of(1, 2, 3)).ctx())
    built = builder.build(TOPIC, 0, partition, election, **targets)
    return None if built is None else fields(built.message)


def fields(record: Any) -> dict[str, Any]:
    blank = PartitionChangeRecord(partition_id=0, topic_id=TOPIC)
    return {
        name: getattr(record, name)
        for name in record.__struct_fields__
        if getattr(record, name) != getattr(blank, name)
    }


@pytest.mark.parametrize(
    ("partition", "election", "active", "expected"),
    [
        (state(), ONLINE, (1, 2, 3), None),
        (state(leader=2), ONLINE, (1, 2, 3), None),
        (state(leader=2), PREFERRED, (1, 2, 3), {"leader": 1}),
        (state(leader=2), PREFERRED, (2, 3), None),
        (state(isr=(2, 3), leader=2), PREFERRED, (1, 2, 3), None),
        (state(leader=3), PREFERRED, (2,), {"leader": 2}),
        (state(), ONLINE, (2, 3), {"leader": 2}),
        (state(isr=(1, 3)), ONLINE, (2, 3), {"leader": 3}),
        (state(isr=(3, 1)), ONLINE, (2,), {"leader": -1}),
        (state(isr=(3, 1)), UNCLEAN, (3,), {"leader": 3}),
        (state(isr=(3, 1)), UNCLEAN, (2,), {"leader": 2, "isr": [2], "leader_recovery_state": 1}),
        (state(isr=(1,)), UNCLEAN, (), {"leader": -1}),
        (state(isr=(1,), leader=-1), UNCLEAN, (), None),
        (state(isr=(1,), leader=-1), ONLINE, (2, 3), None),
        (state(isr=(1,), leader=-1), ONLINE, (1,), {"leader": 1}),
        (state(isr=(1,), leader=-1, leader_recovery_state=1), UNCLEAN, (3,), {"leader": 3, "isr": [3]}),
    ],
)
def test_who_becomes_leader(
    partition: PartitionRegistration, election: Election, active: tuple[int, ...], expected: dict[str, Any] | None
) -> None:
    assert change(partition, election, cluster=cluster_of(*active)) == expected


def test_before_3_2_an_unclean_election_leaves_no_recovery_state() -> None:
    cluster = cluster_of(2, version=V.IBP_3_1_IV0)
    assert change(state(isr=(1,)), UNCLEAN, cluster=cluster) == {"leader": 2, "isr": [2]}


def test_a_fenced_broker_and_one_that_shuts_down_cannot_lead() -> None:
    cluster = cluster_of(1, 2, 3)
    cluster.create("a", [1])
    cluster.heartbeat(1, shut_down=True)
    assert cluster.image.brokers[1].in_controlled_shutdown
    cluster.expire(2)
    assert change(state(), cluster=cluster) == {"leader": 3}


@pytest.mark.parametrize(
    ("version", "migration", "bumps"),
    [
        (V.IBP_3_5_IV2, False, True),
        (V.IBP_3_6_IV0, False, False),
        (V.IBP_3_6_IV1, True, True),
        (V.IBP_3_9_IV0, False, False),
        (V.IBP_3_9_IV0, True, True),
    ],
)
def test_c29_a_shrinking_isr_starts_a_leader_epoch_only_where_brokers_need_it(
    version: MetadataVersion, migration: bool, bumps: bool
) -> None:
    cluster = Cluster(version, migration=migration, state=ZkMigrationState.MIGRATION)
    cluster.start(1, 2, 3)
    expected = {"isr": [1, 2], "leader": 1} if bumps else {"isr": [1, 2]}
    assert change(state(), cluster=cluster, isr=(1, 2)) == expected
    assert change(state(isr=(1, 2)), cluster=cluster, isr=(1, 2, 3)) == {"isr": [1, 2, 3]}


def test_an_isr_in_another_order_is_a_change_and_an_empty_one_is_not_written() -> None:
    assert change(state(), isr=(2, 1, 3)) == {"isr": [2, 1, 3]}
    assert change(state(isr=(1,)), isr=()) == {"leader": -1}


def test_recovery_ends_when_the_leader_says_so() -> None:
    partition = state(isr=(1,), leader_recovery_state=1)
    assert change(partition, leader_recovery_state=0) == {"leader_recovery_state": 0}
    assert change(partition, leader_recovery_state=1) is None


@pytest.mark.parametrize(
    ("replicas", "removing", "isr", "expected"),
    [
        ((2, 3, 1), (1,), (1, 2, 3), ((2, 3), (2, 3))),
        ((2, 3, 1), (1,), (1, 2), None),
        ((2, 3, 1), (1,), (1,), None),
        ((1, 2, 3), (), (3, 2, 1), ((1, 2, 3), (3, 2, 1))),
        ((1, 2, 3), (), (3, 2), None),
        ((1, 2), (1, 2), (1, 2), None),
    ],
)
def test_a_reassignment_completes_once_all_target_replicas_are_in_sync(
    replicas: tuple[int, ...], removing: tuple[int, ...], isr: tuple[int, ...], expected: Any
) -> None:
    assert completed_reassignment(replicas, removing, isr) == expected


def test_completion_elects_where_the_leader_leaves() -> None:
    partition = state((2, 3, 1), isr=(1, 2), removing_replicas=(1,), adding_replicas=(3,))
    assert change(partition, isr=(1, 2, 3)) == {
        "leader": 2,
        "isr": [2, 3],
        "replicas": [2, 3],
        "removing_replicas": [],
        "adding_replicas": [],
        "directories": [DIRECTORY_MIGRATING] * 2,
    }


def test_replicas_that_leave_start_a_leader_epoch() -> None:
    record = change(state((1, 2, 3)), replicas=(1, 2), isr=(1, 2))
    assert record is not None
    assert (record["leader"], record["replicas"]) == (1, [1, 2])
    assert change(state((1, 2), (1, 2)), replicas=(2, 1)) == {"replicas": [2, 1]}, (
        "another order of the same replicas starts none"
    )


def test_new_replicas_get_the_directory_their_broker_would_choose() -> None:
    cluster = cluster_of(1)
    cluster.register(2)
    cluster.register(3, log_dirs=[directory_of(3), directory_of(3, 1)])
    partition = state((1,), (1,), directories=(directory_of(1, 9),))

    record = change(partition, cluster=cluster, replicas=(2, 1, 3, 4), adding=(2, 3, 4))

    assert record is not None
    assert record["directories"] == [directory_of(2), directory_of(1, 9), DIRECTORY_UNASSIGNED, DIRECTORY_UNASSIGNED]
    assert change(state((1,), (1,)), cluster=cluster, replicas=(1, 2)) == {
        "replicas": [1, 2],
        "directories": [DIRECTORY_MIGRATING, directory_of(2)],
    }


@pytest.mark.parametrize("version", [V.IBP_3_6_IV2, V.IBP_3_7_IV1])
def test_before_3_7_iv2_there_are_no_directories(version: MetadataVersion) -> None:
    assert change(state((1,), (1,)), cluster=cluster_of(1, 2, version=version), replicas=(1, 2)) == {"replicas": [1, 2]}


@pytest.mark.parametrize(
    ("directory", "leads"),
    [
        (directory_of(1), True),
        (directory_of(1, 5), False),
        (DIRECTORY_LOST, False),
        (DIRECTORY_UNASSIGNED, True),
        (DIRECTORY_MIGRATING, True),
    ],
)
def test_a_replica_in_a_lost_directory_cannot_lead(directory: bytes, leads: bool) -> None:
    partition = state(directories=(directory, DIRECTORY_UNASSIGNED, DIRECTORY_UNASSIGNED))
    assert change(partition) == (None if leads else {"leader": 2})


def test_a_directory_can_be_assigned_and_the_record_names_all() -> None:
    assert change(state((1, 2), (1, 2)), directories={2: directory_of(2)}) == {
        "directories": [DIRECTORY_MIGRATING, directory_of(2)]
    }
    assigned = state((1, 2), (1, 2), directories=(DIRECTORY_MIGRATING, directory_of(2)))
    assert change(assigned, directories={2: directory_of(2)}) is None


def test_a_given_leader_starts_a_leader_epoch_and_any_record_a_partition_epoch() -> None:
    before = state()
    same = merge_partition(before, PartitionChangeRecord(leader=1))
    assert (same.leader, same.leader_epoch, same.partition_epoch) == (1, 11, 21)
    shrunk = merge_partition(before, PartitionChangeRecord(isr=[1]))
    assert (shrunk.isr, shrunk.leader_epoch, shrunk.partition_epoch) == ((1,), 10, 21)


def test_the_election_of_a_topic_is_its_own_else_the_cluster_s() -> None:
    cluster = cluster_of(1)
    cluster.create("plain", [1])
    cluster.create("unclean", [1], configs={"unclean.leader.election.enable": "true"})
    builder = PartitionChangeBuilder(cluster.ctx())
    assert (builder.election("plain"), builder.election("unclean")) == (ONLINE, UNCLEAN)

    everywhere = Cluster(unclean_leader_election_enable=True)
    everywhere.start(1)
    everywhere.create("clean", [1], configs={"unclean.leader.election.enable": "false"})
    builder = PartitionChangeBuilder(everywhere.ctx())
    assert (builder.election("other"), builder.election("clean")) == (UNCLEAN, ONLINE)


ZK_BROKER = {"is_migrating_zk_broker": True}
EVERY_STEP = [
    ({"isr": (1, 2, 3)}, {"isr": [1, 2, 3]}),
    ({"replicas": (1, 2, 3, 4), "adding": (4,)}, {"replicas": [1, 2, 3, 4], "adding_replicas": [4]}),
    ({"replicas": (2, 1, 3)}, {"replicas": [2, 1, 3]}),
]


@pytest.mark.parametrize(("targets", "expected"), EVERY_STEP)
@pytest.mark.parametrize(
    ("version", "zk_broker", "bumps"),
    [
        (V.IBP_3_4_IV0, True, True),
        (V.IBP_3_6_IV2, True, True),
        (V.IBP_3_7_IV0, True, False),
        (V.IBP_3_4_IV0, False, False),
    ],
)
def test_c48_brokers_that_ignore_equal_leader_epochs_get_a_new_one_with_every_step(
    version: MetadataVersion, zk_broker: bool, bumps: bool, targets: dict[str, Any], expected: dict[str, Any]
) -> None:
    cluster = Cluster(version, migration=True, state=ZkMigrationState.MIGRATION)
    cluster.start(1, 2, 3, 4)
    if zk_broker:
        cluster.register(5, features=[Feature(FEATURE_NAME, version.value, version.value)], **ZK_BROKER)
    found = change(state(isr=(1, 2)), cluster=cluster, **targets)
    assert found is not None
    found.pop("directories", None)
    assert found == (expected | {"leader": 1} if bumps else expected)


def test_what_changes_nothing_bumps_nothing_for_them() -> None:
    cluster = Cluster(V.IBP_3_4_IV0, migration=True, state=ZkMigrationState.MIGRATION)
    cluster.start(1, 2, 3)
    cluster.register(5, features=[Feature(FEATURE_NAME, 8, 8)], **ZK_BROKER)
    assert change(state(), cluster=cluster, isr=(1, 2, 3)) is None
