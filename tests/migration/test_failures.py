"""One small migration with everything in it, hit by a failure at each of its requests to ZooKeeper in turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import trio

from pykraft.migration.states import EMPTY
from pykraft.migration.states import MigrationDriverState as S
from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.uuids import uuid_to_text
from pykraft.testing.fake_zookeeper import FakeZooKeeper, FakeZooKeeperPort, Fault, FaultKind
from pykraft.zookeeper import paths
from pykraft.zookeeper.acls import ZkAcls
from pykraft.zookeeper.errors import ZooKeeperError
from pykraft.zookeeper.port import (
    ANY_VERSION,
    Create,
    Delete,
    Op,
    OpResult,
    ReadError,
    ReadRequest,
    ReadResult,
    Session,
    SetData,
)

from .house import NODE_ID, House, Log, house, make

OLD, GROWN, NEW, AGAIN = (bytes(15) + bytes([n]) for n in (1, 2, 3, 4))


def zookeeper() -> FakeZooKeeper:
    """Two topics, one of them with a partition that was never led, a config, and a topic pending deletion."""
    server = FakeZooKeeper(now_ms=lambda: 1)
    make(
        server,
        {
            "/brokers/ids/0": "{}",
            "/brokers/ids/1": "{}",
            paths.CONTROLLER_EPOCH: "4",
            paths.CONTROLLER: '{"version":2,"brokerid":0,"timestamp":"1","kraftControllerEpoch":-1}',
            paths.topic("old"): assignment(OLD, 1),
            paths.topic_partition("old", 0): None,
            paths.topic_partition_state("old", 0): state(),
            paths.topic_config("old"): '{"config":{"a":"1"}}',
            paths.topic("grown"): assignment(GROWN, 2),
            paths.topic_partition_state("grown", 0): state(),
            paths.topic("leaving"): assignment(bytes(15) + b"\x09", 1),
            paths.delete_topic("leaving"): None,
            "/config/brokers/0": '{"config":{"log.cleaner.threads":"2"}}',
            "/config/users/u": '{"config":{"producer_byte_rate":"10"}}',
        },
    )
    return server


def assignment(topic_id: bytes, partitions: int) -> str:
    return json.dumps(
        {
            "version": 3,
            "topic_id": uuid_to_text(topic_id),
            "partitions": {str(number): [0, 1] for number in range(partitions)},
        }
    )


def state() -> str:
    return '{"version":1,"leader":0,"leader_epoch":1,"controller_epoch":4,"isr":[0,1]}'


def partition(topic: bytes, number: int) -> PartitionRecord:
    return PartitionRecord(
        topic_id=topic, partition_id=number, replicas=[1, 0], isr=[1, 0], leader=1, leader_epoch=0, partition_epoch=0
    )


DUAL_WRITES: Final[list[list[Any]]] = [
    [
        TopicRecord(name="new", topic_id=NEW),
        ConfigRecord(resource_type=2, resource_name="new", name="k", value="v"),
        partition(NEW, 0),
        partition(NEW, 1),
    ],
    [partition(GROWN, 2), PartitionChangeRecord(topic_id=GROWN, partition_id=0, leader=1, isr=[1])],
    [RemoveTopicRecord(topic_id=OLD)],
    [TopicRecord(name="old", topic_id=AGAIN), partition(AGAIN, 0)],
    [ConfigRecord(resource_type=4, resource_name="0", name="log.cleaner.threads", value=None)],
    [
        ClientQuotaRecord(
            entity=[EntityData(entity_type="client-id", entity_name="c d")], key="producer_byte_rate", value=5.0
        )
    ],
    [ProducerIdsRecord(broker_id=1, broker_epoch=2, next_producer_id=5000)],
    [
        AccessControlEntryRecord(
            id=bytes(15) + b"\x31",
            resource_type=2,
            resource_name="new",
            pattern_type=3,
            principal="User:u",
            host="*",
            operation=3,
            permission_type=3,
        )
    ],
    [DelegationTokenRecord(owner="User:u", requester="User:u", token_id="tok")],
]


@dataclass
class Meddled:
    """A port on which something happens right before or after its n-th request (`at`, from 0)."""

    inner: FakeZooKeeperPort
    at: int = -1
    before: Callable[[], object] = lambda: None
    after: Callable[[], None] = lambda: None
    requests: int = field(default=0, init=False)

    @property
    def session(self) -> Session:
        return self.inner.session

    @property
    def request_bytes_max(self) -> int:
        return self.inner.request_bytes_max

    async def read_many(self, requests: Sequence[ReadRequest]) -> list[ReadResult]:
        done = self._begin()
        result = await self.inner.read_many(requests)
        await done()
        return result

    async def read_acls(self, paths: Sequence[str]) -> list[ZkAcls | ReadError]:
        done = self._begin()
        result = await self.inner.read_acls(paths)
        await done()
        return result

    async def multi(self, ops: Sequence[Op]) -> list[OpResult]:
        done = self._begin()
        result = await self.inner.multi(ops)
        await done()
        return result

    async def multi_pipelined(self, multis: Sequence[Sequence[Op]]) -> list[list[OpResult] | ZooKeeperError]:
        done = self._begin()
        result = await self.inner.multi_pipelined(multis)
        await done()
        return result

    def _begin(self) -> Callable[[], Any]:
        mine = self.requests == self.at
        self.requests += 1
        if mine:
            self.before()

        async def end() -> None:
            if mine:
                self.after()
                await trio.lowlevel.checkpoint()

        return end


async def live(h: House, done: int = 0) -> None:
    """Migrate and make the dual writes from the `done`-th on, each written before the next."""
    await h.register_brokers(*({0, 1} - h.image.brokers.keys()))
    await h.until_written()
    for records in DUAL_WRITES[done:]:
        await h.write(*records)
        await h.until_written()


def tree(server: FakeZooKeeper) -> dict[str, Any]:
    """All that was written, with versions; log offsets and the claim's own znodes left out."""
    return {
        path: (node.data, node.version)
        for path, node in server.tree.nodes.items()
        if path not in (paths.MIGRATION, paths.CONTROLLER, paths.CONTROLLER_EPOCH)
    }


