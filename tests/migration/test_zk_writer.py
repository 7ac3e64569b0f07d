"""What is written to ZooKeeper for an image, by comparing all of it or by following a delta: the same in the end."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykraft.image.metadata_image import MetadataImage
from pykraft.migration.operations import ZkOperation, count_by_type
from pykraft.migration.states import EMPTY, ZkMigrationLeadershipState
from pykraft.migration.zk_contents import PlainPasswords
from pykraft.migration.zk_writer import ZkWriter
from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.remove_access_control_entry_record import RemoveAccessControlEntryRecord
from pykraft.protocol.records.remove_delegation_token_record import RemoveDelegationTokenRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.remove_user_scram_credential_record import RemoveUserScramCredentialRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord
from pykraft.server.migration_reader import read_contents
from pykraft.server.migration_zookeeper import MigrationZooKeeper
from pykraft.testing.fake_zookeeper import FakeZooKeeper
from pykraft.zookeeper import paths
from pykraft.zookeeper.port import ANY_VERSION, Delete, SetData

from .house import children, content, make, text

EPOCH = 7
WRITER = ZkWriter(EPOCH)
TOPIC, BROKER, CLIENT_METRICS, GROUP = 2, 4, 16, 32

Entity = dict[str, str | None]


def topic_id(number: int) -> bytes:
    return bytes(15) + bytes([number])


def topic(number: int, name: str, partitions: int = 1, **fields: Any) -> list[Any]:
    return [
        TopicRecord(name=name, topic_id=topic_id(number)),
        *(partition(number, n, **fields) for n in range(partitions)),
    ]


def partition(number: int, index: int, **fields: Any) -> PartitionRecord:
    given_fields: dict[str, Any] = {
        "replicas": [0, 1],
        "isr": [0, 1],
        "leader": 0,
        "leader_epoch": 3,
        "partition_epoch": 4,
        **fields,
    }
    return PartitionRecord(topic_id=topic_id(number), partition_id=index, **given_fields)


def config(type_: int, name: str, key: str, value: str | None) -> ConfigRecord:
    return ConfigRecord(resource_type=type_, resource_name=name, name=key, value=value)


def quota(key: str, value: float, entity: Entity, *, remove: bool = False) -> ClientQuotaRecord:
    named = [EntityData(entity_type=kind, entity_name=name) for kind, name in entity.items()]
    return ClientQuotaRecord(entity=named, key=key, value=value, remove=remove)


def scram(user: str, mechanism: int = 1) -> UserScramCredentialRecord:
    return UserScramCredentialRecord(
        name=user, mechanism=mechanism, salt=b"s", stored_key=b"k", server_key=b"v", iterations=4096
    )


def acl(
    number: int, name: str, principal: str = "User:a", pattern: int = 3, type_: int = 2
) -> AccessControlEntryRecord:
    return AccessControlEntryRecord(
        id=topic_id(number),
        resource_type=type_,
        resource_name=name,
        pattern_type=pattern,
        principal=principal,
        host="*",
        operation=3,
        permission_type=3,
    )


class Sides:
    """An image, and a ZooKeeper that this controller has claimed."""

    def __init__(self) -> None:
        self.image = MetadataImage()
        self.server = FakeZooKeeper(now_ms=lambda: 1)
        make(self.server, {paths.CONTROLLER_EPOCH: "1", **dict.fromkeys(paths.PERSISTENT_PATHS)})
        self.port = self.server.connect()
        self.zookeeper = MigrationZooKeeper(self.port, lambda: 1)
        self.state = EMPTY.with_leader(3000, EPOCH)

    def apply(self, *records: Any) -> None:
        for record in records:
            self.image.apply(record, self.image.offset + 1, EPOCH)

    async def run(self, operations: list[ZkOperation]) -> dict[str, int]:
        if self.state.controller_epoch_zk_version < 0:
            outcome = await self.zookeeper.claim(self.state)
            assert isinstance(outcome, ZkMigrationLeadershipState)
            self.state = outcome
        self.state = await self.zookeeper.write(operations, self.state, store=True)
        return dict(count_by_type(operations))

    async def follow(self, *records: Any) -> dict[str, int]:
        """Commit records and write their delta."""
        self.apply(*records)
        delta = self.image.take_delta()
        assert delta is not None
        return await self.run(WRITER.delta(self.image, delta))

    async def reconcile(self) -> dict[str, int]:
        contents = await read_contents(self.port, PlainPasswords(), strict=False)
        return await self.run(WRITER.reconcile(self.image, contents))

    async def both(self, *records: Any) -> dict[str, int]:
        """Follow records, and see that a reconcile finds nothing left to do."""
        counts = await self.follow(*records)
        assert await self.reconcile() == {}
        return counts

    def config_changes(self) -> list[str]:
        return [
            content(self.server, f"{paths.CONFIG_CHANGES}/{name}")["entity_path"]
            for name in children(self.server, paths.CONFIG_CHANGES)
        ]

    def set(self, path: str, data: str) -> None:
        self.server.tree.multi([SetData(path, data.encode(), ANY_VERSION)], 0, ())

    def delete(self, *deleted: str) -> None:
        results = self.server.tree.multi([Delete(path, ANY_VERSION) for path in deleted], 0, ())
        assert all(result.code == 0 for result in results)


@pytest.fixture
def sides() -> Sides:
    return Sides()


# -- topics ------------------------------------------------------------------------------------------------------


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


async def test_c19_c21_c22_an_empty_zookeeper_gets_everything(sides: Sides) -> None:
    sides.apply(
        *topic(1, "foo", 2),
        *topic(2, "bar"),
        config(BROKER, "0", "a", "1"),
        config(BROKER, "1", "a", "1"),
        config(TOPIC, "bar", "retention.ms", "1"),
        ProducerIdsRecord(broker_id=0, broker_epoch=1, next_producer_id=42),
        acl(31, "x"),
        acl(32, "y"),
        acl(33, "z", pattern=4),
        acl(34, "g", type_=3),
        quota("producer_byte_rate", 5, {"user": "q"}),
        quota("consumer_byte_rate", 5, {"user": None, "client-id": "c"}),
        scram("s"),
    )
    assert await sides.reconcile() == {
        "CreateTopic": 2,
        "UpdateTopicConfig": 1,
        "UpdateBrokerConfig": 2,
        "UpdateClientQuota": 3,
        "UpdateProducerId": 1,
        "UpdateAcl": 4,
    }
    assert content(sides.server, paths.topic_config("bar"))["config"] == {"retention.ms": "1"}
    assert children(sides.server, "/config/users") == ["<default>", "q", "s"]
    assert [e["principal"] for e in content(sides.server, "/kafka-acl-extended/prefixed/Topic/z")["acls"]] == ["User:a"]
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


@pytest.mark.parametrize(
    "path",
    [
        paths.topic("t"),
        paths.topic_partition_state("t", 0),
        paths.topic_config("t"),
        "/config/brokers/0",
        "/config/users/u",
        paths.PRODUCER_ID_BLOCK,
        "/kafka-acl/Topic/x",
        paths.delegation_token("tok"),
    ],
)
async def test_what_cannot_be_read_is_written_anew(sides: Sides, path: str) -> None:
    await sides.follow(
        *topic(1, "t", 2),
        config(TOPIC, "t", "k", "v"),
        config(BROKER, "0", "k", "v"),
        quota("producer_byte_rate", 5, {"user": "u"}),
        acl(31, "x"),
        DelegationTokenRecord(owner="User:u", requester="User:u", token_id="tok"),
        ProducerIdsRecord(broker_id=1, broker_epoch=1, next_producer_id=9),
    )
    before = content(sides.server, path)
    sides.set(path, "{broken")
    assert sum((await sides.reconcile()).values()) >= 1
    assert content(sides.server, path) == before
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


# -- configs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [True, False], ids=["config znode gone", "config znode there"])
async def test_c55_a_deleted_topic_takes_its_config_along_in_one_operation(sides: Sides, gone: bool) -> None:
    """KAFKA-16206: no second delete of the config after that of the topic, and none to find is as well."""
    await sides.follow(*topic(1, "t"), config(TOPIC, "t", "k", "v"))
    if gone:
        sides.delete(paths.topic_config("t"))
    before = sides.config_changes()
    sides.apply(RemoveTopicRecord(topic_id=topic_id(1)))
    sides.image.take_delta()
    assert await sides.reconcile() == {"DeleteTopic": 1}
    assert children(sides.server, paths.CONFIG_TOPICS) == children(sides.server, paths.BROKER_TOPICS) == []
    assert sides.config_changes() == before


async def test_c28_writing_does_not_change_the_delta(sides: Sides) -> None:
    """KAFKA-15149: brokers are told of new partitions from the same delta."""
    await sides.follow(*topic(1, "t"))
    sides.apply(partition(1, 1), PartitionChangeRecord(topic_id=topic_id(1), partition_id=0, isr=[0]), *topic(2, "u"))
    delta = sides.image.take_delta()
    assert delta is not None
    before = repr(delta)
    assert len(WRITER.delta(sides.image, delta)) == 4
    assert repr(delta) == before


async def test_c31_c54_configs_are_written_deleted_and_told(sides: Sides) -> None:
    await sides.both(*topic(1, "t"))
    assert await sides.both(config(TOPIC, "t", "k", "v"), config(BROKER, "", "d", "1")) == {"UpdateConfig": 2}
    assert content(sides.server, "/config/brokers/<default>") == {"version": 1, "config": {"d": "1"}}
    assert await sides.both(config(TOPIC, "t", "k", None), config(BROKER, "", "d", None)) == {"DeleteConfig": 2}
    assert sides.config_changes() == ["topics/t", "brokers/<default>", "topics/t", "brokers/<default>"]
    notification = children(sides.server, paths.CONFIG_CHANGES)[-1]
    assert content(sides.server, f"{paths.CONFIG_CHANGES}/{notification}") == {
        "version": 2,
        "entity_path": "brokers/<default>",
    }


async def test_a_config_set_and_taken_back_is_not_written(sides: Sides) -> None:
    assert await sides.both(config(BROKER, "0", "k", "v"), config(BROKER, "0", "k", None)) == {}


async def test_l7_client_metrics_and_group_configs_are_left_out(sides: Sides) -> None:
    """Kafka's reconcile ends with an error on them."""
    assert await sides.both(config(CLIENT_METRICS, "m", "k", "v"), config(GROUP, "g", "k", "v")) == {}


