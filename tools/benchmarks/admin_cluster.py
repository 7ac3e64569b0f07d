"""A controller of either make with three simulated brokers, and the times at which what a request leads to has arrived.

What the brokers are sent is kept as bytes with the time of its last byte, and looked into only when nothing has come
for a while: looking takes time, and must not take it from what is measured.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kazoo.client import KazooClient

from pykraft.lab.cluster import HOST, Lab, Node, new_cluster_id
from pykraft.lab.errors import LabError
from pykraft.lab.facts import zookeeper_client
from pykraft.lab.watch import Watch
from pykraft.log.batch import iter_batches
from pykraft.protocol import frame
from pykraft.protocol._message import Message
from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.create_topics_request import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData, DeleteTopicState
from pykraft.protocol.messages.leader_and_isr_request import LeaderAndIsrRequestData
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.messages.update_metadata_request import UpdateMetadataRequestData
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.testing.simulated_broker import SimulatedBroker, running
from pykraft.zookeeper import paths, znodes
from tools.benchmarks import tree

NODE_ID: Final = 3000
BROKERS: Final = 3
FAILING: Final = 0
"""The broker that fails."""

SETTINGS: Final = {"broker.session.timeout.ms": 60_000}
"""No session is to end because this machine is slow."""
HEAP_MB: Final = 1024
JVM_OPTIONS: Final = (
    "-Xms1024m", "-XX:TieredStopAtLevel=4", "-XX:-UseSerialGC", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
)  # fmt: skip
"""What Kafka's own start script gives a controller."""

QUIET_S: Final = 0.15
POLL_S: Final = 0.005
TIMEOUT_S: Final = 300.0
TIMEOUT_MS: Final = int(TIMEOUT_S * 1000)
CREATE_TOPICS: Final = 7
DELETE_TOPICS: Final = 6
HEARTBEAT: Final = 1
REQUEST_PARTITIONS_MAX: Final = 9_000
"""Partitions created by one request, which may not need more than 10 000 records."""

