"""A controller's directory goes from pykraft to Apache Kafka's own controller and back, with the brokers running.

Each release runs with its own brokers, one of them in ZooKeeper mode, under dual writes; or all in KRaft mode, where
the voters are in the log (kraft.version 1). A producer and a consumer run all the while and account for every message.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pykraft.lab import jars, tools
from pykraft.lab.admin import AdminError, AdminShell
from pykraft.lab.clients import Workload, require_whole
from pykraft.lab.cluster import HOST, Lab, Node, PykraftNode, free_port
from pykraft.lab.facts import LogImage, differences, facts_of_tree, read_tree, zookeeper_client
from pykraft.log.batch import ControlRecordType
from pykraft.log.checkpoint import iter_checkpoint
from pykraft.protocol.messages import voters_record
from pykraft.protocol.messages.voters_record import VotersRecord
from tests import waiting

DEADLINE_S = 90.0
CONTROLLER_ID = 3000
ZK_BROKER_ID, KRAFT_BROKER_ID, LATE_BROKER_ID = 1, 2, 3
BOTH = (ZK_BROKER_ID, KRAFT_BROKER_ID)
TOPIC = "handed-over"
PARTITIONS = 4
COMPACTED = {"cleanup.policy": "compact"}
# A NoOpRecord every 100 ms makes a snapshot due every six seconds, whatever else happens.
SETTINGS = {"metadata.log.max.record.bytes.between.snapshots": "4000", "metadata.max.idle.interval.ms": "100"}

until = partial(waiting.until, deadline_s=DEADLINE_S, poll_s=0.2)


@dataclass(frozen=True)
class Release:
    version: str
    metadata_version: str
    zk_broker_settings: Mapping[str, object] = field(default_factory=dict)


RELEASES = (
    Release("3.9.1", "3.9-IV0"),
    Release("3.6.2", "3.6-IV2"),
)
DYNAMIC_QUORUMS = (Release("3.9.1", "3.9-IV0"), Release("4.1.2", "4.1-IV1"))
# 3.4 does not migrate brokers that have an authorizer.
RELEASE_3_4 = Release("3.4.1", "3.4-IV0", {"authorizer.class.name": None})


@dataclass
class Cluster:
    lab: Lab
    release: Release
    controller_port: int = field(default_factory=free_port)
    zookeeper: Node | None = None
    controller: Node | None = None
    cluster_id: str = ""
    shell: AdminShell | None = None
    created: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def zookeeper_address(self) -> str:
        assert self.zookeeper is not None
        return self.zookeeper.address

    @property
    def is_dynamic(self) -> bool:
        """Whether the voters are in the log; without ZooKeeper they are."""
        return self.zookeeper is None

    @property
    def voters(self) -> str:
        return f"{CONTROLLER_ID}@{HOST}:{self.controller_port}"

    @property
    def settings(self) -> dict[str, object]:
        """Of controllers of both makes."""
        if not self.is_dynamic:
            return {**SETTINGS}
        servers = f"{HOST}:{self.controller_port}"
        return {**SETTINGS, "controller.quorum.voters": None, "controller.quorum.bootstrap.servers": servers}

    @property
    def log_directory(self) -> Path:
        return self.lab.folder / f"controller-{CONTROLLER_ID}/data/__cluster_metadata-0"

    def start_pykraft(self) -> PykraftNode:
        node = self.lab.pykraft(
            CONTROLLER_ID,
            port=self.controller_port,
            zookeeper=None if self.is_dynamic else self.zookeeper_address,
            release=self.release.metadata_version,
            extra={key: value for key, value in self.settings.items() if value is not None},
        )
        self.controller, self.cluster_id = node, node.cluster_id
        if self.is_dynamic:
            return node
        node.process.wait_event(
            lambda event: event["event"] == "migration_state" and event["state"] == "DUAL_WRITE",
            "reached DUAL_WRITE",
            DEADLINE_S,
            since=len(node.process.events) - 1,
        )
        return node

    def start_kafka(self) -> Node:
        """Apache Kafka's controller on the directory as pykraft left it."""
        before = self.lab.nodes[f"controller-{CONTROLLER_ID}"]
        before.port = self.controller_port
        self.controller = self.lab.kraft_controller(
            CONTROLLER_ID,
            self.cluster_id,
            extra=self.settings,
            zookeeper=None if self.is_dynamic else self.zookeeper_address,
        )
        return self.controller

    def start_kraft_broker(self, broker_id: int) -> Node:
        return self.lab.kraft_broker(
            broker_id,
            self.cluster_id,
            f"{HOST}:{self.controller_port}" if self.is_dynamic else self.voters,
            release=self.release.metadata_version,
            dynamic_quorum=self.is_dynamic,
        )

    def create(self, name: str, brokers: tuple[int, ...] = BOTH, *, internal: bool = False) -> None:
        """Create a topic with its replicas on these brokers, again while the brokers look for the controller."""
        assert self.shell is not None
        assignment = [
            brokers[number % len(brokers) :] + brokers[: number % len(brokers)] for number in range(PARTITIONS)
        ]
        topic = {"name": name, "assignment": assignment, "configs": COMPACTED if internal else {}}
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                self.shell.call("create_topics", topics=[topic])
            except AdminError as error:
                if error.error == "TOPIC_ALREADY_EXISTS":
                    break
                if time.monotonic() > end:
                    raise
            else:
                break
        self.created[name] = brokers

    def image(self) -> LogImage:
        """The log as the release's own tool prints it."""
        (segment,) = self.log_directory.glob("*.log")
        text = tools.run(
            tools.DUMP_LOG, "--cluster-metadata-decoder", "--files", str(segment), version=self.release.version
        )
        assert "isvalid: false" not in text
        return LogImage.from_dump(text.splitlines())

    def controller_log(self) -> str:
        """What the controllers of both makes have logged so far."""
        name = f"controller-{CONTROLLER_ID}"
        return (self.lab.folder / name / f"{name}.log").read_text()

    def checkpoints(self, of: Node | None = None) -> set[str]:
        directory = self.log_directory if of is None else of.folder / "data/__cluster_metadata-0"
        return {path.name for path in directory.glob("*.checkpoint")}

    def voters_of_snapshot(self) -> list[voters_record.Voter]:
        """Who votes, where, by the newest snapshot."""
        path = self.log_directory / max(self.checkpoints())
        found = [
            VotersRecord.decode(value, 0)
            for batch in iter_checkpoint(path)
            for kind, value in zip(batch.control_types, batch.values, strict=False)
            if kind == ControlRecordType.KRAFT_VOTERS
        ]
        (record,) = found
        assert [voter.voter_id for voter in record.voters] == [CONTROLLER_ID]
        return record.voters

    def check(self) -> None:
        """Every partition is led and in sync, every topic that was acknowledged is there, and in ZooKeeper too."""
        assert self.shell is not None
        call = self.shell.call

        def whole() -> bool:
            try:
                topics: dict[str, Any] = call("describe_topics")
            except AdminError:
                return False
            return self.created.keys() <= topics.keys() and all(
                partition["leader"] >= 0 and set(partition["isr"]) == set(brokers)
                for name, brokers in self.created.items()
                for partition in topics[name]["partitions"]
            )

        until(whole, "all partitions are led and in sync")
        if self.is_dynamic:
            assert call("describe_features")["finalized"]["kraft.version"] == 1
            return
        connect, left = self.zookeeper_address, ["not compared"]

        def agree() -> bool:
            tree = read_tree(connect)
            facts = facts_of_tree(tree)
            block = tree["/latest_producer_id_block"].json()
            if block.get("broker") == -1:
                # A dual write names the block that comes next, a broker the one it took.
                facts["producer_ids/next"] = int(block["block_start"])
            left[:] = differences(facts, self.image().facts, "ZooKeeper", "log")
            return not left

        until(agree, "ZooKeeper and the log agree", lambda: str(left[:10]))


