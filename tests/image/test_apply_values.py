"""The short cut of the replay: whatever a PartitionRecord holds, it ends where the long way ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykraft.image import replay
from pykraft.image.metadata_image import MetadataImage, ReplayError
from pykraft.image.replay import apply_values
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.record_frame import decode_record, encode_record
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.topic_record import TopicRecord
from tests.image.contents import contents, recounted

TOPIC_ID = b"an id of a topic"
TOPIC = encode_record(TopicRecord(name="t", topic_id=TOPIC_ID), 0)
PLAIN = PartitionRecord(
    partition_id=3,
    topic_id=TOPIC_ID,
    replicas=[1, 2, 3],
    isr=[1, 3],
    leader=1,
    leader_epoch=7,
    partition_epoch=9,
    directories=[bytes([n]) * 16 for n in (1, 2, 3)],
)


def long_way(values: list[bytes]) -> MetadataImage:
    image = MetadataImage()
    for offset, value in enumerate(values, 40):
        image.apply(decode_record(value).message, offset, 5)
    return image


def short_cut(values: list[bytes]) -> MetadataImage:
    image = MetadataImage()
    apply_values(image, values, range(40, 40 + len(values)), 5)
    return image


def assert_same(values: list[bytes]) -> None:
    """Both ways give the same image and delta, or fail with the same error after the same records."""
    outcomes: list[Any] = []
    for way in (long_way, short_cut):
        try:
            image = way(values)
        except (ReplayError, ProtocolError) as error:
            outcomes.append((type(error), str(error)))
        else:
            assert {name: value for name, value in contents(image).items() if name in recounted(image)} == {
                name: {k: v for k, v in value.items() if v} if isinstance(value, dict) else value
                for name, value in recounted(image).items()
            }
            outcomes.append((image.offset, image.epoch, contents(image), image.take_delta()))
    assert outcomes[0] == outcomes[1]


def partitions() -> st.SearchStrategy[PartitionRecord]:
    ids = st.lists(st.integers(-1, 4), max_size=4)
    numbers = st.integers(-(2**31), 2**31 - 1)
    return st.builds(
        PartitionRecord,
        partition_id=st.integers(0, 2),
        topic_id=st.sampled_from([TOPIC_ID, bytes(16)]),
        replicas=ids,
        isr=ids,
        removing_replicas=st.just([]) | ids,
        adding_replicas=st.just([]) | ids,
        leader=st.integers(-1, 4),
        leader_recovery_state=st.integers(0, 1),
        leader_epoch=numbers,
        partition_epoch=numbers,
        directories=st.lists(st.integers(0, 3).map(lambda n: bytes([n]) * 16), max_size=4),
        eligible_leader_replicas=st.none() | ids,
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(partitions(), st.integers(0, 2)), max_size=6))
def test_any_partition_record(records: list[tuple[PartitionRecord, int]]) -> None:
    values = [TOPIC]
    for record, version in records:
        if version == 0:
            record.directories = []
        if version < 2:
            record.eligible_leader_replicas = None
        values.append(encode_record(record, version))
    assert_same(values)


@pytest.mark.parametrize("version", [0, 1])
def test_any_wrong_byte(version: int) -> None:
    if version == 0:
        PLAIN.directories, kept = [], PLAIN.directories
    value = encode_record(PLAIN, version)
    if version == 0:
        PLAIN.directories = kept
    for at in range(len(value)):
        assert_same([TOPIC, value[:at]])
        for wrong in (0, 1, 2, 4, 127, 128, 255):
            assert_same([TOPIC, value[:at] + bytes([wrong]) + value[at + 1 :], value])


def test_the_short_cut_is_taken_and_shares_what_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [TOPIC]
    for number in range(3):
        PLAIN.partition_id = number
        values.append(encode_record(PLAIN, 1))
    apply_values(image := MetadataImage(), values[:1], [0], 1)
    monkeypatch.setattr(replay, "decode_record", None)
    apply_values(image, values[1:], range(1, 4), 1)
    first, second, third = image.topics_by_id[TOPIC_ID].partitions.values()
    assert first == second == third
    assert first.replicas is second.replicas
    assert first.isr is third.isr
    assert first.directories is second.directories


def test_what_is_shared_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "SHARED_MAX", 8)
    values = [TOPIC]
    for number in range(50):
        directories = [bytes([number]) * 16] * 2
        record = PartitionRecord(
            partition_id=number,
            topic_id=TOPIC_ID,
            replicas=[number, 60],
            isr=[number],
            leader=number,
            directories=directories,
        )
        values.append(encode_record(record, 1))
    assert_same(values)
    assert len(replay._ints) <= 8
    assert len(replay._directories) <= 8


def test_a_change_after_it_and_a_record_again() -> None:
    change = encode_record(PartitionChangeRecord(partition_id=3, topic_id=TOPIC_ID, isr=[2], leader=2), 0)
    assert_same([TOPIC, encode_record(PLAIN, 1), change, encode_record(PLAIN, 1)])
