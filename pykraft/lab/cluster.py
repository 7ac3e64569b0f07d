"""A cluster of real processes in a folder: ZooKeeper, brokers in both modes, controllers of both makes."""

from __future__ import annotations

import base64
import random
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pykraft.lab import jars, tools
from pykraft.lab.errors import LabError
from pykraft.lab.process import EventProcess, Process, jvm_command

HOST = "127.0.0.1"
# Below the range from which Linux draws the ports of outgoing connections: a port that a stopped broker
# will need again cannot be taken by somebody's client meanwhile.
PORTS = range(20_000, 32_000)
PORT_TRIES_MAX = 200

ZOOKEEPER_HEAP_MB = 384
BROKER_HEAP_MB = 384
CONTROLLER_HEAP_MB = 384
# Allocated anew when log.cleaner.threads changes: Kafka's default, 128 MiB, may then not fit into the heap.
CLEANER_BUFFER_BYTES = 8 << 20
START_TIMEOUT_S = 120.0
SRVR_TIMEOUT_S = 2.0

LISTENER_MAP = "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"
ZK_AUTHORIZER = "kafka.security.authorizer.AclAuthorizer"
KRAFT_AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
SASL_SETTINGS = {
    "sasl.enabled.mechanisms": "SCRAM-SHA-256",
    "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": f"{SCRAM_MODULE} required;",
}
TOKEN_SETTINGS = {"delegation.token.secret.key": "secret-of-the-lab"}
AUTHORIZER_SETTINGS = {"super.users": "User:ANONYMOUS", "allow.everyone.if.no.acl.found": "true"}

Config = Mapping[str, object]
AnyNode = TypeVar("AnyNode", bound="Node")

_given_ports: set[int] = set()


def free_port() -> int:
    """A port nobody listens on and that this process has not handed out before.

    Raises LabError when none is found.
    """
    draw = random.SystemRandom()
    for _ in range(PORT_TRIES_MAX):
        port = draw.choice(PORTS)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        _given_ports.add(port)
        return port
    raise LabError(f"no free port among {PORTS.start}-{PORTS.stop - 1}")


def new_cluster_id() -> str:
    """A cluster id as Kafka draws one: 16 random bytes in unpadded base64url, not starting with '-'."""
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def scram_client(user: str, password: str) -> dict[str, str]:
    """The settings of a Kafka client that logs in at a broker's `sasl_port`."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.jaas.config": f'{SCRAM_MODULE} required username="{user}" password="{password}";',
    }


class Node:
    """One process of the cluster and the port of 127.0.0.1 it serves; a restart keeps port, data and log."""

    def __init__(self, process: Process, port: int, folder: Path, sasl_port: int | None = None) -> None:
        self.process, self.port, self.folder, self.sasl_port = process, port, folder, sasl_port

    @property
    def name(self) -> str:
        """Such as broker-1."""
        return self.process.name

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{HOST}:{self.port}"

    def start(self, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Start it again with the settings it had and wait for its port. Raises LabError."""
        self.process.start()
        self.process.wait_port(self.port, timeout_s)
        return self

    def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM: a broker hands its leaders over first."""
        return self.process.stop(timeout_s)

    def kill(self) -> int:
        """SIGKILL."""
        return self.process.kill()


class PykraftNode(Node):
    """A pykraft controller; `process.events` are the JSON lines of its stdout."""

    process: EventProcess

    def __init__(self, process: EventProcess, port: int, folder: Path) -> None:
        super().__init__(process, port, folder)
        self.process = process

    @property
    def cluster_id(self) -> str:
        """The cluster id of its latest `ready` event."""
        ready = [event for event in self.process.events if event["event"] == "ready"]
        return str(ready[-1]["cluster_id"])

    def start(self, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Start it and wait for its `ready` event. Raises LabError."""
        since = len(self.process.events)
        self.process.start()
        ready = self.process.wait_event(
            lambda event: event.get("event") == "ready", "said that it is ready", timeout_s, since=since
        )
        self.port = int(str(ready["listener"]).rpartition(":")[2])
        return self

    def finalize(self, timeout_s: float) -> None:
        """End the migration in the data of this node, which must be stopped. Raises LabError when it is refused."""
        command = [sys.executable, "-m", "pykraft", "migration", "finalize", "--data", str(self.folder / "data")]
        process = Process(f"{self.name}-finalize", command, self.folder).start()
        if process.wait_exit(timeout_s):
            raise process.failure("was refused")


