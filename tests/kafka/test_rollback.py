"""The way on and back on real Kafka: rolled back from every stage, migrated again, and at last finalized.

One cluster of two brokers of each release serves all tests of this module, in their order, with clients that count
every message. No attempt may delete a topic: each test looks at all that were ever made.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pykraft.cli import main
from pykraft.lab import jars
from pykraft.lab.admin import AdminError, AdminShell
from pykraft.lab.clients import Workload, require_whole
from pykraft.lab.cluster import Lab, Node, PykraftNode
from pykraft.lab.facts import read_tree, zookeeper_client
from tests import waiting

DEADLINE_S = 120.0
CONTROLLER_ID = 3000
TOPIC = "way"
RESTARTS = 15
RELEASES = {"3.9.1": "3.9-IV0", "3.4.1": "3.4-IV0"}
EXTRA = {"offsets.topic.replication.factor": 2, "num.recovery.threads.per.data.dir": 1}
NO_AUTHORIZER = {"authorizer.class.name": None}
"""3.4 does not migrate with one."""

until = partial(waiting.until, deadline_s=DEADLINE_S, poll_s=0.2)


@dataclass
class Cluster:
    """A cluster whose brokers go from mode to mode, and every topic that was made in it, with its id."""

    lab: Lab
    zookeeper: Node
    controller: PykraftNode
    shell: AdminShell
    workload: Workload
    extra: dict[str, Any]
    topics: dict[str, str] = field(default_factory=dict)

    @property
    def voters(self) -> str:
        return f"{CONTROLLER_ID}@{self.controller.address}"

    @property
    def data(self) -> Path:
        return self.controller.folder / "data"

    # -- what an operator does ------------------------------------------------------------------------------------

    def zk_mode(self, *brokers: int, migrating: bool) -> None:
        """Restart brokers in ZooKeeper mode, one by one."""
        for broker in brokers:
            self.stop(broker)
            if not migrating and self.lab.version == "3.4.1":
                # Brokers from 3.7.1 on do it themselves. It names an epoch that the next attempt's controller, with an
                # empty log, has still to reach: the broker would not take it for the controller.
                shutil.rmtree(self.lab.folder / f"broker-{broker}/data/__cluster_metadata-0", ignore_errors=True)
            self.lab.zk_broker(
                broker, self.zookeeper.address, controllers=self.voters if migrating else None, extra=self.extra
            )
            self.wait_in_sync()

    def kraft_mode(self, *brokers: int) -> None:
        for broker in brokers:
            self.stop(broker)
            self.lab.kraft_broker(broker, self.controller.cluster_id, self.voters, extra=self.extra)
            self.wait_in_sync()

    def stop(self, broker: int) -> None:
        """Stop a broker; whoever is the controller must have the other lead everything."""
        self.lab.nodes[f"broker-{broker}"].stop()
        until(
            lambda: all(partition["leader"] == 1 - broker for partition in self.partitions()), f"{1 - broker} leads all"
        )

    def fresh_controller(self) -> None:
        """Start the controller with an empty data directory; the old one is kept beside it."""
        if self.controller.process.running:
            self.controller.stop()
        self.keep_data("old")
        self.controller.start()

    def keep_data(self, name: str) -> Path:
        kept = self.data.with_name(name)
        shutil.rmtree(kept, ignore_errors=True)
        if self.data.exists():
            self.data.rename(kept)
        return kept

    def delete(self, *paths: str) -> None:
        client = zookeeper_client(self.zookeeper.address)
        client.start(timeout=30)
        for path in paths:
            client.delete(path)
        client.stop()
        client.close()

    def roll_back(self) -> None:
        """As the documentation has it, from brokers in migration mode; /migration stays until the next attempt."""
        self.controller.stop()
        self.delete("/controller")
        until(lambda: self.zookeeper_controller() in (0, 1), "a broker is ZooKeeper's controller")
        # A broker that is stopped before it has heard of the new controller asks the old one for a minute.
        self.create(f"rolled-back-{len(self.topics)}")
        self.wait_in_sync()
        self.zk_mode(0, 1, migrating=False)

    # -- what can be seen -----------------------------------------------------------------------------------------

    def znode(self, path: str) -> dict[str, Any] | None:
        found = read_tree(self.zookeeper.address, path).get(path)
        return None if found is None else found.json()

    def zookeeper_controller(self) -> int | None:
        holder = self.znode("/controller")
        return None if holder is None else int(holder["brokerid"])

    def create(self, name: str) -> None:
        """Create a topic through the brokers, again while they have no controller."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                wanted = {"name": name, "partitions": 2, "replication_factor": 2}
                made = self.shell.call("create_topics", topics=[wanted])
            except AdminError:
                assert time.monotonic() < deadline
            else:
                self.topics |= made
                return

    def require_topics(self) -> None:
        """All topics that were ever made are in ZooKeeper, under the ids that they had."""
        tree = read_tree(self.zookeeper.address, "/brokers/topics")
        found = {name: tree[f"/brokers/topics/{name}"].json()["topic_id"] for name in self.topics}
        assert found == self.topics

    def wait_in_sync(self) -> None:
        until(
            lambda: (
                len(self.shell.call("describe_cluster")["nodes"]) == 2
                and all(partition["leader"] >= 0 and len(partition["isr"]) == 2 for partition in self.partitions())
            ),
            "all partitions are led and in sync",
        )

    def partitions(self) -> list[dict[str, Any]]:
        """Those of every topic that was ever made, as a broker tells them; one that nobody leads where it does not."""
        unknown = {"leader": -1, "isr": []}
        try:
            topics = self.shell.call("describe_topics")
        except AdminError:
            return [unknown]
        if not self.topics.keys() <= topics.keys():
            return [unknown]
        return [partition for name in self.topics for partition in topics[name]["partitions"]]

    def waits_because(self, text: str, since: int) -> None:
        self.controller.process.wait_event(
            lambda event: event["event"] == "migration_waiting" and text in event["reason"],
            f"waits because: {text}", DEADLINE_S, since=since,
        )  # fmt: skip


