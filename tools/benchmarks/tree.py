"""Trees as a ZooKeeper-mode cluster leaves them, of any size, written straight into a ZooKeeper."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterator
from itertools import islice

from pykraft.lab.cluster import new_cluster_id
from pykraft.lab.errors import LabError
from pykraft.lab.facts import zookeeper_client
from pykraft.protocol.uuids import random_uuid, uuid_to_text

PARTITIONS_PER_TOPIC = 25
REPLICATION = 3
BROKERS = 3
MULTI_OPERATIONS = 400
MULTIS_IN_FLIGHT_MAX = 16
ANSWER_TIMEOUT_S = 60.0

_EMPTY_PATHS = [
    "/consumers",
    "/brokers",
    "/brokers/ids",
    "/brokers/topics",
    "/brokers/seqid",
    "/config",
    "/config/changes",
    "/config/topics",
    "/config/clients",
    "/config/users",
    "/config/brokers",
    "/config/ips",
    "/admin",
    "/admin/delete_topics",
    "/isr_change_notification",
    "/log_dir_event_notification",
    "/cluster",
]

Nodes = Iterator[tuple[str, bytes]]


def _compact(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def nodes(partitions: int, cluster_id: str) -> Nodes:
    """(path, data) of every znode, parents first: topics of 25 partitions with one config each, on 3 brokers."""
    rng = random.Random(partitions)
    yield from ((path, b"") for path in _EMPTY_PATHS)
    yield "/cluster/id", _compact({"version": "1", "id": cluster_id})
    yield "/controller_epoch", b"1"
    block = {"version": 1, "broker": 0, "block_start": "0", "block_end": "999"}
    yield "/latest_producer_id_block", _compact(block)
    for broker in range(BROKERS):
        yield f"/brokers/ids/{broker}", _registration(broker)
    for first in range(0, partitions, PARTITIONS_PER_TOPIC):
        count = min(PARTITIONS_PER_TOPIC, partitions - first)
        yield from _topic(f"bench-{first // PARTITIONS_PER_TOPIC:05}", count, uuid_to_text(random_uuid(rng)))


def _registration(broker: int) -> bytes:
    return _compact(
        {
            "version": 5,
            "host": "127.0.0.1",
            "port": 9092 + broker,
            "jmx_port": -1,
            "timestamp": "1700000000000",
            "endpoints": [f"PLAINTEXT://127.0.0.1:{9092 + broker}"],
            "listener_security_protocol_map": {"PLAINTEXT": "PLAINTEXT"},
            "features": {},
        }
    )


def _topic(name: str, partitions: int, topic_id: str) -> Nodes:
    replicas = {
        str(partition): [(partition + step) % BROKERS for step in range(REPLICATION)] for partition in range(partitions)
    }
    root = f"/brokers/topics/{name}"
    yield (
        root,
        _compact(
            {
                "version": 3,
                "topic_id": topic_id,
                "partitions": replicas,
                "adding_replicas": {},
                "removing_replicas": {},
            }
        ),
    )
    yield f"{root}/partitions", b""
    for partition, assigned in replicas.items():
        yield f"{root}/partitions/{partition}", b""
        state = {"controller_epoch": 1, "leader": assigned[0], "version": 1, "leader_epoch": 0, "isr": assigned}
        yield f"{root}/partitions/{partition}/state", _compact(state)
    yield f"/config/topics/{name}", _compact({"version": 1, "config": {"retention.ms": "86400000"}})


def load(connect: str, partitions: int) -> str:
    """Write a tree into an empty ZooKeeper (HOST:PORT), many creates to a multi; returns its cluster id.

    Raises LabError when something is there already.
    """
    cluster_id = new_cluster_id()
    client = zookeeper_client(connect)
    client.start(timeout=ANSWER_TIMEOUT_S)
    try:
        source = nodes(partitions, cluster_id)
        in_flight: deque[object] = deque()
        while operations := list(islice(source, MULTI_OPERATIONS)):
            multi = client.transaction()
            for path, data in operations:
                multi.create(path, data)
            in_flight.append(multi.commit_async())
            if len(in_flight) >= MULTIS_IN_FLIGHT_MAX:
                _check(in_flight.popleft())
        while in_flight:
            _check(in_flight.popleft())
    finally:
        client.stop()
        client.close()
    return cluster_id


def _check(answer: object) -> None:
    results = answer.get(timeout=ANSWER_TIMEOUT_S)  # type: ignore[attr-defined]  # kazoo's IAsyncResult, untyped
    failed = [result for result in results if isinstance(result, Exception)]
    if failed:
        raise LabError(f"the tree could not be written: {failed[0]!r}")
