"""AssignReplicasToDirs: a broker tells in which log directories its replicas are (KIP-858).

Source: ReplicationControlManager.handleAssignReplicasToDirs (Kafka 3.9).
"""

from __future__ import annotations

from pykraft.controller.errors import ApiError, broker_with_epoch
from pykraft.controller.partition_change import Election, PartitionChangeBuilder, leader_and_isr_updates
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import PartitionRegistration, TopicImage
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import assign_replicas_to_dirs_response as answers
from pykraft.protocol.messages.assign_replicas_to_dirs_request import AssignReplicasToDirsRequestData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.uuids import Uuid


def assign_replicas_to_dirs(
    ctx: OperationContext, request: AssignReplicasToDirsRequestData
) -> ControllerResult[answers.AssignReplicasToDirsResponseData]:
    """Write down directories; replicas in one that the broker is not registered with leave their ISRs.

    Kafka 4.1 also forgets the partition's eligible leader replicas here, though a directory has nothing to do with
    them: whoever had all that was committed is not waited for any more. They are kept.

    Raises ApiError UNSUPPORTED_VERSION, STALE_BROKER_EPOCH.
    """
    image = ctx.image
    if not image.metadata_version.is_directory_assignment_supported:
        raise ApiError(
            ErrorCode.UNSUPPORTED_VERSION,
            f"Directories are assigned from metadata.version 3.7-IV2 on, the cluster has {image.metadata_version.text}",
        )
    broker = broker_with_epoch(image, request.broker_id, request.broker_epoch)
    builder = PartitionChangeBuilder(ctx)
    records: list[ApiMessageAndVersion] = []
    offline: dict[tuple[Uuid, int], tuple[TopicImage, int, PartitionRegistration]] = {}
    response = answers.AssignReplicasToDirsResponseData()
    for directory in request.directories:
        answer = answers.DirectoryData(id=directory.id)
        response.directories.append(answer)
        is_online = broker.has_online_directory(directory.id)
        for topic_data in directory.topics:
            topic_answer = answers.TopicData(topic_id=topic_data.topic_id)
            answer.topics.append(topic_answer)
            for data in topic_data.partitions:
                number = data.partition_index
                found = _replica(image, broker.id, topic_data.topic_id, number)
                if isinstance(found, ErrorCode):
                    topic_answer.partitions.append(answers.PartitionData(number, found.value))
                    continue
                topic, partition = found
                assigned = {broker.id: directory.id}
                record = builder.build(topic.id, number, partition, Election.ONLINE, directories=assigned)
                if record is not None:
                    records.append(record)
                if not is_online:
                    offline[topic.id, number] = topic, number, partition
                topic_answer.partitions.append(answers.PartitionData(number, 0))
    records += leader_and_isr_updates(ctx, offline.values(), remove=broker.id)
    return ControllerResult(response, records)


def _replica(
    image: MetadataImage, broker_id: int, topic_id: Uuid, number: int
) -> tuple[TopicImage, PartitionRegistration] | ErrorCode:
    topic = image.topics_by_id.get(topic_id)
    if topic is None:
        return ErrorCode.UNKNOWN_TOPIC_ID
    partition = topic.partitions.get(number)
    if partition is None:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if broker_id not in partition.replicas:
        return ErrorCode.NOT_LEADER_OR_FOLLOWER
    return topic, partition