def offset_and_epoch(checkpoint: str) -> tuple[str, str]:
    """What the name of a checkpoint says."""
    offset, _, epoch = checkpoint.removesuffix(".checkpoint").partition("-")
    return str(int(offset)), str(int(epoch))


@contextmanager
def cluster_of(
    release: Release, folder: Path, brokers: tuple[int, ...] = BOTH, *, dynamic_quorum: bool = False
) -> Iterator[tuple[Cluster, Workload]]:
    """pykraft with two brokers, and clients that work with a topic on `brokers`.

    The first broker is in ZooKeeper mode, except with `dynamic_quorum`.
    """
    jars.ensure(release.version)
    with Lab(folder, release.version) as lab:
        cluster = Cluster(lab, release)
        if dynamic_quorum:
            cluster.start_pykraft()
            cluster.start_kraft_broker(ZK_BROKER_ID)
        else:
            cluster.zookeeper = lab.zookeeper()
            lab.zk_broker(
                ZK_BROKER_ID, cluster.zookeeper.address, controllers=cluster.voters, extra=release.zk_broker_settings
            )
            cluster.start_pykraft()
        cluster.start_kraft_broker(KRAFT_BROKER_ID)
        bootstrap = ",".join(lab.nodes[f"broker-{n}"].address for n in BOTH)
        with AdminShell(folder, bootstrap, config={"metadata.max.age.ms": "1000"}) as shell:
            cluster.shell = shell
            until(lambda: len(shell.call("describe_cluster")["nodes"]) == 2, "both brokers are seen")
            cluster.create("__consumer_offsets", brokers, internal=True)
            cluster.create(TOPIC, brokers)
            workload = Workload(folder, bootstrap, TOPIC, PARTITIONS)
            lab.own(workload.process)
            workload.start()
            until(lambda: bool(cluster.checkpoints()), "pykraft writes a snapshot")
            cluster.check()
            yield cluster, workload


