"""Facts: the same cluster gives the same facts from ZooKeeper's tree and from the dump of the log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pykraft.lab.facts import LogImage, Znode, differences, facts_of_tree

TOPIC_ID = "Pnbbkb6bQMe7go4DC89l2g"
OTHER_ID = "ug38oEw6QVqzu-051RDhZg"


def dump(*records: tuple[str, dict[str, Any]]) -> list[str]:
    """Lines as kafka-dump-log prints them, the lines of batches and control records included."""
    lines = [
        "Log starting offset: 0",
        "baseOffset: 0 lastOffset: 9 count: 10 baseSequence: -1 isControl: false",
        "| offset: 0 CreateTime: 1 keySize: 4 valueSize: 19 sequence: -1 headerKeys: [] controlType: LEADER_CHANGE(2)",
    ]
    for offset, (kind, data) in enumerate(records, 1):
        payload = json.dumps({"type": kind, "version": 0, "data": data})
        lines.append(
            f"| offset: {offset} CreateTime: 1 keySize: -1 valueSize: 9 sequence: -1 headerKeys: [] payload: {payload}"
        )
    return lines


def tree(**nodes: Any) -> dict[str, Znode]:
    return {path: Znode(json.dumps(data).encode() if data else b"", 0, False) for path, data in nodes.items()}


def partition(partition_id: int = 0, **more: Any) -> tuple[str, dict[str, Any]]:
    data = {
        "partitionId": partition_id,
        "topicId": TOPIC_ID,
        "replicas": [1, 2],
        "isr": [2],
        "removingReplicas": [],
        "addingReplicas": [],
        "leader": 2,
        "leaderEpoch": 3,
        "partitionEpoch": 3,
    }
    return "PARTITION_RECORD", data | more


TOPIC = ("TOPIC_RECORD", {"name": "pay", "topicId": TOPIC_ID})


def test_a_topic_is_the_same_from_both() -> None:
    nodes = {
        "/brokers/topics/pay": {
            "version": 3,
            "topic_id": TOPIC_ID,
            "partitions": {"0": [1, 2]},
            "adding_replicas": {},
            "removing_replicas": {},
        },
        "/brokers/topics/pay/partitions": None,
        "/brokers/topics/pay/partitions/0/state": {
            "controller_epoch": 1,
            "leader": 1,
            "version": 1,
            "leader_epoch": 4,
            "isr": [2, 1],
        },
        "/config/topics/pay": {"version": 1, "config": {"retention.ms": "5"}},
    }
    image = LogImage.from_dump(
        dump(
            TOPIC,
            partition(),
            ("PARTITION_CHANGE_RECORD", {"partitionId": 0, "topicId": TOPIC_ID, "isr": [2, 1], "leader": 1}),
            ("CONFIG_RECORD", {"resourceType": 2, "resourceName": "pay", "name": "retention.ms", "value": "5"}),
        )
    )
    assert differences(facts_of_tree(tree(**nodes)), image.facts, "ZooKeeper", "image") == []
    assert image.facts["topic/pay/0/leader_epoch"] == 4
    assert image.last_offset == 4


def test_a_change_of_the_isr_alone_keeps_the_leader_epoch() -> None:
    change = ("PARTITION_CHANGE_RECORD", {"partitionId": 0, "topicId": TOPIC_ID, "isr": [2, 1]})
    image = LogImage.from_dump(dump(TOPIC, partition(), change))
    assert image.facts["topic/pay/0/leader_epoch"] == 3
    assert image.facts["topic/pay/0/isr"] == [2, 1]


def test_a_deleted_topic_takes_its_configs_with_it_and_no_other_topic() -> None:
    image = LogImage.from_dump(
        dump(
            TOPIC,
            ("TOPIC_RECORD", {"name": "pay2", "topicId": OTHER_ID}),
            partition(),
            ("CONFIG_RECORD", {"resourceType": 2, "resourceName": "pay", "name": "retention.ms", "value": "5"}),
            ("REMOVE_TOPIC_RECORD", {"topicId": TOPIC_ID}),
        )
    )
    assert image.facts == {"topic/pay2/id": OTHER_ID}


def test_a_transaction_counts_when_it_ends_and_not_when_it_is_aborted() -> None:
    begin = ("BEGIN_TRANSACTION_RECORD", {"name": "ZK Migration"})
    assert LogImage.from_dump(dump(begin, TOPIC)).facts == {}
    assert LogImage.from_dump(dump(begin, TOPIC, ("ABORT_TRANSACTION_RECORD", {"reason": "x"}))).facts == {}
    assert LogImage.from_dump(dump(begin, TOPIC, ("END_TRANSACTION_RECORD", {}))).facts == {"topic/pay/id": TOPIC_ID}


@pytest.mark.parametrize(
    ("path", "entity", "fact"),
    [
        ("/config/users/<default>", {"user": None}, "quota/user=<default>/producer_byte_rate"),
        ("/config/clients/app%201", {"client-id": "app 1"}, "quota/client-id=app 1/producer_byte_rate"),
        (
            "/config/users/bob%40EXAMPLE.COM/clients/<default>",
            {"user": "bob@EXAMPLE.COM", "client-id": None},
            "quota/client-id=<default>,user=bob@EXAMPLE.COM/producer_byte_rate",
        ),
        ("/config/ips/127.0.0.1", {"ip": "127.0.0.1"}, "quota/ip=127.0.0.1/producer_byte_rate"),
    ],
)
def test_a_quota_is_the_same_from_both(path: str, entity: dict[str, str | None], fact: str) -> None:
    nodes = {path: {"version": 1, "config": {"producer_byte_rate": "1024.0"}}}
    named = [{"entityType": kind, "entityName": name} for kind, name in entity.items()]
    record = {"entity": named, "key": "producer_byte_rate", "value": 1024, "remove": False}
    image = LogImage.from_dump(dump(("CLIENT_QUOTA_RECORD", record)))
    assert facts_of_tree(tree(**nodes)) == image.facts == {fact: 1024.0}
    removed = LogImage.from_dump(
        dump(("CLIENT_QUOTA_RECORD", record), ("CLIENT_QUOTA_RECORD", record | {"remove": True}))
    )
    assert removed.facts == {}


SECURITY_ZNODES = {
    "/kafka-acl/Cluster/kafka-cluster": {
        "version": 1,
        "acls": [{"principal": "User:a", "permissionType": "Allow", "host": "*", "operation": "AlterConfigs"}],
    },
    "/kafka-acl-extended/prefixed/Topic/pay": {
        "version": 1,
        "acls": [{"principal": "User:b", "permissionType": "Deny", "host": "10.0.0.1", "operation": "Write"}],
    },
    "/config/users/alice": {
        "version": 1,
        "config": {"SCRAM-SHA-256": "salt=c2E=,stored_key=c3Q=,server_key=c2U=,iterations=4096"},
    },
    "/delegation_token/tokens/id": {
        "version": 3,
        "owner": "User%3Aalice",
        "tokenRequester": "User%3Acarol",
        "renewers": ["User%3Abob"],
        "issueTimestamp": 1,
        "maxTimestamp": 3,
        "expiryTimestamp": 2,
        "tokenId": "id",
    },
    "/latest_producer_id_block": {"version": 1, "broker": 0, "block_start": "0", "block_end": "999"},
}
SECURITY_RECORDS = (
    (
        "ACCESS_CONTROL_ENTRY_RECORD",
        {
            "id": "1",
            "resourceName": "kafka-cluster",
            "resourceType": 4,
            "patternType": 3,
            "principal": "User:a",
            "host": "*",
            "operation": 11,
            "permissionType": 3,
        },
    ),
    (
        "ACCESS_CONTROL_ENTRY_RECORD",
        {
            "id": "2",
            "resourceName": "pay",
            "resourceType": 2,
            "patternType": 4,
            "principal": "User:b",
            "host": "10.0.0.1",
            "operation": 4,
            "permissionType": 2,
        },
    ),
    (
        "USER_SCRAM_CREDENTIAL_RECORD",
        {
            "name": "alice",
            "mechanism": 1,
            "salt": "c2E=",
            "storedKey": "c3Q=",
            "serverKey": "c2U=",
            "iterations": 4096,
        },
    ),
    (
        "DELEGATION_TOKEN_RECORD",
        {
            "owner": "User:alice",
            "requester": "User:carol",
            "renewers": ["User:bob"],
            "issueTimestamp": 1,
            "maxTimestamp": 3,
            "expirationTimestamp": 2,
            "tokenId": "id",
        },
    ),
    ("PRODUCER_IDS_RECORD", {"brokerId": 0, "brokerEpoch": -1, "nextProducerId": 1000}),
)
"""The same as records."""


def test_acls_scram_tokens_and_producer_ids_are_the_same_from_both() -> None:
    image = LogImage.from_dump(dump(*SECURITY_RECORDS))
    facts = facts_of_tree(tree(**SECURITY_ZNODES))
    assert differences(facts, image.facts, "ZooKeeper", "image") == []
    assert len(facts) == 8


def test_a_difference_names_the_fact_and_both_sides() -> None:
    found = differences({"a": 1, "b": [1]}, {"b": [2], "c": None}, "ZooKeeper", "image")
    assert found == ["a: ZooKeeper: 1, image: nothing", "b: ZooKeeper: [1], image: [2]"]