async def test_c21_secrets_are_encoded_and_compared_in_clear(sides: Sides) -> None:
    class Reversed:
        def encode(self, password: str) -> str:
            return password[::-1]

        decode = encode

    writer = ZkWriter(EPOCH, Reversed())
    sides.apply(config(BROKER, "0", "listener.name.x.ssl.key.password", "abc"), config(BROKER, "0", "plain", "abc"))
    contents = await read_contents(sides.port, Reversed(), strict=False)
    await sides.run(writer.reconcile(sides.image, contents))
    assert content(sides.server, "/config/brokers/0")["config"] == {
        "listener.name.x.ssl.key.password": "cba",
        "plain": "abc",
    }
    assert writer.reconcile(sides.image, await read_contents(sides.port, Reversed(), strict=False)) == []


# -- quotas and credentials --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "path"),
    [
        ({"user": "a@b"}, "/config/users/a%40b"),
        ({"user": None}, "/config/users/<default>"),
        ({"client-id": "c d"}, "/config/clients/c%20d"),
        ({"client-id": None}, "/config/clients/<default>"),
        ({"user": "u", "client-id": "c"}, "/config/users/u/clients/c"),
        ({"user": None, "client-id": None}, "/config/users/<default>/clients/<default>"),
        ({"user": "u", "client-id": None}, "/config/users/u/clients/<default>"),
        ({"ip": "10.0.0.1"}, "/config/ips/10.0.0.1"),
        ({"ip": None}, "/config/ips/<default>"),
    ],
)
async def test_c53_l6_quotas_of_every_kind_of_entity(sides: Sides, entity: Entity, path: str) -> None:
    assert await sides.both(quota("producer_byte_rate", 1024, entity)) == {"UpdateClientQuota": 1}
    assert content(sides.server, path) == {"version": 1, "config": {"producer_byte_rate": "1024"}}
    assert await sides.both(quota("request_percentage", 58.58, entity)) == {"UpdateClientQuota": 1}
    assert content(sides.server, path)["config"]["request_percentage"] == "58.58"
    gone = [quota(key, 0, entity, remove=True) for key in ("producer_byte_rate", "request_percentage")]
    assert await sides.both(*gone) == {"UpdateClientQuota": 1}
    assert content(sides.server, path) == {"version": 1, "config": {}}
    assert sides.config_changes() == [path.removeprefix("/config/")] * 3


