"""What every ZooKeeper port must do. Runs on the fake and, in the kafka tier, on a real ZooKeeper 3.8.

The fake is trusted because it passes here what the real one passes.
"""

from contextlib import suppress

import pytest
import trio

from pykraft.zookeeper.acls import CREATOR_ALL, PERM_ALL, PERM_READ, WORLD_ALL, ZkAcl
from pykraft.zookeeper.errors import (
    ConnectionLossError,
    NotConnectedError,
    RequestFailedError,
    RequestTooLargeError,
    ZkCode,
)
from pykraft.zookeeper.ops import (
    create_sequential,
    ensure_paths,
    get_children,
    get_data,
    make_path,
    require_applied,
    set_data,
)
from pykraft.zookeeper.port import (
    ANY_VERSION,
    UNKNOWN_VERSION,
    Check,
    ChildrenResult,
    Create,
    DataResult,
    Delete,
    GetChildren,
    GetData,
    Op,
    ReadError,
    ReadRequest,
    SessionState,
    SetData,
    ZooKeeperPort,
    failed_index,
)

from .harness import DIGEST_ID, Harness

SESSION_DEADLINE_S = 60


async def apply(port: ZooKeeperPort, *ops: Op) -> None:
    require_applied("preparing the test", ops, await port.multi(ops))


async def codes(port: ZooKeeperPort, *ops: Op) -> list[ZkCode]:
    return [result.code for result in await port.multi(ops)]


async def data_of(port: ZooKeeperPort, path: str) -> DataResult:
    found = await get_data(port, path)
    assert found is not None
    return found


async def test_a_znode_is_created_read_changed_and_deleted(harness: Harness) -> None:
    async with harness.open() as port:
        (created,) = await port.multi([Create("/a", b"one")])
        assert (created.code, created.path) == (ZkCode.OK, "/a")
        before = await data_of(port, "/a")
        assert (before.data, before.stat.version, before.stat.num_children) == (b"one", 0, 0)
        assert before.stat.czxid == before.stat.mzxid
        assert before.stat.ephemeral_owner == 0
        (changed,) = await port.multi([SetData("/a", b"two", 0)])
        after = await data_of(port, "/a")
        assert changed.stat == after.stat
        assert (after.data, after.stat.version, after.stat.czxid) == (b"two", 1, before.stat.czxid)
        assert after.stat.mzxid > before.stat.mzxid
        assert after.stat.mtime_ms >= before.stat.mtime_ms > 0
        await apply(port, Delete("/a", 1))
        assert await get_data(port, "/a") is None


async def test_no_data_is_not_empty_data(harness: Harness) -> None:
    async with harness.open() as port:
        await apply(port, Create("/none"), Create("/empty", b""), Create("/set", b"x"), SetData("/set", None, 0))
        assert [(await data_of(port, path)).data for path in ("/none", "/empty", "/set")] == [None, b"", None]


async def test_reads_answer_in_order_and_errors_are_values(harness: Harness) -> None:
    async with harness.open() as port:
        await apply(port, Create("/p"), Create("/p/b", b"B"), Create("/p/a", b"A"))
        results = await port.read_many(
            [GetData("/p/a"), GetChildren("/p"), GetData("/none"), GetChildren("/none"), GetData("/p/b"),
             GetChildren("/p/a")]
        )  # fmt: skip
        a, children, no_data, no_children, b, childless = results
        assert isinstance(a, DataResult)
        assert isinstance(b, DataResult)
        assert (a.data, b.data) == (b"A", b"B")
        assert isinstance(children, ChildrenResult)
        assert sorted(children.children) == ["a", "b"]
        assert no_data == no_children == ReadError(ZkCode.NO_NODE)
        assert childless == ChildrenResult([])
        assert await port.read_many([]) == []


