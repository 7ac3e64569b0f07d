"""From process start to the first answer, and the memory held then: pykraft's controller beside Kafka's.

A controller alone in its quorum, on a new directory (Kafka's is formatted before). Time: from the start of the process
to the last byte of its answer to ApiVersions, asked for again and again until it comes. Memory: VmRSS when it has been
idle for a while. pykraft runs from bytecode, as pip installs it and as every second start from a checkout does, unless
PYTHONDONTWRITEBYTECODE keeps it from being kept.
"""

from __future__ import annotations

import compileall
import socket
import struct
import sys
import time
from pathlib import Path

import pykraft
from pykraft.lab import jars
from pykraft.lab.cluster import HOST, Lab, Node, new_cluster_id
from pykraft.lab.errors import LabError
from tools.benchmarks.compare import Figure, makes, parser, report, tell, work_folder

ANSWER_TIMEOUT_S = 60.0
RETRY_INTERVAL_S = 0.002
API_VERSIONS = 18


def api_versions_frame() -> bytes:
    """An ApiVersions request, version 3, with its length: request header 2, then name and version of the client."""
    header = struct.pack(">hhih", API_VERSIONS, 3, 1, 5) + b"bench" + b"\x00"
    body = b"\x06bench" + b"\x021" + b"\x00"
    return struct.pack(">i", len(header) + len(body)) + header + body


def ask(node: Node) -> None:
    """Ask until there is a whole answer. Raises LabError at the deadline, or when the process ends before."""
    deadline = node.process.begun + ANSWER_TIMEOUT_S
    while True:
        try:
            with socket.create_connection((HOST, node.port), 5.0) as connection:
                connection.sendall(api_versions_frame())
                (length,) = struct.unpack(">i", _exactly(connection, 4))
                answer = _exactly(connection, length)
                correlation_id, error = struct.unpack_from(">ih", answer)
                if (correlation_id, error) == (1, 0):
                    return
        except OSError:
            pass  # not listening yet, or closed while it starts
        if not node.process.running:
            raise node.process.failure(f"ended with {node.process.returncode} before it answered")
        if time.monotonic() > deadline:
            raise node.process.failure(f"has not answered ApiVersions within {ANSWER_TIMEOUT_S:.0f} s")
        time.sleep(RETRY_INTERVAL_S)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise ConnectionResetError
        data += chunk
    return data


def resident_mb(pid: int) -> float:
    """VmRSS of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LabError(f"process {pid} has no VmRSS")


def start(lab: Lab, make: str) -> tuple[Node, float]:
    """Start one make's controller; the node and the seconds until it answered."""
    if make == "pykraft":
        node: Node = lab.pykraft(3000, cluster_id=new_cluster_id(), wait=False)
    else:
        node = lab.kraft_controller(3000, new_cluster_id(), wait=False)
    ask(node)
    return node, time.monotonic() - node.process.begun


def main() -> int:
    """Measure and report."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--idle", type=float, default=4.0, metavar="S", help="seconds before memory is read (4)")
    args = options.parse_args()
    jars.ensure(args.kafka, tell)
    compileall.compile_dir(Path(pykraft.__file__).parent, quiet=1)
    time_figure = Figure("start to first ApiVersions answer", "s", ratio_max=1 / 4)
    memory_figure = Figure("resident memory", "MB", ratio_max=1 / 3)
    for run, make in makes(args):
        with work_folder() as folder, Lab(folder, args.kafka) as lab:
            node, seconds = start(lab, make)
            time.sleep(args.idle)
            memory_mb = resident_mb(node.process.pid)
        tell(f"run {run + 1} {make:<8} {seconds:6.3f} s  {memory_mb:6.1f} MB")
        time_figure.values[make].append(seconds)
        memory_figure.values[make].append(memory_mb)
    return report("start of a controller", [time_figure, memory_figure], as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
