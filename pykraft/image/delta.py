"""What changed in a metadata image: for each changed key, the value it had before.

Readers look at the current image for what is, and here for what was; so a delta stays right however many records it
spans, two deltas merge into one, and an aborted transaction is undone from its delta.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pykraft.image.model import (
    Acl,
    BrokerRegistration,
    ConfigResource,
    ControllerRegistration,
    DelegationToken,
    PartitionRegistration,
    ProducerIds,
    QuotaEntity,
    ScramCredential,
    ScramKey,
    TopicImage,
    ZkMigrationState,
)
from pykraft.protocol.uuids import Uuid


@dataclass(slots=True)
class TopicDelta:
    """One topic's changes. `existed` tells whether it was there before; `partitions` holds the states before
    (None: the partition is new). A deleted topic is `removed`: its last TopicImage."""

    name: str
    existed: bool
    partitions: dict[int, PartitionRegistration | None] = field(default_factory=dict)
    removed: TopicImage | None = None

    def recreate(self, name: str) -> bool:
        """Follow the same topic's deletion by its creation anew; False when it is not the same topic."""
        if self.removed is None or name != self.name:
            return False
        self.partitions = {**self.partitions_before()}
        self.removed = None
        return True

    def partitions_before(self) -> dict[int, PartitionRegistration]:
        """All partitions that a removed topic had before the delta."""
        assert self.removed is not None
        before = {**self.removed.partitions, **self.partitions}
        return {number: state for number, state in before.items() if state is not None}


@dataclass(slots=True)
class MetadataDelta:
    """Changed keys with their values before; None means the key was absent."""

    features: dict[str, int | None] = field(default_factory=dict)
    zk_migration_state: ZkMigrationState | None = None
    brokers: dict[int, BrokerRegistration | None] = field(default_factory=dict)
    controllers: dict[int, ControllerRegistration | None] = field(default_factory=dict)
    topics: dict[Uuid, TopicDelta] = field(default_factory=dict)
    configs: dict[ConfigResource, dict[str, str]] = field(default_factory=dict)
    client_quotas: dict[QuotaEntity, dict[str, float]] = field(default_factory=dict)
    producer_ids: ProducerIds | None = None
    acls: dict[Uuid, Acl | None] = field(default_factory=dict)
    scram: dict[ScramKey, ScramCredential | None] = field(default_factory=dict)
    delegation_tokens: dict[str, DelegationToken | None] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return (
            self.zk_migration_state is None
            and self.producer_ids is None
            and not any(getattr(self, name) for name in KEYED)
        )

    def merge(self, later: MetadataDelta) -> None:
        """Take in a delta that came after this one: what this one already holds is the older truth and stays."""
        for name in KEYED:
            if name != "topics":
                mine = getattr(self, name)
                for key, before in getattr(later, name).items():
                    mine.setdefault(key, before)
        if self.zk_migration_state is None:
            self.zk_migration_state = later.zk_migration_state
        if self.producer_ids is None:
            self.producer_ids = later.producer_ids
        for topic_id, change in later.topics.items():
            mine_topic = self.topics.get(topic_id)
            if mine_topic is None:
                self.topics[topic_id] = change
                continue
            mine_topic.recreate(change.name)
            for number, state in change.partitions.items():
                mine_topic.partitions.setdefault(number, state)
            if change.removed is not None:
                if mine_topic.existed:
                    mine_topic.removed = change.removed
                else:
                    del self.topics[topic_id]


KEYED: Final = (
    "features",
    "brokers",
    "controllers",
    "topics",
    "configs",
    "client_quotas",
    "acls",
    "scram",
    "delegation_tokens",
)
