"""The text of kafka-dump-log, against recorded text of each release's own tool."""

from __future__ import annotations

import json
import random
from pathlib import Path
from unittest import mock

import pytest

from pykraft.log.batch import iter_batches
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.record_frame import decode_record
from pykraft.replay import record_runs
from pykraft.replay.json_dump import JsonDump
from pykraft.replay.json_text import json_text
from pykraft.replay.record_text import UnknownReleaseError, payload, release_named, type_name
from tests.replay.samples import CONTROLLER_LOG, RELEASES, SEGMENT, dump_text, partitions_log, recorded, recorded_text

FRAME_VERSION_0 = (
    "Could not deserialize metadata record with frame version 0. Note that upgrades from the preview release of KRaft"
    " in 2.8 to newer versions are not supported."
)
FRAME_VERSION_2 = (
    "Could not deserialize metadata record due to unknown frame version 2(only frame version 1 is supported)"
)


@pytest.mark.parametrize("release", RELEASES)
def test_recorded_text(release: str) -> None:
    assert "".join(dump_text(path, release) for path in recorded(release)) == recorded_text(release)


def one_by_one(path: Path, release: str, *, skip_record_metadata: bool = False) -> str:
    with mock.patch.object(record_runs.Finder, "find", return_value=None):
        return dump_text(path, release, skip_record_metadata=skip_record_metadata)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(("topics", "partitions"), [(1, 9_990), (400, 7), (2, 6_000)])
def test_rows_say_what_single_records_say(tmp_path: Path, topics: int, partitions: int, skip: bool) -> None:
    path = tmp_path / SEGMENT
    path.write_bytes(partitions_log(topics, partitions)[0])
    found = dump_text(path, "3.9", skip_record_metadata=skip)
    assert found == one_by_one(path, "3.9", skip_record_metadata=skip)
    assert found.count("PARTITION_RECORD") == topics * partitions


def test_rows_are_looked_for(tmp_path: Path) -> None:
    path = tmp_path / SEGMENT
    path.write_bytes(partitions_log(2, 3_000)[0])
    with mock.patch("pykraft.replay.kafka_dump.payload", side_effect=payload) as single:
        dump_text(path, "3.9")
    assert single.call_count < 1_000


def test_damage_in_a_row(tmp_path: Path) -> None:
    rng = random.Random(5)
    sound = partitions_log(4, 60)[0]
    path = tmp_path / SEGMENT
    for _ in range(200):
        damaged = bytearray(sound)
        damaged[rng.randrange(91, len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged[: rng.choice((len(damaged), rng.randrange(100, len(damaged))))])
        assert dump_text(path, "3.9") == one_by_one(path, "3.9")


def test_compiled_json_is_that_of_the_converters() -> None:
    seen = set()
    for release in RELEASES:
        for batch in iter_batches(recorded(release)[0].read_bytes()):
            if batch.header.is_control:
                continue
            for value in batch.values:
                message, version = decode_record(value)
                name = type_name(type(message).__name__)
                expected = json_text({"type": name, "version": version, "data": to_json(message, version)})
                assert payload(7, value, release) == expected
                seen.add(name)
    assert len(seen) > 15


@pytest.mark.parametrize(("value", "text"), [
    (b"", "Error while reading frame version"),
    (b"\x00", FRAME_VERSION_0),
    (b"\x02", FRAME_VERSION_2),
    (b"\x01", "Error while reading type"),
    (b"\x01\x80\x80\x02\x00", "Value for type was too large."),
    (b"\x01\x63\x00", "org.apache.kafka.common.errors.UnsupportedVersionException: Unknown metadata id 99"),
    (b"\x01\x14\x00\x00\x05", "Found 1 byte(s) of garbage after 20"),
    (b"\x01\x02\x00\x05", "Failed to deserialize record with type 2"),
])  # fmt: skip
def test_unreadable_records(value: bytes, text: str) -> None:
    assert payload(12, value, "3.9.1") == f"Error at 12, skipping. {text}"


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / SEGMENT
    content, end_offset = partitions_log(3, 40)
    path.write_bytes(content + b"torn")
    lines = [json.loads(line) for line in "".join(JsonDump(path, "3.9.1").lines()).splitlines()]
    assert lines[0]["type"] == "LEADER_CHANGE"
    assert lines[-1] == {"position": len(content), "error": "4 bytes that are no batch"}
    assert [line["offset"] for line in lines[:-1]] == list(range(end_offset))
    expected = [to_json(*decode_record(value)) for batch in list(iter_batches(content))[1:] for value in batch.values]
    assert [line["data"] for line in lines[1:-1]] == expected


def test_gaps() -> None:
    text = dump_text(CONTROLLER_LOG, "3.9")
    assert "invalid bytes" not in text
    assert text.count("isvalid: true") == 98


def test_release_names() -> None:
    assert release_named("3.9") == release_named("3.9.0") == "3.9.1"
    assert release_named("4.1") == "4.1.2"
    with pytest.raises(UnknownReleaseError, match=r"use one of 3\.4, 3\.5"):
        release_named("2.8")
