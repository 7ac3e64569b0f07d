"""The migration's tests run on the ZooKeepers of the adapter's tests: a fake, and a real one."""

from __future__ import annotations

import pytest

from ..zookeeper.conftest import harness as harness
from ..zookeeper.conftest import real_harness as real_harness
from ..zookeeper.conftest import zookeeper_node as zookeeper_node
from .zk_sides import Sides


@pytest.fixture
def sides() -> Sides:
    return Sides()
