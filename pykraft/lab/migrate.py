"""The whole migration on real processes: from a ZooKeeper cluster in use to dual writes, or on to KRaft alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykraft.lab import jars, releases, tools
from pykraft.lab.admin import AdminShell
from pykraft.lab.claim import CONTROLLER_ID, claim_problems
from pykraft.lab.clients import Workload
from pykraft.lab.cluster import HOST, Lab, Node, PykraftNode, scram_client
from pykraft.lab.errors import LabError
from pykraft.lab.facts import LogImage, differences, facts_of_tree, read_tree
from pykraft.lab.releases import ACLS, TOKENS
from pykraft.lab.report import Check, Report, Stage
from pykraft.lab.scenario import ALICE, WORKLOAD_PARTITIONS, WORKLOAD_TOPIC, Scenario
from pykraft.lab.view import View
from pykraft.lab.watch import Watch

ISR_TIMEOUT_S = 120.0
REGISTER_TIMEOUT_S = 90.0
DUAL_WRITE_TIMEOUT_S = 180.0
LEADERS_MOVED_TIMEOUT_S = 60.0
AGREE_TIMEOUT_S = 60.0
FINALIZE_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.2
MIGRATION, POST_MIGRATION = 1, 3


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run: the `versions` go to the brokers in turn; `controller` is pykraft or kafka; `rate` in messages a
    second; with `finalize` the run does not end with dual writes but goes on to KRaft alone.

    Raises LabError for what cannot be migrated.
    """

    versions: tuple[str, ...] = (jars.DEFAULT_VERSION,)
    brokers: int = 3
    partitions: int = 50
    rate: int = 200
    controller: str = "pykraft"
    finalize: bool = False

    def __post_init__(self) -> None:
        releases.require_migratable(self.versions, self.controller)
        if self.brokers < len(self.versions):
            raise LabError(f"{len(self.versions)} releases need as many brokers at least, not {self.brokers}")

    def version_of(self, broker: int) -> str:
        """The version that a broker runs."""
        return self.versions[broker % len(self.versions)]

    @property
    def has_tokens(self) -> bool:
        """Whether delegation tokens take part, for which the lab needs SASL; KRaft brokers before 3.6 do not start with
        a secret for them."""
        return TOKENS not in releases.left_out(self.versions)

    @property
    def newest(self) -> str:
        """The version of the clients and of Apache Kafka's own controller."""
        return releases.newest(self.versions)

    @property
    def metadata_version(self) -> str:
        """Such as 3.9-IV0: the newest that all brokers have."""
        return releases.metadata_version(self.versions)


