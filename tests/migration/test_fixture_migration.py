"""A recorded migration of Kafka 3.9.1 done again: the same records out of ZooKeeper, the same dual writes into it."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from typing import Any

import pytest

from pykraft.controller.configs import incremental_alter_configs
from pykraft.controller.partitions import create_partitions
from pykraft.controller.quotas import alter_client_quotas
from pykraft.controller.topics import create_topics, delete_topics
from pykraft.image.metadata_image import MetadataImage
from pykraft.protocol.messages.alter_client_quotas_request import (
    AlterClientQuotasRequestData,
    EntityData,
    EntryData,
    OpData,
)
from pykraft.protocol.messages.create_partitions_request import (
    CreatePartitionsAssignment,
    CreatePartitionsRequestData,
    CreatePartitionsTopic,
)
from pykraft.protocol.messages.create_topics_request import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData, DeleteTopicState
from pykraft.protocol.messages.incremental_alter_configs_request import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequestData,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.zookeeper import paths, znodes
from pykraft.zookeeper.dump import Ephemerals, TreeDump, ZnodeDump, dump_tree, load_tree, tree_from_json

from ..zookeeper.fixture_trees import tree_path
from ..zookeeper.harness import Harness
from .house import DATA, NODE_ID, House, as_json, house, log_records

COPY_FIRST, COPY_LAST = 71, 113
"""Offsets of the copy in the recorded log, from the first topic to the end of the transaction."""

IMAGE_AFTER_MIGRATION = 125
"""The offset that /migration names in the tree dumped after the migration."""

DUAL_WRITES = ((127, 131), (132, 132), (136, 136), (140, 140), (144, 144), (145, 146))
"""First and last offset of each batch of the recorded dual writes: create during-dual-write, delete doomed,
configs of orders, a quota of alice gone, a quota of new-client, two partitions more for orders."""


def recorded_tree(name: str) -> TreeDump:
    return tree_from_json(tree_path(name).read_bytes(), name)


def without_migration(tree: TreeDump) -> TreeDump:
    """The tree as if a ZooKeeper controller still held it and no migration had begun."""
    controller = znodes.encode_controller(znodes.Controller(broker_id=0, timestamp_ms=1, kraft_controller_epoch=-1))
    taken_back = {**tree, paths.CONTROLLER: ZnodeDump(controller, 0, ephemeral=False)}
    taken_back.pop(paths.MIGRATION, None)
    return taken_back


async def migrate(h: House) -> None:
    await h.register_brokers(0, 1, 2)
    await h.until_written()


def copied(records: list[ApiMessageAndVersion]) -> list[ApiMessageAndVersion]:
    """The records after the start of the copy's transaction."""
    start = next(
        at
        for at, (message, _) in enumerate(records)
        if isinstance(message, BeginTransactionRecord) and message.name == "ZK Migration"
    )
    end = next(
        at for at, (message, _) in enumerate(records) if at > start and isinstance(message, EndTransactionRecord)
    )
    return records[start + 1 : end + 1]


BROKERS_WERE_RESTARTED = ("isr", "leader", "leaderEpoch", "partitionEpoch")
"""Between the dump of the tree and the copy the brokers were rolled into migration mode, which moved leaders."""


def comparable(record: ApiMessageAndVersion) -> dict[str, Any]:
    """The record without what is drawn at random or changed between dump and copy."""
    result = as_json(record)
    ignored = {"AccessControlEntryRecord": ("id",), "PartitionRecord": BROKERS_WERE_RESTARTED}
    for name in ignored.get(result["type"], ()):
        del result["data"][name]
    return result


async def test_c9_c12_c16_the_copy_gives_the_records_that_kafka_wrote(harness: Harness) -> None:
    async with harness.open() as port:
        await load_tree(port, recorded_tree("before"), ephemerals=Ephemerals.EPHEMERAL)
        async with house(port) as h:
            await migrate(h)
            ours = [comparable(record) for record in copied(h.log.decoded())]
            assert await h.differences() == []
    kafkas = [comparable(record) for _, record in log_records(COPY_FIRST, COPY_LAST)]
    assert Counter(map(json.dumps, ours)) == Counter(map(json.dumps, kafkas))
    # Kafka's order of entities; within a topic's or a user's kind its order is that of a hash table.
    assert order_of_kinds(ours) == order_of_kinds(kafkas)


