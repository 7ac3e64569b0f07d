"""The codec beside its peers, on the same bytes: pykraft, kio, kafka-python and Kafka's own Java classes.

Times are the fastest of many, each make in a process of its own, the makes taking turns; Java is warmed up. A ratio is
pykraft / peer. The goals: against kio encode within a tenth and decode below it (its decoder is native Rust); against
kafka-python both within a fifth. Kafka's Java has no goal: it is there for honesty. Ends with 1 when a goal is missed.
The Python peers are installed by pip into `.venv-bench` of the checkout when they are missing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pykraft.lab import jars
from pykraft.protocol._message import Message
from pykraft.protocol.messages import broker_heartbeat_request, fetch_response, leader_and_isr_request
from pykraft.protocol.messages import metadata_response as metadata
from pykraft.protocol.messages import update_metadata_request as update_metadata
from pykraft.protocol.records.partition_record import PartitionRecord

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = Path(__file__).parent / "codec_peers"
PEER_PYTHON: Final = ROOT / ".venv-bench"
PEER_PACKAGES: Final = ("kio==0.6.5", "kafka-python==3.0.12")
MAKES: Final = ("pykraft", "kio", "kafka-python", "java")
DIRECTIONS: Final = ("encode", "decode")
# pykraft / peer
GOALS: Final = {("kio", "encode"): 0.1, ("kio", "decode"): 1.0,
                ("kafka-python", "encode"): 0.2, ("kafka-python", "decode"): 0.2}  # fmt: skip
REPLICAS: Final = [1, 2, 3]
TOPIC_ID: Final = bytes(range(16))


@dataclass(slots=True)
class Case:
    """One message on the bench: its schema's name, and the times by make and direction, in microseconds."""

    name: str
    value: Message
    version: int
    times_us: dict[tuple[str, str], float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def class_name(self) -> str:
        return type(self.value).__name__

    @property
    def schema(self) -> str:
        return self.class_name.removesuffix("Data")

    def ratio(self, make: str, direction: str) -> float:
        """pykraft / peer; NaN when one was not measured."""
        own, other = (self.times_us.get((which, direction), math.nan) for which in ("pykraft", make))
        return own / other

    def good(self, make: str, direction: str) -> bool:
        """Whether the goal is met; yes when there is none, or the peer does not offer the message."""
        return not self.ratio(make, direction) > GOALS.get((make, direction), math.inf)


def metadata_value(topics: int, partitions: int) -> Message:
    return metadata.MetadataResponseData(
        brokers=[metadata.MetadataResponseBroker(number, f"broker{number}.example", 9092) for number in REPLICAS],
        cluster_id="AAAAAAAAAAAAAAAAAAAAAA", controller_id=1,
        topics=[metadata.MetadataResponseTopic(name=f"topic-{topic}", topic_id=TOPIC_ID, partitions=[
            metadata.MetadataResponsePartition(0, number, REPLICAS[number % 3], 5, REPLICAS, REPLICAS)
            for number in range(partitions)]) for topic in range(topics)],
    )  # fmt: skip


def fetch_value() -> Message:
    return fetch_response.FetchResponseData(session_id=7, responses=[
        fetch_response.FetchableTopicResponse(topic_id=TOPIC_ID, partitions=[
            fetch_response.PartitionData(number, 0, 1000 + number, 1000 + number, 0, aborted_transactions=None)
            for number in range(1000)]),
    ])  # fmt: skip


def update_metadata_value() -> Message:
    states = [update_metadata.UpdateMetadataPartitionState(
        partition_index=number, controller_epoch=1, leader=1, leader_epoch=5, isr=REPLICAS, zk_version=1,
        replicas=REPLICAS) for number in range(1000)]  # fmt: skip
    topic = update_metadata.UpdateMetadataTopicState("topic", TOPIC_ID, states)
    return update_metadata.UpdateMetadataRequestData(controller_id=1, controller_epoch=1, topic_states=[topic])


def leader_and_isr_value() -> Message:
    states = [leader_and_isr_request.LeaderAndIsrPartitionState(
        partition_index=number, controller_epoch=1, leader=1, leader_epoch=5, isr=REPLICAS, partition_epoch=1,
        replicas=REPLICAS, is_new=True) for number in range(1000)]  # fmt: skip
    topic = leader_and_isr_request.LeaderAndIsrTopicState("topic", TOPIC_ID, states)
    return leader_and_isr_request.LeaderAndIsrRequestData(controller_id=1, controller_epoch=1, topic_states=[topic])


def cases() -> list[Case]:
    return [
        Case("MetadataResponse v12, 1 x 1000 partitions", metadata_value(1, 1000), 12),
        Case("MetadataResponse v12, 40 x 25 partitions", metadata_value(40, 25), 12),
        Case("FetchResponse v17, 1000 partitions", fetch_value(), 17),
        Case("UpdateMetadata v8, 1000 partitions", update_metadata_value(), 8),
        Case("LeaderAndIsr v7, 1000 partitions", leader_and_isr_value(), 7),
        Case("PartitionRecord v2", PartitionRecord(
            partition_id=7, topic_id=TOPIC_ID, replicas=REPLICAS, isr=REPLICAS, leader=1, leader_epoch=5,
            partition_epoch=5), 2),
        Case("BrokerHeartbeat v1", broker_heartbeat_request.BrokerHeartbeatRequestData(1, 77, 1234), 1),
    ]  # fmt: skip


def peer_python() -> str:
    """The interpreter that has the Python peers; they are installed when it is not there."""
    python = PEER_PYTHON / "bin" / "python"
    wanted = PEER_PYTHON / "installed"
    if not wanted.exists() or wanted.read_text("utf-8").split() != list(PEER_PACKAGES):
        tell(f"installing {' and '.join(PEER_PACKAGES)} into {PEER_PYTHON}")
        venv.create(PEER_PYTHON, with_pip=True, clear=True)
        (PEER_PYTHON / ".gitignore").write_text("*\n", "utf-8")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True)
        wanted.write_text("\n".join(PEER_PACKAGES) + "\n", "utf-8")
    return str(python)


