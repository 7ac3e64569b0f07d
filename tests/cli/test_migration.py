"""`pykraft migration` and `pykraft zk` on live controllers and a ZooKeeper in memory."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

import pykraft.testing
from pykraft.cli import cluster_common, migration, zk
from pykraft.cli.main import main
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ZkMigrationState
from pykraft.image.snapshot import snapshot_records
from pykraft.log.batch import encode_batch
from pykraft.log.checkpoint import CheckpointWriter
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.meta_properties import MetaProperties, write_meta_properties
from pykraft.log.metadata_log import DIRECTORY_NAME, MetadataLog
from pykraft.migration.states import ZkMigrationLeadershipState
from pykraft.migration.status import StatusFacts, ZooKeeperFacts, metrics
from pykraft.protocol.record_frame import encode_record
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.register_broker_record import BrokerEndpoint, RegisterBrokerRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.unregister_broker_record import UnregisterBrokerRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from pykraft.replay.image_json import image_to_json
from pykraft.replay.recorded import RecordedLog
from pykraft.testing.fake_zookeeper import FakeZooKeeper, FakeZooKeeperPort
from pykraft.testing.handle import ControllerError
from pykraft.zookeeper.port import ANY_VERSION, SetData
from tests.migration.house import load, make
from tests.zookeeper.fixture_trees import tree

NODE_ID = 3000
CLUSTER_ID = "X-9PC9aZTaKjyjLnbX3gmA"
NOWHERE = "127.0.0.1:1"
TOPIC_ID = bytes(15) + b"\x07"
COPIED = (
    (FeatureLevelRecord(name="metadata.version", feature_level=21), 0),
    (ZkMigrationStateRecord(zk_migration_state=ZkMigrationState.MIGRATION), 0),
    (TopicRecord(name="orders", topic_id=TOPIC_ID), 0),
    (PartitionRecord(
        partition_id=0, topic_id=TOPIC_ID, replicas=[1], isr=[1], leader=1, leader_epoch=0, partition_epoch=0
    ), 0),
)  # fmt: skip


def zk_broker(broker: int) -> tuple[Any, int]:
    end = BrokerEndpoint(name="PLAINTEXT", host="h", port=9092, security_protocol=0)
    return RegisterBrokerRecord(
        broker_id=broker, is_migrating_zk_broker=True, broker_epoch=4, fenced=True, end_points=[end],
        incarnation_id=bytes(15) + bytes([broker]),
    ), 3  # fmt: skip


def format_directory(data: Path) -> None:
    data.mkdir()
    write_meta_properties(data, MetaProperties(CLUSTER_ID, NODE_ID, bytes(15) + b"\x09"))


def append(data: Path, *records: tuple[Any, int]) -> Path:
    """Append records to the log of a stopped controller, made when it is not there."""
    if not data.exists():
        format_directory(data)
    log = MetadataLog.open(data)
    values = [encode_record(message, version) for message, version in records]
    log.append([encode_batch(values, base_offset=log.end_offset, leader_epoch=max(1, log.last_epoch), timestamp_ms=1)])
    log.close()
    return data


def migrated(data: Path, zookeeper: str | None = NOWHERE) -> Any:
    """A live controller on a directory whose migration cannot go on: its ZooKeeper is away."""
    return pykraft.testing.controller(
        node_id=NODE_ID, data_directory=data, zookeeper=zookeeper, metadata_max_idle_interval_ms=50
    )


@pytest.fixture
def zookeeper(monkeypatch: pytest.MonkeyPatch) -> FakeZooKeeper:
    """What the commands find at every --zookeeper."""
    server = FakeZooKeeper()

    @asynccontextmanager
    async def fake(connect: str) -> AsyncIterator[FakeZooKeeperPort]:
        port = server.connect()
        yield port
        port.close()

    for module in (cluster_common, migration, zk):
        monkeypatch.setattr(module, "zookeeper", fake)
    return server


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `pykraft …`: exit code, stdout and stderr in one."""

    def run(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        code = main([*arguments])
        printed = capfd.readouterr()
        return code, printed.out + printed.err

    return run


def migration_znode(offset: int, epoch: int = 1) -> str:
    return json.dumps({
        "version": 0, "kraft_controller_id": NODE_ID, "kraft_controller_epoch": epoch, "kraft_metadata_offset": offset,
        "kraft_metadata_epoch": epoch,
    })  # fmt: skip


def controller_znode(broker: int, kraft_epoch: int) -> str:
    return json.dumps({"version": 2, "brokerid": broker, "timestamp": "1", "kraftControllerEpoch": kraft_epoch})


def stages(printed: str) -> dict[str, str]:
    return {stage["stage"]: stage["state"] for stage in json.loads(printed)["stages"]}


@pytest.mark.parametrize(("command", "action"), [
    ("migration", "preflight"), ("migration", "status"), ("migration", "wait"), ("migration", "finalize"),
    ("zk", "dump"), ("zk", "diff"),
])  # fmt: skip
def test_help(command: str, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, action, "--help"])
    assert ended.value.code == 0
    assert f"pykraft {command} {action} " in " ".join(capsys.readouterr().out.partition("example")[2].split())


