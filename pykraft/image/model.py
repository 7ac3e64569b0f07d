"""The leaf values of the metadata image: frozen structs that are replaced, never changed.

Names follow Kafka's classes in metadata/src/main/java/org/apache/kafka/metadata/.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum
from typing import NamedTuple, TypeAlias

import msgspec

from pykraft.protocol.uuids import ZERO_UUID, Uuid

NO_LEADER = -1
"""The leader of a partition that has none."""
NO_LEADER_CHANGE = -2
"""The leader field of a PartitionChangeRecord that leaves the leader as it is."""

DIRECTORY_MIGRATING: Uuid = ZERO_UUID
DIRECTORY_UNASSIGNED: Uuid = bytes(15) + b"\x01"
DIRECTORY_LOST: Uuid = bytes(15) + b"\x02"
_ALWAYS_ONLINE = frozenset((DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED))


class ZkMigrationState(IntEnum):
    """Where a ZooKeeper migration stands in the log (values of Kafka 3.5 and later; 3.4 swapped 1 and 2)."""

    NONE = 0
    MIGRATION = 1
    PRE_MIGRATION = 2
    POST_MIGRATION = 3


class LeaderRecoveryState(IntEnum):
    RECOVERED = 0
    RECOVERING = 1


class ResourceType(IntEnum):
    """The resource types of ConfigRecord (ConfigResource.Type)."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """One listener of a broker or controller."""

    name: str
    host: str
    port: int
    security_protocol: int


class FeatureRange(msgspec.Struct, frozen=True, gc=False):
    """The levels of one feature that a node supports, both ends included."""

    name: str
    min_version: int
    max_version: int


class BrokerRegistration(msgspec.Struct, frozen=True, gc=False):
    """A registered broker. `epoch` is its broker epoch; `registration_offset` that of its RegisterBrokerRecord."""

    id: int
    epoch: int
    incarnation_id: Uuid
    listeners: tuple[Endpoint, ...]
    features: tuple[FeatureRange, ...]
    rack: str | None
    fenced: bool
    in_controlled_shutdown: bool
    is_migrating_zk_broker: bool
    directories: tuple[Uuid, ...]
    registration_offset: int

    def listener(self, name: str) -> Endpoint | None:
        """The endpoint of the named listener, or None."""
        for endpoint in self.listeners:
            if endpoint.name == name:
                return endpoint
        return None

    def has_online_directory(self, directory: Uuid) -> bool:
        """Whether a replica assigned to `directory` counts as online: LOST never does; all others do on a broker that
        named no directories when it registered (before 3.7-IV2; KAFKA-16162)."""
        if directory == DIRECTORY_LOST:
            return False
        return not self.directories or directory in _ALWAYS_ONLINE or directory in self.directories


class ControllerRegistration(msgspec.Struct, frozen=True, gc=False):
    """A registered controller (RegisterControllerRecord)."""

    id: int
    incarnation_id: Uuid
    zk_migration_ready: bool
    listeners: tuple[Endpoint, ...]
    features: tuple[FeatureRange, ...]


class PartitionRegistration(msgspec.Struct, frozen=True, gc=False):
    """The state of one partition. `directories` has one entry per replica, or none when all are MIGRATING.

    `elr` are the eligible leader replicas (KIP-966): out of the ISR, yet with all that was committed; `last_known_elr`
    holds the last leader of a partition that has none.
    """

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int
    partition_epoch: int
    leader_recovery_state: int = 0
    removing_replicas: tuple[int, ...] = ()
    adding_replicas: tuple[int, ...] = ()
    directories: tuple[Uuid, ...] = ()
    elr: tuple[int, ...] = ()
    last_known_elr: tuple[int, ...] = ()

    @property
    def preferred_replica(self) -> int:
        return self.replicas[0] if self.replicas else NO_LEADER

    @property
    def is_reassigning(self) -> bool:
        return bool(self.removing_replicas or self.adding_replicas)

    def without_epochs(self) -> Hashable:
        """All but the epochs: equal for partitions whose replicas stand alike."""
        fields = msgspec.structs.astuple(self)
        return fields[:3] + fields[5:]

    def directory(self, broker_id: int) -> Uuid:
        """The directory of a replica; MIGRATING when none was ever assigned. Raises ValueError for a non-replica."""
        index = self.replicas.index(broker_id)
        return self.directories[index] if self.directories else DIRECTORY_MIGRATING

    def all_directories(self) -> tuple[Uuid, ...]:
        """One directory per replica, MIGRATING where none was assigned."""
        return self.directories or (DIRECTORY_MIGRATING,) * len(self.replicas)


class TopicImage(msgspec.Struct, gc=False):
    """A topic and its partitions. Only the image changes `partitions`."""

    name: str
    id: Uuid
    partitions: dict[int, PartitionRegistration]


class TopicPartition(NamedTuple):
    """A partition by the id of its topic."""

    topic_id: Uuid
    partition: int


class ConfigResource(NamedTuple):
    """Whom configs belong to: a ResourceType value and a name ("" is the cluster-wide default of brokers)."""

    type: int
    name: str


QuotaEntity: TypeAlias = tuple[tuple[str, str | None], ...]
"""Whom quotas belong to: (entity type, name) pairs sorted by type; the name None is the default entity."""


class ScramKey(NamedTuple):
    mechanism: int
    user: str


class ScramCredential(msgspec.Struct, frozen=True, gc=False):
    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int


class Acl(msgspec.Struct, frozen=True, gc=False):
    """One access control entry; the codes are those of Kafka's AclBinding enums."""

    resource_type: int
    resource_name: str
    pattern_type: int
    principal: str
    host: str
    operation: int
    permission_type: int


class DelegationToken(msgspec.Struct, frozen=True, gc=False):
    """A delegation token's facts; principals as `Type:name`, times in ms since 1970."""

    token_id: str
    owner: str
    requester: str
    renewers: tuple[str, ...]
    issue_timestamp_ms: int
    max_timestamp_ms: int
    expiration_timestamp_ms: int


class ProducerIds(NamedTuple):
    """The first producer id that was not handed out, and who got the block before it."""

    broker_id: int
    broker_epoch: int
    next_producer_id: int


NO_PRODUCER_IDS = ProducerIds(-1, -1, -1)