def order_of_kinds(records: list[dict[str, Any]]) -> list[str]:
    """Kinds of records in order, each run once; a topic with its configs and partitions is one kind."""

    def kind(record: dict[str, Any]) -> str:
        is_topic = record["type"] in ("TopicRecord", "PartitionRecord") or record["data"].get("resourceType") == 2
        if is_topic and record["type"] != "AccessControlEntryRecord":
            return "topic"
        if record["type"] == "UserScramCredentialRecord":
            return "quota of user"
        if record["type"] == "ClientQuotaRecord":
            return "quota of " + "+".join(part["entityType"] for part in record["data"]["entity"])
        return str(record["type"])

    return [name for name, _ in groupby(map(kind, records))]


async def test_the_copied_partitions_are_those_of_kafkas_image(harness: Harness) -> None:
    """Leaders, ISR and all epochs, from the tree and the log of the same moment after the migration."""
    kafkas = MetadataImage()
    for offset, (message, _) in log_records(0, IMAGE_AFTER_MIGRATION):
        if not isinstance(message, NoOpRecord):
            kafkas.apply(message, offset, 1)
    async with harness.open() as port:
        await load_tree(port, without_migration(recorded_tree("after-migration")), ephemerals=Ephemerals.EPHEMERAL)
        async with house(port) as h:
            await migrate(h)
            ours = {topic.name: dict(topic.partitions) for topic in h.image.topics_by_name.values()}
    assert ours == {topic.name: dict(topic.partitions) for topic in kafkas.topics_by_name.values()}
    assert h.image.configs == kafkas.configs
    assert h.image.client_quotas == kafkas.client_quotas
    assert h.image.scram == kafkas.scram
    assert h.image.producer_ids == kafkas.producer_ids
    assert h.image.delegation_tokens == kafkas.delegation_tokens
    assert set(h.image.acls.values()) == set(kafkas.acls.values())


NOT_COMPARED = {
    paths.CONTROLLER: "its timestamp is the time of the claim",
    paths.CONTROLLER_EPOCH: "the tree was claimed by Kafka before, and here once more",
    paths.MIGRATION: "log offsets, and a version for each transaction that stored it",
}


def meaning(tree: TreeDump, *, versions: bool) -> dict[str, Any]:
    """Path to content, JSON parsed, with the znode's version where wanted."""
    return {
        path: (_parsed(node.data), node.version if versions else None)
        for path, node in tree.items()
        if path not in NOT_COMPARED
    }


def _parsed(data: bytes | None) -> Any:
    try:
        return None if data is None else json.loads(data)
    except ValueError:
        return data


async def test_l8_a_migration_that_finds_everything_equal_writes_nothing(harness: Harness) -> None:
    before = without_migration(recorded_tree("after-migration"))
    async with harness.open() as port:
        await load_tree(port, before, ephemerals=Ephemerals.EPHEMERAL)
        async with house(port) as h:
            await migrate(h)
        after = await dump_tree(port)
    assert meaning(after, versions=True) == meaning(before, versions=True)
    controller = znodes.decode_controller(after[paths.CONTROLLER].data)
    assert (controller.broker_id, controller.kraft_controller_epoch) == (NODE_ID, 1)
    assert not after[paths.CONTROLLER].ephemeral
    assert after[paths.CONTROLLER_EPOCH].data == b"6"
    state = znodes.decode_migration(after[paths.MIGRATION].data)
    assert (state.kraft_controller_id, state.kraft_controller_epoch, state.kraft_metadata_epoch) == (NODE_ID, 1, 1)
    assert state.kraft_metadata_offset == h.image.offset


