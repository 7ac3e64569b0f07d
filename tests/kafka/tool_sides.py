"""One command of Kafka's tools on two clusters: under Kafka's own controller and under pykraft, with real brokers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Final

from pykraft.lab import jars
from pykraft.lab.admin import AdminShell, ToolResult
from pykraft.lab.cluster import Lab, new_cluster_id

CONTROLLER_ID: Final = 3000
SETTLE_DEADLINE_S: Final = 60.0
"""How long what was changed may take to reach the brokers, which follow the log."""
SETTLE_POLL_S: Final = 0.1

TOOLS: Final = {
    "acls": "kafka.admin.AclCommand",
    "broker-api-versions": "kafka.admin.BrokerApiVersionsCommand",
    "client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "configs": "kafka.admin.ConfigCommand",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "delegation-tokens": "org.apache.kafka.tools.DelegationTokenCommand",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "storage": "kafka.tools.StorageTool",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "transactions": "org.apache.kafka.tools.TransactionsCommand",
}
"""The main classes, by the name of their script without `kafka-`."""
ELSEWHERE: Final[Mapping[str, Mapping[str, str]]] = {
    "3.6.2": {
        "consumer-groups": "kafka.admin.ConsumerGroupCommand",
        "get-offsets": "kafka.tools.GetOffsetShell",
        "leader-election": "kafka.admin.LeaderElectionCommand",
        "reassign-partitions": "kafka.admin.ReassignPartitionsCommand",
        "topics": "kafka.admin.TopicCommand",
    },
    "4.1.2": {
        "acls": "org.apache.kafka.tools.AclCommand",
        "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    },
}
"""Where other releases have them."""

_ID: Final = re.compile(r"(?<![\w.:/-])(?=[\w-]*[A-Z])[\w-]{22}(?![\w.-])")
_DRAWN: Final = (
    (_ID, "<id>"),
    (re.compile(r"\b1[6-9]\d{11}\b *"), "<time> "),
    (re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d"), "<date>"),
    (re.compile(r"[A-Za-z0-9+/]{86}=="), "<hmac>"),
    (re.compile(r"Epoch: \d+"), "Epoch: <offset>"),
)
_OWN_WORDS: Final = (
    (re.compile(r"(Error while executing [a-z ]+ ?: ).*"), r"\1<reason>"),
    (re.compile(r"(\w+Exception: ).*"), r"\1<reason>"),
    (re.compile(r"((?:Could|Can) not \w+ \S+(?: to \d+)?\. ).*"), r"\1<reason>"),
)
"""Where a tool shows the message of an error, which each controller says in its own words."""


@dataclass
class ToolSide:
    """One cluster. `places` stand for the words in braces of an argument: broker, controller, sasl, folder, …"""

    places: dict[str, str]

    def argument(self, text: str) -> str:
        """The argument for this cluster."""
        return re.sub(r"\{([a-z_]+)\}", lambda found: self.places.get(found[1], found[0]), text)

    def shown(self, result: ToolResult) -> str:
        """What the tool ended with and wrote, without what is drawn: addresses, ids, times."""
        text = f"exit {result.code}\n{result.stdout}\n--- stderr ---\n{result.stderr}"
        for word, place in sorted(self.places.items(), key=lambda item: -len(item[1])):
            for number, part in enumerate(place.split(",")):
                text = text.replace(part, f"<{word} {number}>")
        for pattern, sign in _DRAWN:
            text = pattern.sub(sign, text)
        return "\n".join(line.rstrip() for line in text.splitlines())


@dataclass
class ToolSides:
    """Both clusters, and one JVM that runs the tools on the one and on the other."""

    shell: AdminShell
    kafka: ToolSide
    pykraft: ToolSide
    version: str
    folder: Path

    def run(self, side: ToolSide, tool: str, *arguments: str) -> ToolResult:
        """Run a tool on one side."""
        main = ELSEWHERE.get(self.version, {}).get(tool) or TOOLS[tool]
        return self.shell.run_tool(main, *map(side.argument, arguments))

    def file(self, name: str, text: str) -> str:
        """The path of a file for the tools to read."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def same(
        self,
        tool: str,
        *arguments: str,
        code: int = 0,
        contains: Iterable[str] = (),
        without: Iterable[str] = (),
        refused: Iterable[str] = (),
        normal: Callable[[str], str] = lambda text: text,
        ordered: bool = True,
        settles: bool = False,
    ) -> str:
        """Run a command on both sides: both must end with `code` and write the same, with `contains` in it and
        `without` not. Returns what Kafka's side wrote.

        `refused`: the controller refuses it, in other words than Kafka's but with these in both; the exception and
        all around it are the same. Without `ordered` the order of the lines is left out. With `settles` the command
        only looks: it is repeated until it shows what it should.
        """
        deadline = time.monotonic() + SETTLE_DEADLINE_S
        while True:
            problem, text = self._compare(
                tool, arguments, code, tuple(contains), tuple(without), tuple(refused), normal, ordered=ordered
            )
            if problem is None:
                return text
            if not settles or time.monotonic() > deadline:
                raise AssertionError(f"kafka-{tool} {' '.join(arguments)}: {problem}\n{text}")
            time.sleep(SETTLE_POLL_S)

    def _compare(
        self,
        tool: str,
        arguments: tuple[str, ...],
        code: int,
        contains: tuple[str, ...],
        without: tuple[str, ...],
        refused: tuple[str, ...],
        normal: Callable[[str], str],
        *,
        ordered: bool,
    ) -> tuple[str | None, str]:
        """What is wrong, and the text to show."""
        results = [self.run(side, tool, *arguments) for side in (self.kafka, self.pykraft)]
        theirs, ours = (
            normal(side.shown(result)) for side, result in zip((self.kafka, self.pykraft), results, strict=True)
        )
        if refused:
            for words in refused:
                if words not in theirs or words not in ours:
                    return f"no {words!r} in one of the reasons", f"{theirs}\n{ours}"
            theirs, ours = _without_reasons(theirs), _without_reasons(ours)
        if not ordered:
            theirs, ours = ("\n".join(sorted(map(str.strip, text.splitlines()))) for text in (theirs, ours))
        if theirs != ours:
            lines = unified_diff(theirs.splitlines(), ours.splitlines(), "Kafka", "pykraft", lineterm="", n=2)
            return "not the same", "\n".join(lines)
        if results[0].code != code:
            return f"ended with {results[0].code}", theirs
        for words in contains:
            if words not in theirs:
                return f"no {words!r}", theirs
        for words in without:
            if words in theirs:
                return f"{words!r} is in it", theirs
        return None, theirs


