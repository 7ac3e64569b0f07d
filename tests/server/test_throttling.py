"""A node keeps clients to their controller mutation quotas: who is told what, and who is not read from meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages.alter_client_quotas_request import (
    AlterClientQuotasRequestData,
    EntityData,
    EntryData,
    OpData,
)
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData, CreatePartitionsTopic
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData
from pykraft.server.node import Node
from pykraft.testing import serve_controller
from tests.server.client import Client, connected, envelope, header, register

NONE, THROTTLED = ErrorCode.NONE, ErrorCode.THROTTLING_QUOTA_EXCEEDED
FOREVER = 0.001
"""A rate at which nobody who has drawn too much gets anything within a test."""
ANSWERED_S = 0.05
"""Nothing moves for so long: what could be answered would be."""


def quota(rate: float | None, user: str | None = "alice") -> AlterClientQuotasRequestData:
    op = OpData("controller_mutation_rate", rate or 0.0, rate is None)
    return AlterClientQuotasRequestData([EntryData([EntityData("user", user)], [op])])


def creation(name: str, partitions: int = 3) -> CreateTopicsRequestData:
    topic = CreatableTopic(name=name, num_partitions=partitions, replication_factor=1)
    return CreateTopicsRequestData(topics=[topic], timeout_ms=10_000)


async def forward(client: Client, inner: Any, version: int) -> Any:
    response = await client.ask(envelope(inner, version), 0)
    assert response.response_data is not None
    return decode_response(response.response_data, inner.API_KEY, version)[2]


async def test_new_requests_are_refused_and_old_ones_told_to_wait(node: Node) -> None:
    async with connected(node) as client:
        await register(client, node)
        await client.ask(quota(FOREVER))
        first = await forward(client, creation("first"), 7)
        assert (first.topics[0].error_code, first.throttle_time_ms) == (NONE, 0)
        requests: list[tuple[Any, int, str]] = [
            (creation("next"), 6, "topics"),
            (CreatePartitionsRequestData([CreatePartitionsTopic("first", 4, None)], 10_000), 3, "results"),
            (DeleteTopicsRequestData(topic_names=["first"], timeout_ms=10_000), 5, "responses"),
        ]
        for request, strict_since, field in requests:
            refused = await forward(client, request, strict_since)
            assert [each.error_code for each in getattr(refused, field)] == [THROTTLED]
            assert refused.throttle_time_ms > 1_000_000
        for request, strict_since, field in requests:
            served = await forward(client, request, strict_since - 1)
            assert [each.error_code for each in getattr(served, field)] == [NONE]
            assert served.throttle_time_ms > 1_000_000
    assert await node.writer.read(lambda image: set(image.topics_by_name)) == {"next"}


async def test_a_throttled_client_of_the_listener_is_not_read_from(
    mock_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Its second request, sent at once, is answered when its time is over; others are served meanwhile."""
    node = await serve_controller(nursery)
    async with connected(node) as client, connected(node) as other, trio.open_nursery() as asking:
        await register(other, node)
        await other.ask(quota(10.0, "ANONYMOUS"))
        await client.ask(creation("first", 130))
        refused = await client.ask(creation("next"))
        assert refused.topics[0].error_code == THROTTLED
        # Twenty partitions more than the bucket held, at ten a second.
        assert refused.throttle_time_ms == 2_000
        await other.ask(quota(None, "ANONYMOUS"))
        served: list[Any] = []

        async def ask() -> None:
            served.append(await client.ask(creation("next")))

        asking.start_soon(ask)
        mock_clock.jump(1.9)
        await trio.testing.wait_all_tasks_blocked()
        await other.ask(quota(None, "ANONYMOUS"))
        await trio.testing.wait_all_tasks_blocked(ANSWERED_S)
        assert served == []
        mock_clock.jump(0.2)
    assert served[0].topics[0].error_code == NONE


async def test_a_throttled_client_may_go_away(node: Node) -> None:
    async with connected(node) as other:
        await register(other, node)
        await other.ask(quota(FOREVER, None))
        for _ in range(3):
            client = await Client.open(node)
            async with client.stream:
                await client.send(encode_request(header(creation("a").API_KEY, 7), creation("a")))
                await client.receive()


@pytest.mark.parametrize(("release", "code"), [("3.4", NONE), ("3.5", THROTTLED)])
async def test_quotas_count_from_3_5_on(release: str, code: ErrorCode, nursery: trio.Nursery) -> None:
    node = await serve_controller(nursery, release=release)
    async with connected(node) as client:
        await register(client, node)
        await client.ask(quota(FOREVER))
        assert (await forward(client, creation("first"), 7)).topics[0].error_code == NONE
        assert (await forward(client, creation("next"), 7)).topics[0].error_code == code
