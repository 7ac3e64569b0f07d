"""Real 4.1.2 brokers on pykraft with eligible leader replicas (KIP-966), which 4.1 has on by default.

A broker is killed, then both are stopped in order: who is eligible is what Kafka's tool shows, who leads is who may,
and no message is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import pykraft.testing
from pykraft.image.model import PartitionRegistration
from pykraft.lab import jars, tools
from pykraft.lab.admin import AdminShell
from pykraft.lab.clients import Workload, require_whole
from pykraft.lab.cluster import Lab, Node
from pykraft.testing.handle import Controller
from tests.waiting import until

VERSION = "4.1.2"
DEADLINE_S = 90.0
CONTROLLER_ID = 3000
SESSION_MS = 6_000
TOPIC = "orders"


@dataclass
class Cluster:
    controller: Controller
    lab: Lab
    brokers: dict[int, Node]

    def partition(self) -> PartitionRegistration:
        return self.controller.read(lambda image: image.topics_by_name[TOPIC].partitions[0])

    def shape(self) -> tuple[set[int], set[int], list[int], int]:
        """Who is in sync, who is eligible, who led last, who leads."""
        found = self.partition()
        return set(found.isr), set(found.elr), list(found.last_known_elr), found.leader

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        until(condition, what, lambda: f"it is {self.shape()}", deadline_s=DEADLINE_S)

    def described(self) -> dict[str, str]:
        """What kafka-topics --describe shows of the partition, by heading."""
        text = tools.run(
            tools.TOPICS,
            *("--bootstrap-server", self.brokers[1].address, "--describe", "--topic", TOPIC),
            version=VERSION,
        )
        line = next(line for line in text.splitlines() if "Partition: 0" in line)
        pairs = (field.partition(":") for field in line.split("\t") if ":" in field)
        return {name.strip(): value.strip() for name, _, value in pairs}


@pytest.fixture
def cluster(tmp_path: Path, kafka_class_path: str) -> Iterator[Cluster]:
    """A controller that stands for 4.1 and two brokers of it."""
    jars.ensure(VERSION)
    with (
        Lab(tmp_path / "lab", VERSION) as lab,
        pykraft.testing.controller(
            release="4.1", node_id=CONTROLLER_ID, broker_session_timeout_ms=SESSION_MS
        ) as controller,
    ):
        brokers = {
            id_: lab.kraft_broker(
                id_,
                controller.cluster_id,
                f"{CONTROLLER_ID}@{controller.address}",
                extra={"broker.heartbeat.interval.ms": 500, "replica.lag.time.max.ms": 5000},
                wait=False,
            )
            for id_ in (1, 2)
        }
        for id_ in brokers:
            controller.wait_event("broker_unfenced", broker_id=id_, timeout_s=DEADLINE_S)
        yield Cluster(controller, lab, brokers)


def test_who_may_lead_after_a_kill_and_after_both_brokers_were_stopped(cluster: Cluster, tmp_path: Path) -> None:
    one, two = cluster.brokers[1], cluster.brokers[2]
    with AdminShell(tmp_path, one.address) as shell:
        assert shell.call("describe_features")["finalized"]["eligible.leader.replicas.version"] == 1
        topic = {"name": TOPIC, "assignment": [[1, 2]], "configs": {"min.insync.replicas": "2"}}
        shell.call("create_topics", topics=[topic])
    workload = Workload(tmp_path, f"{one.address},{two.address}", TOPIC, 1, rate=50)
    cluster.lab.own(workload.process)
    workload.start()
    cluster.wait(lambda: cluster.shape() == ({1, 2}, set(), [], 1), "both in sync")
    workload.wait_flowing()

    two.kill()
    cluster.wait(lambda: cluster.shape() == ({1}, {2}, [], 1), "the killed broker is eligible until it is back")
    cluster.wait(lambda: cluster.described().get("Elr") == "2", "kafka-topics shows it")
    assert cluster.described()["Isr"] == "1"

    two.start()
    cluster.wait(lambda: cluster.shape() == ({1, 2}, set(), [], 1), "the killed broker in sync again")
    workload.wait_flowing()

    two.stop()
    cluster.wait(lambda: cluster.shape() == ({1}, {2}, [], 1), "one left")
    one.stop()
    cluster.wait(lambda: cluster.shape() == (set(), {1, 2}, [1], -1), "nobody left")
    two.start()
    cluster.wait(lambda: cluster.shape() == ({2}, {1}, [], 2), "the first that came back leads, cleanly")
    assert cluster.partition().leader_recovery_state == 0
    one.start()
    cluster.wait(lambda: cluster.shape()[0] == {1, 2} and not cluster.shape()[1], "both in sync again")
    workload.wait_flowing()
    require_whole(workload.finish())