async def test_five_thousand_reads_at_once_equal_single_reads(harness: Harness) -> None:
    count = 5_000
    async with harness.open() as port:
        await apply(port, Create("/n"))
        paths = [f"/n/znode-{i:05}" for i in range(count)]
        creates = [[Create(path, path.encode() * (i % 7)) for i, path in enumerate(paths)][k::10] for k in range(10)]
        for ops, results in zip(creates, await port.multi_pipelined(creates), strict=True):
            assert isinstance(results, list)
            require_applied("creating", ops, results)
        requests: list[ReadRequest] = [
            GetChildren(path) if i % 100 == 0 else GetData(path if i % 50 else path + "-missing")
            for i, path in enumerate(paths)
        ]
        at_once = await port.read_many(requests)
        assert at_once == [(await port.read_many([request]))[0] for request in requests]
        assert at_once[50] == ReadError(ZkCode.NO_NODE)
        assert isinstance(at_once[1], DataResult)
        assert len(await get_children(port, "/n") or []) == count


@pytest.mark.parametrize(
    ("failing", "code"),
    [
        (Create("/a"), ZkCode.NODE_EXISTS),
        (Create("/none/b"), ZkCode.NO_NODE),
        (Create("/bad//path"), ZkCode.NO_NODE),
        (Create("/a/"), ZkCode.BAD_ARGUMENTS),
        (Create("/a/.."), ZkCode.BAD_ARGUMENTS),
        (Create("/a/tab\t"), ZkCode.BAD_ARGUMENTS),
        (Create("/e/child"), ZkCode.NO_CHILDREN_FOR_EPHEMERALS),
        (Create("/x", acls=CREATOR_ALL), ZkCode.INVALID_ACL),
        (SetData("/none", b"", ANY_VERSION), ZkCode.NO_NODE),
        (SetData("/a", b"", 7), ZkCode.BAD_VERSION),
        (SetData("/a", b"", UNKNOWN_VERSION), ZkCode.BAD_VERSION),
        (Check("/a", 7), ZkCode.BAD_VERSION),
        (Check("/a", UNKNOWN_VERSION), ZkCode.BAD_VERSION),
        (Check("/none", 0), ZkCode.NO_NODE),
        (Delete("/none", ANY_VERSION), ZkCode.NO_NODE),
        (Delete("/a", ANY_VERSION), ZkCode.NOT_EMPTY),
        (Delete("/a/child", 3), ZkCode.BAD_VERSION),
        (Delete("/a", 3), ZkCode.BAD_VERSION),
    ],
)
async def test_a_failing_operation_undoes_the_transaction(harness: Harness, failing: Op, code: ZkCode) -> None:
    async with harness.open() as port:
        await apply(port, Create("/a", b"a"), Create("/a/child"), Create("/e", ephemeral=True))
        before = await data_of(port, "/a")
        results = await port.multi(
            [Check("/a", 0), SetData("/a", b"changed", 0), Create("/a/new"), Delete("/a/new", 0), Create("/made"),
             failing, Create("/later"), Check("/a", 0)]
        )  # fmt: skip
        expected = ZkCode.BAD_VERSION if failing == Check("/a", 0) else code
        assert [r.code for r in results] == [ZkCode.OK] * 5 + [expected] + [ZkCode.RUNTIME_INCONSISTENCY] * 2
        assert failed_index(results) == 5
        assert await data_of(port, "/a") == before
        assert await get_children(port, "/a") == ["child"]
        assert await get_data(port, "/made") is None


async def test_operations_of_a_transaction_see_those_before_them(harness: Harness) -> None:
    async with harness.open() as port:
        results = await port.multi(
            [Create("/a"), Create("/a/b", b"1"), SetData("/a/b", b"2", 0), Check("/a/b", 1), Delete("/a/b", 1),
             Create("/a/b", b"3")]
        )  # fmt: skip
        assert failed_index(results) is None
        assert results[2].stat is not None
        assert results[2].stat.version == 1
        found = await data_of(port, "/a/b")
        assert (found.data, found.stat.version) == (b"3", 0)


