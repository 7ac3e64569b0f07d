"""The copy: ZooKeeper's contents as records, and what becomes of contents that cannot be read."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import pytest
import trio

from pykraft.controller.config import ControllerConfig
from pykraft.controller.errors import ApiError
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.model import ConfigResource, ZkMigrationState
from pykraft.image.model import ResourceType as ImageResourceType
from pykraft.migration.copy import BatchBuffer, Manifest, leftover_records, other_records, topic_records
from pykraft.migration.states import MigrationDriverState as S
from pykraft.migration.zk_contents import PlainPasswords, ZkContents, ZkTopic
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.abort_transaction_record import AbortTransactionRecord
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from pykraft.protocol.uuids import uuid_to_text
from pykraft.server.migration_copy import copy_metadata, read_ahead
from pykraft.testing.fake_zookeeper import FakeZooKeeper, Fault, FaultKind, On
from pykraft.zookeeper import paths
from pykraft.zookeeper.acl_znodes import AclEntry, AclResource, Operation, PermissionType, ResourceType
from pykraft.zookeeper.paths import PatternType
from pykraft.zookeeper.port import ANY_VERSION, Create, Delete, SetData
from pykraft.zookeeper.znodes import PartitionState, ProducerIdBlock, TopicAssignment, ZnodeError

from .house import NODE_ID, House, Log, content, house, make
from .zk_sides import Sides, acl, config, quota, scram, topic

ID = bytes(15) + b"\x07"
BROKERS: dict[str, bytes | str | None] = {
    "/brokers/ids/0": '{"version":5,"endpoints":["PLAINTEXT://h:1"]}',
    "/brokers/ids/1": "{}",
}
CONTROLLER: dict[str, bytes | str | None] = {
    paths.CONTROLLER_EPOCH: "3",
    paths.CONTROLLER: '{"version":1,"brokerid":0,"timestamp":"1"}',
}


def assignment(**fields: Any) -> TopicAssignment:
    return TopicAssignment(topic_id=uuid_to_text(ID), **{"partitions": {0: [0, 1]}, **fields})


def partitions(records: list[ApiMessageAndVersion]) -> list[PartitionRecord]:
    return [message for message, _ in records if isinstance(message, PartitionRecord)]


# -- records -----------------------------------------------------------------------------------------------------


def test_a_reassigned_partition_without_leader() -> None:
    topic = ZkTopic(
        exists=True,
        assignment=assignment(partitions={0: [0, 1, 2]}, adding_replicas={0: [2]}, removing_replicas={0: [1]}),
        partitions={0: PartitionState(-1, 9, 3, [0], 1)},
        partition_epochs={0: 12},
        configs={"a": "1", "b": "2"},
    )
    records = topic_records("t", topic)
    assert [type(message).__name__ for message, _ in records] == [
        "TopicRecord",
        "ConfigRecord",
        "ConfigRecord",
        "PartitionRecord",
    ]
    assert {version for _, version in records} == {0}
    (partition,) = partitions(records)
    assert partition == PartitionRecord(
        partition_id=0,
        topic_id=ID,
        replicas=[0, 1, 2],
        isr=[0],
        removing_replicas=[1],
        adding_replicas=[2],
        leader=-1,
        leader_recovery_state=1,
        leader_epoch=9,
        partition_epoch=12,
    )


def test_a_partition_without_state_starts_with_all_replicas_in_sync() -> None:
    (partition,) = partitions(topic_records("t", ZkTopic(exists=True, assignment=assignment(partitions={3: [1, 0]}))))
    assert (partition.partition_id, partition.isr, partition.leader) == (3, [1, 0], 1)
    assert (partition.leader_epoch, partition.partition_epoch, partition.leader_recovery_state) == (0, 0, 0)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (TopicAssignment(partitions={0: [1]}), "has no topic_id"),
        (TopicAssignment(topic_id="short", partitions={0: [1]}), "has a topic_id that is no id"),
        (assignment(partitions={0: []}), "gives partition 0 no replicas"),
    ],
)
def test_a_topic_that_makes_no_sense_is_named(topic: TopicAssignment, expected: str) -> None:
    with pytest.raises(ZnodeError, match=f"znode /brokers/topics/t {expected}"):
        topic_records("t", ZkTopic(exists=True, assignment=topic))


def test_acls_come_in_kafkas_order_a_hundred_at_a_time() -> None:
    def entries(count: int) -> list[AclEntry]:
        return [AclEntry(f"User:{n}", "*", Operation.READ, PermissionType.ALLOW) for n in range(count)]

    contents = ZkContents(
        acls={
            AclResource(ResourceType.GROUP, "g", PatternType.LITERAL): entries(1),
            AclResource(ResourceType.TOPIC, "a", PatternType.PREFIXED): entries(1),
            AclResource(ResourceType.TOPIC, "a", PatternType.LITERAL): entries(1),
            AclResource(ResourceType.TOPIC, "b", PatternType.LITERAL): entries(230),
        }
    )
    batches = other_records(contents, Random(1))
    assert [len(batch) for batch in batches] == [100, 100, 30, 1, 1, 1]
    names: list[Any] = [batch[0].message for batch in batches[2:]]
    assert [(r.resource_type, r.pattern_type, r.resource_name) for r in names] == [
        (2, 3, "b"),
        (2, 3, "a"),
        (2, 4, "a"),
        (3, 3, "g"),
    ]
    ids: list[Any] = [record.message for batch in batches for record in batch]
    assert len({record.id for record in ids}) == 233


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"producer_byte_rate": "many"}, "has a quota producer_byte_rate of 'many', not a number"),
        ({"SCRAM-SHA-256": "salt=x"}, "has a SCRAM credential that cannot be read"),
        ({"SCRAM-SHA-512": "salt=*,stored_key=,server_key=,iterations=1"}, "has a SCRAM credential"),
    ],
)
def test_an_entity_that_cannot_be_read_is_named(properties: dict[str, str], expected: str) -> None:
    with pytest.raises(ZnodeError, match=rf"znode /config/users/u {expected}"):
        other_records(ZkContents(client_entities={"/config/users/u": properties}), Random(1))


def test_c46_a_batch_is_full_at_its_minimum_and_never_splits_an_entity() -> None:
    def entity(size: int) -> list[ApiMessageAndVersion]:
        return [ApiMessageAndVersion(NoOpRecord(), 0)] * size

    for sizes, expected in [
        ([], []),
        ([200], [200]),
        ([199], [199]),
        ([1_000], [1_000]),
        ([199, 1], [200]),
        ([150, 150, 10], [300, 10]),
        ([100, 99, 500, 3], [699, 3]),
        ([1] * 450, [200, 200, 50]),
    ]:
        buffer = BatchBuffer(ControllerConfig().zookeeper_metadata_migration_min_batch_size)
        batches = [*(buffer.add(entity(size)) for size in sizes), buffer.flush()]
        assert [len(batch) for batch in batches if batch] == expected
        assert buffer.flush() is None


def test_c34_the_next_producer_id_is_the_first_of_the_next_block() -> None:
    """KAFKA-15552: with the first of the block that a broker holds, ids would be handed out twice."""
    block = ProducerIdBlock(broker=2, block_start=1000, block_end=1999)
    ((record,),) = other_records(ZkContents(producer_ids=block), Random(1))
    assert record == ApiMessageAndVersion(
        ProducerIdsRecord(broker_id=2, broker_epoch=-1, next_producer_id=2000), version=0
    )


def test_c31_the_default_of_all_brokers_has_the_empty_name() -> None:
    """KAFKA-15374: it is no broker's id."""
    contents = ZkContents(broker_configs={"/config/brokers/<default>": {"a": "1"}, "/config/brokers/7": {"a": "2"}})
    records: list[Any] = [message for batch in other_records(contents, Random(1)) for message, _ in batch]
    assert [(r.resource_type, r.resource_name, r.value) for r in records] == [(4, "7", "2"), (4, "", "1")]
    manifest = Manifest()
    manifest.add([ApiMessageAndVersion(record, 0) for record in records], 0.0)
    assert manifest.brokers == set()


