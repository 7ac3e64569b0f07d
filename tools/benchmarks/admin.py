"""Topics created and a broker that fails, at pykraft's controller beside Kafka's, with ZooKeeper in dual write too.

Three simulated brokers read the metadata log of each controller; in dual write they are in ZooKeeper mode and take
LeaderAndIsr and UpdateMetadata. A client sends CreateTopics to the controller (one topic of 1 000 partitions, 1 000
topics of one), and has a broker that leads 10 000 partitions fenced, as at the end of its session, by a heartbeat that
asks for it, so that the begin is known. Times are from sending the request: "answer" to its answer, which comes after
the commit; "records" until the last record is at the last broker; "requests" until the last LeaderAndIsr and
UpdateMetadata are at the last broker; "znodes" until the last znode is written. Then the cost of each partition by the
size of the cluster, until all is out, and the memory at the largest; in dual write pykraft's alone, as Kafka's takes
minutes.

Both controllers run all the time and take turns. Kafka's has the JVM options of its own start script. The first rounds
of each are not counted: they are its warm-up.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pykraft.lab import jars
from tools.benchmarks.admin_cluster import FAILING, Cluster, Times, clusters
from tools.benchmarks.compare import MAKES, Figure, parser, report, tell, work_folder
from tools.benchmarks.start import resident_mb

KRAFT: Final = "KRaft"
DUAL: Final = "dual"
ONE_TOPIC: Final = "1 topic of 1 000"
MANY_TOPICS: Final = "1 000 topics of 1"
FAILURE: Final = "10 000 leaders lost"
CREATION: Final = "creation"
LOST: Final = "leaders lost"
TOPIC_PARTITIONS: Final = 1_000
LED_PARTITIONS: Final = 10_000
SIZES: Final = (1_000, 10_000, 100_000)
QUICK_SIZES: Final = (1_000, 10_000)
SIZE_RUNS_MIN: Final = 3
SIZE_RUNS_MAX: Final = 7
SIZE_PARTITIONS: Final = 30_000
"""How many partitions all runs of one size have together, unless it needs more for the runs it has at least."""
GROWTH_MAX: Final = 1.2
SETTLE_S: Final = 4.0

ENDS: Final = {"answer_ms": "answer", "records_ms": "records", "rpcs_ms": "requests", "znodes_ms": "znodes"}
"""The fields of Times, and what a figure calls the end of the time: see the text at the top."""


class Loads:
    """The figures of the three loads in one mode."""

    def __init__(self, mode: str, ends: tuple[str, ...]) -> None:
        self.mode, self._ends = mode, ends
        self.figures = {
            (load, end): Figure(f"{mode}, {load}: {ENDS[end]}", "ms", ratio_max=1.0)
            for load in (ONE_TOPIC, MANY_TOPICS, FAILURE)
            for end in ends
        }

    def take(self, make: str, load: str, times: Times) -> None:
        """Count one measurement."""
        for end in self._ends:
            self.figures[load, end].values[make].append(getattr(times, end))

    def text(self, load: str, times: Times) -> str:
        """For the progress."""
        return f"{load}: " + ", ".join(f"{getattr(times, end):.0f}" for end in self._ends) + " ms"


def topics(name: str, partitions: int) -> dict[str, int]:
    """Names of topics of TOPIC_PARTITIONS each."""
    return {f"{name}-{number}": TOPIC_PARTITIONS for number in range(partitions // TOPIC_PARTITIONS)}


def one_round(cluster: Cluster, name: str, *, check_zookeeper: bool) -> dict[str, Times]:
    """The three loads on a cluster without topics, which has none again afterwards."""
    one, many = {f"{name}-one": TOPIC_PARTITIONS}, {f"{name}-many-{number}": 1 for number in range(TOPIC_PARTITIONS)}
    led = topics(f"{name}-led", LED_PARTITIONS)
    result = {ONE_TOPIC: cluster.create(one)}
    cluster.delete(list(one))
    result[MANY_TOPICS] = cluster.create(many)
    cluster.delete(list(many))
    cluster.create_led(led, FAILING)
    result[FAILURE] = cluster.fail(FAILING, LED_PARTITIONS)
    if check_zookeeper:
        cluster.check_zookeeper(led, FAILING)
    cluster.revive(FAILING)
    cluster.delete(list(led))
    return result


def measure_loads(args: argparse.Namespace, loads: Loads, folder: Path, *, dual_write: bool) -> list[Figure]:
    """Rounds of the three loads, the makes taking turns."""
    warmups = args.warmups if not dual_write else args.dual_warmups
    with clusters(folder, wanted(args), args.kafka, dual_write=dual_write) as running:
        for number in range(warmups + args.runs):
            last = number == warmups + args.runs - 1
            for make, cluster in running.items():
                times = one_round(cluster, f"round-{number}", check_zookeeper=dual_write and last)
                if number >= warmups:
                    for load, each in times.items():
                        loads.take(make, load, each)
                what = "warm-up" if number < warmups else f"run {number - warmups + 1}"
                tell(f"{loads.mode} {what} {make:<8} " + "; ".join(loads.text(*each) for each in times.items()))
    return list(loads.figures.values())


@dataclass
class Sizes:
    """The cost of each partition by the number there are, in one mode, and the memory that the most of them take."""

    mode: str
    sizes: tuple[int, ...]
    figures: dict[tuple[str, int], Figure] = field(default_factory=dict)
    memory: Figure = field(init=False)

    def __post_init__(self) -> None:
        self.memory = Figure(f"{self.mode}, memory with {_spaced(self.sizes[-1])}", "MB")
        for load in (CREATION, LOST):
            for size in self.sizes:
                self.figures[load, size] = Figure(f"{self.mode}, {load} of {_spaced(size)}, each", "µs")

    def growth(self, load: str, make: str) -> float:
        """The largest cost of a partition over that in the smallest cluster."""
        medians = [self.figures[load, size].median(make) for size in self.sizes]
        return max(medians) / medians[0]

    def notes(self, makes: Sequence[str]) -> tuple[dict[str, str], bool]:
        """How much the costs grow, and whether pykraft's grow little enough."""
        notes, good = {}, True
        for load in (CREATION, LOST):
            for make in makes:
                growth = self.growth(load, make)
                goal = ""
                if make == "pykraft":
                    flat = growth <= GROWTH_MAX
                    good = good and flat
                    goal = f" (goal ≤ {GROWTH_MAX}: {'met' if flat else 'MISSED'})"
                notes[f"{self.mode}, {load}, {make}: most / in the smallest"] = f"{growth:.2f}{goal}"
        return notes, good


