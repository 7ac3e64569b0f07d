"""Znode contents: the trees of a real cluster read and come out the same; what is broken is named."""

import json
import re
from collections.abc import Callable

import pytest

from pykraft.zookeeper import acl_znodes, paths, znodes
from pykraft.zookeeper.acl_znodes import AclEntry, AclResource, Operation, PermissionType, ResourceType
from pykraft.zookeeper.paths import PatternType
from pykraft.zookeeper.znodes import ZnodeError

from .fixture_trees import TREES, texts


def _delegation_token(token_id: str, data: bytes) -> bytes:
    token = acl_znodes.decode_delegation_token(token_id, data)
    assert token is not None
    return acl_znodes.encode_delegation_token(token)


def _migration(data: bytes) -> bytes:
    value = znodes.decode_migration(data)
    return znodes.encode_migration(
        kraft_controller_id=value.kraft_controller_id,
        kraft_controller_epoch=value.kraft_controller_epoch,
        kraft_metadata_offset=value.kraft_metadata_offset,
        kraft_metadata_epoch=value.kraft_metadata_epoch,
    )


def _producer_id_block(data: bytes) -> bytes:
    block = znodes.decode_producer_id_block(data)
    assert block is not None
    return znodes.encode_producer_id_block(block)


# Pattern of the path -> (path, its groups, data) -> data written again.
ROUND_TRIPS: dict[str, Callable[[str, tuple[str, ...], bytes], bytes]] = {
    "/controller": lambda _p, _g, d: znodes.encode_controller(znodes.decode_controller(d)),
    "/controller_epoch": lambda _p, _g, d: znodes.encode_controller_epoch(znodes.decode_controller_epoch(d)),
    "/migration": lambda _p, _g, d: _migration(d),
    "/feature": lambda _p, _g, d: znodes.encode_feature(znodes.decode_feature(d)),
    "/cluster/id": lambda _p, _g, d: znodes.encode_cluster_id(znodes.decode_cluster_id(d)),
    "/latest_producer_id_block": lambda _p, _g, d: _producer_id_block(d),
    r"/brokers/ids/(\d+)": lambda _p, g, d: znodes.encode_broker_registration(
        znodes.decode_broker_registration(int(g[0]), d)
    ),
    r"/brokers/topics/([^/]+)": lambda _p, g, d: znodes.encode_topic_assignment(
        znodes.decode_topic_assignment(g[0], d)
    ),
    r"/brokers/topics/([^/]+)/partitions/(\d+)/state": lambda _p, g, d: znodes.encode_partition_state(
        znodes.decode_partition_state(g[0], int(g[1]), d)
    ),
    "/config/changes/.*": lambda p, _g, d: znodes.encode_config_change(znodes.decode_config_change(p, d)),
    "/config/.*": lambda p, _g, d: znodes.encode_config(znodes.decode_config(p, d)),
    "/kafka-acl(?:-extended)?-changes/.*": lambda p, _g, d: acl_znodes.encode_acl_change(
        acl_znodes.decode_acl_change(p, d)
    ),
    "/kafka-acl(?:-extended/prefixed)?/[^/]+/.*": lambda p, _g, d: acl_znodes.encode_acl_entries(
        acl_znodes.decode_acl_entries(p, d)
    ),
    "/delegation_token/tokens/(.*)": lambda _p, g, d: _delegation_token(g[0], d),
    "/delegation_token/token_changes/.*": lambda p, _g, d: znodes.decode_text(p, d).encode(),
}