@pytest.mark.parametrize(
    ("path", "entity"),
    [
        ("/config/users/a%40b%20c", [("user", "a@b c")]),
        ("/config/users/<default>", [("user", None)]),
        ("/config/clients/%3Cdefault%3E", [("client-id", "<default>")]),
        ("/config/users/%2F/clients/<default>", [("user", "/"), ("client-id", None)]),
        ("/config/ips/10.0.0.1", [("ip", "10.0.0.1")]),
    ],
)
def test_c53_names_of_quota_entities_are_read_unescaped(path: str, entity: list[tuple[str, str | None]]) -> None:
    """KAFKA-16222, 16411: and the default is none, not an empty name."""
    ((record,),) = other_records(ZkContents(client_entities={path: {"producer_byte_rate": "7"}}), Random(1))
    message = record.message
    assert isinstance(message, ClientQuotaRecord)
    assert [(part.entity_type, part.entity_name) for part in message.entity] == entity


async def test_l13_nothing_is_copied_without_a_beginning() -> None:
    """Kafka goes on, and the records come outside any transaction."""

    class Refuses:
        writes = 0

        async def read(self, fn: Any) -> Any:
            raise AssertionError("nothing to read")

        async def write(self, op: Any, *, runs_in_premigration: bool = False, raises: Any = ()) -> Any:
            self.writes += 1
            if self.writes == 1:
                return None
            raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, "the log is full")

    writer, server = Refuses(), server_with(topic_nodes("t"))
    with pytest.raises(ApiError, match="the log is full"):
        await copy_metadata(server.connect(), writer, PlainPasswords(), Random(1), 200)
    assert writer.writes == 2, "what another attempt left is aborted, then the beginning fails"


