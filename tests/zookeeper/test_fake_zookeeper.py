"""The faults of the fake ZooKeeper: each hits the request it was meant for, with the outcome it says."""

import pytest
import trio

from pykraft.testing.fake_zookeeper import FakeZooKeeper, Fault, FaultKind, On
from pykraft.testing.zookeeper_tree import valid_path
from pykraft.zookeeper.errors import ConnectionLossError, NotConnectedError, SessionExpiredError, ZkCode
from pykraft.zookeeper.ops import get_data
from pykraft.zookeeper.port import Create, GetData, Op, ReadError, SessionState, SetData, ZooKeeperPort


async def _version(port: ZooKeeperPort, path: str) -> int:
    found = await get_data(port, path)
    assert found is not None
    return found.stat.version


async def test_a_connection_lost_before_or_after_the_request_was_applied() -> None:
    server = FakeZooKeeper()
    port = server.connect()
    await port.multi([Create("/c")])
    server.inject(Fault(FaultKind.LOSE_BEFORE_APPLY, On.WRITE, "/c"))
    with pytest.raises(ConnectionLossError):
        await port.multi([SetData("/c", b"x", 0)])
    assert port.session.connected
    assert port.session.status.connections == 2
    assert await _version(port, "/c") == 0
    server.inject(Fault(FaultKind.LOSE_AFTER_APPLY, On.WRITE, "/c"))
    with pytest.raises(ConnectionLossError):
        await port.multi([SetData("/c", b"x", 0)])
    assert await _version(port, "/c") == 1
    assert server.unused_faults == []


@pytest.mark.parametrize(("kind", "applied"), [(FaultKind.LOSE_BEFORE_APPLY, 10), (FaultKind.LOSE_AFTER_APPLY, 14)])
async def test_a_loss_in_a_pipeline_takes_what_is_in_flight_and_stops_the_rest(kind: FaultKind, applied: int) -> None:
    server = FakeZooKeeper()
    port = server.connect(in_flight_max=4)
    await port.multi([Create("/c")])
    server.inject(Fault(kind, On.WRITE, "/c", skip=10))
    outcomes = await port.multi_pipelined([[SetData("/c", b"", version)] for version in range(20)])
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [list] * 10 + [ConnectionLossError] * 4 + [NotConnectedError] * 6
    assert await _version(port, "/c") == applied


async def test_a_fault_waits_for_its_path_kind_and_turn() -> None:
    server = FakeZooKeeper()
    port = server.connect()
    fault = server.inject(Fault(FaultKind.NO_AUTH, On.READ, "/a/secret", skip=1, times=2))
    await port.multi([Create("/a"), Create("/a/secret"), Create("/a/plain")])
    reads = [GetData("/a/plain"), GetData("/a/secret")]
    refused = [isinstance((await port.read_many(reads))[1], ReadError) for _ in range(4)]
    assert refused == [False, True, True, False]
    assert not fault.times
    server.inject(Fault(FaultKind.NO_AUTH, On.WRITE, "/a"))
    ops: list[Op] = [Create("/b"), SetData("/a/plain", b"", 0), Create("/c")]
    codes = [result.code for result in await port.multi(ops)]
    assert codes == [ZkCode.OK, ZkCode.NO_AUTH, ZkCode.RUNTIME_INCONSISTENCY]


async def test_an_expired_session_loses_the_request_and_its_ephemeral_znodes() -> None:
    server = FakeZooKeeper()
    port = server.connect()
    await port.multi([Create("/e", ephemeral=True), Create("/c")])
    server.inject(Fault(FaultKind.EXPIRE, path="/c"))
    with pytest.raises(SessionExpiredError):
        await port.multi([SetData("/c", b"", 0)])
    assert port.session.status.sessions == 2
    assert await get_data(port, "/e") is None
    assert await _version(port, "/c") == 0


async def test_slowness_and_an_outage_while_a_request_is_under_way(autojump_clock: trio.testing.MockClock) -> None:
    server = FakeZooKeeper()
    port = server.connect()
    server.inject(Fault(FaultKind.SLOW, delay_s=5.0))
    begun = trio.current_time()
    await port.multi([Create("/c")])
    assert trio.current_time() - begun == pytest.approx(5.0)

    server.inject(Fault(FaultKind.SLOW, delay_s=5.0))

    async def outage() -> None:
        await trio.sleep(1)
        server.stop()
        assert port.session.status.state is SessionState.SUSPENDED
        await trio.sleep(30)
        server.start(expire_sessions=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(outage)
        with pytest.raises(ConnectionLossError):
            await port.multi([SetData("/c", b"", 0)])
        status = await port.session.wait_connected()
    assert (status.sessions, status.connections) == (2, 2)
    assert await _version(port, "/c") == 0


async def test_a_client_that_comes_while_the_server_is_down_connects_later() -> None:
    server = FakeZooKeeper()
    server.stop()
    port = server.connect()
    assert port.session.status.state is SessionState.CONNECTING
    with pytest.raises(NotConnectedError):
        await port.read_many([GetData("/")])
    server.start()
    await port.session.wait_connected()
    assert isinstance(await get_data(port, "/"), object)


@pytest.mark.parametrize("path", ["/", "/a", "/a/b.c", "/kafka-acl/Group/*", "/a/...", "/a/ö"])
def test_paths_that_zookeeper_accepts(path: str) -> None:
    assert valid_path(path)


@pytest.mark.parametrize("path", ["", "a", "/a/", "//", "/a//b", "/.", "/a/../b", "/a\x00", "/a\x7f", "/\ue000"])
def test_paths_that_zookeeper_refuses(path: str) -> None:
    assert not valid_path(path)