_CHANGES: Final = (PartitionRecord.API_KEY, PartitionChangeRecord.API_KEY)
_TOPICS: Final = (*_CHANGES, TopicRecord.API_KEY, RemoveTopicRecord.API_KEY)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds from the request to: its answer; the last record at the last broker; with ZooKeeper brokers, the
    last LeaderAndIsr and UpdateMetadata at the last of them, and the last znode."""

    answer_ms: float
    records_ms: float
    rpcs_ms: float = float("nan")
    znodes_ms: float = float("nan")

    @property
    def last_ms(self) -> float:
        """When all of that was there."""
        ends = (self.answer_ms, self.records_ms, self.rpcs_ms, self.znodes_ms)
        return max(end for end in ends if not math.isnan(end))


@dataclass(slots=True)
class Arrivals:
    """What the brokers got since the last `clear`: (broker, time, API, bytes), in order."""

    items: list[tuple[int, float, ApiKey, bytes]] = field(default_factory=list)

    def tap(self, broker_id: int, arrived_s: float, key: ApiKey, data: bytes) -> None:
        self.items.append((broker_id, arrived_s, key, data))


class Progress:
    """Counts, broker by broker, what of a change has arrived; `look` at bytes in the order in which they came."""

    def __init__(self, partitions: int, brokers: Sequence[int], rpc_brokers: Sequence[int]) -> None:
        self._partitions = partitions
        self._records = dict.fromkeys(brokers, 0)
        self._told: dict[tuple[int, ApiKey], set[tuple[str, int]]] = {
            (broker, key): set() for broker in rpc_brokers for key in (ApiKey.LEADER_AND_ISR, ApiKey.UPDATE_METADATA)
        }
        self.records_s = self.rpcs_s = float("nan")
        self.last_offset = -1

    @property
    def done(self) -> bool:
        """Whether everybody has everything."""
        return self._have_records() and self._have_rpcs()

    def __str__(self) -> str:
        told = {f"{key.name} at {broker}": len(found) for (broker, key), found in self._told.items()}
        return f"of {self._partitions} partitions: records at {self._records}, {told}"

    def look(self, broker: int, arrived_s: float, key: ApiKey, data: bytes) -> None:
        """Take in one arrival."""
        if key is ApiKey.FETCH:
            if broker in self._records and not self._have_records():
                self._look_at_records(broker, data)
                if self._have_records():
                    self.records_s = arrived_s
        elif (broker, key) in self._told and not self._have_rpcs():
            request = frame.decode_request(data)[2]
            assert isinstance(request, LeaderAndIsrRequestData | UpdateMetadataRequestData)
            self._told[broker, key].update(
                (topic.topic_name, state.partition_index)
                for topic in request.topic_states
                for state in topic.partition_states
            )
            if self._have_rpcs():
                self.rpcs_s = arrived_s

    def _look_at_records(self, broker: int, data: bytes) -> None:
        for batch in iter_batches(data):
            if batch.header.is_control:
                continue
            # The second byte of a record is its API key; all of these keys are below 128.
            changes = [index for index, value in enumerate(batch.values) if value[1] in _CHANGES]
            if changes:
                self._records[broker] += len(changes)
                self.last_offset = max(self.last_offset, batch.header.base_offset + changes[-1])

    def _have_records(self) -> bool:
        return all(count >= self._partitions for count in self._records.values())

    def _have_rpcs(self) -> bool:
        return all(len(found) >= self._partitions for found in self._told.values())


class ZooKeeperOffsets:
    """The metadata offset in `/migration`, which both makes store with the last write of a change, as time goes by."""

    def __init__(self, client: KazooClient) -> None:
        self._client = client
        self.seen: list[tuple[float, int]] = []

    def poll(self) -> int:
        """Read it and remember when it was read."""
        data, _ = self._client.get(paths.MIGRATION)
        offset = znodes.decode_migration(data).kraft_metadata_offset
        if not self.seen or self.seen[-1][1] != offset:
            self.seen.append((time.monotonic(), offset))
        return offset

    def reached(self, offset: int) -> float | None:
        """When `offset` was stored, None when it was not yet."""
        return next((at for at, stored in self.seen if stored >= offset), None)


class Cluster:
    """A controller, its brokers and a client. The methods that measure wait until all is quiet first."""

    def __init__(
        self, node: Node, brokers: list[SimulatedBroker], arrivals: Arrivals, zookeeper: KazooClient | None
    ) -> None:
        self.node = node
        self.brokers = brokers
        self._arrivals = arrivals
        self._zookeeper = zookeeper
        self._connection = socket.create_connection((HOST, node.port), TIMEOUT_S)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._correlation = 0

    def close(self) -> None:
        self._connection.close()

    def create(self, topics: dict[str, int]) -> Times:
        """Create topics of that many partitions by one request, placed by the controller."""
        request = CreateTopicsRequestData(
            topics=[
                CreatableTopic(name=name, num_partitions=count, replication_factor=BROKERS)
                for name, count in topics.items()
            ],
            timeout_ms=TIMEOUT_MS,
        )
        return self._measure(ApiKey.CREATE_TOPICS, CREATE_TOPICS, request, sum(topics.values()), range(BROKERS))

    def create_led(self, topics: dict[str, int], leader: int) -> list[Times]:
        """The same with one leader for all of them, in as few requests as may be."""
        others = [broker for broker in range(BROKERS) if broker != leader]
        replicas = ([leader, *others], [leader, *reversed(others)])
        times = []
        for part in parts(topics):
            request = CreateTopicsRequestData(timeout_ms=TIMEOUT_MS)
            for name, count in part.items():
                assignments = [CreatableReplicaAssignment(number, replicas[number % 2]) for number in range(count)]
                request.topics.append(
                    CreatableTopic(name=name, num_partitions=-1, replication_factor=-1, assignments=assignments)
                )
            partitions = sum(part.values())
            times.append(self._measure(ApiKey.CREATE_TOPICS, CREATE_TOPICS, request, partitions, range(BROKERS)))
        return times

    def fail(self, broker_id: int, partitions: int) -> Times:
        """Fence a broker that leads `partitions`, as at the end of its session."""
        broker = self.brokers[broker_id]
        broker.silent = True
        request = BrokerHeartbeatRequestData(
            broker_id=broker_id,
            broker_epoch=broker.epoch,
            current_metadata_offset=broker.fetched_offset - 1,
            want_fence=True,
        )
        left = [each for each in range(BROKERS) if each != broker_id]
        return self._measure(ApiKey.BROKER_HEARTBEAT, HEARTBEAT, request, partitions, left)

    def revive(self, broker_id: int) -> None:
        """Have a failed broker unfenced again."""
        broker = self.brokers[broker_id]
        broker.fenced, broker.silent = True, False
        self.wait_until_unfenced()

    def wait_until_unfenced(self) -> None:
        """Wait until every broker has heard that it is unfenced."""
        self._wait(lambda: not any(each.fenced for each in self.brokers), "unfenced all brokers")

    def delete(self, names: Sequence[str]) -> None:
        """Delete topics and wait until that is through."""
        request = DeleteTopicsRequestData(topics=[DeleteTopicState(name) for name in names], timeout_ms=TIMEOUT_MS)
        self._quiet()
        _check(self._ask(ApiKey.DELETE_TOPICS, DELETE_TOPICS, request)[1])
        self._quiet()

    def check_zookeeper(self, topics: dict[str, int], leader: int) -> None:
        """Every partition state in ZooKeeper must be there and have another leader. Raises LabError."""
        assert self._zookeeper is not None
        answers = [
            self._zookeeper.get_async(paths.topic_partition_state(name, number))
            for name, count in topics.items()
            for number in range(count)
        ]
        leaders = [json.loads(each.get(timeout=TIMEOUT_S)[0])["leader"] for each in answers]
        if leader in leaders:
            raise LabError(f"{leaders.count(leader)} of {len(leaders)} partition states still have leader {leader}")

    def _measure(self, key: ApiKey, version: int, request: Message, partitions: int, brokers: Sequence[int]) -> Times:
        self._quiet()
        items = self._arrivals.items
        items.clear()
        offsets = None if self._zookeeper is None else ZooKeeperOffsets(self._zookeeper)
        progress = Progress(partitions, brokers, brokers if offsets is not None else ())
        sent_s, answer, answered_s = self._ask(key, version, request)
        _check(answer)
        looked = 0
        deadline_s = time.monotonic() + TIMEOUT_S
        while True:
            if offsets is not None:
                offsets.poll()
            time.sleep(POLL_S)
            if len(items) > looked and time.monotonic() - items[-1][1] > QUIET_S:
                for item in items[looked : (looked := len(items))]:
                    progress.look(*item)
            znodes_s = None if offsets is None else offsets.reached(progress.last_offset)
            if progress.done and (offsets is None or znodes_s is not None):
                break
            if time.monotonic() > deadline_s:
                raise LabError(f"{self.node.name} has not told everybody within {TIMEOUT_S:.0f} s: {progress}")
        ends = (answered_s, progress.records_s, progress.rpcs_s, float("nan") if znodes_s is None else znodes_s)
        return Times(*((end - sent_s) * 1000 for end in ends))

    def _ask(self, key: ApiKey, version: int, request: Message) -> tuple[float, Any, float]:
        """When it was sent, the answer, and when its last byte was there."""
        self._correlation += 1
        header = RequestHeaderData(key, version, self._correlation, "bench")
        data = frame.encode_request(header, request)
        sent_s = time.monotonic()
        self._connection.sendall(struct.pack(">i", len(data)) + data)
        (length,) = struct.unpack(">i", self._read(4))
        answer = self._read(length)
        answered_s = time.monotonic()
        return sent_s, frame.decode_response(answer, key, version)[2], answered_s

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            chunk = self._connection.recv(count - len(data))
            if not chunk:
                raise self.node.process.failure("closed the connection")
            data += chunk
        return bytes(data)

    def _quiet(self) -> None:
        """Wait until nothing but the controller's NoOpRecords moves any more and ZooKeeper has caught up."""
        items = self._arrivals.items
        news_s, looked, last_change = time.monotonic(), 0, -1

        def quiet() -> bool:
            nonlocal news_s, looked, last_change
            for item in items[looked : (looked := len(items))]:
                change = _last_change(*item)
                if change is not None:
                    news_s, last_change = time.monotonic(), max(last_change, change)
            return time.monotonic() - news_s > QUIET_S and self._zookeeper_has(last_change)

        self._wait(quiet, "become quiet after a change")

    def _zookeeper_has(self, offset: int) -> bool:
        return self._zookeeper is None or ZooKeeperOffsets(self._zookeeper).poll() >= offset

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        self.node.process.wait_for(condition, what, TIMEOUT_S)