# -- preflight ---------------------------------------------------------------------------------------------------


def test_preflight_names_what_is_in_the_way(run: Run, zookeeper: FakeZooKeeper, tmp_path: Path) -> None:
    load(zookeeper, tree("before"))
    assert run("migration", "preflight", "--zookeeper", "zk") == (
        0, "0 blockers, 0 warnings in zk and 0 properties files\n"
    )  # fmt: skip
    broker = tmp_path / "broker.properties"
    broker.write_text("broker.id=0\nzookeeper.connect=zk\n")
    code, printed = run("migration", "preflight", "--zookeeper", "zk", "--properties", str(broker), "--json")
    found = json.loads(printed)
    assert (code, found["ready"]) == (1, False)
    codes = [finding["code"] for finding in found["findings"] if finding["severity"] == "blocker"]
    assert codes == ["migration-flag", "quorum-voters", "controller-listener-names"]
    assert run("migration", "preflight")[0] == 2
    code, printed = run("migration", "preflight", "--properties", str(tmp_path / "no"))
    assert (code, "cannot be read" in printed) == (2, True)


# -- status, wait ------------------------------------------------------------------------------------------------


def test_the_log_is_read_from_a_live_controller_with_and_without_a_snapshot(run: Run, tmp_path: Path) -> None:
    data = append(tmp_path / "data", *COPIED, zk_broker(1))
    image = RecordedLog.at(data).image()
    for with_snapshot in (False, True):
        if with_snapshot:
            directory = data / DIRECTORY_NAME
            end = OffsetAndEpoch(image.offset + 1, image.epoch)
            writer = CheckpointWriter(directory, end, last_contained_timestamp_ms=1, timestamp_ms=1)
            writer.append([encode_record(message, version) for message, version in snapshot_records(image)])
            writer.finish()
            for segment in directory.glob("*.log"):
                segment.unlink()
        with migrated(data) as controller:
            options = argparse.Namespace(data=None, bootstrap_controller=[controller.address])
            read = image_to_json(trio.run(cluster_common.read_image, options))
            own = controller.read(image_to_json)
        for each in (read, own):
            del each["offset"]
        assert read == own


def test_status_of_every_stage(run: Run, zookeeper: FakeZooKeeper, tmp_path: Path) -> None:
    data = append(tmp_path / "data", *COPIED, zk_broker(1))
    make(zookeeper, {"/controller_epoch": "2", "/controller": controller_znode(NODE_ID, 1)})
    with migrated(data) as controller:
        status = ("migration", "status", "--bootstrap-controller", controller.address)
        code, printed = run(*status, "--json")
        assert code == 2, "how far ZooKeeper was written cannot be told"
        assert stages(printed)["dual-write"] == "unknown"

        code, printed = run(*status, "--zookeeper", "zk", "--json")
        assert (code, stages(printed)["dual-write"]) == (1, "blocked")
        make(zookeeper, {"/migration": migration_znode(2)})
        code, printed = run(*status, "--zookeeper", "zk", "--json")
        found = json.loads(printed)
        assert (code, found["verdict"]) == (0, "on track")
        assert found["dual_write_lag"] == 1, "the PartitionRecord at 3; broker registrations and NoOps do not count"
        assert found["brokers"] == {"zk": [1], "kraft": []}
        assert found["metrics"]["ZkWriteBehindLag"] == 1
        assert stages(printed) == {
            "quorum": "done", "controllers": "done", "brokers": "done", "reassignments": "done", "copy": "done",
            "dual-write": "done", "kraft-brokers": "waiting", "finalized": "waiting",
        }  # fmt: skip
        code, printed = run(*status, "--zookeeper", "zk", "--max-lag", "0")
        assert code == 1
        assert "ZooKeeper is 1 records behind" in printed
        code, printed = run(*status, "--zookeeper", "zk", "--brokers", "1,2")
        assert code == 1
        assert "broker 2 is not registered" in printed

        wait = ("migration", "wait", "--bootstrap-controller", controller.address, "--zookeeper", "zk")
        assert run(*wait, "--stage", "copy")[0] == 0
        code, printed = run(*wait, "--stage", "finalized", "--timeout", "0.3")
        assert code == 1
        assert "finalized was not done within 0.3 s" in printed
    assert run(*status, "--json")[0] == 2, "nobody answers"