def _without_reasons(text: str) -> str:
    for pattern, sign in _OWN_WORDS:
        text = pattern.sub(sign, text)
    return text


@contextmanager
def tool_sides(folder: Path, version: str, release: str | None, broker_ids: tuple[int, ...]) -> Iterator[ToolSides]:
    """Both clusters with their brokers registered; `release` is what pykraft stands for."""
    jars.ensure(version)
    cluster_id = new_cluster_id()
    with ExitStack() as stack:
        sides = []
        labs = [stack.enter_context(Lab(folder / name, version, sasl=True)) for name in ("kafka", "pykraft")]
        for lab in labs:
            controller = (
                lab.kraft_controller(CONTROLLER_ID, cluster_id)
                if lab is labs[0]
                else lab.pykraft(CONTROLLER_ID, cluster_id=cluster_id, release=release)
            )
            voters = f"{CONTROLLER_ID}@{controller.address}"
            brokers = [
                lab.kraft_broker(number, cluster_id, voters, rack=f"rack-{number}", wait=False, extra=BROKER_SETTINGS)
                for number in broker_ids
            ]
            sides.append(
                ToolSide(
                    {
                        "controller": controller.address,
                        "broker": ",".join(broker.address for broker in brokers),
                        "sasl": ",".join(f"127.0.0.1:{broker.sasl_port}" for broker in brokers),
                        "folder": str(lab.folder),
                    }
                )
            )
        for lab in labs:
            for number in broker_ids:
                node = lab.nodes[f"broker-{number}"]
                node.process.wait_port(node.port)
        shell = stack.enter_context(AdminShell(folder, sides[0].places["broker"], version=version))
        yield ToolSides(shell, sides[0], sides[1], version, folder)


BROKER_SETTINGS: Final = {"log.initial.task.delay.ms": 500, "replica.fetch.wait.max.ms": 200}


def changed_acls(text: str) -> str:
    """Without the list of what there is now, which the brokers may learn of a little later."""
    return re.sub(r"(?s)Current ACLs for.*?\n(?=---)", "\n", text)


def followed(text: str) -> str:
    """Without how far the log is, which both sides grow at their own times."""
    text = re.sub(r"(HighWatermark:|MaxFollowerLag:|MaxFollowerLagTimeMs:) +\d+", r"\1 <n>", text)
    text = re.sub(r"\t\d+ +\t\d+ +\t", "\t<offset> \t<lag> \t", text)
    text = re.sub(r"\[(\{[^[]*\}), (\{[^[]*\})\]", lambda found: f"[{', '.join(sorted(found.groups()))}]", text)
    return re.sub(r"\d+ ms ago +", "<age> ", text)
