"""kraft.version 1: the voters in the log, in its snapshots and in the answers of a node that brokers find by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from pykraft.controller.releases import SUPPORTED_FEATURES
from pykraft.log.batch import ControlRecordType, encode_control_batch, iter_batches
from pykraft.log.checkpoint import checkpoint_name, iter_checkpoint
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.meta_properties import MetaProperties, write_meta_properties
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.broker_registration_request import Feature
from pykraft.protocol.messages.describe_quorum_request import DescribeQuorumRequestData, PartitionData, TopicData
from pykraft.protocol.messages.remove_raft_voter_request import RemoveRaftVoterRequestData
from pykraft.protocol.messages.snapshot_footer_record import SnapshotFooterRecord
from pykraft.protocol.messages.snapshot_header_record import SnapshotHeaderRecord
from pykraft.protocol.messages.update_features_request import FeatureUpdateKey, UpdateFeaturesRequestData
from pykraft.protocol.messages.voters_record import Endpoint, KRaftVersionFeature, Voter, VotersRecord
from pykraft.server import snapshots
from pykraft.server.node import Node
from pykraft.server.storage import StorageError
from pykraft.testing import serve_controller
from tests.server.client import Client, connected, create, fetch, register

DEADLINE_S = 10
BOOTSTRAP: dict[str, Any] = {"controller_quorum_bootstrap_servers": "localhost:9093"}
STATIC: dict[str, Any] = {"controller_quorum_voters": "1@localhost:9093"}
LEADER_CHANGE, VERSION, VOTERS = (
    ControlRecordType.LEADER_CHANGE,
    ControlRecordType.KRAFT_VERSION,
    ControlRecordType.KRAFT_VOTERS,
)
HELLO = ApiVersionsRequestData(client_software_name="a", client_software_version="1")

# Offsets 0 to 2 of a log that a 4.1.2 controller wrote, behind the timestamps: node 3000 at 127.0.0.1:44777.
RECORDED = bytes.fromhex(
    "000000033a000000080000000226000000000bb80200000bb8000200000bb80000001e00000208000000050a00000001000082010000040800"
    "0000066e00000200000bb81b05e01451f4408eb6268aee32ec2a73020b434f4e54524f4c4c45520a3132372e302e302e31aee9000000000100"
    "000000"
)
RECORDED_DIRECTORY = bytes.fromhex("1b05e01451f4408eb6268aee32ec2a73")


def segments(directory: Path) -> list[Path]:
    return list(directory.glob("__cluster_metadata-0/*.log"))


async def first_batches(node: Node) -> list[Any]:
    async with connected(node) as client:
        records = (await client.ask(fetch(node, 0, epoch=node.log.last_epoch, last_epoch=0))).responses[0].partitions[0]
    return list(iter_batches(records.records))


async def test_a_log_begins_with_the_bytes_that_kafka_writes(nursery: trio.Nursery, tmp_path: Path) -> None:
    write_meta_properties(tmp_path, MetaProperties("MkU3OEVBNTcwNTJENDM2Qg", 3000, RECORDED_DIRECTORY, version=1))
    node = await serve_controller(nursery, data_directory=tmp_path, node_id=3000, release="4.1", **BOOTSTRAP)
    segment = segments(tmp_path)[0].read_bytes()
    port = node.endpoint.port.to_bytes(2, "big")
    assert segment[57 : 57 + len(RECORDED)] == RECORDED.replace((44777).to_bytes(2, "big"), port)
    async with connected(node) as client:
        answer = await client.ask(HELLO, 4)
        assert ("kraft.version", 1) in {(each.name, each.max_version_level) for each in answer.finalized_features}
        topic = TopicData(topic_name="__cluster_metadata", partitions=[PartitionData(partition_index=0)])
        quorum = await client.ask(DescribeQuorumRequestData(topics=[topic]), 2)
    [voter] = quorum.topics[0].partitions[0].current_voters
    assert (voter.replica_id, voter.replica_directory_id) == (3000, RECORDED_DIRECTORY)
    state = (node.log.directory / "quorum-state").read_text()
    assert '"data_version":1' in state
    assert "votedDirectoryId" in state
    assert "currentVoters" not in state


async def control_types(node: Node) -> list[list[int]]:
    return [list(batch.control_types) for batch in await first_batches(node) if batch.header.is_control]


async def test_only_another_address_is_written_again(tmp_path: Path) -> None:
    port, found = 0, []
    # The same port, the same without the setting, as Kafka does at kraft.version 1, then another port.
    for options in (BOOTSTRAP, BOOTSTRAP, STATIC, {}, {"port": 0}):
        async with trio.open_nursery() as nursery:
            node = await serve_controller(nursery, data_directory=tmp_path, **{"port": port, **options})
            port = node.endpoint.port
            found = await control_types(node)
            assert node.kraft_version == 1
            nursery.cancel_scope.cancel()
    assert found == [[LEADER_CHANGE, VERSION, VOTERS], *[[LEADER_CHANGE]] * 3, [LEADER_CHANGE, VOTERS]]


async def test_static_voters_leave_no_trace(nursery: trio.Nursery) -> None:
    node = await serve_controller(nursery, **BOOTSTRAP, **STATIC)
    assert node.kraft_version == 0
    assert await control_types(node) == [[LEADER_CHANGE]]


async def test_snapshots_begin_with_the_voters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "CHECK_INTERVAL_MS", 1)
    options: dict[str, Any] = {"data_directory": tmp_path, **BOOTSTRAP}
    async with trio.open_nursery() as nursery:
        node = await serve_controller(
            nursery, **options, metadata_log_max_record_bytes_between_snapshots=1, metadata_max_idle_interval_ms=50
        )
        with trio.fail_after(DEADLINE_S):
            while not node.log.snapshots:  # noqa: ASYNC110  a snapshot gives no event
                await trio.sleep(0.01)
        path = node.log.directory / checkpoint_name(node.log.snapshots[0])
        nursery.cancel_scope.cancel()
    head = next(iter(iter_checkpoint(path)))
    assert list(head.control_types) == [ControlRecordType.SNAPSHOT_HEADER, VERSION, VOTERS]
    [segment] = segments(tmp_path)
    assert head.values[1:] == next(iter(iter_batches(segment.read_bytes()))).values[1:]
    # Where the log before the snapshot is gone, the snapshot says it.
    segment.unlink()
    async with trio.open_nursery() as nursery:
        assert (await serve_controller(nursery, **options)).kraft_version == 1
        nursery.cancel_scope.cancel()


def standalone(directory: Path, *voters: int) -> None:
    """A directory as `kafka-storage format --standalone` (or --initial-controllers) leaves it."""
    write_meta_properties(directory, MetaProperties("MkU3OEVBNTcwNTJENDM2Qg", 1, RECORDED_DIRECTORY, version=1))
    record = VotersRecord(
        voters=[
            Voter(voter, RECORDED_DIRECTORY, [Endpoint("CONTROLLER", "localhost", 1)], KRaftVersionFeature(0, 1))
            for voter in voters
        ]
    )
    header = SnapshotHeaderRecord(version=0, last_contained_log_timestamp=1).encode(0)
    head = [(ControlRecordType.SNAPSHOT_HEADER, header), (VERSION, b"\0\0\0\1\0"), (VOTERS, record.encode(0))]
    footer = SnapshotFooterRecord(version=0).encode(0)
    metadata = directory / "__cluster_metadata-0"
    metadata.mkdir()
    (metadata / checkpoint_name(OffsetAndEpoch(0, 0))).write_bytes(
        encode_control_batch(head, base_offset=0, leader_epoch=0, timestamp_ms=1)
        + encode_control_batch(
            [(ControlRecordType.SNAPSHOT_FOOTER, footer)], base_offset=3, leader_epoch=0, timestamp_ms=1
        )
    )


async def test_a_directory_formatted_standalone_is_taken_over(nursery: trio.Nursery, tmp_path: Path) -> None:
    standalone(tmp_path, 1)
    node = await serve_controller(nursery, data_directory=tmp_path, **BOOTSTRAP)
    assert (await control_types(node))[0] == [LEADER_CHANGE, VERSION, VOTERS]


async def test_what_a_log_rules_out(tmp_path: Path) -> None:
    static, dynamic, three = (tmp_path / name for name in ("static", "dynamic", "three"))
    three.mkdir()
    standalone(three, 1, 2)
    for directory, options in ((static, {}), (dynamic, BOOTSTRAP)):
        async with trio.open_nursery() as nursery:
            await serve_controller(nursery, data_directory=directory, release="3.9", **options)
            nursery.cancel_scope.cancel()
    cases = (
        (static, {**BOOTSTRAP}, "is at kraft.version 0"),
        (dynamic, {"release": "3.8"}, "of which release 3.8 knows nothing"),
        (three, {**BOOTSTRAP}, "can only be the only voter"),
    )
    for directory, changes, reason in cases:
        with pytest.RaisesGroup(pytest.RaisesExc(StorageError, match=reason), flatten_subgroups=True):
            async with trio.open_nursery() as nursery:
                await serve_controller(nursery, data_directory=directory, **changes)


def upgrade(level: int = 1, **options: Any) -> UpdateFeaturesRequestData:
    return UpdateFeaturesRequestData(
        feature_updates=[FeatureUpdateKey("kraft.version", level, upgrade_type=1)], **options
    )


async def voter_directories(client: Client) -> list[bytes]:
    topic = TopicData(topic_name="__cluster_metadata", partitions=[PartitionData(partition_index=0)])
    quorum = await client.ask(DescribeQuorumRequestData(topics=[topic]), 2)
    return [voter.replica_directory_id for voter in quorum.topics[0].partitions[0].current_voters]


async def kraft_level(client: Client) -> int:
    answer = await client.ask(HELLO, 4)
    levels = {each.name: each.max_version_level for each in answer.finalized_features}
    return int(levels.get("kraft.version", 0))


async def test_a_running_quorum_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "CHECK_INTERVAL_MS", 1)
    options: dict[str, Any] = {"data_directory": tmp_path, "release": "4.1", **STATIC}
    async with trio.open_nursery() as nursery:
        node = await serve_controller(nursery, **options, metadata_log_max_record_bytes_between_snapshots=1)
        async with connected(node) as client:
            assert (await client.ask(upgrade(validate_only=True))).error_code == 0
            assert (node.kraft_version, await kraft_level(client)) == (0, 0)
            # Two at once are one upgrade.
            async with connected(node) as other, trio.open_nursery() as askers:
                askers.start_soon(client.ask, upgrade())
                askers.start_soon(other.ask, upgrade())
            assert (node.kraft_version, await kraft_level(client)) == (1, 1)
            [directory] = await voter_directories(client)
            assert directory != bytes(16)
            assert (await client.ask(upgrade())).error_code == 0
            for voter in ((1, directory), (9, bytes(16))):
                removal = RemoveRaftVoterRequestData(None, *voter)
                assert (await client.ask(removal)).error_code == ErrorCode.VOTER_NOT_FOUND
            # The log goes on behind the control records without a gap.
            features = [Feature(each.name, each.min_version, each.max_version) for each in SUPPORTED_FEATURES["4.1"]]
            await register(client, node, features=features)
            assert (await client.ask(create("orders"))).topics[0].error_code == 0
        end_offset = node.log.end_offset
        with trio.fail_after(DEADLINE_S):
            while not node.log.snapshots or node.log.snapshots[-1].offset < end_offset:  # noqa: ASYNC110  a snapshot gives no event
                await trio.sleep(0.01)
        path = node.log.directory / checkpoint_name(node.log.snapshots[-1])
        state = (node.log.directory / "quorum-state").read_text()
        [segment] = segments(tmp_path)
        batches = [batch for batch in iter_batches(segment.read_bytes()) if batch.header.is_control]
        assert [list(batch.control_types) for batch in batches] == [[LEADER_CHANGE], [VERSION, VOTERS]]
        nursery.cancel_scope.cancel()
    assert list(next(iter(iter_checkpoint(path))).control_types)[1:] == [VERSION, VOTERS]
    assert '"data_version":1' in state
    assert "currentVoters" not in state
    port = node.endpoint.port
    async with trio.open_nursery() as nursery:
        again = await serve_controller(nursery, **options, port=port)
        async with connected(again) as client:
            assert await voter_directories(client) == [directory]
            assert await kraft_level(client) == 1
        topics = await again.writer.read(lambda image: set(image.topics_by_name))
        nursery.cancel_scope.cancel()
    assert topics == {"orders"}


async def test_a_quorum_that_was_only_about_to_be_upgraded_is_as_before(tmp_path: Path) -> None:
    """What a kill between quorum-state and the log leaves."""
    options: dict[str, Any] = {"data_directory": tmp_path, "release": "4.1", **STATIC}
    async with trio.open_nursery() as nursery:
        node = await serve_controller(nursery, **options)
        await node.quorum.move_voters_to_log()
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        again = await serve_controller(nursery, **options)
        async with connected(again) as client:
            assert await kraft_level(client) == 0
            assert (await client.ask(upgrade())).error_code == 0
            assert await kraft_level(client) == 1
        nursery.cancel_scope.cancel()


async def test_4_0_says_yes_and_does_nothing(nursery: trio.Nursery) -> None:
    node = await serve_controller(nursery, release="4.0", **STATIC)
    async with connected(node) as client:
        assert (await client.ask(upgrade())).error_code == 0
        assert await kraft_level(client) == 0
    assert await control_types(node) == [[LEADER_CHANGE]]