@pytest.mark.parametrize(
    ("state", "value", "lag"),
    [
        (ZkMigrationState.NONE, 0, 0),
        (ZkMigrationState.MIGRATION, 1, 7),
        (ZkMigrationState.PRE_MIGRATION, 2, 0),
        (ZkMigrationState.POST_MIGRATION, 3, 0),
    ],
)
def test_c39_the_gauges_have_kafkas_names_and_numbers(state: ZkMigrationState, value: int, lag: int) -> None:
    """4 is a ZooKeeper-mode controller's: no KRaft controller reports it, and no log holds it."""
    image = MetadataImage()
    image.apply(ZkMigrationStateRecord(zk_migration_state=state), 0, 1)
    for broker_id, in_zk_mode, fenced in ((0, True, True), (1, True, False), (2, False, False)):
        broker = RegisterBrokerRecord(broker_id=broker_id, is_migrating_zk_broker=in_zk_mode, fenced=fenced)
        image.apply(broker, broker_id + 1, 1)
    facts = StatusFacts(image=image, leader_id=1, voters={}, unwritten=7)
    common = {"ZkMigrationState": value, "MigratingZkBrokerCount": 2, "ActiveBrokerCount": 2, "FencedBrokerCount": 1}
    assert metrics(facts) == {**common, "ZkWriteBehindLag": None if lag else 0}
    asked = msgspec.structs.replace(facts, zookeeper=ZooKeeperFacts(migration=ZkMigrationLeadershipState()))
    assert metrics(asked) == {**common, "ZkWriteBehindLag": lag}
    assert 4 not in list(ZkMigrationState)


def test_c16_status_tells_what_the_log_has_no_record_for(run: Run, zookeeper: FakeZooKeeper, tmp_path: Path) -> None:
    load(zookeeper, tree("before"))
    format_directory(tmp_path / "data")
    with pykraft.testing.controller(
        node_id=NODE_ID, data_directory=tmp_path / "data", zookeeper=NOWHERE, release="3.4-IV0"
    ) as controller:
        status = ("migration", "status", "--bootstrap-controller", controller.address, "--zookeeper", "zk")
        assert re.search(r"copy +BLOCKED +ZooKeeper has the SCRAM credentials of user alice, bob@", run(*status)[1])
        for user in ("alice", "bob%40EXAMPLE.COM"):
            zookeeper.tree.multi([SetData(f"/config/users/{user}", b'{"config":{}}', ANY_VERSION)], 0, ())
        assert re.search(r"copy +BLOCKED +ZooKeeper has the delegation token gIUbD9FlTd65RugLXNZXiQ", run(*status)[1])


def test_l19_status_before_the_copy(run: Run, zookeeper: FakeZooKeeper, tmp_path: Path) -> None:
    load(zookeeper, tree("before"))
    format_directory(tmp_path / "data")
    with migrated(tmp_path / "data") as controller:
        status = ("migration", "status", "--bootstrap-controller", f"{NOWHERE},{controller.address}")
        code, printed = run(*status, "--zookeeper", "zk", "--json")
        assert code == 1
        assert stages(printed) == {
            "quorum": "done", "controllers": "done", "brokers": "blocked", "reassignments": "done", "copy": "waiting",
            "dual-write": "waiting", "kraft-brokers": "waiting", "finalized": "waiting",
        }  # fmt: skip
        make(zookeeper, {"/brokers/topics/nameless": '{"version":1,"partitions":{"0":[1]}}'})
        copy = next(
            each
            for each in json.loads(run(*status, "--zookeeper", "zk", "--json")[1])["stages"]
            if each["stage"] == "copy"
        )
        assert (copy["state"], copy["detail"][:43]) == ("blocked", "topic nameless has no topic_id in ZooKeeper")
        make(zookeeper, {"/migration": migration_znode(9)})
        assert stages(run(*status, "--zookeeper", "zk", "--json")[1])["copy"] == "blocked"


def test_status_of_a_cluster_that_was_never_in_zookeeper(run: Run) -> None:
    with pykraft.testing.controller() as controller:
        code, printed = run("migration", "status", "--bootstrap-controller", controller.address)
    assert code == 1
    assert "created in KRaft mode" in printed


# -- finalize ----------------------------------------------------------------------------------------------------