@pytest.mark.parametrize("entity", [{"user": ""}, {"client-id": ".."}, {"ip": "1/2"}, {"ip": "1", "user": "u"}])
async def test_c53_what_has_no_place_in_zookeeper_is_left_out(sides: Sides, entity: Entity) -> None:
    assert await sides.both(quota("producer_byte_rate", 1, entity), acl(31, "a/b"), acl(32, "")) == {}


async def test_c16_c20_a_users_quotas_and_credentials_share_a_znode(sides: Sides) -> None:
    assert await sides.both(scram("no quota")) == {"UpdateClientQuota": 1}
    assert content(sides.server, "/config/users/no%20quota")["config"].keys() == {"SCRAM-SHA-256"}
    assert await sides.both(scram("u"), scram("u", 2), quota("producer_byte_rate", 5, {"user": "u"})) == {
        "UpdateClientQuota": 1
    }
    held = content(sides.server, "/config/users/u")["config"]
    assert held.keys() == {"SCRAM-SHA-256", "SCRAM-SHA-512", "producer_byte_rate"}
    assert held["SCRAM-SHA-256"] == "salt=cw==,stored_key=aw==,server_key=dg==,iterations=4096"
    await sides.both(RemoveUserScramCredentialRecord(name="u", mechanism=1))
    await sides.both(quota("producer_byte_rate", 0, {"user": "u"}, remove=True))
    assert content(sides.server, "/config/users/u")["config"].keys() == {"SCRAM-SHA-512"}


