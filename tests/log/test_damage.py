"""Every byte of a small log and of a checkpoint flipped, and the files cut at every byte, in turn.

All of them with PYKRAFT_PROFILE=nightly, otherwise a sample of the places.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykraft.log.batch import iter_headers
from pykraft.log.checkpoint import read_checkpoint
from pykraft.log.errors import CorruptLogError, LogStateError
from pykraft.log.metadata_log import MetadataLog
from tests.log.samples import CONTROLLER_LOG, NO_OP, batch, copy_of_controller_data, write_checkpoint

NIGHTLY = os.environ.get("PYKRAFT_PROFILE") == "nightly"
SAMPLES = 300

CONTENT = CONTROLLER_LOG.read_bytes()
HEADERS = list(iter_headers(CONTENT))
STARTS = [position for position, _ in HEADERS]
END_OFFSET = HEADERS[-1][1].next_offset


pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def places(size: int) -> Iterator[int]:
    """Every byte position, or in the fast tier some, the last batch and the first header among them."""
    step = 1 if NIGHTLY else max(1, size // SAMPLES)
    yield from sorted({*range(0, size, step), *range(size if NIGHTLY else 61), *range(max(0, size - 72), size)})


def flips(position: int) -> Iterator[int]:
    """What is done to the byte there."""
    yield 0xFF
    yield 1 << position % 8


def flipped(content: bytes, position: int, mask: int) -> bytes:
    return content[:position] + bytes([content[position] ^ mask]) + content[position + 1 :]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return copy_of_controller_data(tmp_path) / "__cluster_metadata-0" / CONTROLLER_LOG.name


def served(log: MetadataLog) -> bytes:
    """All that a reader gets."""
    parts, offset = [], log.start_offset
    while offset < log.end_offset:
        parts.append(log.read(offset, 1 << 20))
        offset = list(iter_headers(parts[-1]))[-1][1].next_offset
    return b"".join(parts)


def test_a_flipped_byte_costs_at_most_the_last_batch_and_is_placed(path: Path) -> None:
    for position in places(len(CONTENT)):
        for mask in flips(position):
            damaged = flipped(CONTENT, position, mask)
            path.write_bytes(damaged)
            struck = bisect_right(STARTS, position) - 1
            start, header = HEADERS[struck]
            try:
                with MetadataLog.open(path.parents[1]) as log:
                    torn = log.recovery.torn_tail
                    assert struck == len(HEADERS) - 1, f"byte {position} was overlooked"
                    assert torn is not None
                    assert (torn.position, torn.offset) == (start, header.base_offset)
                    assert log.end_offset == header.base_offset
                    assert served(log) == CONTENT[:start]
            except CorruptLogError as error:
                refused = error
            else:
                continue
            where = (refused.path, refused.position, refused.offset)
            assert where == (path, start, header.base_offset), f"byte {position}: {refused}"
            assert path.read_bytes() == damaged


def test_a_file_cut_anywhere_keeps_all_whole_batches(path: Path) -> None:
    for size in places(len(CONTENT) + 1):
        path.write_bytes(CONTENT[:size])
        whole = bisect_right([*STARTS[1:], len(CONTENT)], size)
        kept = [*STARTS, len(CONTENT)][whole]
        with MetadataLog.open(path.parents[1]) as log:
            assert log.end_offset == (HEADERS[whole][1].base_offset if whole < len(HEADERS) else END_OFFSET)
            assert served(log) == CONTENT[:kept] == path.read_bytes()
            torn = log.recovery.torn_tail
            assert (torn is None) == (size == kept)
            assert torn is None or (torn.position, torn.size) == (kept, size - kept)


def test_damage_under_an_open_log_is_never_served(path: Path) -> None:
    """Whatever happens to the file, a reader gets the bytes that were written or an error that names the place."""
    with MetadataLog.open(path.parents[1]) as log:
        for position in places(len(CONTENT)):
            struck = bisect_right(STARTS, position) - 1
            start, header = HEADERS[struck]
            if position - start < 21 and position - start not in range(17, 21):
                continue  # base offset, length, epoch, magic: checked when the log is opened
            path.write_bytes(flipped(CONTENT, position, 0x10))
            with pytest.raises(CorruptLogError) as caught:
                log.read(header.base_offset, 1)
            assert caught.value.position == start
            if struck:
                assert log.read(0, 1) == CONTENT[: STARTS[1]]
            path.write_bytes(CONTENT)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint at offset 10 and one at 20, which a log from 5 to 30 does not need."""
    directory = tmp_path / "__cluster_metadata-0"
    directory.mkdir()
    (directory / f"{5:020d}.log").write_bytes(b"".join(batch(n) for n in range(5, 30)))
    write_checkpoint(directory, 10, 1)
    return write_checkpoint(directory, 20, 1, [NO_OP] * 5)


def test_a_damaged_checkpoint_is_neither_loaded_nor_served(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    aside = checkpoint.with_name(checkpoint.name + ".damaged")
    cases = [flipped(content, at, mask) for at in places(len(content)) for mask in flips(at)]
    cases += [content[:size] for size in places(len(content))]
    for damaged in cases:
        checkpoint.write_bytes(damaged)
        with MetadataLog.open(checkpoint.parents[1]) as log:
            assert (log.snapshots, log.end_offset) == ([(10, 1)], 30)
            (found,) = log.recovery.damaged
            assert found.path == checkpoint
            assert 0 <= found.position <= len(content)
        assert aside.read_bytes() == damaged
        aside.unlink()
    checkpoint.write_bytes(content)
    with MetadataLog.open(checkpoint.parents[1]) as log:
        assert (log.snapshots, log.recovery.damaged) == ([(10, 1), (20, 1)], ())
    assert read_checkpoint(checkpoint) == [NO_OP] * 5


def test_a_damaged_epoch_file_is_named(path: Path) -> None:
    epochs = path.with_name("leader-epoch-checkpoint")
    for text in ("", "0\n", "1\n0\n", "0\n2\n1 0\n", "0\n1\nx 0\n", "\ufffd"):
        epochs.write_text(text)
        with pytest.raises(LogStateError, match="leader-epoch-checkpoint: is not a leader epoch checkpoint"):
            MetadataLog.open(path.parents[1])
    epochs.unlink()
    with MetadataLog.open(path.parents[1]) as log:
        assert log.end_offset == END_OFFSET
