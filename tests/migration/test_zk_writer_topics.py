"""Topics and their partitions: what is written of them, from a delta and by comparing."""

from __future__ import annotations

import json

import pytest

from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.zookeeper import paths

from .house import children, content, make, text
from .zk_sides import EPOCH, TOPIC, Sides, config, partition, topic, topic_id


async def test_a_topic_is_created_as_kafka_writes_it(sides: Sides) -> None:
    assert await sides.both(*topic(1, "t", 2, adding_replicas=[1])) == {"CreateTopic": 1}
    assert content(sides.server, paths.topic("t")) == {
        "version": 3,
        "topic_id": "AAAAAAAAAAAAAAAAAAAAAQ",
        "partitions": {"0": [0, 1], "1": [0, 1]},
        "adding_replicas": {"0": [1], "1": [1]},
        "removing_replicas": {},
    }
    assert content(sides.server, paths.topic_config("t")) == {"version": 1, "config": {}}
    assert text(sides.server, paths.topic_partition("t", 1)) == ""
    assert content(sides.server, paths.topic_partition_state("t", 1)) == {
        "version": 1,
        "leader": 0,
        "leader_epoch": 3,
        "controller_epoch": EPOCH,
        "isr": [0, 1],
    }
    assert sides.config_changes() == []


async def test_c24_growing_changing_and_reassigning(sides: Sides) -> None:
    await sides.both(*topic(1, "t"))
    assert await sides.both(partition(1, 1)) == {"UpdateTopic": 1, "UpdatePartition": 1}
    moved = PartitionChangeRecord(topic_id=topic_id(1), partition_id=0, leader=1, isr=[1], leader_recovery_state=1)
    assert await sides.both(moved) == {"UpdatePartition": 1}
    state = content(sides.server, paths.topic_partition_state("t", 0))
    assert (state["leader"], state["leader_epoch"], state["isr"], state["leader_recovery_state"]) == (1, 4, [1], 1)
    reassigned = PartitionChangeRecord(
        topic_id=topic_id(1), partition_id=0, replicas=[1, 2, 0], adding_replicas=[2], removing_replicas=[0]
    )
    assert await sides.both(reassigned) == {"UpdateTopic": 1}
    assert content(sides.server, paths.topic("t"))["removing_replicas"] == {"0": [0]}


async def test_l24_directories_and_epochs_alone_are_nothing_to_write(sides: Sides) -> None:
    await sides.both(*topic(1, "t"))
    change = PartitionChangeRecord(topic_id=topic_id(1), partition_id=0, directories=[topic_id(8), topic_id(9)])
    assert await sides.both(change) == {}


async def test_a_deleted_topic_goes_with_all_that_is_below_it(sides: Sides) -> None:
    await sides.both(*topic(1, "t", 2), config(TOPIC, "t", "k", "v"))
    make(sides.server, {"/brokers/topics/t/partitions/7/odd": "x"})
    assert await sides.both(RemoveTopicRecord(topic_id=topic_id(1))) == {"DeleteTopic": 1}
    assert not [path for path in sides.server.tree.nodes if path.startswith(("/brokers/topics/", "/config/topics/"))]


async def test_l4_a_topic_already_gone_is_deleted_again_without_complaint(sides: Sides) -> None:
    await sides.both(*topic(1, "t"))
    sides.delete(
        paths.topic_partition_state("t", 0),
        paths.topic_partition("t", 0),
        paths.topic_partitions("t"),
        paths.topic("t"),
    )
    assert await sides.both(RemoveTopicRecord(topic_id=topic_id(1))) == {"DeleteTopic": 1}


@pytest.mark.parametrize("merged", [False, True])
async def test_a_topic_created_again_under_its_name_keeps_its_config(sides: Sides, merged: bool) -> None:
    await sides.both(*topic(1, "t", 3), config(TOPIC, "t", "k", "v"))
    again = [*topic(2, "t"), config(TOPIC, "t", "k", "v")]
    if merged:
        counts = await sides.both(RemoveTopicRecord(topic_id=topic_id(1)), *again)
    else:
        await sides.both(RemoveTopicRecord(topic_id=topic_id(1)))
        counts = await sides.both(*again)
    assert counts["CreateTopic"] == 1
    assert content(sides.server, paths.topic("t"))["topic_id"].endswith("Ag")
    assert children(sides.server, paths.topic_partitions("t")) == ["0"]
    assert content(sides.server, paths.topic_config("t"))["config"] == {"k": "v"}


async def test_c51_l16_a_reconcile_finds_a_topic_created_again(sides: Sides) -> None:
    """Kafka creates before it deletes, and loses the topic."""
    await sides.follow(*topic(1, "t", 2))
    sides.apply(RemoveTopicRecord(topic_id=topic_id(1)), *topic(2, "t"))
    sides.image.take_delta()
    assert await sides.reconcile() == {"DeleteTopic": 1, "CreateTopic": 1}
    assert content(sides.server, paths.topic("t"))["partitions"] == {"0": [0, 1]}
    assert await sides.reconcile() == {}


async def test_c24_l1_l2_missing_and_extra_partitions(sides: Sides) -> None:
    """In ZooKeeper partitions 0, 1 and 5, in the image 0, 1 and 2; of 1 the state znode is missing."""
    await sides.follow(*topic(1, "t", 2))
    sides.set(
        paths.topic("t"),
        json.dumps(
            {
                "version": 3,
                "topic_id": "AAAAAAAAAAAAAAAAAAAAAQ",
                "partitions": {"0": [0, 1], "1": [0, 1], "5": [1]},
            }
        ),
    )
    make(sides.server, {paths.topic_partition_state("t", 5): "{}"})
    sides.delete(paths.topic_partition_state("t", 1))
    sides.apply(partition(1, 2))
    sides.image.take_delta()
    assert await sides.reconcile() == {"UpdateTopic": 1, "UpdatePartition": 1, "DeletePartition": 1}
    assert children(sides.server, paths.topic_partitions("t")) == ["0", "1", "2"]
    assert content(sides.server, paths.topic_partition_state("t", 1))["leader"] == 0
    assert await sides.reconcile() == {}


async def test_l1_a_topic_without_any_partition_znode_gets_them(sides: Sides) -> None:
    await sides.follow(*topic(1, "t", 2))
    sides.delete(
        *(
            path
            for number in range(2)
            for path in (paths.topic_partition_state("t", number), paths.topic_partition("t", number))
        )
    )
    sides.delete(paths.topic_partitions("t"))
    assert await sides.reconcile() == {"UpdatePartition": 1}
    assert await sides.reconcile() == {}


async def test_c41_pending_deletions_are_carried_out_and_cleared(sides: Sides) -> None:
    make(
        sides.server,
        {
            paths.topic("going"): '{"version":1,"partitions":{"0":[1]}}',
            paths.topic_partition_state("going", 0): "{}",
            paths.delete_topic("going"): None,
        },
    )
    assert await sides.reconcile() == {"DeleteTopic": 1, "DeletePendingTopicDeletion": 1}
    assert children(sides.server, paths.DELETE_TOPICS) == children(sides.server, paths.BROKER_TOPICS) == []


async def test_configs_of_topics_that_do_not_exist_go(sides: Sides) -> None:
    make(sides.server, {paths.topic_config("ghost"): '{"config":{"k":"v"}}', paths.topic_config("empty"): "{}"})
    assert await sides.reconcile() == {"DeleteTopicConfig": 2}
    assert await sides.reconcile() == {}
