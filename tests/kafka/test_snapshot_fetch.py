"""A real broker whose place in the metadata log is gone, behind snapshots and retention, goes on with a snapshot."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

import pykraft.testing
from pykraft.lab.admin import AdminShell
from pykraft.lab.clients import Workload, require_whole
from pykraft.lab.cluster import Lab
from pykraft.protocol.messages import incremental_alter_configs_request as configs
from pykraft.replay.recorded import RecordedLog
from pykraft.server import snapshots
from tests.kafka.admin_sides import Connection
from tests.kafka.own_process import CONTROLLER_ID, DEADLINE_S, LEVELS, TOPIC, partitions, start_broker, until

PARTITIONS = 2
TOPIC_RESOURCE = 2


def first_segment(directory: Path) -> int:
    """The offset with which the segments begin."""
    return min(int(path.stem) for path in directory.glob("__cluster_metadata-0/*.log"))


def first_snapshot(directory: Path) -> int:
    """The offset of the oldest snapshot, which the log begins at once anything was removed; 0 without any."""
    return min((int(path.name[:20]) for path in directory.glob("__cluster_metadata-0/*.checkpoint")), default=0)


@pytest.mark.parametrize("version", ["3.9.1", "3.4.1"])
def test_a_broker_that_was_away_too_long(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka_class_path: str
) -> None:
    monkeypatch.setattr(snapshots, "CLEAN_INTERVAL_MS", 200)
    folder, data = tmp_path / "lab", tmp_path / "controller"
    with Lab(folder) as lab, pykraft.testing.controller(
        release=LEVELS[version].text, node_id=CONTROLLER_ID, data_directory=data, broker_session_timeout_ms=3_000,
        metadata_log_max_record_bytes_between_snapshots=2_000, metadata_max_idle_interval_ms=50,
        metadata_max_retention_bytes=1,
    ) as c:  # fmt: skip
        broker = start_broker(lab, c, version, {})
        with AdminShell(folder, broker.address, config={"metadata.max.age.ms": "1000"}) as shell:
            shell.call("create_topics", topics=[{"name": TOPIC, "partitions": PARTITIONS, "replication_factor": 1}])
            workload = Workload(folder, broker.address, TOPIC, PARTITIONS)
            lab.own(workload.process)
            workload.start()
            broker.stop()
            *_, (_, _, last) = RecordedLog.at(broker.folder / "data").batches()
            next_offset = last.header.next_offset
            assert next_offset > 0
            with closing(Connection(int(c.address.rpartition(":")[2]))) as connection:
                change = configs.AlterableConfig(name="retention.ms", config_operation=0, value="123456")
                resource = configs.AlterConfigsResource(
                    resource_type=TOPIC_RESOURCE, resource_name=TOPIC, configs=[change]
                )
                connection.ask(configs.IncrementalAlterConfigsRequestData(resources=[resource]), 1)
            until(lambda: first_snapshot(data) > next_offset, "the broker's place in the log is gone")

            broker.start()
            c.wait_event("broker_unfenced", broker_id=1, timeout_s=DEADLINE_S)
            until(
                lambda: first_segment(broker.folder / "data") > next_offset, "the broker's log begins with a snapshot"
            )
            until(lambda: {each.leader for each in partitions(c).values()} == {1}, "the broker leads again")
            topic = {"type": "topic", "name": TOPIC}
            until(
                lambda: shell.call("describe_configs", resources=[topic])[0]["configs"] == {"retention.ms": "123456"},
                "what was changed while it was away",
            )
            shell.call("create_topics", topics=[{"name": "after", "partitions": 1, "replication_factor": 1}])
            workload.wait_flowing()
            require_whole(workload.finish())