async def test_l8_a_reconcile_writes_only_entities_that_differ(sides: Sides) -> None:
    await sides.follow(
        scram("only-scram"), quota("producer_byte_rate", 5, {"user": "same"}), quota("x", 1.5, {"ip": "1.1.1.1"})
    )
    sides.set("/config/users/same", '{"config":{"producer_byte_rate":"5.0"}}')
    make(
        sides.server,
        {"/config/users/unknown": '{"config":{"producer_byte_rate":"1"}}', "/config/clients/empty": '{"config":{}}'},
    )
    sides.set("/config/users/only-scram", '{"config":{"SCRAM-SHA-256":"salt=bogus"}}')
    assert await sides.reconcile() == {"UpdateClientQuota": 2}
    assert content(sides.server, "/config/users/unknown")["config"] == {}
    assert await sides.reconcile() == {}


# -- producer ids, ACLs, tokens ----------------------------------------------------------------------------------


async def test_c34_producer_ids_are_written_so_that_none_is_given_out_twice(sides: Sides) -> None:
    assert await sides.both(ProducerIdsRecord(broker_id=2, broker_epoch=5, next_producer_id=6000)) == {
        "UpdateProducerId": 1
    }
    assert content(sides.server, paths.PRODUCER_ID_BLOCK) == {
        "version": 1,
        "broker": -1,
        "block_start": "6000",
        "block_end": "6999",
    }
    sides.set(paths.PRODUCER_ID_BLOCK, '{"version":1,"broker":1,"block_start":"5000","block_end":"5999"}')
    assert await sides.reconcile() == {}
    for broker, first, last in ((1, 6000, 6999), (-1, 5000, 5999)):
        block = {"version": 1, "broker": broker, "block_start": str(first), "block_end": str(last)}
        sides.set(paths.PRODUCER_ID_BLOCK, json.dumps(block))
        assert await sides.reconcile() == {"UpdateProducerId": 1}


async def test_c12_c52_l5_acls_of_one_pattern_are_written_as_a_whole(sides: Sides) -> None:
    await sides.both(acl(31, "foo", "User:a"), acl(32, "foo", "User:b"), acl(33, "foo", "User:c", pattern=4))
    assert text(sides.server, "/kafka-acl-changes/acl_changes_0000000000") == "TOPIC:foo"
    assert content(sides.server, "/kafka-acl-extended-changes/acl_changes_0000000000")["patternType"] == "PREFIXED"
    assert await sides.both(RemoveAccessControlEntryRecord(id=topic_id(31))) == {"UpdateAcl": 1}
    assert [e["principal"] for e in content(sides.server, "/kafka-acl/Topic/foo")["acls"]] == ["User:b"]
    assert await sides.both(RemoveAccessControlEntryRecord(id=topic_id(32))) == {"DeleteAcl": 1}
    assert "/kafka-acl/Topic/foo" not in sides.server.tree.nodes
    assert children(sides.server, "/kafka-acl-extended/prefixed/Topic") == ["foo"]


async def test_c19_a_reconcile_puts_acls_right(sides: Sides) -> None:
    entry = '{"version":1,"acls":[{"principal":"User:x","permissionType":"Allow","operation":"Read","host":"*"}]}'
    make(
        sides.server,
        {"/kafka-acl/Topic/changed": entry, "/kafka-acl/Topic/gone": entry, "/kafka-acl/Odd/kept": "not ours"},
    )
    sides.apply(acl(31, "changed"), acl(32, "new"))
    sides.image.take_delta()
    assert await sides.reconcile() == {"UpdateAcl": 2, "DeleteAcl": 1}
    assert children(sides.server, "/kafka-acl/Topic") == ["changed", "new"]
    assert text(sides.server, "/kafka-acl/Odd/kept") == "not ours"
    assert await sides.reconcile() == {}


