"""Real KRaft brokers under pykraft: from their registration to their death, and pykraft's own death under them.

One cluster of two 3.9.1 brokers serves all tests of this module; a producer and a consumer run all the while.
"""

from __future__ import annotations

import operator
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pykraft.lab import jars, tools
from pykraft.lab.admin import AdminError, AdminShell
from pykraft.lab.clients import Workload, require_whole
from pykraft.lab.cluster import Lab, Node, PykraftNode
from pykraft.lab.errors import LabError
from tests import waiting

DEADLINE_S = 60.0
CONTROLLER_ID = 3000
TOPIC = "orders"
PARTITIONS = 4
SESSION_MS = 3_000

until = partial(waiting.until, deadline_s=DEADLINE_S)


@dataclass
class Cluster:
    lab: Lab
    controller: PykraftNode
    brokers: dict[int, Node]
    shell: AdminShell
    workload: Workload

    def topic(self, name: str = TOPIC) -> list[dict[str, Any]]:
        partitions: list[dict[str, Any]] = self.shell.call("describe_topics", names=[name])[name]["partitions"]
        return partitions

    def leaders(self) -> set[int]:
        return {partition["leader"] for partition in self.topic()}

    def has_full_isr(self) -> bool:
        return all(sorted(partition["isr"]) == sorted(partition["replicas"]) for partition in self.topic())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, kafka_class_path: str) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("brokers")
    with Lab(folder) as lab:
        controller = lab.pykraft(CONTROLLER_ID, extra={"broker.session.timeout.ms": SESSION_MS})
        voters = f"{CONTROLLER_ID}@{controller.address}"
        brokers = {
            broker_id: lab.kraft_broker(
                broker_id,
                controller.cluster_id,
                voters,
                rack=f"rack-{broker_id}",
                wait=False,
                extra={"broker.session.timeout.ms": SESSION_MS, "broker.heartbeat.interval.ms": 500},
            )
            for broker_id in (1, 2)
        }
        for broker_id in brokers:
            controller.process.wait_event(
                partial(operator.eq, {"event": "broker_unfenced", "broker_id": broker_id}),
                f"unfenced broker {broker_id}",
                DEADLINE_S,
            )
        bootstrap = ",".join(node.address for node in brokers.values())
        # Without it an admin client that knew only the broker that dies next would ask nobody else.
        with AdminShell(folder, bootstrap, config={"metadata.recovery.strategy": "rebootstrap"}) as shell:
            shell.call(
                "create_topics",
                topics=[
                    {
                        "name": TOPIC,
                        "partitions": PARTITIONS,
                        "replication_factor": 2,
                        "configs": {"min.insync.replicas": "1"},
                    },
                ],
            )
            workload = Workload(folder, bootstrap, TOPIC, PARTITIONS)
            lab.own(workload.process)
            workload.start()
            yield Cluster(lab, controller, brokers, shell, workload)


def test_brokers_and_controller_are_seen(cluster: Cluster) -> None:
    seen = cluster.shell.call("describe_cluster")
    assert seen["cluster_id"] == cluster.controller.cluster_id
    assert {node["id"]: node["rack"] for node in seen["nodes"]} == {1: "rack-1", 2: "rack-2"}
    quorum = cluster.shell.call("describe_quorum")
    assert quorum["leader"] == CONTROLLER_ID
    assert (quorum["voters"].keys(), quorum["observers"].keys()) == ({str(CONTROLLER_ID)}, {"1", "2"})
    assert cluster.shell.call("describe_features")["finalized"] == {"metadata.version": 21}


