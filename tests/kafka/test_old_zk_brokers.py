"""Brokers in ZooKeeper mode from before 3.6.2 keep their ISRs whole under pykraft: through restarts, moves, deletions.

They ignore a LeaderAndIsr of a leader epoch that they have already (KAFKA-16121), and before 3.6.1 a FULL one does not
tell them what was deleted while they were away (KAFKA-15605).
"""

from __future__ import annotations

from pathlib import Path

import pykraft.testing
from pykraft.lab import jars
from pykraft.lab.admin import AdminShell
from pykraft.lab.clients import Workload, require_whole
from pykraft.lab.cluster import HOST, Lab, free_port
from tests.kafka.own_process import CONTROLLER_ID, DEADLINE_S, TOPIC, partitions, until

VERSION = "3.4.1"
PARTITIONS = 4
BROKERS = (0, 1, 2)
NO_AUTHORIZER = {"authorizer.class.name": None}
"""3.4 does not migrate with one."""


def test_c41_c48_isrs_are_restored_after_a_restart_a_move_and_a_missed_deletion(
    tmp_path: Path, kafka_class_path: str
) -> None:
    jars.ensure(VERSION)
    folder = tmp_path / "lab"
    with Lab(folder, VERSION) as lab:
        zookeeper = lab.zookeeper()
        port = free_port()
        voters = f"{CONTROLLER_ID}@{HOST}:{port}"
        brokers = [
            lab.zk_broker(each, zookeeper.address, controllers=voters, extra=NO_AUTHORIZER, wait=False)
            for each in BROKERS
        ]
        for broker in brokers:
            broker.process.wait_port(broker.port, DEADLINE_S)
        with pykraft.testing.controller(
            release="3.4-IV0", node_id=CONTROLLER_ID, zookeeper=zookeeper.address, port=port
        ) as c:
            c.wait_event("migration_state", state="DUAL_WRITE", timeout_s=DEADLINE_S)
            for each in BROKERS:
                c.wait_event("broker_unfenced", broker_id=each, timeout_s=DEADLINE_S)
            bootstrap = ",".join(broker.address for broker in brokers)
            with AdminShell(folder, bootstrap, config={"metadata.max.age.ms": "1000"}) as shell:
                shell.call("create_topics", topics=[{"name": TOPIC, "assignment": [[0, 1], [1, 0], [0, 1], [1, 0]]}])
                workload = Workload(folder, bootstrap, TOPIC, PARTITIONS)
                lab.own(workload.process)
                workload.start()
                for broker in (brokers[1], brokers[0]):
                    broker.stop()
                    until(lambda: all(len(each.isr) == 1 for each in partitions(c).values()), "ISRs without the broker")
                    broker.start()
                    until(
                        lambda: all(set(each.isr) == {0, 1} for each in partitions(c).values()), "the ISRs whole again"
                    )
                workload.wait_flowing()
                moves = [{"topic": TOPIC, "partition": number, "replicas": [2, 1]} for number in range(PARTITIONS)]
                shell.call("reassign", partitions=moves)
                until(
                    lambda: all(
                        (each.replicas, set(each.isr), each.is_reassigning) == ((2, 1), {1, 2}, False)
                        for each in partitions(c).values()
                    ),
                    "the move",
                )
                workload.wait_flowing()
                require_whole(workload.finish())
                brokers[2].stop()
                shell.call("delete_topics", names=[TOPIC])
                shell.call("create_topics", topics=[{"name": TOPIC, "assignment": [[1, 2]] * PARTITIONS}])
                until(lambda: len(partitions(c)) == PARTITIONS, "the topic made again")
                brokers[2].start()
                until(
                    lambda: all(set(each.isr) == {1, 2} for each in partitions(c).values()),
                    "the ISRs of the topic made again under the name of one whose deletion broker 2 missed",
                )
