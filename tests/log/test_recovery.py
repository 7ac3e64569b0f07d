"""Opening a log after a crash or on a bad disk: a torn tail is cut, nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykraft.log.batch import BATCH_BYTES_MAX
from pykraft.log.errors import CorruptLogError
from pykraft.log.metadata_log import LogConfig, MetadataLog
from tests.log.samples import batch

KEPT = batch(0, [b"first", b"second"]) + batch(2, [b"third"])
LAST = batch(3, [b"fourth", b"fifth" * 20])
STARTS = (0, len(batch(0, [b"first", b"second"])), len(KEPT))


pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def write(tmp_path: Path, content: bytes, base: int = 0) -> Path:
    directory = tmp_path / "__cluster_metadata-0"
    directory.mkdir(exist_ok=True)
    path = directory / f"{base:020d}.log"
    path.write_bytes(content)
    return path


def assert_torn(tmp_path: Path, content: bytes, kept: int = len(KEPT), end_offset: int = 3) -> str:
    """Opens a log of `content`: everything after `kept` bytes is cut, and reported, and the log goes on."""
    path = write(tmp_path, content)
    with MetadataLog.open(tmp_path) as log:
        torn = log.recovery.torn_tail
        assert torn is not None
        assert (torn.path, torn.offset, torn.position) == (path, end_offset, kept)
        assert torn.size == len(content) - kept
        assert (log.end_offset, log.size) == (end_offset, kept)
        assert path.read_bytes() == content[:kept]
        log.append([batch(end_offset, [b"again"])])
    with MetadataLog.open(tmp_path) as log:
        assert (log.end_offset, log.recovery.torn_tail) == (end_offset + 1, None)
    return torn.reason


def assert_corrupt(tmp_path: Path, content: bytes, position: int, offset: int) -> str:
    """Opening a log of `content` is refused, with the place, and changes nothing."""
    path = write(tmp_path, content)
    with pytest.raises(CorruptLogError) as caught:
        MetadataLog.open(tmp_path)
    assert (caught.value.path, caught.value.position, caught.value.offset) == (path, position, offset)
    assert f"{path} is corrupt at byte {position}, offset {offset}" in str(caught.value)
    assert path.read_bytes() == content
    return caught.value.reason


@pytest.mark.parametrize("cut", range(1, len(LAST)))
def test_a_last_batch_cut_at_any_byte_is_a_torn_tail(tmp_path: Path, cut: int) -> None:
    assert_torn(tmp_path, KEPT + LAST[:cut])


@pytest.mark.parametrize("written", range(len(LAST)))
def test_a_last_batch_whose_end_never_reached_the_disk_is_a_torn_tail(tmp_path: Path, written: int) -> None:
    """The file has its size, its last pages are zero; what was written may end with zeros of its own."""
    content = KEPT + LAST[:written] + bytes(len(LAST) - written)
    if LAST[written:].strip(b"\0"):
        assert_torn(tmp_path, content)


def test_zeros_behind_the_last_batch_are_a_torn_tail(tmp_path: Path) -> None:
    assert_torn(tmp_path, KEPT + bytes(10_000))
    (tmp_path / "__cluster_metadata-0/00000000000000000000.log").unlink()
    assert_torn(tmp_path, KEPT + LAST[:70] + bytes(20_000_000))


def test_a_first_batch_may_be_the_torn_one(tmp_path: Path) -> None:
    assert_torn(tmp_path, KEPT[:50], kept=0, end_offset=0)


def test_a_bad_crc_in_the_last_batch_is_a_torn_tail(tmp_path: Path) -> None:
    """It cannot be told from a page that never reached the disk."""
    content = bytearray(KEPT + LAST)
    content[-10] ^= 1
    assert "CRC-32C is" in assert_torn(tmp_path, bytes(content))


def test_a_bad_crc_before_a_whole_batch_is_never_cut(tmp_path: Path) -> None:
    first = STARTS[1]
    content = bytearray(KEPT + LAST)
    content[first + 64] ^= 1
    reason = assert_corrupt(tmp_path, bytes(content), first, 2)
    assert f"not a torn tail: a whole batch follows at byte {len(KEPT)}" in reason


def test_a_bad_crc_before_what_is_no_batch_is_never_cut(tmp_path: Path) -> None:
    content = bytearray(KEPT + LAST)
    content[-10] ^= 1
    reason = assert_corrupt(tmp_path, bytes(content) + b"garbage", len(KEPT), 3)
    assert "7 bytes that are no batch follow" in reason


@given(at=st.integers(0, len(KEPT + LAST) - 1), bit=st.integers(0, 7))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_costs_at_most_the_last_batch_and_is_never_overlooked(tmp_path: Path, at: int, bit: int) -> None:
    content = bytearray(KEPT + LAST)
    content[at] ^= 1 << bit
    path = write(tmp_path, bytes(content))
    try:
        log = MetadataLog.open(tmp_path)
    except CorruptLogError:
        assert path.read_bytes() == content
        return
    with log:
        if log.recovery.torn_tail is None:
            # Only a leader epoch is outside the CRC and without a rule that every other value breaks.
            assert any(12 <= at - start < 16 for start in STARTS)
            assert log.end_offset == 5
        else:
            assert at >= len(KEPT)
            assert log.end_offset == 3


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, b"\x01", "base offset"),
        (7, b"\x04", "base offset 4 where 3 comes next"),
        (7, b"\x02", "base offset 2 where 3 comes next"),
        (15, b"\x00", "leader epoch 0 after 1"),
        (16, b"\x01", "magic 1"),
        (21, b"\x01", "compressed or transactional"),
        (8, b"\x7f", "a size of"),
        (8, b"\xff", "a size of"),
        (10, b"\x7f", "only its length is wrong"),
        (60, b"\x05", "5 records"),
    ],
)
def test_a_last_header_that_no_torn_write_leaves_is_never_cut(
    tmp_path: Path, at: int, value: bytes, reason: str
) -> None:
    content = bytearray(KEPT + LAST)
    content[len(KEPT) + at : len(KEPT) + at + 1] = value
    assert reason in assert_corrupt(tmp_path, bytes(content), len(KEPT), 3)


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (b"\x01" * 30, "claims base offset"),
        (LAST[:16] + b"\x07" + LAST[17:40], "magic 7"),
        (LAST[:8] + b"\x7f" + LAST[9:30], "a size of"),
    ],
)
def test_a_partial_header_that_no_append_writes_is_never_cut(tmp_path: Path, tail: bytes, reason: str) -> None:
    assert reason in assert_corrupt(tmp_path, KEPT + tail, len(KEPT), 3)


def test_damage_in_a_segment_before_the_last_is_never_cut(tmp_path: Path) -> None:
    write(tmp_path, KEPT, base=0)
    write(tmp_path, LAST, base=3)
    with MetadataLog.open(tmp_path) as log:
        assert (log.end_offset, log.recovery.segments) == (5, 2)
    assert_corrupt(tmp_path, KEPT[:-3], STARTS[1], 2)


def test_an_empty_last_segment_is_what_a_crash_after_rolling_leaves(tmp_path: Path) -> None:
    write(tmp_path, KEPT, base=0)
    write(tmp_path, b"", base=3)
    with MetadataLog.open(tmp_path) as log:
        assert (log.end_offset, log.recovery.torn_tail) == (3, None)
        log.append([LAST])
    assert (tmp_path / "__cluster_metadata-0" / f"{3:020d}.log").read_bytes() == LAST


def test_a_batch_larger_than_what_is_read_at_once_is_recovered(tmp_path: Path) -> None:
    large = batch(3, [b"x" * 7_000_000])
    small = batch(4, [b"y"])
    write(tmp_path, KEPT + large + small)
    with MetadataLog.open(tmp_path, LogConfig(segment_bytes=BATCH_BYTES_MAX)) as log:
        assert log.end_offset == 5
        assert [len(found.values[0]) for found in log.iter_batches()] == [5, 5, 7_000_000, 1]
        assert log.read(3, 1) == large
        assert log.read(4, 1) == small
    assert_torn(tmp_path, KEPT + large[:-1])


def test_damage_that_appears_while_the_log_is_open_is_found_on_replay(tmp_path: Path) -> None:
    path = write(tmp_path, KEPT + LAST)
    with MetadataLog.open(tmp_path) as log:
        content = bytearray(KEPT + LAST)
        content[70] ^= 1
        path.write_bytes(content)
        with pytest.raises(CorruptLogError, match=r"byte 0, offset 0: CRC-32C"):
            list(log.iter_batches())
