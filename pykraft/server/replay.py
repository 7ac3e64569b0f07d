"""Serves a recorded metadata log to live brokers: an active controller to them, with nothing behind it but the log.

Fetch and FetchSnapshot give the recorded bytes, whole, up to an offset, or as fast as they once came times a factor.
A registration is granted with the epoch that the log has for that broker, a heartbeat is answered as the broker wishes,
and nothing is ever written; every other request is not offered.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, cast

import msgspec
import trio

from pykraft.controller.releases import DEFAULT_RELEASE, SUPPORTED_FEATURES
from pykraft.image.metadata_image import MetadataImage
from pykraft.log.epochs import EpochCache, OffsetAndEpoch
from pykraft.protocol.api import ApiKey, request_class
from pykraft.protocol.errors import ErrorCode, ProtocolError
from pykraft.protocol.frame import encode_response
from pykraft.protocol.messages.api_versions_response import (
    ApiVersion,
    ApiVersionsResponseData,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_heartbeat_response import BrokerHeartbeatResponseData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.protocol.messages.fetch_request import FetchRequestData
from pykraft.protocol.messages.fetch_response import FetchResponseData
from pykraft.raft import answers
from pykraft.raft.divergence import Valid, fetch_verdict
from pykraft.raft.quorum import FETCH_BYTES_MAX
from pykraft.replay.edit import Editor, Edits
from pykraft.replay.recorded import RecordedLog
from pykraft.server.dispatch import BadRequestError, request_header
from pykraft.server.events import Emit
from pykraft.server.listener import FrameReader, bind
from pykraft.server.releases import controller_apis

log = logging.getLogger(__name__)

REQUEST_BYTES_MAX: Final = 100 * 1024 * 1024
"""socket.request.max.bytes."""
OFFERED: Final = (
    ApiKey.FETCH, ApiKey.API_VERSIONS, ApiKey.FETCH_SNAPSHOT, ApiKey.BROKER_REGISTRATION, ApiKey.BROKER_HEARTBEAT,
)  # fmt: skip
API_VERSIONS_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """How to serve: `leader_id` is the voter that brokers take this for; `pace` 1 is as fast as it was recorded,
    None all at once; records after `until` are left out."""

    cluster_id: str
    leader_id: int
    host: str = "127.0.0.1"
    port: int = 0
    listener_name: str = "CONTROLLER"
    until: int | None = None
    pace: float | None = None


class ServedLog:
    """The batches of a recorded log in memory, visible up to `end_offset`; answers what `LogFacts` asks."""

    def __init__(self, recorded: RecordedLog, until: int | None) -> None:
        self.directory = recorded.root
        self.start_offset = self.end_offset = recorded.start_offset
        self._epochs = EpochCache()
        self._bases: list[int] = []
        self._batches: list[bytes] = []
        self._ends: list[int] = []
        self.timestamps_ms: list[int] = []
        same = Editor(Edits())
        for logged in recorded.batches():
            header = logged.batch.header
            if until is not None and header.next_offset - 1 > until:
                break
            self._epochs.assign(header.leader_epoch, header.base_offset)
            self._bases.append(header.base_offset)
            self._ends.append(header.next_offset)
            self.timestamps_ms.append(header.max_timestamp_ms)
            self._batches.append(b"".join(same.batch(logged.batch)))
        self.last_offset = self._ends[-1] if self._ends else self.start_offset
        self._snapshots = [found.end for found in recorded.checkpoints]

    @property
    def last_epoch(self) -> int:
        return self._epochs.latest or (self._snapshots[-1].epoch if self._snapshots else 0)

    @property
    def snapshots(self) -> list[OffsetAndEpoch]:
        """Those of what is visible."""
        return [found for found in self._snapshots if found.offset <= max(self.end_offset, self.start_offset)]

    @property
    def earliest_snapshot(self) -> OffsetAndEpoch | None:
        return next(iter(self.snapshots), None)

    @property
    def latest_snapshot(self) -> OffsetAndEpoch | None:
        return next(iter(self.snapshots[::-1]), None)

    def end_offset_for_epoch(self, epoch: int) -> OffsetAndEpoch:
        found = self._epochs.end_offset_for(epoch, self.end_offset)
        return OffsetAndEpoch(self.end_offset, self.last_epoch) if found is None else found

    def show(self, batches: int) -> None:
        """Make the first so many batches visible."""
        self.end_offset = self._ends[batches - 1] if batches else self.start_offset

    def read(self, offset: int, bytes_max: int) -> bytes:
        """Visible batches from the one that holds `offset`: at least one, otherwise at most `bytes_max`."""
        first = bisect_right(self._bases, offset) - 1
        found: list[bytes] = []
        for number in range(max(first, 0), len(self._batches)):
            batch = self._batches[number]
            if self._ends[number] > self.end_offset or (found and len(batch) > bytes_max):
                break
            found.append(batch)
            bytes_max -= len(batch)
        return b"".join(found)


class ReplayServer:
    """The endpoint. `run` serves until cancelled; `address` is where, once it has started."""

    def __init__(self, recorded: RecordedLog, settings: ReplaySettings, emit: Emit) -> None:
        self.address = ""
        self._settings = settings
        self._emit = emit
        self._log = ServedLog(recorded, settings.until)
        self._image: MetadataImage = recorded.image(settings.until)
        self._moved = trio.Event()
        self._end_when_registered: dict[int, int] = {}
        self._leader = answers.Leader(settings.leader_id, self._log.last_epoch)
        offered = controller_apis(DEFAULT_RELEASE)
        self._apis = {key: offered[key] for key in OFFERED}
        self._handlers: dict[ApiKey, Callable[[Any, int], Awaitable[Any]]] = {
            ApiKey.FETCH: self._fetch,
            ApiKey.API_VERSIONS: self._api_versions,
            ApiKey.FETCH_SNAPSHOT: self._fetch_snapshot,
            ApiKey.BROKER_REGISTRATION: self._register,
            ApiKey.BROKER_HEARTBEAT: self._heartbeat,
        }

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until cancelled. Raises ListenError."""
        sockets = await bind(self._settings.host, self._settings.port)
        port = sockets[0].socket.getsockname()[1]
        self.address = f"{self._settings.host}:{port}"
        self._leader = msgspec.structs.replace(self._leader, endpoint=(self._settings.host, port))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show)
            nursery.start_soon(trio.serve_listeners, self._connect, sockets)
            self._emit(
                "ready", node_id=self._leader.id, cluster_id=self._settings.cluster_id, listener=self.address,
                epoch=self._leader.epoch, end_offset=self._log.last_offset,
            )  # fmt: skip
            task_status.started()

    async def _show(self) -> None:
        """Make the batches visible, all at once or one after the other."""
        times = self._log.timestamps_ms
        pace = self._settings.pace
        if pace is None:
            self._log.show(len(times))
        else:
            begun = trio.current_time()
            for number, moment_ms in enumerate(times):
                await trio.sleep_until(begun + (moment_ms - times[0]) / 1000 / pace)
                self._log.show(number + 1)
                self._wake()
        self._wake()
        self._emit("served", end_offset=self._log.end_offset)

    def _wake(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    async def _connect(self, stream: trio.SocketStream) -> None:
        reader = FrameReader(stream, REQUEST_BYTES_MAX)
        async with stream:
            try:
                while (frame := await reader.read()) is not None:
                    response = await self._answer(frame)
                    await stream.send_all(len(response).to_bytes(4, "big") + response)
            except BadRequestError as error:
                log.warning("connection closed: %s", error)
            except (OSError, trio.BrokenResourceError) as error:
                log.debug("connection lost: %s", error)

    async def _answer(self, frame: bytes) -> bytes:
        header, position = request_header(frame)
        key, version = ApiKey(header.request_api_key), header.request_api_version
        versions = self._apis.get(key)
        if versions is None:
            raise BadRequestError(f"{key.name}: a recorded log takes no changes, and tells only what is in it")
        if key is ApiKey.API_VERSIONS and version > versions[1]:
            lowest, highest = versions
            only = [ApiVersion(api_key=key, min_version=lowest, max_version=highest)]
            refusal = ApiVersionsResponseData(error_code=ErrorCode.UNSUPPORTED_VERSION, api_keys=only)
            return encode_response(key, 0, header.correlation_id, refusal)
        try:
            request = request_class(key).decode(memoryview(frame)[position:], version)
        except ProtocolError as error:
            raise BadRequestError(f"{key.name} version {version} cannot be decoded: {error}") from error
        response = await self._handlers[key](request, version)
        return encode_response(key, version, header.correlation_id, response)

    async def _fetch(self, request: FetchRequestData, version: int) -> FetchResponseData:
        if request.cluster_id is not None and request.cluster_id != self._settings.cluster_id:
            return FetchResponseData(error_code=ErrorCode.INCONSISTENT_CLUSTER_ID)
        if not answers.fetches_metadata_partition(request):
            return FetchResponseData(error_code=ErrorCode.INVALID_REQUEST)
        asked = request.topics[0].partitions[0]
        epoch = self._leader.epoch
        if asked.current_leader_epoch != epoch:
            old = asked.current_leader_epoch < epoch
            error = ErrorCode.FENCED_LEADER_EPOCH if old else ErrorCode.UNKNOWN_LEADER_EPOCH
            return self._fetch_answer(version, error)
        verdict = fetch_verdict(self._log, asked.fetch_offset, asked.last_fetched_epoch)
        if not isinstance(verdict, Valid):
            return self._fetch_answer(version, ErrorCode.NONE, verdict)
        if asked.fetch_offset >= self._log.end_offset:
            with trio.move_on_after(request.max_wait_ms / 1000):
                await self._moved.wait()
        response = self._fetch_answer(version, ErrorCode.NONE)
        if asked.fetch_offset < self._log.end_offset:
            partition = response.responses[0].partitions[0]
            partition.records = self._log.read(asked.fetch_offset, min(request.max_bytes, FETCH_BYTES_MAX))
        return response

    def _fetch_answer(self, version: int, error: ErrorCode, verdict: Any = None) -> FetchResponseData:
        leader = self._leader if version >= 17 else msgspec.structs.replace(self._leader, endpoint=None)
        return answers.fetch(
            leader, error, log_start_offset=self._log.start_offset, high_watermark=self._log.end_offset, verdict=verdict
        )

    async def _fetch_snapshot(self, request: Any, version: int) -> Any:
        from pykraft.server.handlers import fetch_snapshot

        leadership = SimpleNamespace(
            leader_id=self._leader.id, epoch=self._leader.epoch, high_watermark=self._log.end_offset
        )
        node = SimpleNamespace(
            cluster_id=self._settings.cluster_id, log=self._log, quorum=SimpleNamespace(quorum=leadership)
        )
        return await fetch_snapshot.handle(cast("Any", SimpleNamespace(node=node)), request)

    async def _api_versions(self, request: Any, version: int) -> ApiVersionsResponseData:
        return ApiVersionsResponseData(
            api_keys=[
                ApiVersion(api_key=key, min_version=first, max_version=last)
                for key, (first, last) in self._apis.items()
            ],
            supported_features=[
                SupportedFeatureKey(name=each.name, min_version=each.min_version, max_version=each.max_version)
                for each in SUPPORTED_FEATURES[DEFAULT_RELEASE]
                if version >= API_VERSIONS_MAX or each.min_version > 0
            ],
            finalized_features_epoch=self._image.offset,
            finalized_features=[
                FinalizedFeatureKey(name=name, max_version_level=level, min_version_level=level)
                for name, level in self._image.features.items()
            ],
        )

    async def _register(self, request: BrokerRegistrationRequestData, version: int) -> BrokerRegistrationResponseData:
        if request.cluster_id != self._settings.cluster_id:
            return BrokerRegistrationResponseData(error_code=ErrorCode.INCONSISTENT_CLUSTER_ID)
        recorded = self._image.brokers.get(request.broker_id)
        self._end_when_registered[request.broker_id] = self._log.end_offset
        self._emit("broker_registered", broker_id=request.broker_id, recorded=recorded is not None)
        return BrokerRegistrationResponseData(broker_epoch=self._log.end_offset if recorded is None else recorded.epoch)

    async def _heartbeat(self, request: BrokerHeartbeatRequestData, version: int) -> BrokerHeartbeatResponseData:
        needed = self._end_when_registered.get(request.broker_id, self._log.end_offset)
        caught_up = request.current_metadata_offset + 1 >= needed
        return BrokerHeartbeatResponseData(
            is_caught_up=caught_up, is_fenced=request.want_fence or not caught_up,
            should_shut_down=request.want_shut_down,
        )  # fmt: skip
