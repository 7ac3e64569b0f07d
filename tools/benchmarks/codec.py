"""The codec beside its peers, on the same bytes: pykraft, kio, kafka-python and Kafka's own Java classes.

Times are the fastest of many, each make in a process of its own, the makes taking turns; Java is warmed up and has one
turn. A ratio is pykraft / peer. The goals: against kio encode within a tenth and decode below it (its decoder is native
Rust); against kafka-python both within a fifth. Kafka's Java has no goal: it is there for honesty. Like is compared
with like: what reads a version is looked up in each call by all makes, or by none ("looked up once"); where a make does
not build what others build, its goal is held on decoding alone and on decoding and then reading each field. Messages
whose elements differ in their lengths ("mixed") are shown without a goal. Ends with 1 when a goal is missed, with 2
when something could not be measured. Takes about two minutes with three rounds; it says so. The Python peers are
installed by pip into `.venv-bench` of the checkout when they are missing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pykraft.lab import jars
from pykraft.protocol._layout import layout
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol.messages import broker_heartbeat_request, fetch_response, leader_and_isr_request
from pykraft.protocol.messages import metadata_response as metadata
from pykraft.protocol.messages import update_metadata_request as update_metadata
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = Path(__file__).parent / "codec_peers"
PEER_PYTHON: Final = ROOT / ".venv-bench"
PEER_PACKAGES: Final = ("kio==0.6.5", "kafka-python==3.0.12")
MAKES: Final = ("pykraft", "kio", "kafka-python", "java")
# What is measured, and how the table calls it.
DIRECTIONS: Final = {"encode": "encode", "decode": "decode", "read": "decode and read each field"}
# pykraft / peer
GOALS: Final = {("kio", "encode"): 0.1, ("kio", "decode"): 1.0,
                ("kafka-python", "encode"): 0.2, ("kafka-python", "decode"): 0.2}  # fmt: skip
# A turn is this much longer than what is planned only when a make hangs.
TURN_TIMEOUT_S: Final = 300
# What one function takes, in seconds, as measure.py and Measure.java have it, with the start around it.
PLANNED_S: Final = {"pykraft": 0.27, "kio": 0.27, "kafka-python": 0.27, "java": 2.5}
REPLICAS: Final = [1, 2, 3]
TOPIC_ID: Final = bytes(range(16))


@dataclass(slots=True)
class Case:
    """One message on the bench: the times by make and direction, in microseconds.

    `bound`: what reads and writes the version is looked up once. `lazy`: the makes that do not build all of it when
    they decode, and what they leave out; their goal is held on reading it, too. `mixed`: its elements differ in their
    lengths, there is no goal.
    """

    name: str
    value: Message
    version: int
    bound: bool = False
    lazy: dict[str, str] = field(default_factory=dict)
    mixed: bool = False
    times_us: dict[tuple[str, str], float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def class_name(self) -> str:
        return type(self.value).__name__

    @property
    def directions(self) -> list[str]:
        return [direction for direction in DIRECTIONS if direction != "read" or self.lazy]

    def ratio(self, make: str, direction: str) -> float:
        """pykraft / peer; NaN when one was not measured."""
        own, other = (self.times_us.get((which, direction), math.nan) for which in ("pykraft", make))
        return own / other

    def goal(self, make: str, direction: str) -> float:
        """The greatest ratio that is good; infinite when there is no goal."""
        if self.mixed:
            return math.inf
        return GOALS.get((make, "decode" if direction == "read" else direction), math.inf)

    def good(self, make: str, direction: str) -> bool:
        """Whether the goal is met; yes when there is none, or the peer does not offer the message."""
        return not self.ratio(make, direction) > self.goal(make, direction)


def metadata_value(topics: int, partitions: int, lagging: int = 0) -> Message:
    """A MetadataResponse; of `lagging` partitions one has a replica that is not in sync, if it is not 0."""
    behind = set(random.Random(lagging).sample(range(partitions), partitions // lagging)) if lagging else set()

    def partition(number: int) -> metadata.MetadataResponsePartition:
        out = number in behind
        isr, offline = (REPLICAS[:2], REPLICAS[2:]) if out else (REPLICAS, [])
        return metadata.MetadataResponsePartition(0, number, REPLICAS[number % 2], 5, REPLICAS, isr, offline)

    return metadata.MetadataResponseData(
        brokers=[metadata.MetadataResponseBroker(number, f"broker{number}.example", 9092) for number in REPLICAS],
        cluster_id="AAAAAAAAAAAAAAAAAAAAAA", controller_id=1,
        topics=[metadata.MetadataResponseTopic(
            name=f"topic-{topic}", topic_id=TOPIC_ID, partitions=[partition(number) for number in range(partitions)],
        ) for topic in range(topics)],
    )  # fmt: skip


def fetch_value(*, records: bool = False) -> Message:
    """A FetchResponse of 1000 partitions; with `records`, 100 to 299 bytes of them in each."""
    sizes = random.Random(1)
    return fetch_response.FetchResponseData(session_id=7, responses=[
        fetch_response.FetchableTopicResponse(topic_id=TOPIC_ID, partitions=[
            fetch_response.PartitionData(number, 0, 1000 + number, 1000 + number, 0, aborted_transactions=None,
                                         records=bytes(sizes.randrange(100, 300)) if records else None)
            for number in range(1000)]),
    ])  # fmt: skip


def raft_fetch_value() -> Message:
    """What a broker gets that fetches the metadata log: one partition, its leader, a batch of a thousand bytes."""
    partition = fetch_response.PartitionData(
        0, 0, 5000, -1, 0, current_leader=fetch_response.LeaderIdAndEpoch(3000, 1), aborted_transactions=None,
        records=bytes(1000))  # fmt: skip
    topic = fetch_response.FetchableTopicResponse(topic_id=TOPIC_ID, partitions=[partition])
    return fetch_response.FetchResponseData(session_id=7, responses=[topic])


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
    record = PartitionRecord(
        partition_id=7, topic_id=TOPIC_ID, replicas=REPLICAS, isr=REPLICAS, leader=1, leader_epoch=5, partition_epoch=5
    )
    change = PartitionChangeRecord(partition_id=7, topic_id=TOPIC_ID, isr=REPLICAS[:2], leader=2)
    heartbeat = broker_heartbeat_request.BrokerHeartbeatRequestData(1, 77, 1234)
    return [
        Case("MetadataResponse v12, 1 x 1000 partitions", metadata_value(1, 1000), 12),
        Case("MetadataResponse v12, 40 x 25 partitions", metadata_value(40, 25), 12),
        Case("FetchResponse v17, 1000 partitions", fetch_value(), 17,
             lazy={"kafka-python": "absent tagged structs, three in each partition"}),
        Case("UpdateMetadata v8, 1000 partitions", update_metadata_value(), 8),
        Case("LeaderAndIsr v7, 1000 partitions", leader_and_isr_value(), 7),
        Case("PartitionRecord v2", record, 2),
        Case("PartitionRecord v2, looked up once", record, 2, bound=True),
        Case("BrokerHeartbeat v1", heartbeat, 1),
        Case("BrokerHeartbeat v1, looked up once", heartbeat, 1, bound=True),
        Case("mixed: MetadataResponse v12, 1 x 1000, 1 in 20 lagging", metadata_value(1, 1000, 20), 12, mixed=True),
        Case("mixed: MetadataResponse v12, 1 x 1000, 1 in 5 lagging", metadata_value(1, 1000, 5), 12, mixed=True),
        Case("mixed: MetadataResponse v12, 1000 x 1 partition", metadata_value(1000, 1), 12, mixed=True),
        Case("mixed: FetchResponse v17, 1000 x 100-299 bytes", fetch_value(records=True), 17, mixed=True),
        Case("mixed: FetchResponse v17 of raft", raft_fetch_value(), 17, mixed=True),
        Case("mixed: PartitionChangeRecord v2", change, 2, mixed=True),
    ]  # fmt: skip


def names_of(cls: type[AnyStruct], version: int) -> dict[str, Any]:
    """The attributes that a version has, as measure.py is told them."""
    names: dict[str, Any] = {"plain": [], "structs": {}, "arrays": {}}
    for one in layout(cls):
        if version in one.versions:
            if one.struct is None:
                names["plain"].append(one.attr)
            else:
                names["arrays" if one.is_array else "structs"][one.attr] = names_of(one.struct, version)
    return names


def peer_python() -> str:
    """The interpreter that has the Python peers; they are installed when it is not there."""
    python = PEER_PYTHON / "bin" / "python"
    wanted = PEER_PYTHON / "installed"
    if not wanted.exists() or wanted.read_text("utf-8").split() != list(PEER_PACKAGES):
        tell(f"installing {' and '.join(PEER_PACKAGES)} into {PEER_PYTHON}")
        venv.create(PEER_PYTHON, with_pip=True, clear=True)
        (PEER_PYTHON / ".gitignore").write_text("*\n", "utf-8")
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=False)
        if done.returncode:
            tell(f"pip could not install {' and '.join(PEER_PACKAGES)}: measure without them by --peers java")
            raise SystemExit(2)
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
    return json.dumps({
        "name": case.name, "schema": case.class_name.removesuffix("Data"), "version": case.version, "hex": raw,
        "bound": case.bound, "read": names_of(type(case.value), case.version) if case.lazy else None,
    })  # fmt: skip


def asked(make: str, every: list[Case]) -> list[Case]:
    """The messages a make is asked for: Java's classes have nothing to look up."""
    return [case for case in every if make != "java" or not case.bound]