# -- in the house ------------------------------------------------------------------------------------------------


def server_with(nodes: dict[str, bytes | str | None]) -> FakeZooKeeper:
    server = FakeZooKeeper(now_ms=lambda: 1)
    make(server, {**BROKERS, **CONTROLLER, **nodes})
    return server


def topic_nodes(name: str, count: int = 1) -> dict[str, bytes | str | None]:
    text = json.dumps(
        {
            "version": 3,
            "topic_id": uuid_to_text(name.encode().ljust(16)),
            "partitions": {str(n): [0, 1] for n in range(count)},
        }
    )
    state = '{"version":1,"leader":0,"leader_epoch":1,"controller_epoch":4,"isr":[0,1]}'
    return {paths.topic(name): text, **{paths.topic_partition_state(name, n): state for n in range(count)}}


async def until_copied(h: House) -> None:
    await h.register_brokers(0, 1)
    await h.until_written()


async def test_c36_c41_topics_pending_deletion_stay_behind(autojump_clock: trio.testing.MockClock) -> None:
    server = server_with({**topic_nodes("kept"), **topic_nodes("going"), paths.delete_topic("going"): None})
    async with house(server.connect()) as h:
        await until_copied(h)
        assert list(h.image.topics_by_name) == ["kept"]
        copied = next(e for e in h.events if e["event"] == "migration_copied")
        assert (copied["topics"], copied["partitions"], copied["records"]) == (1, 1, 2)


