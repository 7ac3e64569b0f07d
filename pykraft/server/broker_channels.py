"""Channels to ZooKeeper-mode brokers: one connection and one bounded queue for each unfenced one.

Source: core/src/main/scala/kafka/controller/ControllerChannelManager.scala (Kafka 3.9). Requests of one broker are
sent in order, one in flight, and again until the broker answers or its registration changes. A broker that falls
behind by more than QUEUED_REQUESTS_MAX loses its queue and gets everything once instead.

Brokers before 3.6.1 do not see from a FULL request which topics are gone: their logs would stay, and keep a topic made
again under the name from being served. So a deletion is kept for each broker until it has answered, and goes first when
its channel comes back; what a controller kept is lost with it, as all of it is in Kafka.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from pykraft.image.delta import MetadataDelta, TopicDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import BrokerRegistration, Endpoint
from pykraft.migration.propagator import (
    LEADER_AND_ISR_VERSION,
    STOP_REPLICA_VERSION,
    UPDATE_METADATA_VERSION,
    ControlRequest,
    ControlRequests,
    Propagator,
)
from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode, ProtocolError
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages.leader_and_isr_request import LeaderAndIsrRequestData
from pykraft.protocol.messages.leader_and_isr_response import LeaderAndIsrResponseData
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.messages.stop_replica_request import StopReplicaRequestData
from pykraft.protocol.messages.stop_replica_response import StopReplicaResponseData
from pykraft.protocol.messages.update_metadata_request import UpdateMetadataRequestData
from pykraft.protocol.messages.update_metadata_response import UpdateMetadataResponseData
from pykraft.protocol.uuids import Uuid

log = logging.getLogger(__name__)

QUEUED_REQUESTS_MAX = 1_000
MISSED_DELETIONS_MAX = 10_000
"""Deleted topics that are kept for one broker; the oldest are given up."""

RETRY_PAUSE_MS = 100
RESPONSE_BYTES_MAX = 104_857_600

PLAINTEXT = 0
"""The one SecurityProtocol that is spoken here; what is sent to another would be taken for a broken handshake."""

T = TypeVar("T")
ReadImage = Callable[[Callable[[MetadataImage], ControlRequests]], Awaitable[ControlRequests]]
"""Runs a function on the committed image, between two commits (Writer.read)."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """One channel: requests waiting, requests answered, times the queue overflowed, whether it is connected."""

    queued: int
    answered: int
    overflows: int
    connected: bool


@dataclass(eq=False)
class _Channel:
    broker_id: int
    epoch: int
    endpoint: Endpoint
    queue: deque[ControlRequest] = field(default_factory=deque)
    needs_full: bool = True
    answered: int = 0
    overflows: int = 0
    connected: bool = False
    wake: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def put(self, requests: list[ControlRequest]) -> None:
        if self.needs_full:
            return
        if len(self.queue) + len(requests) > QUEUED_REQUESTS_MAX:
            self.resend_everything()
            self.overflows += 1
            return
        self.queue.extend(requests)
        self.wake.set()

    def resend_everything(self) -> None:
        self.queue.clear()
        self.needs_full = True
        self.wake.set()


class BrokerChannels:
    """Keeps a channel for each registered, unfenced ZooKeeper-mode broker and feeds it from the image's changes."""

    def __init__(
        self, propagator: Propagator, read_image: ReadImage, request_timeout_ms: int = 30_000, client_id: str = ""
    ) -> None:
        self._propagator = propagator
        self._read_image = read_image
        self._request_timeout_ms = request_timeout_ms
        self._client_id = client_id or str(propagator.controller_id)
        self._channels: dict[int, _Channel] = {}
        self._zk_controller_epoch = -1
        self._unanswered_deletions: dict[int, dict[Uuid, TopicDelta]] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the channels until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def publish_full(self, image: MetadataImage, zk_controller_epoch: int) -> None:
        """Tell every broker everything (after a claim): what waits in the queues is replaced by the whole."""
        self._zk_controller_epoch = zk_controller_epoch
        self._sync(image)
        for channel in self._channels.values():
            channel.resend_everything()

    def publish_delta(self, image: MetadataImage, delta: MetadataDelta, zk_controller_epoch: int) -> None:
        """Tell the brokers what changed; a broker that appeared with this change gets everything."""
        self._zk_controller_epoch = zk_controller_epoch
        self._sync(image)
        self._keep_deletions(image, delta)
        known = [broker_id for broker_id, channel in self._channels.items() if not channel.needs_full]
        for broker_id, requests in self._propagator.delta(image, delta, known, zk_controller_epoch).items():
            self._channels[broker_id].put(requests)

    def stop_all(self) -> None:
        """Close every channel: this node is not the controller any more."""
        for broker_id in list(self._channels):
            self._remove(broker_id)
        self._unanswered_deletions.clear()

    def statistics(self) -> dict[int, ChannelStatistics]:
        return {
            broker_id: ChannelStatistics(len(channel.queue), channel.answered, channel.overflows, channel.connected)
            for broker_id, channel in self._channels.items()
        }

    def _keep_deletions(self, image: MetadataImage, delta: MetadataDelta) -> None:
        deleted = {topic_id: change for topic_id, change in delta.topics.items() if change.removed is not None}
        if not deleted:
            return
        for broker in image.brokers.values():
            if broker.is_migrating_zk_broker:
                kept = self._unanswered_deletions.setdefault(broker.id, {})
                kept.update(deleted)
                for topic_id in list(kept)[: max(0, len(kept) - MISSED_DELETIONS_MAX)]:
                    del kept[topic_id]

    def _forget_deletions(self, broker_id: int, answered: ControlRequest) -> None:
        """A StopReplica names no topic id. Sent again once the broker has a newer topic of that name, it would delete
        that one: so nothing of a name is kept that was answered for."""
        kept = self._unanswered_deletions.get(broker_id, {})
        for topic_id, change in list(kept.items()):
            if isinstance(answered, StopReplicaRequestData):
                done = change.name in {topic.topic_name for topic in answered.topic_states}
            else:
                done = isinstance(answered, UpdateMetadataRequestData) and any(
                    topic.topic_id == topic_id for topic in answered.topic_states
                )
            if done:
                del kept[topic_id]

    def _sync(self, image: MetadataImage) -> None:
        zk_brokers = {broker.id: broker for broker in image.brokers.values() if broker.is_migrating_zk_broker}
        wanted = {id_: broker for id_, broker in zk_brokers.items() if not broker.fenced}
        for broker_id in self._unanswered_deletions.keys() - zk_brokers.keys():
            del self._unanswered_deletions[broker_id]  # In KRaft mode it reads of them itself, and of what came after.
        for broker_id, channel in list(self._channels.items()):
            broker = wanted.get(broker_id)
            if broker is None or broker.epoch != channel.epoch or self._endpoint(broker) != channel.endpoint:
                self._remove(broker_id)
        for broker_id, broker in wanted.items():
            if broker_id not in self._channels:
                self._add(broker)

    def _add(self, broker: BrokerRegistration) -> None:
        endpoint = self._endpoint(broker)
        if endpoint is None:
            log.error(
                "Broker %d has no listener %s without TLS and SASL: its metadata cannot be sent; set"
                " inter.broker.listener.name to the brokers' inter-broker listener, which must be a PLAINTEXT one",
                broker.id,
                self._propagator.listener,
            )
            return
        channel = self._channels[broker.id] = _Channel(broker.id, broker.epoch, endpoint)
        assert self._nursery is not None, "run() comes before publish"
        self._nursery.start_soon(self._run_channel, channel, name=f"channel to broker {broker.id}")

    def _remove(self, broker_id: int) -> None:
        self._channels.pop(broker_id).scope.cancel()

    def _endpoint(self, broker: BrokerRegistration) -> Endpoint | None:
        endpoint = broker.listener(self._propagator.listener)
        return endpoint if endpoint is not None and endpoint.security_protocol == PLAINTEXT else None

    async def _run_channel(self, channel: _Channel) -> None:
        with channel.scope:
            while True:
                try:
                    async with await trio.open_tcp_stream(channel.endpoint.host, channel.endpoint.port) as stream:
                        channel.connected = True
                        await self._serve(channel, stream)
                except (OSError, trio.BrokenResourceError, trio.TooSlowError, ProtocolError) as error:
                    log.info(
                        "Channel to broker %d at %s:%d: %s; trying again in %d ms",
                        channel.broker_id,
                        channel.endpoint.host,
                        channel.endpoint.port,
                        str(error) or type(error).__name__,
                        RETRY_PAUSE_MS,
                    )
                finally:
                    channel.connected = False
                await trio.sleep(RETRY_PAUSE_MS / 1000)

    async def _serve(self, channel: _Channel, stream: trio.SocketStream) -> None:
        """Send what waits, one request at a time; a request leaves the queue only once it is answered."""
        correlation_id = 0
        while True:
            if channel.needs_full:
                await self._fill(channel)
            while channel.queue:
                request = channel.queue[0]
                correlation_id += 1
                await self._exchange(channel, stream, request, correlation_id)
                channel.answered += 1
                self._forget_deletions(channel.broker_id, request)
                if channel.queue and channel.queue[0] is request:
                    channel.queue.popleft()
            if not channel.needs_full:
                await channel.wake.wait()
                channel.wake = trio.Event()

    async def _fill(self, channel: _Channel) -> None:
        def everything(image: MetadataImage) -> ControlRequests:
            broker = image.brokers.get(channel.broker_id)
            if broker is None or broker.epoch != channel.epoch:
                return {}
            channel.needs_full = False
            epoch, targets = self._zk_controller_epoch, [channel.broker_id]
            missed = MetadataDelta(topics=self._unanswered_deletions.get(channel.broker_id, {}))
            first = self._propagator.delta(image, missed, targets, epoch)
            return {
                id_: [*first.get(id_, []), *requests]
                for id_, requests in self._propagator.full(image, targets, epoch).items()
            }

        requests = await self._read_image(everything)
        channel.queue.extendleft(reversed(requests.get(channel.broker_id, [])))
        if channel.needs_full:
            await trio.sleep(RETRY_PAUSE_MS / 1000)

    async def _exchange(
        self, channel: _Channel, stream: trio.SocketStream, request: ControlRequest, correlation_id: int
    ) -> None:
        api_key, version = _api(request)
        header = RequestHeaderData(api_key, version, correlation_id, self._client_id)
        frame = encode_request(header, request)
        with trio.fail_after(self._request_timeout_ms / 1000):
            await stream.send_all(len(frame).to_bytes(4, "big") + frame)
            size = int.from_bytes(await _receive_exactly(stream, 4), "big")
            if size > RESPONSE_BYTES_MAX:
                raise trio.BrokenResourceError(f"an answer of {size} bytes")
            answered, _, body = decode_response(await _receive_exactly(stream, size), api_key, version)
        if answered.correlation_id != correlation_id:
            raise trio.BrokenResourceError(f"an answer to request {answered.correlation_id}, not to {correlation_id}")
        _log_errors(channel.broker_id, body)


