"""All of an image, then its configs, quotas, credentials, ids, ACLs and tokens: what is written of them."""

from __future__ import annotations

import json

import pytest

from pykraft.migration.zk_writer import ZkWriter
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.remove_access_control_entry_record import RemoveAccessControlEntryRecord
from pykraft.protocol.records.remove_delegation_token_record import RemoveDelegationTokenRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.remove_user_scram_credential_record import RemoveUserScramCredentialRecord
from pykraft.server.migration_reader import read_contents
from pykraft.zookeeper import paths

from .house import children, content, make, text
from .zk_sides import (
    BROKER,
    CLIENT_METRICS,
    EPOCH,
    GROUP,
    TOPIC,
    WRITER,
    Entity,
    Sides,
    acl,
    config,
    partition,
    quota,
    scram,
    topic,
    topic_id,
)

# -- everything --------------------------------------------------------------------------------------------------


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