@pytest.mark.parametrize(
    "path",
    [
        paths.topic("t"),
        paths.topic_partition_state("t", 1),
        paths.topic_config("t"),
        "/config/users/u",
        "/config/brokers/0",
        paths.PRODUCER_ID_BLOCK,
        "/kafka-acl/Topic/t",
        "/delegation_token/tokens/x",
    ],
)
async def test_a_broken_znode_is_named_nothing_is_kept_and_the_copy_waits_for_it(
    path: str, autojump_clock: trio.testing.MockClock
) -> None:
    server = server_with(topic_nodes("t", 2))
    good = server.tree.nodes[path].data if path in server.tree.nodes else None
    if good is None:
        make(server, {path: "{"})
    else:
        server.tree.multi([SetData(path, b"{", ANY_VERSION)], 0, ())
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await h.until(lambda: path in h.waiting())
        assert h.state in (S.WAIT_FOR_BROKERS, S.ZK_MIGRATION)
        assert h.image.zk_migration_state is ZkMigrationState.PRE_MIGRATION
        assert not h.image.topics_by_id
        server.tree.multi([Delete(path, -1) if good is None else SetData(path, good, ANY_VERSION)], 0, ())
        await h.until_written()
        assert len(h.image.topics_by_id) == 1
        assert await h.differences() == []


async def test_c35_a_copy_that_loses_zookeeper_half_way_is_aborted_and_done_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server = server_with({**topic_nodes("a", 1_500), **topic_nodes("b", 1_500)})
    server.inject(Fault(FaultKind.LOSE_BEFORE_APPLY, On.READ, paths.topic_partitions("b")))
    async with house(server.connect()) as h:
        await until_copied(h)
        aborts = [m for m, _ in h.log.decoded() if isinstance(m, AbortTransactionRecord)]
        assert [abort.reason for abort in aborts] == ["Aborting the migration"]
        assert h.image.partition_count == 3_000
    assert server.unused_faults == []


async def test_c35_a_copy_called_off_leaves_no_transaction_in_the_way_of_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server = server_with({**topic_nodes("a", 1_500), **topic_nodes("b", 1_500)})
    server.inject(Fault(FaultKind.SLOW, On.READ, paths.topic_partitions("b"), delay_s=5))
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await h.until(lambda: h.image.in_transaction)
        await h.register_brokers(2)
        h.runner.leader_changed(None, 2)
        await h.until_state(S.INACTIVE)
        h.runner.leader_changed(NODE_ID, 3)
        await h.until_written()
        aborts = [m for m, _ in h.log.decoded() if isinstance(m, AbortTransactionRecord)]
        assert [abort.reason for abort in aborts] == ["The copy starts over"]
        assert h.image.partition_count == 3_000
        assert 2 in h.image.brokers, "the abort takes back the copy, not the broker that registered meanwhile"


async def test_where_the_copy_ended_is_stored_before_anything_else(autojump_clock: trio.testing.MockClock) -> None:
    """Or a controller that takes over would find a log that is migrated and a /migration that is not."""
    server = server_with({})
    async with house(server.connect()) as h:
        await h.until_state(S.WAIT_FOR_BROKERS)
        server.inject(Fault(FaultKind.SLOW, On.READ, paths.CONFIG_TOPICS, delay_s=5))
        await h.register_brokers(0, 1)
        await h.until_state(S.SYNC_KRAFT_TO_ZK)
        await trio.sleep(1)
        assert content(server, paths.MIGRATION)["kraft_metadata_offset"] == h.image.offset
        assert h.state is S.SYNC_KRAFT_TO_ZK


class Reversed:
    """Secrets back to front in ZooKeeper."""

    def encode(self, password: str) -> str:
        return password[::-1]

    decode = encode


async def test_c10_c21_c40_secrets_are_read_and_written_encrypted_and_never_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """KAFKA-14801, 15004."""
    caplog.set_level("DEBUG")
    name = "listener.name.x.ssl.key.password"
    server = server_with({"/config/brokers/0": json.dumps({"config": {name: "terces-a"}})})
    make(server, scram_nodes("u"))
    async with house(server.connect(), passwords=Reversed()) as h:
        await until_copied(h)
        broker = ConfigResource(ImageResourceType.BROKER, "0")
        assert h.image.configs[broker] == {name: "a-secret"}
        await h.write(ConfigRecord(resource_type=4, resource_name="0", name=name, value="the-other-secret"))
        await h.until_written()
        assert content(server, "/config/brokers/0")["config"] == {name: "terces-rehto-eht"}
        told = caplog.text + json.dumps(h.events)
        assert "Completed migration of metadata" in told
        for secret in ("a-secret", "terces", "the-other-secret", "ZGVyaXZlZA", "derived"):
            assert secret not in told


