"""A whole ZooKeeper tree as a value: read it, write it to a file and back, load it into a ZooKeeper.

The file is JSON, path to `{"data": base64 or null, "text": text or null, "version", "ephemeral", "acl"}` with
access entries as `[scheme, id, permission bits]`. Loading gives each znode the version it had, because
Kafka takes a partition's epoch from it, and lets the counters of sequential znodes go on where they were.
"""

import enum
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from pykraft.zookeeper import paths
from pykraft.zookeeper.acls import ZkAcls
from pykraft.zookeeper.errors import RequestFailedError, ZkCode
from pykraft.zookeeper.ops import get_children_many, get_data_many, require_applied
from pykraft.zookeeper.port import (
    ANY_VERSION,
    Create,
    DataResult,
    Delete,
    Op,
    ReadError,
    SetData,
    ZooKeeperPort,
    request_bytes,
)
from pykraft.zookeeper.znodes import ZnodeError

OPS_PER_MULTI_MAX: Final = 500
"""Operations that loading puts in one transaction."""

MULTIS_PER_BATCH_MAX: Final = 64
"""Transactions that loading builds before it sends them."""

SYSTEM_ROOT: Final = "/zookeeper"
"""ZooKeeper's own znodes, never dumped or loaded."""

SEQUENTIAL_PARENTS: Final = (
    paths.CONFIG_CHANGES,
    paths.ACL_CHANGES_LITERAL,
    paths.ACL_CHANGES_EXTENDED,
    paths.DELEGATION_TOKEN_CHANGES,
    paths.ISR_CHANGE_NOTIFICATION,
    paths.LOG_DIR_EVENT_NOTIFICATION,
)
"""Parents of the sequential znodes Kafka makes."""

_SEQUENCE: Final = re.compile(r"\d{10}$")


class ZnodeDump(msgspec.Struct, frozen=True, rename={"acls": "acl"}):
    """One znode; `acls` is None when access lists were not read."""

    data: bytes | None
    version: int
    ephemeral: bool
    acls: ZkAcls | None = None


TreeDump = dict[str, ZnodeDump]
"""Path to znode, parents before their children. The root is not in it."""


class Ephemerals(enum.Enum):
    """What loading makes of znodes that were ephemeral (broker registrations, the controller)."""

    SKIP = "skip"
    PERSISTENT = "persistent"
    EPHEMERAL = "ephemeral"


async def dump_tree(
    port: ZooKeeperPort, *, with_acls: bool = False, refused: dict[str, ZkCode] | None = None
) -> TreeDump:
    """Read every znode. A znode that goes away meanwhile is left out, with those below it.

    Raises RequestFailedError naming the path of a znode that may not be read; with `refused` it is put there instead
    and left out.
    """
    tree: TreeDump = {}
    level = ["/"]
    while level:
        names = await get_children_many(port, level)
        found: list[str] = []
        for path, children in zip(level, names, strict=True):
            if isinstance(children, ReadError):
                _require_gone(path, children, refused)
            else:
                base = "" if path == "/" else path
                found.extend(f"{base}/{name}" for name in sorted(children.children))
        found = [path for path in found if path != SYSTEM_ROOT]
        acls = await port.read_acls(found) if with_acls else [None] * len(found)
        level = []
        for path, result, acl in zip(found, await get_data_many(port, found), acls, strict=True):
            if isinstance(result, ReadError):
                _require_gone(path, result, refused)
                continue
            tree[path] = _znode(result, acl)
            if result.stat.num_children:
                level.append(path)
    return tree


def _require_gone(path: str, error: ReadError, refused: dict[str, ZkCode] | None) -> None:
    if error.code is ZkCode.NO_NODE:
        return
    if refused is None:
        raise RequestFailedError(error.code, "reading", path)
    refused[path] = error.code


def _znode(result: DataResult, acls: ZkAcls | ReadError | None) -> ZnodeDump:
    readable = None if isinstance(acls, ReadError) else acls
    return ZnodeDump(result.data, result.stat.version, result.stat.ephemeral_owner != 0, readable)


def tree_to_json(tree: Mapping[str, ZnodeDump]) -> bytes:
    """The file format, one line, paths sorted."""
    content = {path: msgspec.to_builtins(node) | {"text": _text(node.data)} for path, node in tree.items()}
    return msgspec.json.encode(dict(sorted(content.items())))


def _text(data: bytes | None) -> str | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def tree_from_json(content: bytes, source: str) -> TreeDump:
    """Read the file format. Raises ZnodeError that names `source` (a file name) when it is not that."""
    try:
        tree = msgspec.json.decode(content, type=TreeDump)
    except msgspec.DecodeError as error:
        raise ZnodeError(source, f"is no dump of a ZooKeeper tree ({error})", "dump the tree again") from None
    return dict(sorted(tree.items()))


async def load_tree(
    port: ZooKeeperPort, tree: Mapping[str, ZnodeDump], *, ephemerals: Ephemerals = Ephemerals.SKIP
) -> None:
    """Create every znode of `tree`; none of them may be there yet. It is not one transaction.

    Raises RequestFailedError naming the first znode that could not be created.
    """
    batch: list[list[Op]] = []
    for ops in _packed(_load_ops(tree, ephemerals), port.request_bytes_max):
        batch.append(ops)
        if len(batch) == MULTIS_PER_BATCH_MAX:
            await _apply(port, batch)
            batch = []
    await _apply(port, batch)


async def _apply(port: ZooKeeperPort, multis: list[list[Op]]) -> None:
    for ops, outcome in zip(multis, await port.multi_pipelined(multis), strict=True):
        if isinstance(outcome, Exception):
            raise outcome
        require_applied("loading", ops, outcome)


def _packed(ops: Iterable[Op], request_bytes_max: int) -> Iterator[list[Op]]:
    """Cut a stream of operations into transactions of limited number and size."""
    packed: list[Op] = []
    size = 0
    for op in ops:
        op_bytes = request_bytes([op])
        if packed and (len(packed) == OPS_PER_MULTI_MAX or size + op_bytes > request_bytes_max):
            yield packed
            packed, size = [], 0
        packed.append(op)
        size += op_bytes
    if packed:
        yield packed


def _load_ops(tree: Mapping[str, ZnodeDump], ephemerals: Ephemerals) -> Iterator[Op]:
    for path in sorted(tree):
        node = tree[path]
        if node.ephemeral and ephemerals is Ephemerals.SKIP:
            continue
        ephemeral = node.ephemeral and ephemerals is Ephemerals.EPHEMERAL
        if node.version == 0:
            yield Create(path, node.data, ephemeral=ephemeral, acls=node.acls)
        else:
            yield Create(path, None, ephemeral=ephemeral, acls=node.acls)
            for version in range(node.version - 1):
                yield SetData(path, None, version)
            yield SetData(path, node.data, node.version - 1)
    for parent in SEQUENTIAL_PARENTS:
        yield from _advance_counter(tree, parent)


def _advance_counter(tree: Mapping[str, ZnodeDump], parent: str) -> Iterator[Op]:
    """Let the parent's counter go on behind the highest number that was given out.

    ZooKeeper counts creations, and the children of the dump are fewer than were ever created.
    """
    children = [path for path in tree if paths.parent(path) == parent]
    numbers = [int(match[0]) for path in children if (match := _SEQUENCE.search(path))]
    filler = f"{parent}/filler"
    for _ in range(max(numbers, default=-1) + 1 - len(children)):
        yield Create(filler)
        yield Delete(filler, ANY_VERSION)
