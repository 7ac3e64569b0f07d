"""A real broker on pykraft from metadata.version 3.4-IV0 to 4.1-IV1, level by level, and from 3.9.1 to 4.1.2.

Messages flow all the way; every record of the log has the version that its level of metadata.version gives it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import pykraft.testing
from pykraft.image.metadata_version import FEATURE_NAME, MetadataVersion
from pykraft.lab import jars, tools
from pykraft.lab.admin import AdminShell
from pykraft.lab.clients import Workload, require_whole
from pykraft.lab.cluster import Lab
from pykraft.log.batch import iter_batches
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.testing.handle import Controller
from tests import waiting

V = MetadataVersion
DEADLINE_S: Final = 90.0
CONTROLLER_ID: Final = 3000
TOPIC: Final = "orders"
FEATURE_TOOL: Final = "org.apache.kafka.tools.FeatureCommand"
FAULT: Final = "metadata loading fault"
LAST_LEVELS: Final = {
    "metadata.version": 27,
    "eligible.leader.replicas.version": 1,
    "group.version": 1,
    "transaction.version": 2,
}

until = partial(waiting.until, deadline_s=DEADLINE_S)


def climb(c: Controller, shell: AdminShell, levels: range) -> None:
    """One level of metadata.version after the other, with a new topic on each."""
    for level in levels:
        shell.call("update_features", features={FEATURE_NAME: level})
        assert c.read(lambda image: int(image.metadata_version)) == level
        shell.call("create_topics", topics=[{"name": f"level-{level}", "partitions": 1, "replication_factor": 1}])
        until(partial(tells, shell, level), "the broker's level")


def tells(shell: AdminShell, level: int) -> bool:
    """Whether the broker has heard of a level."""
    return bool(shell.call("describe_features")["finalized"].get(FEATURE_NAME) == level)


def written(data: Path) -> list[ApiMessageAndVersion]:
    log = data / "__cluster_metadata-0" / "00000000000000000000.log"
    return [
        decode_record(value)
        for batch in iter_batches(log.read_bytes())
        if not batch.header.is_control
        for value in batch.values
    ]


def record_versions(records: list[ApiMessageAndVersion]) -> dict[str, set[tuple[int, int]]]:
    """The (level of metadata.version, record version) pairs of the records whose version goes by the level."""
    found: dict[str, set[tuple[int, int]]] = {"RegisterBrokerRecord": set(), "PartitionRecord": set()}
    level = 0
    for message, version in records:
        if isinstance(message, FeatureLevelRecord) and message.name == FEATURE_NAME:
            level = message.feature_level
        elif type(message).__name__ in found:
            found[type(message).__name__].add((level, version))
    return found


def test_a_cluster_goes_up_all_levels(tmp_path: Path, kafka_class_path: str) -> None:
    jars.ensure("4.1.2")
    options: dict[str, Any] = {
        "node_id": CONTROLLER_ID,
        "data_directory": tmp_path / "controller",
        "inter_broker_protocol_version": "3.4-IV0",
    }
    with Lab(tmp_path / "lab") as lab:
        with pykraft.testing.controller(release="3.9", **options) as c:
            voters = f"{CONTROLLER_ID}@{c.address}"
            broker = lab.kraft_broker(1, c.cluster_id, voters, version="3.9.1")
            c.wait_event("broker_unfenced", broker_id=1, timeout_s=DEADLINE_S)
            with AdminShell(tmp_path, broker.address) as shell:
                shell.call("create_topics", topics=[{"name": TOPIC, "partitions": 2, "replication_factor": 1}])
                workload = Workload(tmp_path, broker.address, TOPIC, 2, rate=50)
                lab.own(workload.process)
                workload.start()
                climb(c, shell, range(V.IBP_3_5_IV0, V.IBP_3_9_IV0 + 1))
                until(lambda: bool(c.read(lambda image: image.brokers[1].directories)), "the broker's log directory")
            _, _, port = c.address.rpartition(":")
        options["inter_broker_protocol_version"] = "3.9-IV0"
        with pykraft.testing.controller(release="4.1", **options, port=int(port)) as c:
            broker = lab.kraft_broker(1, c.cluster_id, voters, version="4.1.2")
            c.wait_event("broker_unfenced", broker_id=1, timeout_s=DEADLINE_S)
            with AdminShell(tmp_path, broker.address, name="later") as shell:
                climb(c, shell, range(V.IBP_4_0_IV0, V.IBP_4_1_IV0 + 1))
                arguments = [part for name, level in LAST_LEVELS.items() for part in ("--feature", f"{name}={level}")]
                tools.run(FEATURE_TOOL, "--bootstrap-server", broker.address, "upgrade", *arguments, version="4.1.2")
                assert c.read(lambda image: dict(image.features)) == LAST_LEVELS
                climb(c, shell, range(V.IBP_4_1_IV1, V.IBP_4_1_IV1 + 1))
                workload.wait_flowing()
                require_whole(workload.finish())
    assert FAULT not in broker.process.log.read_text()
    for name, pairs in record_versions(written(tmp_path / "controller")).items():
        for level, version in pairs:
            version_of = V(level).partition_record_version
            expected = V(level).register_broker_record_version if name == "RegisterBrokerRecord" else version_of
            assert version == expected, (name, level)
        assert {version for _, version in pairs} >= ({0, 1, 2} if name == "PartitionRecord" else {2, 3})
