"""Bytes nobody should send: one connection closes with one log line, and no other connection notices."""

from __future__ import annotations

import logging

import pytest
import trio

from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import encode_request
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Listener
from pykraft.protocol.messages.metadata_request import MetadataRequestData
from pykraft.server.node import Node
from pykraft.testing import serve_controller
from tests.server.client import Client, connected, header, heartbeat, register, registration

HELLO = encode_request(header(ApiKey.API_VERSIONS, 0), ApiVersionsRequestData())


def framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(4, "big") + frame


def a_registration() -> bytes:
    return encode_request(header(ApiKey.BROKER_REGISTRATION, 4), BrokerRegistrationRequestData(cluster_id="c"))


CLOSING = {
    "over the limit": (b"\x7f\xff\xff\xff", "socket.request.max.bytes"),
    "negative length": (b"\xff\xff\xff\xff", "socket.request.max.bytes"),
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "is this a Kafka client"),
    "tls": (bytes.fromhex("160301020001") + bytes(507), "without TLS"),
    "empty frame": (framed(b""), "no request header"),
    "three bytes": (framed(b"\x00\x12\x00"), "no request header"),
    "header cut": (framed(HELLO[:9]), "no request header"),
    "unknown api": (framed(b"\x03\xe7\x00\x00" + bytes(6)), "999"),
    "negative api": (framed(b"\xff\xff\x00\x00" + bytes(6)), "-1"),
    "not on this listener": (
        framed(encode_request(header(ApiKey.METADATA, 12), MetadataRequestData())),
        "METADATA is not offered",
    ),
    "unknown version": (framed(header(ApiKey.BROKER_REGISTRATION, 9).encode(2) + bytes(40)), "0 to 4"),
    "negative version": (framed(header(ApiKey.BROKER_REGISTRATION, -1).encode(1) + bytes(40)), "0 to 4"),
    "body cut": (framed(a_registration()[:-3]), "cannot be decoded"),
    "garbage body": (framed(header(ApiKey.BROKER_REGISTRATION, 4).encode(2) + b"\xff" * 64), "cannot be decoded"),
}


@pytest.mark.parametrize("name", CLOSING)
async def test_it_closes_the_connection_and_says_why(node: Node, caplog: pytest.LogCaptureFixture, name: str) -> None:
    data, reason = CLOSING[name]
    caplog.set_level(logging.INFO)
    async with connected(node) as bystander, connected(node) as client:
        epoch = await register(bystander, node)
        caplog.clear()
        host, port = client.stream.socket.getsockname()
        await client.stream.send_all(data)
        assert await client.is_closed()
        lines = [record.getMessage() for record in caplog.records if f"{host}:{port}" in record.getMessage()]
        assert len(lines) == 1
        assert reason in lines[0]
        assert (await heartbeat(bystander, 1, epoch, node)).error_code == ErrorCode.NONE


async def test_a_frame_cut_off_is_not_carried_out(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    frame = framed(encode_request(header(ApiKey.BROKER_REGISTRATION, 4), registration(node, 5)))
    async with connected(node) as client:
        await client.stream.send_all(frame[:-1])
        await client.stream.send_eof()
        assert await client.is_closed()
    assert await node.writer.read(lambda image: list(image.brokers)) == []
    assert any("1 bytes before the end of a frame" in record.getMessage() for record in caplog.records)


async def test_frames_may_come_in_pieces_and_several_at_once(node: Node) -> None:
    async with connected(node) as client:
        for byte in framed(HELLO):
            await client.stream.send_all(bytes([byte]))
        assert await client.receive()
        await client.stream.send_all(framed(HELLO) * 3)
        answers = [await client.receive() for _ in range(3)]
        assert len(set(answers)) == 1


async def test_the_connection_over_the_limit_is_closed_and_a_place_comes_free(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    node = await serve_controller(nursery, max_connections=2)
    async with connected(node) as first:
        async with connected(node) as second:
            await first.ask(ApiVersionsRequestData(), 0)
            await second.ask(ApiVersionsRequestData(), 0)
            async with connected(node) as third:
                assert await third.is_closed()
            assert any("max.connections" in record.getMessage() for record in caplog.records)
            await first.ask(ApiVersionsRequestData(), 0)
        again = await until_accepted(node)
        await again.stream.aclose()


async def until_accepted(node: Node) -> Client:
    while True:
        client = await Client.open(node)
        try:
            await client.ask(ApiVersionsRequestData(), 0)
        except (EOFError, OSError):
            await client.stream.aclose()
        else:
            return client


@pytest.mark.parametrize("sent", [b"", framed(HELLO), framed(HELLO)[:-1]], ids=["nothing", "one request", "a half"])
async def test_a_connection_on_which_nothing_moves_is_closed(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.set_level(logging.INFO)
    node = await serve_controller(nursery, connections_max_idle_ms=100)
    async with connected(node) as client:
        await client.stream.send_all(sent)
        if sent == framed(HELLO):
            assert await client.receive()
        assert await client.is_closed()
    assert any("idle for 100 ms (connections.max.idle.ms)" in record.getMessage() for record in caplog.records)


async def test_a_broker_id_in_use_is_refused_while_its_session_lasts(node: Node) -> None:
    async with connected(node) as client:
        epoch = await register(client, node)
        other = await client.ask(registration(node, 1, incarnation_id=b"another incarnat"))
        assert other.error_code == ErrorCode.DUPLICATE_BROKER_REGISTRATION
        assert other.broker_epoch == -1
        assert (await heartbeat(client, 1, epoch, node)).error_code == ErrorCode.NONE


async def test_another_cluster_is_refused(node: Node) -> None:
    async with connected(node) as client:
        refused = await client.ask(registration(node, 1, cluster_id="another-cluster-id-0000"))
        assert refused.error_code == ErrorCode.INCONSISTENT_CLUSTER_ID
        await register(client, node)


async def test_a_directory_id_twice_is_refused(node: Node) -> None:
    async with connected(node) as client:
        await register(client, node)
        same = registration(node, 1).log_dirs
        refused = await client.ask(registration(node, 2, log_dirs=same))
        assert refused.error_code == ErrorCode.INVALID_REGISTRATION


async def test_a_stale_epoch_is_refused(node: Node) -> None:
    async with connected(node) as client:
        epoch = await register(client, node)
        assert (await heartbeat(client, 1, epoch - 1, node)).error_code == ErrorCode.STALE_BROKER_EPOCH


async def test_a_listener_name_of_another_kind_does_no_harm(node: Node) -> None:
    listeners = [Listener(name="a b\nc", host="", port=0, security_protocol=99)]
    async with connected(node) as client:
        await client.ask(registration(node, 1, listeners=listeners))
        assert (await client.ask(ApiVersionsRequestData(), 0)).error_code == ErrorCode.NONE
