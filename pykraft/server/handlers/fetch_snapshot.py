"""FetchSnapshot (59): v0–1. A piece of a snapshot file.

- SNAPSHOT_NOT_FOUND (98) for one that is not here (and for the bootstrap snapshot 0-0), POSITION_OUT_OF_RANGE (99)
  outside the file, 3 for any other partition; 74, 75 and 6 as a Fetch. The leader is named in every answer.
- A piece has at most the request's MaxBytes and FETCH_BYTES_MAX.
- Errors of the whole request: the code at the top.
- Needs CLUSTER_ACTION on the cluster.
Source: KafkaRaftClient.java (handleFetchSnapshotRequest).
"""

from __future__ import annotations

from pathlib import Path

import trio

from pykraft.log.checkpoint import checkpoint_name
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import fetch_snapshot_request as requests
from pykraft.protocol.messages import fetch_snapshot_response as responses
from pykraft.raft.answers import PARTITION, TOPIC
from pykraft.raft.divergence import BOOTSTRAP_SNAPSHOT
from pykraft.raft.quorum import FETCH_BYTES_MAX
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.FETCH_SNAPSHOT)
async def handle(
    context: RequestContext, request: requests.FetchSnapshotRequestData
) -> responses.FetchSnapshotResponseData:
    if request.cluster_id is not None and request.cluster_id != context.node.cluster_id:
        return responses.FetchSnapshotResponseData(error_code=ErrorCode.INCONSISTENT_CLUSTER_ID)
    asked = [(topic.name, partition) for topic in request.topics for partition in topic.partitions]
    if len(request.topics) != 1 or len(asked) != 1:
        return responses.FetchSnapshotResponseData(error_code=ErrorCode.INVALID_REQUEST)
    name, partition = asked[0]
    answer = responses.PartitionSnapshot(index=partition.partition, unaligned_records=b"")
    if name != TOPIC or partition.partition != PARTITION:
        answer.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    else:
        await _fill(context, partition, min(request.max_bytes, FETCH_BYTES_MAX), answer)
    topics = [responses.TopicSnapshot(name=name, partitions=[answer])]
    return responses.FetchSnapshotResponseData(topics=topics)


async def _fill(
    context: RequestContext, asked: requests.PartitionSnapshot, bytes_max: int, answer: responses.PartitionSnapshot
) -> None:
    node = context.node
    quorum = node.quorum.quorum
    answer.current_leader = responses.LeaderIdAndEpoch(
        leader_id=-1 if quorum.leader_id is None else quorum.leader_id, leader_epoch=quorum.epoch
    )
    answer.error_code = _leader_error(asked.current_leader_epoch, quorum.epoch, quorum.high_watermark is not None)
    if answer.error_code:
        return
    wanted = OffsetAndEpoch(asked.snapshot_id.end_offset, asked.snapshot_id.epoch)
    if wanted not in node.log.snapshots or wanted == BOOTSTRAP_SNAPSHOT:
        answer.error_code = ErrorCode.SNAPSHOT_NOT_FOUND
        return
    path = node.log.directory / checkpoint_name(wanted)
    try:
        size, piece = await trio.to_thread.run_sync(_read, path, asked.position, bytes_max)
    except FileNotFoundError:
        # Retention took it between the look and the read.
        answer.error_code = ErrorCode.SNAPSHOT_NOT_FOUND
        return
    answer.snapshot_id = responses.SnapshotId(end_offset=wanted.offset, epoch=wanted.epoch)
    answer.size, answer.position = size, asked.position
    if not 0 <= asked.position < size:
        answer.error_code = ErrorCode.POSITION_OUT_OF_RANGE
        return
    answer.unaligned_records = piece


def _leader_error(epoch: int, ours: int, leads: bool) -> ErrorCode:
    if epoch != ours:
        return ErrorCode.FENCED_LEADER_EPOCH if epoch < ours else ErrorCode.UNKNOWN_LEADER_EPOCH
    return ErrorCode.NONE if leads else ErrorCode.NOT_LEADER_OR_FOLLOWER


def _read(path: Path, position: int, bytes_max: int) -> tuple[int, bytes]:
    with path.open("rb") as file:
        size = path.stat().st_size
        if not 0 <= position < size:
            return size, b""
        file.seek(position)
        return size, file.read(bytes_max)
