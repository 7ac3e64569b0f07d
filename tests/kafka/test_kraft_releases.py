"""A real KRaft broker of each release on pykraft alone, which stands for the controller of the same release.

From its format to its third life: registered, unfenced, a topic, messages, configs, a clean shutdown, a kill. Brokers
with several log directories (3.7 and later) lose one of them at the end, and some get it back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pykraft.testing
from pykraft.image.model import BrokerRegistration
from pykraft.lab.admin import AdminShell
from pykraft.lab.clients import Workload, require_whole
from pykraft.lab.cluster import Lab, Node
from pykraft.testing.handle import Controller
from tests.kafka.own_process import CONTROLLER_ID, LEVELS, TOPIC, partitions, start_broker, until

SESSION_MS = 3_000
PARTITIONS = 6

REPAIRED = ("3.7.2", "3.9.1", "4.1.2")
"""Those that get a lost directory back; the releases between them do the same."""


def registration(c: Controller) -> BrokerRegistration | None:
    return c.read(lambda image: image.brokers.get(1))


def live_on(lab: Lab, c: Controller, broker: Node, folder: Path) -> None:
    """Messages flow, configs change, a clean shutdown and a restart lose nothing, and a kill is not the end."""
    with AdminShell(folder, broker.address, config={"metadata.max.age.ms": "1000"}) as shell:
        shell.call("create_topics", topics=[{"name": TOPIC, "partitions": PARTITIONS, "replication_factor": 1}])
        assert len(partitions(c)) == PARTITIONS
        workload = Workload(folder, broker.address, TOPIC, PARTITIONS)
        lab.own(workload.process)
        workload.start()
        topic = {"type": "topic", "name": TOPIC}
        shell.call("alter_configs", resources=[topic | {"set": {"retention.ms": "123456"}}])
        until(
            lambda: shell.call("describe_configs", resources=[topic])[0]["configs"] == {"retention.ms": "123456"},
            "the topic's config",
        )
        first = registration(c)
        broker.stop()
        c.wait_event("broker_fenced", broker_id=1)
        assert {partition.leader for partition in partitions(c).values()} == {-1}
        broker.start()
        until(lambda: {partition.leader for partition in partitions(c).values()} == {1}, "leaders after the restart")
        second = registration(c)
        assert first is not None
        assert second is not None
        assert second.epoch > first.epoch
        assert second.incarnation_id != first.incarnation_id
        assert second.directories == first.directories
        workload.wait_flowing()
        require_whole(workload.finish())
    broker.kill()
    # Another incarnation is refused until the session of the one that was killed has ended.
    broker.start()
    until(lambda: (third := registration(c)) is not None and third.epoch > second.epoch, "its registration")
    until(lambda: {partition.leader for partition in partitions(c).values()} == {1}, "leaders after the kill")


def lose_a_directory(c: Controller, broker: Node, lost: Path) -> None:
    """Every replica has a directory in the log; those of a directory that fails lose their leader, and it is gone."""
    before = registration(c)
    assert before is not None
    assert len(before.directories) == 2
    until(lambda: used_directories(c) == set(before.directories), "all replicas in known directories")
    lost.rename(lost.with_name("moved-away"))
    lost.write_text("not a directory")
    until(lambda: (found := registration(c)) is not None and len(found.directories) == 1, "the lost directory")
    after = registration(c)
    assert after is not None
    until(
        lambda: all(
            partition.leader == (1 if partition.directories[0] in after.directories else -1)
            for partition in partitions(c).values()
        ),
        "leaders where the directory is left and nowhere else",
    )
    assert {partition.leader for partition in partitions(c).values()} == {1, -1}
    assert broker.process.running


def get_it_back(c: Controller, broker: Node, lost: Path) -> None:
    """A restart with the directory in its place again brings back what is in there."""
    broker.stop()
    lost.unlink()
    lost.with_name("moved-away").rename(lost)
    broker.start()
    until(lambda: (found := registration(c)) is not None and len(found.directories) == 2, "both directories")
    until(lambda: {partition.leader for partition in partitions(c).values()} == {1}, "leaders in both directories")


def used_directories(c: Controller) -> set[bytes]:
    return {directory for partition in partitions(c).values() for directory in partition.directories}


@pytest.mark.parametrize("version", LEVELS)
def test_a_kraft_broker_of_each_release(version: str, tmp_path: Path, kafka_class_path: str) -> None:
    level = LEVELS[version]
    folder = tmp_path / "lab"
    several = level.is_directory_assignment_supported
    directories = [folder / f"broker-1/data-{number}" for number in (range(2) if several else range(1))]
    with (
        Lab(folder) as lab,
        pykraft.testing.controller(
            release=level.release, node_id=CONTROLLER_ID, broker_session_timeout_ms=SESSION_MS
        ) as c,
    ):
        broker = start_broker(lab, c, version, {"log.dirs": ",".join(map(str, directories))})
        found = registration(c)
        assert found is not None
        assert len(found.directories) == (2 if several else 0)
        assert next(each for each in found.features if each.name == "metadata.version").max_version == level
        assert c.read(lambda image: image.metadata_version) is level
        live_on(lab, c, broker, folder)
        if several:
            lose_a_directory(c, broker, directories[1])
        if version in REPAIRED:
            get_it_back(c, broker, directories[1])


@pytest.mark.parametrize("version", ["3.9.1", "4.0.2", "4.1.2"])
def test_a_broker_that_finds_the_voters_in_the_log(version: str, tmp_path: Path, kafka_class_path: str) -> None:
    folder = tmp_path / "lab"
    options: dict[str, Any] = {
        "release": LEVELS[version].release,
        "node_id": CONTROLLER_ID,
        "data_directory": tmp_path / "controller",
        "controller_quorum_bootstrap_servers": "localhost:9093",
        "broker_session_timeout_ms": SESSION_MS,
    }
    with Lab(folder) as lab:
        with pykraft.testing.controller(**options) as c:
            broker = start_broker(lab, c, version, {}, dynamic_quorum=True)
            live_on(lab, c, broker, folder)
            _, _, port = c.address.rpartition(":")
        # The quorum goes on at its address, in a new epoch, and its brokers with it.
        with (
            pykraft.testing.controller(**options, port=int(port)) as c,
            AdminShell(folder, broker.address, name="again") as shell,
        ):
            shell.call("create_topics", topics=[{"name": "after", "partitions": 1, "replication_factor": 1}])
            until(lambda: partitions(c, "after")[0].leader == 1, "the topic of the new epoch")
            assert shell.call("describe_features")["finalized"]["kraft.version"] == 1