def from_pykraft_to_kafka(cluster: Cluster) -> None:
    """Kafka's controller finds the snapshots of pykraft sound, and begins with the latest."""
    assert cluster.controller is not None
    assert cluster.controller.stop() == 0
    ours = cluster.checkpoints()
    cluster.start_kafka()
    says = re.compile(r"Initialized snapshots with IDs (.*) from")
    until(lambda: says.search(cluster.controller_log()) is not None, "Kafka's controller has read its directory")
    found = says.search(cluster.controller_log())
    assert found is not None
    assert set(re.findall(r"offset=(\d+), epoch=(\d+)", found[1])) == {offset_and_epoch(name) for name in ours}


def use_under_kafka(cluster: Cluster, workload: Workload) -> None:
    """Kafka's controller does its work, on to a snapshot of its own."""
    before = cluster.checkpoints()
    cluster.create("under-kafka")
    workload.wait_flowing()
    cluster.check()
    until(lambda: bool(cluster.checkpoints() - before), "Kafka's controller writes a snapshot")


def from_kafka_to_pykraft(cluster: Cluster, workload: Workload) -> None:
    """pykraft begins with the latest snapshot of Kafka's controller, and does its work again."""
    assert cluster.controller is not None
    assert cluster.controller.stop() in (0, 143)
    theirs = cluster.checkpoints()
    cluster.start_pykraft()
    cluster.create("under-pykraft-again")
    workload.wait_flowing()
    cluster.check()
    assert not list(cluster.log_directory.glob("*.damaged"))
    assert f"Loading snapshot {max(theirs)}." in cluster.controller_log()
    until(lambda: bool(cluster.checkpoints() - theirs), "pykraft writes another snapshot")


def begin_with_a_snapshot(cluster: Cluster) -> None:
    """Brokers that know nothing begin with a snapshot, in both modes."""
    late = cluster.start_kraft_broker(LATE_BROKER_ID)
    until(lambda: bool(cluster.checkpoints(late)), "the new broker fetches a snapshot")
    assert cluster.shell is not None
    call = cluster.shell.call
    until(lambda: len(call("describe_cluster")["nodes"]) == 3, "the new broker is seen")
    if not cluster.is_dynamic:
        zk_broker = cluster.lab.nodes[f"broker-{ZK_BROKER_ID}"]
        zk_broker.stop()
        shutil.rmtree(zk_broker.folder / "data/__cluster_metadata-0")
        zk_broker.start()
        until(lambda: bool(cluster.checkpoints(zk_broker)), "the broker in ZooKeeper mode fetches a snapshot")
    cluster.check()


def finish(cluster: Cluster, workload: Workload) -> None:
    workload.wait_flowing()
    assert all(node.process.running for node in cluster.lab.nodes.values())
    require_whole(workload.finish())


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_the_controller_changes_hands_and_comes_back(release: Release, tmp_path: Path, kafka_class_path: str) -> None:
    assert kafka_class_path
    with cluster_of(release, tmp_path) as (cluster, workload):
        from_pykraft_to_kafka(cluster)
        use_under_kafka(cluster, workload)
        from_kafka_to_pykraft(cluster, workload)
        begin_with_a_snapshot(cluster)
        finish(cluster, workload)


@pytest.mark.parametrize("release", DYNAMIC_QUORUMS, ids=lambda release: release.version)
def test_a_quorum_whose_voters_are_in_the_log_changes_hands(
    release: Release, tmp_path: Path, kafka_class_path: str
) -> None:
    assert kafka_class_path
    with cluster_of(release, tmp_path, dynamic_quorum=True) as (cluster, workload):
        voters = cluster.voters_of_snapshot()
        from_pykraft_to_kafka(cluster)
        use_under_kafka(cluster, workload)
        assert cluster.voters_of_snapshot() == voters
        from_kafka_to_pykraft(cluster, workload)
        assert cluster.voters_of_snapshot() == voters
        begin_with_a_snapshot(cluster)
        finish(cluster, workload)


