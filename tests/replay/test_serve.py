"""A recorded log served: what a broker is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from pykraft.log.batch import iter_batches
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData
from pykraft.protocol.messages.create_topics_request import CreateTopicsRequestData
from pykraft.protocol.messages.fetch_request import FetchPartition, FetchRequestData, FetchTopic
from pykraft.protocol.messages.fetch_snapshot_request import (
    FetchSnapshotRequestData,
    PartitionSnapshot,
    SnapshotId,
    TopicSnapshot,
)
from pykraft.protocol.uuids import METADATA_TOPIC_ID
from pykraft.replay.recorded import RecordedLog
from pykraft.server.replay import ReplayServer, ReplaySettings
from tests.replay.samples import CONTROLLER_LOG, recorded
from tests.server.client import Client, connected

CLUSTER = "X-9PC9aZTaKjyjLnbX3gmA"


@asynccontextmanager
async def served(log: Path, **settings: Any) -> AsyncIterator[Client]:
    server = ReplayServer(RecordedLog.at(log), ReplaySettings(CLUSTER, 3000, **settings), lambda event, **fields: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        await trio.testing.wait_all_tasks_blocked()
        async with connected(server.address) as client:
            yield client
        nursery.cancel_scope.cancel()


def fetch(offset: int, *, epoch: int = 1, last: int = 1, cluster: str = CLUSTER, wait_ms: int = 0) -> FetchRequestData:
    partition = FetchPartition(fetch_offset=offset, current_leader_epoch=epoch, last_fetched_epoch=last)
    topic = FetchTopic(topic_id=METADATA_TOPIC_ID, partitions=[partition])
    return FetchRequestData(cluster_id=cluster, max_wait_ms=wait_ms, max_bytes=8 * 1024 * 1024, topics=[topic])


async def fetched(client: Client, offset: int, **changes: Any) -> Any:
    response = await client.ask(fetch(offset, **changes), 17)
    return response.responses[0].partitions[0]


async def test_the_recorded_bytes() -> None:
    async with served(CONTROLLER_LOG) as client:
        first = await fetched(client, 0, last=0)
        assert first.records == CONTROLLER_LOG.read_bytes()
        assert (first.high_watermark, first.error_code, first.current_leader.leader_id) == (155, 0, 3000)
        assert next(iter_batches((await fetched(client, 12)).records)).header.base_offset == 11
        assert (await fetched(client, 155)).records == b""


async def test_up_to_an_offset() -> None:
    async with served(CONTROLLER_LOG, until=67) as client:
        found = await fetched(client, 0, last=0)
        assert (found.high_watermark, list(iter_batches(found.records))[-1].header.next_offset) == (68, 68)


async def test_paced(autojump_clock: trio.testing.MockClock) -> None:
    async with served(CONTROLLER_LOG, pace=2.0) as client:
        begun = trio.current_time()
        offset, answers = 0, 0
        while offset < 155:
            found = await fetched(client, offset, last=min(offset, 1), wait_ms=60_000)
            offset, answers = found.high_watermark, answers + 1
        # The log was recorded in 40.629 s.
        assert trio.current_time() - begun == pytest.approx(40.629 / 2, abs=0.01)
        assert answers > 90


async def test_refusals() -> None:
    async with served(CONTROLLER_LOG) as client:
        assert (await fetched(client, 0, epoch=0)).error_code == ErrorCode.FENCED_LEADER_EPOCH
        assert (await fetched(client, 0, epoch=2)).error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
        assert (await client.ask(fetch(0, cluster="other"), 17)).error_code == ErrorCode.INCONSISTENT_CLUSTER_ID
        assert (await client.ask(FetchRequestData(), 17)).error_code == ErrorCode.INVALID_REQUEST
        assert (await fetched(client, 200)).diverging_epoch.end_offset == 155
        versions = await client.ask(ApiVersionsRequestData(client_software_name="x", client_software_version="1"), 4)
        assert [key.api_key for key in versions.api_keys] == [1, 18, 59, 62, 63]
        assert versions.finalized_features[0].max_version_level == 21
        await client.ask(ApiVersionsRequestData(), 0)
        with pytest.raises(EOFError):
            await client.ask(CreateTopicsRequestData(), 7)


async def test_a_broker_comes_and_goes() -> None:
    async with served(CONTROLLER_LOG) as client:
        request = BrokerRegistrationRequestData(broker_id=1, cluster_id=CLUSTER)
        assert (await client.ask(request, 4)).broker_epoch == 39
        request = BrokerRegistrationRequestData(broker_id=99, cluster_id=CLUSTER)
        assert (await client.ask(request, 4)).broker_epoch == 155
        request = BrokerRegistrationRequestData(broker_id=99, cluster_id="other")
        assert (await client.ask(request, 4)).error_code == ErrorCode.INCONSISTENT_CLUSTER_ID

        async def beat(offset: int, **wishes: Any) -> tuple[bool, bool, bool]:
            beaten = await client.ask(
                BrokerHeartbeatRequestData(broker_id=99, broker_epoch=155, current_metadata_offset=offset, **wishes), 1
            )
            return beaten.is_caught_up, beaten.is_fenced, beaten.should_shut_down

        assert await beat(20) == (False, True, False)
        assert await beat(154, want_fence=True) == (True, True, False)
        assert await beat(154) == (True, False, False)
        assert await beat(154, want_shut_down=True) == (True, False, True)


async def test_snapshots(tmp_path: Path) -> None:
    segment, checkpoint = recorded("3.9.1")
    for path in (segment, checkpoint):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    end = RecordedLog.at(checkpoint).checkpoints[0].end
    async with served(tmp_path) as client:
        partition = await fetched(client, 0, last=0)
        snapshot = SnapshotId(end_offset=end.offset, epoch=end.epoch)
        assert partition.snapshot_id.end_offset == snapshot.end_offset
        assert partition.snapshot_id.epoch == snapshot.epoch
        content = b""
        while len(content) < checkpoint.stat().st_size:
            part = PartitionSnapshot(current_leader_epoch=1, snapshot_id=snapshot, position=len(content))
            topic = TopicSnapshot(name="__cluster_metadata", partitions=[part])
            request = FetchSnapshotRequestData(cluster_id=CLUSTER, max_bytes=1000, topics=[topic])
            content += (await client.ask(request, 1)).topics[0].partitions[0].unaligned_records
        assert content == checkpoint.read_bytes()
        assert (await fetched(client, end.offset)).error_code == 0
