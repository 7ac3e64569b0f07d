"""MetadataLog: append, read, segments, epochs, what is refused and what a failed disk leaves."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykraft.log import files, metadata_log, segment
from pykraft.log.batch import BATCH_BYTES_MAX, iter_headers
from pykraft.log.errors import (
    CorruptBatchError,
    CorruptLogError,
    LogClosedError,
    LogStateError,
    LogWriteError,
    OffsetOutOfRangeError,
    UnusableDirectoryError,
)
from pykraft.log.metadata_log import LogConfig, MetadataLog
from tests.log.samples import CONTROLLER_LOG, TIMESTAMP_MS, batch, copy_of_controller_data

SMALL = LogConfig(segment_bytes=BATCH_BYTES_MAX)
MIB = bytes(1024 * 1024)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MetadataLog]:
    with MetadataLog.open(tmp_path, SMALL) as opened:
        yield opened


def fill(log: MetadataLog, count: int, value: bytes = b"x" * 50, epoch: int = 1) -> None:
    end = log.end_offset
    log.append([batch(end + i, [value], epoch=epoch) for i in range(count)])


def test_a_new_directory_has_the_files_kafka_expects(tmp_path: Path) -> None:
    with MetadataLog.open(tmp_path / "made/here") as log:
        assert (log.start_offset, log.end_offset, log.last_epoch, log.size) == (0, 0, 0, 0)
        assert log.read(0, 1000) == b""
        assert list(log.iter_batches()) == []
    directory = tmp_path / "made/here/__cluster_metadata-0"
    assert {entry.name: entry.read_bytes() for entry in directory.iterdir()} == {
        "00000000000000000000.log": b"",
        "leader-epoch-checkpoint": b"0\n0\n",
        "partition.metadata": b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ",
    }
    assert (tmp_path / "made/here/.lock").exists()


def test_a_real_controllers_directory_is_taken_over_and_not_changed(tmp_path: Path) -> None:
    data = copy_of_controller_data(tmp_path)
    before = {entry: entry.read_bytes() for entry in (data / "__cluster_metadata-0").iterdir()}
    with MetadataLog.open(data) as log:
        assert (log.start_offset, log.end_offset, log.last_epoch, log.epochs) == (0, 155, 1, [(1, 0)])
        assert log.recovery[:4] == (1, 98, len(CONTROLLER_LOG.read_bytes()), None)
        assert log.read(0, 1 << 20) == CONTROLLER_LOG.read_bytes()
        assert [found.header.base_offset for found in log.iter_batches()][:4] == [0, 1, 5, 6]
    assert {entry: entry.read_bytes() for entry in (data / "__cluster_metadata-0").iterdir()} == before


def test_what_is_appended_is_read_back_also_after_opening_again(tmp_path: Path) -> None:
    first, second, third = batch(0, [b"a", b"b"]), batch(2, [b"c"]), batch(3, [b"d"], epoch=3)
    with MetadataLog.open(tmp_path) as log:
        assert log.append([first, second]) == 3
        assert log.append([third]) == 4
        assert log.append([]) == 4
    with MetadataLog.open(tmp_path) as log:
        assert (log.end_offset, log.last_epoch, log.epochs) == (4, 3, [(1, 0), (3, 3)])
        assert log.read(0, 10_000) == first + second + third
        assert [found.values for found in log.iter_batches()] == [[b"a", b"b"], [b"c"], [b"d"]]
        assert [found.values for found in log.iter_batches(1)] == [[b"a", b"b"], [b"c"], [b"d"]]
        assert [found.values for found in log.iter_batches(2)] == [[b"c"], [b"d"]]
        assert list(log.iter_batches(4)) == []
    epoch_file = tmp_path / "__cluster_metadata-0/leader-epoch-checkpoint"
    assert epoch_file.read_text() == "0\n2\n1 0\n3 3\n"


def test_a_read_gives_whole_batches_within_the_limit_and_at_least_one(log: MetadataLog) -> None:
    sizes = [len(batch(i, [b"x" * (1 + i % 90)])) for i in range(500)]
    log.append([batch(i, [b"x" * (1 + i % 90)]) for i in range(500)])
    for offset in range(0, 500, 7):
        for limit in (0, 1, sizes[offset], sizes[offset] + 1, 1000, 5000, 20_000, 1 << 30):
            data = log.read(offset, limit)
            headers = [header for _, header in iter_headers(data)]
            assert headers[0].base_offset == offset
            assert len(headers) == 1 or len(data) <= limit
            after = headers[-1].next_offset
            assert after == 500 or len(data) + sizes[after] > limit


def test_a_read_inside_a_batch_begins_with_that_batch(log: MetadataLog) -> None:
    log.append([batch(0, [b"a"] * 10), batch(10, [b"b"] * 10)])
    assert log.read(19, 1) == batch(10, [b"b"] * 10)
    assert log.read(9, 1) == batch(0, [b"a"] * 10)


def test_the_index_stays_within_its_limit(log: MetadataLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "INDEX_ENTRIES_MAX", 8)
    fill(log, 2000, b"y" * 100)
    active = log._segments[-1]
    assert 4 <= len(active._positions) <= 8
    for offset in (0, 1, 999, 1998, 1999):
        assert next(iter_headers(log.read(offset, 5000)))[1].base_offset == offset


@pytest.mark.parametrize("offset", [-1, 3, 1000])
def test_an_offset_the_log_does_not_have_is_refused(log: MetadataLog, offset: int) -> None:
    fill(log, 2)
    with pytest.raises(OffsetOutOfRangeError, match=f"offset {offset} .* 0 to 2"):
        log.read(offset, 100)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (batch(3), "the log ends at 2"),
        (batch(1), "the log ends at 2"),
        (batch(2, epoch=1), "leader epoch 1 after 2"),
        (batch(2, epoch=2) + b"more", "bytes for a batch of"),
        (batch(2, epoch=2)[:-1], "bytes for a batch of"),
    ],
)
def test_batches_that_do_not_come_next_are_refused(log: MetadataLog, bad: bytes, reason: str) -> None:
    fill(log, 2, epoch=2)
    size = log.size
    with pytest.raises(CorruptBatchError, match=reason):
        log.append([bad])
    assert (log.end_offset, log.size) == (2, size)
    fill(log, 1, epoch=2)


def test_segments_roll_when_full_and_are_found_again(tmp_path: Path) -> None:
    with MetadataLog.open(tmp_path, SMALL) as log:
        for _ in range(5):
            fill(log, 5, MIB)
        assert [s.base_offset for s in log._segments] == [0, 7, 14, 21]
        assert next(iter_headers(log.read(6, 1)))[1].base_offset == 6
        assert len(log.read(5, 1 << 30)) == 2 * len(batch(0, [MIB]))
    directory = tmp_path / "__cluster_metadata-0"
    assert sorted(entry.name for entry in directory.glob("*.log")) == [f"{base:020d}.log" for base in (0, 7, 14, 21)]
    with MetadataLog.open(tmp_path, SMALL) as log:
        assert (log.end_offset, log.recovery.segments, log.recovery.batches) == (25, 4, 25)
        assert [found.header.base_offset for found in log.iter_batches(13)] == list(range(13, 25))
        fill(log, 1)


def test_one_append_may_fill_several_segments(log: MetadataLog) -> None:
    fill(log, 20, MIB)
    assert [s.base_offset for s in log._segments] == [0, 7, 14]
    assert sum(1 for _ in log.iter_batches()) == 20


def test_segments_roll_by_age(tmp_path: Path) -> None:
    config = LogConfig(segment_bytes=BATCH_BYTES_MAX, segment_ms=1000)
    times = [0, 999, 1000, 1001, 1500, 2002]
    with MetadataLog.open(tmp_path, config) as log:
        for offset, at in enumerate(times):
            log.append([batch(offset, at_ms=TIMESTAMP_MS + at)])
        assert [s.base_offset for s in log._segments] == [0, 3, 5]
    with MetadataLog.open(tmp_path, config) as log:
        log.append([batch(6, at_ms=TIMESTAMP_MS + 3002)])
        log.append([batch(7, at_ms=TIMESTAMP_MS + 3003)])
        assert [s.base_offset for s in log._segments] == [0, 3, 5, 7]


@pytest.mark.parametrize(("field", "value"), [("segment_bytes", BATCH_BYTES_MAX - 1), ("segment_ms", 0)])
def test_a_segment_size_that_cannot_work_is_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=r"metadata\.log\.segment"):
        LogConfig(**{field: value})


def test_where_epochs_end(log: MetadataLog) -> None:
    assert log.end_offset_for_epoch(0) == (0, 0)
    fill(log, 3, epoch=2)
    fill(log, 4, epoch=5)
    assert [tuple(log.end_offset_for_epoch(epoch)) for epoch in range(7)] == [
        (0, 0), (0, 1), (3, 2), (3, 2), (3, 2), (7, 5), (7, 5),
    ]  # fmt: skip


def test_the_directory_of_another_topic_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "__cluster_metadata-0"
    directory.mkdir()
    (directory / "partition.metadata").write_text("version: 0\ntopic_id: Xb9PC9aZTaKjyjLnbX3gmA")
    with pytest.raises(LogStateError, match="not the topic id of the metadata log"):
        MetadataLog.open(tmp_path)


def test_a_missing_segment_is_noticed(tmp_path: Path) -> None:
    with MetadataLog.open(tmp_path, SMALL) as log:
        fill(log, 20, MIB)
    (tmp_path / "__cluster_metadata-0" / f"{7:020d}.log").unlink()
    with pytest.raises(CorruptLogError, match="the segment before it ends at 7"):
        MetadataLog.open(tmp_path)


def test_after_close_everything_is_refused(tmp_path: Path) -> None:
    log = MetadataLog.open(tmp_path)
    fill(log, 1)
    batches = log.iter_batches()
    log.close()
    log.close()
    for call in (lambda: log.read(0, 1), lambda: log.append([batch(1)]), lambda: next(batches)):
        with pytest.raises(LogClosedError):
            call()
    assert log.end_offset == 1


def test_readers_see_only_whole_acknowledged_batches_while_another_thread_appends(log: MetadataLog) -> None:
    fill(log, 1)
    stop = threading.Event()
    problems: list[str] = []

    def follow() -> None:
        offset = 0
        while offset < 1001 and not (stop.is_set() and offset == log.end_offset):
            data = log.read(offset, 10_000)
            for _, header in iter_headers(data):
                if header.base_offset != offset:
                    problems.append(f"{header.base_offset} where {offset} was asked for")
                    return
                offset = header.next_offset

    readers = [threading.Thread(target=follow) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(100):
        fill(log, 10)
    stop.set()
    for reader in readers:
        reader.join(30)
        assert not reader.is_alive()
    assert problems == []


def raises(code: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_full_disk_loses_nothing_and_is_survived(tmp_path: Path, file_size_limit: Callable[[int], None]) -> None:
    with MetadataLog.open(tmp_path, SMALL) as log:
        fill(log, 3)
        size, kept = log.size, log.read(0, 1 << 20)
        file_size_limit(size + 100)
        with pytest.raises(LogWriteError, match=r"File too large.*make room") as caught:
            fill(log, 3)
        file_size_limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        assert caught.value.usable
        assert (log.end_offset, log.size, log.read(0, 1 << 20)) == (3, size, kept)
        assert (tmp_path / "__cluster_metadata-0" / f"{0:020d}.log").stat().st_size == size
        fill(log, 3)
    with MetadataLog.open(tmp_path, SMALL) as log:
        assert (log.end_offset, log.recovery.torn_tail) == (6, None)


def test_a_write_that_fails_in_the_second_segment_takes_back_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MetadataLog.open(tmp_path, SMALL) as log:
        fill(log, 5, MIB)
        calls = 0

        def fail_third(fd: int, data: bytes, position: int) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            files.write_all(fd, data, position)

        with monkeypatch.context() as patched:
            patched.setattr(metadata_log, "write_all", fail_third)
            with pytest.raises(LogWriteError, match="No space left"):
                fill(log, 12, MIB)
        assert log.end_offset == 5
        names = [entry.name for entry in (tmp_path / "__cluster_metadata-0").glob("*.log")]
        assert names == [f"{0:020d}.log"]
        fill(log, 12, MIB)
    with MetadataLog.open(tmp_path, SMALL) as log:
        assert log.end_offset == 17


def test_a_failed_fsync_ends_the_use_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with MetadataLog.open(tmp_path, SMALL) as log:
        fill(log, 2)
        with monkeypatch.context() as patched:
            patched.setattr(metadata_log, "sync_data", raises(errno.EIO))
            with pytest.raises(LogWriteError, match=r"Input/output error.*must be opened again") as caught:
                fill(log, 1)
        assert not caught.value.usable
        with pytest.raises(LogWriteError, match="an earlier append failed"):
            fill(log, 1)
        assert log.end_offset == 2
        assert len(log.read(0, 1 << 20)) == log.size
    with MetadataLog.open(tmp_path, SMALL) as log:
        assert log.end_offset == 2
        fill(log, 1)


def test_an_append_that_cannot_be_taken_back_ends_the_use_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MetadataLog.open(tmp_path, SMALL) as log:
        fill(log, 2)
        with monkeypatch.context() as patched:
            patched.setattr(metadata_log, "write_all", raises(errno.ENOSPC))
            patched.setattr(os, "ftruncate", raises(errno.EIO))
            with pytest.raises(LogWriteError) as caught:
                fill(log, 1)
        assert not caught.value.usable
        with pytest.raises(LogWriteError, match=r"No space left.*could not be taken back"):
            fill(log, 1)


def test_an_epoch_that_cannot_be_noted_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with MetadataLog.open(tmp_path, SMALL) as log:
        fill(log, 2)
        with monkeypatch.context() as patched:
            patched.setattr(files, "write_all", raises(errno.ENOSPC))
            with pytest.raises(LogWriteError) as caught:
                fill(log, 1, epoch=2)
        assert caught.value.usable
        assert (log.end_offset, log.epochs) == (2, [(1, 0)])
        fill(log, 1, epoch=2)
        assert log.epochs == [(1, 0), (2, 2)]


def test_a_directory_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableDirectoryError, match=r"file cannot be used: .*; give this node a directory"):
        MetadataLog.open(tmp_path / "file")
    with pytest.raises(UnusableDirectoryError):
        MetadataLog.open(tmp_path / "file/below")


def test_progress_is_told_while_opening_and_replaying(tmp_path: Path) -> None:
    with MetadataLog.open(tmp_path) as log:
        fill(log, 3)
        size = log.size
    heard: list[tuple[int, int]] = []
    with MetadataLog.open(tmp_path, progress=lambda done, total: heard.append((done, total))) as log:
        assert heard == [(size // 3, size), (size * 2 // 3, size), (size, size)]
        heard.clear()
        list(log.iter_batches(1, progress=lambda done, total: heard.append((done, total))))
        assert heard == [(size // 3, size * 2 // 3), (size * 2 // 3, size * 2 // 3)]
