"""Lengths where they begin to take another byte, and tagged fields in their order: as the careful code has them."""

from __future__ import annotations

from typing import Final

import pytest

from pykraft.protocol import _careful, _wire
from pykraft.protocol._message import Message
from pykraft.protocol.messages.fetch_response import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchResponseData,
    LeaderIdAndEpoch,
    PartitionData,
    SnapshotId,
)
from pykraft.protocol.messages.metadata_request import MetadataRequestData, MetadataRequestTopic
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord

# Lengths plus one take two bytes from 128 on, three from 16384 on, four from 2097152 on; and their neighbours.
LENGTHS: Final = (0, 1, 125, 126, 127, 128, 129, 16382, 16383, 16384, 2097150, 2097151, 2097152)


def same(message: Message, version: int) -> None:
    raw = message.encode(version)
    assert raw == _careful.encode(message, version)
    assert type(message).decode(raw, version) == message


def fetched(partition: PartitionData) -> FetchResponseData:
    return FetchResponseData(responses=[FetchableTopicResponse(partitions=[partition])])


@pytest.mark.parametrize("length", LENGTHS)
def test_content(length: int) -> None:
    same(fetched(PartitionData(records=b"r" * length)), 17)
    same(fetched(PartitionData(records=b"r" * length)), 11)


@pytest.mark.parametrize("length", [length for length in LENGTHS if length < 32768])
def test_texts(length: int) -> None:
    same(MetadataRequestData(topics=[MetadataRequestTopic(name="t" * length)]), 12)


@pytest.mark.parametrize("count", LENGTHS[:-3])
def test_arrays(count: int) -> None:
    numbers = [-1] * count
    same(PartitionRecord(replicas=numbers, isr=numbers, directories=[bytes(16)] * count), 1)
    same(PartitionChangeRecord(isr=numbers, directories=[bytes(16)] * count), 1)
    same(PartitionChangeRecord(isr=numbers, leader=5, replicas=numbers), 0)
    aborted = [AbortedTransaction(number, 2 * number) for number in range(count)]
    same(fetched(PartitionData(aborted_transactions=aborted, preferred_read_replica=7, records=b"r")), 17)


@pytest.mark.parametrize(("char", "size"), [("b", 1), ("h", 2), ("i", 4), ("q", 8)])
def test_tagged_numbers(char: str, size: int) -> None:
    for count in range(300):
        content = _wire.varint(count + 1) + bytes(range(1, size + 1)) * count
        number = int.from_bytes(bytes(range(1, size + 1)))
        expected = b"\x05" + _wire.varint(len(content)) + content
        assert _wire.framed_numbers(5, [number] * count, char, size) == expected


def test_varints() -> None:
    assert [_wire.varint(value).hex() for value in (0, 127, 128, 300, 16383, 16384, 2**31 - 1)] == [
        "00", "7f", "8001", "ac02", "ff7f", "808001", "ffffffff07"]  # fmt: skip


def test_unknown_tags_stand_between_known_ones() -> None:
    unknown = ((6, b"six"), (7, b""), (9, b"n" * 200), (300, b"x"))
    record = PartitionChangeRecord(isr=[1], directories=[bytes(16)], unknown_tagged_fields=unknown)
    same(record, 1)
    leader, snapshot = LeaderIdAndEpoch(3, 1, ((0, b"0"),)), SnapshotId(9, 1)
    partition = PartitionData(current_leader=leader, snapshot_id=snapshot, unknown_tagged_fields=((3, b"3"),))
    same(fetched(partition), 17)
