"""The pytest plugin: the fixture `kraft_controller`, a controller for one test.

`@pytest.mark.kraft_controller(release="3.8-IV0", broker_session_timeout_ms=1000)` gives it other options, those of
`pykraft.testing.controller`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pykraft.testing.handle import Controller, controller


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "kraft_controller(**options): options of the fixture of that name, see pykraft.testing.controller"
    )


@pytest.fixture
def kraft_controller(request: pytest.FixtureRequest) -> Iterator[Controller]:
    """A running KRaft controller: `kraft_controller.address`, `.cluster_id`, `.node_id`."""
    marker = request.node.get_closest_marker("kraft_controller")
    with controller(**(marker.kwargs if marker else {})) as handle:
        yield handle