def measure(make: str, every: list[Case], kafka: str) -> None:
    """Measure all messages with one make; keeps the faster time where there is one already."""
    every = asked(make, every)
    lines = "".join(question(make, case) + "\n" for case in every)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} if make == "pykraft" else None
    try:
        done = subprocess.run(command(make, kafka), input=lines, env=environment, capture_output=True, text=True,
                              encoding="utf-8", timeout=TURN_TIMEOUT_S, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        tell(f"{make} has not ended within {TURN_TIMEOUT_S} s")
        raise SystemExit(2) from None
    if done.returncode:
        tell(f"{make} ended with {done.returncode}:\n{done.stderr}")
        raise SystemExit(2)
    answers = {told["name"]: told for told in map(json.loads, done.stdout.splitlines())}
    for case in every:
        told: dict[str, Any] = answers[case.name]
        for direction in DIRECTIONS:
            if f"{direction}_us" in told:
                best = case.times_us.get((make, direction), math.inf)
                case.times_us[make, direction] = min(best, told[f"{direction}_us"])
        if "wrong" in told:
            case.notes[make] = told["wrong"]


def turns(makes: list[str], rounds: int) -> list[str]:
    """Who has its turn when; Java, whose warm-up takes longest and which has no goal, only once."""
    return [make for number in range(rounds) for make in makes if number == 0 or make != "java"]


def planned_s(make: str, every: list[Case]) -> float:
    """How long a turn is going to take."""
    functions = [direction for case in asked(make, every) for direction in case.directions]
    return PLANNED_S[make] * sum(make != "java" or direction != "read" for direction in functions)


def tell(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def table(every: list[Case], makes: list[str]) -> Iterator[str]:
    peers = [make for make in makes if make != "pykraft"]
    yield f"{'microseconds; in brackets pykraft / peer':<66}" + "".join(f"{make:>22}" for make in makes)
    for case in every:
        for direction in case.directions:
            cells = [f"{_time(case.times_us.get(('pykraft', direction)))}          "] if "pykraft" in makes else []
            for make in peers:
                cell = _time(case.times_us.get((make, direction)))
                ratio = case.ratio(make, direction)
                mark = " " if case.good(make, direction) else "!"
                cells.append(f"{cell} ({ratio:6.3f}){mark}" if not math.isnan(ratio) else f"{cell}          ")
            yield (
                f"{case.name + ', ' + DIRECTIONS[direction]:<66}" + "".join(f"{cell:>22}" for cell in cells)
            ).rstrip()
        yield from (f"    {make} {note}" for make, note in case.notes.items())
        yield from (f"    {make} does not build {what}" for make, what in case.lazy.items() if make in makes)
    yield "- : the peer does not offer it; ! : a goal is missed; mixed: elements of different lengths, no goal"
    for (make, direction), goal in GOALS.items():
        if make in makes:
            met = goal_met(every, make, direction)
            yield f"goal: {direction} at most {goal} of {make}'s time: {'met' if met else 'MISSED'}"


def goal_met(every: list[Case], make: str, direction: str) -> bool:
    """Whether a goal is met by all messages; that of decoding by reading, too."""
    ways = ("decode", "read") if direction == "decode" else (direction,)
    return all(case.good(make, way) for case in every for way in ways)


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
                                   if (make, direction) in case.times_us} for direction in case.directions},
            **{f"{direction}_ratio": {make: case.ratio(make, direction) for make in makes
                                      if make != "pykraft" and not math.isnan(case.ratio(make, direction))}
               for direction in case.directions},
            "lazy": case.lazy,
            "mixed": case.mixed,
            "notes": case.notes,
        } for case in every],
        "goals": [{"peer": make, "direction": direction, "ratio_max": goal,
                   "good": goal_met(every, make, direction)}
                  for (make, direction), goal in GOALS.items() if make in makes],
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
    order = turns(makes, args.rounds)
    total, begun = sum(planned_s(make, every) for make in order), time.monotonic()
    tell(f"{len(order)} turns, about {total:.0f} s in all")
    for number, make in enumerate(order, 1):
        tell(f"turn {number} of {len(order)}, after {time.monotonic() - begun:.0f} s: {make}")
        measure(make, every, args.kafka)
    if missing := [case.name for case in every for way in case.directions if ("pykraft", way) not in case.times_us]:
        tell(f"pykraft did not measure {', '.join(dict.fromkeys(missing))}")
        return 2
    good = all(goal_met(every, make, direction) for make, direction in GOALS)
    if args.json:
        print(json.dumps(as_json(every, makes, good), indent=1))
    else:
        print(f"codec ({machine()})")
        print("\n".join(table(every, makes)))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
