"""Every znode that the copy reads, with contents that no Kafka writes.

Nothing of it ends the controller or is half copied: the migration waits, says which znode it is and what to do, and
goes on when it was mended.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
import trio

from pykraft.image.model import ZkMigrationState
from pykraft.migration.states import MigrationDriverState as S
from pykraft.protocol.uuids import uuid_to_text
from pykraft.testing.fake_zookeeper import FakeZooKeeper
from pykraft.zookeeper import paths
from pykraft.zookeeper.port import ANY_VERSION, Delete, SetData

from .house import House, house, make

TOPIC, STATE, CONFIG = paths.topic("t"), paths.topic_partition_state("t", 1), paths.topic_config("t")
USER, BROKER, BLOCK = "/config/users/u", "/config/brokers/0", paths.PRODUCER_ID_BLOCK
ACL, TOKEN = "/kafka-acl/Topic/t", "/delegation_token/tokens/x"
DATA: Final[dict[str, dict[str, Any]]] = {
    TOPIC: {
        "version": 3,
        "topic_id": uuid_to_text(bytes(15) + b"\x07"),
        "partitions": {"0": [0, 1], "1": [1, 0]},
        "adding_replicas": {},
        "removing_replicas": {},
    },
    paths.topic_partition_state("t", 0): {
        "version": 1, "leader": 0, "leader_epoch": 1, "controller_epoch": 3, "isr": [0, 1],
    },
    STATE: {"version": 1, "leader": 1, "leader_epoch": 1, "controller_epoch": 3, "isr": [1, 0]},
    CONFIG: {"version": 1, "config": {"retention.ms": "1"}},
    USER: {"version": 1, "config": {"producer_byte_rate": "10"}},
    BROKER: {"version": 1, "config": {"log.cleaner.threads": "2"}},
    BLOCK: {"version": 1, "broker": 0, "block_start": "0", "block_end": "999"},
    ACL: {
        "version": 1,
        "acls": [{"principal": "User:a", "permissionType": "Allow", "operation": "Read", "host": "*"}],
    },
    TOKEN: {
        "version": 3, "owner": "User%3Aa", "tokenRequester": "User%3Aa", "renewers": ["User%3Ab"],
        "issueTimestamp": 1, "maxTimestamp": 2, "expiryTimestamp": 3, "tokenId": "x",
    },
}  # fmt: skip
ELSEWHERE: Final[dict[str, bytes | str | None]] = {
    "/brokers/ids/0": '{"version":5,"endpoints":["PLAINTEXT://h:1"]}',
    "/brokers/ids/1": "{}",
    paths.CONTROLLER_EPOCH: "3",
    paths.CONTROLLER: '{"version":1,"brokerid":0,"timestamp":"1"}',
    paths.MIGRATION: '{"version":0,"kraft_controller_id":-1,"kraft_controller_epoch":-1,"kraft_metadata_offset":-1,'
    '"kraft_metadata_epoch":-1}',
}

INT32, INT64, LONG = 2**40, 2**70, "x" * 40_000
ODD_PARTITIONS: Final[list[object]] = [
    {"0": ["a"]}, {"0": None}, {"-1": [0]}, {"0": []}, {str(INT32): [0]}, {"a": [0]}, [],
]  # fmt: skip
NOT_JSON: Final = {"not JSON": "{", "an array": "[]", "a number": "7", "null": "null", "a text": '"x"', "zero": "\0"}
EMPTY_IS_NONE: Final = (CONFIG, USER, BROKER, ACL, TOKEN)
"""Kafka takes them for an entity without configs, rules or token, too."""


def without_version_check(path: str) -> bool:
    """Kafka reads these whatever version they have: it is the fields that count."""
    return path not in (ACL, TOKEN, paths.MIGRATION)


def other(path: str, **fields: Any) -> str:
    """The sound content with other fields."""
    return json.dumps({**DATA[path], **fields})


def config(**configs: str) -> str:
    return json.dumps({"version": 1, "config": configs})


def scram(iterations: int) -> dict[str, str]:
    return {"SCRAM-SHA-256": f"salt=AA==,stored_key=AA==,server_key=AA==,iterations={iterations}"}


def acl(**fields: str) -> str:
    return other(ACL, acls=[{**DATA[ACL]["acls"][0], **fields}])


BAD: Final = [
    *((path, text) for path in (*DATA, paths.CONTROLLER, paths.MIGRATION) for text in NOT_JSON.values()),
    *((path, "") for path in (*DATA, *ELSEWHERE) if path not in EMPTY_IS_NONE and not path.startswith("/brokers/ids")),
    *((path, other(path, version=99)) for path in DATA if not without_version_check(path)),
    (paths.MIGRATION, str(ELSEWHERE[paths.MIGRATION]).replace('"version":0', '"version":99')),
    (TOPIC, '{"version":99}'),
    (TOPIC, other(TOPIC, topic_id="short")),
    (TOPIC, other(TOPIC, topic_id=uuid_to_text(bytes(16)))),
    *((TOPIC, other(TOPIC, partitions=each)) for each in ODD_PARTITIONS),
    (TOPIC, other(TOPIC, adding_replicas={"0": [INT32]})),
    (TOPIC, other(TOPIC, adding_replicas=None)),
    *((STATE, other(STATE, **{name: INT32})) for name in ("leader", "leader_epoch", "leader_recovery_state")),
    *((STATE, other(STATE, **{name: "x"})) for name in ("leader", "leader_epoch", "isr")),
    (STATE, other(STATE, isr=[INT32])),
    (CONFIG, '{"version":1,"config":{"a":null}}'),
    (CONFIG, '{"version":1,"config":{"a":3}}'),
    (CONFIG, config(a=LONG)),
    (CONFIG, config(**{LONG: "x"})),
    (BROKER, config(a=LONG)),
    *((USER, config(producer_byte_rate=each)) for each in ("nan", "inf", "1e400", "1_0", "٣", "", "ten")),
    (USER, config(**scram(INT32))),
    (USER, config(**{"SCRAM-SHA-256": "salt"})),
    *((BLOCK, other(BLOCK, **{name: value})) for name, value in (
        ("block_end", str(INT64)), ("block_end", str(2**63 - 1)), ("block_end", "-5"), ("block_start", "-5"),
        ("block_start", "2000"), ("broker", INT32), ("broker", "x"),
    )),
    *((ACL, acl(**each)) for each in ({"operation": "Fly"}, {"principal": "a"}, {"host": LONG})),
    *((TOKEN, other(TOKEN, **each)) for each in (
        {"issueTimestamp": INT64}, {"owner": "alice"}, {"renewers": ["bob"]}, {"tokenRequester": "x"}, {"version": 0},
    )),
    *((paths.CONTROLLER_EPOCH, text) for text in ("x", "-1", "1_0", "٣", str(2**31 - 1), str(INT32), "9" * 5_000)),
]  # fmt: skip


async def registered(h: House) -> None:
    await h.register_brokers(0, 1)


def change(server: FakeZooKeeper, path: str, data: bytes | None) -> None:
    server.tree.multi([SetData(path, data, ANY_VERSION)], 0, ())


def sound() -> FakeZooKeeper:
    server = FakeZooKeeper(now_ms=lambda: 1)
    make(server, {**ELSEWHERE, **{path: json.dumps(data) for path, data in DATA.items()}})
    return server


def copied(h: House) -> dict[str, object]:
    """What the image holds of each znode."""
    image = h.image
    return {
        "topics": {name: sorted(topic.partitions) for name, topic in image.topics_by_name.items()},
        "configs": {resource.name: configs for resource, configs in image.configs.items()},
        "quotas": list(image.client_quotas.values()),
        "next producer id": image.producer_ids.next_producer_id,
        "acls": len(image.acls),
        "tokens": list(image.delegation_tokens),
    }


ALL_COPIED: Final = {
    "topics": {"t": [0, 1]},
    "configs": {"t": {"retention.ms": "1"}, "0": {"log.cleaner.threads": "2"}},
    "quotas": [{"producer_byte_rate": 10.0}],
    "next producer id": 1000,
    "acls": 1,
    "tokens": ["x"],
}


@pytest.mark.parametrize(("path", "text"), BAD, ids=lambda value: repr(value[:60]))
async def test_it_is_named_and_waited_for(
    path: str, text: str, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    server = sound()
    good = server.tree.nodes[path].data
    change(server, path, text.encode())
    async with house(server.connect()) as h:
        await registered(h)
        # A topic is named by its own name only where it is brokers that have to act.
        await h.until(lambda: path in h.waiting() or (path == TOPIC and "topic t " in h.waiting()), path)
        assert ": " in h.waiting(), "what to do"
        assert h.image.zk_migration_state is ZkMigrationState.PRE_MIGRATION
        assert not h.image.topics_by_id
        change(server, path, good)
        await h.until_written()
        assert copied(h) == ALL_COPIED
        assert await h.differences() == []
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("path", "text", "lacks"),
    [
        *((path, "", {}) for path in EMPTY_IS_NONE),
        *((path, other(path, version=99), None) for path in DATA if without_version_check(path)),
        ("/brokers/ids/0", "{", None),
        ("/brokers/ids/0", "", None),
        ("/brokers/ids/x", "{}", None),
        ("/config/topics/gone", "{", None),
        ("/config/changes/config_change_0000000001", "{", None),
        ("/kafka-acl/Fly/t", "{", None),
        ("/feature", "{", None),
        (BLOCK, None, {}),
    ],
)
async def test_what_kafka_reads_all_the_same(
    path: str, text: str | None, lacks: object, autojump_clock: trio.testing.MockClock
) -> None:
    """Znodes without data, of another version, or of no account to the copy."""
    server = sound()
    data = None if text is None else text.encode()
    if path in server.tree.nodes:
        change(server, path, data)
    else:
        make(server, {path: data})
    async with house(server.connect()) as h:
        await registered(h)
        await h.until_written()
        same = copied(h) == ALL_COPIED
        assert same == (lacks is None)
        assert copied(h)["topics"] == ALL_COPIED["topics"]


async def test_no_producer_id_is_given_out_twice_when_its_znode_was_emptied(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Empty is not the same as without data, which says that none was given out yet."""
    server = sound()
    change(server, BLOCK, b"")
    async with house(server.connect()) as h:
        await registered(h)
        await h.until(lambda: f"znode {BLOCK} is empty" in h.waiting())
        assert "above every producer id in use" in h.waiting()
        server.tree.multi([Delete(BLOCK, -1)], 0, ())
        await h.until_written()
        assert h.image.producer_ids.next_producer_id <= 0
        assert h.state is S.DUAL_WRITE
