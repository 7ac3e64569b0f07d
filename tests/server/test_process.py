"""The command as a process: killed, ended, started again; started where it cannot run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

import pykraft.testing
from pykraft.cli.main import main
from pykraft.log.metadata_log import MetadataLog
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.server.node import Node
from pykraft.server.storage import replay
from tests.server.client import Client, connected, fetch, registration
from tests.server.process import ControllerProcess

LISTEN = ("--listen", "127.0.0.1:0")


def as_node(process: ControllerProcess) -> Node:
    """What the client's helpers want of a node."""
    return cast("Node", SimpleNamespace(cluster_id=process.cluster_id))


async def create_until_gone(process: ControllerProcess, prefix: str, acknowledged: list[str], kill_at: int) -> None:
    """Create topics one after the other until the controller is gone; kill it when `kill_at` are acknowledged."""
    number = 0
    try:
        async with connected(process.address) as client:
            while True:
                name = f"{prefix}-{number}"
                topic = CreatableTopic(name=name, num_partitions=1, replication_factor=1)
                response = await client.ask(CreateTopicsRequestData(topics=[topic], timeout_ms=10_000))
                assert response.topics[0].error_code == 0
                acknowledged.append(name)
                if len(acknowledged) == kill_at:
                    process.kill()
                number += 1
    except (EOFError, trio.BrokenResourceError):
        return


async def register_and_unfence(process: ControllerProcess, client: Client) -> None:
    response = await client.ask(registration(as_node(process)))
    assert response.error_code == 0
    beat = BrokerHeartbeatRequestData(broker_id=1, broker_epoch=response.broker_epoch, current_metadata_offset=2**40)
    assert not (await client.ask(beat)).is_fenced


async def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for life, more in enumerate((1, 30)):
        goal = len(acknowledged) + more
        with ControllerProcess(tmp_path, *LISTEN) as process:
            await process.ready()
            async with connected(process.address) as client:
                await register_and_unfence(process, client)
            async with trio.open_nursery() as nursery:
                for writer in range(3):
                    nursery.start_soon(create_until_gone, process, f"topic-{life}-{writer}", acknowledged, goal)
        assert len(acknowledged) >= goal
    with ControllerProcess(tmp_path, *LISTEN) as process:
        ready = await process.ready()
        async with connected(process.address) as client:
            node = as_node(process)
            partition = (await client.ask(fetch(node, 0, epoch=3))).responses[0].partitions[0]
            assert partition.current_leader.leader_epoch == 3
            assert ready["cluster_id"] == process.cluster_id
        process.terminate()
        assert await process.ended() == 0
    with MetadataLog.open(tmp_path / "data") as log:
        image = replay(log)
    assert set(acknowledged) <= set(image.topics_by_name)


async def test_sigterm_ends_it_in_order_and_answers_what_waits(tmp_path: Path) -> None:
    with ControllerProcess(tmp_path, *LISTEN, "--override", "metadata.max.idle.interval.ms=0") as process:
        await process.ready()
        async with connected(process.address) as client:
            node = as_node(process)
            end = (await client.ask(fetch(node, 0))).responses[0].partitions[0].high_watermark

            async def wait() -> None:
                try:
                    await client.ask(fetch(node, end, max_wait_ms=60_000))
                except EOFError:
                    return

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await trio.sleep(0.05)
                process.terminate()
        assert await process.ended() == 0
        assert "SIGTERM: shutting down" in process.log
        assert "Traceback" not in process.log


def refused(caplog: pytest.LogCaptureFixture, directory: Path, *arguments: str) -> str:
    """Run the command here, where it has to end with 2 and one line; that line."""
    caplog.clear()
    assert main(["controller", "--data", str(directory), *arguments]) == 2
    (record,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert not record.exc_info
    return record.getMessage()


def test_a_port_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        assert f"cannot listen on {address}" in refused(caplog, tmp_path, "--listen", address)


def test_a_data_directory_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pykraft.testing.controller(data_directory=tmp_path):
        assert "is locked by" in refused(caplog, tmp_path, *LISTEN)


def test_a_data_directory_of_another(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pykraft.testing.controller(data_directory=tmp_path):
        pass
    assert "belongs to node 1, this is node 2" in refused(caplog, tmp_path, *LISTEN, "--node-id", "2")
    other = refused(caplog, tmp_path, *LISTEN, "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA")
    assert "give the node another directory or the right cluster id" in other


def test_a_damaged_log_is_not_started_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pykraft.testing.controller(data_directory=tmp_path):
        pass
    (segment,) = (tmp_path / "__cluster_metadata-0").glob("*.log")
    data = bytearray(segment.read_bytes())
    data[30] ^= 0xFF
    segment.write_bytes(data)
    assert f"{segment} is corrupt at byte 0" in refused(caplog, tmp_path, *LISTEN)
    assert segment.read_bytes() == data


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--override", "node.id=x"], "node.id=x"),
        (["--release", "2.8"], "2.8"),
        (["--override", "zookeeper.metadata.migration.enable=true"], "zookeeper.connect"),
        (["missing.properties"], "missing.properties"),
        (["--override", "process.roles=broker,controller"], "run brokers by themselves"),
        (["--override", "controller.quorum.voters=1@a:1,2@b:2"], "only voter"),
        (["--override", "listener.security.protocol.map=CONTROLLER:SSL"], "PLAINTEXT only"),
        (["--override", "listeners=PLAINTEXT://:9092"], "has no CONTROLLER"),
        (["--override", "advertised.listeners=CONTROLLER://here"], "HOST:PORT"),
    ],
)
def test_configuration_that_cannot_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], reason: str
) -> None:
    assert reason in refused(caplog, tmp_path, *LISTEN, *arguments)


@pytest.mark.parametrize("arguments", [["--listen", "here"], ["--override", "k"], ["--node-id", "x"], ["--no-such"]])
def test_wrong_use(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["controller", *arguments])
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_a_properties_file(tmp_path: Path) -> None:
    properties = tmp_path / "server.properties"
    properties.write_text(
        f"process.roles=controller\nnode.id=42\nlisteners=CONTROLLER://127.0.0.1:0\nlog.dirs={tmp_path}/kafka\n"
        "controller.listener.names=CONTROLLER\nnum.partitions=4\nadvertised.listeners=CONTROLLER://kafka-1:19093\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "pykraft", "controller", str(properties)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        ready: dict[str, Any] = json.loads(process.stdout.readline())
        process.terminate()
    assert (ready["event"], ready["node_id"], ready["listener"]) == ("ready", 42, "kafka-1:19093")
    assert (tmp_path / "kafka" / "meta.properties").exists()
