"""Asks controllers and brokers from outside, and reads the metadata log as an observer that nobody counts.

Works on Apache Kafka's controllers as on this one: every request goes out in the newest version that both sides know.
The log is fetched with replica id −1, so that the leader keeps no account of the reader. PLAINTEXT only; a broker's
SASL_PLAINTEXT listener answers ApiVersions too, before any login.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import trio

from pykraft.image.metadata_image import MetadataImage, ReplayError
from pykraft.log.batch import iter_batches
from pykraft.log.checkpoint import checkpoint_name, iter_checkpoint
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.errors import LogError
from pykraft.protocol._message import Message
from pykraft.protocol.api import ApiKey, request_class, response_class
from pykraft.protocol.errors import ErrorCode, ProtocolError
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages import (
    describe_quorum_request,
    describe_quorum_response,
    fetch_request,
    fetch_response,
    fetch_snapshot_request,
    fetch_snapshot_response,
)
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.api_versions_response import ApiVersionsResponseData
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.record_frame import decode_record
from pykraft.protocol.uuids import METADATA_TOPIC_ID

CLIENT_ID: Final = "pykraft"
RESPONSE_BYTES_MAX: Final = 100 << 20
FETCH_BYTES: Final = 8 << 20
FETCH_WAIT_MS: Final = 500
SNAPSHOT_BYTES_MAX: Final = 1 << 30
"""A snapshot beyond it is not read."""
SNAPSHOT_RESTARTS_MAX: Final = 5
"""How often a read of the log begins again because the snapshot it was reading was removed meanwhile."""
API_VERSIONS_VERSION: Final = 3
TOPIC: Final = "__cluster_metadata"
ANY_REPLICA: Final = -1

T = TypeVar("T", bound=Message)
OnRecord = Callable[[Message, int], None]
"""Called with each metadata record and its offset, in order; those of a snapshot all have its last offset."""


class AskError(Exception):
    """A node that cannot be asked, or answers something that cannot be gone on from; says which, why, what to do."""


class QuorumFacts(NamedTuple):
    """What the leader says of the quorum. Offsets are those of log ends; `voters` and `observers` by node id."""

    leader_id: int
    leader_epoch: int
    high_watermark: int
    voters: dict[int, int]
    observers: dict[int, int]


class Connection:
    """One connection to a node at `address`, whose versions are known."""

    def __init__(self, stream: trio.SocketStream, address: str) -> None:
        self.address = address
        self.zk_migration_ready = False
        self._stream = stream
        self._correlation_id = 0
        self._versions: dict[int, tuple[int, int]] = {}

    async def ask(self, request: Message, response: type[T]) -> T:
        """The answer to a request. Raises AskError when both sides have no version in common."""
        key = ApiKey(request.API_KEY)
        lowest, highest = self._versions.get(key, (0, -1))
        highest = min(highest, request_class(key).MAX_VERSION, response_class(key).MAX_VERSION)
        if highest < max(lowest, request_class(key).MIN_VERSION):
            raise AskError(f"{self.address} has no version of {key.name} that is known here: is it a controller?")
        answer = await self._exchange(request, highest)
        assert isinstance(answer, response)
        return answer

    async def greet(self) -> None:
        """Learn which versions the node knows, and whether its migration flag is on."""
        request = ApiVersionsRequestData(client_software_name=CLIENT_ID, client_software_version="1")
        answer = await self._exchange(request, API_VERSIONS_VERSION)
        assert isinstance(answer, ApiVersionsResponseData)
        if answer.error_code:
            raise AskError(f"{self.address} answers {_name(answer.error_code)} to ApiVersions")
        self._versions = {api.api_key: (api.min_version, api.max_version) for api in answer.api_keys}
        self.zk_migration_ready = answer.zk_migration_ready

    async def _exchange(self, request: Message, version: int) -> Message:
        self._correlation_id += 1
        key = ApiKey(request.API_KEY)
        header = RequestHeaderData(key, version, self._correlation_id, CLIENT_ID)
        frame = encode_request(header, request)
        await self._stream.send_all(len(frame).to_bytes(4, "big") + frame)
        size = int.from_bytes(await self._receive(4), "big")
        if size > RESPONSE_BYTES_MAX:
            raise AskError(f"{self.address} sends {size} bytes: is it a Kafka listener without TLS?")
        _, _, body = decode_response(await self._receive(size), key, version)
        return body

    async def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            chunk = await self._stream.receive_some(size - len(data))
            if not chunk:
                raise AskError(f"{self.address} closed the connection: is it a PLAINTEXT listener?")
            data += chunk
        return bytes(data)


@asynccontextmanager
async def connected(address: str, timeout_s: float) -> AsyncIterator[Connection]:
    """A connection to `host:port`; it and all that is asked in the block have `timeout_s`. Raises AskError."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise AskError(f"{address!r} is not HOST:PORT")
    try:
        with trio.fail_after(timeout_s):
            async with await trio.open_tcp_stream(host.strip("[]"), int(port)) as stream:
                connection = Connection(stream, address)
                await connection.greet()
                yield connection
    except trio.TooSlowError:
        raise AskError(f"{address} does not answer within {timeout_s:.0f} s") from None
    except (OSError, trio.BrokenResourceError) as error:
        raise AskError(f"{address} cannot be reached: {error}") from error
    except ProtocolError as error:
        raise AskError(f"{address} answers what cannot be read: {error}") from error


