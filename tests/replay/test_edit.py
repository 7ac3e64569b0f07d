"""Changed copies of a log: what was asked is changed, everything else is as it was, and the copy is sound."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest

from pykraft.replay.edit import Edits, edit
from pykraft.replay.image_json import image_to_json
from pykraft.replay.recorded import NotALogError, RecordedLog
from pykraft.replay.verify import Verifier
from tests.replay.samples import CONTROLLER_DATA, CONTROLLER_LOG, RELEASES, recorded


def edited(target: Path, edits: Edits) -> RecordedLog:
    edit(RecordedLog.at(CONTROLLER_DATA), target, edits)
    log = RecordedLog.at(target)
    assert list(Verifier(log).findings()) == []
    return log


def test_no_edits_no_difference(tmp_path: Path) -> None:
    edited(tmp_path / "copy", Edits())
    names = [path.relative_to(CONTROLLER_DATA) for path in CONTROLLER_DATA.rglob("*") if path.is_file()]
    same, different, missing = filecmp.cmpfiles(CONTROLLER_DATA, tmp_path / "copy", map(str, names), shallow=False)
    # The file of the quorum's state is written anew: the same content in our order of keys.
    assert (sorted(set(different) - {"__cluster_metadata-0/quorum-state"}), missing) == ([], [])
    assert "__cluster_metadata-0/00000000000000000000.log" in same


@pytest.mark.parametrize("release", RELEASES)
def test_files_of_each_release(tmp_path: Path, release: str) -> None:
    for source in recorded(release):
        edit(RecordedLog.at(source), tmp_path / source.name, Edits())
        assert (tmp_path / source.name).read_bytes() == source.read_bytes()


def test_dropped_records_leave_no_ops(tmp_path: Path) -> None:
    log = edited(tmp_path / "copy", Edits(drop=("CONFIG_RECORD", "93-98", "129")))
    image = log.image()
    assert image.offset == 154
    assert not image.configs
    whole = RecordedLog.at(CONTROLLER_DATA).image()
    assert len(image.scram) == 0
    assert len(whole.scram) == 3


def test_renumbered(tmp_path: Path) -> None:
    log = edited(tmp_path / "copy", Edits(drop=("NO_OP_RECORD",), renumber=True))
    before = image_to_json(RecordedLog.at(CONTROLLER_DATA).image())
    after = image_to_json(log.image())
    assert after["offset"] == 154 - 81
    for number, broker in after["brokers"].items():
        assert log.image().brokers[int(number)].registration_offset == broker["epoch"]
        broker["epoch"] = before["brokers"][number]["epoch"]
    after["producerIds"]["brokerEpoch"] = before["producerIds"]["brokerEpoch"]
    assert {**after, "offset": 154} == before


def test_ids_and_hosts(tmp_path: Path) -> None:
    edits = Edits(node_ids={0: 10, 3000: 1}, hosts={"127.0.0.1:45303": "kafka-1:9092", "127.0.0.1": "elsewhere"})
    image = edited(tmp_path / "copy", edits).image()
    assert sorted(image.brokers) == [1, 2, 10]
    assert list(image.controllers) == [1]
    assert (image.brokers[1].listeners[0].host, image.brokers[1].listeners[0].port) == ("kafka-1", 9092)
    assert image.brokers[2].listeners[0].host == "elsewhere"
    replicas = {
        replica for topic in image.topics_by_name.values() for partition in topic.partitions.values()
        for replica in (*partition.replicas, *partition.isr, partition.leader)
    }  # fmt: skip
    assert replicas == {1, 2, 10}
    assert "node.id=1\n" in (tmp_path / "copy/meta.properties").read_text()
    assert '"leaderId":1,' in (tmp_path / "copy/__cluster_metadata-0/quorum-state").read_text()


def test_anonymised(tmp_path: Path) -> None:
    edited(tmp_path / "copy", Edits(anonymise=True))
    content = (tmp_path / "copy/__cluster_metadata-0/00000000000000000000.log").read_bytes()
    for word in (b"orders", b"payments", b"alice", b"bob", b"127.0.0.1", b"rack-0", b"EXAMPLE", b"under_score"):
        assert word not in content, word
    image = RecordedLog.at(tmp_path / "copy").image()
    assert set(image.topics_by_name) <= {f"topic-{number}" for number in range(9)}
    assert {credential.stored_key.strip(b"\0") for credential in image.scram.values()} == {b""}
    before = RecordedLog.at(CONTROLLER_DATA).image()
    assert [len(topic.partitions) for topic in image.topics_by_id.values()] == [
        len(topic.partitions) for topic in before.topics_by_id.values()
    ]


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(NotALogError, match="exists"):
        edit(RecordedLog.at(CONTROLLER_LOG), tmp_path, Edits())
    with pytest.raises(ValueError, match="'no_op'"):
        Edits(drop=("no_op",)).drops()
