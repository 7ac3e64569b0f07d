"""The copy of a ZooKeeper tree into the metadata log: pykraft's controller beside Kafka's.

Each run has a ZooKeeper of its own with the same tree, a new controller, and three simulated brokers in migration mode.
Time: of the copy, from the begin of its metadata transaction to the commit of its end, as each controller tells it; and
the time between the same two records by their timestamps in the log, which both makes write the same way.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from pykraft.lab import jars
from pykraft.lab.cluster import HOST, Lab, Node
from pykraft.lab.errors import LabError
from pykraft.lab.watch import Status, Watch
from pykraft.log.batch import Batch, iter_batches
from pykraft.protocol.record_frame import decode_record
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.testing.simulated_broker import SimulatedBroker, running
from tools.benchmarks import tree
from tools.benchmarks.compare import Figure, makes, parser, report, tell, work_folder

HEAP_MB = 1024
MIGRATION_TIMEOUT_S = 600.0
POLL_INTERVAL_S = 0.05
GOAL_RATIO = 1 / 8
GOAL_PARTITIONS = 5_000


def main() -> int:
    """Measure and report."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument(
        "--partitions",
        type=_sizes,
        default=[GOAL_PARTITIONS],
        metavar="N[,N]",
        help="sizes of the tree, 25 partitions to a topic (5000)",
    )
    args = options.parse_args()
    jars.ensure(args.kafka, tell)
    figures = []
    for partitions in args.partitions:
        with work_folder() as folder:
            figures += _measure(args, partitions, folder)
    flat = [figure for figure in figures if figure.unit == "µs"]
    notes = {
        f"{make}, cost per partition, largest tree / smallest": round(flat[-1].median(make) / flat[0].median(make), 2)
        for make in ("pykraft", "kafka")
        if len(flat) > 1 and args.only in (None, make)
    }
    return report("copy from ZooKeeper", figures, as_json=args.json, notes=notes)


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _measure(args: object, partitions: int, folder: Path) -> list[Figure]:
    version: str = args.kafka  # type: ignore[attr-defined]
    goal = GOAL_RATIO if partitions == GOAL_PARTITIONS else None
    own = Figure(f"copy of {partitions} partitions", "ms", goal)
    logged = Figure(f"copy of {partitions}, by the log's times", "ms")
    each = Figure(f"one of {partitions} partitions", "µs")
    ready = Figure(f"registered to dual write, {partitions}", "s")
    template, cluster_id = _make_template(folder, version, partitions)
    records: dict[str, set[int]] = {"pykraft": set(), "kafka": set()}
    for run, make in makes(args):  # type: ignore[arg-type]
        place = folder / f"{make}-{run}"
        shutil.copytree(template, place / "zookeeper/data")
        status, log_ms, seconds = _migrate(make, place, version, cluster_id)
        assert status.copy_ms is not None
        assert status.copied_records is not None
        tell(
            f"{partitions} partitions, run {run + 1} {make:<8} {status.copy_ms:8.0f} ms  {log_ms:8.0f} ms by the log  "
            f"{status.copied_records} records  dual write after {seconds:.1f} s"
        )
        own.values[make].append(status.copy_ms)
        logged.values[make].append(log_ms)
        each.values[make].append(status.copy_ms * 1000 / partitions)
        ready.values[make].append(seconds)
        records[make].add(status.copied_records)
        shutil.rmtree(place)
    if len(set.union(*records.values())) > 1:
        raise LabError(f"the makes did not copy the same number of records: {records}")
    return [own, logged, each, ready]


def _make_template(folder: Path, version: str, partitions: int) -> tuple[Path, str]:
    """The data directory of a ZooKeeper that holds the tree, and the cluster id in it."""
    begun = time.monotonic()
    with Lab(folder / "template", version) as lab:
        zookeeper = lab.zookeeper(heap_mb=HEAP_MB)
        cluster_id = tree.load(zookeeper.address, partitions)
        zookeeper.stop()
    tell(f"{partitions} partitions written into a ZooKeeper in {time.monotonic() - begun:.1f} s")
    return folder / "template/zookeeper/data", cluster_id


def _migrate(make: str, folder: Path, version: str, cluster_id: str) -> tuple[Status, float, float]:
    """One run: how it stood at the end, milliseconds by the log, seconds from registration to dual write."""
    with Lab(folder, version) as lab:
        zookeeper = lab.zookeeper(heap_mb=HEAP_MB)
        if make == "pykraft":
            controller: Node = lab.pykraft(3000, zookeeper=zookeeper.address)
        else:
            controller = lab.kraft_controller(3000, cluster_id, zookeeper=zookeeper.address, heap_mb=HEAP_MB)
        watch = Watch(controller, zookeeper.address, None, lambda _: None, lambda _: None)
        brokers = [SimulatedBroker(each, cluster_id, (HOST, controller.port)) for each in range(tree.BROKERS)]
        watch.start()
        begun = time.monotonic()
        try:
            with running(brokers):
                controller.process.wait_for(
                    lambda: watch.status.state == "DUAL_WRITE", "reached DUAL_WRITE", MIGRATION_TIMEOUT_S
                )
        finally:
            watch.stop()
        seconds = time.monotonic() - begun
        return watch.status, _logged_ms(controller.folder / "data"), seconds


def _logged_ms(data: Path) -> float:
    """Milliseconds from the record that begins the copy's transaction to the one that ends it."""
    begun = None
    for segment in sorted((data / "__cluster_metadata-0").glob("*.log")):
        for batch in iter_batches(segment.read_bytes()):
            # The second byte of a record is its API key; all of these keys are below 128.
            keys = set() if batch.header.is_control else {value[1] for value in batch.values}
            if BeginTransactionRecord.API_KEY in keys and _begins_copy(batch):
                begun = batch.header.base_timestamp_ms
            if EndTransactionRecord.API_KEY in keys and begun is not None:
                return float(batch.header.max_timestamp_ms - begun)
    raise LabError(f"the log in {data} holds no whole copy")


def _begins_copy(batch: Batch) -> bool:
    messages = (decode_record(value).message for value in batch.values)
    return any(isinstance(each, BeginTransactionRecord) and each.name == "ZK Migration" for each in messages)


if __name__ == "__main__":
    sys.exit(main())
