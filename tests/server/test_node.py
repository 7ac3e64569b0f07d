"""A node's life: leadership lost and won again, its timers, a data directory that came from Kafka."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from pykraft.image.model import ResourceType, ZkMigrationState
from pykraft.log.batch import ControlRecordType, encode_batch, encode_control_batch, iter_batches
from pykraft.log.checkpoint import BOOTSTRAP_NAME, checkpoint_name
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.meta_properties import MetaProperties, write_meta_properties
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import encode_request
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.describe_configs_request import DescribeConfigsRequestData, DescribeConfigsResource
from pykraft.protocol.messages.fetch_snapshot_request import (
    FetchSnapshotRequestData,
    PartitionSnapshot,
    SnapshotId,
    TopicSnapshot,
)
from pykraft.protocol.messages.snapshot_footer_record import SnapshotFooterRecord
from pykraft.protocol.messages.snapshot_header_record import SnapshotHeaderRecord
from pykraft.protocol.messages.vote_request import PartitionData, TopicData, VoteRequestData
from pykraft.protocol.record_frame import decode_record, encode_record
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord
from pykraft.server import snapshots
from pykraft.server.node import Node
from pykraft.server.storage import StorageError
from pykraft.testing import serve_controller
from tests.server.client import connected, create, fetch, header, heartbeat, register, registration

KAFKAS_DIRECTORY = Path(__file__).parent.parent / "data" / "log" / "controller-3.9.1"
HELLO = ApiVersionsRequestData(client_software_name="a", client_software_version="1")
ELECTION_S_MAX = 2.0
"""By then a node without a leader stands for election."""


def vote(epoch: int) -> VoteRequestData:
    """A candidate that this node has no reason to vote for, but whose epoch it has to take."""
    partition = PartitionData(candidate_epoch=epoch, candidate_id=9)
    return VoteRequestData(cluster_id=None, topics=[TopicData(topic_name="__cluster_metadata", partitions=[partition])])


async def test_a_leader_deposed_by_a_stray_candidate_leads_again_and_has_lost_nothing(
    mock_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    events: list[dict[str, object]] = []
    led_again = trio.Event()

    def emit(event: str, **fields: object) -> None:
        events.append({"event": event, **fields})
        if event == "leader" and fields["epoch"] == 43:
            led_again.set()

    node = await serve_controller(nursery, emit=emit)
    async with connected(node) as client:
        epoch = await register(client, node)
        assert (await client.ask(create("before"))).topics[0].error_code == ErrorCode.NONE
        answer = (await client.ask(vote(42))).topics[0].partitions[0]
        assert not answer.vote_granted
        refused = await client.ask(create("between"))
        assert refused.topics[0].error_code == ErrorCode.NOT_CONTROLLER
        fetched = (await client.ask(fetch(node, 1, epoch=42, last_epoch=1))).responses[0].partitions[0]
        assert fetched.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert not led_again.is_set()
        mock_clock.jump(ELECTION_S_MAX)
        await led_again.wait()
        assert not (await heartbeat(client, 1, epoch, node)).is_fenced
        assert (await client.ask(create("after"))).topics[0].error_code == ErrorCode.NONE
    assert await node.writer.read(lambda image: sorted(image.topics_by_name)) == ["after", "before"]
    assert [event for event in events if event["event"] == "ready"] == events[:1]


async def test_an_idle_log_moves_and_one_that_is_told_not_to_does_not(nursery: trio.Nursery) -> None:
    node = await serve_controller(nursery, metadata_max_idle_interval_ms=20)
    async with connected(node) as client:
        end = node.log.end_offset
        answer = await client.ask(fetch(node, end, max_wait_ms=9_000))
        batch = answer.responses[0].partitions[0].records or b""
        if not batch:
            answer = await client.ask(fetch(node, end, max_wait_ms=9_000))
            batch = answer.responses[0].partitions[0].records
    names = {type(decode_record(value).message).__name__ for each in iter_batches(batch) for value in each.values}
    assert names == {"NoOpRecord"}


async def test_below_metadata_version_3_3_iv1_there_are_no_no_op_records(nursery: trio.Nursery) -> None:
    node = await serve_controller(nursery, inter_broker_protocol_version="3.3-IV0", metadata_max_idle_interval_ms=1)
    end = node.log.end_offset
    async with connected(node) as client:
        await client.ask(fetch(node, end, max_wait_ms=50))
        await client.ask(fetch(node, end, max_wait_ms=50))
    assert node.log.end_offset == end


async def test_finalized_features_survive_a_restart(tmp_path: Path) -> None:
    for release in ("3.7-IV4", "3.9-IV0"):
        async with trio.open_nursery() as nursery:
            node = await serve_controller(nursery, release=release, data_directory=tmp_path)
            async with connected(node) as client:
                answer = await client.ask(HELLO)
            levels = {each.name: each.max_version_level for each in answer.finalized_features}
            assert levels == {"metadata.version": 19}
            assert answer.finalized_features_epoch >= 4
            nursery.cancel_scope.cancel()


async def test_a_directory_of_kafkas_controller_is_taken_over(nursery: trio.Nursery, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    shutil.copytree(KAFKAS_DIRECTORY, directory)
    properties = (directory / "meta.properties").read_bytes()
    node = await serve_controller(
        nursery, data_directory=directory, node_id=3000, pykraft_migration_finalize_force=True
    )
    assert node.cluster_id == "X-9PC9aZTaKjyjLnbX3gmA"
    assert (directory / "meta.properties").read_bytes() == properties

    def look(image: Any) -> tuple[ZkMigrationState, list[int], int]:
        return image.zk_migration_state, sorted(image.brokers), len(image.topics_by_name)

    state, brokers, topics = await node.writer.read(look)
    # Kafka's controller left it in dual-write; without migration in the configuration that is the end of it, if forced.
    assert (state, brokers) == (ZkMigrationState.POST_MIGRATION, [0, 1, 2])
    assert topics > 0
    async with connected(node) as client:
        answer = (await client.ask(fetch(node, 0, epoch=2, last_epoch=0))).responses[0].partitions[0]
    assert (answer.current_leader.leader_epoch, answer.error_code) == (2, ErrorCode.NONE)


BOOTSTRAP = [
    FeatureLevelRecord(name="metadata.version", feature_level=19),
    UserScramCredentialRecord(name="admin", mechanism=1, salt=b"s", stored_key=b"k", server_key=b"v", iterations=4096),
]


async def test_a_directory_formatted_for_kafka_begins_as_its_bootstrap_checkpoint_says(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    write_meta_properties(tmp_path, MetaProperties("MkU3OEVBNTcwNTJENDM2Qg", 1, b"a directory's id"))
    (tmp_path / BOOTSTRAP_NAME).write_bytes(checkpoint([encode_record(record, 0) for record in BOOTSTRAP], 0))
    node = await serve_controller(nursery, data_directory=tmp_path, release="3.9-IV0")

    def look(image: Any) -> tuple[int, list[str]]:
        return int(image.metadata_version), [key.user for key in image.scram]

    assert await node.writer.read(look) == (19, ["admin"])
    async with connected(node) as client:
        records = (await client.ask(fetch(node, 0))).responses[0].partitions[0].records
    names = [
        type(decode_record(v).message).__name__
        for b in iter_batches(records)
        for v in b.values
        if not b.header.is_control
    ]
    assert names[:5] == [
        "BeginTransactionRecord",
        "FeatureLevelRecord",
        "UserScramCredentialRecord",
        "ZkMigrationStateRecord",
        "EndTransactionRecord",
    ]


async def test_a_directory_formatted_for_4_1_begins_with_the_features_that_are_known_here(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    levels = {
        "metadata.version": 27,
        "eligible.leader.replicas.version": 1,
        "group.version": 1,
        "transaction.version": 1,
        "streams.version": 1,
    }
    (tmp_path / BOOTSTRAP_NAME).write_bytes(
        checkpoint(
            [encode_record(FeatureLevelRecord(name=name, feature_level=level), 0) for name, level in levels.items()], 0
        )
    )
    node = await serve_controller(nursery, data_directory=tmp_path, release="4.1")
    del levels["streams.version"]
    assert await node.writer.read(lambda image: dict(image.features)) == levels
    assert await node.writer.read(lambda image: image.configs) == {(4, ""): {"min.insync.replicas": "1"}}


async def test_a_bootstrap_checkpoint_of_a_later_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / BOOTSTRAP_NAME).write_bytes(
        checkpoint([encode_record(FeatureLevelRecord(name="metadata.version", feature_level=99), 0)], 0)
    )
    with pytest.RaisesGroup(pytest.RaisesExc(StorageError, match="metadata.version 99"), flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await serve_controller(nursery, data_directory=tmp_path)


def write_checkpoint(directory: Path, snapshot: OffsetAndEpoch) -> bytes:
    """A directory whose log is a snapshot and nothing after it."""
    metadata = directory / "__cluster_metadata-0"
    metadata.mkdir(parents=True)
    write_meta_properties(directory, MetaProperties("MkU3OEVBNTcwNTJENDM2Qg", 1, b"a directory's id"))
    records = [
        encode_record(FeatureLevelRecord(name="metadata.version", feature_level=21), 0),
        encode_record(TopicRecord(name="kept", topic_id=b"a topic's own id"), 0),
    ]
    data = checkpoint(records, snapshot.epoch)
    (metadata / checkpoint_name(snapshot)).write_bytes(data)
    return data


def checkpoint(records: list[bytes], epoch: int) -> bytes:
    """A checkpoint file as Kafka lays it out."""
    header = SnapshotHeaderRecord(version=0, last_contained_log_timestamp=1).encode(0)
    footer = SnapshotFooterRecord(version=0).encode(0)
    last = 1 + len(records)
    return b"".join(
        (
            encode_control_batch(
                [(ControlRecordType.SNAPSHOT_HEADER, header)], base_offset=0, leader_epoch=epoch, timestamp_ms=1
            ),
            encode_batch(records, base_offset=1, leader_epoch=epoch, timestamp_ms=1),
            encode_control_batch(
                [(ControlRecordType.SNAPSHOT_FOOTER, footer)], base_offset=last, leader_epoch=epoch, timestamp_ms=1
            ),
        )
    )


async def test_a_log_that_begins_with_a_snapshot_is_loaded_and_the_snapshot_served(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    snapshot = OffsetAndEpoch(100, 7)
    data = write_checkpoint(tmp_path, snapshot)
    node = await serve_controller(nursery, data_directory=tmp_path)
    assert await node.writer.read(lambda image: list(image.topics_by_name)) == ["kept"]
    async with connected(node) as client:
        answer = (await client.ask(fetch(node, 0, epoch=8, last_epoch=0))).responses[0].partitions[0]
        assert OffsetAndEpoch(answer.snapshot_id.end_offset, answer.snapshot_id.epoch) == snapshot
        assert (await fetch_snapshot(client, snapshot, 0, 1_000_000))[0] == data
        first, size = await fetch_snapshot(client, snapshot, 0, 50)
        rest, _ = await fetch_snapshot(client, snapshot, 50, 1_000_000)
        assert (first + rest, size) == (data, len(data))
        assert await fetch_snapshot(client, snapshot, size, 10) == (ErrorCode.POSITION_OUT_OF_RANGE, size)
        assert await fetch_snapshot(client, OffsetAndEpoch(99, 7), 0, 10) == (ErrorCode.SNAPSHOT_NOT_FOUND, 0)
        after = (await client.ask(fetch(node, 100, epoch=8, last_epoch=7))).responses[0].partitions[0]
        assert after.records
        assert (await client.ask(registration(node))).error_code == ErrorCode.NONE


async def fetch_snapshot(client: Any, snapshot: OffsetAndEpoch, position: int, max_bytes: int) -> tuple[Any, int]:
    """(bytes or error, size of the snapshot)."""
    asked = PartitionSnapshot(
        current_leader_epoch=8,
        snapshot_id=SnapshotId(end_offset=snapshot.offset, epoch=snapshot.epoch),
        position=position,
    )
    topics = [TopicSnapshot(name="__cluster_metadata", partitions=[asked])]
    response = await client.ask(FetchSnapshotRequestData(max_bytes=max_bytes, topics=topics))
    only = response.topics[0].partitions[0]
    return ErrorCode(only.error_code) if only.error_code else only.unaligned_records, only.size


async def test_a_peer_that_does_not_read_gets_its_answers_in_order_once_it_does(node: Node) -> None:
    count = 3_000
    async with connected(node) as lazy, connected(node) as other:

        async def send() -> None:
            for number in range(count):
                await lazy.send(encode_request(header(18, 0, number), ApiVersionsRequestData()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await register(other, node)
            seen = Counter[int]()
            for number in range(count):
                frame = await lazy.receive()
                seen[int.from_bytes(frame[:4], "big") - number] += 1
    assert seen == {0: count}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_it_listens_where_it_is_told(nursery: trio.Nursery, host: str) -> None:
    node = await serve_controller(nursery, host=host)
    assert node.endpoint.host == host
    async with connected(node) as client:
        assert (await client.ask(HELLO, 4)).error_code == ErrorCode.NONE


async def test_it_lives_longer_than_the_longest_of_its_timers(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "CLEAN_INTERVAL_MS", 1)
    node = await serve_controller(
        nursery,
        unclean_leader_election_interval_ms=1,
        leader_imbalance_check_interval_seconds=0,
        delegation_token_secret_key="secret",
        delegation_token_expiry_check_interval_ms=1,
        metadata_max_idle_interval_ms=1,
    )
    end = node.log.end_offset
    async with connected(node) as client:
        while node.log.end_offset < end + 20:
            await client.ask(fetch(node, node.log.end_offset, max_wait_ms=9_000))
        await register(client, node)


async def test_a_node_describes_what_the_file_of_a_kafka_controller_would_say(node: Node) -> None:
    request = DescribeConfigsRequestData(
        resources=[DescribeConfigsResource(resource_type=ResourceType.BROKER, resource_name="1")]
    )
    async with connected(node) as client:
        [result] = (await client.ask(request)).results
    static = {each.name: each.value for each in result.configs if each.config_source == 4}
    assert static == {
        "process.roles": "controller",
        "node.id": "1",
        "broker.id": "1",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CONTROLLER://{node.address}",
        "controller.quorum.voters": f"1@{node.address}",
        "log.dirs": str(node.settings.data_directory),
        "inter.broker.protocol.version": "3.9-IV0",
    }
