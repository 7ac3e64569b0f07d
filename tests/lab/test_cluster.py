"""A node serves when it answers, not when its port is open."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import pytest

from pykraft.lab import cluster
from pykraft.lab.cluster import HOST, Lab, PykraftNode, ZooKeeperNode, serves_zookeeper
from pykraft.lab.errors import LabError
from pykraft.lab.process import EventProcess, Process

SERVING = b"Zookeeper version: 3.8.4\nLatency min/avg/max: 0/0.0/0\nMode: standalone\nNode count: 5\n"
NOT_SERVING = b"This ZooKeeper instance is not currently serving requests\n"


def answer_once(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        assert connection.recv(4) == b"srvr"
        for at in range(0, len(answer), 20):
            connection.sendall(answer[at : at + 20])


@pytest.mark.parametrize(("answer", "serves"), [(SERVING, True), (NOT_SERVING, False), (b"", False)])
def test_a_zookeeper_serves_when_it_tells_its_mode(answer: bytes, serves: bool) -> None:
    with socket.create_server((HOST, 0)) as listener:
        server = threading.Thread(target=answer_once, args=(listener, answer))
        server.start()
        assert serves_zookeeper(listener.getsockname()[1]) is serves
        server.join()


def test_an_open_port_that_answers_nothing_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SRVR_TIMEOUT_S", 0.05)
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        process = Process("zookeeper", [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path)
        node = ZooKeeperNode(process, port, tmp_path)
        with pytest.raises(LabError, match="has not answered srvr within 0 s"):
            node.start(timeout_s=0.1)
        process.kill()


def test_a_refused_finalize_is_told_with_its_reason(tmp_path: Path) -> None:
    node = PykraftNode(EventProcess("controller-1", ["true"], tmp_path), 1, tmp_path)
    with pytest.raises(LabError, match=r"controller-1-finalize: was refused(.|\n)*data"):
        node.finalize(60.0)


@pytest.mark.oracle
def test_a_cluster_id_may_begin_with_a_dash(tmp_path: Path) -> None:
    """Those that brokers in ZooKeeper mode draw sometimes do; options must not take them for another option."""
    cluster_id = "-gQHPQh8SxSWHV6MTe3ufw"
    with Lab(tmp_path) as lab:
        nodes = lab.kraft_controller(1, cluster_id), lab.pykraft(2, cluster_id=cluster_id)
        for node in nodes:
            assert f"cluster.id={cluster_id}\n" in (node.folder / "data" / "meta.properties").read_text()
