"""Authorization in a running node: what each API needs, where a refusal stands, and when new entries count."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio

from pykraft.controller.authorizer import AclOperation
from pykraft.controller.config import STANDARD_AUTHORIZER
from pykraft.protocol.api import ApiKey, request_class
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import decode_response
from pykraft.protocol.messages.create_acls_request import AclCreation, CreateAclsRequestData
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.delete_acls_request import DeleteAclsFilter, DeleteAclsRequestData
from pykraft.protocol.messages.update_raft_voter_request import UpdateRaftVoterRequestData
from pykraft.protocol.messages.update_raft_voter_response import UpdateRaftVoterResponseData
from pykraft.server.node import Node
from pykraft.server.registry import CLUSTER_OPERATIONS, HANDLER_MODULES
from pykraft.testing import serve_controller
from tests.protocol.values import message_value
from tests.server.client import connected, envelope, register

REFUSED, CLUSTER_REFUSED = ErrorCode.TOPIC_AUTHORIZATION_FAILED, ErrorCode.CLUSTER_AUTHORIZATION_FAILED
ASK_THEMSELVES = {
    ApiKey.CREATE_TOPICS,
    ApiKey.DELETE_TOPICS,
    ApiKey.CREATE_PARTITIONS,
    ApiKey.ALTER_CONFIGS,
    ApiKey.INCREMENTAL_ALTER_CONFIGS,
    ApiKey.DESCRIBE_CONFIGS,
    ApiKey.DESCRIBE_CLUSTER,
    ApiKey.CREATE_DELEGATION_TOKEN,
}
SERVE_EVERYONE = {
    ApiKey.API_VERSIONS,
    ApiKey.SASL_HANDSHAKE,
    ApiKey.SASL_AUTHENTICATE,
    ApiKey.RENEW_DELEGATION_TOKEN,
    ApiKey.EXPIRE_DELEGATION_TOKEN,
    ApiKey.CONTROLLED_SHUTDOWN,
    ApiKey.DESCRIBE_DELEGATION_TOKEN,
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS,
}
MAY_CLOSE = {ApiKey.CREATE_ACLS, ApiKey.DELETE_ACLS, ApiKey.DESCRIBE_ACLS}
"""Drawn values may hold enum codes that Kafka refuses to parse."""
DRAWS = 4
"""How often the last version is asked: a drawn request without entries has no place for an error."""
TOPIC = CreateTopicsRequestData(
    topics=[CreatableTopic(name="orders", num_partitions=1, replication_factor=1)], timeout_ms=10_000
)


def entry(principal: str, host: str = "*", operation: int = AclOperation.CREATE) -> AclCreation:
    return AclCreation(
        resource_type=2,
        resource_name="orders",
        resource_pattern_type=3,
        principal=principal,
        host=host,
        operation=operation,
        permission_type=3,
    )


def codes(message: Any) -> Iterator[int]:
    """Every error code in a response."""
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if name == "error_code":
            yield value
        for item in value if isinstance(value, list) else [value]:
            if hasattr(item, "__struct_fields__"):
                yield from codes(item)


def created(data: bytes) -> int:
    """The error of the only topic in a forwarded answer."""
    answer: Any = decode_response(data, ApiKey.CREATE_TOPICS, 7)[2]
    return int(answer.topics[0].error_code)


async def serve(nursery: trio.Nursery, **settings: Any) -> Node:
    return await serve_controller(nursery, seed=1, authorizer_class_name=STANDARD_AUTHORIZER, **settings)


def test_every_api_is_accounted_for() -> None:
    assert CLUSTER_OPERATIONS.keys() | ASK_THEMSELVES | SERVE_EVERYONE == HANDLER_MODULES.keys()
    assert not CLUSTER_OPERATIONS.keys() & (ASK_THEMSELVES | SERVE_EVERYONE)


async def test_refusals_stand_where_errors_of_whole_requests_do(nursery: trio.Nursery) -> None:
    """Whatever is asked, those who have no rights see the refusal and nothing else."""
    node = await serve(nursery)
    rng = random.Random(1)
    refused = set()
    for key in sorted(CLUSTER_OPERATIONS.keys() - MAY_CLOSE):
        lowest, highest = node.apis[key]
        for version in [*range(lowest, highest + 1), *[highest] * DRAWS]:
            async with connected(node) as client:
                found = set(codes(await client.ask(message_value(request_class(key), version, rng), version)))
            assert found <= {CLUSTER_REFUSED, ErrorCode.NONE}, f"{key.name} version {version}"
            if CLUSTER_REFUSED in found:
                refused.add(key)
    assert refused == CLUSTER_OPERATIONS.keys() - MAY_CLOSE
    assert await node.writer.read(lambda image: (image.brokers, image.client_quotas, image.scram)) == ({}, {}, {})


async def test_the_principal_and_host_are_those_of_the_envelope(nursery: trio.Nursery) -> None:
    node = await serve(nursery, super_users="User:ANONYMOUS")
    async with connected(node) as client:
        await register(client, node)

        async def forwarded() -> int:
            response = await client.ask(envelope(TOPIC, 7), 0)
            assert response.error_code == 0
            return created(response.response_data)

        assert await forwarded() == REFUSED
        assert await create(client, entry("User:alice", "10.0.0.8")) == 0
        assert await forwarded() == REFUSED
        assert await create(client, entry("User:alice", "10.0.0.9")) == 0
        assert await forwarded() == 0
        everything = DeleteAclsFilter(
            resource_type_filter=1,
            resource_name_filter=None,
            pattern_type_filter=1,
            principal_filter=None,
            host_filter=None,
            operation=1,
            permission_type=1,
        )
        await client.ask(DeleteAclsRequestData(filters=[everything]))
        assert await forwarded() == REFUSED


async def create(client: Any, acl: AclCreation) -> int:
    response = await client.ask(CreateAclsRequestData(creations=[acl]))
    return int(response.results[0].error_code)


async def test_a_refused_voter_does_not_learn_the_leader(nursery: trio.Nursery) -> None:
    node = await serve(nursery)
    async with connected(node) as client:
        response = await client.ask(UpdateRaftVoterRequestData(), 0)
    assert response == UpdateRaftVoterResponseData(error_code=CLUSTER_REFUSED)


async def test_an_envelope_needs_cluster_action(nursery: trio.Nursery) -> None:
    node = await serve(nursery, super_users="User:alice")
    async with connected(node) as client:
        response = await client.ask(envelope(TOPIC, 7), 0)
    assert (response.error_code, response.response_data) == (CLUSTER_REFUSED, None)


async def test_entries_are_known_after_a_restart(nursery: trio.Nursery, tmp_path: Path) -> None:
    async with trio.open_nursery() as first_life:
        node = await serve(first_life, super_users="User:ANONYMOUS", data_directory=tmp_path)
        async with connected(node) as client:
            assert await create(client, entry("User:ANONYMOUS")) == 0
        first_life.cancel_scope.cancel()
    node = await serve(nursery, data_directory=tmp_path)
    async with connected(node) as client:
        response = await client.ask(TOPIC)
    assert response.topics[0].error_code == ErrorCode.INVALID_REPLICATION_FACTOR


async def test_without_an_authorizer_everyone_may(node: Node) -> None:
    async with connected(node) as client:
        await register(client, node)
        response = await client.ask(envelope(TOPIC, 7), 0)
    assert created(response.response_data) == 0
