"""Snapshots of a serving controller: when, of which point in time, at what cost to others, and to whom they go."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from pykraft.controller.config import ControllerConfig
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.replay import apply_values
from pykraft.log.batch import encode_control_batch, iter_batches
from pykraft.log.checkpoint import CheckpointWriter, checkpoint_name, read_checkpoint
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.errors import LogWriteError
from pykraft.log.metadata_log import MetadataLog
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import fetch_snapshot_request as requests
from pykraft.protocol.messages.fetch_response import SnapshotId
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.server import snapshots as snapshots_module
from pykraft.server.node import Node
from pykraft.server.snapshots import Snapshots
from pykraft.server.storage import replay
from pykraft.testing import serve_controller
from tests.server.client import Client, connected, fetch, register
from tests.server.writer_house import House, config, configs, writes

BYTES_KEY = "metadata_log_max_record_bytes_between_snapshots"
INTERVAL_KEY = "metadata_log_max_snapshot_interval_ms"
DEADLINE_S = 10
LARGE = "x" * 50
"""Makes one config that is due for a snapshot by itself."""


async def until(condition: Callable[[], bool]) -> None:
    """Give the tasks time until the condition holds."""
    with trio.fail_after(DEADLINE_S):
        while True:
            if condition():
                return
            await trio.sleep(0.01)


def has_snapshot(log: MetadataLog, offset: int) -> bool:
    """Whether the newest snapshot ends at the offset or behind it."""
    return bool(log.snapshots) and log.snapshots[-1].offset >= offset


class Keeper(House):
    """A house with snapshots."""

    def __init__(self, directory: Path, **config: Any) -> None:
        super().__init__(directory)
        settings = {BYTES_KEY: 1_000, INTERVAL_KEY: 0} | config
        self.snapshots = Snapshots(self.writer, self.log, ControllerConfig(**settings), lambda: 1_700_000_000_000)

    async def fill(self, count: int = 20, value: str = "1") -> None:
        """Some 2 000 bytes of configs."""
        for number in range(count):
            await self.writer.write(writes(config(f"name-{number}", value * 60)))


@asynccontextmanager
async def keeping(tmp_path: Path, **config: Any) -> AsyncIterator[Keeper]:
    keeper = Keeper(tmp_path, **config)
    async with trio.open_nursery() as nursery:
        # The log has no LeaderChange batch here: what the writer appends says epoch 1, and so must the image.
        image = MetadataImage()
        image.epoch = 1
        await keeper.writer.lead(image, 1, 0)
        await nursery.start(keeper.writer.run)
        nursery.start_soon(keeper.snapshots.run)
        await trio.testing.wait_all_tasks_blocked()
        yield keeper
        nursery.cancel_scope.cancel()
    keeper.log.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots_module, "CHECK_INTERVAL_MS", 1)


async def test_one_is_written_after_so_many_bytes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with keeping(tmp_path) as keeper:
        await keeper.fill(5)
        await trio.sleep(0.05)
        assert keeper.log.snapshots == []
        await keeper.fill(1, LARGE)
        await until(lambda: keeper.log.snapshots == [(6, 1)])
        assert "because we have replayed at least 1000 bytes." in caplog.text
        await keeper.fill(5)
        await trio.sleep(0.05)
        assert keeper.log.snapshots == [(6, 1)]
        expected = configs(await keeper.writer.read(lambda image: image))
    with MetadataLog.open(tmp_path) as log:
        assert log.latest_snapshot is not None
        assert configs(replay(log)) == expected
    assert "Loading snapshot" in caplog.text


async def test_one_is_written_after_so_long_if_there_is_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with keeping(tmp_path, **{INTERVAL_KEY: 60, BYTES_KEY: 10**9}) as keeper:
        await trio.sleep(0.15)
        assert keeper.log.snapshots == []
        await keeper.fill(1)
        await until(lambda: keeper.log.snapshots == [(1, 1)])
        assert "because we have waited at least 0 minute(s)." in caplog.text


async def test_it_is_of_one_point_in_time_while_operations_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots_module, "CHUNK_RECORDS", 1)
    async with keeping(tmp_path, **{BYTES_KEY: 10**9}) as keeper:
        await keeper.fill(30)
        expected = configs(await keeper.writer.read(lambda image: image))
        assert await keeper.writer.read(keeper.snapshots._begin)
        async with trio.open_nursery() as both:
            both.start_soon(keeper.snapshots._write, "the test says so")
            both.start_soon(keeper.fill, 30, "2")
        assert configs(await keeper.writer.read(lambda image: image)) != expected
        assert keeper.log.snapshots == [(30, 1)]
        # Only the snapshot: the log behind it is not asked.
        image = MetadataImage()
        values = read_checkpoint(keeper.log.directory / checkpoint_name(OffsetAndEpoch(30, 1)))
        apply_values(image, values, range(len(values)), 1)
        assert configs(image) == expected


async def test_it_waits_for_the_end_of_a_transaction(tmp_path: Path) -> None:
    async with keeping(tmp_path) as keeper:
        await keeper.writer.write(writes(ApiMessageAndVersion(BeginTransactionRecord(name="x"), 0)))
        await keeper.fill()
        await trio.sleep(0.05)
        assert keeper.log.snapshots == []
        await keeper.writer.write(writes(ApiMessageAndVersion(EndTransactionRecord(), 0)))
        await until(lambda: keeper.log.snapshots == [(22, 1)])


async def test_a_transaction_that_begins_meanwhile_holds_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots_module, "CHUNK_RECORDS", 1)
    async with keeping(tmp_path, **{BYTES_KEY: 10**9}) as keeper, trio.open_nursery() as nursery:
        await keeper.fill(3)
        assert await keeper.writer.read(keeper.snapshots._begin)
        await keeper.writer.write(writes(ApiMessageAndVersion(BeginTransactionRecord(name="x"), 0)))
        nursery.start_soon(keeper.snapshots._write, "the test says so")
        await keeper.fill(3, "2")
        await trio.sleep(0.05)
        assert keeper.log.snapshots == []
        await keeper.writer.write(writes(ApiMessageAndVersion(EndTransactionRecord(), 0)))
        await until(lambda: keeper.log.snapshots == [(3, 1)])


async def test_it_is_given_up_when_leadership_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots_module, "CHUNK_RECORDS", 1)
    async with keeping(tmp_path, **{BYTES_KEY: 10**9}) as keeper:
        await keeper.fill(10)
        assert await keeper.writer.read(keeper.snapshots._begin)
        message = LeaderChangeMessage(leader_id=1).encode(0)
        keeper.log.append([encode_control_batch([(2, message)], base_offset=10, leader_epoch=2, timestamp_ms=1)])
        await keeper.writer.lead(replay(keeper.log), 2, 11)
        await keeper.snapshots._write("the test says so")
        assert keeper.log.snapshots == []
        assert list(keeper.log.directory.glob("*.checkpoint*")) == []


async def test_a_disk_that_refuses_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    appends: list[int] = []
    real = CheckpointWriter.append

    def fail_once(file: CheckpointWriter, values: Any) -> None:
        appends.append(len(values))
        if len(appends) == 1:
            raise LogWriteError(tmp_path, "No space left on device", usable=True)
        real(file, values)

    monkeypatch.setattr(CheckpointWriter, "append", fail_once)
    async with keeping(tmp_path) as keeper:
        await keeper.fill(1, LARGE)
        await until(lambda: bool(appends))
        await until(lambda: "The snapshot was not written: writing" in caplog.text)
        assert (keeper.log.snapshots, list(keeper.log.directory.glob("*.part"))) == ([], [])
        await keeper.fill(1, LARGE)
        await until(lambda: keeper.log.snapshots == [(2, 1)])


async def test_old_ones_are_removed_within_the_retention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots_module, "CLEAN_INTERVAL_MS", 1)
    async with keeping(tmp_path, metadata_max_retention_bytes=100) as keeper:
        await keeper.fill()
        await until(lambda: bool(keeper.log.snapshots))
        first = keeper.log.snapshots[0]
        await keeper.fill()
        await until(lambda: keeper.log.start_offset > first.offset)
        assert keeper.log.snapshots[0].offset == keeper.log.start_offset


def piece(node: Node, snapshot: SnapshotId, position: int, max_bytes: int) -> requests.FetchSnapshotRequestData:
    asked = requests.PartitionSnapshot(
        current_leader_epoch=1,
        position=position,
        snapshot_id=requests.SnapshotId(end_offset=snapshot.end_offset, epoch=snapshot.epoch),
    )
    topics = [requests.TopicSnapshot(name="__cluster_metadata", partitions=[asked])]
    return requests.FetchSnapshotRequestData(
        cluster_id=node.cluster_id, replica_id=7, max_bytes=max_bytes, topics=topics
    )


async def ask_piece(client: Client, node: Node, snapshot: SnapshotId, position: int, max_bytes: int) -> Any:
    return (await client.ask(piece(node, snapshot, position, max_bytes))).topics[0].partitions[0]


async def test_a_broker_behind_the_log_gets_the_snapshot_piece_by_piece(nursery: trio.Nursery) -> None:
    node = await serve_controller(nursery, metadata_log_max_record_bytes_between_snapshots=100)
    async with connected(node) as client:
        await register(client, node, 1)
        await until(lambda: bool(node.log.snapshots))
        answer = (await client.ask(fetch(node, 0))).responses[0].partitions[0]
        named = answer.snapshot_id
        assert (named.end_offset, named.epoch) in node.log.snapshots
        assert (answer.records, answer.error_code) == (b"", ErrorCode.NONE)
        content = b""
        while True:
            got = await ask_piece(client, node, named, len(content), 100)
            assert (got.error_code, got.position, got.snapshot_id.end_offset) == (0, len(content), named.end_offset)
            content += got.unaligned_records
            if len(content) == got.size:
                break
            assert len(got.unaligned_records) == 100
        path = node.log.directory / checkpoint_name(OffsetAndEpoch(named.end_offset, named.epoch))
        assert content == path.read_bytes()
        assert next(iter_batches(content)).control_types == [3]
        for position in (-1, got.size, got.size + 1):
            refused = await ask_piece(client, node, named, position, 100)
            assert refused.error_code == ErrorCode.POSITION_OUT_OF_RANGE
        after = (await client.ask(fetch(node, named.end_offset, last_epoch=named.epoch))).responses[0].partitions[0]
        assert after.snapshot_id.end_offset == -1
        before = (await client.ask(fetch(node, 1, last_epoch=1))).responses[0].partitions[0]
        assert before.records
        path.unlink()
        gone = await ask_piece(client, node, named, 0, 100)
        assert gone.error_code == ErrorCode.SNAPSHOT_NOT_FOUND


async def test_a_controller_goes_on_from_its_snapshot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    facts: list[Any] = []
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            node = await serve_controller(
                nursery,
                data_directory=tmp_path,
                metadata_log_max_record_bytes_between_snapshots=300,
                metadata_max_idle_interval_ms=50,
            )
            if not facts:
                async with connected(node) as client:
                    await register(client, node, 1)
                await until(partial(has_snapshot, node.log, 8))
            facts.append(await node.writer.read(lambda image: (dict(image.features), set(image.brokers))))
            nursery.cancel_scope.cancel()
    assert facts[0] == facts[1]
    assert "Loading snapshot" in caplog.text
