"""What is said of a log: nothing of a sound one, the place of every damage else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pykraft.log.batch import encode_batch, iter_headers
from pykraft.log.quorum_state import read_quorum_state, write_quorum_state
from pykraft.protocol._message import Message
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.fence_broker_record import FenceBrokerRecord
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.replay.recorded import RecordedLog
from pykraft.replay.verify import Finding, Verifier
from tests.replay.samples import (
    CONTROLLER_DATA,
    CONTROLLER_LOG,
    RELEASES,
    SEGMENT,
    TIMESTAMP_MS,
    batches,
    leader_change,
    recorded,
)

FIRST_BATCH_SIZE = len(leader_change())


def findings(path: Path) -> list[Finding]:
    return list(Verifier(RecordedLog.at(path)).findings())


def one(path: Path) -> tuple[int | None, int, str]:
    found = findings(path)
    assert len(found) == 1, found
    assert found[0].path == path
    return found[0][1:]


@pytest.mark.parametrize("release", RELEASES)
def test_sound_logs(release: str) -> None:
    for path in recorded(release):
        assert findings(path) == []


def test_a_sound_directory() -> None:
    verifier = Verifier(RecordedLog.at(CONTROLLER_DATA))
    assert list(verifier.findings()) == []
    assert (verifier.batches, verifier.records) == (98, 155)


def test_every_flipped_byte_of_some_batches(tmp_path: Path) -> None:
    sound = CONTROLLER_LOG.read_bytes()
    path = tmp_path / SEGMENT
    places = list(iter_headers(sound))
    for position, header in places[1:4]:
        for at in range(position, position + header.size):
            damaged = bytearray(sound)
            damaged[at] ^= 0x41
            path.write_bytes(damaged)
            found = findings(path)
            assert found, f"byte {at} flipped"
            # The CRC does not cover the leader epoch: one that is too high shows where the next batch stands.
            epoch = at - position in range(12, 16)
            assert found[0].position == position + (header.size if epoch else 0)


def test_findings_go_on_behind_a_bad_crc(tmp_path: Path) -> None:
    damaged = bytearray(CONTROLLER_LOG.read_bytes())
    places = list(iter_headers(bytes(damaged)))
    for number in (2, 5):
        damaged[places[number][0] + places[number][1].size - 1] ^= 1
    path = tmp_path / SEGMENT
    path.write_bytes(damaged)
    found = [finding for finding in findings(path) if "CRC-32C" in finding.text]
    assert [(finding.offset, finding.position) for finding in found] == [
        (places[number][1].base_offset, places[number][0]) for number in (2, 5)
    ]


def write(path: Path, records: list[tuple[Message, int]], *, tail: bytes = b"") -> Path:
    path.write_bytes(leader_change() + batches(records, 1) + tail)
    return path


def test_a_record_that_cannot_follow(tmp_path: Path) -> None:
    path = write(tmp_path / SEGMENT, [(NoOpRecord(), 0), (FenceBrokerRecord(id=4, epoch=9), 0)])
    assert one(path) == (2, FIRST_BATCH_SIZE, "broker 4 is not registered")


def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / SEGMENT
    bad = encode_batch([b"\x01\x63\x00"], base_offset=1, leader_epoch=1, timestamp_ms=TIMESTAMP_MS)
    path.write_bytes(leader_change() + bad)
    offset, position, text = one(path)
    assert (offset, position) == (1, FIRST_BATCH_SIZE)
    assert text.startswith("no readable record: there is no metadata record with key 99")


def test_offsets_epochs_and_the_end(tmp_path: Path) -> None:
    record: list[tuple[Message, int]] = [(NoOpRecord(), 0)]
    path = write(tmp_path / SEGMENT, record, tail=batches(record, 3))
    assert one(path)[2] == "base offset 3, 2 comes next"
    path = write(tmp_path / SEGMENT, record, tail=batches(record, 2, epoch=0))
    assert one(path)[2] == "leader epoch 0 after 1"
    path = write(tmp_path / SEGMENT, record, tail=b"half")
    assert one(path)[2] == "4 bytes at the end are no batch"
    path = write(tmp_path / SEGMENT, record, tail=batches(record, 2)[:-3])
    assert one(path)[2] == "the batch needs 72 bytes, the file ends after 69"
    path = write(tmp_path / SEGMENT, [(BeginTransactionRecord(name="x"), 0)])
    assert one(path)[2] == "the log ends within the transaction that began at offset 1"


def test_the_files_beside(tmp_path: Path) -> None:
    shutil.copytree(CONTROLLER_DATA, tmp_path / "data", copy_function=shutil.copyfile)
    directory = tmp_path / "data/__cluster_metadata-0"
    (directory / "leader-epoch-checkpoint").write_text("0\n1\n4 0\n")
    state = read_quorum_state(directory)
    assert state is not None
    state.leader_epoch = 0
    write_quorum_state(directory, state)
    assert [(finding.path.name, finding.text.partition(",")[0]) for finding in findings(tmp_path / "data")] == [
        ("leader-epoch-checkpoint", "it does not say what the batches say"), ("quorum-state", "leader epoch 0"),
    ]  # fmt: skip


def test_a_log_that_nothing_stands_before(tmp_path: Path) -> None:
    path = tmp_path / f"{7:020d}.log"
    path.write_bytes(batches([(NoOpRecord(), 0), (FenceBrokerRecord(id=4, epoch=9), 0)], 7))
    assert "no checkpoint stands for what was before" in one(path)[2]


def test_a_checkpoint_without_its_end(tmp_path: Path) -> None:
    source = recorded("3.9.1")[1]
    path = tmp_path / source.name
    content = source.read_bytes()
    last = list(iter_headers(content))[-1]
    path.write_bytes(content[: last[0]])
    assert one(path)[2] == "it does not end with a snapshot footer"
