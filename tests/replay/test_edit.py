"""Changed copies of a log: what was asked is changed, everything else is as it was, and the copy is sound."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path

import pytest

from pykraft.log.batch import ControlRecordType, encode_control_batch
from pykraft.log.checkpoint import BOOTSTRAP_NAME, CheckpointWriter, checkpoint_name
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.errors import CorruptLogError
from pykraft.log.segment import iter_file
from pykraft.protocol.messages import voters_record
from pykraft.protocol.messages.voters_record import VotersRecord
from pykraft.protocol.record_frame import encode_record
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord
from pykraft.replay.difference import differences
from pykraft.replay.edit import Edits, edit
from pykraft.replay.image_json import image_to_json
from pykraft.replay.recorded import NotALogError, RecordedLog
from pykraft.replay.verify import Verifier
from tests.replay.samples import CONTROLLER_DATA, CONTROLLER_LOG, RELEASES, SEGMENT, batches, recorded


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


def directory_of(release: str, folder: Path, tail: int = 0) -> Path:
    """What a controller of that release left, and `tail` records behind its checkpoint; that of nothing as well."""
    directory = folder / "recorded/__cluster_metadata-0"
    directory.mkdir(parents=True)
    for path in recorded(release):
        shutil.copy(path, directory)
    if tail:
        with (directory / SEGMENT).open("ab") as file:
            file.write(batches([(NoOpRecord(), 0)] * tail, RecordedLog.at(directory).checkpoints[0].end.offset))
    shutil.copy(CONTROLLER_DATA / "bootstrap.checkpoint", directory.parent)
    return directory.parent


def edited_checkpoint(source: RecordedLog, target: Path, edits: Edits) -> tuple[RecordedLog, RecordedLog]:
    """The copy, and its only checkpoint by itself."""
    edit(source, target, edits)
    log = RecordedLog.at(target)
    assert list(Verifier(log).findings()) == []
    (checkpoint,) = log.checkpoints
    return log, RecordedLog.at(checkpoint.path)


def same_cluster(log: RecordedLog, checkpoint: RecordedLog) -> bool:
    """Whether the checkpoint holds what the segments lead to at its offset."""
    end = checkpoint.checkpoints[0].end.offset
    cluster = image_to_json(log.image(end - 1))
    cluster["producerIds"] |= {"brokerId": -1, "brokerEpoch": -1}  # Not in snapshots.
    return not list(differences(cluster, image_to_json(checkpoint.image())))


ALL_EDITS = [
    Edits(),
    Edits(anonymise=True),
    Edits(node_ids={1: 7, 2: 8}, hosts={"127.0.0.1": "elsewhere"}),
    Edits(drop=("NO_OP_RECORD",), renumber=True),
    Edits(drop=("CONFIG_RECORD", "60-62"), renumber=True, anonymise=True),
    Edits(drop=("CONFIG_RECORD",)),
]


@pytest.mark.parametrize("edits", ALL_EDITS, ids=str)
@pytest.mark.parametrize("tail", [0, 3])
@pytest.mark.parametrize("release", [RELEASES[0], RELEASES[-1]])
def test_checkpoints_go_with_their_log(tmp_path: Path, release: str, tail: int, edits: Edits) -> None:
    source = RecordedLog.at(directory_of(release, tmp_path, tail))
    log, checkpoint = edited_checkpoint(source, tmp_path / "copy", edits)
    assert checkpoint.image().brokers
    assert same_cluster(log, checkpoint)
    assert (checkpoint.checkpoints[0].end.offset < source.checkpoints[0].end.offset) == edits.renumber


def test_nothing_that_is_taken_out_stays_in_checkpoints(tmp_path: Path) -> None:
    source = directory_of("3.9.1", tmp_path)
    secret = UserScramCredentialRecord(name="alice", mechanism=1, salt=b"salt-of-alice", iterations=4096)
    writer = CheckpointWriter(source, OffsetAndEpoch(0, 0), last_contained_timestamp_ms=0, timestamp_ms=1)
    writer.append([encode_record(secret, 0)])
    writer.finish()
    (source / checkpoint_name(OffsetAndEpoch(0, 0))).replace(source / BOOTSTRAP_NAME)
    edit(RecordedLog.at(source), tmp_path / "copy", Edits(anonymise=True))
    assert b"alice" in (source / BOOTSTRAP_NAME).read_bytes()
    assert b"alice" not in (tmp_path / "copy" / BOOTSTRAP_NAME).read_bytes()
    (checkpoint,) = (tmp_path / "copy").rglob("0*.checkpoint")
    assert "rack-ü".encode() in (source / "__cluster_metadata-0" / checkpoint.name).read_bytes()
    assert "rack-ü".encode() not in checkpoint.read_bytes()


def test_a_checkpoint_that_the_edited_log_does_not_lead_to_is_left_out(tmp_path: Path) -> None:
    source = RecordedLog.at(directory_of("3.9.1", tmp_path))
    report = edit(source, tmp_path / "copy", Edits(drop=("TOPIC_RECORD",)))
    assert [text.partition(":")[0] for text in report.left_out] == [source.checkpoints[0].path.name]
    assert not RecordedLog.at(tmp_path / "copy").checkpoints


def test_voters_are_mapped_and_anonymised(tmp_path: Path) -> None:
    endpoint = voters_record.Endpoint(name="CONTROLLER", host="secret-host", port=9093)
    voters = VotersRecord(voters=[voters_record.Voter(voter_id=3000, endpoints=[endpoint])])
    source = tmp_path / SEGMENT
    source.write_bytes(
        encode_control_batch(
            [(ControlRecordType.KRAFT_VOTERS, voters.encode(0))], base_offset=0, leader_epoch=1, timestamp_ms=1
        )
    )
    for name, edits, host in (("ids", Edits(node_ids={3000: 1}, hosts={"secret-host": "b:1"}), "b"),
                              ("names", Edits(node_ids={3000: 1}, anonymise=True), "host-1")):  # fmt: skip
        edit(RecordedLog.at(source), tmp_path / f"{name}.log", edits)
        ((_, batch),) = iter_file(tmp_path / f"{name}.log")
        (voter,) = VotersRecord.decode(batch.values[0], 0).voters
        assert (voter.voter_id, voter.endpoints[0].host) == (1, host)


def test_what_cannot_be_finished_is_removed(tmp_path: Path) -> None:
    source = directory_of("3.9.1", tmp_path)
    with (source / f"__cluster_metadata-0/{SEGMENT}").open("ab") as file:
        file.write(b"damage")
    with pytest.raises(CorruptLogError):
        edit(RecordedLog.at(source), tmp_path / "copy", Edits())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recorded"]


def test_the_files_beside_are_copied_whatever_their_encoding(tmp_path: Path) -> None:
    source = directory_of("3.9.1", tmp_path)
    state = '{"leaderId":7,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}'
    (source / "meta.properties").write_bytes(b"node.id=7\n# \xe9\n")
    (source / "__cluster_metadata-0/quorum-state").write_text(state)
    edit(RecordedLog.at(source), tmp_path / "copy", Edits(node_ids={7: 8}))
    assert (tmp_path / "copy/meta.properties").read_bytes() == b"node.id=8\n# \xe9\n"
    written = json.loads((tmp_path / "copy/__cluster_metadata-0/quorum-state").read_text())
    assert written == {**json.loads(state), "leaderId": 8}


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(NotALogError, match="exists"):
        edit(RecordedLog.at(CONTROLLER_LOG), tmp_path, Edits())
    with pytest.raises(ValueError, match="'no_op'"):
        Edits(drop=("no_op",)).drops()
