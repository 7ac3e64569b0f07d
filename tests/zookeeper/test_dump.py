"""Dumps of whole trees: what is read, written to a file, and loaded, with versions and counters."""

import json

import pytest

from pykraft.zookeeper import paths
from pykraft.zookeeper.acls import WORLD_ALL
from pykraft.zookeeper.dump import (
    Ephemerals,
    ZnodeDump,
    dump_tree,
    load_tree,
    tree_from_json,
    tree_to_json,
)
from pykraft.zookeeper.errors import RequestFailedError
from pykraft.zookeeper.ops import create_sequential, get_data
from pykraft.zookeeper.znodes import ZnodeError

from .fixture_trees import TREES, tree, tree_path
from .harness import Harness


@pytest.mark.parametrize("name", TREES)
def test_a_dump_file_reads_and_is_written_the_same(name: str) -> None:
    dumped = tree_from_json(tree_path(name).read_bytes(), name)
    assert json.loads(tree_to_json(dumped)) == tree(name)


def test_a_file_that_is_no_dump_is_refused() -> None:
    with pytest.raises(ZnodeError, match=r"broken\.json is no dump"):
        tree_from_json(b'{"/a": {"data": 3}}', "broken.json")


@pytest.mark.parametrize("name", TREES)
async def test_a_loaded_tree_dumps_the_same(harness: Harness, name: str) -> None:
    original = tree_from_json(tree_path(name).read_bytes(), name)
    async with harness.open() as port:
        await load_tree(port, original, ephemerals=Ephemerals.EPHEMERAL)
        assert await dump_tree(port, with_acls=True) == original
        # The next notification gets the number behind the last one of the original.
        last = max(path for path in original if path.startswith(paths.CONFIG_CHANGE_PREFIX))
        made = await create_sequential(port, paths.CONFIG_CHANGE_PREFIX, b"{}")
        assert int(made[-10:]) == int(last[-10:]) + 1


async def test_counters_go_on_although_children_were_deleted(harness: Harness) -> None:
    original = {
        path: ZnodeDump(b"", 0, False)
        for path in ("/config", "/config/changes", "/config/changes/config_change_0000000412")
    }
    async with harness.open() as port:
        await load_tree(port, original)
        assert await dump_tree(port) == original
        made = await create_sequential(port, paths.CONFIG_CHANGE_PREFIX, b"")
        assert made == "/config/changes/config_change_0000000413"


async def test_many_versions_large_data_and_small_requests(harness: Harness) -> None:
    original = {
        "/often": ZnodeDump(b"changed", 3_000, False, WORLD_ALL),
        "/once": ZnodeDump(None, 1, False, WORLD_ALL),
        "/parent": ZnodeDump(b"", 0, False, WORLD_ALL),
    } | {f"/parent/{i:03}": ZnodeDump(b"x" * 1_500, 0, False, WORLD_ALL) for i in range(20)}
    async with harness.open(request_bytes_max=4_000) as port:
        await load_tree(port, original)
        assert await dump_tree(port, with_acls=True) == original


@pytest.mark.parametrize("mode", list(Ephemerals))
async def test_ephemeral_znodes_load_as_asked(harness: Harness, mode: Ephemerals) -> None:
    original = tree_from_json(tree_path("before").read_bytes(), "before")
    async with harness.open() as watcher:
        async with harness.open() as port:
            await load_tree(port, original, ephemerals=mode)
            loaded = await get_data(watcher, "/brokers/ids/0")
            if mode is Ephemerals.SKIP:
                assert loaded is None
            else:
                assert loaded is not None
                assert loaded.stat.version == 1
        kept = await get_data(watcher, "/brokers/ids/0")
        assert (kept is not None) == (mode is Ephemerals.PERSISTENT)


async def test_loading_over_what_is_there_names_the_znode(harness: Harness) -> None:
    original = {"/a": ZnodeDump(b"", 0, False)}
    async with harness.open() as port:
        await load_tree(port, original)
        with pytest.raises(RequestFailedError, match="/a: ZooKeeper answered NODE_EXISTS"):
            await load_tree(port, original)
