"""AlterPartitionReassignments and ListPartitionReassignments.

Source: ReplicationControlManager.alterPartitionReassignments, PartitionReassignmentReplicas.java and
PartitionReassignmentRevert.java (Kafka 3.9).
"""

from __future__ import annotations

from collections.abc import Iterable

from pykraft.controller.errors import ApiError, check_record_limit
from pykraft.controller.partition_change import Election, PartitionChangeBuilder
from pykraft.controller.placement import check_manual_assignment
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import PartitionRegistration, TopicImage
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.alter_partition_reassignments_request import AlterPartitionReassignmentsRequestData
from pykraft.protocol.messages.alter_partition_reassignments_response import (
    AlterPartitionReassignmentsResponseData,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from pykraft.protocol.messages.list_partition_reassignments_request import ListPartitionReassignmentsRequestData
from pykraft.protocol.messages.list_partition_reassignments_response import (
    ListPartitionReassignmentsResponseData,
    OngoingPartitionReassignment,
    OngoingTopicReassignment,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.uuids import Uuid


def alter_partition_reassignments(
    ctx: OperationContext, request: AlterPartitionReassignmentsRequestData
) -> ControllerResult[AlterPartitionReassignmentsResponseData]:
    """Move partitions to other replicas, or cancel moves (replicas null), partition by partition (v0 to v1).

    A request may forbid changes of the replication factor (v1, KIP-860).
    Raises TooManyRecordsError.
    """
    builder = PartitionChangeBuilder(ctx)
    records: list[ApiMessageAndVersion] = []
    may_resize = request.allow_replication_factor_change
    response = AlterPartitionReassignmentsResponseData(error_message=None, allow_replication_factor_change=may_resize)
    for topic in request.topics:
        answer = ReassignableTopicResponse(name=topic.name)
        response.responses.append(answer)
        for target in topic.partitions:
            number = target.partition_index
            try:
                record = _alter(ctx, builder, topic.name, number, target.replicas, may_resize=may_resize)
            except ApiError as error:
                answer.partitions.append(ReassignablePartitionResponse(number, error.code.value, error.message))
                continue
            answer.partitions.append(ReassignablePartitionResponse(number, 0, None))
            if record is not None:
                records.append(record)
                check_record_limit(records)
    return ControllerResult(response, records, atomic=True)


def _alter(
    ctx: OperationContext,
    builder: PartitionChangeBuilder,
    name: str,
    number: int,
    target: list[int] | None,
    *,
    may_resize: bool,
) -> ApiMessageAndVersion | None:
    topic = ctx.image.topics_by_name.get(name)
    partition = None if topic is None else topic.partitions.get(number)
    if topic is None or partition is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"There is no partition {number} of a topic {name}")
    if target is None:
        return _cancel(builder, topic, number, partition)
    check_manual_assignment(ctx.image, target, None)
    # A move under way counts as done.
    size = len(set(partition.replicas) - set(partition.removing_replicas))
    if not may_resize and len(target) != size:
        raise ApiError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"{name}-{number} would have {len(target)} replicas instead of {size}, which the request forbids",
        )
    removing = tuple(sorted(set(partition.replicas) - set(target)))
    adding = tuple(sorted(set(target) - set(partition.replicas)))
    # As in Kafka what an unfinished reassignment adds and removes stays where the new one has nothing to put there.
    return builder.build(
        topic.id,
        number,
        partition,
        Election.ONLINE,
        replicas=(*target, *removing),
        removing=removing or None,
        adding=adding or None,
    )


def _cancel(
    builder: PartitionChangeBuilder, topic: TopicImage, number: int, partition: PartitionRegistration
) -> ApiMessageAndVersion | None:
    """Go back to the replicas of before, or to one of them out of sync where none is left in the ISR."""
    if not partition.is_reassigning:
        raise ApiError(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, f"{topic.name}-{number} is not being reassigned")
    replicas = tuple(replica for replica in partition.replicas if replica not in partition.adding_replicas)
    isr = tuple(replica for replica in partition.isr if replica not in partition.adding_replicas)
    if not replicas:
        raise ApiError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"All replicas of {topic.name}-{number} are being added: none is left"
        )
    election = builder.election(topic.name)
    if not isr:
        if election is not Election.UNCLEAN:
            raise ApiError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"The reassignment of {topic.name}-{number} cannot be cancelled: no replica of before is in sync, and"
                " unclean.leader.election.enable is false",
            )
        isr = replicas[:1]
    return builder.build(topic.id, number, partition, election, isr=isr, replicas=replicas, removing=(), adding=())


def list_partition_reassignments(
    image: MetadataImage, request: ListPartitionReassignmentsRequestData
) -> ListPartitionReassignmentsResponseData:
    """The reassignments under way, of the named partitions or of all; names that do not exist are left out."""
    response = ListPartitionReassignmentsResponseData(error_message=None)
    asked: Iterable[tuple[TopicImage | None, Iterable[int]]]
    if request.topics is None:
        numbers: dict[Uuid, list[int]] = {}
        for topic_id, number in sorted(image.reassigning):
            numbers.setdefault(topic_id, []).append(number)
        asked = [(image.topics_by_id[topic_id], listed) for topic_id, listed in numbers.items()]
    else:
        asked = [(image.topics_by_name.get(topic.name), topic.partition_indexes) for topic in request.topics]
    for topic_image, listed in asked:
        if topic_image is None:
            continue
        ongoing = [
            OngoingPartitionReassignment(
                partition_index=number,
                replicas=list(partition.replicas),
                adding_replicas=list(partition.adding_replicas),
                removing_replicas=list(partition.removing_replicas),
            )
            for number in listed
            if (partition := topic_image.partitions.get(number)) is not None and partition.is_reassigning
        ]
        if ongoing:
            response.topics.append(OngoingTopicReassignment(name=topic_image.name, partitions=ongoing))
    return response
