"""Brokers that are all protocol and no data: they register, send heartbeats and obey whatever controller there is.

In place of a JVM where a test or a benchmark needs brokers to be there but nothing of what they store. Speaks to
pykraft and to Apache Kafka's controller alike, as a ZooKeeper-mode broker in migration or as a KRaft broker, of 3.9.
With `fetches` they read the metadata log to its end and beyond, as brokers of both kinds do.
"""

from __future__ import annotations

import random
import struct
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import trio

from pykraft.log.batch import iter_headers
from pykraft.protocol import frame
from pykraft.protocol._message import Message
from pykraft.protocol.api import ApiKey, response_class, spec
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.api_versions_response import ApiVersion, ApiVersionsResponseData
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_heartbeat_response import BrokerHeartbeatResponseData
from pykraft.protocol.messages.broker_registration_request import (
    BrokerRegistrationRequestData,
    Feature,
    Listener,
)
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.protocol.messages.fetch_request import FetchPartition, FetchRequestData, FetchTopic, ReplicaState
from pykraft.protocol.messages.fetch_response import FetchResponseData
from pykraft.protocol.messages.leader_and_isr_request import (
    LeaderAndIsrPartitionState,
    LeaderAndIsrRequestData,
)
from pykraft.protocol.messages.leader_and_isr_response import (
    LeaderAndIsrPartitionError,
    LeaderAndIsrResponseData,
    LeaderAndIsrTopicError,
)
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.messages.stop_replica_request import StopReplicaRequestData
from pykraft.protocol.messages.stop_replica_response import StopReplicaPartitionError, StopReplicaResponseData
from pykraft.protocol.messages.update_metadata_request import UpdateMetadataRequestData
from pykraft.protocol.messages.update_metadata_response import UpdateMetadataResponseData
from pykraft.protocol.uuids import METADATA_TOPIC_ID, Uuid, random_uuid

HOST: Final = "127.0.0.1"
FRAME_BYTES_MAX: Final = 100 * 1024 * 1024
REQUEST_TIMEOUT_S: Final = 30.0
RETRY_INTERVAL_S: Final = 0.1
HEARTBEAT_INTERVAL_S: Final = 1.0
METADATA_VERSION_3_9_IV0: Final = 21
REGISTRATION_VERSION: Final = 4
HEARTBEAT_VERSION: Final = 1
FETCH_VERSION: Final = 17
FETCH_WAIT_MS: Final = 500
FETCH_BYTES_MAX: Final = 8 * 1024 * 1024

_SERVED = (ApiKey.LEADER_AND_ISR, ApiKey.STOP_REPLICA, ApiKey.UPDATE_METADATA, ApiKey.API_VERSIONS)
_TRY_AGAIN = {ErrorCode.NOT_CONTROLLER, ErrorCode.BROKER_ID_NOT_REGISTERED, ErrorCode.COORDINATOR_NOT_AVAILABLE}


Tap: TypeAlias = Callable[[int, float, ApiKey, bytes], None]
"""Called with (broker id, monotonic time in s when its last byte was read, API, content): the frame of a request of the
controller's, or the record batches in an answer to Fetch."""


class SimulatedBrokerError(Exception):
    """The controller answered something a broker cannot go on from."""


async def read_frame(stream: trio.abc.ReceiveStream) -> bytes | None:
    """The next frame without its length; None at the end of the stream.

    Raises SimulatedBrokerError when it is cut short or over FRAME_BYTES_MAX.
    """
    head = await _read_exactly(stream, 4)
    if head is None:
        return None
    (length,) = struct.unpack(">i", head)
    if not 0 <= length <= FRAME_BYTES_MAX:
        raise SimulatedBrokerError(f"a frame of {length} bytes")
    return await _read_exactly(stream, length)


async def _read_exactly(stream: trio.abc.ReceiveStream, count: int) -> bytes | None:
    chunks = bytearray()
    while len(chunks) < count:
        chunk = await stream.receive_some(count - len(chunks))
        if not chunk:
            if chunks:
                raise SimulatedBrokerError(f"the stream ended {count - len(chunks)} bytes too early")
            return None
        chunks += chunk
    return bytes(chunks)


async def write_frame(stream: trio.abc.SendStream, data: bytes) -> None:
    """Write one frame with its length."""
    await stream.send_all(struct.pack(">i", len(data)) + data)