def test_every_kind_of_metadata_goes_through_the_brokers(cluster: Cluster) -> None:
    call = cluster.shell.call
    call("create_topics", topics=[{"name": "all-kinds", "partitions": 2, "replication_factor": 2}])
    call("create_partitions", name="all-kinds", count=3)
    topic = {"type": "topic", "name": "all-kinds"}
    call("alter_configs", resources=[topic | {"set": {"retention.ms": "123456"}}])
    call("alter_quotas", entries=[{"entity": {"user": "alice"}, "set": {"producer_byte_rate": 1000.0}}])
    call("alter_scram", entries=[{"user": "alice", "mechanism": "SCRAM-SHA-256", "password": "secret"}])
    acl = ["TOPIC", "all-kinds", "LITERAL", "User:alice", "*", "READ", "ALLOW"]
    call("create_acls", acls=[acl])
    until(lambda: len(call("describe_topics", names=["all-kinds"])["all-kinds"]["partitions"]) == 3, "three partitions")
    until(lambda: call("describe_configs", resources=[topic])[0]["configs"] == {"retention.ms": "123456"}, "its config")
    until(lambda: len(call("describe_quotas")) == 1, "the quota")
    until(lambda: call("describe_scram") == {"alice": {"SCRAM-SHA-256": 4096}}, "the SCRAM credential")
    until(lambda: len(call("describe_acls")) == 1, "the ACL")
    assert call("delete_acls", acls=[acl]) == 1
    call("reassign", partitions=[{"topic": "all-kinds", "partition": 0, "replicas": [2]}])
    until(lambda: not call("list_reassignments"), "the end of the reassignment")
    until(lambda: cluster.topic("all-kinds")[0]["replicas"] == [2], "the replica that is left")
    call("create_topics", topics=[{"name": "shell", "assignment": [[2]]}])
    call("delete_topics", names=["all-kinds"])
    until(lambda: "all-kinds" not in call("list_topics"), "the deletion")
    with pytest.raises(AdminError) as refused:
        call("create_topics", topics=[{"name": "a b", "partitions": 1, "replication_factor": 1}])
    assert "INVALID_TOPIC" in refused.value.error


def test_kafkas_tools_talk_to_the_controller_itself(cluster: Cluster) -> None:
    direct = ("--bootstrap-controller", cluster.controller.address)
    status = cluster.shell.tool(tools.METADATA_QUORUM, *direct, "describe", "--status")
    assert f"LeaderId:               {CONTROLLER_ID}" in status
    defaults = ("--entity-type", "brokers", "--entity-default")
    cluster.shell.tool(tools.CONFIGS, *direct, "--alter", *defaults, "--add-config", "log.retention.ms=1000000")
    assert "log.retention.ms=1000000" in cluster.shell.tool(tools.CONFIGS, *direct, "--describe", *defaults)


def test_controlled_shutdown_hands_leaders_over_and_a_restart_brings_the_isr_back(cluster: Cluster) -> None:
    broker = cluster.brokers[1]
    since = len(cluster.controller.process.events)
    broker.stop()
    fenced = [e for e in cluster.controller.process.events[since:] if e["event"] == "broker_fenced"]
    assert fenced == [{"event": "broker_fenced", "broker_id": 1}]
    until(lambda: cluster.leaders() == {2}, "broker 2 to lead everything")
    broker.start()
    until(cluster.has_full_isr, "the ISR to be whole")
    cluster.workload.wait_flowing()


def test_a_killed_broker_loses_its_leaders_within_the_session_timeout(cluster: Cluster) -> None:
    cluster.shell.call("elect_leaders", type="preferred")
    until(lambda: cluster.leaders() == {1, 2}, "both to lead")
    since = len(cluster.controller.process.events)
    killed_s = time.monotonic()
    cluster.brokers[2].kill()
    cluster.controller.process.wait_event(
        lambda event: event == {"event": "broker_fenced", "broker_id": 2}, "fenced broker 2", DEADLINE_S, since=since
    )
    assert time.monotonic() - killed_s < SESSION_MS / 1000 + 2
    until(lambda: cluster.leaders() == {1}, "broker 1 to lead everything")
    cluster.brokers[2].start()
    until(cluster.has_full_isr, "the ISR to be whole")
    cluster.workload.wait_flowing()


def test_the_controller_killed_and_started_again(cluster: Cluster) -> None:
    call = cluster.shell.call
    names = [f"before-{number}" for number in range(5)]
    for name in names:
        call("create_topics", topics=[{"name": name, "partitions": 1, "replication_factor": 2}])
    cluster.controller.kill()
    cluster.workload.wait_flowing()
    cluster.controller.start()
    call("create_topics", topics=[{"name": "after", "partitions": 1, "replication_factor": 2}])
    until(lambda: {*names, "after"} <= set(call("list_topics")), "all topics")
    assert all(node.process.running for node in cluster.brokers.values())
    until(lambda: call("describe_quorum")["leader_epoch"] == 2, "the new epoch")
    cluster.workload.wait_flowing()