def _value(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return data


@pytest.mark.parametrize("name", TREES)
def test_every_znode_of_a_real_cluster_reads_and_is_written_the_same(name: str) -> None:
    contents = texts(name)
    assert len(contents) > 50
    for path, text in contents.items():
        data = text.encode()
        for pattern, round_trip in ROUND_TRIPS.items():
            if match := re.fullmatch(pattern, path):
                assert _value(round_trip(path, match.groups(), data)) == _value(data), path
                break
        else:
            pytest.fail(f"no reader for {path}")


def test_controller_of_each_release() -> None:
    old = znodes.decode_controller(b'{"version":1,"brokerid":7,"timestamp":"1700000000000"}')
    assert old == znodes.Controller(broker_id=7, timestamp_ms=1700000000000)
    assert json.loads(znodes.encode_controller(old))["version"] == 1
    kraft = znodes.Controller(broker_id=3000, timestamp_ms=1700000000000, kraft_controller_epoch=7)
    assert json.loads(znodes.encode_controller(kraft)) == {
        "version": 2, "brokerid": 3000, "timestamp": "1700000000000", "kraftControllerEpoch": 7,
    }  # fmt: skip


def test_broker_registrations_of_all_versions() -> None:
    v1 = b'{"version":1,"host":"h","port":9092,"jmx_port":-1,"timestamp":"1"}'
    assert znodes.decode_broker_registration(1, v1).endpoints == []
    v5 = {
        "version": 5, "host": None, "port": -1, "jmx_port": 9999, "timestamp": "2",
        "endpoints": ["SSL://h:9093"], "listener_security_protocol_map": {"SSL": "SSL"},
        "features": {"f": {"min_version": 1, "max_version": 3}},
    }  # fmt: skip
    value = znodes.decode_broker_registration(1, json.dumps(v5).encode())
    assert value.host is None
    assert value.features["f"].max_version == 3
    assert json.loads(znodes.encode_broker_registration(value)) == v5


def test_topic_assignments_of_all_versions() -> None:
    v1 = znodes.decode_topic_assignment("t", b'{"version":1,"partitions":{"10":[1,2]}}')
    assert (v1.topic_id, v1.partitions, v1.adding_replicas) == (None, {10: [1, 2]}, {})
    assert json.loads(znodes.encode_topic_assignment(v1)) == {"version": 1, "partitions": {"10": [1, 2]}}
    value = znodes.TopicAssignment(
        topic_id="kQ1bMZ1wT9uMmXyqYdT0Cw",
        partitions={0: [1, 2, 3], 1: [2, 3]},
        adding_replicas={0: [3], 1: []},
        removing_replicas={0: [1]},
    )
    assert json.loads(znodes.encode_topic_assignment(value)) == {
        "version": 3, "topic_id": "kQ1bMZ1wT9uMmXyqYdT0Cw", "partitions": {"0": [1, 2, 3], "1": [2, 3]},
        "adding_replicas": {"0": [3]}, "removing_replicas": {"0": [1]},
    }  # fmt: skip


def test_the_recovery_state_of_a_partition_is_written_only_when_recovering() -> None:
    recovering = znodes.PartitionState(leader=-1, leader_epoch=5, controller_epoch=7, isr=[], leader_recovery_state=1)
    data = znodes.encode_partition_state(recovering)
    assert json.loads(data) == {
        "version": 1, "leader": -1, "leader_epoch": 5, "controller_epoch": 7, "isr": [],
        "leader_recovery_state": 1,
    }  # fmt: skip
    assert znodes.decode_partition_state("t", 0, data) == recovering


def test_a_config_znode_without_data_is_empty() -> None:
    assert znodes.decode_config("/config/users/u", None) == {}
    assert znodes.decode_config("/config/users/u", b"") == {}
    assert znodes.decode_config("/config/users/u", b'{"version":1}') == {}


def test_config_change_notifications_of_both_versions() -> None:
    path = paths.CONFIG_CHANGE_PREFIX + "0000000001"
    v1 = b'{"version":1,"entity_type":"topics","entity_name":"t"}'
    assert znodes.decode_config_change(path, v1) == "topics/t"
    assert znodes.decode_config_change(path, b'{"version":2,"entity_path":"users/a%40b"}') == "users/a%40b"


def test_no_producer_id_block() -> None:
    assert znodes.decode_producer_id_block(None) is None


def test_acl_names_read_in_either_spelling() -> None:
    data = (
        b'{"version":1,"acls":[{"principal":"User:CN=a,O=b","permissionType":"DENY","operation":"CLUSTERACTION",'
        b'"host":"*"}]}'
    )
    entry = AclEntry("User:CN=a,O=b", "*", Operation.CLUSTER_ACTION, PermissionType.DENY)
    assert acl_znodes.decode_acl_entries("/kafka-acl/Cluster/kafka-cluster", data) == [entry]
    assert b'"ClusterAction"' in acl_znodes.encode_acl_entries([entry])
    assert ResourceType.TRANSACTIONAL_ID.znode_name == "TransactionalId"
    assert acl_znodes.decode_acl_entries("/kafka-acl/Topic/t", None) == []


def test_acl_change_notifications_of_both_stores() -> None:
    literal = AclResource(ResourceType.TOPIC, "a:b", PatternType.LITERAL)
    assert acl_znodes.encode_acl_change(literal) == b"TOPIC:a:b"
    assert acl_znodes.decode_acl_change(paths.ACL_CHANGE_PREFIX_LITERAL + "0", b"TOPIC:a:b") == literal
    assert literal.path == "/kafka-acl/Topic/a:b"


def test_old_delegation_tokens_have_their_owner_as_requester() -> None:
    data = (
        b'{"version":2,"owner":"User%3Aalice","renewers":[],"issueTimestamp":1,"maxTimestamp":2,'
        b'"expiryTimestamp":3,"tokenId":"id"}'
    )
    token = acl_znodes.decode_delegation_token("id", data)
    assert token is not None
    assert (token.owner, token.token_requester, token.expiry_timestamp_ms) == ("User:alice", "User:alice", 3)


@pytest.mark.parametrize(
    ("reader", "path"),
    [
        (znodes.decode_controller, "/controller"),
        (znodes.decode_controller_epoch, "/controller_epoch"),
        (znodes.decode_migration, "/migration"),
        (znodes.decode_cluster_id, "/cluster/id"),
        (znodes.decode_feature, "/feature"),
        (znodes.decode_producer_id_block, "/latest_producer_id_block"),
        (lambda d: znodes.decode_broker_registration(2, d), "/brokers/ids/2"),
        (lambda d: znodes.decode_topic_assignment("t", d), "/brokers/topics/t"),
        (lambda d: znodes.decode_partition_state("t", 3, d), "/brokers/topics/t/partitions/3/state"),
        (lambda d: znodes.decode_config("/config/topics/t", d), "/config/topics/t"),
        (lambda d: acl_znodes.decode_acl_entries("/kafka-acl/Topic/t", d), "/kafka-acl/Topic/t"),
        (lambda d: acl_znodes.decode_delegation_token("x", d), "/delegation_token/tokens/x"),
    ],
)
@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff\xfe", b'{"version":"x","config":3}', b"null"])
def test_broken_data_names_the_znode_and_what_to_do(reader: Callable[[bytes], object], path: str, data: bytes) -> None:
    with pytest.raises(ZnodeError) as caught:
        reader(data)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"znode {path} ")
    assert caught.value.remedy in str(caught.value)


def test_a_migration_znode_that_a_tool_left_empty_or_of_another_version_is_refused() -> None:
    with pytest.raises(ZnodeError, match="is empty"):
        znodes.decode_migration(None)
    data = znodes.encode_migration(
        kraft_controller_id=1, kraft_controller_epoch=1, kraft_metadata_offset=1, kraft_metadata_epoch=1
    )
    with pytest.raises(ZnodeError, match="version 1"):
        znodes.decode_migration(data.replace(b'"version":0', b'"version":1'))


@pytest.mark.parametrize("rule", [{"operation": "Fly"}, {"permissionType": "Maybe"}, {"principal": "alice"}])
def test_an_acl_rule_that_cannot_be_read_is_refused(rule: dict[str, str]) -> None:
    entry = {"principal": "User:a", "permissionType": "Allow", "operation": "Read", "host": "*"} | rule
    data = json.dumps({"version": 1, "acls": [entry]}).encode()
    with pytest.raises(ZnodeError, match="kafka-acls"):
        acl_znodes.decode_acl_entries("/kafka-acl/Topic/t", data)
