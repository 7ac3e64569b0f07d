"""What one commonly wants of a ZooKeeper port, put together from its three calls."""

from collections.abc import Iterable, Sequence
from typing import Final

from pykraft.zookeeper import paths
from pykraft.zookeeper.acls import ZkAcls
from pykraft.zookeeper.errors import RequestFailedError, ZkCode
from pykraft.zookeeper.port import (
    ChildrenResult,
    Create,
    DataResult,
    GetChildren,
    GetData,
    Op,
    OpResult,
    ReadError,
    SetData,
    ZooKeeperPort,
    failed_index,
)

MAKE_PATH_ATTEMPTS_MAX: Final = 5
"""How often a creation starts over because someone else created or deleted an ancestor meanwhile."""


async def get_data_many(port: ZooKeeperPort, wanted: Sequence[str]) -> list[DataResult | ReadError]:
    """Data of each path, in order."""
    results = await port.read_many([GetData(path) for path in wanted])
    return [result for result in results if not isinstance(result, ChildrenResult)]


async def get_children_many(port: ZooKeeperPort, wanted: Sequence[str]) -> list[ChildrenResult | ReadError]:
    """Names of the children of each path, in order."""
    results = await port.read_many([GetChildren(path) for path in wanted])
    return [result for result in results if not isinstance(result, DataResult)]


async def get_data(port: ZooKeeperPort, path: str) -> DataResult | None:
    """Data of a znode, None when there is no such znode. Raises RequestFailedError for other answers."""
    (result,) = await get_data_many(port, [path])
    if isinstance(result, DataResult):
        return result
    if result.code is ZkCode.NO_NODE:
        return None
    raise RequestFailedError(result.code, "reading", path)


async def get_children(port: ZooKeeperPort, path: str) -> list[str] | None:
    """Names of a znode's children, None when there is no such znode. Raises RequestFailedError."""
    (result,) = await get_children_many(port, [path])
    if isinstance(result, ChildrenResult):
        return result.children
    if result.code is ZkCode.NO_NODE:
        return None
    raise RequestFailedError(result.code, "reading the children of", path)


def require_applied(doing: str, ops: Sequence[Op], results: Sequence[OpResult]) -> None:
    """Raise RequestFailedError, naming the operation to blame, unless the multi was applied."""
    index = failed_index(results)
    if index is not None:
        raise RequestFailedError(results[index].code, doing, ops[index].path)


async def set_data(port: ZooKeeperPort, path: str, data: bytes | None, version: int) -> int:
    """Replace the data and return the new version. Raises RequestFailedError (NO_NODE, BAD_VERSION, NO_AUTH)."""
    ops = [SetData(path, data, version)]
    results = await port.multi(ops)
    require_applied("writing", ops, results)
    stat = results[0].stat
    assert stat is not None
    return stat.version


async def create_sequential(port: ZooKeeperPort, prefix: str, data: bytes | None) -> str:
    """Create `prefix` plus ZooKeeper's counter and return the whole path. Raises RequestFailedError."""
    ops = [Create(prefix, data, sequential=True)]
    results = await port.multi(ops)
    require_applied("creating", ops, results)
    path = results[0].path
    assert path is not None
    return path


async def ensure_paths(port: ZooKeeperPort, wanted: Iterable[str]) -> None:
    """Create what is missing of these paths and their ancestors, without data. Raises RequestFailedError."""
    all_paths = sorted({part for path in wanted for part in (*paths.ancestors(path), path)})
    for _attempt in range(MAKE_PATH_ATTEMPTS_MAX):
        results = await get_data_many(port, all_paths)
        missing: list[Op] = [
            Create(path)
            for path, result in zip(all_paths, results, strict=True)
            if isinstance(result, ReadError) and result.code is ZkCode.NO_NODE
        ]
        if not missing:
            return
        outcome = await port.multi(missing)
        index = failed_index(outcome)
        if index is None:
            return
        if outcome[index].code not in (ZkCode.NODE_EXISTS, ZkCode.NO_NODE):
            break
    require_applied("creating", missing, outcome)


async def make_path(port: ZooKeeperPort, path: str, data: bytes | None, *, acls: ZkAcls | None = None) -> None:
    """Create a znode, with what is missing above it. Raises RequestFailedError (NODE_EXISTS, NO_AUTH …)."""
    ops = [Create(path, data, acls=acls)]
    results = await port.multi(ops)
    if results[0].code is ZkCode.NO_NODE:
        await ensure_paths(port, [paths.parent(path)])
        results = await port.multi(ops)
    require_applied("creating", ops, results)
