"""Every API in every version with drawn values: each request is answered, nothing surprises the controller."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest

from pykraft.protocol.api import ApiKey, request_class
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.elect_leaders_request import ElectLeadersRequestData
from pykraft.protocol.messages.fetch_request import FetchRequestData
from pykraft.server.node import Node
from pykraft.server.releases import controller_apis
from tests.protocol.values import message_value
from tests.server.client import Client, header, register

APIS = controller_apis("3.9")
VALUES_PER_VERSION = 6
RAFT = {ApiKey.VOTE, ApiKey.BEGIN_QUORUM_EPOCH, ApiKey.END_QUORUM_EPOCH}
"""A drawn value can depose the leader: they are drawn last."""
MAY_CLOSE = {ApiKey.CREATE_ACLS, ApiKey.DELETE_ACLS, ApiKey.DESCRIBE_ACLS}
"""Kafka refuses to parse enum codes that it does not know."""


async def answer(node: Node, client: Client, request: Any, version: int) -> tuple[Client, Any]:
    """The answer, None when the connection was closed, and the connection to go on with."""
    key = ApiKey(request.API_KEY)
    await client.send(encode_request(header(key, version), request))
    try:
        frame = await client.receive()
    except EOFError:
        assert key in MAY_CLOSE, f"{key.name} version {version} closed the connection: {request}"
        await client.stream.aclose()
        return await Client.open(node), None
    return client, decode_response(frame, key, version)[2]


def drawn(key: ApiKey, version: int, rng: random.Random) -> Any:
    request = message_value(request_class(key), version, rng)
    if isinstance(request, FetchRequestData):
        request.max_wait_ms = min(request.max_wait_ms, 1)
    return request


@pytest.mark.parametrize("seed", range(2))
async def test_drawn_requests_are_answered(node: Node, caplog: pytest.LogCaptureFixture, seed: int) -> None:
    rng = random.Random(seed)
    topic = CreatableTopic(name="a", num_partitions=2, replication_factor=1)
    keys = [key for key in APIS if key not in RAFT] + sorted(RAFT)
    client = await Client.open(node)
    await register(client, node, 1)
    await client.ask(CreateTopicsRequestData(topics=[topic]))
    for key in keys:
        lowest, highest = APIS[key]
        for version in range(lowest, highest + 1):
            for _ in range(VALUES_PER_VERSION):
                client, _ = await answer(node, client, drawn(key, version, rng), version)
    await client.stream.aclose()
    surprises = [
        record.getMessage() + (f" {record.exc_info[1]!r}" if record.exc_info else "")
        for record in caplog.records
        if record.levelno >= logging.ERROR
    ]
    assert surprises == []


def codes(message: Any) -> list[ErrorCode]:
    """Every error code in a response."""
    found = []
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if name == "error_code":
            found.append(ErrorCode(value))
        for item in value if isinstance(value, list) else [value]:
            if hasattr(item, "__struct_fields__"):
                found += codes(item)
    return found


REFUSED = [
    ApiKey.CREATE_TOPICS,
    ApiKey.DELETE_TOPICS,
    ApiKey.CREATE_ACLS,
    ApiKey.DELETE_ACLS,
    ApiKey.ALTER_CONFIGS,
    ApiKey.CREATE_PARTITIONS,
    ApiKey.CREATE_DELEGATION_TOKEN,
    ApiKey.RENEW_DELEGATION_TOKEN,
    ApiKey.EXPIRE_DELEGATION_TOKEN,
    ApiKey.ELECT_LEADERS,
    ApiKey.INCREMENTAL_ALTER_CONFIGS,
    ApiKey.ALTER_PARTITION_REASSIGNMENTS,
    ApiKey.ALTER_CLIENT_QUOTAS,
    ApiKey.ALTER_USER_SCRAM_CREDENTIALS,
    ApiKey.ALTER_PARTITION,
    ApiKey.UPDATE_FEATURES,
    ApiKey.BROKER_REGISTRATION,
    ApiKey.BROKER_HEARTBEAT,
    ApiKey.UNREGISTER_BROKER,
    ApiKey.ALLOCATE_PRODUCER_IDS,
    ApiKey.CONTROLLER_REGISTRATION,
    ApiKey.ASSIGN_REPLICAS_TO_DIRS,
]


def has_no_place(request: Any, version: int) -> bool:
    """Whether there is no entry that could take an error, in a response without a code at its top."""
    if isinstance(request, ElectLeadersRequestData):
        return version == 0 and not any(topic.partitions for topic in request.topic_partitions or ())
    lists = [value for name in request.__struct_fields__ if isinstance(value := getattr(request, name), list)]
    return not any(lists)


@pytest.mark.parametrize("key", REFUSED, ids=lambda key: key.name)
async def test_not_controller_is_where_get_error_response_puts_it(node: Node, key: ApiKey) -> None:
    rng = random.Random(7)
    lowest, highest = APIS[key]
    node.writer.resign()
    client = await Client.open(node)
    for version in range(lowest, highest + 1):
        for _ in range(VALUES_PER_VERSION):
            request = drawn(key, version, rng)
            client, response = await answer(node, client, request, version)
            if response is None:
                continue
            found = codes(response)
            assert set(found) <= {ErrorCode.NOT_CONTROLLER, ErrorCode.NONE}, response
            assert ErrorCode.NOT_CONTROLLER in found or has_no_place(request, version), (request, response)
    await client.stream.aclose()
