"""AssignReplicasToDirs."""

from __future__ import annotations

import pytest

from pykraft.controller.assign_replicas import assign_replicas_to_dirs
from pykraft.controller.errors import ApiError
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.model import DIRECTORY_LOST
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.assign_replicas_to_dirs_request import (
    AssignReplicasToDirsRequestData,
    DirectoryData,
    PartitionData,
    TopicData,
)
from tests.controller.cluster import Cluster, directory_of

E = ErrorCode
FIRST, SECOND, GONE = directory_of(1), directory_of(1, 1), directory_of(1, 2)
UNKNOWN_TOPIC = bytes([9]) * 16


def ready(version: MetadataVersion = MetadataVersion.IBP_3_9_IV0) -> Cluster:
    cluster = Cluster(version)
    cluster.register(1, log_dirs=[FIRST, SECOND])
    cluster.heartbeat(1)
    cluster.start(2, 3)
    cluster.create("a", [1, 2], [1, 2], [2, 3])
    return cluster


def assign(cluster: Cluster, placed: dict[bytes, list[int]], topic_id: bytes | None = None) -> list[ErrorCode]:
    ident = topic_id or cluster.image.topics_by_name["a"].id
    directories = [
        DirectoryData(directory, [TopicData(ident, [PartitionData(number) for number in numbers])])
        for directory, numbers in placed.items()
    ]
    request = AssignReplicasToDirsRequestData(1, cluster.image.brokers[1].epoch, directories)
    request = AssignReplicasToDirsRequestData.decode(request.encode(0), 0)
    response = cluster.run(lambda ctx: assign_replicas_to_dirs(ctx, request))
    assert [d.id for d in response.directories] == list(placed)
    return [ErrorCode(p.error_code) for d in response.directories for t in d.topics for p in t.partitions]


def test_directories_are_written_in_full_and_once() -> None:
    cluster = ready()
    assert assign(cluster, {FIRST: [0], SECOND: [1]}) == [E.NONE, E.NONE]
    assert cluster.partition("a", 0).directories == (FIRST, directory_of(2))
    assert cluster.partition("a", 1).directories == (SECOND, directory_of(2))
    assert [record.version for record in cluster.written] == [1, 1]
    assert assign(cluster, {FIRST: [0], SECOND: [1]}) == [E.NONE, E.NONE]
    assert cluster.messages == []


def test_what_is_not_the_broker_s_to_assign() -> None:
    cluster = ready()
    assert assign(cluster, {FIRST: [0, 2, 7]}) == [E.NONE, E.NOT_LEADER_OR_FOLLOWER, E.UNKNOWN_TOPIC_OR_PARTITION]
    assert assign(cluster, {FIRST: [0]}, UNKNOWN_TOPIC) == [E.UNKNOWN_TOPIC_ID]


@pytest.mark.parametrize("directory", [GONE, DIRECTORY_LOST])
def test_replicas_in_an_offline_directory_leave_their_isr(directory: bytes) -> None:
    cluster = ready()
    assert assign(cluster, {directory: [0], FIRST: [1]}) == [E.NONE, E.NONE]
    lost, kept = cluster.partition("a", 0), cluster.partition("a", 1)
    assert (lost.leader, lost.isr, lost.directories) == (2, (2,), (directory, directory_of(2)))
    assert (kept.leader, kept.isr) == (1, (1, 2))


def test_requests_that_are_refused_whole() -> None:
    with pytest.raises(ApiError) as caught:
        assign(ready(MetadataVersion.IBP_3_7_IV1), {FIRST: [0]})
    assert caught.value.code is E.UNSUPPORTED_VERSION
    with pytest.raises(ApiError) as caught:
        assign_replicas_to_dirs(ready().ctx(), AssignReplicasToDirsRequestData(1, 0))
    assert caught.value.code is E.STALE_BROKER_EPOCH