def test_a_controller_of_3_4_takes_over_until_a_kraft_broker_has_replicas(
    tmp_path: Path, kafka_class_path: str
) -> None:
    """What 3.4's own controller cannot do after a restart of its own either, pykraft does after it.

    3.4 begins dual writes, at every start, only when all brokers with replicas are in ZooKeeper mode; and what
    changed before it does, it never writes.
    """
    assert kafka_class_path
    with cluster_of(RELEASE_3_4, tmp_path, (ZK_BROKER_ID,)) as (cluster, workload):
        from_pykraft_to_kafka(cluster)
        until_kafka_3_4_writes(cluster)
        use_under_kafka(cluster, workload)

        assert cluster.controller is not None
        cluster.controller.stop()
        since = len(cluster.controller_log())
        cluster.controller.start()
        waits = f"Still waiting for ZK brokers [{KRAFT_BROKER_ID}] to register with KRaft."
        until(lambda: cluster.controller_log().count(waits, since) >= 3, "Kafka's controller waits")
        cluster.create("under-kafka-that-waits")
        workload.wait_flowing()
        assert "/brokers/topics/under-kafka-that-waits" not in read_tree(cluster.zookeeper_address)
        assert "Successfully registered KRaft controller" not in cluster.controller_log()[since:]

        from_kafka_to_pykraft(cluster, workload)
        assert "under-kafka-that-waits" in cluster.created
        begin_with_a_snapshot(cluster)
        finish(cluster, workload)


def test_what_a_controller_of_3_4_copied_from_zookeeper_is_whole_under_pykraft(
    tmp_path: Path, kafka_class_path: str
) -> None:
    """It copies quotas under names that nothing reads, and as the next producer ids those that a broker holds.

    Both are put right, where dual writes would delete the one and brokers be given the other again.
    """
    assert kafka_class_path
    jars.ensure(RELEASE_3_4.version)
    with Lab(tmp_path, RELEASE_3_4.version) as lab:
        cluster = Cluster(lab, RELEASE_3_4)
        cluster.zookeeper = lab.zookeeper()
        broker = lab.zk_broker(
            ZK_BROKER_ID,
            cluster.zookeeper_address,
            controllers=cluster.voters,
            extra=RELEASE_3_4.zk_broker_settings,
        )
        with AdminShell(tmp_path, broker.address, config={"metadata.max.age.ms": "1000"}) as shell:
            cluster.shell = shell
            cluster.create(TOPIC, (ZK_BROKER_ID,))
            quotas = [
                {"entity": {"user": "a@b", "client-id": None}, "set": {"producer_byte_rate": 1000}},
                {"entity": {"client-id": "c d"}, "set": {"request_percentage": 12.5}},
            ]
            shell.call("alter_quotas", entries=quotas)
            hold_producer_ids(cluster.zookeeper_address, 4_000, 4_999)
            before = facts_of_tree(read_tree(cluster.zookeeper_address))
            cluster.cluster_id = read_tree(cluster.zookeeper_address, "/cluster/id")["/cluster/id"].json()["id"]
            lab.kraft_controller(
                CONTROLLER_ID,
                cluster.cluster_id,
                voters=cluster.voters,
                zookeeper=cluster.zookeeper_address,
                release=RELEASE_3_4.metadata_version,
                extra={**SETTINGS, "listeners": f"CONTROLLER://{HOST}:{cluster.controller_port}"},
                wait=False,
            )
            until(lambda: "Completed migration of metadata" in cluster.controller_log(), "Kafka's controller copies")
            cluster.start_pykraft()
            cluster.check()
            after = facts_of_tree(read_tree(cluster.zookeeper_address))
            assert {path: after.get(path) for path in before if path.startswith("quota")} == {
                path: value for path, value in before.items() if path.startswith("quota")
            }
            assert sum(path.startswith("quota") for path in before) == 2
            assert cluster.image().facts["producer_ids/next"] == 5_000


def hold_producer_ids(connect: str, first: int, last: int) -> None:
    """Write what a broker does that takes a block of them."""
    block = {"version": 1, "broker": ZK_BROKER_ID, "block_start": str(first), "block_end": str(last)}
    client = zookeeper_client(connect)
    client.start()
    try:
        client.set("/latest_producer_id_block", json.dumps(block).encode())
    finally:
        client.stop()
        client.close()


def until_kafka_3_4_writes(cluster: Cluster) -> None:
    """Change a config until the change arrives in ZooKeeper: what comes before 3.4 is in dual-write mode never does."""
    assert cluster.shell is not None
    call, znode = cluster.shell.call, f"/config/topics/{TOPIC}"
    tried: set[str] = set()

    def arrives() -> bool:
        value = str(3_600_000 + len(tried))
        tried.add(value)
        call("alter_configs", resources=[{"type": "TOPIC", "name": TOPIC, "set": {"retention.ms": value}}])
        config: dict[str, str] = read_tree(cluster.zookeeper_address, znode)[znode].json()["config"]
        return config.get("retention.ms") in tried

    until(arrives, "Kafka's controller writes to ZooKeeper")
