"""The metadata log: printed, started on, appended to and replayed, pykraft beside Kafka's own tools.

On one generated log: the whole process of the dump tool, its text thrown away; the start of a controller on it, from
the process's start until a request that needs an active controller is answered as one, and the memory it then holds.
pykraft alone: appending records in batches, with what the time goes into, and the memory of a replayed log.
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pykraft.lab import jars, tools
from pykraft.lab.cluster import HOST, Lab, Node, new_cluster_id
from pykraft.lab.errors import LabError
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_heartbeat_response import BrokerHeartbeatResponseData
from pykraft.protocol.messages.request_header import RequestHeaderData
from tools.benchmarks.compare import Figure, makes, parser, report, tell, work_folder
from tools.benchmarks.log_sample import NODE_ID, write_log
from tools.benchmarks.start import resident_mb

DUMP_TIMEOUT_S = 300.0
ACTIVE_TIMEOUT_S = 180.0
RETRY_INTERVAL_S = 0.005
MEMORY_PER_PARTITION_MAX = 600
_LENGTH = struct.Struct(">i")

# Both run in processes of their own: memory is counted from their start, and nothing of the other is in it.
_REPLAY = """
import json, sys
from pathlib import Path
from pykraft.cli.log_common import Bar
from pykraft.replay.recorded import RecordedLog
from tools.benchmarks.start import resident_mb
import os, time
before, begun = resident_mb(os.getpid()), time.perf_counter()
with Bar("replay") as bar:
    image = RecordedLog.at(Path(sys.argv[1])).image(progress=bar)
seconds = time.perf_counter() - begun
print(json.dumps({"bytes": (resident_mb(os.getpid()) - before) * 1024 * 1024, "partitions": image.partition_count,
                  "records": image.offset + 1, "seconds": seconds}))
"""
_APPEND = """
import json, os, sys, time
from pathlib import Path
from pykraft.log import batch, metadata_log
from tools.benchmarks.log_sample import values
spent = {"crc": 0.0, "encode": 0.0, "fsync": 0.0}
def timed(module, name, what):
    inner = getattr(module, name)
    def call(*arguments, **options):
        begun = time.perf_counter()
        try:
            return inner(*arguments, **options)
        finally:
            spent[what] += time.perf_counter() - begun
    setattr(module, name, call)
timed(batch, "crc32c", "crc")
timed(metadata_log, "sync_data", "fsync")
records, size = int(sys.argv[2]), int(sys.argv[3])
made = list(values(records, 100))[:records]
with metadata_log.MetadataLog.open(Path(sys.argv[1])) as log:
    begun = time.perf_counter()
    for first in range(0, records, size):
        started, crc = time.perf_counter(), spent["crc"]
        data = batch.encode_batch(made[first:first + size], base_offset=log.end_offset, leader_epoch=1,
                                  timestamp_ms=1795255047007)
        spent["encode"] += time.perf_counter() - started - (spent["crc"] - crc)
        log.append([data])
    seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, **spent}))
"""


def dump(make: str, log: Path, version: str) -> float:
    """Seconds that one make's dump tool takes, the whole process."""
    if make == "pykraft":
        command = [sys.executable, "-m", "pykraft", "log", "dump", str(log)]
    else:
        command = [jars.java(), "-cp", jars.class_path(version), tools.DUMP_LOG, "--cluster-metadata-decoder",
                   "--files", str(log)]  # fmt: skip
    begun = time.monotonic()
    subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=True,
        timeout=DUMP_TIMEOUT_S,
    )  # fmt: skip
    return time.monotonic() - begun


def wait_active(node: Node) -> float:
    """Seconds from the process's start until the node answers as an active controller. Raises LabError."""
    deadline = node.process.begun + ACTIVE_TIMEOUT_S
    while True:
        try:
            if _heartbeat_error(node.port) != ErrorCode.NOT_CONTROLLER:
                return time.monotonic() - node.process.begun
        except OSError:
            pass  # not listening yet
        if not node.process.running:
            raise node.process.failure(f"ended with {node.process.returncode} before it was active")
        if time.monotonic() > deadline:
            raise node.process.failure(f"is not active within {ACTIVE_TIMEOUT_S:.0f} s")
        time.sleep(RETRY_INTERVAL_S)


