"""What a migration reads of ZooKeeper, typed: the input of the copy and of the reconcile.

Kafka's ephemeral and operational znodes are no part of it (registrations, features, reassignments, notifications).
Sources: core kafka.zk.ZkMigrationClient and kafka.zk.migration.* (Kafka 3.9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from pykraft.zookeeper import paths, znodes
from pykraft.zookeeper.acl_znodes import AclEntry, AclResource, DelegationToken
from pykraft.zookeeper.errors import RequestFailedError, ZkCode
from pykraft.zookeeper.port import DataResult, ReadError, ReadResult
from pykraft.zookeeper.znodes import PartitionState, ProducerIdBlock, TopicAssignment, ZnodeError

PASSWORD_CONFIGS: Final = (
    "ssl.keystore.password",
    "ssl.key.password",
    "ssl.truststore.password",
    "ssl.keystore.key",
    "ssl.keystore.certificate.chain",
    "ssl.truststore.certificates",
    "sasl.jaas.config",
)
"""Configs whose values ZooKeeper holds encrypted, also behind a listener prefix. Source: DynamicBrokerConfig."""


class PasswordEncoder(Protocol):
    """Turns config secrets into what ZooKeeper holds, and back."""

    def encode(self, password: str) -> str: ...

    def decode(self, encoded: str) -> str:
        """Raises ValueError for what was not encoded with the same secret."""


class PlainPasswords:
    """No `password.encoder.secret`: secrets pass as they are, both ways."""

    def encode(self, password: str) -> str:
        return password

    def decode(self, encoded: str) -> str:
        return encoded


def is_password_config(name: str) -> bool:
    return name.endswith(PASSWORD_CONFIGS)


def decode_passwords(path: str, configs: dict[str, str], passwords: PasswordEncoder) -> dict[str, str]:
    """The configs with their secrets in clear. Raises ZnodeError for one that cannot be decoded."""
    decoded = configs
    for name, value in configs.items():
        if is_password_config(name):
            if decoded is configs:
                decoded = dict(configs)
            try:
                decoded[name] = passwords.decode(value)
            except ValueError as error:
                raise ZnodeError(
                    path,
                    f"has a secret {name} that cannot be decoded ({error})",
                    "give this controller the brokers' password.encoder.secret and algorithm keys",
                ) from None
    return decoded


class ZkTopic(msgspec.Struct, gc=False):
    """A topic's znodes. `assignment` None: the topic's znode is gone or cannot be read (`exists` tells which).

    `partitions` has the state of each partition whose state znode exists, None where it cannot be read;
    `partition_epochs` the versions of those znodes; `configs` None: the topic has no config znode.
    """

    exists: bool = False
    assignment: TopicAssignment | None = None
    partitions: dict[int, PartitionState | None] = {}
    partition_epochs: dict[int, int] = {}
    configs: dict[str, str] | None = None


Topics: TypeAlias = Mapping[str, ZkTopic]
Configs: TypeAlias = Mapping[str, dict[str, str]]


class ZkContents(msgspec.Struct):
    """All that is migrated. Configs and quotas are keyed by the path of their znode, quotas with SCRAM in them.

    What a reconcile finds unreadable is missing here, and so written anew.
    """

    topics: dict[str, ZkTopic] = {}
    pending_deletions: list[str] = []
    broker_configs: dict[str, dict[str, str]] = {}
    client_entities: dict[str, dict[str, str]] = {}
    producer_ids: ProducerIdBlock | None = None
    acls: dict[AclResource, list[AclEntry]] = {}
    delegation_tokens: dict[str, DelegationToken] = {}


def data_of(path: str, result: ReadResult) -> DataResult | None:
    """A read's data; None when there is no such znode. Raises RequestFailedError for any other refusal."""
    if isinstance(result, DataResult):
        return result
    if isinstance(result, ReadError) and result.code is ZkCode.NO_NODE:
        return None
    raise RequestFailedError(
        result.code if isinstance(result, ReadError) else ZkCode.MARSHALLING_ERROR, "reading", path
    )


def topic_from(
    name: str, topic: ReadResult, config: ReadResult, passwords: PasswordEncoder, *, strict: bool
) -> ZkTopic:
    """A topic without its partitions' states, from the reads of its znode and its config.

    Raises ZnodeError for broken content when `strict`; otherwise leaves it out.
    """
    found = data_of(paths.topic(name), topic)
    found_config = data_of(paths.topic_config(name), config)
    result = ZkTopic(exists=found is not None)
    try:
        if found is not None:
            result.assignment = znodes.decode_topic_assignment(name, found.data)
    except ZnodeError:
        if strict:
            raise
    try:
        if found_config is not None:
            path = paths.topic_config(name)
            configs = znodes.decode_config(path, found_config.data)
            result.configs = decode_passwords(path, configs, passwords)
    except ZnodeError:
        if strict:
            raise
    return result


def add_partitions(
    name: str, topic: ZkTopic, numbers: Sequence[int], states: Sequence[ReadResult], *, strict: bool
) -> None:
    """Put the states of partitions into `topic`, from the reads of their state znodes, in the same order."""
    partitions: dict[int, PartitionState | None] = {}
    epochs: dict[int, int] = {}
    decode = znodes.decode_partition_state
    for number, result in zip(numbers, states, strict=True):
        if type(result) is not DataResult:
            data_of(paths.topic_partition_state(name, number), result)
            continue
        try:
            partitions[number] = decode(name, number, result.data)
        except ZnodeError:
            if strict:
                raise
            partitions[number] = None
        epochs[number] = result.stat.version
    topic.partitions, topic.partition_epochs = partitions, epochs


def is_znode_name(name: str) -> bool:
    """Whether a name that goes into a path unescaped can be a znode's: ACLs of a group called `a/b` cannot."""
    return name not in ("", ".", "..") and "/" not in name and name.isprintable()