def measure_sizes(args: argparse.Namespace, sizes: Sizes, makes: Sequence[str], folder: Path) -> None:
    """Clusters of each size, the makes taking turns; the first are not counted. Times are until all is out."""
    dual_write = sizes.mode == DUAL
    with clusters(folder, makes, args.kafka, dual_write=dual_write) as running:
        for number, (size, counts) in enumerate(size_plan(sizes.sizes)):
            for make, cluster in running.items():
                led = topics(f"size-{number}", size)
                created = sum(each.last_ms for each in cluster.create_led(led, FAILING)) * 1000 / size
                if size == sizes.sizes[-1]:
                    sizes.memory.values[make].append(_resident_mb(cluster))
                lost = cluster.fail(FAILING, size).last_ms * 1000 / size
                cluster.revive(FAILING)
                cluster.delete(list(led))
                tell(
                    f"{sizes.mode}, {_spaced(size)} partitions{'' if counts else ', warm-up'} {make:<8} "
                    f"{CREATION} {created:.1f} µs each; {LOST} {lost:.1f} µs each"
                )
                if counts:
                    sizes.figures[CREATION, size].values[make].append(created)
                    sizes.figures[LOST, size].values[make].append(lost)


def size_plan(sizes: Sequence[int]) -> list[tuple[int, bool]]:
    """(size, whether it counts), in order: a warm-up, then small ones more often, as what disturbs is more to them."""
    runs = [
        (size, True) for size in sizes for _ in range(max(SIZE_RUNS_MIN, min(SIZE_RUNS_MAX, SIZE_PARTITIONS // size)))
    ]
    return [(sizes[0], False), (sizes[1], False), *runs]


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _resident_mb(cluster: Cluster) -> float:
    time.sleep(SETTLE_S)
    return resident_mb(cluster.node.process.pid)


def wanted(args: argparse.Namespace) -> list[str]:
    """The makes to measure."""
    return [make for make in MAKES if args.only in (None, make)]


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    result = parser(__doc__.splitlines()[0])
    result.epilog = "example: tools/bench admin --quick --parts kraft"
    result.add_argument("--warmups", type=int, default=10, metavar="N", help="rounds that do not count (10)")
    result.add_argument("--dual-warmups", type=int, default=3, metavar="N", help="the same in dual write (3)")
    result.add_argument("--parts", default="kraft,dual,sizes", metavar="P[,P]", help="kraft, dual, sizes (all)")
    result.add_argument("--quick", action="store_true", help="one warm-up, one run, no size above 10 000: a look only")
    args = result.parse_args(arguments)
    args.parts = args.parts.split(",")
    if unknown := set(args.parts) - {"kraft", "dual", "sizes"}:
        result.error(f"no such part: {', '.join(sorted(unknown))}")
    if args.quick:
        args.warmups = args.dual_warmups = args.runs = 1
    return args


def main() -> int:
    """Measure and report."""
    args = options()
    jars.ensure(args.kafka, tell)
    figures: list[Figure] = []
    notes: dict[str, Any] = {}
    good = True
    parts: dict[str, Callable[[Path], list[Figure]]] = {
        "kraft": lambda folder: measure_loads(
            args, Loads(KRAFT, ("answer_ms", "records_ms")), folder, dual_write=False
        ),
        "dual": lambda folder: measure_loads(args, Loads(DUAL, tuple(ENDS)), folder, dual_write=True),
    }
    for part, measure in parts.items():
        if part in args.parts:
            with work_folder() as folder:
                figures += measure(folder)
    if "sizes" in args.parts:
        for mode, makes in ((KRAFT, wanted(args)), (DUAL, [make for make in wanted(args) if make == "pykraft"])):
            sizes = Sizes(mode, QUICK_SIZES if args.quick else SIZES)
            if makes:
                with work_folder() as folder:
                    measure_sizes(args, sizes, makes, folder)
                more, flat = sizes.notes(makes)
                notes |= more
                good = good and flat
                figures += [*sizes.figures.values(), sizes.memory]
    notes["not counted before"] = f"{args.warmups} rounds, {args.dual_warmups} in dual write"
    code = report("topics and broker failures", figures, as_json=args.json, notes=notes)
    return code or (0 if good else 1)


if __name__ == "__main__":
    sys.exit(main())