def test_finalize_refuses_while_a_zookeeper_broker_is_registered(run: Run, tmp_path: Path) -> None:
    data = append(tmp_path / "data", *COPIED, zk_broker(1))
    finalize = ("migration", "finalize", "--data", str(data))
    code, printed = run(*finalize)
    assert code == 1
    assert "refused: broker 1 is still registered in ZooKeeper mode" in printed
    assert RecordedLog.at(data).image().zk_migration_state is ZkMigrationState.MIGRATION
    with migrated(data) as controller:
        code, printed = run("migration", "finalize", "--bootstrap-controller", controller.address, "--json")
        assert (code, json.loads(printed)["finalized"]) == (1, False)
    with pytest.raises(ControllerError) as refused, migrated(data, None):
        pass
    assert "broker 1 is still registered in ZooKeeper mode" in str(refused.value)
    append(data, (UnregisterBrokerRecord(broker_id=1, broker_epoch=4), 0), (NoOpRecord(), 0))
    assert run(*finalize)[0] == 0
    assert RecordedLog.at(data).image().zk_migration_state is ZkMigrationState.POST_MIGRATION
    assert run(*finalize)[0] == 0, "it is so already"


def test_finalize_can_be_forced_and_needs_the_directory_for_itself(run: Run, tmp_path: Path) -> None:
    data = append(tmp_path / "data", *COPIED, zk_broker(1))
    with migrated(data):
        code, printed = run("migration", "finalize", "--data", str(data), "--force")
        assert code == 2
        assert "in use" in printed or "lock" in printed
    code, printed = run("migration", "finalize", "--data", str(data), "--force")
    assert code == 0
    assert printed.startswith("forced past: broker 1")
    assert RecordedLog.at(data).image().zk_migration_state is ZkMigrationState.POST_MIGRATION


def test_l25_the_controller_znode_is_left_until_it_is_asked_for(
    run: Run, zookeeper: FakeZooKeeper, tmp_path: Path
) -> None:
    """While it is there no broker that is started in ZooKeeper mode by mistake becomes a controller."""
    data = append(tmp_path / "data", *COPIED)
    make(zookeeper, {"/controller": controller_znode(NODE_ID, 1)})
    finalize = ("migration", "finalize", "--data", str(data), "--zookeeper", "zk")
    assert run(*finalize)[0] == 0
    assert "/controller" in zookeeper.tree.nodes
    assert run(*finalize, "--delete-controller")[0] == 0
    assert "/controller" not in zookeeper.tree.nodes
    make(zookeeper, {"/controller": controller_znode(1, -1)})
    assert "left alone" in run(*finalize, "--delete-controller")[1]
    assert "/controller" in zookeeper.tree.nodes
    assert run("migration", "finalize", "--data", str(data), "--delete-controller")[0] == 2


# -- zk ----------------------------------------------------------------------------------------------------------


def test_dump_gives_each_znode_its_kind(run: Run, zookeeper: FakeZooKeeper) -> None:
    load(zookeeper, tree("before"))
    make(zookeeper, {"/config/topics/broken": "["})
    code, printed = run("zk", "dump", "--zookeeper", "zk")
    lines = {line["path"]: line for line in map(json.loads, printed.splitlines())}
    assert code == 0
    assert set(tree("before")) <= lines.keys()
    assert lines["/controller"]["kind"] == "Controller"
    assert lines["/brokers/topics/orders"]["value"]["partitions"].keys() >= {"0"}
    assert "error" in lines["/config/topics/broken"]
    _, printed = run("zk", "dump", "--zookeeper", "zk", "--path", "/cluster")
    assert [json.loads(line)["path"] for line in printed.splitlines()] == ["/cluster", "/cluster/id"]
    assert json.loads(run("zk", "dump", "--zookeeper", "zk", "--raw")[1]).keys() >= set(tree("before"))


def test_diff_tells_what_is_missing(run: Run, zookeeper: FakeZooKeeper, tmp_path: Path) -> None:
    data = append(tmp_path / "data", *COPIED)
    diff = ("zk", "diff", "--zookeeper", "zk", "--data", str(data), "--settle", "0")
    code, printed = run(*diff)
    assert code == 1
    assert "CreateTopic orders" in printed
    for line in run(*diff, "--json")[1].splitlines():
        operation = json.loads(line)
        make(zookeeper, {
            write["path"]: write.get("data") for write in operation["writes"]
            if write["op"] == "Create" and write["path"] not in zookeeper.tree.nodes
        })  # fmt: skip
    assert run(*diff) == (0, "")


def test_every_line_of_a_dump_is_json_of_its_own(run: Run, zookeeper: FakeZooKeeper) -> None:
    load(zookeeper, tree("after-dual-writes"))
    code, printed = run("zk", "dump", "--zookeeper", "zk")
    assert code == 0
    assert all("error" not in msgspec.json.decode(line) for line in printed.splitlines())
