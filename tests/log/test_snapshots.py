"""Checkpoints of the log: written whole or not at all, checked when the log is opened, removed with what they cover."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from pykraft.log.checkpoint import (
    CheckpointWriter,
    checkpoint_name,
    iter_checkpoint,
    last_contained_timestamp_ms,
    read_checkpoint,
)
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.errors import CorruptLogError, LogClosedError, LogStateError, LogWriteError, OffsetOutOfRangeError
from pykraft.log.metadata_log import LogConfig, MetadataLog
from tests.log.samples import NO_OP, TIMESTAMP_MS, batch, write_checkpoint

MIB = 1024 * 1024
SMALL = LogConfig(segment_bytes=8 * MIB)


def directory_of(data: Path) -> Path:
    directory = data / "__cluster_metadata-0"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def log_from_offset_100(data: Path) -> Path:
    """A log that holds offset 100 of epoch 4 and 101 of epoch 5, and no checkpoint."""
    directory = directory_of(data)
    (directory / f"{100:020d}.log").write_bytes(batch(100, epoch=4) + batch(101, epoch=5))
    return directory


def snapshot(log: MetadataLog, offset: int, epoch: int) -> CheckpointWriter:
    writer = log.begin_snapshot(OffsetAndEpoch(offset, epoch), TIMESTAMP_MS + 5)
    writer.append([NO_OP] * 3)
    log.add_snapshot(writer)
    return writer


def test_a_snapshot_is_written_under_its_name_with_header_and_footer(tmp_path: Path) -> None:
    with MetadataLog.open(tmp_path) as log:
        log.append([batch(0, at_ms=TIMESTAMP_MS), batch(1, at_ms=TIMESTAMP_MS + 1)])
        writer = log.begin_snapshot(OffsetAndEpoch(2, 1), TIMESTAMP_MS + 5)
        writer.append([NO_OP] * 3)
        writer.append([b"x" * (5 * MIB), b"y" * (5 * MIB)])
        assert log.snapshots == []
        assert [path.name for path in log.directory.glob("*.checkpoint")] == []
        log.add_snapshot(writer)
        assert log.snapshots == [(2, 1)]
        path = log.directory / checkpoint_name(OffsetAndEpoch(2, 1))
    assert path.name == "00000000000000000002-0000000001.checkpoint"
    assert path.stat().st_size == writer.size
    assert list(path.parent.glob("*.part")) == []
    assert [found.control_types for found in iter_checkpoint(path)] == [[3], [], [], [], [4]]
    assert {found.header.leader_epoch for found in iter_checkpoint(path)} == {1}
    assert read_checkpoint(path)[:3] == [NO_OP] * 3
    assert last_contained_timestamp_ms(path) == TIMESTAMP_MS + 1
    with MetadataLog.open(tmp_path) as log:
        assert log.snapshots == [(2, 1)]


def test_a_snapshot_is_of_a_point_in_the_log(tmp_path: Path) -> None:
    with MetadataLog.open(tmp_path) as log:
        log.append([batch(0, epoch=1), batch(1, epoch=3)])
        for offset, epoch in ((3, 3), (2, 1), (1, 2), (2, 4)):
            with pytest.raises(ValueError, match="does not contain"):
                log.begin_snapshot(OffsetAndEpoch(offset, epoch), 0)
        log.begin_snapshot(OffsetAndEpoch(1, 1), 0).abandon()
        assert list(log.directory.glob("*.part")) == []
        left = log.begin_snapshot(OffsetAndEpoch(1, 1), 0)
    with pytest.raises(LogClosedError):
        log.add_snapshot(left)
    assert list(log.directory.glob("*.part")) == []


def test_a_full_disk_leaves_no_part_of_a_snapshot(tmp_path: Path, file_size_limit: Callable[[int], None]) -> None:
    with MetadataLog.open(tmp_path) as log:
        log.append([batch(0)])
        writer = log.begin_snapshot(OffsetAndEpoch(1, 1), 0)
        file_size_limit(10_000)
        with pytest.raises(LogWriteError, match="make room and try again"):
            writer.append([b"x" * 20_000])
        assert list(log.directory.glob("*.checkpoint*")) == []
        file_size_limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        snapshot(log, 1, 1)
        assert log.snapshots == [(1, 1)]


def test_a_log_that_begins_after_0_needs_a_snapshot(tmp_path: Path) -> None:
    directory = log_from_offset_100(tmp_path)
    with pytest.raises(LogStateError, match="starts at offset 100 and no checkpoint"):
        MetadataLog.open(tmp_path)
    old = write_checkpoint(directory, 50, 1)
    with pytest.raises(LogStateError, match="starts at offset 100 and no checkpoint"):
        MetadataLog.open(tmp_path)
    assert old.exists()
    write_checkpoint(directory, 100, 3)
    write_checkpoint(directory, 101, 4)
    left = [
        directory / f"{101:020d}-{4:010d}.checkpoint.deleted",
        directory / f"{102:020d}-{5:010d}-17.checkpoint.part",
    ]
    for path in left:
        path.write_bytes(b"")
    with MetadataLog.open(tmp_path) as log:
        assert (log.start_offset, log.end_offset, log.snapshots) == (100, 102, [(100, 3), (101, 4)])
        assert (log.earliest_snapshot, log.latest_snapshot) == ((100, 3), (101, 4))
        # An epoch before all: the snapshot that the log starts with stands for what came before.
        assert log.end_offset_for_epoch(2) == (100, 3)
        assert log.end_offset_for_epoch(4) == (101, 4)
    assert not any(path.exists() for path in [old, *left])


def test_a_directory_with_only_a_snapshot_goes_on_behind_it(tmp_path: Path) -> None:
    directory = directory_of(tmp_path)
    path = write_checkpoint(directory, 40, 3, at_ms=77)
    with MetadataLog.open(tmp_path) as log:
        assert (log.start_offset, log.end_offset, log.last_epoch, log.recovery.started_over_at) == (40, 40, 3, None)
        assert log.timestamp_ms_before(40) == 77
        log.append([batch(40, epoch=4)])
    path.write_bytes(path.read_bytes()[:-1])
    (directory / f"{40:020d}.log").unlink()
    with pytest.raises(CorruptLogError, match=r"00040-0000000003\.checkpoint is corrupt"):
        MetadataLog.open(tmp_path)
    assert sorted(entry.name for entry in directory.glob("*0*")) == [path.name]


@pytest.mark.parametrize(("offset", "epoch"), [(103, 5), (102, 6), (60, 7)])
def test_a_log_that_ends_before_a_snapshot_starts_over_behind_it(tmp_path: Path, offset: int, epoch: int) -> None:
    directory = log_from_offset_100(tmp_path)
    (directory / f"{100:020d}.index").write_bytes(b"Kafka's")
    write_checkpoint(directory, 100, 3)
    write_checkpoint(directory, offset, epoch)
    for starts_over in (True, False):
        with MetadataLog.open(tmp_path) as log:
            assert (log.start_offset, log.end_offset, log.last_epoch) == (offset, offset, epoch)
            assert (log.epochs, log.latest_snapshot) == ([], (offset, epoch))
            assert log.recovery.started_over_at == ((offset, epoch) if starts_over else None)
            assert log.snapshots[0].offset >= offset
    assert [path.name for path in directory.glob("*.log")] == [f"{offset:020d}.log"]
    assert list(directory.glob("*.index")) == []
    with MetadataLog.open(tmp_path) as log:
        log.append([batch(offset, epoch=epoch + 1)])


def damaged(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)
    return path


def test_a_damaged_snapshot_that_is_not_needed_is_set_aside(tmp_path: Path) -> None:
    directory = log_from_offset_100(tmp_path)
    write_checkpoint(directory, 100, 3)
    bad = damaged(write_checkpoint(directory, 101, 4))
    with MetadataLog.open(tmp_path) as log:
        assert (log.start_offset, log.end_offset, log.snapshots) == (100, 102, [(100, 3)])
        assert [damage.path for damage in log.recovery.damaged] == [bad]
        assert "CRC-32C" in log.recovery.damaged[0].reason
        snapshot(log, 101, 4)
    assert bad.with_name(bad.name + ".damaged").exists()
    with MetadataLog.open(tmp_path) as log:
        assert (log.snapshots, log.recovery.damaged) == ([(100, 3), (101, 4)], ())


@pytest.mark.parametrize(("offset", "epoch"), [(100, 3), (103, 5)])
def test_a_damaged_snapshot_that_is_needed_stops_the_start(tmp_path: Path, offset: int, epoch: int) -> None:
    directory = log_from_offset_100(tmp_path)
    if offset != 100:
        write_checkpoint(directory, 100, 3)
    bad = damaged(write_checkpoint(directory, offset, epoch))
    before = {path: path.read_bytes() for path in directory.glob("0*")}
    with pytest.raises(CorruptLogError) as caught:
        MetadataLog.open(tmp_path)
    assert caught.value.path == bad
    assert {path: path.read_bytes() for path in directory.glob("0*")} == before


def three_segments(data: Path) -> MetadataLog:
    """Offsets 0 to 20 of 1 MiB each, offset n at n ms; snapshots at 5 and 10 of epoch 1, at 20 of epoch 2."""
    log = MetadataLog.open(data, SMALL)
    for offset in range(21):
        log.append([batch(offset, [b"x" * MIB], epoch=1 + (offset >= 12), at_ms=offset)])
    for offset, epoch in ((5, 1), (10, 1), (20, 2)):
        snapshot(log, offset, epoch)
    assert [path.name for path in sorted(log.directory.glob("*.log"))] == [f"{n:020d}.log" for n in (0, 7, 14)]
    return log


def test_old_snapshots_go_with_the_segments_before_them(tmp_path: Path) -> None:
    with three_segments(tmp_path) as log:
        assert log.clean(retention_bytes=-1, retention_ms=-1, now_ms=10**12) == []
        assert log.clean(retention_bytes=100 * MIB, retention_ms=100, now_ms=104) == []
        (log.directory / f"{0:020d}.timeindex").write_bytes(b"Kafka's")
        removed = log.clean(retention_bytes=100 * MIB, retention_ms=100, now_ms=105)
        assert (removed, log.snapshots, log.start_offset) == ([(5, 1)], [(10, 1), (20, 2)], 10)
        assert (log.epochs, log.end_offset_for_epoch(0)) == ([(1, 10), (2, 12)], (10, 1))
        with pytest.raises(OffsetOutOfRangeError):
            log.read(9, 1)
        assert log.read(10, 1)
        assert sorted(path.name for path in log.directory.glob("0*")) == [
            f"{7:020d}.log",
            f"{10:020d}-{1:010d}.checkpoint",
            f"{14:020d}.log",
            f"{20:020d}-{2:010d}.checkpoint",
        ]
        assert (log.directory / "leader-epoch-checkpoint").read_text() == "0\n2\n1 10\n2 12\n"
    with MetadataLog.open(tmp_path, SMALL) as log:
        # As with Kafka, the start is found by its segment.
        assert (log.start_offset, log.end_offset, log.snapshots) == (7, 21, [(10, 1), (20, 2)])


def test_the_log_and_its_snapshots_are_kept_within_the_retention(tmp_path: Path) -> None:
    with three_segments(tmp_path) as log:
        assert log.clean(retention_bytes=14 * MIB, retention_ms=-1, now_ms=0) == [(5, 1), (10, 1)]
        # The last snapshot stays, and the last segment.
        assert (log.start_offset, log.snapshots, log.size // MIB) == (20, [(20, 2)], 7)
        assert log.clean(retention_bytes=0, retention_ms=0, now_ms=10**12) == []
        assert log.read(20, 1)
        log.append([batch(21, epoch=2)])


def test_a_reader_that_began_before_the_cleaning_reads_on(tmp_path: Path) -> None:
    with three_segments(tmp_path) as log:
        batches = log.iter_batches(0)
        assert next(batches).header.base_offset == 0
        log.clean(retention_bytes=0, retention_ms=-1, now_ms=0)
        assert [next(batches).header.base_offset for _ in range(6)] == [1, 2, 3, 4, 5, 6]


def test_damage_that_appears_while_the_log_is_open_is_not_served(tmp_path: Path) -> None:
    with MetadataLog.open(tmp_path) as log:
        log.append([batch(0), batch(1, [b"second"]), batch(2)])
        path = log.directory / f"{0:020d}.log"
        content = bytearray(path.read_bytes())
        content[len(batch(0)) + 65] ^= 4
        path.write_bytes(content)
        assert log.read(0, 1) == batch(0)
        for offset, size in ((0, MIB), (1, 1)):
            with pytest.raises(CorruptLogError, match=f"corrupt at byte {len(batch(0))}.*fails its CRC"):
                log.read(offset, size)
        assert log.read(2, 1) == batch(2)
