"""What a migrated cluster survives: its controller killed at any moment, ZooKeeper away, a session that expires.

One cluster serves all tests of this module: two real brokers, a real ZooKeeper, clients that count every message.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pykraft.lab import tools
from pykraft.lab.admin import AdminError, AdminShell
from pykraft.lab.clients import Workload, require_whole
from pykraft.lab.cluster import Lab, Node, PykraftNode
from pykraft.lab.errors import LabError
from pykraft.lab.facts import LogImage, differences, facts_of_tree, read_tree
from tests import waiting

DEADLINE_S = 120.0
ZOOKEEPER_AWAY_S = 30.0
CONTROLLER_ID = 3000
DYING_CONTROLLER = Path(__file__).with_name("dying_controller.py")
TOPIC = "resilience"
MOMENTS = (
    "BECOME_CONTROLLER",
    "ZK_MIGRATION",
    "COPYING",
    "SYNC_KRAFT_TO_ZK",
    "KRAFT_CONTROLLER_TO_BROKER_COMM",
    "DUAL_WRITE",
)
"""When the controller dies, in the order in which a migration gets there; see dying_controller.py."""
CLAIMS = 6
"""Deaths that come after a claim, and the last start."""

until = partial(waiting.until, deadline_s=DEADLINE_S, poll_s=0.2)


@dataclass
class Cluster:
    """A cluster in dual-write mode and the topics that were acknowledged to it."""

    lab: Lab
    zookeeper: Node
    controller: PykraftNode
    brokers: list[Node]
    shell: AdminShell
    workload: Workload
    acknowledged: dict[str, str] = field(default_factory=dict)

    def restart_to_die(self, moment: str | None) -> None:
        """Kill the controller if it still runs, and start one that kills itself at that moment (None: it does not)."""
        process = self.controller.process
        if process.running:
            process.kill()
        python, arguments = process.command[0], process.command[process.command.index("controller") :]
        program = ["-m", "pykraft"] if moment is None else [str(DYING_CONTROLLER), moment]
        process.command = [python, *program, *arguments]
        process.start()

    def state_event(self, state: str, since: int) -> dict[str, Any]:
        """Wait for the driver to enter a state, by events from number `since` on."""
        return self.controller.process.wait_event(
            lambda event: event["event"] == "migration_state" and event["state"] == state,
            f"entered {state}",
            DEADLINE_S,
            since=since,
        )

    def create(self, name: str) -> None:
        """Create a topic through the brokers, again while the controller is away; remember what was acknowledged."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                ids = self.shell.call(
                    "create_topics", topics=[{"name": name, "partitions": 2, "replication_factor": 2}]
                )
            except AdminError as error:
                if error.error == "TOPIC_ALREADY_EXISTS":
                    self.acknowledged[name] = ""
                    return
                if time.monotonic() > deadline:
                    raise
            else:
                self.acknowledged[name] = ids[name]
                return

    def image(self) -> LogImage:
        segments = sorted((self.controller.folder / "data/__cluster_metadata-0").glob("*.log"))
        files = ",".join(map(str, segments))
        return LogImage.from_dump(
            self.shell.tool(tools.DUMP_LOG, "--cluster-metadata-decoder", "--files", files).splitlines()
        )

    def zookeeper_tree(self) -> dict[str, Any]:
        return read_tree(self.zookeeper.address)

    def require_agreement(self) -> None:
        """ZooKeeper and the log tell the same, and every acknowledged topic is in both."""
        left: list[str] = []

        def agree() -> bool:
            left[:] = differences(facts_of_tree(self.zookeeper_tree()), self.image().facts, "ZooKeeper", "image")
            return not left

        until(agree, "ZooKeeper and the image agree", lambda: str(left[:10]))
        facts = self.image().facts
        for name, topic_id in self.acknowledged.items():
            found = facts.get(f"topic/{name}/id")
            assert found is not None, f"topic {name} was acknowledged and is gone"
            assert topic_id in ("", found), f"topic {name} has another id than was acknowledged"

    def require_whole(self) -> None:
        def whole() -> bool:
            try:
                topics = self.shell.call("describe_topics")
            except AdminError:  # a broker that has not heard of a new topic yet
                return False
            return all(
                partition["leader"] >= 0 and len(partition["isr"]) == 2
                for topic in topics.values()
                for partition in topic["partitions"]
            )

        until(whole, "all partitions are led and in sync")

    def zookeeper_epoch(self) -> int:
        return int(read_tree(self.zookeeper.address, "/controller_epoch")["/controller_epoch"].data)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, kafka_class_path: str) -> Iterator[Cluster]:
    """Two brokers, rolled into migration mode; the controller dies in the first of MOMENTS."""
    folder: Path = tmp_path_factory.mktemp("resilience")
    with Lab(folder) as lab:
        zookeeper = lab.zookeeper()
        extra = {"offsets.topic.replication.factor": 2, "num.recovery.threads.per.data.dir": 1}
        for broker in (0, 1):
            lab.zk_broker(broker, zookeeper.address, extra=extra, wait=False)
        brokers = [lab.nodes["broker-0"], lab.nodes["broker-1"]]
        for node in brokers:
            node.process.wait_port(node.port)
        bootstrap = ",".join(node.address for node in brokers)
        shell = AdminShell(folder, bootstrap).start()
        lab.own(shell.process)
        until(lambda: len(shell.call("describe_cluster")["nodes"]) == 2, "both brokers are in the cluster")
        shell.call("create_topics", topics=[{"name": TOPIC, "partitions": 4, "replication_factor": 2}])
        workload = Workload(folder, bootstrap, TOPIC, 4, rate=100)
        lab.own(workload.process)
        workload.start()
        controller = lab.pykraft(
            CONTROLLER_ID, zookeeper=zookeeper.address, extra={"zookeeper.session.timeout.ms": 4000}
        )
        cluster = Cluster(lab, zookeeper, controller, brokers, shell, workload)
        voters = f"{CONTROLLER_ID}@{controller.address}"
        lab.zk_broker(0, zookeeper.address, controllers=voters, extra=extra)
        cluster.require_whole()
        cluster.restart_to_die(MOMENTS[0])
        lab.zk_broker(1, zookeeper.address, controllers=voters, extra=extra)
        yield cluster