def test_kafkas_own_tool_reads_the_log(cluster: Cluster) -> None:
    (segment,) = cluster.controller.folder.glob("data/__cluster_metadata-0/*.log")
    text = tools.run(tools.DUMP_LOG, "--cluster-metadata-decoder", "--files", str(segment))
    for record in (
        "FEATURE_LEVEL_RECORD",
        "REGISTER_BROKER_RECORD",
        "TOPIC_RECORD",
        "PARTITION_RECORD",
        "USER_SCRAM_CREDENTIAL_RECORD",
        "NO_OP_RECORD",
        "REGISTER_CONTROLLER_RECORD",
    ):
        assert record in text
    assert "isvalid: false" not in text


def test_kafkas_storage_tool_and_shell_know_the_directory(cluster: Cluster, tmp_path: Path) -> None:
    data = cluster.controller.folder / "data"
    properties = cluster.controller.folder / "controller.properties"
    properties.write_text(
        f"process.roles=controller\nnode.id={CONTROLLER_ID}\ncontroller.listener.names=CONTROLLER\nlog.dirs={data}\n"
        f"listeners=CONTROLLER://127.0.0.1:9\ncontroller.quorum.voters={CONTROLLER_ID}@127.0.0.1:9\n"
    )
    seen = tools.run(tools.STORAGE, "info", "--config", str(properties))
    assert f"cluster.id={cluster.controller.cluster_id}" in seen
    assert f"node.id={CONTROLLER_ID}" in seen
    assert "problem" not in seen
    own = ("format", "--config", str(properties), "--cluster-id")
    assert "already formatted" in tools.run(tools.STORAGE, *own, cluster.controller.cluster_id, "--ignore-formatted")
    with pytest.raises(LabError, match="already formatted"):
        tools.run(tools.STORAGE, *own, cluster.controller.cluster_id)
    # The shell takes a directory's lock, as the running controller has done.
    with pytest.raises(LabError, match="Unable to lock"):
        look_with_shell(data, "/image")
    shutil.copytree(data, tmp_path / "copy")
    shown = look_with_shell(tmp_path / "copy", "/image/topics/byName/shell/0", "/image/cluster/brokers/2")
    assert "replicas=[2]" in shown.replace(" ", "")
    assert "rack-2" in shown


def look_with_shell(data: Path, *paths: str) -> str:
    (segment,) = data.glob("__cluster_metadata-0/*.log")
    arguments = ("--snapshot", str(segment), "cat", *paths)
    return tools.run(tools.METADATA_SHELL, *arguments, class_path=jars.ensure_metadata_shell())


def test_tools_run_by_a_user(cluster: Cluster) -> None:
    """Each in its own JVM, as their scripts start them."""
    bootstrap = ("--bootstrap-server", cluster.brokers[1].address)
    new = ("--create", "--topic", "typed", "--partitions", "2", "--replication-factor", "2")
    assert tools.run(tools.TOPICS, *bootstrap, *new) == "Created topic typed.\n"
    with pytest.raises(LabError, match="Error while executing topic command"):
        tools.run(tools.TOPICS, *bootstrap, *new)
    typed = "".join(f"line {number}\n" for number in range(100))
    tools.run(tools.CONSOLE_PRODUCER, *bootstrap, "--topic", "typed", stdin=typed)
    seen = tools.run(
        tools.CONSOLE_CONSUMER, *bootstrap, "--topic", "typed", "--from-beginning", "--max-messages", "100",
        "--group", "typists",
    )  # fmt: skip
    assert sorted(seen.splitlines()) == sorted(typed.splitlines())
    status = tools.run(
        tools.METADATA_QUORUM, "--bootstrap-controller", cluster.controller.address, "describe", "--status"
    )
    assert f"LeaderId:               {CONTROLLER_ID}" in status


def test_at_the_end_no_message_is_lost_or_duplicated(cluster: Cluster) -> None:
    require_whole(cluster.workload.finish())
