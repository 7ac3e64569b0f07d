"""The responses of the quorum's RPCs, and the checks every request of theirs has to pass.

Source: raft/src/main/java/org/apache/kafka/raft/RaftUtil.java, `KafkaRaftClient.java` (Kafka 3.9).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias, TypeVar

import msgspec

from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import (
    begin_quorum_epoch_response,
    describe_quorum_response,
    end_quorum_epoch_response,
    fetch_response,
    vote_response,
)
from pykraft.protocol.messages.describe_quorum_request import DescribeQuorumRequestData
from pykraft.protocol.messages.fetch_request import FetchRequestData
from pykraft.protocol.uuids import METADATA_TOPIC_ID
from pykraft.raft.divergence import Diverging, SnapshotNeeded, Verdict
from pykraft.raft.leadership import Leadership, ReplicaProgress

TOPIC: Final = "__cluster_metadata"
PARTITION: Final = 0

T = TypeVar("T")

Endpoint: TypeAlias = tuple[str, int]
"""Host and port."""


class Leader(msgspec.Struct, frozen=True):
    """Who leads which epoch, as answers name it; `id` -1 for nobody known.

    `endpoint` is where the asker reaches the leader, None when that is unknown or the answer has no room for
    it (Fetch before version 17, the others before 1).
    """

    id: int
    epoch: int
    endpoint: Endpoint | None = None


def _endpoints(leader: Leader, node_endpoint: Callable[..., T]) -> list[T]:
    """The answer's list of endpoints, in the answer's own type: the leader's or nothing."""
    if leader.endpoint is None:
        return []
    host, port = leader.endpoint
    return [node_endpoint(node_id=leader.id, host=host, port=port)]


class _Partition(Protocol):
    @property
    def partition_index(self) -> int: ...


class _Topic(Protocol):
    @property
    def topic_name(self) -> str: ...

    @property
    def partitions(self) -> Sequence[_Partition]: ...


def names_metadata_partition(topics: Sequence[_Topic]) -> bool:
    """Whether a request is for the metadata partition and nothing else."""
    return (
        len(topics) == 1
        and topics[0].topic_name == TOPIC
        and [partition.partition_index for partition in topics[0].partitions] == [PARTITION]
    )


def fetches_metadata_partition(request: FetchRequestData) -> bool:
    """The same for a Fetch, which goes by the topic id, whatever its version."""
    topics = request.topics
    return (
        len(topics) == 1
        and topics[0].topic_id == METADATA_TOPIC_ID
        and [partition.partition for partition in topics[0].partitions] == [PARTITION]
    )


def fetch(
    leader: Leader,
    error: ErrorCode,
    *,
    log_start_offset: int,
    high_watermark: int | None = None,
    verdict: Verdict | None = None,
) -> fetch_response.FetchResponseData:
    """A Fetch answer without records; the leader is named whatever the error."""
    partition = fetch_response.PartitionData(
        partition_index=PARTITION,
        error_code=error,
        high_watermark=-1 if high_watermark is None else high_watermark,
        log_start_offset=log_start_offset,
        current_leader=fetch_response.LeaderIdAndEpoch(leader_id=leader.id, leader_epoch=leader.epoch),
        records=b"",
    )
    match verdict:
        case Diverging(offset, epoch):
            partition.diverging_epoch = fetch_response.EpochEndOffset(epoch=epoch, end_offset=offset)
        case SnapshotNeeded(offset, epoch):
            partition.snapshot_id = fetch_response.SnapshotId(end_offset=offset, epoch=epoch)
    topic = fetch_response.FetchableTopicResponse(topic=TOPIC, topic_id=METADATA_TOPIC_ID, partitions=[partition])
    return fetch_response.FetchResponseData(
        responses=[topic], node_endpoints=_endpoints(leader, fetch_response.NodeEndpoint)
    )


def vote(leader: Leader, error: ErrorCode, *, granted: bool = False) -> vote_response.VoteResponseData:
    m = vote_response
    partition = m.PartitionData(
        partition_index=PARTITION,
        error_code=error,
        leader_id=leader.id,
        leader_epoch=leader.epoch,
        vote_granted=granted,
    )
    topic = m.TopicData(topic_name=TOPIC, partitions=[partition])
    return m.VoteResponseData(topics=[topic], node_endpoints=_endpoints(leader, m.NodeEndpoint))


def begin_quorum_epoch(leader: Leader, error: ErrorCode) -> begin_quorum_epoch_response.BeginQuorumEpochResponseData:
    m = begin_quorum_epoch_response
    partition = m.PartitionData(
        partition_index=PARTITION, error_code=error, leader_id=leader.id, leader_epoch=leader.epoch
    )
    topic = m.TopicData(topic_name=TOPIC, partitions=[partition])
    return m.BeginQuorumEpochResponseData(topics=[topic], node_endpoints=_endpoints(leader, m.NodeEndpoint))


def end_quorum_epoch(leader: Leader, error: ErrorCode) -> end_quorum_epoch_response.EndQuorumEpochResponseData:
    m = end_quorum_epoch_response
    partition = m.PartitionData(
        partition_index=PARTITION, error_code=error, leader_id=leader.id, leader_epoch=leader.epoch
    )
    topic = m.TopicData(topic_name=TOPIC, partitions=[partition])
    return m.EndQuorumEpochResponseData(topics=[topic], node_endpoints=_endpoints(leader, m.NodeEndpoint))


def describe_quorum_error(
    request: DescribeQuorumRequestData, error: ErrorCode, message: str
) -> describe_quorum_response.DescribeQuorumResponseData:
    """The error for every partition that was asked for."""
    m = describe_quorum_response
    return m.DescribeQuorumResponseData(
        topics=[
            m.TopicData(
                topic_name=topic.topic_name,
                partitions=[
                    m.PartitionData(partition_index=partition.partition_index, error_code=error, error_message=message)
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def describe_quorum(
    leadership: Leadership, leader_id: int, endpoints: dict[str, Endpoint], version: int, now_ms: int
) -> describe_quorum_response.DescribeQuorumResponseData:
    """The leader's view of the replicas; of itself it always says that it is caught up now."""
    m = describe_quorum_response

    def state(replica: ReplicaProgress) -> describe_quorum_response.ReplicaState:
        is_leader = replica.key.id == leader_id
        found = m.ReplicaState(
            replica_id=replica.key.id,
            log_end_offset=replica.end_offset,
            last_fetch_timestamp=now_ms if is_leader else replica.last_fetch_ms,
            last_caught_up_timestamp=now_ms if is_leader else replica.last_caught_up_ms,
        )
        if version >= 2:
            found.replica_directory_id = replica.key.directory_id
        return found

    high_watermark = leadership.high_watermark
    partition = m.PartitionData(
        partition_index=PARTITION,
        leader_id=leader_id,
        leader_epoch=leadership.epoch,
        high_watermark=-1 if high_watermark is None else high_watermark,
        current_voters=[state(voter) for voter in leadership.voters],
        observers=[state(observer) for observer in leadership.observers(now_ms)],
    )
    response = m.DescribeQuorumResponseData(topics=[m.TopicData(topic_name=TOPIC, partitions=[partition])])
    if version >= 2:
        listeners = [m.Listener(name=name, host=host, port=port) for name, (host, port) in endpoints.items()]
        response.nodes = [m.Node(node_id=leader_id, listeners=listeners)]
    return response
