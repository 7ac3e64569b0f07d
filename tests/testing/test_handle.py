"""The controller in a thread and in a nursery, as a test uses it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio

import pykraft.testing
from pykraft.image.metadata_version import MetadataVersion
from pykraft.protocol.uuids import uuid_from_text
from pykraft.server import maintenance
from pykraft.server.writer import Writer
from pykraft.testing.handle import ControllerError
from pykraft.testing.simulated_broker import SimulatedBroker, running


def broker_of(c: pykraft.testing.Controller) -> SimulatedBroker:
    host, _, port = c.address.rpartition(":")
    return SimulatedBroker(1, c.cluster_id, (host, int(port)), migrating=False)


def test_brokers_register_with_it_and_its_image_can_be_read() -> None:
    with pykraft.testing.controller() as c:
        assert (c.node_id, len(uuid_from_text(c.cluster_id))) == (1, 16)
        with running([broker_of(c)]):
            event = c.wait_event("broker_unfenced", broker_id=1)
            assert event == {"event": "broker_unfenced", "broker_id": 1}
            assert c.read(lambda image: list(image.brokers)) == [1]
    assert not c.data_directory.exists()


def test_release_and_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "FENCING_CHECK_INTERVAL_MS_MAX", 10)
    options = {"node_id": 7, "cluster_id": "MkU3OEVBNTcwNTJENDM2Qg", "broker_session_timeout_ms": 300}
    with pykraft.testing.controller(release="3.5-IV2", **options) as c:  # type: ignore[arg-type]
        assert (c.node_id, c.cluster_id) == (7, "MkU3OEVBNTcwNTJENDM2Qg")
        assert c.read(lambda image: image.metadata_version) is MetadataVersion.IBP_3_5_IV2
        with running([broker_of(c)]):
            c.wait_event("broker_unfenced")
        c.wait_event("broker_fenced", timeout_s=5)


def test_a_given_directory_stays_and_goes_on(tmp_path: Path) -> None:
    with pykraft.testing.controller(data_directory=tmp_path) as first:
        epoch = first.wait_event("leader")["epoch"]
    with pykraft.testing.controller(data_directory=tmp_path) as second:
        assert second.cluster_id == first.cluster_id
        assert second.wait_event("leader")["epoch"] == int(str(epoch)) + 1


def test_several_run_side_by_side() -> None:
    with pykraft.testing.controller() as a, pykraft.testing.controller() as b:
        assert a.address != b.address
        assert a.cluster_id != b.cluster_id


def test_what_keeps_it_from_starting_is_told(tmp_path: Path) -> None:
    with (
        pykraft.testing.controller(data_directory=tmp_path),
        pytest.raises(ControllerError, match="is locked by this process"),
        pykraft.testing.controller(data_directory=tmp_path),
    ):
        pass


def test_what_ends_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Writer, waiting: list[object]) -> None:
        raise RuntimeError("refused")

    with pykraft.testing.controller() as c:
        monkeypatch.setattr(Writer, "_drain", refuse)
        with running([broker_of(c)]), pytest.raises(ControllerError, match="failed: refused"):
            c.wait_event("broker_registered", timeout_s=5)
        with pytest.raises(ControllerError, match="failed: refused"):
            c.stop()


def test_a_wait_in_vain_ends_and_says_what_there_was() -> None:
    with pykraft.testing.controller() as c, pytest.raises(ControllerError, match="ready"):
        c.wait_event("broker_registered", timeout_s=0.05)


def test_it_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with pykraft.testing.controller() as c:
        c.stop()
        c.stop()
    left = [thread.name for thread in threading.enumerate() if thread.name == "pykraft controller"]
    assert (left, threading.active_count() <= before + 1) == ([], True)


async def test_in_a_nursery(nursery: trio.Nursery) -> None:
    events: list[str] = []
    node = await pykraft.testing.serve_controller(
        nursery, release="3.9-IV0", emit=lambda event, **fields: events.append(event)
    )
    assert events == ["ready", "leader"]
    assert node.address.startswith("127.0.0.1:")


def test_the_fixture_takes_options_from_its_mark(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n"
        "def test_default(kraft_controller):\n"
        "    assert kraft_controller.node_id == 1\n"
        "@pytest.mark.kraft_controller(node_id=5, release='3.8-IV0')\n"
        "def test_marked(kraft_controller):\n"
        "    assert kraft_controller.node_id == 5\n"
        "    assert int(kraft_controller.read(lambda image: image.metadata_version)) == 20\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-W", "error", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