async def test_l9_tokens_come_with_a_notification(sides: Sides) -> None:
    token = DelegationTokenRecord(
        owner="User:a b",
        requester="User:r",
        renewers=["User:c"],
        issue_timestamp=1,
        max_timestamp=2,
        expiration_timestamp=3,
        token_id="tok",
    )
    assert await sides.both(token) == {"UpdateDelegationToken": 1}
    assert content(sides.server, "/delegation_token/tokens/tok") == {
        "version": 3,
        "owner": "User%3Aa%20b",
        "tokenRequester": "User%3Ar",
        "renewers": ["User%3Ac"],
        "issueTimestamp": 1,
        "maxTimestamp": 2,
        "expiryTimestamp": 3,
        "tokenId": "tok",
    }
    assert await sides.both(RemoveDelegationTokenRecord(token_id="tok")) == {"DeleteDelegationToken": 1}
    changes = children(sides.server, paths.DELEGATION_TOKEN_CHANGES)
    assert [text(sides.server, f"{paths.DELEGATION_TOKEN_CHANGES}/{name}") for name in changes] == ["tok", "tok"]


# -- at random ---------------------------------------------------------------------------------------------------


def random_change(image: MetadataImage, rng: Random) -> Any:
    """A record that fits the image."""
    kind = rng.choice(("topic", "remove", "partition", "change", "change", "config", "quota", "scram", "acl", "token"))
    topics = sorted(image.topics_by_id)
    if kind == "topic":
        name = f"t{rng.randrange(5)}"
        return None if name in image.topics_by_name else TopicRecord(name=name, topic_id=rng.randbytes(16))
    if kind == "config":
        type_, name = rng.choice([(BROKER, "0"), (BROKER, ""), *((TOPIC, name) for name in image.topics_by_name)])
        return config(type_, name, rng.choice("ab"), rng.choice(["1", "2", None]))
    if kind == "quota":
        entities: list[Entity] = [{"user": "u"}, {"user": None}, {"client-id": "c"}, {"user": "u", "client-id": "c"}]
        entity = rng.choice(entities)
        return quota("producer_byte_rate", rng.randrange(3), entity, remove=rng.random() < 0.4)
    if kind == "scram":
        present = [key for key in image.scram if rng.random() < 0.5]
        return (
            RemoveUserScramCredentialRecord(name=present[0].user, mechanism=present[0].mechanism)
            if present
            else scram(rng.choice("uv"), rng.choice((1, 2)))
        )
    if kind == "acl":
        present_acls = [id_ for id_ in image.acls if rng.random() < 0.3]
        if present_acls:
            return RemoveAccessControlEntryRecord(id=present_acls[0])
        principal = rng.choice(("User:a", "User:b"))
        return acl(rng.randrange(100, 110), rng.choice("xy"), principal, rng.choice((3, 4)))
    if kind == "token":
        return (
            RemoveDelegationTokenRecord(token_id="k")
            if rng.random() < 0.5
            else DelegationTokenRecord(owner="User:o", requester="User:o", token_id="k", max_timestamp=rng.randrange(9))
        )
    if not topics:
        return None
    chosen = image.topics_by_id[rng.choice(topics)]
    if kind == "remove":
        return RemoveTopicRecord(topic_id=chosen.id)
    if kind == "partition" or not chosen.partitions:
        return PartitionRecord(
            topic_id=chosen.id,
            partition_id=len(chosen.partitions),
            replicas=[0, 1],
            isr=[0, 1],
            leader=0,
            leader_epoch=0,
            partition_epoch=0,
        )
    number = rng.choice(sorted(chosen.partitions))
    replicas = rng.choice((None, [0, 1], [1, 2]))
    return PartitionChangeRecord(
        topic_id=chosen.id,
        partition_id=number,
        replicas=replicas,
        isr=rng.choice((None, [0], [1, 0])),
        leader=rng.choice((-2, -1, 0, 1)),
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 12))
async def test_deltas_of_any_length_lead_to_what_a_reconcile_wants(seed: int, size: int) -> None:
    rng, sides = Random(seed), Sides()
    for _ in range(12):
        for _ in range(size):
            record = random_change(sides.image, rng)
            if record is not None:
                sides.apply(record)
        delta = sides.image.take_delta()
        if delta is not None:
            await sides.run(WRITER.delta(sides.image, delta))
        assert await sides.reconcile() == {}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
async def test_a_reconcile_leads_from_any_state_to_any_other(seed: int) -> None:
    rng, sides = Random(seed), Sides()
    for _ in range(3):
        sides.image = MetadataImage()
        for _ in range(25):
            record = random_change(sides.image, rng)
            if record is not None:
                sides.apply(record)
        await sides.reconcile()
        assert await sides.reconcile() == {}