@dataclass(slots=True, eq=False)
class SimulatedBroker:
    """One broker. `serve` runs it; the fields tell what it knows.

    `controller` is (host, port). `epoch` is -1 until it is registered, `fenced` until the controller says otherwise.
    `failure` is what ended it; `refusals` counts by error the registrations that may still succeed later, `requests`
    by API what the controller sent; `partitions` holds the latest LeaderAndIsr state of each. With `silent` it sends no
    heartbeats. With `fetches` it reads the metadata log and has done so up to `fetched_offset`. With a `tap` it looks
    into nothing of what it is sent, and hands it over.
    """

    broker_id: int
    cluster_id: str
    controller: tuple[str, int]
    migrating: bool = True
    rack: str | None = None
    metadata_version: int = METADATA_VERSION_3_9_IV0
    seed: int = 0
    fetches: bool = False
    tap: Tap | None = None
    silent: bool = False
    fetched_offset: int = 0
    epoch: int = -1
    fenced: bool = True
    port: int = 0
    failure: str | None = None
    refusals: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    partitions: dict[tuple[str, int], LeaderAndIsrPartitionState] = field(default_factory=dict)
    live_brokers: frozenset[int] = frozenset()
    _fetched_epoch: int = 0
    _highest: dict[int, int] = field(default_factory=dict)
    _correlation: int = 0
    _incarnation: Uuid = b""
    _log_dir: Uuid = b""

    def __post_init__(self) -> None:
        rng = random.Random(f"{self.seed}/{self.broker_id}")
        self._incarnation, self._log_dir = random_uuid(rng), random_uuid(rng)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, register and send heartbeats until cancelled; started when it listens.

        Raises SimulatedBrokerError when the controller refuses the registration for good.
        """
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, self._serve_controller, 0)
            self.port = listeners[0].socket.getsockname()[1]
            task_status.started()
            if self.fetches:
                nursery.start_soon(self._connected, self._fetch)
            await self._connected(self._live)

    async def _connected(self, talk: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
        """Have one conversation with the controller after the other, each on a connection of its own."""
        while True:
            try:
                stream = await trio.open_tcp_stream(*self.controller)
                async with stream:
                    await talk(stream)
            except (OSError, trio.BrokenResourceError, trio.TooSlowError):
                await trio.sleep(RETRY_INTERVAL_S)

    async def _live(self, stream: trio.SocketStream) -> None:
        """Register, then heartbeats, on one connection; returns when the registration has to be done again."""
        offered = await self._call(stream, ApiVersionsRequestData(), ApiKey.API_VERSIONS, 0)
        assert isinstance(offered, ApiVersionsResponseData)
        self._highest = {each.api_key: each.max_version for each in offered.api_keys}
        registered = False
        while not registered:
            registered = await self._register(stream)
            if not registered:
                await trio.sleep(RETRY_INTERVAL_S)
        while registered:
            if not self.silent:
                registered = await self._heartbeat(stream)
            await trio.sleep(RETRY_INTERVAL_S if self.fenced else HEARTBEAT_INTERVAL_S)

    async def _register(self, stream: trio.SocketStream) -> bool:
        version = self.metadata_version
        request = BrokerRegistrationRequestData(
            broker_id=self.broker_id,
            cluster_id=self.cluster_id,
            incarnation_id=self._incarnation,
            listeners=[Listener(name="PLAINTEXT", host=HOST, port=self.port, security_protocol=0)],
            features=[
                Feature(
                    name="metadata.version",
                    min_supported_version=version if self.migrating else 1,
                    max_supported_version=version,
                )
            ],
            rack=self.rack,
            is_migrating_zk_broker=self.migrating,
            log_dirs=[self._log_dir],
        )
        answer = await self._call(stream, request, ApiKey.BROKER_REGISTRATION, REGISTRATION_VERSION)
        assert isinstance(answer, BrokerRegistrationResponseData)
        error = ErrorCode(answer.error_code)
        if error is not ErrorCode.NONE:
            if error in _TRY_AGAIN:
                self.refusals[error.name] += 1
                return False
            self.failure = f"broker {self.broker_id}: the registration was refused: {error.name}"
            raise SimulatedBrokerError(self.failure)
        self.epoch = answer.broker_epoch
        return True

    async def _heartbeat(self, stream: trio.SocketStream) -> bool:
        # The epoch is the offset of the registration: a broker that has read so far counts as caught up.
        offset = self.fetched_offset - 1 if self.fetches else self.epoch
        request = BrokerHeartbeatRequestData(
            broker_id=self.broker_id, broker_epoch=self.epoch, current_metadata_offset=offset
        )
        answer = await self._call(stream, request, ApiKey.BROKER_HEARTBEAT, HEARTBEAT_VERSION)
        assert isinstance(answer, BrokerHeartbeatResponseData)
        error = ErrorCode(answer.error_code)
        if error is ErrorCode.NONE:
            self.fenced = answer.is_fenced
            return True
        return error in _TRY_AGAIN and error is not ErrorCode.BROKER_ID_NOT_REGISTERED

    async def _fetch(self, stream: trio.SocketStream) -> None:
        """Read the metadata log from where it was left; returns when the controller serves no Fetch now."""
        leader_epoch = 0
        while True:
            partition = FetchPartition(
                current_leader_epoch=leader_epoch,
                fetch_offset=self.fetched_offset,
                last_fetched_epoch=self._fetched_epoch,
            )
            request = FetchRequestData(
                cluster_id=self.cluster_id,
                replica_state=ReplicaState(replica_id=self.broker_id),
                max_wait_ms=FETCH_WAIT_MS,
                max_bytes=FETCH_BYTES_MAX,
                topics=[FetchTopic(topic_id=METADATA_TOPIC_ID, partitions=[partition])],
            )
            answer = await self._call(stream, request, ApiKey.FETCH, FETCH_VERSION)
            arrived_s = time.monotonic()
            assert isinstance(answer, FetchResponseData)
            if answer.error_code:
                await trio.sleep(RETRY_INTERVAL_S)
                return
            data = answer.responses[0].partitions[0]
            leader_epoch = max(leader_epoch, data.current_leader.leader_epoch)
            if data.error_code:
                await trio.sleep(RETRY_INTERVAL_S)
            elif data.snapshot_id.epoch >= 0:  # What is in a snapshot is nothing to a broker without data.
                self.fetched_offset, self._fetched_epoch = data.snapshot_id.end_offset, data.snapshot_id.epoch
            elif data.records:
                for _, header in iter_headers(data.records):
                    self.fetched_offset, self._fetched_epoch = header.next_offset, header.leader_epoch
                if self.tap is not None:
                    self.tap(self.broker_id, arrived_s, ApiKey.FETCH, data.records)

    async def _call(self, stream: trio.SocketStream, request: Message, key: ApiKey, version: int) -> Message:
        version = min(version, self._highest.get(key, version))
        self._correlation += 1
        header = RequestHeaderData(
            request_api_key=key,
            request_api_version=version,
            correlation_id=self._correlation,
            client_id=str(self.broker_id),
        )
        with trio.fail_after(REQUEST_TIMEOUT_S):
            await write_frame(stream, frame.encode_request(header, request))
            reply = await read_frame(stream)
        if reply is None:
            raise trio.BrokenResourceError
        return frame.decode_response(reply, key, version)[2]

    async def _serve_controller(self, stream: trio.SocketStream) -> None:
        """Answer what a controller sends on one connection, in order."""
        try:
            while (data := await read_frame(stream)) is not None:
                arrived_s = time.monotonic()
                header, _, _ = frame.decode_request_header(data)
                key = ApiKey(header.request_api_key)
                self.requests[key.name] += 1
                if self.tap is not None and key is not ApiKey.API_VERSIONS:
                    self.tap(self.broker_id, arrived_s, key, data)
                    answer: Message = response_class(key)()
                else:
                    answer = self._obey(key, header.request_api_version, frame.decode_request(data)[2])
                await write_frame(
                    stream,
                    frame.encode_response(key, header.request_api_version, header.correlation_id, answer),
                )
        except trio.BrokenResourceError:
            return  # the controller has gone

    def _obey(self, key: ApiKey, version: int, request: Message) -> Message:
        match request:
            case LeaderAndIsrRequestData():
                return self._leader_and_isr(request, version)
            case UpdateMetadataRequestData():
                self.live_brokers = frozenset(broker.id for broker in request.live_brokers)
                return UpdateMetadataResponseData()
            case StopReplicaRequestData():
                return self._stop_replica(request)
        if key is ApiKey.API_VERSIONS:
            served = (spec(each) for each in _SERVED)
            return ApiVersionsResponseData(
                api_keys=[
                    ApiVersion(api_key=each.key, min_version=each.min_version, max_version=each.max_version)
                    for each in served
                ]
            )
        raise SimulatedBrokerError(f"broker {self.broker_id} was sent {key.name}, which it does not serve")

    def _leader_and_isr(self, request: LeaderAndIsrRequestData, version: int) -> LeaderAndIsrResponseData:
        topics = []
        for topic in request.topic_states:
            errors = []
            for state in topic.partition_states:
                self.partitions[topic.topic_name, state.partition_index] = state
                errors.append(
                    LeaderAndIsrPartitionError(
                        topic_name=topic.topic_name if version < 5 else "", partition_index=state.partition_index
                    )
                )
            topics.append(LeaderAndIsrTopicError(topic_id=topic.topic_id, partition_errors=errors))
        if version < 5:
            return LeaderAndIsrResponseData(
                partition_errors=[error for topic in topics for error in topic.partition_errors]
            )
        return LeaderAndIsrResponseData(topics=topics)

    def _stop_replica(self, request: StopReplicaRequestData) -> StopReplicaResponseData:
        errors = []
        for topic in request.topic_states:
            for state in topic.partition_states:
                if state.delete_partition:
                    self.partitions.pop((topic.topic_name, state.partition_index), None)
                errors.append(
                    StopReplicaPartitionError(topic_name=topic.topic_name, partition_index=state.partition_index)
                )
        return StopReplicaResponseData(partition_errors=errors)


@contextmanager
def running(brokers: Iterable[SimulatedBroker]) -> Iterator[None]:
    """Run brokers in a thread of their own, for code that is not asynchronous; they end with the block.

    Raises, at the end of the block, what one of them failed with.
    """
    scope = trio.CancelScope()
    tokens: list[trio.lowlevel.TrioToken] = []
    ready = threading.Event()
    failures: list[BaseException] = []

    async def serve_all() -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                for broker in brokers:
                    await nursery.start(broker.serve)
                tokens.append(trio.lowlevel.current_trio_token())
                ready.set()

    def run() -> None:
        try:
            trio.run(serve_all)
        except BaseException as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="simulated-brokers", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        if tokens and thread.is_alive():
            tokens[0].run_sync_soon(scope.cancel)
        thread.join()
    if failures:
        raise failures[0]