@asynccontextmanager
async def connected_to_leader(
    addresses: Sequence[str], timeout_s: float
) -> AsyncIterator[tuple[Connection, QuorumFacts]]:
    """A connection to the quorum's leader, among these controllers or named by one of them. Raises AskError."""
    open_addresses, asked, reasons = list(addresses), set[str](), []
    while open_addresses:
        address = open_addresses.pop(0)
        if address in asked:
            continue
        asked.add(address)
        facts: QuorumFacts | None = None
        try:
            async with connected(address, timeout_s) as connection:
                facts, named = await _describe_quorum(connection)
                if facts is not None:
                    yield connection, facts
                    return
                open_addresses += named
                reasons.append(f"{address} does not lead")
        except AskError as error:
            if facts is not None:
                raise
            reasons.append(str(error))
    raise AskError(
        f"no leader of the quorum was found ({'; '.join(reasons)}): see that the controllers run, and name all of them"
    )


async def _describe_quorum(connection: Connection) -> tuple[QuorumFacts | None, list[str]]:
    """What the leader says; None and who may lead when this node does not."""
    topic = describe_quorum_request.TopicData(
        topic_name=TOPIC, partitions=[describe_quorum_request.PartitionData(partition_index=0)]
    )
    answer = await connection.ask(
        describe_quorum_request.DescribeQuorumRequestData(topics=[topic]),
        describe_quorum_response.DescribeQuorumResponseData,
    )
    if answer.error_code not in (ErrorCode.NONE, ErrorCode.NOT_LEADER_OR_FOLLOWER):
        raise AskError(f"{connection.address} answers {_name(answer.error_code)} to DescribeQuorum")
    found = [partition for topic in answer.topics for partition in topic.partitions]
    if answer.error_code or not found or found[0].error_code:
        return None, [f"{end.host}:{end.port}" for node in answer.nodes for end in node.listeners]
    partition = found[0]
    return QuorumFacts(
        partition.leader_id,
        partition.leader_epoch,
        partition.high_watermark,
        {voter.replica_id: voter.log_end_offset for voter in partition.current_voters},
        {observer.replica_id: observer.log_end_offset for observer in partition.observers},
    ), []


async def read_image(connection: Connection, facts: QuorumFacts, on_record: OnRecord) -> MetadataImage:
    """The image of everything committed when `facts` were told, read from the leader. Raises AskError."""
    for _attempt in range(SNAPSHOT_RESTARTS_MAX):
        try:
            return await _LogReader(connection, facts, on_record).read()
        except _SnapshotGoneError:
            continue
        except (LogError, ProtocolError, ReplayError) as error:
            raise AskError(f"the metadata log of {connection.address} cannot be replayed: {error}") from error
    raise AskError(f"the snapshots of {connection.address} are removed faster than they can be read: try again")


class _SnapshotGoneError(Exception):
    """The leader removed the snapshot that was being read."""