async def undisturbed() -> tuple[FakeZooKeeper, int]:
    """What it leaves behind, and how many requests it takes."""
    server = zookeeper()
    port = Meddled(server.connect())
    async with house(port) as h:
        await live(h)
        requests = port.requests
        assert await h.differences() == []
    return server, requests


async def test_the_undisturbed_migration(autojump_clock: trio.testing.MockClock) -> None:
    server, _ = await undisturbed()
    nodes = server.tree.nodes
    assert json.loads(nodes[paths.topic("old")].data or b"")["topic_id"] == uuid_to_text(AGAIN)
    assert paths.topic("leaving") not in nodes
    assert paths.delete_topic("leaving") not in nodes
    assert "/config/brokers/0" not in nodes
    assert json.loads(nodes["/config/clients/c%20d"].data or b"")["config"] == {"producer_byte_rate": "5"}
    assert json.loads(nodes[paths.PRODUCER_ID_BLOCK].data or b"")["block_start"] == "5000"
    assert nodes["/kafka-acl/Topic/new"].data
    assert list(nodes[paths.DELEGATION_TOKEN_CHANGES].children) == ["token_change_0000000000"]
    assert sorted(
        json.loads(nodes[f"{paths.CONFIG_CHANGES}/{name}"].data or b"")["entity_path"]
        for name in nodes[paths.CONFIG_CHANGES].children
    ) == ["brokers/0", "clients/c%20d", "topics/new"]


@pytest.mark.parametrize("kind", [FaultKind.LOSE_BEFORE_APPLY, FaultKind.LOSE_AFTER_APPLY, FaultKind.EXPIRE])
async def test_c11_a_lost_request_loses_and_doubles_nothing(
    kind: FaultKind, autojump_clock: trio.testing.MockClock
) -> None:
    expected, requests = await undisturbed()
    for at in range(requests):
        server = zookeeper()
        server.inject(Fault(kind, skip=at))
        async with house(server.connect()) as h:
            await live(h)
            assert await h.differences() == [], f"request {at}"
        assert server.unused_faults == []
        assert tree(server) == tree(expected), f"request {at}"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_controller_that_dies_at_a_request_is_carried_on(
    moment: str, autojump_clock: trio.testing.MockClock
) -> None:
    expected, requests = await undisturbed()
    for at in range(requests):
        server, log = zookeeper(), Log()
        port = Meddled(server.connect(), at)
        with trio.CancelScope() as life:
            setattr(port, moment, life.cancel)
            async with house(port, log=log) as h:
                await live(h)
        assert life.cancelled_caught
        async with house(server.connect(), log=log, epoch=2) as h:
            await live(h, done=steps_in(log))
            assert await h.differences() == [], f"request {at}"
        assert json_tree(server) == json_tree(expected), f"request {at}"