def _heartbeat_error(port: int) -> int:
    """The error that a heartbeat of a broker nobody knows gets."""
    request = BrokerHeartbeatRequestData(broker_id=999, broker_epoch=1)
    header = RequestHeaderData(request_api_key=request.API_KEY, request_api_version=1, correlation_id=1, client_id="b")
    frame = encode_request(header, request)
    with socket.create_connection((HOST, port), 10.0) as connection:
        connection.sendall(_LENGTH.pack(len(frame)) + frame)
        (size,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
        answer = decode_response(_exactly(connection, size), request.API_KEY, 1)[2]
    assert isinstance(answer, BrokerHeartbeatResponseData)
    return answer.error_code


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise ConnectionResetError
        data += chunk
    return data


def start(make: str, data: Path, cluster_id: str, args: Any) -> tuple[float, float]:
    """(seconds until active, MB held after a while) of one make's controller on a copy of the log."""
    with work_folder() as folder, Lab(folder, args.kafka) as lab:
        home = folder / f"controller-{NODE_ID}" / "data"
        shutil.copytree(data, home)
        if make == "pykraft":
            node: Node = lab.pykraft(NODE_ID, cluster_id=cluster_id, wait=False)
        else:
            node = lab.kraft_controller(NODE_ID, cluster_id, heap_mb=args.heap, wait=False)
        seconds = wait_active(node)
        time.sleep(args.idle)
        return seconds, resident_mb(node.process.pid)


def child(script: str, *arguments: str) -> dict[str, Any]:
    """What a process of ours printed as JSON; its bar, on a terminal, is seen."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise LabError(f"a measuring process ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def alone(folder: Path, args: Any) -> tuple[dict[str, str], bool]:
    """Figures that only pykraft has, and whether they are good."""
    appended = child(_APPEND, str(folder / "append"), str(args.append), str(args.batch))
    total = appended["seconds"]
    shares = ", ".join(f"{name} {appended[name] / total:.0%}" for name in ("crc", "encode", "fsync"))
    notes = {f"append {args.append} records, {args.batch} a batch": f"{total:.2f} s ({shares})"}
    big = write_log(folder / "big", args.replay, args.topic, new_cluster_id())
    replayed = child(_REPLAY, str(big))
    each = replayed["bytes"] / replayed["partitions"]
    good = each <= MEMORY_PER_PARTITION_MAX
    verdict = "met" if good else "MISSED"
    notes[f"replay of {replayed['records']} records"] = (
        f"{replayed['seconds']:.1f} s, {each:.0f} bytes a partition (goal ≤ {MEMORY_PER_PARTITION_MAX}: {verdict})"
    )
    return notes, good


def main() -> int:
    """Measure and report."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--partitions", type=int, default=200_000, help="PartitionRecords in the log (200000)")
    options.add_argument("--topic", type=int, default=100, help="partitions of a topic (100)")
    options.add_argument("--append", type=int, default=100_000, help="records to append (100000)")
    options.add_argument("--batch", type=int, default=1000, help="records of an appended batch (1000)")
    options.add_argument("--replay", type=int, default=2_000_000, help="partitions to replay (2000000)")
    options.add_argument("--heap", type=int, default=1024, metavar="MB", help="heap of Kafka's controller (1024)")
    options.add_argument("--idle", type=float, default=2.0, metavar="S", help="seconds before memory is read (2)")
    args = options.parse_args()
    jars.ensure(args.kafka, tell)
    figures = [
        Figure(f"dump of {args.partitions} partitions", "s", ratio_max=1 / 3),
        Figure("start to active on it", "s", ratio_max=1 / 4),
        Figure("resident memory then", "MB", ratio_max=1 / 3),
    ]
    with work_folder() as folder:
        cluster_id = new_cluster_id()
        log = write_log(folder / "data", args.partitions, args.topic, cluster_id)
        tell(f"log of {log.stat().st_size / 1e6:.1f} MB")
        for run, make in makes(args):
            seconds = dump(make, log, args.kafka)
            active, memory_mb = start(make, folder / "data", cluster_id, args)
            tell(f"run {run + 1} {make:<8} dump {seconds:6.3f} s  active {active:6.3f} s  {memory_mb:6.1f} MB")
            for figure, value in zip(figures, (seconds, active, memory_mb), strict=True):
                figure.values[make].append(value)
        notes, good = alone(folder, args) if args.only != "kafka" else ({}, True)
    code = report("the metadata log", figures, as_json=args.json, notes=notes)
    return code or (0 if good else 1)


if __name__ == "__main__":
    sys.exit(main())