@dataclass
class Command:
    """`pykraft …` in this process."""

    capture: pytest.CaptureFixture[str]
    cluster: Cluster

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Exit code and what it printed."""
        self.capture.readouterr()
        code = main.main([*arguments])
        printed = self.capture.readouterr()
        return code, printed.out + printed.err

    @property
    def nodes(self) -> list[str]:
        return [
            "--bootstrap-controller", self.cluster.controller.address, "--zookeeper", self.cluster.zookeeper.address
        ]  # fmt: skip

    def stage(self, name: str) -> tuple[int, str, str]:
        """Exit code of `status`, and the state and detail of a stage."""
        code, printed = self("migration", "status", *self.nodes, "--json")
        (stage,) = [stage for stage in json.loads(printed)["stages"] if stage["stage"] == name]
        return code, stage["state"], stage["detail"]

    def wait_stage(self, name: str) -> None:
        code, printed = self("migration", "wait", "--stage", name, "--timeout", str(DEADLINE_S), *self.nodes)
        assert code == 0, printed


@pytest.fixture(scope="module", params=RELEASES)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kafka_class_path: str
) -> Iterator[Cluster]:
    """Two ZooKeeper-mode brokers under load, and a controller that was started and ended again."""
    folder: Path = tmp_path_factory.mktemp("rollback")
    version: str = request.param
    jars.ensure(version)
    extra = EXTRA | (NO_AUTHORIZER if version == "3.4.1" else {})
    with Lab(folder, version) as lab:
        zookeeper = lab.zookeeper()
        brokers = [lab.zk_broker(broker, zookeeper.address, extra=extra, wait=False) for broker in (0, 1)]
        for node in brokers:
            node.process.wait_port(node.port)
        bootstrap = ",".join(node.address for node in brokers)
        seeing = {"metadata.max.age.ms": "1000", "metadata.recovery.strategy": "rebootstrap"}
        shell = AdminShell(folder, bootstrap, config=seeing).start()
        lab.own(shell.process)
        until(lambda: len(shell.call("describe_cluster")["nodes"]) == 2, "both brokers are in the cluster")
        topics = shell.call("create_topics", topics=[{"name": TOPIC, "partitions": 4, "replication_factor": 2}])
        workload = Workload(folder, bootstrap, TOPIC, 4, rate=100)
        lab.own(workload.process)
        workload.start()
        controller = lab.pykraft(CONTROLLER_ID, zookeeper=zookeeper.address, release=RELEASES[version])
        yield Cluster(lab, zookeeper, controller, shell, workload, extra, dict(topics))


@pytest.fixture
def pykraft(capsys: pytest.CaptureFixture[str], cluster: Cluster) -> Command:
    return Command(capsys, cluster)


def test_back_from_controllers_provisioned(cluster: Cluster, pykraft: Command) -> None:
    cluster.waits_because("no broker has registered with this controller", 0)
    code, state, detail = pykraft.stage("brokers")
    assert (code, state) == (1, "blocked")
    assert "brokers 0, 1 are running without zookeeper.metadata.migration.enable=true" in detail
    cluster.controller.stop()
    cluster.keep_data("old")
    assert cluster.zookeeper_controller() in (0, 1)
    migration = cluster.znode("/migration")
    assert migration is not None
    assert migration["kraft_metadata_offset"] == -1
    cluster.create("controllers-provisioned")
    cluster.workload.wait_flowing(DEADLINE_S)
    cluster.require_topics()


def test_back_from_a_broker_in_migration_mode(cluster: Cluster, pykraft: Command) -> None:
    properties = [str(cluster.lab.folder / f"broker-{broker}" / "server.properties") for broker in (0, 1)]
    address = cluster.zookeeper.address
    code, printed = pykraft("migration", "preflight", "--zookeeper", address, "--properties", *properties)
    assert code == 1, printed
    assert printed.count("BLOCKER migration-flag") == 2
    since = len(cluster.controller.process.events)
    cluster.fresh_controller()
    cluster.zk_mode(0, migrating=True)
    cluster.waits_because("broker 1 (", since)
    code, state, detail = pykraft.stage("brokers")
    assert (code, state) == (1, "blocked")
    assert "broker 1 is running without" in detail
    cluster.controller.stop()
    cluster.zk_mode(0, migrating=False)
    cluster.create("one-broker")
    cluster.workload.wait_flowing(DEADLINE_S)
    cluster.require_topics()


def test_back_from_dual_write(cluster: Cluster, pykraft: Command) -> None:
    """The controller was restarted so often that its epoch is above that of ZooKeeper's controllers, before and after:
    these elect no leaders of partitions whose state has a higher epoch than their own."""
    cluster.fresh_controller()
    for _ in range(RESTARTS):
        cluster.controller.kill()
        cluster.controller.start()
    cluster.zk_mode(0, 1, migrating=True)
    pykraft.wait_stage("dual-write")
    cluster.create("in-dual-write")
    assert pykraft("zk", "diff", *pykraft.nodes) == (0, "")
    code, state, _ = pykraft.stage("kraft-brokers")
    assert (code, state) == (0, "waiting")
    code, printed = pykraft("migration", "finalize", *pykraft.nodes)
    assert code == 1
    assert "brokers 0, 1 are still registered in ZooKeeper mode" in printed
    cluster.roll_back()
    cluster.create("after-rollback")
    cluster.workload.wait_flowing(DEADLINE_S)
    cluster.require_topics()


def test_c67_no_further_attempt_starts_from_what_was_rolled_back(cluster: Cluster, pykraft: Command) -> None:
    """KAFKA-17146 in its three forms; none of them touches ZooKeeper."""
    code, printed = pykraft("migration", "preflight", "--zookeeper", cluster.zookeeper.address)
    assert code == 1
    assert "BLOCKER stale-migration: /migration" in printed
    holder, process = cluster.znode("/controller"), cluster.controller.process

    since = len(process.events)
    cluster.controller.start()
    cluster.waits_because("the migration was rolled back", since)
    cluster.controller.stop()

    since, kept = len(process.events), cluster.keep_data("first")
    cluster.controller.start()
    cluster.waits_because("delete /migration to migrate anew", since)
    assert pykraft.stage("copy")[:2] == (1, "blocked")
    cluster.controller.stop()

    cluster.delete("/migration")
    shutil.rmtree(cluster.data)
    kept.rename(cluster.data)
    since = len(process.events)
    cluster.controller.start()
    cluster.waits_because("start with an empty data directory", since)
    cluster.controller.stop()
    assert cluster.znode("/controller") == holder
    cluster.require_topics()
    assert pykraft("migration", "preflight", "--zookeeper", cluster.zookeeper.address)[0] == 0


def test_back_from_a_broker_in_kraft_mode(cluster: Cluster, pykraft: Command) -> None:
    """The second attempt copies afresh: what was made between the attempts is in its log."""
    cluster.fresh_controller()
    cluster.zk_mode(0, 1, migrating=True)
    pykraft.wait_stage("dual-write")
    assert pykraft("zk", "diff", *pykraft.nodes) == (0, "")
    cluster.kraft_mode(0)
    code, printed = pykraft("migration", "status", *pykraft.nodes, "--json")
    assert (code, json.loads(printed)["brokers"]) == (0, {"zk": [1], "kraft": [0]})
    cluster.create("hybrid")
    assert pykraft("zk", "diff", *pykraft.nodes) == (0, "")
    cluster.zk_mode(0, migrating=True)
    code, printed = pykraft("migration", "status", *pykraft.nodes, "--json")
    assert (code, json.loads(printed)["brokers"]) == (0, {"zk": [0, 1], "kraft": []})
    cluster.roll_back()
    cluster.create("after-hybrid")
    cluster.delete("/migration")
    cluster.workload.wait_flowing(DEADLINE_S)
    cluster.require_topics()


def test_forward_again_and_finalized(cluster: Cluster, pykraft: Command) -> None:
    cluster.fresh_controller()
    cluster.zk_mode(0, 1, migrating=True)
    pykraft.wait_stage("dual-write")
    cluster.kraft_mode(0)
    cluster.controller.stop()
    code, printed = pykraft("migration", "finalize", "--data", str(cluster.data))
    assert code == 1
    assert "broker 1 is still registered in ZooKeeper mode" in printed
    cluster.controller.start()
    cluster.kraft_mode(1)
    pykraft.wait_stage("kraft-brokers")
    cluster.create("both-in-kraft-mode")
    assert pykraft("zk", "diff", *pykraft.nodes) == (0, "")
    cluster.require_topics()

    cluster.controller.stop()
    code, printed = pykraft("migration", "finalize", "--data", str(cluster.data))
    assert (code, printed.partition(":")[0]) == (0, "finalized")
    cluster.controller = cluster.lab.pykraft(CONTROLLER_ID)
    assert pykraft.stage("finalized")[:2] == (0, "done")
    assert cluster.zookeeper_controller() == CONTROLLER_ID, "left where it is, as Kafka leaves it"
    code, printed = pykraft(
        "migration",
        "finalize",
        "--data",
        str(cluster.data),
        "--zookeeper",
        cluster.zookeeper.address,
        "--delete-controller",
    )
    assert code == 0
    assert cluster.zookeeper_controller() is None
    cluster.zookeeper.stop()
    cluster.create("finalized")
    cluster.wait_in_sync()
    accounts = cluster.workload.finish()
    require_whole(accounts)


def test_apache_kafkas_own_controller_is_looked_at_the_same_way(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Its metadata log is read as an observer that it does not count."""
    zookeeper = lab.zookeeper()
    lab.zk_broker(0, zookeeper.address)
    assert main.main(["migration", "preflight", "--zookeeper", zookeeper.address]) == 0
    cluster_id = read_tree(zookeeper.address, "/cluster")["/cluster/id"].json()["id"]
    controller = lab.kraft_controller(CONTROLLER_ID, cluster_id, zookeeper=zookeeper.address)
    nodes = ["--bootstrap-controller", controller.address, "--zookeeper", zookeeper.address]
    assert main.main(["migration", "status", *nodes]) == 1
    assert "brokers        BLOCKED  broker 0 is running without" in capsys.readouterr().out
    lab.zk_broker(0, zookeeper.address, controllers=f"{CONTROLLER_ID}@{controller.address}")
    assert main.main(["migration", "wait", "--stage", "dual-write", "--timeout", str(DEADLINE_S), *nodes]) == 0
    with AdminShell(lab.folder, lab.nodes["broker-0"].address) as shell:
        shell.call("create_topics", topics=[{"name": "seen", "partitions": 3, "replication_factor": 1}])
    assert main.main(["zk", "diff", *nodes]) == 0
    capsys.readouterr()
    assert main.main(["migration", "status", "--json", *nodes]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["verdict"], status["zk_migration_state"], status["brokers"]) == (
        "on track", "MIGRATION", {"zk": [0], "kraft": []}
    )  # fmt: skip
    assert "1 topics and 3 partitions" in str(status["stages"])
    assert main.main(["migration", "finalize", *nodes]) == 1