def steps_in(log: Log) -> int:
    """How many of the dual writes the log has."""
    messages = [record.message for record in log.decoded()]
    return sum(records[-1] in messages for records in DUAL_WRITES)


def json_tree(server: FakeZooKeeper) -> dict[str, Any]:
    """The tree without versions and KRaft epochs, which differ from one leader to the next."""
    result = {}
    for path, (data, _) in tree(server).items():
        content = json.loads(data) if data and data.startswith(b"{") else data
        if isinstance(content, dict):
            content.pop("controller_epoch", None)
        result[path] = content
    return result


def another_takes_over(server: FakeZooKeeper, kraft_epoch: int) -> None:
    results = server.tree.multi(
        [
            SetData(paths.CONTROLLER_EPOCH, b"77", ANY_VERSION),
            Delete(paths.CONTROLLER, ANY_VERSION),
            Create(
                paths.CONTROLLER, b'{"version":2,"brokerid":1,"timestamp":"1","kraftControllerEpoch":%d}' % kraft_epoch
            ),
        ],
        0,
        (),
    )
    assert all(result.code == 0 for result in results)


async def test_a_controller_that_is_taken_over_writes_nothing_more(autojump_clock: trio.testing.MockClock) -> None:
    """By a ZooKeeper broker: before the claim that is claimed over, after it this controller is fenced."""
    _, requests = await undisturbed()
    fenced = 0
    for at in range(requests):
        server = zookeeper()
        after: list[dict[str, Any]] = []

        def take_over() -> None:
            another_takes_over(server, -1)  # noqa: B023  called in this round
            after.append(everything_but_migration(server))  # noqa: B023  called in this round

        port = Meddled(server.connect(), at, before=take_over)
        async with house(port) as h:
            await h.register_brokers(0, 1)
            await h.until(lambda: settled(h))
            for records in DUAL_WRITES if h.state is S.DUAL_WRITE else ():
                await h.write(*records)
                await h.until(lambda: settled(h))
            if h.state is S.DUAL_WRITE:
                assert await h.differences() == []
                continue
            fenced += 1
            assert "broker 1 is in /controller now" in h.waiting() or "another controller" in h.waiting()
            assert everything_but_migration(server) == after[0], f"request {at}"
            assert h.channels.sent[-1:] in ([], ["stop"])
    assert fenced > len(DUAL_WRITES)


def settled(h: House) -> bool:
    return (h.state is S.DUAL_WRITE and not h.runner.driver.is_writing) or "took over" in h.waiting()


def everything_but_migration(server: FakeZooKeeper) -> dict[str, Any]:
    return {path: node.data for path, node in server.tree.nodes.items() if path != paths.MIGRATION}


async def test_a_kraft_controller_of_a_later_epoch_cannot_be_claimed_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server = zookeeper()
    another_takes_over(server, 9)
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await h.until(lambda: "two quorums claim one ZooKeeper" in h.waiting())
        assert h.state is S.BECOME_CONTROLLER
        assert "KRaft controller 1 of epoch 9" in h.waiting()
    assert server.tree.nodes[paths.CONTROLLER_EPOCH].data == b"77"