@pytest.mark.parametrize("merged", [False, True], ids=["one by one", "all at once"])
async def test_dual_writes_leave_what_kafka_left(harness: Harness, merged: bool) -> None:
    """Written one by one, versions and notifications are Kafka's too; at once, each znode is written once."""
    async with harness.open() as port:
        await load_tree(port, without_migration(recorded_tree("after-migration")), ephemerals=Ephemerals.EPHEMERAL)
        async with house(port) as h:
            await migrate(h)
            for first, last in DUAL_WRITES:
                await h.write(*(record for _, record in log_records(first, last)))
                if not merged:
                    await h.until_written()
            await h.until_written()
            assert await h.differences() == []
        after = await dump_tree(port)
    expected = recorded_tree("after-dual-writes")
    if merged:
        for dump in (after, expected):
            for path in [path for path in dump if path.startswith(paths.CONFIG_CHANGE_PREFIX)]:
                del dump[path]
    assert meaning(after, versions=not merged) == meaning(expected, versions=not merged)
    assert znodes.decode_migration(after[paths.MIGRATION].data).kraft_metadata_offset == h.image.offset


def config_change(command: list[str]) -> Any:
    """One of the specification's kafka-configs commands as a request."""
    arguments = list(zip(command[::2], command[1::2], strict=True))
    names = [value for key, value in arguments if key == "--entity-name"]
    kinds = [value for key, value in arguments if key == "--entity-type"]
    added = [value.split("=") for key, value in arguments if key == "--add-config"]
    deleted = [value for key, value in arguments if key == "--delete-config"]
    if kinds == ["topics"]:
        changes = [AlterableConfig(name=key, config_operation=0, value=value) for key, value in added]
        request = IncrementalAlterConfigsRequestData(
            resources=[AlterConfigsResource(resource_type=2, resource_name=names[0], configs=changes)]
        )
        return lambda ctx: incremental_alter_configs(ctx, request)
    types = {"users": "user", "clients": "client-id"}
    entity = [EntityData(entity_type=types[kind], entity_name=name) for kind, name in zip(kinds, names, strict=True)]
    ops = [OpData(key=key, value=float(value)) for key, value in added]
    ops += [OpData(key=key, remove=True) for key in deleted]
    quotas = AlterClientQuotasRequestData(entries=[EntryData(entity=entity, ops=ops)])
    return lambda ctx: alter_client_quotas(ctx, quotas)


def requests_of_the_specification() -> list[Any]:
    """What was asked of Kafka's controller; replicas, which it places at random, are those that it chose."""
    spec = json.loads((DATA / "spec.json").read_text())
    recorded = [r.message for first, last in DUAL_WRITES for _, r in log_records(first, last)]
    placed = [r.replicas for r in recorded if isinstance(r, PartitionRecord)]
    create = CreateTopicsRequestData(
        timeout_ms=1_000,
        topics=[
            CreatableTopic(
                name="during-dual-write",
                num_partitions=-1,
                replication_factor=-1,
                assignments=[CreatableReplicaAssignment(partition_index=n, broker_ids=placed[n]) for n in range(3)],
                configs=[CreatableTopicConfig(name="retention.ms", value="1000000")],
            )
        ],
    )
    delete = DeleteTopicsRequestData(topics=[DeleteTopicState(name=spec["topics"][-1]["name"])])
    grow = CreatePartitionsRequestData(
        timeout_ms=1_000,
        topics=[
            CreatePartitionsTopic(
                name=spec["topics"][0]["name"],
                count=spec["grow"],
                assignments=[CreatePartitionsAssignment(broker_ids=replicas) for replicas in placed[3:]],
            )
        ],
    )
    return [
        lambda ctx: create_topics(ctx, create, 7),
        lambda ctx: delete_topics(ctx, delete, 6),
        *map(config_change, spec["configs_dual"]),
        lambda ctx: create_partitions(ctx, grow),
    ]


async def test_the_specifications_dual_writes_through_the_controller(harness: Harness) -> None:
    async with harness.open() as port:
        await load_tree(port, without_migration(recorded_tree("after-migration")), ephemerals=Ephemerals.EPHEMERAL)
        async with house(port) as h:
            await migrate(h)
            for request in requests_of_the_specification():
                await h.writer.write(request)
                await h.until_written()
        after = await dump_tree(port)
    created = paths.topic("during-dual-write")
    found, expected = (meaning(dump, versions=True) for dump in (after, recorded_tree("after-dual-writes")))
    for tree in (found, expected):
        del tree[created][0]["topic_id"]  # Drawn at random.
    assert found == expected