class Migration:
    """One run. `run` goes through all stages and returns the report; `lab`, with SASL for tokens, has the processes."""

    def __init__(self, lab: Lab, settings: Settings, view: View) -> None:
        self.lab, self.settings, self.view = lab, settings, view
        left_out = releases.left_out(settings.versions)
        self.report = Report(
            settings.controller, ", ".join(settings.versions), settings.brokers, str(lab.folder), left_out=left_out
        )
        self.scenario = Scenario(settings.brokers, settings.partitions, left_out=frozenset(left_out))
        self.controller: Node | None = None
        self._epoch_before = 0
        self._cluster_id = ""
        self._zookeeper: Node
        self._brokers: dict[int, Node] = {}
        self._shell: AdminShell
        self._alice: AdminShell | None = None
        self._workload: Workload
        self._watch: Watch | None = None

    @property
    def bootstrap(self) -> str:
        """HOST:PORT,… of the brokers."""
        return ",".join(broker.address for broker in self._brokers.values())

    def run(self) -> Report:
        """Run all stages and checks. Raises LabError when the cluster to migrate cannot be set up.

        What goes wrong once the controller has been started is the report's `failure`.
        """
        self._set_up()
        try:
            self._migrate()
        except LabError as error:
            self.report.failure = str(error)
        finally:
            self._end_clients()
        return self.report

    def _set_up(self) -> None:
        with self._stage("ZooKeeper and brokers in ZooKeeper mode") as stage:
            self._zookeeper = self.lab.zookeeper()
            for broker in range(self.settings.brokers):
                self._brokers[broker] = self._start_broker(broker, None, wait=False)
            for node in self._brokers.values():
                node.process.wait_port(node.port)
            self._shell = AdminShell(self.lab.folder, self.bootstrap, version=self.settings.newest).start()
            self.lab.own(self._shell.process)
            self._wait(
                lambda: len(self._nodes()) == self.settings.brokers, "all brokers are in the cluster", ISR_TIMEOUT_S
            )
            stage.detail = f"ZooKeeper {self._zookeeper.address}, brokers {self.bootstrap}"
        with self._stage(", ".join(["topics", "configs", "quotas", *self.scenario.security])) as stage:
            self.scenario.make_before(self._shell)
            if TOKENS in self.scenario.security:
                self._alice = self._start_alice()
                self.scenario.make_tokens(self._alice)
            self._wait_whole()
            topics = self._shell.call("describe_topics")
            stage.detail = f"{len(topics)} topics, {sum(len(t['partitions']) for t in topics.values())} partitions"
        with self._stage("producer and consumer at work") as stage:
            self._workload = Workload(
                self.lab.folder,
                self.bootstrap,
                WORKLOAD_TOPIC,
                WORKLOAD_PARTITIONS,
                rate=self.settings.rate,
                version=self.settings.newest,
            )
            self.lab.own(self._workload.process)
            self._workload.start()
            stage.detail = f"{self.settings.rate} messages/s, idempotent, acks=all"
        tree = self._tree()
        self._epoch_before = int(tree["/controller_epoch"].data)
        self._cluster_id = tree["/cluster/id"].json()["id"]

    def _migrate(self) -> None:
        with self._stage("the controller") as stage:
            controller = self._start_controller()
            self._watch = Watch(controller, self._zookeeper.address, self._workload, self.view.update, self.view.note)
            self._watch.start()
            stage.detail = f"{controller.name} at {controller.address}"
        with self._stage("brokers into migration mode, one by one"):
            for broker in self._brokers:
                self._roll(broker, controller)
        with self._stage("claim, copy, dual write") as stage:
            self._wait_state("DUAL_WRITE", DUAL_WRITE_TIMEOUT_S)
            status = self._watch.status
            self.report.copied_records, self.report.copy_ms = status.copied_records, status.copy_ms
            self._workload.wait_flowing()
            stage.detail = f"{status.copied_records} records copied"
        with self._stage("create, alter and delete through the brokers"):
            self.scenario.change(self._shell)
            if self._alice is not None:
                self.scenario.change_tokens(self._alice)
            self._agree()
        if self.settings.brokers > 1:
            self._kill_and_restart()
        if self.settings.finalize:
            self._move_brokers_on()
        with self._stage("ZooKeeper against image"):
            self._wait_whole()
            self._compare()
        if self.settings.finalize:
            self._finalize()
        with self._stage("everything led, in sync and consumed"):
            self._wait_whole()
            self.report.messages = self._workload.finish()
        self._end_clients(shell=False)
        self.report.checks += [
            self._messages_check(),
            Check("all partitions are led and in sync", tuple(self._not_whole())),
        ]

    def _start_broker(self, broker: int, controllers: str | None, *, wait: bool = True) -> Node:
        return self.lab.zk_broker(
            broker,
            self._zookeeper.address,
            controllers=controllers,
            rack=self._rack(broker),
            version=self.settings.version_of(broker),
            extra={"inter.broker.protocol.version": self.settings.metadata_version, **self._broker_settings()},
            wait=wait,
        )

    def _broker_settings(self) -> dict[str, object]:
        """Of brokers in either mode; None leaves out what the lab would set."""
        replication = self.scenario.workload_replication
        settings: dict[str, object] = {
            "offsets.topic.replication.factor": replication,
            "transaction.state.log.replication.factor": replication,
        }
        return settings | ({} if ACLS in self.scenario.security else {"authorizer.class.name": None})

    @staticmethod
    def _rack(broker: int) -> str:
        return f"rack-{broker % 2}"

    def _start_alice(self) -> AdminShell:
        """A shell that is logged in, as tokens are given to users only."""
        shell = AdminShell(
            self.lab.folder,
            ",".join(f"{HOST}:{broker.sasl_port}" for broker in self._brokers.values()),
            version=self.settings.newest,
            config=scram_client(*ALICE),
            name="admin-alice",
        ).start()
        self.lab.own(shell.process)
        return shell

    def _start_controller(self, *, migrating: bool = True) -> Node:
        zookeeper = self._zookeeper.address if migrating else None
        release = self.settings.metadata_version
        if self.settings.controller == "pykraft":
            self.controller = self.lab.pykraft(CONTROLLER_ID, zookeeper=zookeeper, release=release)
        else:
            self.controller = self.lab.kraft_controller(
                CONTROLLER_ID, self._cluster_id, zookeeper=zookeeper, version=self.settings.newest, release=release
            )
        return self.controller

    def _roll(self, broker: int, controller: Node) -> None:
        self._brokers[broker] = self._start_broker(broker, f"{CONTROLLER_ID}@{controller.address}")
        watch = self._watch
        assert watch is not None
        self._wait(
            lambda: broker in watch.status.registered,
            f"broker {broker} has registered with the controller",
            REGISTER_TIMEOUT_S,
        )
        self._wait_whole()
        self.view.note(f"broker {broker} is in migration mode and in sync")

    def _kill_and_restart(self) -> None:
        victim = max(self._brokers)
        node = self._brokers[victim]
        with self._stage(f"kill -9 of broker {victim}") as stage:
            led = self._elect_preferred()  # so that the victim, which was restarted last, leads something
            self.report.leaders_moved = sum(p["leader"] == victim for p in led)
            killed = time.monotonic()
            node.kill()

            def have_moved() -> bool:
                now = self._partitions()
                return self._is_complete(now) and not any(p["leader"] in (victim, -1) for p in now)

            self._wait(
                have_moved,
                f"all leaders of broker {victim} have moved",
                LEADERS_MOVED_TIMEOUT_S,
            )
            self.report.leaders_moved_s = round(time.monotonic() - killed, 2)
            self._workload.wait_flowing()
            moved, took_s = self.report.leaders_moved, self.report.leaders_moved_s
            stage.detail = f"its {moved} partitions were led again after {took_s:.1f} s"
        with self._stage(f"restart of broker {victim}") as stage:
            restarted = time.monotonic()
            node.start()
            self._wait_whole()
            self.report.isr_restored_s = round(time.monotonic() - restarted, 2)
            self._elect_preferred()
            stage.detail = f"all in sync after {self.report.isr_restored_s:.1f} s, preferred leaders elected"

    def _elect_preferred(self) -> list[dict[str, Any]]:
        """Elect preferred leaders; the partitions as the broker told them that was the first to know."""
        outcome = self._shell.call("elect_leaders", type="preferred")
        refused = {tp: error for tp, error in outcome.items() if error not in ("NONE", "ELECTION_NOT_NEEDED")}
        if refused:
            raise LabError(f"preferred leaders were not elected: {refused}")
        led: list[dict[str, Any]] = []

        def are_elected() -> bool:
            led[:] = self._partitions()
            return self._is_complete(led) and all(p["leader"] == p["replicas"][0] for p in led)

        # Brokers hear of it a little after the controller has answered, and each call may ask another one.
        self._wait(are_elected, "all partitions are led by their preferred leaders", LEADERS_MOVED_TIMEOUT_S)
        return led

    def _move_brokers_on(self) -> None:
        controller = self.controller
        assert controller is not None
        with self._stage("brokers into KRaft mode, one by one") as stage:
            for broker in self._brokers:
                self._brokers[broker] = self.lab.kraft_broker(
                    broker,
                    self._cluster_id,
                    f"{CONTROLLER_ID}@{controller.address}",
                    rack=self._rack(broker),
                    version=self.settings.version_of(broker),
                    extra=self._broker_settings(),
                )
                self._wait_whole()
                self.view.note(f"broker {broker} is in KRaft mode and in sync")
                if broker == 0:
                    self.scenario.change_hybrid(self._shell)
            self._workload.wait_flowing()
            stage.detail = "a topic created, altered and one deleted after the first of them"

    def _finalize(self) -> None:
        controller = self.controller
        assert controller is not None
        with self._stage("finalize, ZooKeeper away") as stage:
            controller.stop()
            if isinstance(controller, PykraftNode):
                controller.finalize(FINALIZE_TIMEOUT_S)
            self._start_controller(migrating=False)
            self._wait(lambda: self._image().migration_state == POST_MIGRATION, "the log is final", FINALIZE_TIMEOUT_S)
            self._zookeeper.stop()
            self.scenario.change_final(self._shell)
            self._workload.wait_flowing()
            image = self._image()
            stage.detail = f"{len(image.brokers)} brokers, {len(image.facts)} facts in the log"
        modes = [f"broker {each} is in ZooKeeper mode" for each, data in image.brokers.items() if _in_zk_mode(data)]
        missing = [f"broker {each} is not registered" for each in self._brokers if each not in image.brokers]
        self.report.checks += [
            Check("all brokers are in KRaft mode", (*modes, *missing)),
            Check("what was asked for is in the log without ZooKeeper", tuple(self.scenario.missed(image.facts, "it"))),
        ]

    def _compare(self) -> None:
        watch = self._watch
        assert watch is not None
        left = self._agree()
        image, tree = self._image(), self._tree()
        watch.stop()
        self._watch = None
        self.report.driver = watch.states
        zookeeper_facts = facts_of_tree(tree)
        self.report.zookeeper_facts, self.report.image_facts = len(zookeeper_facts), len(image.facts)
        self.report.zookeeper_writes = watch.status.zookeeper_writes
        self.report.claim = {
            path: tree[path].data.decode()
            for path in ("/controller", "/controller_epoch", "/migration")
            if path in tree
        }
        expected = self.scenario.missed(image.facts, "the image") + self.scenario.missed(zookeeper_facts, "ZooKeeper")
        log_end = watch.status.log_end_offset
        self.report.checks += [
            Check("ZooKeeper and the image agree", tuple(left), f"{len(image.facts)} facts"),
            Check("what was asked for is in both", tuple(expected), f"{len(self.scenario.expected)} expectations"),
            Check(
                "/controller, /controller_epoch, /migration", tuple(claim_problems(tree, self._epoch_before, log_end))
            ),
        ]
        if image.migration_state != MIGRATION:
            self.report.checks.append(Check("the log is in state MIGRATION", (f"state {image.migration_state}",)))

    def _messages_check(self) -> Check:
        messages = self.report.messages
        if messages is None or messages.is_whole:
            return Check("no message lost, duplicated or out of order")
        return Check("no message lost, duplicated or out of order", (str(messages),))

    def _agree(self) -> list[str]:
        """Wait until ZooKeeper and the image agree; returns what differs at the deadline."""
        deadline = time.monotonic() + AGREE_TIMEOUT_S
        while True:
            left = differences(facts_of_tree(self._tree()), self._image().facts, "ZooKeeper", "image")
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(POLL_INTERVAL_S)

    def _tree(self) -> dict[str, Any]:
        return read_tree(self._zookeeper.address)

    def _image(self) -> LogImage:
        assert self.controller is not None
        segments = sorted((self.controller.folder / "data/__cluster_metadata-0").glob("*.log"))
        files = ",".join(map(str, segments))
        dump = self._shell.tool(tools.DUMP_LOG, "--cluster-metadata-decoder", "--files", files)
        return LogImage.from_dump(dump.splitlines())

    def _nodes(self) -> list[int]:
        return [node["id"] for node in self._shell.call("describe_cluster")["nodes"]]

    def _partitions(self) -> list[dict[str, Any]]:
        return [
            {"topic": name, **partition}
            for name, topic in self._shell.call("describe_topics").items()
            for partition in topic["partitions"]
        ]

    def _is_complete(self, partitions: list[dict[str, Any]]) -> bool:
        """Whether the broker that was asked knows all topics yet."""
        return self.scenario.topics <= {partition["topic"] for partition in partitions}

    def _not_whole(self) -> list[str]:
        """What is not led and in sync; a topic counts that the broker asked does not know yet."""
        described = self._partitions()
        known = {partition["topic"] for partition in described}
        return [f"{topic} is not known" for topic in self.scenario.topics - known] + [
            f"{p['topic']}-{p['id']}: leader {p['leader']}, isr {p['isr']} of {p['replicas']}"
            for p in described
            if p["leader"] < 0 or set(p["isr"]) != set(p["replicas"])
        ]

    def _wait_whole(self) -> None:
        """Wait until all brokers run and all partitions are led and in sync. Raises LabError."""

        def is_whole() -> bool:
            for node in self._brokers.values():
                _require_running(node)
            return not self._not_whole()

        self._wait(is_whole, "all partitions are led and in sync", ISR_TIMEOUT_S, self._not_whole)

    def _wait_state(self, state: str, timeout_s: float) -> None:
        watch = self._watch
        assert watch is not None
        self._wait(lambda: watch.status.state == state, f"the migration is in {state}", timeout_s)

    def _wait(
        self,
        condition: Callable[[], bool],
        what: str,
        timeout_s: float,
        missing: Callable[[], list[str]] = list,
    ) -> None:
        """Wait until `condition()`, which `what` tells in words. Raises LabError at the deadline."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self.controller is not None:
                _require_running(self.controller)
            if time.monotonic() > deadline:
                state = self._watch.status.state if self._watch is not None else "not begun"
                problem = f"not within {timeout_s:.0f} s: {what} (migration {state})"
                controller = self.controller
                raise LabError(
                    "\n  ".join([problem, *missing()[:10]]),
                    process=controller.name if controller else None,
                    log=controller.process.log if controller else None,
                )
            time.sleep(POLL_INTERVAL_S)

    @contextmanager
    def _stage(self, name: str) -> Iterator[Stage]:
        stage = Stage(name)
        self.report.stages.append(stage)
        self.view.begin(name)
        begun = time.monotonic()
        yield stage
        stage.seconds = round(time.monotonic() - begun, 2)
        self.view.end(name, stage.seconds, stage.detail)

    def _end_clients(self, *, shell: bool = True) -> None:
        self._workload.close()
        if shell:
            self._shell.close()
            if self._alice is not None:
                self._alice.close()
            if self._watch is not None:
                self._watch.stop()
                self.report.driver = self._watch.states
                self._watch = None


def how_to_connect(folder: Path, migration: Migration) -> str:
    """What to tell about a cluster that is left running."""
    lines = [f"left running in {folder}:", f"  bootstrap.servers={migration.bootstrap}"]
    for node in migration.lab.nodes.values():
        if node.process.running:
            events = f", events {node.folder / (node.name + '.events')}" if isinstance(node, PykraftNode) else ""
            lines.append(f"  {node.name:<16} pid {node.process.pid:<8} {node.address}  log {node.process.log}{events}")
    lines.append(f"end it with: pykraft lab down --folder {folder}")
    return "\n".join(lines)


def _in_zk_mode(registration: dict[str, Any]) -> bool:
    return bool(registration.get("isMigratingZkBroker"))


def _require_running(node: Node) -> None:
    if not node.process.running:
        raise node.process.failure(f"ended with {node.process.returncode}")