class ZooKeeperNode(Node):
    """A ZooKeeper server; it serves when it answers, which is a while after its port has opened."""

    def start(self, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Start it and wait until it answers. Raises LabError."""
        self.process.start()
        self.wait_serving(timeout_s)
        return self

    def wait_serving(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until it answers `srvr` as a server that takes sessions does. Raises LabError."""
        self.process.wait_for(lambda: serves_zookeeper(self.port), "answered srvr", timeout_s)


def serves_zookeeper(port: int) -> bool:
    """Whether the ZooKeeper at 127.0.0.1:`port` answers the four letters `srvr` with its mode, as it does only once it
    takes sessions."""
    try:
        with socket.create_connection((HOST, port), SRVR_TIMEOUT_S) as connection:
            connection.settimeout(SRVR_TIMEOUT_S)
            connection.sendall(b"srvr")
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
    except OSError:
        return False
    return b"\nMode: " in answer


class Lab:
    """Real Kafka in a folder. As a context manager it ends on exit what it started.

    Starting a node under a name that was used before (`zk_broker(1, …)` and then `kraft_broker(1, …)`) ends
    the old process in order and keeps its port and data: that is how a broker changes its mode.

    With `sasl` brokers have a second listener, SASL_PLAINTEXT with SCRAM-SHA-256, on their `sasl_port`, and the cluster
    has delegation tokens.
    """

    def __init__(self, folder: Path | str, version: str = jars.DEFAULT_VERSION, *, sasl: bool = False) -> None:
        self.folder, self.version, self.sasl = Path(folder).absolute(), version, sasl
        self.nodes: dict[str, Node] = {}
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything at once, clients first, then nodes in reverse order of their start."""
        for process in reversed(self._processes):
            if process.running:
                process.kill()
        for node in reversed(self.nodes.values()):
            if node.process.running:
                node.kill()

    def own(self, process: Process) -> None:
        """Have `close` end this process too."""
        self._processes.append(process)

    def zookeeper(
        self, *, version: str | None = None, heap_mb: int = ZOOKEEPER_HEAP_MB, wait: bool = True
    ) -> ZooKeeperNode:
        """One ZooKeeper server, of the release that `version` of Kafka carries."""
        name = "zookeeper"
        folder, port = self._place(name)
        (folder / "zoo.cfg").write_text(
            f"tickTime=500\nminSessionTimeout=1000\ndataDir={folder}/data\nclientPort={port}\n"
            f"clientPortAddress={HOST}\nmaxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n"
        )
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        process = self._jvm(name, version, main, [str(folder / "zoo.cfg")], heap_mb)
        return self._start(ZooKeeperNode(process, port, folder), wait)

    def zk_broker(
        self,
        node_id: int,
        zookeeper: str,
        *,
        controllers: str | None = None,
        rack: str | None = None,
        version: str | None = None,
        extra: Config | None = None,
        wait: bool = True,
    ) -> Node:
        """A broker in ZooKeeper mode; in migration mode with `controllers`, as "3000@127.0.0.1:9093"."""
        name = f"broker-{node_id}"
        _, port = self._place(name)
        sasl_port = self._sasl_port(name)
        config: dict[str, object] = {
            **self._broker_config(port, sasl_port, rack),
            "broker.id": node_id,
            "zookeeper.connect": zookeeper,
            "zookeeper.session.timeout.ms": 6000,
            "zookeeper.connection.timeout.ms": 30000,
            "authorizer.class.name": ZK_AUTHORIZER,
        }
        if controllers:
            config |= {
                "zookeeper.metadata.migration.enable": "true",
                "controller.quorum.voters": controllers,
                "controller.listener.names": "CONTROLLER",
            }
        return self._start_kafka(name, version, config, extra, port, BROKER_HEAP_MB, wait, sasl_port)

    def kraft_broker(
        self,
        node_id: int,
        cluster_id: str,
        controllers: str,
        *,
        rack: str | None = None,
        version: str | None = None,
        release: str | None = None,
        extra: Config | None = None,
        wait: bool = True,
        dynamic_quorum: bool = False,
    ) -> Node:
        """A broker in KRaft mode; its folder is formatted unless it holds data already.

        `controllers` are the voters, as "3000@127.0.0.1:9093"; with `dynamic_quorum` the servers to ask for them, as
        "127.0.0.1:9093".
        """
        name = f"broker-{node_id}"
        folder, port = self._place(name)
        sasl_port = self._sasl_port(name)
        config: dict[str, object] = {
            **self._broker_config(port, sasl_port, rack),
            "process.roles": "broker",
            "node.id": node_id,
            "controller.quorum.bootstrap.servers" if dynamic_quorum else "controller.quorum.voters": controllers,
            "controller.listener.names": "CONTROLLER",
            "authorizer.class.name": KRAFT_AUTHORIZER,
            **(extra or {}),
        }
        self._format(folder, config, cluster_id, version, release)
        return self._start_kafka(name, version, config, None, port, BROKER_HEAP_MB, wait, sasl_port)

    def kraft_controller(
        self,
        node_id: int,
        cluster_id: str,
        *,
        voters: str | None = None,
        zookeeper: str | None = None,
        version: str | None = None,
        release: str | None = None,
        extra: Config | None = None,
        heap_mb: int = CONTROLLER_HEAP_MB,
        jvm_options: tuple[str, ...] = (),
        wait: bool = True,
    ) -> Node:
        """Apache Kafka's controller, alone in its quorum without `voters`; with `zookeeper` it migrates.

        `jvm_options` come after those that make the lab's JVMs small, and so override them.
        """
        name = f"controller-{node_id}"
        folder, port = self._place(name)
        config: dict[str, object] = {
            "process.roles": "controller",
            "node.id": node_id,
            "controller.quorum.voters": voters or f"{node_id}@{HOST}:{port}",
            "listeners": f"CONTROLLER://{HOST}:{port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": LISTENER_MAP,
            "inter.broker.listener.name": "PLAINTEXT",
            "authorizer.class.name": KRAFT_AUTHORIZER,
            **AUTHORIZER_SETTINGS,
            **(TOKEN_SETTINGS if self.sasl else {}),
        }
        if zookeeper:
            config |= {
                "zookeeper.metadata.migration.enable": "true",
                "zookeeper.connect": zookeeper,
                "zookeeper.session.timeout.ms": 6000,
            }
        config |= extra or {}
        self._format(folder, config, cluster_id, version, release)
        return self._start_kafka(name, version, config, None, port, heap_mb, wait, jvm_options=jvm_options)

    def pykraft(
        self,
        node_id: int = 3000,
        *,
        zookeeper: str | None = None,
        cluster_id: str | None = None,
        release: str | None = None,
        port: int | None = None,
        arguments: tuple[str, ...] = (),
        extra: Config | None = None,
        wait: bool = True,
    ) -> PykraftNode:
        """pykraft's controller, run as `python -m pykraft controller`; with `zookeeper` it migrates."""
        name = f"controller-{node_id}"
        folder, own_port = self._place(name)
        port = port or own_port
        command = [
            sys.executable,
            "-m",
            "pykraft",
            "controller",
            "--node-id",
            str(node_id),
            "--data",
            str(folder / "data"),
            "--listen",
            f"{HOST}:{port}",
        ]
        options = (("--zookeeper", zookeeper), ("--cluster-id", cluster_id), ("--release", release))
        for option, text in options:
            if text is not None:
                command.append(f"{option}={text}")
        config: dict[str, object] = {
            "listener.security.protocol.map": LISTENER_MAP,
            "inter.broker.listener.name": "PLAINTEXT",
            "authorizer.class.name": KRAFT_AUTHORIZER,
            **AUTHORIZER_SETTINGS,
            **(TOKEN_SETTINGS if self.sasl else {}),
            **(extra or {}),
        }
        for key, value in config.items():
            if value is not None:
                command += ["--override", f"{key}={value}"]
        return self._start(PykraftNode(EventProcess(name, [*command, *arguments], folder), port, folder), wait)

    def _place(self, name: str) -> tuple[Path, int]:
        """The folder and the port of a node; an older process of that name is ended in order."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        old = self.nodes.get(name)
        if old is None:
            return folder, free_port()
        if old.process.running:
            old.stop()
        return folder, old.port

    def _sasl_port(self, name: str) -> int | None:
        if not self.sasl:
            return None
        old = self.nodes.get(name)
        return free_port() if old is None else old.sasl_port

    def _broker_config(self, port: int, sasl_port: int | None, rack: str | None) -> dict[str, object]:
        listeners = f"PLAINTEXT://{HOST}:{port}"
        if sasl_port is not None:
            listeners += f",SASL_PLAINTEXT://{HOST}:{sasl_port}"
        return {
            "listeners": listeners,
            "advertised.listeners": listeners,
            "listener.security.protocol.map": LISTENER_MAP,
            "inter.broker.listener.name": "PLAINTEXT",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.dedupe.buffer.size": CLEANER_BUFFER_BYTES,
            **AUTHORIZER_SETTINGS,
            **(SASL_SETTINGS | TOKEN_SETTINGS if self.sasl else {}),
            **({"broker.rack": rack} if rack else {}),
        }

    def _format(
        self,
        folder: Path,
        config: dict[str, object],
        cluster_id: str,
        version: str | None,
        release: str | None,
    ) -> None:
        data = folder / "data"
        config.setdefault("log.dirs", str(data))
        if (data / "meta.properties").exists():
            return
        path = folder / "format.properties"
        path.write_text(_properties(config))
        # A ZooKeeper-mode broker may have drawn an id that begins with a dash.
        arguments = ["format", f"--cluster-id={cluster_id}", "--config", str(path), "--ignore-formatted"]
        if release:
            arguments += ["--release-version", release]
        tools.run("kafka.tools.StorageTool", *arguments, version=version or self.version)

    def _start_kafka(
        self,
        name: str,
        version: str | None,
        config: Config,
        extra: Config | None,
        port: int,
        heap_mb: int,
        wait: bool,
        sasl_port: int | None = None,
        jvm_options: tuple[str, ...] = (),
    ) -> Node:
        folder = self.folder / name
        path = folder / "server.properties"
        path.write_text(_properties({"log.dirs": str(folder / "data"), **config, **(extra or {})}))
        process = self._jvm(name, version, "kafka.Kafka", [str(path)], heap_mb, jvm_options)
        return self._start(Node(process, port, folder, sasl_port), wait)

    def _jvm(
        self,
        name: str,
        version: str | None,
        main: str,
        arguments: list[str],
        heap_mb: int,
        jvm_options: tuple[str, ...] = (),
    ) -> Process:
        folder, release = self.folder / name, version or self.version
        command = jvm_command(
            release,
            folder,
            main,
            arguments,
            class_path=jars.class_path(release),
            heap_mb=heap_mb,
            jvm_options=jvm_options,
        )
        return Process(name, command, folder)

    def _start(self, node: AnyNode, wait: bool) -> AnyNode:
        self.nodes[node.name] = node
        if wait:
            return node.start()
        node.process.start()
        return node


def _properties(config: Config) -> str:
    """The text of a configuration; a value None leaves out what would be set otherwise."""
    return "".join(f"{key}={value}\n" for key, value in config.items() if value is not None)