def scram_nodes(user: str) -> dict[str, bytes | str | None]:
    credential = "salt=cw==,stored_key=ZGVyaXZlZA==,server_key=ZGVyaXZlZA==,iterations=4096"
    return {f"/config/users/{user}": json.dumps({"config": {"SCRAM-SHA-256": credential}})}


async def test_c16_credentials_wait_for_a_level_that_has_a_record_for_them(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server = server_with({**topic_nodes("t"), **scram_nodes("a%40b")})
    make(server, {paths.delegation_token("tok"): "{}"})
    async with house(server.connect(), lead=False) as h:
        await bootstrap(h, MetadataVersion.IBP_3_4_IV0)
        await h.register_brokers(0, 1)
        await h.until(lambda: "SCRAM credentials of user a@b" in h.waiting())
        server.tree.multi([Delete("/config/users/a%40b", ANY_VERSION)], 0, ())
        await h.until(lambda: "delegation token tok" in h.waiting())
        assert content(server, paths.CONTROLLER)["brokerid"] == 0, "the brokers still have their controller"
        server.tree.multi([Delete(paths.delegation_token("tok"), ANY_VERSION)], 0, ())
        await h.until_written()


async def test_c36_the_manifest_counts_each_record_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """KAFKA-15435: also where several batches are read."""
    caplog.set_level("INFO")
    server = server_with({**topic_nodes("a", 1_500), **topic_nodes("b", 700), "/config/users/u": '{"config":{}}'})
    async with house(server.connect()) as h:
        await until_copied(h)
        copied = next(e for e in h.events if e["event"] == "migration_copied")
        assert (copied["records"], copied["topics"], copied["partitions"]) == (2_202, 2, 2_200)
        written = Counter(type(message).__name__ for message, _ in h.log.decoded())
        assert (written["TopicRecord"], written["PartitionRecord"]) == (2, 2_200)
        assert "2202 records were generated" in caplog.text
        assert "{'TopicRecord': 2, 'PartitionRecord': 2200}" in caplog.text
        assert "Saw 2 brokers in the migrated metadata [0, 1]" in caplog.text


@pytest.mark.parametrize("version", [MetadataVersion.IBP_3_4_IV0, MetadataVersion.IBP_3_5_IV2])
async def test_without_transactions_a_second_attempt_removes_what_the_first_left(
    version: MetadataVersion, autojump_clock: trio.testing.MockClock
) -> None:
    server = server_with(
        {
            **topic_nodes("a", 1_500),
            **topic_nodes("b", 1_500),
            paths.topic_config("a"): '{"config":{"k":"v"}}',
            "/config/brokers/0": '{"config":{"k":"v"}}',
        }
    )
    fault = server.inject(Fault(FaultKind.LOSE_BEFORE_APPLY, On.READ, paths.topic_partitions("b")))
    log = Log()
    async with house(server.connect(), log=log, lead=False) as h:
        await bootstrap(h, version)
        await until_copied(h)
        assert h.image.partition_count == 3_000
        assert await h.differences() == []
    assert fault.times == 0
    assert not any("Transaction" in type(message).__name__ for message, _ in log.decoded())


async def bootstrap(h: House, version: MetadataVersion) -> None:
    """What a controller of an older release wrote at its first activation."""
    await h.write(
        FeatureLevelRecord(name="metadata.version", feature_level=version),
        ZkMigrationStateRecord(zk_migration_state=ZkMigrationState.PRE_MIGRATION),
    )
    h.runner.leader_changed(NODE_ID, 1)


def test_leftovers_are_all_removed() -> None:
    sides = Sides()
    sides.apply(
        *topic(1, "t", 2),
        config(2, "t", "k", "v"),
        config(4, "0", "k", "v"),
        scram("u"),
        acl(31, "x"),
        quota("producer_byte_rate", 1, {"user": "u"}),
    )
    sides.apply(*(message for message, _ in leftover_records(sides.image)))
    image = sides.image
    assert [image.topics_by_id, image.configs, image.client_quotas, image.scram, image.acls] == [{}] * 5


async def test_a_connection_that_comes_and_goes_is_not_tried_without_pause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server = server_with({})
    fault = server.inject(Fault(FaultKind.LOSE_BEFORE_APPLY, On.READ, paths.CONFIG_TOPICS, times=10_000))
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await trio.sleep(10)
        assert 50 < 10_000 - fault.times <= 200
        fault.times = 0
        await h.until_written()


# -- what ZooKeeper may lack -------------------------------------------------------------------------------------


async def test_a_zookeeper_without_controller_epoch(autojump_clock: trio.testing.MockClock) -> None:
    server = FakeZooKeeper()
    make(server, BROKERS)
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await h.until(lambda: "ZooKeeper has no /controller_epoch" in h.waiting())
        assert h.state is S.BECOME_CONTROLLER
        server.tree.multi([Create(paths.CONTROLLER_EPOCH, b"1")], 0, ())
        await h.until_written()


async def test_a_zookeeper_without_broker_registrations(autojump_clock: trio.testing.MockClock) -> None:
    server = FakeZooKeeper()
    make(server, CONTROLLER)
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await h.until(lambda: "/brokers/ids has no children" in h.waiting())
        make(server, BROKERS)
        await h.until_written()


async def test_a_broker_with_a_broken_registration_still_counts(autojump_clock: trio.testing.MockClock) -> None:
    server = server_with({})
    async with house(server.connect()) as h:
        await h.register_brokers(0)
        await h.until(lambda: "broker 1 not registered" in h.waiting())


async def test_credentials_that_zookeeper_refuses_are_told(autojump_clock: trio.testing.MockClock) -> None:
    server = server_with({})
    fault = server.inject(Fault(FaultKind.NO_AUTH, On.ANY, paths.CONTROLLER_EPOCH, times=3))
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await h.until(lambda: "refused the credentials" in h.waiting())
        await h.until_written()
    assert fault.times == 0


# -- reading ahead -----------------------------------------------------------------------------------------------


async def test_reading_ahead_keeps_order_and_overlaps(autojump_clock: trio.testing.MockClock) -> None:
    async def source() -> Any:
        for number in range(5):
            await trio.sleep(1)
            yield number

    got: list[int] = []

    async def sink(number: int) -> None:
        await trio.sleep(1)
        got.append(number)

    started_s = trio.current_time()
    await read_ahead(source(), sink)
    assert got == [0, 1, 2, 3, 4]
    assert trio.current_time() - started_s == pytest.approx(6)


@pytest.mark.parametrize("fails", ["source", "sink"])
async def test_what_either_side_raises_comes_out(fails: str) -> None:
    async def source() -> Any:
        yield 1
        if fails == "source":
            raise ValueError(fails)
        yield 2

    async def sink(number: int) -> None:
        if fails == "sink":
            raise ValueError(fails)

    with pytest.raises(ValueError, match=fails):
        await read_ahead(source(), sink)


async def test_a_config_written_by_hand_without_value_is_read_as_none() -> None:
    """An entity that was only created has no data at all."""
    server = server_with({**topic_nodes("t"), paths.topic_config("t"): None, "/config/users/u/clients/c": None})
    async with house(server.connect()) as h:
        await until_copied(h)
        assert not h.image.configs
        assert not any(isinstance(message, ConfigRecord) for message, _ in h.log.decoded())