def command(make: str, kafka: str) -> list[str]:
    if make == "java":
        class_path = jars.ensure(kafka, tell)
        return [jars.java(), "-Xmx1g", "-cp", class_path, str(PEERS / "Measure.java")]
    python = sys.executable if make == "pykraft" else peer_python()
    return [python, str(PEERS / "measure.py"), make]


def question(make: str, case: Case) -> str:
    raw = case.value.encode(case.version).hex()
    if make == "java":
        return "\t".join((case.name, case.class_name, str(case.version), raw))
    return json.dumps({"name": case.name, "schema": case.schema, "version": case.version, "hex": raw})


def measure(make: str, every: list[Case], kafka: str) -> None:
    """Measure all messages with one make; keeps the faster time where there is one already."""
    lines = "".join(question(make, case) + "\n" for case in every)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} if make == "pykraft" else None
    done = subprocess.run(command(make, kafka), input=lines, env=environment, capture_output=True, text=True,
                          encoding="utf-8", check=False)  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{make} ended with {done.returncode}:\n{done.stderr}")
    answers = {told["name"]: told for told in map(json.loads, done.stdout.splitlines())}
    for case in every:
        told: dict[str, Any] = answers[case.name]
        for direction in DIRECTIONS:
            if f"{direction}_us" in told:
                best = case.times_us.get((make, direction), math.inf)
                case.times_us[make, direction] = min(best, told[f"{direction}_us"])
        if "wrong" in told:
            case.notes[make] = told["wrong"]


def tell(text: str) -> None:
    """Progress, on stderr, when that is a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(text + "\n")


def table(every: list[Case], makes: list[str]) -> Iterator[str]:
    peers = [make for make in makes if make != "pykraft"]
    yield f"{'microseconds; in brackets pykraft / peer':<52}" + "".join(f"{make:>22}" for make in makes)
    for case in every:
        for direction in DIRECTIONS:
            cells = [f"{_time(case.times_us.get(('pykraft', direction)))}          "] if "pykraft" in makes else []
            for make in peers:
                cell = _time(case.times_us.get((make, direction)))
                ratio = case.ratio(make, direction)
                mark = " " if case.good(make, direction) else "!"
                cells.append(f"{cell} ({ratio:6.3f}){mark}" if not math.isnan(ratio) else f"{cell}          ")
            yield (f"{case.name + ', ' + direction:<52}" + "".join(f"{cell:>22}" for cell in cells)).rstrip()
        yield from (f"    {make} {note}" for make, note in case.notes.items())
    yield "- : the peer does not offer the message; ! : a goal is missed"
    for (make, direction), goal in GOALS.items():
        if make in makes:
            met = all(case.good(make, direction) for case in every)
            yield f"goal: {direction} at most {goal} of {make}'s time: {'met' if met else 'MISSED'}"


def _time(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def as_json(every: list[Case], makes: list[str], good: bool) -> dict[str, Any]:
    return {
        "machine": machine(),
        "cases": [{
            "name": case.name,
            "bytes": len(case.value.encode(case.version)),
            **{f"{direction}_us": {make: case.times_us[make, direction] for make in makes
                                   if (make, direction) in case.times_us} for direction in DIRECTIONS},
            **{f"{direction}_ratio": {make: case.ratio(make, direction) for make in makes
                                      if make != "pykraft" and not math.isnan(case.ratio(make, direction))}
               for direction in DIRECTIONS},
            "notes": case.notes,
        } for case in every],
        "goals": [{"peer": make, "direction": direction, "ratio_max": goal,
                   "good": all(case.good(make, direction) for case in every)}
                  for (make, direction), goal in GOALS.items()],
        "good": good,
    }  # fmt: skip


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/bench codec", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: tools/bench codec --peers kio --rounds 5 --json")  # fmt: skip
    parser.add_argument(
        "--peers", default=",".join(MAKES[1:]), metavar="LIST", help=f"beside which of {', '.join(MAKES[1:])} (all)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each make has its turn (3)")
    parser.add_argument("--kafka", default=jars.DEFAULT_VERSION, metavar="VERSION", help="release of the Java classes")
    parser.add_argument("--json", action="store_true", help="the figures as JSON on stdout")
    args = parser.parse_args()
    peers = [name for name in args.peers.split(",") if name]
    if unknown := set(peers) - set(MAKES[1:]):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    makes, every = ["pykraft", *peers], cases()
    for number in range(args.rounds):
        for make in makes:
            tell(f"round {number + 1} of {args.rounds}: {make}")
            measure(make, every, args.kafka)
    good = all(case.good(make, direction) for case in every for make, direction in GOALS)
    if args.json:
        print(json.dumps(as_json(every, makes, good), indent=1))
    else:
        print(f"codec ({machine()})")
        print("\n".join(table(every, makes)))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
