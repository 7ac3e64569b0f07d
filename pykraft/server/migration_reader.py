"""Reading ZooKeeper for the migration: thousands of znodes in one go, typed.

Which znodes, and what is made of them: core kafka.zk.ZkMigrationClient and kafka.zk.migration.* (Kafka 3.9).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import Final

from pykraft.migration.client_entities import SCRAM_CODES
from pykraft.migration.zk_contents import (
    PasswordEncoder,
    ZkContents,
    ZkTopic,
    add_partitions,
    data_of,
    decode_passwords,
    topic_from,
)
from pykraft.zookeeper import acl_znodes, paths, znodes
from pykraft.zookeeper.acl_znodes import AclResource
from pykraft.zookeeper.ops import get_children, get_children_many, get_data_many
from pykraft.zookeeper.paths import PatternType
from pykraft.zookeeper.port import ChildrenResult, DataResult, GetData, ReadResult, ZooKeeperPort
from pykraft.zookeeper.znodes import ZnodeError

TOPICS_PER_READ_MAX: Final = 500
"""Topics whose znodes and configs are read at once."""

PARTITIONS_PER_READ_MAX: Final = 1_000
"""Partition states read at once, except where one topic has more; also what one step of the copy takes."""


async def children(port: ZooKeeperPort, path: str) -> list[str]:
    """Names of a znode's children in alphabetical order; none when it does not exist."""
    return sorted(await get_children(port, path) or ())


async def topic_names(port: ZooKeeperPort) -> tuple[list[str], list[str]]:
    """The topics that exist, and of them those pending deletion."""
    topics = await children(port, paths.BROKER_TOPICS)
    return topics, await children(port, paths.DELETE_TOPICS)


async def read_topics(
    port: ZooKeeperPort, names: Sequence[str], passwords: PasswordEncoder, *, strict: bool
) -> AsyncGenerator[dict[str, ZkTopic], None]:
    """The topics called `names` with all of theirs, some thousand partitions at a time, in this order.

    A topic that does not exist is given as such. Raises ZnodeError for what cannot be read when `strict`.
    """
    for start in range(0, len(names), TOPICS_PER_READ_MAX):
        part = names[start : start + TOPICS_PER_READ_MAX]
        topics = await _read_assignments(port, part, passwords, strict=strict)
        for chunk in _by_partitions(topics):
            await _read_states(port, chunk, strict=strict)
            yield chunk


async def read_assignments(
    port: ZooKeeperPort, names: Sequence[str], passwords: PasswordEncoder
) -> AsyncIterator[dict[str, ZkTopic]]:
    """The topics called `names` without their partitions' states. Raises ZnodeError for what cannot be read."""
    for start in range(0, len(names), TOPICS_PER_READ_MAX):
        yield await _read_assignments(port, names[start : start + TOPICS_PER_READ_MAX], passwords, strict=True)


async def _read_assignments(
    port: ZooKeeperPort, names: Sequence[str], passwords: PasswordEncoder, *, strict: bool
) -> dict[str, ZkTopic]:
    requests = [GetData(paths.topic(name)) for name in names]
    requests += [GetData(paths.topic_config(name)) for name in names]
    results = await port.read_many(requests)
    return {
        name: topic_from(name, topic, config, passwords, strict=strict)
        for name, topic, config in zip(names, results[: len(names)], results[len(names) :], strict=True)
    }


def _by_partitions(topics: dict[str, ZkTopic]) -> Iterator[dict[str, ZkTopic]]:
    chunk: dict[str, ZkTopic] = {}
    partitions = 0
    for name, topic in topics.items():
        count = 0 if topic.assignment is None else len(topic.assignment.partitions)
        if chunk and partitions + count > PARTITIONS_PER_READ_MAX:
            yield chunk
            chunk, partitions = {}, 0
        chunk[name] = topic
        partitions += count
    if chunk:
        yield chunk


async def _read_states(port: ZooKeeperPort, topics: dict[str, ZkTopic], *, strict: bool) -> None:
    numbers = {
        name: list(topic.assignment.partitions) for name, topic in topics.items() if topic.assignment is not None
    }
    requests = []
    for name, partitions in numbers.items():
        prefix = paths.topic_partitions(name)
        requests += [GetData(f"{prefix}/{number}/state") for number in partitions]
    results: list[ReadResult] = await port.read_many(requests) if requests else []
    at = 0
    for name, partitions in numbers.items():
        add_partitions(name, topics[name], partitions, results[at : at + len(partitions)], strict=strict)
        at += len(partitions)


