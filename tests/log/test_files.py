"""The small files beside the log: lock, checkpoints, quorum-state, meta.properties."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pykraft.log import files
from pykraft.log.batch import ControlRecordType, encode_control_batch
from pykraft.log.checkpoint import checkpoint_name, iter_checkpoint, list_checkpoints, read_checkpoint
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.errors import CorruptLogError, LogLockedError, LogStateError
from pykraft.log.meta_properties import (
    ForeignDirectoryError,
    MetaProperties,
    read_meta_properties,
    write_meta_properties,
)
from pykraft.log.metadata_log import MetadataLog
from pykraft.log.quorum_state import read_quorum_state, write_quorum_state
from pykraft.protocol.messages.quorum_state_data import QuorumStateData, Voter
from pykraft.protocol.uuids import uuid_from_text
from tests.log.samples import CONTROLLER_DATA, TIMESTAMP_MS, batch

DIRECTORY_ID = uuid_from_text("ge81TN1F1yybP10gc_2Oqw")


def test_a_directory_in_use_by_this_process_is_refused(tmp_path: Path) -> None:
    with MetadataLog.open(tmp_path):
        with pytest.raises(LogLockedError, match=rf"locked by this process \({os.getpid()}\)"):
            MetadataLog.open(tmp_path)
        with pytest.raises(LogLockedError):
            MetadataLog.open(tmp_path / ".")
    MetadataLog.open(tmp_path).close()


HOLD = """
import sys
from pathlib import Path
from pykraft.log.metadata_log import MetadataLog
with MetadataLog.open(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_directory_in_use_by_another_process_is_refused_and_the_process_named(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        named = f"process {holder.pid} " if sys.platform == "linux" else "another process"
        with pytest.raises(LogLockedError, match=f"is locked by {named}"):
            MetadataLog.open(tmp_path)
        assert holder.poll() is None
    finally:
        holder.stdin.close()
        holder.wait(30)
        holder.stdout.close()
    MetadataLog.open(tmp_path).close()


def test_a_failed_open_gives_the_directory_free(tmp_path: Path) -> None:
    directory = tmp_path / "__cluster_metadata-0"
    directory.mkdir()
    (directory / f"{0:020d}.log").write_bytes(b"\x01" * 200)
    for _ in range(2):
        with pytest.raises(CorruptLogError):
            MetadataLog.open(tmp_path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.replace_file(path, "old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_all", fail)
        with pytest.raises(OSError, match="No space"):
            files.replace_file(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"
    files.replace_file(path, "new")
    assert path.read_text() == "new"


# Checkpoints

HEADER = (ControlRecordType.SNAPSHOT_HEADER, bytes(11))
FOOTER = (ControlRecordType.SNAPSHOT_FOOTER, bytes(3))


def control(base_offset: int, *records: tuple[int, bytes]) -> bytes:
    return encode_control_batch(records, base_offset=base_offset, leader_epoch=1, timestamp_ms=TIMESTAMP_MS)


def test_the_bootstrap_checkpoint_of_a_real_directory_is_read() -> None:
    path = CONTROLLER_DATA / "bootstrap.checkpoint"
    assert read_checkpoint(path) == [bytes.fromhex("010c00") + b"\x11metadata.version\x00\x15\x00"]
    assert [found.control_types for found in iter_checkpoint(path)] == [[3], [], [4]]


def test_a_checkpoint_may_hold_several_batches_and_control_records(tmp_path: Path) -> None:
    path = tmp_path / checkpoint_name(OffsetAndEpoch(12345, 7))
    assert path.name == "00000000000000012345-0000000007.checkpoint"
    header = control(0, HEADER, (ControlRecordType.KRAFT_VERSION, b"\x00\x00\x00\x01\x00"))
    path.write_bytes(header + batch(2, [b"a", b"b"]) + batch(4, [b"c"]) + control(5, FOOTER))
    assert read_checkpoint(path) == [b"a", b"b", b"c"]
    assert list_checkpoints(tmp_path) == [(12345, 7)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not end with a snapshot footer"),
        (control(0, HEADER), "does not end with a snapshot footer"),
        (batch(0), "does not begin with a snapshot header"),
        (control(0, FOOTER), "does not begin with a snapshot header"),
        (control(0, HEADER) + control(1, FOOTER) + batch(2), "a batch follows the snapshot footer"),
        (control(0, HEADER) + control(2, FOOTER), "base offset 2, not 1"),
        (control(0, HEADER) + control(1, FOOTER)[:-1], "the file ends after 74"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bootstrap.checkpoint"
    path.write_bytes(content)
    with pytest.raises(CorruptLogError, match=reason):
        read_checkpoint(path)


# quorum-state


def test_a_real_quorum_state_is_read_and_written_back_byte_for_byte(tmp_path: Path) -> None:
    real = CONTROLLER_DATA / "__cluster_metadata-0"
    state = read_quorum_state(real)
    assert state == QuorumStateData(leader_id=3000, leader_epoch=1, current_voters=[Voter(voter_id=3000)])
    write_quorum_state(tmp_path, state)
    assert (tmp_path / "quorum-state").read_bytes() == (real / "quorum-state").read_bytes()


def test_both_data_versions_of_quorum_state(tmp_path: Path) -> None:
    assert read_quorum_state(tmp_path) is None
    state = QuorumStateData(leader_id=-1, leader_epoch=7, voted_id=2, voted_directory_id=DIRECTORY_ID)
    write_quorum_state(tmp_path, state, 1)
    assert (tmp_path / "quorum-state").read_text() == (
        '{"leaderId":-1,"leaderEpoch":7,"votedId":2,"votedDirectoryId":"ge81TN1F1yybP10gc_2Oqw","data_version":1}'
    )
    assert read_quorum_state(tmp_path) == state
    (tmp_path / "quorum-state").write_text(
        '{"clusterId":"","leaderId":1,"leaderEpoch":7,"votedId":-1,"appliedOffset":0,"currentVoters":null,'
        '"data_version":0}\n'
    )
    assert read_quorum_state(tmp_path) == QuorumStateData(leader_id=1, leader_epoch=7, current_voters=None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not json",
        '{"leaderId":1}',
        '{"data_version":2}',
        '{"data_version":"0"}',
        '{"leaderId":1,"data_version":1}',
    ],
)
def test_what_is_no_quorum_state_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "quorum-state").write_text(text)
    with pytest.raises(LogStateError, match="quorum-state: is not a quorum state"):
        read_quorum_state(tmp_path)


# meta.properties


def test_a_real_meta_properties_is_read_and_comes_back(tmp_path: Path) -> None:
    real = read_meta_properties(CONTROLLER_DATA)
    assert real == MetaProperties("X-9PC9aZTaKjyjLnbX3gmA", 3000, DIRECTORY_ID)
    write_meta_properties(tmp_path, real)
    assert read_meta_properties(tmp_path) == real
    assert (tmp_path / "meta.properties").read_text() == (
        "version=1\ncluster.id=X-9PC9aZTaKjyjLnbX3gmA\nnode.id=3000\ndirectory.id=ge81TN1F1yybP10gc_2Oqw\n"
    )


def test_meta_properties_of_zookeeper_mode_and_of_any_spelling(tmp_path: Path) -> None:
    assert read_meta_properties(tmp_path) is None
    path = tmp_path / "meta.properties"
    path.write_text("version=0\nbroker.id=3\ncluster.id=abc\nother=ignored\n")
    assert read_meta_properties(tmp_path) == MetaProperties("abc", 3, None, 0)
    path.write_text("cluster.id=abc\n")
    assert read_meta_properties(tmp_path) == MetaProperties("abc", None, None, 0)
    path.write_text("! a comment\n  version : 1\nnode.id   7\ncluster.id = a\\u0062c\\\n  d\n")
    assert read_meta_properties(tmp_path) == MetaProperties("abcd", 7, None, 1)
    odd = MetaProperties(" spaces = and # more", 7)
    write_meta_properties(tmp_path, odd)
    assert read_meta_properties(tmp_path) == odd


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("version=2", "version 2"),
        ("version=one", "version=one, which is not a number"),
        ("version=1\nnode.id=x", "node.id=x"),
        ("version=1\ndirectory.id=short", "bad directory.id"),
        ("version=1\ncluster.id=\\u12", "not a properties file"),
    ],
)
def test_what_is_no_meta_properties_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "meta.properties").write_text(text)
    with pytest.raises(LogStateError, match=reason):
        read_meta_properties(tmp_path)


def test_a_directory_of_another_cluster_or_node_is_refused_naming_both(tmp_path: Path) -> None:
    ours = MetaProperties("abc", 3)
    ours.check(tmp_path, cluster_id="abc", node_id=3)
    ours.check(tmp_path, cluster_id=None, node_id=3)
    MetaProperties("abc", 3, None, 0).check(tmp_path, cluster_id="abc", node_id=3)
    with pytest.raises(ForeignDirectoryError, match="belongs to cluster abc, this node is in cluster xyz"):
        ours.check(tmp_path, cluster_id="xyz", node_id=3)
    with pytest.raises(ForeignDirectoryError, match="belongs to node 3, this is node 4"):
        ours.check(tmp_path, cluster_id="abc", node_id=4)
    with pytest.raises(ForeignDirectoryError, match=r"has no cluster\.id"):
        MetaProperties(None, 3).check(tmp_path, cluster_id="abc", node_id=3)
    with pytest.raises(ForeignDirectoryError, match="belongs to no node"):
        MetaProperties("abc", None, None, 0).check(tmp_path, cluster_id="abc", node_id=3)
