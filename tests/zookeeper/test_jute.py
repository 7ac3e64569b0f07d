"""Requests we build ourselves, against kazoo's own serializer where it has one."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kazoo.protocol import serialization as kazoo
from kazoo.security import ACL, Id

from pykraft.zookeeper import jute
from pykraft.zookeeper.acls import CREATOR_ALL_WORLD_READ, WORLD_ALL, ZkAcls
from pykraft.zookeeper.errors import ZkCode
from pykraft.zookeeper.port import (
    Check,
    ChildrenResult,
    Create,
    DataResult,
    Delete,
    GetChildren,
    GetData,
    Op,
    OpResult,
    ReadError,
    SetData,
    Stat,
    request_bytes,
)

NO_CHROOT = jute.Chroot("")
STAT = Stat(czxid=1, mzxid=2, mtime_ms=4, version=5, ephemeral_owner=8, num_children=10)
STAT_BYTES = struct.pack("!qqqqiiiqiiq", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)


def _kazoo_op(op: Op, chroot: str) -> object:
    path = chroot + op.path
    match op:
        case Create():
            acls = [ACL(a.perms, Id(a.scheme, a.id)) for a in op.acls or WORLD_ALL]
            return kazoo.Create(path, op.data, acls, op.ephemeral + 2 * op.sequential)
        case SetData():
            return kazoo.SetData(path, op.data, op.version)
        case Delete():
            return kazoo.Delete(path, op.version)
        case Check():
            return kazoo.CheckVersion(path, op.version)


paths = st.text(st.characters(codec="utf-8"), min_size=1).map(lambda name: "/" + name)
versions = st.integers(-2, 2**31 - 1)
data = st.none() | st.binary(max_size=50)
# kazoo writes an empty string as none: "auth" entries are left to the real server.
ops = st.one_of(
    st.builds(Create, paths, data, st.booleans(), st.booleans(), st.sampled_from([None, WORLD_ALL])),
    st.builds(SetData, paths, data, versions),
    st.builds(Delete, paths, versions),
    st.builds(Check, paths, versions),
)


def _world(_path: str) -> ZkAcls:
    return WORLD_ALL


@given(st.lists(ops, max_size=5), st.sampled_from(["", "/base", "/a/b"]))
def test_a_multi_has_the_bytes_kazoo_gives_it_and_its_size_is_never_underestimated(
    transaction: list[Op], root: str
) -> None:
    encoded = jute.encode_multi(transaction, jute.Chroot(root), _world)
    assert encoded == kazoo.Transaction([_kazoo_op(op, root) for op in transaction]).serialize()
    assert len(encoded) <= request_bytes(transaction) + len(root) * len(transaction)


def test_the_creator_is_an_empty_id_not_none() -> None:
    body = jute.encode_multi([Create("/a", acls=CREATOR_ALL_WORLD_READ)], NO_CHROOT, _world)
    assert struct.pack("!ii4si", 31, 4, b"auth", 0) in body


def test_a_create_without_access_list_gets_that_of_its_path_without_the_chroot() -> None:
    asked: list[str] = []

    def acls_of(path: str) -> ZkAcls:
        asked.append(path)
        return WORLD_ALL

    jute.encode_multi([Create("/config/users/u")], jute.Chroot("/kafka"), acls_of)
    assert asked == ["/config/users/u"]


def test_results_of_an_applied_and_of_a_failed_multi() -> None:
    header = struct.Struct("!iBi")
    end = header.pack(-1, 1, -1)
    applied = (
        header.pack(jute.CREATE, 0, 0) + struct.pack("!i7s", 7, b"/base/a")
        + header.pack(jute.SET_DATA, 0, 0) + STAT_BYTES
        + header.pack(jute.CHECK, 0, 0) + header.pack(jute.DELETE, 0, 0) + end
    )  # fmt: skip
    assert jute.decode_multi(b"xx" + applied, 2, jute.Chroot("/base")) == [
        OpResult(ZkCode.OK, path="/a"), OpResult(ZkCode.OK, stat=STAT), OpResult(ZkCode.OK), OpResult(ZkCode.OK),
    ]  # fmt: skip
    codes = [0, -103, -2, -9999]
    failed = b"".join(header.pack(-1, 0, code) + struct.pack("!i", code) for code in codes) + end
    assert [result.code for result in jute.decode_multi(failed, 0, NO_CHROOT)] == [
        ZkCode.OK, ZkCode.BAD_VERSION, ZkCode.RUNTIME_INCONSISTENCY, ZkCode.SYSTEM_ERROR,
    ]  # fmt: skip


def _multi_read_answer() -> bytes:
    header = struct.Struct("!iBi")
    return (
        header.pack(jute.GET_DATA, 0, 0) + struct.pack("!i3s", 3, b"abc") + STAT_BYTES
        + header.pack(jute.GET_DATA, 0, 0) + struct.pack("!i", -1) + STAT_BYTES
        + header.pack(jute.ERROR, 0, -101) + struct.pack("!i", -101)
        + header.pack(jute.GET_CHILDREN, 0, 0) + struct.pack("!ii1si2s", 2, 1, b"x", 2, "ö".encode())
        + header.pack(-1, 1, -1)
    )  # fmt: skip


def test_results_of_a_multi_read() -> None:
    assert jute.decode_multi_read(_multi_read_answer(), 0, 4) == [
        DataResult(b"abc", STAT), DataResult(None, STAT), ReadError(ZkCode.NO_NODE), ChildrenResult(["x", "ö"]),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [3, 5])
def test_a_multi_read_with_more_or_fewer_results_than_asked_for_is_refused(count: int) -> None:
    with pytest.raises((ValueError, struct.error)):
        jute.decode_multi_read(_multi_read_answer(), 0, count)


def test_a_multi_read_asks_without_watches() -> None:
    body = jute.encode_multi_read([GetData("/"), GetChildren("/a")], jute.Chroot("/r"))
    header = struct.Struct("!iBi")
    assert body == (
        header.pack(4, 0, -1) + struct.pack("!i2sB", 2, b"/r", 0)
        + header.pack(8, 0, -1) + struct.pack("!i4sB", 4, b"/r/a", 0)
        + header.pack(-1, 1, -1)
    )  # fmt: skip
    assert jute.encode_multi_read([GetData("/")], NO_CHROOT)[9:15] == b"\0\0\0\1/\0"
