"""Envelope: the order of its checks, the inner answer, and every other API reached through it or directly."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.create_delegation_token_request import CreateDelegationTokenRequestData
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.describe_quorum_request import DescribeQuorumRequestData, PartitionData, TopicData
from pykraft.server.node import Node
from pykraft.testing import serve_controller
from tests.server.client import Client, connected, envelope, header, register

TOPIC = CreateTopicsRequestData(
    topics=[CreatableTopic(name="orders", num_partitions=3, replication_factor=1)], timeout_ms=10_000
)


async def forward(client: Client, inner: Any, version: int, **changes: Any) -> tuple[ErrorCode, Any]:
    """The Envelope's error and the inner response, None when there is none."""
    response = await client.ask(envelope(inner, version, **changes), 0)
    code = ErrorCode(response.error_code)
    if response.response_data is None:
        return code, None
    inner_header, _, answer = decode_response(response.response_data, inner.API_KEY, version)
    assert inner_header.correlation_id == 77
    return code, answer


@pytest.mark.parametrize("version", [2, 4, 5, 7])
async def test_the_inner_answer_comes_in_the_inner_version(node: Node, version: int) -> None:
    async with connected(node) as client:
        await register(client, node)
        code, answer = await forward(client, TOPIC, version)
    assert code is ErrorCode.NONE
    assert [(topic.name, topic.error_code) for topic in answer.topics] == [("orders", 0)]
    topics = await node.writer.read(lambda image: {name: len(t.partitions) for name, t in image.topics_by_name.items()})
    assert topics == {"orders": 3}


async def test_an_inner_error_is_inside(node: Node) -> None:
    async with connected(node) as client:
        code, answer = await forward(client, TOPIC, 7)
    assert code is ErrorCode.NONE
    assert answer.topics[0].error_code == ErrorCode.INVALID_REPLICATION_FACTOR


HEARTBEAT = encode_request(header(ApiKey.BROKER_HEARTBEAT, 1), BrokerHeartbeatRequestData())
GOOD = encode_request(header(ApiKey.CREATE_TOPICS, 7), TOPIC)
OUTER: dict[str, tuple[dict[str, Any], ErrorCode]] = {
    # Each is wrong in all that comes after it too, so the order of the checks shows.
    "principal": (
        {"request_principal": b"\x00\x00\xff", "client_host_address": b"xyz", "request_data": b""},
        ErrorCode.PRINCIPAL_DESERIALIZATION_FAILURE,
    ),
    "no principal": ({"request_principal": None}, ErrorCode.PRINCIPAL_DESERIALIZATION_FAILURE),
    "address": ({"client_host_address": b"xyz", "request_data": b""}, ErrorCode.INVALID_REQUEST),
    "header": ({"request_data": b"\x00"}, ErrorCode.UNSUPPORTED_VERSION),
    "unknown api": ({"request_data": b"\x03\xe7\x00\x00" + bytes(9)}, ErrorCode.UNSUPPORTED_VERSION),
    "not forwardable": ({"request_data": HEARTBEAT[:-1]}, ErrorCode.INVALID_REQUEST),
    "body": ({"request_data": GOOD[:-2]}, ErrorCode.UNSUPPORTED_VERSION),
    "version": ({"request_data": header(ApiKey.CREATE_TOPICS, 99).encode(2) + b"\x00"}, ErrorCode.UNSUPPORTED_VERSION),
}


@pytest.mark.parametrize("name", OUTER)
async def test_outer_errors_leave_no_inner_answer(node: Node, name: str) -> None:
    changes, expected = OUTER[name]
    async with connected(node) as client:
        assert await forward(client, TOPIC, 7, **changes) == (expected, None)
        assert (await forward(client, TOPIC, 7))[0] is ErrorCode.NONE


async def test_an_address_may_be_ipv6(node: Node) -> None:
    async with connected(node) as client:
        await register(client, node)
        assert (await forward(client, TOPIC, 7, client_host_address=bytes(15) + b"\x01"))[0] is ErrorCode.NONE


async def test_not_controller_inside_is_the_envelopes_own_error(node: Node) -> None:
    async with connected(node) as client:
        node.writer.resign()
        assert await forward(client, TOPIC, 7) == (ErrorCode.NOT_CONTROLLER, None)
        direct = await client.ask(TOPIC, 7)
        assert [topic.error_code for topic in direct.topics] == [ErrorCode.NOT_CONTROLLER]


async def test_describe_quorum_may_be_forwarded(node: Node) -> None:
    request = DescribeQuorumRequestData(
        topics=[TopicData(topic_name="__cluster_metadata", partitions=[PartitionData()])]
    )
    async with connected(node) as client:
        code, answer = await forward(client, request, 2)
        assert code is ErrorCode.NONE
        assert answer.topics[0].partitions[0].leader_id == 1


async def test_what_the_release_stood_for_does_not_offer_is_refused_inside_too(nursery: trio.Nursery) -> None:
    node = await serve_controller(nursery, release="4.0")
    token = CreateDelegationTokenRequestData()
    async with connected(node) as client:
        assert await forward(client, TOPIC, 1) == (ErrorCode.UNSUPPORTED_VERSION, None)
        assert (await forward(client, TOPIC, 2))[0] is ErrorCode.NONE
        assert await forward(client, token, 0) == (ErrorCode.UNSUPPORTED_VERSION, None)
    old = await serve_controller(nursery, release="3.5")
    async with connected(old) as client:
        assert await forward(client, token, 1) == (ErrorCode.INVALID_REQUEST, None)
