"""What is read off a running controller: log lines of Kafka's, events of pykraft's, the end of the metadata log."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pykraft.lab.cluster import Node, PykraftNode
from pykraft.lab.process import EventProcess, Process
from pykraft.lab.watch import LogEnd, Status, Watch
from pykraft.log.batch import encode_batch
from pykraft.protocol.record_frame import encode_record
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.topic_record import TopicRecord

NO_OP = encode_record(NoOpRecord(), 0)
CHANGE = encode_record(TopicRecord(name="orders"), 0)

KAFKA_LOG = """\
[2026-01-01 09:57:27,434] INFO [KRaftMigrationDriver id=3000] 3000 transitioning from INACTIVE to \
WAIT_FOR_CONTROLLER_QUORUM state (org.apache.kafka.metadata.migration.KRaftMigrationDriver)
[2026-01-01 09:57:30,150] INFO [QuorumController id=3000] Replayed initial RegisterBrokerRecord for broker 0: \
RegisterBrokerRecord(brokerId=0, isMigratingZkBroker=true, incarnationId=1SiPTyXzQcCjJ28pMo3fqg, brokerEpoch=11) (x)
[2026-01-01 09:57:56,243] INFO [KRaftMigrationDriver id=3000] Completed migration of metadata from ZooKeeper to KRaft. \
41 records were generated in 275 ms across 1 batches. (x)
"""

PYKRAFT_EVENTS = [
    {"event": "ready", "node_id": 3000, "cluster_id": "x", "listener": "127.0.0.1:1"},
    {"event": "migration_state", "previous": "INACTIVE", "state": "WAIT_FOR_CONTROLLER_QUORUM"},
    {"event": "broker_registered", "broker_id": 0, "is_migrating_zk_broker": True, "epoch": 5},
    {"event": "broker_registered", "broker_id": 9, "is_migrating_zk_broker": False, "epoch": 6},
    {"event": "migration_copied", "records": 41, "duration_ms": 275},
]


def look(node: Node) -> tuple[Status, list[str]]:
    notes: list[str] = []
    watch = Watch(node, "127.0.0.1:1", None, lambda _: None, notes.append)
    watch.look()
    watch.look()
    assert [state for state, _ in watch.states] == ["WAIT_FOR_CONTROLLER_QUORUM"]
    return watch.status, notes


def assert_same(status: Status, notes: list[str]) -> None:
    assert status.state == "WAIT_FOR_CONTROLLER_QUORUM"
    assert status.registered == {0}
    assert (status.copied_records, status.copy_ms) == (41, 275)
    assert notes == [
        "migration driver: INACTIVE → WAIT_FOR_CONTROLLER_QUORUM",
        "broker 0 has registered with the controller",
        "41 records copied from ZooKeeper in 275 ms",
    ]


def test_the_log_of_kafkas_controller_is_read(tmp_path: Path) -> None:
    process = Process("controller", ["true"], tmp_path)
    process.log.write_text(KAFKA_LOG)
    assert_same(*look(Node(process, 1, tmp_path)))


def test_the_events_of_pykraft_are_read(tmp_path: Path) -> None:
    code = f"for event in {PYKRAFT_EVENTS!r}:\n import json; print(json.dumps(event))"
    process = EventProcess("controller", [sys.executable, "-I", "-c", code], tmp_path).start()
    process.wait_exit()
    assert process.events == [json.loads(json.dumps(event)) for event in PYKRAFT_EVENTS]
    assert_same(*look(PykraftNode(process, 1, tmp_path)))


def test_the_end_of_the_log_follows_whole_batches_and_segments(tmp_path: Path) -> None:
    folder = tmp_path / "__cluster_metadata-0"
    folder.mkdir()
    end = LogEnd(tmp_path)
    end.update()
    assert (end.offset, end.last_change) == (-1, -1)
    first = encode_batch([CHANGE] * 3, base_offset=0, leader_epoch=1, timestamp_ms=5)
    second = encode_batch([NO_OP] * 2, base_offset=3, leader_epoch=1, timestamp_ms=6)
    segment = folder / "00000000000000000000.log"
    segment.write_bytes(first + second[:-1])
    end.update()
    assert (end.offset, end.last_change) == (2, 2)
    segment.write_bytes(first + second)
    end.update()
    assert (end.offset, end.last_change) == (4, 4)
    (folder / "00000000000000000005.log").write_bytes(
        encode_batch([NO_OP], base_offset=5, leader_epoch=1, timestamp_ms=7)
    )
    end.update()
    assert (end.offset, end.last_change) == (5, 4)


def test_the_lag_counts_from_the_first_dual_write() -> None:
    assert Status(written_offset=-1, last_change_offset=9).lag is None
    assert Status(written_offset=7, last_change_offset=9).lag == 2
    assert Status(written_offset=9, last_change_offset=8).lag == 0
