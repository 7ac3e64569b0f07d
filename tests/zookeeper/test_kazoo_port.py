"""The adapter to a real ZooKeeper where the contract does not reach: connecting, old servers, refusals."""

import signal

import pytest
import trio

from pykraft.lab.cluster import Node, free_port
from pykraft.zookeeper.errors import AuthError, ConnectTimeoutError, ZkCode
from pykraft.zookeeper.kazoo_port import KazooPort, ZooKeeperConfig, open_zookeeper
from pykraft.zookeeper.ops import get_children, get_data
from pykraft.zookeeper.port import (
    Create,
    DataResult,
    GetChildren,
    GetData,
    ReadError,
    ReadRequest,
    SessionState,
    SetData,
)

from .harness import RealHarness
from .stub_server import GET_DATA, MULTI_READ, StubServer

DEADLINE_S = 60


async def test_nobody_there_is_said_in_time(nursery: trio.Nursery) -> None:
    config = ZooKeeperConfig(connect=f"127.0.0.1:{free_port()}", connection_timeout_ms=300)
    with trio.fail_after(DEADLINE_S), pytest.raises(ConnectTimeoutError, match=r"within 300 ms .*zookeeper\.connect"):
        async with open_zookeeper(config):
            pass


@pytest.mark.parametrize("connect", ["", "/chroot", "host:2181/a//b"])
async def test_a_connect_string_of_the_wrong_form_is_refused(connect: str) -> None:
    with pytest.raises(ValueError, match=r"zookeeper\.connect is"):
        async with open_zookeeper(ZooKeeperConfig(connect=connect)):
            pass


async def test_an_error_in_the_block_comes_out_as_it_is(nursery: trio.Nursery) -> None:
    server = StubServer({"/": b""})
    await nursery.start(server.serve)
    with pytest.raises(KeyError):
        async with open_zookeeper(ZooKeeperConfig(connect=server.address)):
            raise KeyError
    nursery.cancel_scope.cancel()


async def test_a_zookeeper_before_3_6_is_read_one_by_one(nursery: trio.Nursery) -> None:
    server = StubServer({f"/{i}": str(i).encode() for i in range(0, 100, 2)})
    await nursery.start(server.serve)
    with trio.fail_after(DEADLINE_S):
        async with open_zookeeper(ZooKeeperConfig(connect=server.address)) as port:
            assert port.session.status.connections == 2
            results = await port.read_many([GetData(f"/{i}") for i in range(100)])
    for i, result in enumerate(results):
        if i % 2:
            assert result == ReadError(ZkCode.NO_NODE)
        else:
            assert isinstance(result, DataResult)
            assert result.data == str(i).encode()
    assert (server.asked[MULTI_READ], server.asked[GET_DATA]) == (1, 100)
    nursery.cancel_scope.cancel()


async def test_refused_credentials_are_said_and_tried_again(nursery: trio.Nursery) -> None:
    server = StubServer({"/": b""}, refusals=2)
    await nursery.start(server.serve)
    credentials = (("digest", "u:p"),)
    with trio.fail_after(DEADLINE_S):
        config = ZooKeeperConfig(connect=server.address, credentials=credentials, connection_timeout_ms=500)
        with pytest.raises(AuthError, match="check them"):
            async with open_zookeeper(config):
                pass
        config = ZooKeeperConfig(connect=server.address, credentials=credentials)
        async with open_zookeeper(config) as port:
            assert await get_data(port, "/") is not None
    assert server.refusals < 0
    nursery.cancel_scope.cancel()


@pytest.mark.kafka
async def test_a_chroot_that_does_not_exist_is_created(zookeeper_node: Node) -> None:
    address = zookeeper_node.address
    async with open_zookeeper(ZooKeeperConfig(connect=f"{address}/made/for/us")) as port:
        (created,) = await port.multi([Create("/x", b"1")])
        assert created.path == "/x"
        assert await get_children(port, "/") == ["x"]
    async with open_zookeeper(ZooKeeperConfig(connect=address)) as port:
        assert await get_data(port, "/made/for/us/x") is not None


@pytest.mark.kafka
async def test_reads_one_by_one_equal_reads_in_transactions(real_harness: RealHarness) -> None:
    async with real_harness.open() as port:
        assert isinstance(port, KazooPort)
        await port.multi([Create("/n"), *(Create(f"/n/{i}", b"x" * i) for i in range(300))])
        requests: list[ReadRequest] = [
            GetChildren("/n"),
            *(GetData(f"/n/{i}") for i in range(320)),
            GetChildren("/none"),
        ]
        at_once = await port.read_many(requests)
        port._multi_read = False
        assert await port.read_many(requests) == at_once


@pytest.mark.kafka
async def test_a_server_that_hangs_suspends_the_session_and_closing_does_not_hang(
    zookeeper_node: Node,
) -> None:
    config = ZooKeeperConfig(connect=zookeeper_node.address, session_timeout_ms=2_000)
    try:
        with trio.fail_after(DEADLINE_S):
            async with open_zookeeper(config) as port:
                zookeeper_node.process.send_signal(signal.SIGSTOP)
                outcomes = await port.multi_pipelined([[SetData("/none", b"", 0)]] * 50)
                assert all(isinstance(outcome, Exception) for outcome in outcomes)
                assert port.session.status.state is SessionState.SUSPENDED
    finally:
        zookeeper_node.process.send_signal(signal.SIGCONT)
    async with open_zookeeper(config) as port:
        assert await get_data(port, "/") is not None
