"""The adapter to a real ZooKeeper where the contract does not reach: connecting, old servers, refusals."""

import signal
from collections import deque
from types import SimpleNamespace

import pytest
import trio

from pykraft.lab.cluster import Node, free_port
from pykraft.zookeeper import kazoo_port
from pykraft.zookeeper.errors import AuthError, ConnectionLossError, ConnectTimeoutError, NotConnectedError, ZkCode
from pykraft.zookeeper.kazoo_port import KazooPort, ZooKeeperConfig, open_zookeeper
from pykraft.zookeeper.ops import get_children, get_data
from pykraft.zookeeper.port import (
    Check,
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
from .stub_server import GET_DATA, MULTI, MULTI_READ, StubServer

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
    server = StubServer({f"/{i}": str(i).encode() for i in range(0, 450, 2)})
    await nursery.start(server.serve)
    with trio.fail_after(DEADLINE_S):
        async with open_zookeeper(ZooKeeperConfig(connect=server.address)) as port:
            assert port.session.status.connections == 2
            results = await port.read_many([GetData(f"/{i}") for i in range(450)])
    for i, result in enumerate(results):
        if i % 2:
            assert result == ReadError(ZkCode.NO_NODE)
        else:
            assert isinstance(result, DataResult)
            assert result.data == str(i).encode()
    assert (server.asked[MULTI_READ], server.asked[GET_DATA]) == (1, 450)
    nursery.cancel_scope.cancel()


async def test_what_follows_a_lost_transaction_is_not_sent_on_the_next_connection(
    nursery: trio.Nursery,
) -> None:
    server = StubServer({"/": b""}, multis_answered=5)
    await nursery.start(server.serve)
    with trio.fail_after(DEADLINE_S):
        async with open_zookeeper(ZooKeeperConfig(connect=server.address, max_in_flight_requests=8)) as port:
            connection = port.session.status.connections
            outcomes = await port.multi_pipelined([[Check("/", 0)]] * 50)
            await port.session.wait_connected(after_connection=connection)
            assert await get_data(port, "/") is not None
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == sorted(kinds, key=[list, ConnectionLossError, NotConnectedError].index)
    assert kinds.count(list) <= 5  # a reset may drop answers that were under way
    assert kinds.count(ConnectionLossError) >= 1
    assert kinds.count(NotConnectedError) >= 50 - 5 - 8
    assert server.multis_seen[-2:] == [6, 0]
    nursery.cancel_scope.cancel()


async def test_a_request_that_insists_on_a_connection_that_is_gone_is_not_sent(nursery: trio.Nursery) -> None:
    server = StubServer({"/": b""}, multis_answered=1)
    await nursery.start(server.serve)
    with trio.fail_after(DEADLINE_S):
        async with open_zookeeper(ZooKeeperConfig(connect=server.address)) as port:
            sent = await port._send(port._multi_request([Check("/", 0)]))
            await sent.answer()
            with pytest.raises(ConnectionLossError):
                await port.multi([Check("/", 0)])
            await port.session.wait_connected()
            with pytest.raises(NotConnectedError, match="was lost: this one was not sent"):
                await port._send(port._multi_request([Check("/", 0)]), sent.connection)
            assert server.asked[MULTI] == 2
    nursery.cancel_scope.cancel()


async def test_what_slips_into_kazoos_queue_while_the_connection_is_lost_is_taken_out() -> None:
    port = KazooPort(ZooKeeperConfig(connect="127.0.0.1:1"))
    client = SimpleNamespace(_queue=deque(), client_state="CONNECTING")
    client._call = lambda request, answer: client._queue.append((request, answer))
    port._client = client
    port._on_kazoo_state(client, "CONNECTED")
    await port.session.wait_connected()
    request = await port._send(port._multi_request([Check("/", 0)]))
    port._on_kazoo_state(client, "SUSPENDED")
    assert not client._queue
    with pytest.raises(NotConnectedError, match="before sending"):
        await request.answer()
    assert port.session.status.state is SessionState.SUSPENDED


async def test_refused_credentials_are_said_and_tried_again(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = StubServer({"/": b""}, refusals=2)
    await nursery.start(server.serve)
    credentials = (("digest", "u:p"),)
    with trio.fail_after(DEADLINE_S):
        config = ZooKeeperConfig(connect=server.address, credentials=credentials, connection_timeout_ms=500)
        with pytest.raises(AuthError, match="check them"):
            async with open_zookeeper(config):
                pass
        monkeypatch.setattr(kazoo_port, "RESTART_INTERVAL_S", 0.05)
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
