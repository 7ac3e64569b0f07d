"""AlterPartition: a leader asks for another ISR.

Source: ReplicationControlManager.alterPartition and validateAlterPartitionData (Kafka 3.9; the checks and their order
are the same since 3.4).
"""

from __future__ import annotations

from typing import Final

from pykraft.controller.errors import broker_with_epoch
from pykraft.controller.partition_change import PartitionChangeBuilder
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import NO_LEADER_CHANGE, LeaderRecoveryState, PartitionRegistration, TopicImage
from pykraft.image.partition_merge import merge_partition
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import alter_partition_response as answers
from pykraft.protocol.messages.alter_partition_request import (
    AlterPartitionRequestData,
    BrokerState,
    PartitionData,
    TopicData,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord

TOPIC_IDS_SINCE_VERSION: Final = 2
BROKER_EPOCHS_SINCE_VERSION: Final = 3
UNKNOWN_BROKER_EPOCH: Final = -1
"""The broker epoch of an ISR member whose epoch the leader does not know: it is not checked."""


def alter_partition(
    ctx: OperationContext, request: AlterPartitionRequestData, api_version: int
) -> ControllerResult[answers.AlterPartitionResponseData]:
    """Change ISRs as their leader asks, partition by partition; complete a reassignment that this allows.

    Raises ApiError STALE_BROKER_EPOCH.
    """
    broker_with_epoch(ctx.image, request.broker_id, request.broker_epoch)
    builder = PartitionChangeBuilder(ctx)
    records: list[ApiMessageAndVersion] = []
    response = answers.AlterPartitionResponseData()
    for topic_data in request.topics:
        topic = _topic(ctx.image, topic_data, api_version)
        answer = answers.TopicData(topic_name=topic_data.topic_name, topic_id=topic_data.topic_id)
        response.topics.append(answer)
        for data in topic_data.partitions:
            if topic is None:
                by_id = api_version >= TOPIC_IDS_SINCE_VERSION
                code = ErrorCode.UNKNOWN_TOPIC_ID if by_id else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                answer.partitions.append(_refused(data, code))
                continue
            partition = topic.partitions.get(data.partition_index)
            isr = _new_isr(data, api_version)
            code = _check(ctx.image, request.broker_id, partition, data, isr, api_version)
            if partition is None or code is not ErrorCode.NONE:
                answer.partitions.append(_refused(data, code))
                continue
            answer.partitions.append(_alter(builder, topic, partition, data, isr, api_version, records))
    return ControllerResult(response, records)


def _topic(image: MetadataImage, data: TopicData, api_version: int) -> TopicImage | None:
    if api_version >= TOPIC_IDS_SINCE_VERSION:
        return image.topics_by_id.get(data.topic_id)
    return image.topics_by_name.get(data.topic_name)


def _new_isr(data: PartitionData, api_version: int) -> list[BrokerState]:
    if api_version >= BROKER_EPOCHS_SINCE_VERSION:
        return data.new_isr_with_epochs
    return [BrokerState(broker_id, UNKNOWN_BROKER_EPOCH) for broker_id in data.new_isr]


def _refused(data: PartitionData, code: ErrorCode) -> answers.PartitionData:
    return answers.PartitionData(partition_index=data.partition_index, error_code=code.value)


def _check(
    image: MetadataImage,
    broker_id: int,
    partition: PartitionRegistration | None,
    data: PartitionData,
    isr: list[BrokerState],
    api_version: int,
) -> ErrorCode:
    """The first check that the change fails, NONE when it passes all."""
    code = ErrorCode.NONE
    if partition is None:
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    elif data.leader_epoch > partition.leader_epoch or data.partition_epoch > partition.partition_epoch:
        # The leader knows more than this controller, which then is no longer the active one.
        code = ErrorCode.NOT_CONTROLLER
    elif data.leader_epoch < partition.leader_epoch:
        code = ErrorCode.FENCED_LEADER_EPOCH
    elif broker_id != partition.leader:
        code = ErrorCode.INVALID_REQUEST
    elif data.partition_epoch < partition.partition_epoch:
        code = ErrorCode.INVALID_UPDATE_VERSION
    elif not _is_possible(partition, data, isr):
        code = ErrorCode.INVALID_REQUEST
    elif not all(_is_eligible(image, member) for member in isr):
        by_id = api_version >= TOPIC_IDS_SINCE_VERSION
        code = ErrorCode.INELIGIBLE_REPLICA if by_id else ErrorCode.OPERATION_NOT_ATTEMPTED
    return code


def _is_possible(partition: PartitionRegistration, data: PartitionData, isr: list[BrokerState]) -> bool:
    members = [member.broker_id for member in isr]
    if len(set(members)) != len(members) or not set(members) <= set(partition.replicas):
        return False
    if partition.leader not in members:
        return False
    if data.leader_recovery_state not in LeaderRecoveryState.__members__.values():
        return False
    if data.leader_recovery_state == LeaderRecoveryState.RECOVERED:
        return True
    return len(members) == 1 and partition.leader_recovery_state == LeaderRecoveryState.RECOVERING


def _is_eligible(image: MetadataImage, member: BrokerState) -> bool:
    broker = image.brokers.get(member.broker_id)
    return (
        broker is not None
        and not broker.fenced
        and not broker.in_controlled_shutdown
        and member.broker_epoch in (UNKNOWN_BROKER_EPOCH, broker.epoch)
    )


def _alter(
    builder: PartitionChangeBuilder,
    topic: TopicImage,
    partition: PartitionRegistration,
    data: PartitionData,
    isr: list[BrokerState],
    api_version: int,
    records: list[ApiMessageAndVersion],
) -> answers.PartitionData:
    record = builder.build(
        topic.id,
        data.partition_index,
        partition,
        builder.election(topic.name),
        isr=tuple(member.broker_id for member in isr),
        leader_recovery_state=data.leader_recovery_state,
    )
    after = partition
    if record is not None:
        records.append(record)
        change = record.message
        assert isinstance(change, PartitionChangeRecord)
        after = merge_partition(partition, change)
        if change.leader not in (NO_LEADER_CHANGE, partition.leader):
            # The new ISR completed a reassignment that leaves the sender out.
            by_id = api_version >= TOPIC_IDS_SINCE_VERSION
            return _refused(data, ErrorCode.NEW_LEADER_ELECTED if by_id else ErrorCode.FENCED_LEADER_EPOCH)
    return answers.PartitionData(
        partition_index=data.partition_index,
        leader_id=after.leader,
        leader_epoch=after.leader_epoch,
        isr=list(after.isr),
        leader_recovery_state=after.leader_recovery_state,
        partition_epoch=after.partition_epoch,
    )
