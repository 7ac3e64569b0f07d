"""What `decoder` and `encoder` give: the same as `decode` and `encode`, looked up once."""

from __future__ import annotations

import array
import random
from typing import Final

import pytest

from pykraft.protocol._message import Message
from pykraft.protocol.errors import DecodeError, EncodeError, UnsupportedVersionError
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.fetch_response import (
    FetchableTopicResponse,
    FetchResponseData,
    LeaderIdAndEpoch,
    PartitionData,
)
from pykraft.protocol.messages.metadata_response import MetadataResponseData
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.record_frame import decode_record, encode_record
from pykraft.protocol.records.topic_record import TopicRecord

from .values import every_class, message_value

HEARTBEAT: Final = BrokerHeartbeatRequestData(broker_id=1, broker_epoch=2, current_metadata_offset=3, want_fence=True)
BEFORE: Final = b"before"


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_the_same_value_bytes_and_error(cls: type[Message]) -> None:
    rng = random.Random(cls.__name__)
    for version in range(cls.MIN_VERSION, cls.MAX_VERSION + 1):
        value = message_value(cls, version, rng)
        decode, encode = cls.decoder(version), cls.encoder(version)
        raw = encode(value)
        assert raw == value.encode(version)
        for data in (raw, bytearray(raw), memoryview(raw)):
            assert decode(data) == value
        assert decode(BEFORE + raw, len(BEFORE)) == value
        assert cls.decode_prefix(BEFORE + raw + b"behind", version, len(BEFORE)) == (value, len(BEFORE + raw))
        for wrong in (raw[:-1], raw + b"\x00", b""):
            if wrong == raw:
                continue
            with pytest.raises(DecodeError) as alone:
                cls.decode(wrong, version)
            with pytest.raises(DecodeError) as behind:
                decode(BEFORE + wrong, len(BEFORE))
            assert (behind.value.path, behind.value.reason) == (alone.value.path, alone.value.reason)
            assert behind.value.offset == alone.value.offset + len(BEFORE)
            if len(wrong) < len(raw):
                with pytest.raises(DecodeError) as prefix:
                    cls.decode_prefix(BEFORE + wrong, version, len(BEFORE))
                assert str(prefix.value) == str(behind.value)


def test_it_is_made_once() -> None:
    decode, encode = MetadataResponseData.decoder(12), MetadataResponseData.encoder(12)
    assert decode is MetadataResponseData.decoder(12)
    assert encode is MetadataResponseData.encoder(12)
    assert decode is not MetadataResponseData.decoder(11)


def test_a_version_that_is_not_there() -> None:
    for look_up in (MetadataResponseData.decoder, MetadataResponseData.encoder):
        with pytest.raises(UnsupportedVersionError, match="MetadataResponseData has versions 0 to 13, not 14"):
            look_up(14)


def test_a_message_of_fixed_width_does_not_take_less_or_more() -> None:
    decode = BrokerHeartbeatRequestData.decoder(1)
    raw = HEARTBEAT.encode(1)
    assert decode(raw) == HEARTBEAT
    for wrong, reason in (
        (raw[:-1], "needs 1 bytes, 0 are left"),
        (raw + b"\x00", "1 bytes are left over"),
        (b"", "needs 4 bytes, 0 are left"),
        (raw[:-1] + b"\x01", "needs 1 bytes, 0 are left"),
    ):
        with pytest.raises(DecodeError, match=reason):
            decode(wrong)
    # As many bytes as a whole message, but not from there on.
    with pytest.raises(DecodeError, match="needs 1 bytes, 0 are left"):
        decode(raw, 1)
    dirs = BrokerHeartbeatRequestData(offline_log_dirs=[bytes(16)])
    assert decode(dirs.encode(1)) == dirs
    unknown = BrokerHeartbeatRequestData(unknown_tagged_fields=((9, b"x"),))
    assert decode(unknown.encode(1)) == unknown


def test_buffers_of_other_items_than_bytes() -> None:
    raw = RequestHeaderData(request_api_key=1, request_api_version=2, correlation_id=3).encode(0)
    words = memoryview(array.array("H", raw))
    assert RequestHeaderData.decode(words, 0) == RequestHeaderData.decode(raw, 0)
    assert RequestHeaderData.decode(words.cast("B").cast("B", (2, 4)), 0) == RequestHeaderData.decode(raw, 0)
    long = memoryview(array.array("I", HEARTBEAT.encode(1) + b"\x00"))
    with pytest.raises(DecodeError, match="1 bytes are left over"):
        BrokerHeartbeatRequestData.decode(long, 1)
    # As many items as a heartbeat has bytes.
    with pytest.raises(DecodeError, match="69 bytes are left over"):
        BrokerHeartbeatRequestData.decode(memoryview(array.array("I", bytes(4 * 23))), 1)


def test_no_default_that_can_be_changed_is_shared_by_two_messages() -> None:
    raw = HEARTBEAT.encode(1)
    one, other = (BrokerHeartbeatRequestData.decode(raw, 1) for _ in range(2))
    one.offline_log_dirs.append(bytes(16))
    assert other.offline_log_dirs == []
    partitions = [PartitionData(number, records=b"") for number in range(200)]
    fetched = FetchResponseData(responses=[FetchableTopicResponse(partitions=partitions)]).encode(17)
    for _ in range(2):  # the second time by code for runs
        [topic] = FetchResponseData.decode(fetched, 17).responses
        assert topic.partitions[0].aborted_transactions == []
        assert len({id(partition.aborted_transactions) for partition in topic.partitions}) == len(partitions)
        first = topic.partitions[0]
        for absent in (first.diverging_epoch, first.current_leader, first.snapshot_id):
            assert absent == type(absent)()
            with pytest.raises(AttributeError):
                setattr(absent, absent.__struct_fields__[0], 7)
        first.current_leader = LeaderIdAndEpoch(1, 2)
        assert topic.partitions[1].current_leader == LeaderIdAndEpoch() == PartitionData().current_leader


def test_an_encoder_refuses_messages_of_another_class() -> None:
    encode: object = MetadataResponseData.encoder(12)
    assert callable(encode)
    with pytest.raises(EncodeError, match="BrokerHeartbeatRequestData"):
        encode(HEARTBEAT)


def test_records_of_a_known_kind_are_read_as_the_first_one() -> None:
    record = TopicRecord(name="topic", topic_id=bytes(range(16)))
    raw = encode_record(record, 0)
    for _ in range(2):
        assert decode_record(raw) == (record, 0)
    for _ in range(2):
        with pytest.raises(DecodeError) as caught:
            decode_record(raw + b"\x00")
        assert (caught.value.offset, caught.value.reason) == (len(raw), "1 bytes are left over")
    for _ in range(2):
        with pytest.raises(UnsupportedVersionError):
            decode_record(raw[:2] + b"\x09" + raw[3:])
