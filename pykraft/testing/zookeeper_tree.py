"""The tree of znodes of the fake ZooKeeper: what ZooKeeper's request processors do, in memory, without IO.

Source: zookeeper-server PrepRequestProcessor (checks and their order), DataTree, PathUtils.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from pykraft.zookeeper import acls as zk_acls
from pykraft.zookeeper.acls import ZkAcl, ZkAcls
from pykraft.zookeeper.errors import ZkCode
from pykraft.zookeeper.paths import parent
from pykraft.zookeeper.port import (
    ANY_VERSION,
    OK_RESULT,
    Check,
    ChildrenResult,
    Create,
    DataResult,
    Delete,
    GetData,
    Op,
    OpResult,
    ReadError,
    ReadRequest,
    ReadResult,
    SetData,
    Stat,
)

Identities = Collection[tuple[str, str]]
"""(scheme, id) pairs that a connection authenticated as."""

_SYSTEM_PATHS: Final = ("/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota")
_NOT_IN_PATHS: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")


class _Refused(Exception):  # noqa: N818  it never leaves this module
    def __init__(self, code: ZkCode) -> None:
        self.code = code


@dataclass(slots=True)
class Znode:
    """One znode. `creates` counts the children ever created: it numbers the sequential ones."""

    data: bytes | None
    acls: ZkAcls
    zxid: int
    mtime_ms: int
    ephemeral_owner: int = 0
    mzxid: int = 0
    version: int = 0
    creates: int = 0
    children: dict[str, None] = field(default_factory=dict)

    def stat(self) -> Stat:
        mzxid = self.mzxid or self.zxid
        return Stat(self.zxid, mzxid, self.mtime_ms, self.version, self.ephemeral_owner, len(self.children))


def valid_path(path: str) -> bool:
    """Whether ZooKeeper accepts `path` as the path of a new znode."""
    if path == "/":
        return True
    elements = path.split("/")
    return (
        len(elements) > 1
        and elements[0] == ""
        and not any(element in ("", ".", "..") for element in elements[1:])
        and not _NOT_IN_PATHS.search(path)
    )


class Tree:
    """All znodes, and the transaction counter."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.zxid = 0
        self.nodes: dict[str, Znode] = {}
        for path in _SYSTEM_PATHS:
            self.nodes[path] = Znode(b"", zk_acls.WORLD_ALL, 0, 0)
            if path != "/":
                self.nodes[parent(path)].children[path.rpartition("/")[2]] = None

    def read(self, request: ReadRequest, identities: Identities) -> ReadResult:
        node = self.nodes.get(request.path)
        if node is None:
            return ReadError(ZkCode.NO_NODE)
        if not _allowed(node, zk_acls.PERM_READ, identities):
            return ReadError(ZkCode.NO_AUTH)
        if isinstance(request, GetData):
            return DataResult(node.data, node.stat())
        return ChildrenResult(list(node.children))

    def read_acls(self, path: str, identities: Identities) -> ZkAcls | ReadError:
        node = self.nodes.get(path)
        if node is None:
            return ReadError(ZkCode.NO_NODE)
        if not _allowed(node, zk_acls.PERM_READ | zk_acls.PERM_ADMIN, identities):
            return ReadError(ZkCode.NO_AUTH)
        return node.acls

    def multi(
        self, ops: Sequence[Op], session_id: int, identities: Identities, refused: Sequence[str] = ()
    ) -> list[OpResult]:
        """Run one transaction. Paths that start with one of `refused` answer NO_AUTH."""
        self.zxid += 1
        undo: list[Callable[[], None]] = []
        results: list[OpResult] = []
        for op in ops:
            try:
                if refused and op.path.startswith(tuple(refused)):
                    raise _Refused(ZkCode.NO_AUTH)
                results.append(self._apply(op, session_id, identities, undo))
            except _Refused as error:
                for step in reversed(undo):
                    step()
                failed = [OpResult(ZkCode.OK)] * len(results) + [OpResult(error.code)]
                rest = len(ops) - len(failed)
                return failed + [OpResult(ZkCode.RUNTIME_INCONSISTENCY)] * rest
        return results

    def delete_ephemerals(self, session_id: int) -> None:
        """End of a session."""
        if not session_id:
            return
        self.zxid += 1
        for path in [path for path, node in self.nodes.items() if node.ephemeral_owner == session_id]:
            self._unlink(path)

    def _apply(self, op: Op, session_id: int, identities: Identities, undo: list[Callable[[], None]]) -> OpResult:
        match op:
            case Create():
                return self._create(op, session_id, identities, undo)
            case Delete():
                return self._delete(op, identities, undo)
            case SetData():
                return self._set_data(op, identities, undo)
            case Check():
                node = self._node(op.path)
                _require(node, zk_acls.PERM_READ, identities)
                _require_version(node, op.version)
                return OK_RESULT

    def _node(self, path: str) -> Znode:
        node = self.nodes.get(path)
        if node is None:
            raise _Refused(ZkCode.NO_NODE)
        return node

    def _create(self, op: Create, session_id: int, identities: Identities, undo: list[Callable[[], None]]) -> OpResult:
        if "\0" in op.path or not op.path.startswith("/"):
            raise _Refused(ZkCode.BAD_ARGUMENTS)
        acls = _resolved(op.acls if op.acls is not None else zk_acls.WORLD_ALL, identities)
        parent_path = parent(op.path)
        above = self._node(parent_path)
        _require(above, zk_acls.PERM_CREATE, identities)
        path = f"{op.path}{above.creates:010d}" if op.sequential else op.path
        if not valid_path(path):
            raise _Refused(ZkCode.BAD_ARGUMENTS)
        if path in self.nodes:
            raise _Refused(ZkCode.NODE_EXISTS)
        if above.ephemeral_owner:
            raise _Refused(ZkCode.NO_CHILDREN_FOR_EPHEMERALS)
        owner = session_id if op.ephemeral else 0
        node = Znode(op.data, acls, self.zxid, self._now_ms(), ephemeral_owner=owner)
        name = path.rpartition("/")[2]
        self.nodes[path] = node
        above.children[name] = None
        above.creates += 1

        def back() -> None:
            self._unlink(path)
            above.creates -= 1

        undo.append(back)
        return OpResult(ZkCode.OK, path=path)

    def _delete(self, op: Delete, identities: Identities, undo: list[Callable[[], None]]) -> OpResult:
        if op.path in _SYSTEM_PATHS:
            raise _Refused(ZkCode.BAD_ARGUMENTS)
        above = self._node(parent(op.path))
        _require(above, zk_acls.PERM_DELETE, identities)
        node = self._node(op.path)
        _require_version(node, op.version)
        if node.children:
            raise _Refused(ZkCode.NOT_EMPTY)
        self._unlink(op.path)

        def back() -> None:
            self.nodes[op.path] = node
            above.children[op.path.rpartition("/")[2]] = None

        undo.append(back)
        return OK_RESULT

    def _set_data(self, op: SetData, identities: Identities, undo: list[Callable[[], None]]) -> OpResult:
        node = self._node(op.path)
        _require(node, zk_acls.PERM_WRITE, identities)
        _require_version(node, op.version)
        before = (node.data, node.version, node.mzxid, node.mtime_ms)

        def back() -> None:
            node.data, node.version, node.mzxid, node.mtime_ms = before

        undo.append(back)
        node.data = op.data
        node.version += 1
        node.mzxid = self.zxid
        node.mtime_ms = self._now_ms()
        return OpResult(ZkCode.OK, stat=node.stat())

    def _unlink(self, path: str) -> None:
        del self.nodes[path]
        del self.nodes[parent(path)].children[path.rpartition("/")[2]]


def _allowed(node: Znode, perms: int, identities: Identities) -> bool:
    return any(acl.perms & perms and (acl.scheme == "world" or (acl.scheme, acl.id) in identities) for acl in node.acls)


def _require(node: Znode, perms: int, identities: Identities) -> None:
    if not _allowed(node, perms, identities):
        raise _Refused(ZkCode.NO_AUTH)


def _require_version(node: Znode, version: int) -> None:
    if version not in (ANY_VERSION, node.version):
        raise _Refused(ZkCode.BAD_VERSION)


def _resolved(acls: ZkAcls, identities: Identities) -> ZkAcls:
    """Replace the creator by who that is, as ZooKeeper does when it stores an access list."""
    resolved: dict[ZkAcl, None] = {}
    for acl in acls:
        if acl.scheme != "auth":
            resolved[acl] = None
        elif identities:
            resolved |= {ZkAcl(scheme, name, acl.perms): None for scheme, name in sorted(identities)}
        else:
            raise _Refused(ZkCode.INVALID_ACL)
    if not resolved:
        raise _Refused(ZkCode.INVALID_ACL)
    return tuple(resolved)
