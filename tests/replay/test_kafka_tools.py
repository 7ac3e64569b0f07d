"""Kafka's own dump tool, of each release, beside ours: on logs that its controller writes now, and on damaged ones."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pykraft.lab import jars
from pykraft.log.batch import encode_control_batch, iter_headers
from pykraft.log.metadata_log import DIRECTORY_NAME
from pykraft.protocol.messages.kraft_version_record import KRaftVersionRecord
from pykraft.protocol.messages.snapshot_header_record import SnapshotHeaderRecord
from pykraft.protocol.messages.voters_record import Endpoint, KRaftVersionFeature, Voter, VotersRecord
from tests.replay.recorder import record
from tests.replay.samples import (
    CONTROLLER_LOG,
    RELEASES,
    SEGMENT,
    TIMESTAMP_MS,
    dump_text,
    leader_change,
    partitions_log,
)

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(600)]

TOOL_TIMEOUT_S = 120


def kafkas_text(release: str, folder: Path, names: list[str], *options: str) -> str:
    """What the release's tool prints of files in a folder, as far as it goes."""
    command = [jars.java(), "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-XX:TieredStopAtLevel=1", "-cp",
               jars.ensure(release), "kafka.tools.DumpLogSegments", "--cluster-metadata-decoder", *options,
               "--files", ",".join(names)]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    return done.stdout.decode()


@pytest.mark.parametrize("release", RELEASES)
def test_a_log_that_the_releases_controller_writes(release: str, tmp_path: Path) -> None:
    data = record(tmp_path, release)
    names = sorted(
        str(path.relative_to(data)) for path in (data / DIRECTORY_NAME).iterdir()
        if path.suffix in (".log", ".checkpoint")
    )  # fmt: skip
    names += [path.name for path in data.glob("bootstrap.checkpoint")]
    # A release also reads what another one wrote, as far as it understands it.
    (data / SEGMENT).write_bytes(CONTROLLER_LOG.read_bytes())
    (data / KRAFT_1).write_bytes(kraft_version_1())
    names += [SEGMENT, KRAFT_1]
    ours = "".join(dump_text(data / name, release, shown=name) for name in names)
    assert "checkpoint" in ours
    assert ours == kafkas_text(release, data, names)


KRAFT_1 = f"{7:020d}-{3:010d}.checkpoint"


def kraft_version_1() -> bytes:
    """The control records of a quorum with kraft.version 1, and one of a type that nobody knows."""
    voter = Voter(
        voter_id=1, voter_directory_id=bytes(range(16)), endpoints=[Endpoint(name="CONTROLLER", host="h", port=9093)],
        kraft_version_feature=KRaftVersionFeature(min_supported_version=0, max_supported_version=1),
    )  # fmt: skip
    records = [
        (3, SnapshotHeaderRecord(last_contained_log_timestamp=TIMESTAMP_MS).encode(0)),
        (5, KRaftVersionRecord(kraft_version=1).encode(0)),
        (6, VotersRecord(voters=[voter]).encode(0)),
        (9, b"\0\0\0"),
        (4, b"\0\0\0"),
    ]
    return encode_control_batch(records, base_offset=0, leader_epoch=3, timestamp_ms=TIMESTAMP_MS)


def flip(at: int, mask: int = 1) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[at] ^= mask

    return change


def cut(size: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        del data[size:]

    return change


SOUND = CONTROLLER_LOG.read_bytes()
PLACES = [position for position, _ in iter_headers(SOUND)]
GOING_ON = [
    flip(PLACES[1] + 61 + 12), flip(PLACES[1] + 20), flip(PLACES[2] + 5), flip(PLACES[2] + 13), flip(PLACES[2] + 30),
    flip(PLACES[2] + 22, 0x10), flip(PLACES[2] + 22, 0x48), flip(PLACES[2] + 45), flip(PLACES[2] + 56),
    flip(PLACES[2] + 61 + 8, 0x60), flip(PLACES[2] + 61 + 9, 7),
    cut(len(SOUND) - 1), cut(len(SOUND) - 60), cut(PLACES[4] + 3), cut(PLACES[4] + 17), cut(PLACES[4] + 18), cut(0),
]  # fmt: skip
"""Damage that Kafka's tool reads on behind."""
GIVING_UP = [flip(PLACES[1] + 61), flip(PLACES[2] + 61 + 7, 0x20), flip(PLACES[1] + 60, 2), flip(PLACES[3] + 9, 0xFF)]
"""Damage that ends it with an exception."""


def test_damaged_logs(tmp_path: Path) -> None:
    names = []
    for number, change in enumerate(GOING_ON):
        data = bytearray(SOUND)
        change(data)
        names.append(f"{number:020d}.log")
        (tmp_path / names[-1]).write_bytes(data)
    (tmp_path / "99.log").write_bytes(partitions_log(30, 50)[0])
    names.append("99.log")
    theirs = kafkas_text("3.9.1", tmp_path, names).split("Dumping ")[1:]
    for name, text in zip(names, theirs, strict=True):
        assert dump_text(tmp_path / name, "3.9") == f"Dumping {text}", name


@pytest.mark.parametrize("change", GIVING_UP)
def test_logs_that_end_the_tool(tmp_path: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(SOUND)
    change(data)
    (tmp_path / SEGMENT).write_bytes(data)
    text = kafkas_text("3.9.1", tmp_path, [SEGMENT])
    assert dump_text(tmp_path / SEGMENT, "3.9") == text
    assert text.count("baseOffset") < 5


def test_without_the_metadata_of_records(tmp_path: Path) -> None:
    (tmp_path / SEGMENT).write_bytes(leader_change() + partitions_log(3, 40)[0][len(leader_change()) :])
    theirs = kafkas_text("3.9.1", tmp_path, [SEGMENT], "--skip-record-metadata")
    assert dump_text(tmp_path / SEGMENT, "3.9", skip_record_metadata=True) == theirs
