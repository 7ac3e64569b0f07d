"""A client of the controller listener: sends requests as a broker does, and bytes as nobody should."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import trio

from pykraft.protocol.api import ApiKey, spec
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_heartbeat_response import BrokerHeartbeatResponseData
from pykraft.protocol.messages.broker_registration_request import (
    BrokerRegistrationRequestData,
    Feature,
    Listener,
)
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.default_principal_data import DefaultPrincipalData
from pykraft.protocol.messages.envelope_request import EnvelopeRequestData
from pykraft.protocol.messages.fetch_request import FetchPartition, FetchRequestData, FetchTopic, ReplicaState
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.uuids import METADATA_TOPIC_ID
from pykraft.server.node import Node

DEADLINE_S = 10.0


class Client:
    """One connection. `ask` sends a request and gives its response; `send` and `receive` move raw frames."""

    def __init__(self, stream: trio.SocketStream, apis: Mapping[ApiKey, tuple[int, int]] | None = None) -> None:
        """`apis`: the versions that the node offers."""
        self.stream = stream
        self._apis = apis
        self._correlation_id = 0
        self._buffer = bytearray()

    @classmethod
    async def open(cls, node: Node | str) -> Self:
        """Connect to a node or to `host:port`."""
        host, _, port = (node if isinstance(node, str) else node.address).rpartition(":")
        return cls(await trio.open_tcp_stream(host, int(port)), None if isinstance(node, str) else node.apis)

    async def ask(self, request: Any, version: int | None = None) -> Any:
        """The response; without a version in the highest one that the node, or 3.9, offers."""
        key = ApiKey(request.API_KEY)
        if version is None:
            version = spec(key).max_version if self._apis is None else self._apis[key][1]
        self._correlation_id += 1
        await self.send(encode_request(header(key, version, self._correlation_id), request))
        frame = await self.receive()
        response_header, _, response = decode_response(frame, key, version)
        assert response_header.correlation_id == self._correlation_id
        return response

    async def send(self, frame: bytes) -> None:
        await self.stream.send_all(len(frame).to_bytes(4, "big") + frame)

    async def receive(self) -> bytes:
        """The next response frame; EOFError when the controller closed the connection."""
        with trio.fail_after(DEADLINE_S):
            await self._fill(4)
            size = int.from_bytes(self._buffer[:4], "big")
            await self._fill(4 + size)
        frame = bytes(self._buffer[4 : 4 + size])
        del self._buffer[: 4 + size]
        return frame

    async def is_closed(self) -> bool:
        """Whether the controller closes the connection without a word (waits for it)."""
        try:
            await self.receive()
        except EOFError:
            return True
        return False

    async def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            try:
                data = await self.stream.receive_some()
            except trio.BrokenResourceError as error:
                raise EOFError from error
            if not data:
                raise EOFError
            self._buffer += data


@asynccontextmanager
async def connected(node: Node | str) -> AsyncIterator[Client]:
    """A connection to a node or to `host:port` for the length of the block."""
    client = await Client.open(node)
    async with client.stream:
        yield client


def header(key: int, version: int, correlation_id: int = 1, client_id: str | None = "test") -> RequestHeaderData:
    return RequestHeaderData(
        request_api_key=key, request_api_version=version, correlation_id=correlation_id, client_id=client_id
    )


def registration(node: Node, broker_id: int = 1, **changes: Any) -> BrokerRegistrationRequestData:
    """A KRaft broker's registration, as 3.9 sends it."""
    fields: dict[str, Any] = {
        "broker_id": broker_id,
        "cluster_id": node.cluster_id,
        "incarnation_id": bytes(15) + bytes([broker_id]),
        "listeners": [Listener(name="PLAINTEXT", host="127.0.0.1", port=9092, security_protocol=0)],
        "features": [Feature(name="metadata.version", min_supported_version=1, max_supported_version=21)],
        "log_dirs": [bytes(8) + b"logdir" + bytes([1, broker_id])],
    }
    return BrokerRegistrationRequestData(**(fields | changes))


async def register(client: Client, node: Node, broker_id: int = 1, **changes: Any) -> int:
    """Register and unfence a broker; its epoch."""
    response = await client.ask(registration(node, broker_id, **changes))
    assert response.error_code == 0
    epoch: int = response.broker_epoch
    answer = await heartbeat(client, broker_id, epoch, node)
    assert not answer.is_fenced
    return epoch


async def heartbeat(
    client: Client, broker_id: int, epoch: int, node: Node, **changes: Any
) -> BrokerHeartbeatResponseData:
    """A heartbeat of a broker that has read everything."""
    request = BrokerHeartbeatRequestData(
        broker_id=broker_id, broker_epoch=epoch, current_metadata_offset=node.log.end_offset - 1, **changes
    )
    response = await client.ask(request)
    assert isinstance(response, BrokerHeartbeatResponseData)
    return response


def fetch(
    node: Node, offset: int, *, epoch: int = 1, last_epoch: int | None = None, **changes: Any
) -> FetchRequestData:
    """An observer's Fetch of the metadata log from `offset`."""
    if last_epoch is None:
        last_epoch = 0 if offset == 0 else epoch
    partition = FetchPartition(
        partition=0, current_leader_epoch=epoch, fetch_offset=offset, last_fetched_epoch=last_epoch
    )
    fields: dict[str, Any] = {
        "cluster_id": node.cluster_id,
        "replica_state": ReplicaState(replica_id=7),
        "max_wait_ms": 0,
        "max_bytes": 8 * 1024 * 1024,
        "topics": [FetchTopic(topic_id=METADATA_TOPIC_ID, partitions=[partition])],
    }
    return FetchRequestData(**(fields | changes))


def envelope(inner: Any, version: int, **changes: Any) -> EnvelopeRequestData:
    """A client's request as a broker forwards it."""
    principal = DefaultPrincipalData(type="User", name="alice")
    fields: dict[str, Any] = {
        "request_data": encode_request(header(inner.API_KEY, version, 77), inner),
        "request_principal": b"\x00\x00" + principal.encode(0),
        "client_host_address": ipaddress.ip_address("10.0.0.9").packed,
    }
    return EnvelopeRequestData(**(fields | changes))


def create(name: str) -> CreateTopicsRequestData:
    """A request for one topic."""
    return CreateTopicsRequestData(
        topics=[CreatableTopic(name=name, num_partitions=1, replication_factor=1)], timeout_ms=10_000
    )