async def test_sequential_znodes_count_what_their_parent_ever_held(harness: Harness) -> None:
    async with harness.open() as port:
        await apply(port, Create("/seq"), Create("/other"))
        assert await create_sequential(port, "/seq/n_", b"0") == "/seq/n_0000000000"
        await apply(port, Create("/seq/plain"), Delete("/seq/plain", ANY_VERSION))
        assert await create_sequential(port, "/seq/n_", b"2") == "/seq/n_0000000002"
        await apply(port, Delete("/seq/n_0000000002", ANY_VERSION))
        failed = await port.multi([Create("/seq/n_", sequential=True), Create("/seq")])
        assert failed_index(failed) == 1
        assert await create_sequential(port, "/seq/m_", None) == "/seq/m_0000000003"
        assert await create_sequential(port, "/other/n_", None) == "/other/n_0000000000"


async def test_an_ephemeral_znode_ends_with_its_session(harness: Harness) -> None:
    async with harness.open() as watcher:
        async with harness.open() as owner:
            await apply(owner, Create("/e", b"x", ephemeral=True), Create("/p"))
            assert (await data_of(watcher, "/e")).stat.ephemeral_owner != 0
        assert await get_data(watcher, "/e") is None
        assert await get_data(watcher, "/p") is not None


async def test_pipelined_transactions_run_in_order_and_fail_alone(harness: Harness) -> None:
    async with harness.open() as port:
        await apply(port, Create("/c", b""))
        multis: list[list[Op]] = [[SetData("/c", str(i).encode(), i)] for i in range(100)]
        multis.insert(50, [Check("/c", 1_000), Create("/never")])
        outcomes = await port.multi_pipelined(multis)
        for index, outcome in enumerate(outcomes):
            assert isinstance(outcome, list)
            assert failed_index(outcome) == (0 if index == 50 else None)
        found = await data_of(port, "/c")
        assert (found.data, found.stat.version) == (b"99", 100)
        assert await port.multi_pipelined([]) == []


async def test_a_request_that_the_server_would_not_take_is_not_sent(harness: Harness) -> None:
    async with harness.open(request_bytes_max=10_000) as port:
        with pytest.raises(RequestTooLargeError, match="exceeds the limit of"):
            await port.multi([Create("/small"), Create("/big", b"x" * 10_000)])
        with pytest.raises(RequestTooLargeError):
            await port.multi_pipelined([[Create("/small")], [Create("/big", b"x" * 10_000)]])
        assert await get_data(port, "/small") is None
        paths = ["/" + "n" * 500 + str(i) for i in range(100)]
        assert await port.read_many([GetData(path) for path in paths]) == [ReadError(ZkCode.NO_NODE)] * 100


async def test_l22_access_lists_follow_the_full_path(harness: Harness) -> None:
    async with harness.open(set_acl=True, authenticated=True) as port:
        await ensure_paths(port, ["/config/users", "/config/topics", "/consumers"])
        await apply(port, Create("/config/users/u", b"secret"), Create("/config/topics/t", b"open"))
        owner = ZkAcl("digest", DIGEST_ID, PERM_ALL)
        world_read = ZkAcl("world", "anyone", PERM_READ)
        users, topics, consumers, none = await port.read_acls(
            ["/config/users/u", "/config/topics/t", "/consumers", "/none"]
        )
        assert users == (owner,)
        assert topics == (owner, world_read)
        assert consumers == WORLD_ALL
        assert none == ReadError(ZkCode.NO_NODE)
        async with harness.open() as stranger:
            results = await stranger.read_many([GetData("/config/users/u"), GetChildren("/config/topics")])
            assert results == [ReadError(ZkCode.NO_AUTH), ChildrenResult(["t"])]
            assert await codes(stranger, SetData("/config/topics/t", b"", ANY_VERSION)) == [ZkCode.NO_AUTH]
            assert await codes(stranger, Create("/config/topics/x")) == [ZkCode.NO_AUTH]
            assert await codes(stranger, Delete("/config/topics/t", ANY_VERSION)) == [ZkCode.NO_AUTH]
            assert await codes(stranger, Check("/config/users/u", 0)) == [ZkCode.NO_AUTH]
            with pytest.raises(RequestFailedError, match="NO_AUTH"):
                await get_data(stranger, "/config/users/u")