class _LogReader:
    def __init__(self, connection: Connection, facts: QuorumFacts, on_record: OnRecord) -> None:
        self._connection, self._facts, self._on_record = connection, facts, on_record
        self._image = MetadataImage()
        self._next_offset, self._epoch = 0, 0

    async def read(self) -> MetadataImage:
        while self._next_offset < self._facts.high_watermark:
            partition = await self._fetch()
            if partition.snapshot_id.epoch >= 0:
                await self._load_snapshot(OffsetAndEpoch(partition.snapshot_id.end_offset, partition.snapshot_id.epoch))
            elif partition.diverging_epoch.epoch >= 0:
                raise AskError(f"the log of {self._connection.address} changed its past: ask again")
            else:
                self._apply(partition.records or b"")
        return self._image

    async def _fetch(self) -> fetch_response.PartitionData:
        partition = fetch_request.FetchPartition(
            partition=0,
            current_leader_epoch=self._facts.leader_epoch,
            fetch_offset=self._next_offset,
            last_fetched_epoch=self._epoch,
            partition_max_bytes=FETCH_BYTES,
        )
        request = fetch_request.FetchRequestData(
            replica_id=ANY_REPLICA,
            max_wait_ms=FETCH_WAIT_MS,
            min_bytes=1,
            max_bytes=FETCH_BYTES,
            topics=[fetch_request.FetchTopic(topic=TOPIC, topic_id=METADATA_TOPIC_ID, partitions=[partition])],
        )
        answer = await self._connection.ask(request, fetch_response.FetchResponseData)
        found = [each for topic in answer.responses for each in topic.partitions]
        error = answer.error_code or (found[0].error_code if found else ErrorCode.UNKNOWN_SERVER_ERROR)
        if error:
            raise AskError(f"{self._connection.address} answers {_name(error)} to a Fetch of the metadata log")
        return found[0]

    def _apply(self, data: bytes) -> None:
        for batch in iter_batches(data):
            header = batch.header
            for offset, value in enumerate(batch.values, header.base_offset):
                if offset >= self._facts.high_watermark or offset < self._next_offset:
                    continue
                if header.is_control:
                    self._image.offset, self._image.epoch = offset, header.leader_epoch
                else:
                    message = decode_record(value).message
                    self._image.apply(message, offset, header.leader_epoch)
                    self._on_record(message, offset)
            self._next_offset, self._epoch = header.next_offset, header.leader_epoch

    async def _load_snapshot(self, end: OffsetAndEpoch) -> None:
        self._image = MetadataImage()
        with tempfile.TemporaryDirectory(prefix="pykraft-") as directory:
            path = Path(directory) / checkpoint_name(end)
            await self._download(end, path)
            for batch in iter_checkpoint(path):
                if not batch.header.is_control:
                    for value in batch.values:
                        message = decode_record(value).message
                        self._image.apply(message, end.offset - 1, end.epoch)
                        self._on_record(message, end.offset - 1)
        self._image.offset, self._image.epoch = end.offset - 1, end.epoch
        self._next_offset, self._epoch = end.offset, end.epoch

    async def _download(self, end: OffsetAndEpoch, path: Path) -> None:
        position, size = 0, 1
        with path.open("wb") as file:
            while position < size:
                piece = await self._fetch_snapshot(end, position)
                size, data = piece.size, piece.unaligned_records or b""
                if not data or size > SNAPSHOT_BYTES_MAX:
                    raise AskError(
                        f"snapshot {path.name} of {self._connection.address}: {len(data)} bytes at {position} of {size}"
                    )
                file.write(data)
                position += len(data)

    async def _fetch_snapshot(self, end: OffsetAndEpoch, position: int) -> fetch_snapshot_response.PartitionSnapshot:
        partition = fetch_snapshot_request.PartitionSnapshot(
            partition=0,
            current_leader_epoch=self._facts.leader_epoch,
            position=position,
            snapshot_id=fetch_snapshot_request.SnapshotId(end_offset=end.offset, epoch=end.epoch),
        )
        request = fetch_snapshot_request.FetchSnapshotRequestData(
            replica_id=ANY_REPLICA,
            max_bytes=FETCH_BYTES,
            topics=[fetch_snapshot_request.TopicSnapshot(name=TOPIC, partitions=[partition])],
        )
        answer = await self._connection.ask(request, fetch_snapshot_response.FetchSnapshotResponseData)
        found = [each for topic in answer.topics for each in topic.partitions]
        error = answer.error_code or (found[0].error_code if found else ErrorCode.UNKNOWN_SERVER_ERROR)
        if error == ErrorCode.SNAPSHOT_NOT_FOUND:
            raise _SnapshotGoneError
        if error:
            raise AskError(f"{self._connection.address} answers {_name(error)} to FetchSnapshot")
        return found[0]


def _name(code: int) -> str:
    try:
        return ErrorCode(code).name
    except ValueError:
        return str(code)
