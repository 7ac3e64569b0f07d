"""What an image holds, in a form that can be compared, and its counts worked out a second time."""

from __future__ import annotations

from typing import Any

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import NO_LEADER, TopicPartition

INDEXES = ("leader_counts", "isr_counts", "leaderless", "not_preferred", "reassigning", "with_elr", "partition_count")


def contents(image: MetadataImage) -> dict[str, Any]:
    """Everything but offsets; topics by id, counts without zeros."""
    return {
        "features": dict(image.features),
        "zk_migration_state": image.zk_migration_state,
        "brokers": dict(image.brokers),
        "controllers": dict(image.controllers),
        "topics": {t.id: (t.name, dict(t.partitions)) for t in image.topics_by_id.values()},
        "names": {name: topic.id for name, topic in image.topics_by_name.items()},
        "configs": {resource: dict(configs) for resource, configs in image.configs.items()},
        "client_quotas": {entity: dict(quotas) for entity, quotas in image.client_quotas.items()},
        "producer_ids": image.producer_ids,
        "acls": dict(image.acls),
        "scram": dict(image.scram),
        "delegation_tokens": dict(image.delegation_tokens),
        **{name: _without_zeros(getattr(image, name)) for name in INDEXES},
    }


def recounted(image: MetadataImage) -> dict[str, Any]:
    """The image's indexes as they follow from its partitions."""
    expected: dict[str, Any] = {
        "leader_counts": {},
        "isr_counts": {},
        "leaderless": set(),
        "not_preferred": set(),
        "reassigning": set(),
        "with_elr": set(),
        "partition_count": 0,
    }
    for topic in image.topics_by_id.values():
        for number, partition in topic.partitions.items():
            key = TopicPartition(topic.id, number)
            expected["partition_count"] += 1
            if partition.leader == NO_LEADER:
                expected["leaderless"].add(key)
            else:
                expected["leader_counts"][partition.leader] = expected["leader_counts"].get(partition.leader, 0) + 1
            for member in partition.isr:
                expected["isr_counts"][member] = expected["isr_counts"].get(member, 0) + 1
            if partition.leader != partition.replicas[0]:
                expected["not_preferred"].add(key)
            if partition.removing_replicas or partition.adding_replicas:
                expected["reassigning"].add(key)
            if partition.elr or partition.last_known_elr:
                expected["with_elr"].add(key)
    return expected


def _without_zeros(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: count for key, count in value.items() if count}
    return set(value) if isinstance(value, set) else value
