"""Many records encoded at once are the bytes of each encoded by itself."""

from __future__ import annotations

import random
from copy import copy, deepcopy
from typing import Any

import pytest

from pykraft.protocol.errors import EncodeError
from pykraft.protocol.record_encoder import MODELS_MAX, encode_records
from pykraft.protocol.record_frame import ApiMessageAndVersion, encode_record
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.uuids import random_uuid

RNG = random.Random(5)
DIRECTORIES = [random_uuid(RNG) for _ in range(3)]
TOPIC_ID = random_uuid(RNG)


def partition() -> PartitionRecord:
    return PartitionRecord(
        topic_id=TOPIC_ID, replicas=[1, 2, 3], isr=[1, 2], leader=1, leader_epoch=0, partition_epoch=0,
        directories=list(DIRECTORIES),
    )  # fmt: skip


def change() -> PartitionChangeRecord:
    return PartitionChangeRecord(topic_id=TOPIC_ID, isr=[2, 3], leader=2)


OTHER_VALUES: dict[str, Any] = {
    "replicas": [1, 3, 2],
    "isr": [2, 1],
    "removing_replicas": [1],
    "adding_replicas": [2],
    "leader": 3,
    "leader_recovery_state": 1,
    "leader_epoch": 7,
    "partition_epoch": 9,
    "directories": list(reversed(DIRECTORIES)),
    "eligible_leader_replicas": [3],
    "last_known_elr": [1],
    "unknown_tagged_fields": ((90, b"x"),),
}


def one_by_one(records: list[ApiMessageAndVersion]) -> list[bytes]:
    return [encode_record(record.message, record.version) for record in records]


def numbered(message: PartitionRecord | PartitionChangeRecord, count: int) -> list[ApiMessageAndVersion]:
    """Records of `count` partitions that differ in nothing else, each with lists of its own."""
    records = []
    for number in range(count):
        twin = deepcopy(message)
        twin.partition_id, twin.topic_id = number, random_uuid(RNG)
        records.append(ApiMessageAndVersion(twin, 2))
    return records


@pytest.mark.parametrize("model", [partition(), change()], ids=["PartitionRecord", "PartitionChangeRecord"])
def test_whatever_else_differs_between_two_partitions_is_encoded(model: PartitionRecord) -> None:
    records = numbered(model, 3)
    for name in [name for name in OTHER_VALUES if hasattr(model, name)]:
        other = deepcopy(model)
        setattr(other, name, OTHER_VALUES[name])
        records += [*numbered(other, 2), *numbered(model, 2)]
    before = deepcopy(records)
    assert encode_records(records) == one_by_one(before)
    assert records == before, "what is given is not changed"


def test_other_records_and_versions_stay_in_their_places() -> None:
    plain = partition()
    plain.directories = []
    records = [
        ApiMessageAndVersion(TopicRecord("a", TOPIC_ID), 0),
        *numbered(partition(), 2),
        ApiMessageAndVersion(copy(plain), 0),
        ApiMessageAndVersion(copy(plain), 1),
        ApiMessageAndVersion(TopicRecord("b", TOPIC_ID), 0),
        *numbered(change(), 2),
    ]
    assert encode_records(records) == one_by_one(records)


def test_more_kinds_than_are_told_apart() -> None:
    records = []
    for leader in range(MODELS_MAX + 5):
        one = change()
        one.leader = leader
        records += numbered(one, 2)
    assert encode_records(records) == one_by_one(records)


@pytest.mark.parametrize(
    ("field", "value", "path"), [("partition_id", 1 << 31, "partitionId"), ("topic_id", b"short", "topicId")]
)
def test_a_partition_that_cannot_be_written_is_refused_as_by_itself(field: str, value: Any, path: str) -> None:
    records = numbered(change(), 3)
    setattr(records[2].message, field, value)
    with pytest.raises(EncodeError, match=path):
        encode_records(records)
