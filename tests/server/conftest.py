"""A running node for each test, on a real socket."""

from __future__ import annotations

import pytest
import trio

from pykraft.server.node import Node
from pykraft.testing import serve_controller


@pytest.fixture
async def node(nursery: trio.Nursery) -> Node:
    return await serve_controller(nursery, seed=1)
