"""The ZooKeepers of these tests: a fake for each, and one real server for all that want one."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykraft.lab.cluster import Lab, Node

from .harness import FakeHarness, Harness, RealHarness

_chroots = itertools.count()


@pytest.fixture(scope="session")
def zookeeper_node(tmp_path_factory: pytest.TempPathFactory, kafka_class_path: str) -> Iterator[Node]:
    """A real ZooKeeper, that of Kafka 3.9.1."""
    folder: Path = tmp_path_factory.mktemp("zookeeper")
    with Lab(folder) as lab:
        yield lab.zookeeper()


@pytest.fixture
def real_harness(zookeeper_node: Node) -> RealHarness:
    return RealHarness(zookeeper_node, f"/tests/tree-{next(_chroots)}")


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kafka)])
def harness(request: pytest.FixtureRequest) -> Harness:
    """Each test that asks for it runs on both."""
    if request.param == "fake":
        return FakeHarness()
    real: RealHarness = request.getfixturevalue("real_harness")
    return real