async def read_others(port: ZooKeeperPort, passwords: PasswordEncoder, *, strict: bool) -> ZkContents:
    """Everything but topics. What cannot be read raises ZnodeError when `strict`, and is left out otherwise."""
    contents = ZkContents()
    contents.pending_deletions = await children(port, paths.DELETE_TOPICS)
    contents.broker_configs = await _read_configs(port, await _below(port, paths.CONFIG_BROKERS), strict=strict)
    for path, configs in list(contents.broker_configs.items()):
        try:
            contents.broker_configs[path] = decode_passwords(path, configs, passwords)
        except ZnodeError:
            if strict:
                raise
            contents.broker_configs[path] = {}
    contents.client_entities = await _read_configs(port, await _client_entity_paths(port), strict=strict)
    (block,) = await get_data_many(port, [paths.PRODUCER_ID_BLOCK])
    try:
        found = data_of(paths.PRODUCER_ID_BLOCK, block)
        contents.producer_ids = None if found is None else znodes.decode_producer_id_block(found.data)
    except ZnodeError:
        if strict:
            raise
    contents.acls = await _read_acls(port, strict=strict)
    contents.delegation_tokens = await _read_tokens(port, strict=strict)
    return contents


async def read_contents(port: ZooKeeperPort, passwords: PasswordEncoder, *, strict: bool) -> ZkContents:
    """All that is migrated, and topic configs that no topic belongs to, at once in memory."""
    contents = await read_others(port, passwords, strict=strict)
    names, _ = await topic_names(port)
    orphans = set(await children(port, paths.CONFIG_TOPICS)) - set(names)
    async for chunk in read_topics(port, [*names, *sorted(orphans)], passwords, strict=strict):
        contents.topics |= chunk
    return contents


async def _below(port: ZooKeeperPort, path: str) -> list[str]:
    return [f"{path}/{name}" for name in await children(port, path)]


async def _client_entity_paths(port: ZooKeeperPort) -> list[str]:
    users = await _below(port, paths.CONFIG_USERS)
    found = await get_children_many(port, [f"{user}/clients" for user in users])
    return [
        *users,
        *await _below(port, paths.CONFIG_CLIENTS),
        *(
            f"{user}/clients/{client}"
            for user, result in zip(users, found, strict=True)
            if isinstance(result, ChildrenResult)
            for client in sorted(result.children)
        ),
        *await _below(port, paths.CONFIG_IPS),
    ]


async def _read_configs(port: ZooKeeperPort, wanted: Sequence[str], *, strict: bool) -> dict[str, dict[str, str]]:
    configs = {}
    for path, found in await _read(port, wanted):
        try:
            configs[path] = znodes.decode_config(path, found.data)
        except ZnodeError:
            if strict:
                raise
            configs[path] = {}
    return configs


async def _read(port: ZooKeeperPort, wanted: Sequence[str]) -> list[tuple[str, DataResult]]:
    """The data of those paths that exist."""
    results = await get_data_many(port, wanted) if wanted else []
    found = [(path, data_of(path, result)) for path, result in zip(wanted, results, strict=True)]
    return [(path, data) for path, data in found if data is not None]


async def _read_acls(port: ZooKeeperPort, *, strict: bool) -> dict[AclResource, list[acl_znodes.AclEntry]]:
    resources: dict[str, AclResource] = {}
    for pattern in PatternType:
        for type_ in await children(port, paths.acl_store(pattern)):
            try:
                resource_type = acl_znodes.ResourceType.from_name(type_)
            except ValueError:
                continue  # Kafka skips a resource type that it does not know, too.
            for name in await children(port, paths.acl_resource_type(pattern, type_)):
                resource = AclResource(resource_type, name, pattern)
                resources[paths.acl_resource(pattern, type_, name)] = resource
    acls = {}
    for path, found in await _read(port, list(resources)):
        try:
            acls[resources[path]] = acl_znodes.decode_acl_entries(path, found.data)
        except ZnodeError:
            if strict:
                raise
            acls[resources[path]] = []
    return acls


async def _read_tokens(port: ZooKeeperPort, *, strict: bool) -> dict[str, acl_znodes.DelegationToken]:
    tokens = {}
    for path, found in await _read(port, await _below(port, paths.DELEGATION_TOKENS)):
        token_id = path.rpartition("/")[2]
        try:
            token = acl_znodes.decode_delegation_token(token_id, found.data)
        except ZnodeError:
            if strict:
                raise
            continue
        if token is not None:
            tokens[token_id] = token
    return tokens


async def scram_users(port: ZooKeeperPort) -> list[str]:
    """The users that have a SCRAM credential."""
    configs = await _read_configs(port, await _below(port, paths.CONFIG_USERS), strict=False)
    return [
        paths.desanitize(path.rpartition("/")[2]) for path, held in configs.items() if held.keys() & SCRAM_CODES.keys()
    ]


async def broker_addresses(port: ZooKeeperPort) -> dict[int, str]:
    """The brokers registered in `/brokers/ids`, each with its endpoints as text, "" where they cannot be read."""
    addresses = {}
    for path, found in await _read(port, await _below(port, paths.BROKER_IDS)):
        name = path.rpartition("/")[2]
        if not name.isdecimal():
            continue
        try:
            registration = znodes.decode_broker_registration(int(name), found.data)
            addresses[int(name)] = ", ".join(registration.endpoints) or f"{registration.host}:{registration.port}"
        except ZnodeError:
            addresses[int(name)] = ""
    return addresses