async def test_paths_are_made_with_what_is_missing_above_them(harness: Harness) -> None:
    async with harness.open() as port:
        await make_path(port, "/x/y/z", b"data")
        assert (await data_of(port, "/x/y/z")).data == b"data"
        assert (await data_of(port, "/x/y")).data is None
        with pytest.raises(RequestFailedError, match="/x/y/z: ZooKeeper answered NODE_EXISTS"):
            await make_path(port, "/x/y/z", b"other")
        await ensure_paths(port, ["/x/y", "/x/new/one", "/two"])
        await ensure_paths(port, ["/x/y", "/x/new/one", "/two"])
        assert sorted(await get_children(port, "/x") or []) == ["new", "y"]
        assert await set_data(port, "/two", b"v", 0) == 1
        with pytest.raises(RequestFailedError, match="BAD_VERSION"):
            await set_data(port, "/two", b"v", 0)


async def test_a_session_that_expires_is_replaced(harness: Harness) -> None:
    async with harness.open() as port:
        await apply(port, Create("/e", ephemeral=True), Create("/p"))
        assert port.session.status.sessions == 1
        with trio.fail_after(SESSION_DEADLINE_S):
            await harness.expire(port)
            async for status in port.session.changes():
                if status.sessions == 2:
                    break
            assert status.connections >= 2
            assert await port.session.wait_connected() == status
        assert await get_data(port, "/e") is None
        await apply(port, SetData("/p", b"by the new session", 0), Create("/e", ephemeral=True))


async def test_an_outage_loses_requests_but_not_the_port(harness: Harness) -> None:
    async with harness.open() as port:
        await apply(port, Create("/c", b""))
        with trio.fail_after(SESSION_DEADLINE_S):
            await harness.stop()
            with suppress(ConnectionLossError, NotConnectedError):
                while True:
                    await port.multi([SetData("/c", b"lost", ANY_VERSION)])
            with pytest.raises(NotConnectedError):
                await port.multi([SetData("/c", b"unsent", ANY_VERSION)])
            assert not port.session.connected
            outcomes = await port.multi_pipelined([[Check("/c", 0)]] * 3)
            assert all(isinstance(outcome, NotConnectedError) for outcome in outcomes)
            await harness.start()
            status = await port.session.wait_connected()
            assert status.connections > 1
        await apply(port, SetData("/c", b"after", ANY_VERSION))
        assert (await data_of(port, "/c")).data == b"after"


async def test_a_transaction_lost_in_a_pipeline_is_not_overtaken(harness: Harness) -> None:
    """The server goes down in the middle; what is applied afterwards is an unbroken beginning of the sequence."""
    async with harness.open() as port:
        await apply(port, Create("/c", b"0"))
        applied = 0
        with trio.fail_after(SESSION_DEADLINE_S):
            async with trio.open_nursery() as nursery:

                async def stop_soon() -> None:
                    while await data_of(port, "/c") == first:
                        await trio.lowlevel.checkpoint()
                    await harness.stop()

                first = await data_of(port, "/c")
                nursery.start_soon(stop_soon)
                while True:
                    base = applied
                    multis = [[SetData("/c", str(base + i + 1).encode(), base + i)] for i in range(500)]
                    outcomes = await port.multi_pipelined(multis)
                    good = sum(isinstance(outcome, list) for outcome in outcomes)
                    applied += good
                    if good < len(outcomes):
                        break
            assert all(not isinstance(outcome, list) for outcome in outcomes[good:])
            await harness.start()
            await port.session.wait_connected()
        found = await data_of(port, "/c")
        assert found.stat.version >= applied
        assert found.data == str(found.stat.version).encode()


async def test_a_closed_port_says_so(harness: Harness) -> None:
    async with harness.open() as port:
        pass
    assert port.session.status.state is SessionState.CLOSED
    with pytest.raises(NotConnectedError):
        await port.multi([Check("/", ANY_VERSION)])