def _last_change(broker: int, arrived_s: float, key: ApiKey, data: bytes) -> int | None:
    """The offset of the last batch of an arrival that changes a topic, -1 for a request, None for no change."""
    if key is not ApiKey.FETCH:
        return -1
    last = None
    for batch in iter_batches(data):
        if not batch.header.is_control and any(value[1] in _TOPICS for value in batch.values):
            last = batch.header.next_offset - 1
    return last


def parts(topics: dict[str, int]) -> Iterator[dict[str, int]]:
    """Topics cut into what one request may create."""
    part: dict[str, int] = {}
    for name, count in topics.items():
        if part and sum(part.values()) + count > REQUEST_PARTITIONS_MAX:
            yield part
            part = {}
        part[name] = count
    if part:
        yield part


def _check(answer: Any) -> None:
    """Raises LabError when the answer to a request holds an error."""
    for each in (answer, *getattr(answer, "topics", ()), *getattr(answer, "responses", ())):
        code = getattr(each, "error_code", 0)
        if code:
            raise LabError(f"the controller answered {ErrorCode(code).name} to the benchmark's request")


@contextmanager
def clusters(folder: Path, makes: Sequence[str], version: str, *, dual_write: bool) -> Iterator[dict[str, Cluster]]:
    """A cluster of each make, with its own ZooKeeper in dual write; all end with the block."""
    with ExitStack() as stack:
        brokers: list[SimulatedBroker] = []
        started = {}
        for make in makes:
            lab = stack.enter_context(Lab(folder / make, version))
            node, cluster_id, zookeeper = _start(lab, make, dual_write=dual_write)
            arrivals = Arrivals()
            own = [
                SimulatedBroker(
                    each, cluster_id, (HOST, node.port), migrating=dual_write, fetches=True, tap=arrivals.tap
                )
                for each in range(BROKERS)
            ]
            brokers += own
            started[make] = node, own, arrivals, zookeeper
        stack.enter_context(running(brokers))
        result = {}
        for make, (node, own, arrivals, zookeeper) in started.items():
            client = None
            if zookeeper is not None:
                _wait_for_dual_write(node, zookeeper)
                client = zookeeper_client(zookeeper)
                client.start(timeout=TIMEOUT_S)
                stack.callback(client.stop)
            cluster = result[make] = Cluster(node, own, arrivals, client)
            stack.callback(cluster.close)
            cluster.wait_until_unfenced()
        yield result


def _start(lab: Lab, make: str, *, dual_write: bool) -> tuple[Node, str, str | None]:
    """The controller, its cluster id, and its ZooKeeper, which holds a cluster without topics."""
    zookeeper, cluster_id = None, new_cluster_id()
    if dual_write:
        zookeeper = lab.zookeeper(heap_mb=HEAP_MB).address
        cluster_id = tree.load(zookeeper, 0)
    if make == "pykraft":
        pykraft = lab.pykraft(NODE_ID, cluster_id=cluster_id, zookeeper=zookeeper, extra=SETTINGS)
        return pykraft, cluster_id, zookeeper
    kafka = lab.kraft_controller(
        NODE_ID, cluster_id, zookeeper=zookeeper, extra=SETTINGS, heap_mb=HEAP_MB, jvm_options=JVM_OPTIONS
    )
    return kafka, cluster_id, zookeeper


def _wait_for_dual_write(node: Node, zookeeper: str) -> None:
    watch = Watch(node, zookeeper, None, lambda _: None, lambda _: None)
    watch.start()
    try:
        node.process.wait_for(lambda: watch.status.state == "DUAL_WRITE", "reached DUAL_WRITE", TIMEOUT_S)
    finally:
        watch.stop()