def _api(request: ControlRequest) -> tuple[ApiKey, int]:
    if isinstance(request, LeaderAndIsrRequestData):
        return ApiKey.LEADER_AND_ISR, LEADER_AND_ISR_VERSION
    if isinstance(request, UpdateMetadataRequestData):
        return ApiKey.UPDATE_METADATA, UPDATE_METADATA_VERSION
    return ApiKey.STOP_REPLICA, STOP_REPLICA_VERSION


async def _receive_exactly(stream: trio.SocketStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = await stream.receive_some(size - len(data))
        if not chunk:
            raise trio.BrokenResourceError("the broker closed the connection")
        data += chunk
    return bytes(data)


def _log_errors(broker_id: int, body: object) -> None:
    if isinstance(body, UpdateMetadataResponseData):
        if body.error_code:
            log.warning("Broker %d refused UpdateMetadata: %s", broker_id, ErrorCode(body.error_code).name)
        return
    assert isinstance(body, LeaderAndIsrResponseData | StopReplicaResponseData)
    if body.error_code:
        what = "LeaderAndIsr" if isinstance(body, LeaderAndIsrResponseData) else "StopReplica"
        log.warning("Broker %d refused %s: %s", broker_id, what, ErrorCode(body.error_code).name)
    if isinstance(body, LeaderAndIsrResponseData):
        partitions = [p for topic in body.topics for p in topic.partition_errors]
    else:
        partitions = []
    for partition in partitions:
        if partition.error_code:
            log.warning(
                "Broker %d: LeaderAndIsr of partition %d: %s",
                broker_id,
                partition.partition_index,
                ErrorCode(partition.error_code).name,
            )
