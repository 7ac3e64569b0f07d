"""Record batches: Kafka's bytes, and no others."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from pykraft.log import crc, layout
from pykraft.log.batch import (
    BATCH_BYTES_MAX,
    BATCH_RECORDS_MAX,
    Batch,
    ControlRecordType,
    decode_batch,
    encode_batch,
    encode_batches,
    encode_control_batch,
    iter_batches,
    iter_headers,
)
from pykraft.log.errors import BatchTooLargeError, CorruptBatchError
from tests.log.samples import CONTROLLER_DATA, CONTROLLER_LOG, TIMESTAMP_MS, batch

# Written by a real 3.9.1 controller: node 1, epoch 1, metadata.version 21.
LEADER_CHANGE = bytes.fromhex(
    "00000000000000000000004f00000001029c28514c002000000000000001a1fd97c70b000001a1fd97c70bffffffffff"
    "ffffffffffffffffff000000013a0000000800000002260000000000010200000001000200000001000000"
)
BOOTSTRAP = bytes.fromhex(
    "00000000000000010000008500000001021640d111000000000003000001a1fd97c783000001a1fd97c783ffffffffff"
    "ffffffffffffffffff000000043c000000013001170001001212426f6f747374726170207265636f726473003a000002"
    "012e010c00116d657461646174612e76657273696f6e0015000016000004010a01150000000014000006010801180000"
    "00"
)

values_of_records = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=200)
offsets = st.integers(0, 2**62)
epochs = st.integers(0, 2**31 - 1)
timestamps = st.integers(0, 2**62)


def reencode(found: Batch) -> bytes:
    header = found.header
    place = {
        "base_offset": header.base_offset,
        "leader_epoch": header.leader_epoch,
        "timestamp_ms": header.base_timestamp_ms,
    }
    if header.is_control:
        return encode_control_batch(list(zip(found.control_types, found.values, strict=True)), **place)
    return encode_batch(found.values, **place)


def test_a_leader_change_batch_is_what_kafka_wrote() -> None:
    found = decode_batch(LEADER_CHANGE)
    assert found.header.is_control
    assert found.control_types == [ControlRecordType.LEADER_CHANGE]
    assert found.values == [bytes.fromhex("00000000000102000000010002000000010000")]
    assert (found.header.base_offset, found.header.next_offset, found.header.size) == (0, 1, 91)
    assert reencode(found) == LEADER_CHANGE


def test_a_data_batch_is_what_kafka_wrote() -> None:
    found = decode_batch(BOOTSTRAP)
    assert not found.header.is_control
    assert found.control_types == []
    assert len(found.values) == 4
    assert b"metadata.version" in found.values[1]
    assert (found.header.base_offset, found.header.leader_epoch, found.header.next_offset) == (1, 1, 5)
    assert reencode(found) == BOOTSTRAP


@pytest.mark.parametrize("path", [CONTROLLER_LOG, CONTROLLER_DATA / "bootstrap.checkpoint"])
def test_every_batch_of_a_real_file_comes_back_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    assert b"".join(map(reencode, iter_batches(data))) == data


def test_the_crc_is_castagnolis_with_or_without_the_compiled_part(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {b"": 0, b"123456789": 0xE3069283, bytes(32): 0x8A9136AA}
    assert {data: crc.crc32c(data) for data in known} == known
    monkeypatch.setattr(crc, "EXTENSION_SUFFIXES", [])
    assert crc._load() is crc32c


def test_the_second_description_of_the_layout_agrees_on_a_real_log() -> None:
    data = CONTROLLER_LOG.read_bytes()
    described = layout.log_file.parse(data).batches
    ours = list(iter_batches(data))
    assert len(described) == len(ours) == 98
    for theirs, found in zip(described, ours, strict=True):
        inside = theirs.content.covered.value
        assert theirs.base_offset == found.header.base_offset
        assert theirs.content.leader_epoch == found.header.leader_epoch
        assert theirs.content.crc == found.header.crc == crc32c(theirs.content.covered.data)
        assert inside.attributes.control == found.header.is_control
        assert [record.body.value for record in inside.records] == found.values


def described_batch(
    values: list[bytes], base_offset: int, epoch: int, timestamp_ms: int, *, control_type: int | None = None
) -> bytes:
    """The batch as `layout` builds it, apart from the code under test."""
    records = []
    for delta, value in enumerate(values):
        key = None if control_type is None else struct.pack(">hh", 0, control_type)
        body = {
            "attributes": 0, "timestamp_delta": 0, "offset_delta": delta,
            "key_length": -1 if key is None else len(key), "key": key,
            "value_length": len(value), "value": value, "header_count": 0,
        }  # fmt: skip
        records.append({"length": len(layout.record_body.build(body)), "body": body})
    flags = dict.fromkeys(("delete_horizon", "transactional", "log_append_time"), False)
    covered = {
        "attributes": {"unused": 0, "compression": 0, "control": control_type is not None, **flags},
        "last_offset_delta": len(values) - 1, "base_timestamp": timestamp_ms, "max_timestamp": timestamp_ms,
        "producer_id": -1, "producer_epoch": -1, "base_sequence": -1,
        "record_count": len(values), "records": records,
    }  # fmt: skip
    raw = layout.covered.build(covered)
    content = {"leader_epoch": epoch, "magic": 2, "crc": crc32c(raw), "covered": {"data": raw}}
    built: bytes = layout.batch.build({"base_offset": base_offset, "batch_length": len(raw) + 9, "content": content})
    return built


@given(values_of_records, offsets, epochs, timestamps)
def test_data_batches_round_trip_and_are_built_as_described(
    values: list[bytes], base_offset: int, epoch: int, timestamp_ms: int
) -> None:
    data = encode_batch(values, base_offset=base_offset, leader_epoch=epoch, timestamp_ms=timestamp_ms)
    assert data == described_batch(values, base_offset, epoch, timestamp_ms)
    found = decode_batch(data)
    assert found.values == values
    assert (found.header.base_offset, found.header.leader_epoch) == (base_offset, epoch)
    assert found.header.base_timestamp_ms == found.header.max_timestamp_ms == timestamp_ms
    assert found.header.size == len(data)


@given(values_of_records, offsets, epochs, timestamps, st.sampled_from(ControlRecordType))
def test_control_batches_round_trip_and_are_built_as_described(
    values: list[bytes], base_offset: int, epoch: int, timestamp_ms: int, control_type: ControlRecordType
) -> None:
    records = [(control_type, value) for value in values]
    data = encode_control_batch(records, base_offset=base_offset, leader_epoch=epoch, timestamp_ms=timestamp_ms)
    assert data == described_batch(values, base_offset, epoch, timestamp_ms, control_type=control_type)
    found = decode_batch(data)
    assert list(zip(found.control_types, found.values, strict=True)) == records


@pytest.mark.parametrize("size", [1, 57, 58, 63, 64, 1015, 1024, 8191, 8192, 100_000])
@pytest.mark.parametrize("count", [1, 65, 1025, 8193])
def test_numbers_grow_by_a_byte_where_they_have_to(size: int, count: int) -> None:
    if size * count > 2_000_000:
        count = 1
    values = [bytes([i % 251]) * size for i in range(count)]
    data = batch(7, values)
    assert decode_batch(data).values == values
    if count < 100:
        assert data == described_batch(values, 7, 1, TIMESTAMP_MS)


def with_crc(data: bytearray) -> bytes:
    data[17:21] = struct.pack(">I", crc32c(bytes(data[21:])))
    return bytes(data)


def described_record(**changes: object) -> bytes:
    """A batch of one record whose body has the changes; its CRC is right."""
    body: dict[str, object] = {
        "attributes": 0, "timestamp_delta": 0, "offset_delta": 0, "key_length": -1, "key": None,
        "value_length": 3, "value": b"abc", "header_count": 0,
    }  # fmt: skip
    body.update(changes)
    raw = layout.record_body.build(body)
    record = layout.record.build({"length": len(raw), "body": body})
    data = bytearray(batch(0, [b"abc"])[:61] + record)
    data[8:12] = struct.pack(">i", len(data) - 12)
    return with_crc(data)


def test_the_described_record_without_changes_is_good() -> None:
    assert decode_batch(described_record()).values == [b"abc"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"timestamp_delta": 5}, "timestamp delta of 5"),
        ({"timestamp_delta": -1}, "timestamp delta of -1"),
        ({"offset_delta": 1}, "offset delta of 1"),
        ({"attributes": 1}, "attributes 1"),
        ({"key_length": 2, "key": b"ab"}, "key of 2 bytes"),
        ({"key_length": 0, "key": b""}, "key of 0 bytes"),
        ({"value_length": -1, "value": None}, "value of -1 bytes"),
        ({"value_length": 0, "value": b""}, "value of 0 bytes"),
        ({"value_length": 2, "value": b"abc"}, "do not fit"),
        ({"header_count": 1}, "do not fit"),
    ],
)
def test_a_record_no_metadata_log_has_is_refused(changes: dict[str, object], reason: str) -> None:
    if changes.get("value_length") == 2:
        data = bytearray(described_record())
        data[-5] = 4  # the value's length, zigzag
        bad = with_crc(data)
    else:
        bad = described_record(**changes)
    with pytest.raises(CorruptBatchError, match=reason) as caught:
        decode_batch(b"x" * 10 + bad, 10, file_position=1234)
    assert (caught.value.position, caught.value.offset) == (1234, 0)


@pytest.mark.parametrize(
    ("at", "form", "value", "reason"),
    [
        (16, "b", 1, "magic 1"),
        (8, ">i", 40, "a size of 52 bytes"),
        (8, ">i", -1, "a size of 11 bytes"),
        (8, ">i", BATCH_BYTES_MAX, "a size of"),
        (21, ">h", 1, "compressed or transactional"),
        (21, ">h", 0x10, "compressed or transactional"),
        (23, ">i", 3, "last offset delta of 3"),
        (57, ">i", 0, "0 records"),
        (0, ">q", -1, "base offset -1"),
        (12, ">i", -1, "leader epoch -1"),
    ],
)
def test_a_header_no_metadata_log_has_is_refused(at: int, form: str, value: int, reason: str) -> None:
    data = bytearray(batch(0, [b"abc"]))
    struct.pack_into(form, data, at, value)
    with pytest.raises(CorruptBatchError, match=reason):
        decode_batch(with_crc(data))
    with pytest.raises(CorruptBatchError, match=reason):
        list(iter_headers(bytes(data)))


@pytest.mark.parametrize("more", [1, -1])
def test_a_record_count_that_is_not_what_follows_is_refused(more: int) -> None:
    data = bytearray(batch(0, [b"abc", b"def"]))
    struct.pack_into(">i", data, 23, 1 + more)
    struct.pack_into(">i", data, 57, 2 + more)
    with pytest.raises(CorruptBatchError, match=r"beyond the batch|bytes follow"):
        decode_batch(with_crc(data))


@given(st.data())
def test_bytes_that_are_no_batch_give_a_typed_error_or_a_batch(data: st.DataObject) -> None:
    good = bytearray(batch(0, [b"abc", b"defgh", b"x" * 200]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(21, len(good) - 1))
        good[at] = data.draw(st.integers(0, 255))
    mangled = with_crc(good)
    try:
        found = decode_batch(mangled)
    except CorruptBatchError:
        return
    assert found.header.record_count == len(found.values)


@pytest.mark.parametrize("control", [False, True])
def test_every_flipped_bit_behind_the_crc_is_found(control: bool) -> None:
    data = LEADER_CHANGE if control else BOOTSTRAP
    for at in range(17, len(data)):
        for bit in range(8):
            mangled = bytearray(data)
            mangled[at] ^= 1 << bit
            with pytest.raises(CorruptBatchError):
                decode_batch(bytes(mangled))


def test_a_control_record_needs_a_key_of_version_0() -> None:
    data = bytearray(LEADER_CHANGE)
    at = data.index(bytes.fromhex("0800000002")) + 1
    data[at + 1] = 1
    with pytest.raises(CorruptBatchError, match="version 1"):
        decode_batch(with_crc(data))


def test_a_batch_holds_what_a_reader_accepts_and_no_more() -> None:
    overhead = len(batch(0, [b"x" * 4_000_000])) - 4_000_000
    largest = b"x" * (BATCH_BYTES_MAX - overhead)
    assert len(batch(0, [largest])) == BATCH_BYTES_MAX
    with pytest.raises(BatchTooLargeError, match="8388609 bytes"):
        batch(0, [largest + b"x"])
    with pytest.raises(ValueError, match="at least one record"):
        batch(0, [])
    with pytest.raises(ValueError, match="empty value"):
        batch(0, [b"a", b""])


def encode_many(values: list[bytes], *, atomic: bool = False) -> list[bytes]:
    return encode_batches(values, base_offset=5, leader_epoch=2, timestamp_ms=1, atomic=atomic)


def test_many_records_are_split_at_the_limits() -> None:
    values = [b"%d" % i for i in range(2 * BATCH_RECORDS_MAX + 1)]
    batches = [decode_batch(data) for data in encode_many(values)]
    assert [found.header.record_count for found in batches] == [BATCH_RECORDS_MAX, BATCH_RECORDS_MAX, 1]
    assert [found.header.base_offset for found in batches] == [5, 5 + BATCH_RECORDS_MAX, 5 + 2 * BATCH_RECORDS_MAX]
    assert [value for found in batches for value in found.values] == values
    large = [b"x" * 3_000_000] * 5
    assert [decode_batch(data).header.record_count for data in encode_many(large)] == [2, 2, 1]
    assert encode_many([]) == []


def test_atomic_records_are_one_batch_or_none() -> None:
    assert len(encode_many([b"x"] * BATCH_RECORDS_MAX, atomic=True)) == 1
    with pytest.raises(BatchTooLargeError, match="10001 records"):
        encode_many([b"x"] * (BATCH_RECORDS_MAX + 1), atomic=True)
    with pytest.raises(BatchTooLargeError, match="more than the 8388608"):
        encode_many([b"x" * 3_000_000] * 3, atomic=True)