async def test_zookeeper_away_for_half_a_minute_holds_nobody_up(autojump_clock: trio.testing.MockClock) -> None:
    server = zookeeper()
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await h.until_written()
        server.stop()
        told = len(h.channels.sent)
        for records in DUAL_WRITES:
            with trio.fail_after(0.1):
                await h.write(*records)
            await trio.sleep(4)
        assert len(h.channels.sent) - told == 4, "each change of topics reached the brokers at once"
        assert h.runner.metrics.zk_write_behind_lag > 0
        assert "ZooKeeper at zk:2181 cannot be reached" in h.waiting()
        server.start()
        with trio.fail_after(1):
            await h.until_written()
        assert await h.differences() == []
        assert h.runner.metrics.zk_write_behind_lag == 0


async def test_c11_an_expired_session_in_the_middle_of_it_all(autojump_clock: trio.testing.MockClock) -> None:
    server = zookeeper()
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await h.until_written()
        server.stop()
        await h.write(*DUAL_WRITES[0])
        await h.until(lambda: "cannot be reached" in h.waiting(), "the write fails")
        server.start(expire_sessions=True)
        await h.until_written()
        await h.write(*DUAL_WRITES[1])
        await h.until_written()
        assert await h.differences() == []
        assert h.states().count("DUAL_WRITE") == 1


async def test_a_topic_deleted_by_hand_comes_back_with_the_next_leader(autojump_clock: trio.testing.MockClock) -> None:
    server, log = zookeeper(), Log()
    async with house(server.connect(), log=log) as h:
        await h.register_brokers(0, 1)
        await h.until_written()
    doomed = sorted((path for path in server.tree.nodes if path.startswith(paths.topic("old"))), reverse=True)
    results = server.tree.multi([Delete(path, ANY_VERSION) for path in doomed], 0, ())
    assert all(result.code == 0 for result in results)
    async with house(server.connect(), log=log, epoch=2) as h:
        await h.until_written()
        assert await h.differences() == []
    assert server.tree.nodes.keys() >= set(doomed)


async def test_c26_a_leader_change_is_heard_of_without_any_metadata(autojump_clock: trio.testing.MockClock) -> None:
    """A controller that lost the quorum gets no records any more to learn it from."""
    server = zookeeper()
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await h.until_written()
        records = len(h.log.records)
        h.runner.leader_changed(None, 2)
        await h.until_state(S.INACTIVE)
        assert h.channels.sent[-1] == "stop"
        h.runner.leader_changed(NODE_ID, 3)
        await h.until_written()
        assert len(h.log.records) == records
        assert json.loads(server.tree.nodes[paths.CONTROLLER].data or b"")["kraftControllerEpoch"] == 3


async def test_c49_the_predecessor_may_write_migration_at_any_moment(autojump_clock: trio.testing.MockClock) -> None:
    """KAFKA-16171: a version of `/migration` that was read is no longer right when the claim is made."""
    counted = Meddled(zookeeper().connect())
    async with house(counted) as h:
        await h.register_brokers(0, 1)
        await h.until_written()
    for at in range(counted.requests):
        server = zookeeper()
        make(server, {paths.MIGRATION: EMPTY.encode()})
        late = SetData(paths.MIGRATION, EMPTY.with_leader(NODE_ID - 1, 0).encode(), ANY_VERSION)
        port = Meddled(server.connect(), at, before=lambda: server.tree.multi([late], 0, ()))  # noqa: B023  this round
        async with house(port) as h:
            await h.register_brokers(0, 1)
            await h.until_written()
            assert await h.differences() == [], f"request {at}"
        stored = json.loads(server.tree.nodes[paths.MIGRATION].data or b"")
        assert (stored["kraft_controller_id"], stored["kraft_metadata_offset"] > 0) == (NODE_ID, True), f"request {at}"


async def test_c49_two_controllers_in_turn_each_fence_the_one_before(autojump_clock: trio.testing.MockClock) -> None:
    server, log = zookeeper(), Log()
    async with house(server.connect(), log=log) as first:
        await first.register_brokers(0, 1)
        await first.until_written()
        successor = Log(list(log.records))
        async with house(server.connect(), log=successor, epoch=2, node_id=NODE_ID + 1) as second:
            await second.until_written()
            await first.write(*DUAL_WRITES[0])
            await first.until_state(S.INACTIVE)
            assert f"KRaft controller {NODE_ID + 1} is in /controller now" in first.waiting()
            await second.write(*DUAL_WRITES[1])
            await second.until_written()
            assert await second.differences() == []