def test_killed_in_every_state_it_starts_again_and_finishes(cluster: Cluster) -> None:
    """The controller is about to die in the first moment already, when the second broker has registered."""
    process = cluster.controller.process
    epoch = cluster.zookeeper_epoch()
    for moment, following in zip(MOMENTS, (*MOMENTS[1:], None), strict=True):
        assert process.wait_exit(DEADLINE_S) == -signal.SIGKILL, f"it should have died in {moment}"
        since = len(process.events)
        cluster.restart_to_die(following)
    cluster.state_event("DUAL_WRITE", since)
    assert cluster.zookeeper_epoch() >= epoch + CLAIMS, "each claim raises /controller_epoch"
    cluster.create("after-kills")
    cluster.require_whole()
    cluster.require_agreement()
    cluster.workload.wait_flowing(DEADLINE_S)


def test_killed_while_it_serves_it_loses_nothing_acknowledged(cluster: Cluster) -> None:
    for turn in range(4):
        since = len(cluster.controller.process.events)
        for number in range(2 + turn):
            cluster.create(f"turn-{turn}-{number}")
        cluster.controller.kill()
        cluster.controller.start()
        cluster.create(f"turn-{turn}-restarted")
        cluster.state_event("DUAL_WRITE", since)
    assert len(cluster.acknowledged) >= 4
    cluster.require_agreement()
    cluster.workload.wait_flowing(DEADLINE_S)


def test_zookeeper_away_for_half_a_minute_stops_nobody_and_is_caught_up(cluster: Cluster) -> None:
    cluster.zookeeper.kill()
    gone = time.monotonic()
    made = 0
    while time.monotonic() < gone + ZOOKEEPER_AWAY_S:
        cluster.workload.wait_flowing(15.0)
        cluster.create(f"while-away-{made}")
        made += 1
    cluster.zookeeper.start()
    assert made >= 3
    cluster.create("after-return")
    cluster.require_agreement()
    cluster.require_whole()


def test_an_expired_session_is_survived(cluster: Cluster) -> None:
    seen = cluster.zookeeper.process.log.read_text(errors="replace").count("Expiring session")
    cluster.controller.process.pause()
    try:
        until(
            lambda: cluster.zookeeper.process.log.read_text(errors="replace").count("Expiring session") > seen,
            "ZooKeeper has expired the controller's session",
        )
    finally:
        cluster.controller.process.resume()
    cluster.create("after-expiry")
    cluster.require_agreement()


def test_no_message_was_lost_in_all_of_this(cluster: Cluster) -> None:
    """Runs last: the clients worked through all of the above."""
    cluster.require_whole()
    accounts = cluster.workload.finish()
    require_whole(accounts)
    if accounts.longest_stall_ms > ZOOKEEPER_AWAY_S * 1000:
        raise LabError(f"a message waited {accounts.longest_stall_ms} ms")
