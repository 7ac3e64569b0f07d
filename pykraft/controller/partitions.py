"""New partitions: their records, and CreatePartitions.

Source: ReplicationControlManager.createPartitions, ControllerApis.createPartitions (Kafka 3.9).
"""

from __future__ import annotations

from collections import Counter
from copy import copy

from pykraft.controller.authorizer import AclOperation, AclResourceType, Authorize, allow_all
from pykraft.controller.errors import ApiError, TooManyRecordsError, check_record_limit
from pykraft.controller.mutation_quotas import UNBOUNDED, MutationQuota
from pykraft.controller.partition_change import active_brokers, default_directory
from pykraft.controller.placement import StripedReplicaPlacer, check_manual_assignment, usable_brokers
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.model import TopicImage
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData, CreatePartitionsTopic
from pykraft.protocol.messages.create_partitions_response import (
    CreatePartitionsResponseData,
    CreatePartitionsTopicResult,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.uuids import Uuid


class NewPartitions:
    """Makes the PartitionRecords of one request; what its partitions have in common is worked out once."""

    def __init__(self, ctx: OperationContext) -> None:
        version = ctx.image.metadata_version
        self._image = ctx.image
        self._active = active_brokers(ctx.image)
        self.brokers = usable_brokers(ctx)
        self._record_version = version.partition_record_version
        self._has_directories = version.is_directory_assignment_supported
        self._models: dict[tuple[int, ...], PartitionRecord] = {}

    def record(
        self, topic_id: Uuid, number: int, replicas: tuple[int, ...], no_active_replica: ErrorCode
    ) -> ApiMessageAndVersion:
        """A partition whose ISR is its active replicas and whose leader is the first of them.

        The records of partitions with the same replicas share their lists. Raises ApiError with the code
        `no_active_replica` when every replica is fenced or shutting down.
        """
        model = self._models.get(replicas)
        if model is None:
            model = self._models[replicas] = self._model(number, replicas, no_active_replica)
        record = copy(model)
        record.partition_id, record.topic_id = number, topic_id
        return ApiMessageAndVersion(record, self._record_version)

    def _model(self, number: int, replicas: tuple[int, ...], no_active_replica: ErrorCode) -> PartitionRecord:
        isr = [replica for replica in replicas if replica in self._active]
        if not isr:
            raise ApiError(
                no_active_replica,
                f"All brokers chosen for partition {number}, {list(replicas)}, are fenced or in controlled shutdown",
            )
        directories = [default_directory(self._image, each) for each in replicas] if self._has_directories else []
        return PartitionRecord(
            replicas=list(replicas),
            isr=isr,
            leader=isr[0],
            leader_epoch=0,
            partition_epoch=0,
            directories=directories,
        )


def create_partitions(
    ctx: OperationContext,
    request: CreatePartitionsRequestData,
    authorize: Authorize = allow_all,
    quota: MutationQuota = UNBOUNDED,
) -> ControllerResult[CreatePartitionsResponseData]:
    """Add partitions to topics; one topic's refusal leaves the others alone. Raises TooManyRecordsError.

    Needs ALTER on each topic. Each partition is drawn from `quota`, with validateOnly too; without it a topic is
    refused with THROTTLING_QUOTA_EXCEEDED.
    """
    new_partitions = NewPartitions(ctx)
    records: list[ApiMessageAndVersion] = []
    results: list[CreatePartitionsTopicResult] = []
    occurrences = Counter(topic.name for topic in request.topics)
    for name, count in occurrences.items():
        if count > 1:
            results.append(
                CreatePartitionsTopicResult(name, ErrorCode.INVALID_REQUEST.value, f"Topic {name} is named twice")
            )
    for topic in request.topics:
        if occurrences[topic.name] > 1:
            continue
        if not authorize(AclOperation.ALTER, AclResourceType.TOPIC, topic.name):
            results.append(CreatePartitionsTopicResult(topic.name, ErrorCode.TOPIC_AUTHORIZATION_FAILED.value, None))
            continue
        try:
            records += _add_partitions(ctx, topic, new_partitions, records, quota)
        except TooManyRecordsError:
            raise
        except ApiError as error:
            results.append(CreatePartitionsTopicResult(topic.name, error.code.value, error.message))
        else:
            results.append(CreatePartitionsTopicResult(topic.name, 0, None))
    response = CreatePartitionsResponseData(results=results)
    return ControllerResult(response, [] if request.validate_only else records, atomic=True)


def _add_partitions(
    ctx: OperationContext,
    request: CreatePartitionsTopic,
    new_partitions: NewPartitions,
    records: list[ApiMessageAndVersion],
    quota: MutationQuota,
) -> list[ApiMessageAndVersion]:
    topic = ctx.image.topics_by_name.get(request.name)
    if topic is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"No topic is named {request.name}")
    existing = len(topic.partitions)
    additional = request.count - existing
    if additional <= 0:
        raise ApiError(
            ErrorCode.INVALID_PARTITIONS,
            f"Topic {topic.name} has {existing} partitions already; {request.count} would be no increase",
        )
    if request.assignments is not None and len(request.assignments) != additional:
        raise ApiError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"Topic {topic.name} would get {additional} more partitions, but {len(request.assignments)} assignments"
            " are given",
        )
    quota.record(additional, ctx.now_ms)
    check_record_limit(records, more=additional)
    no_active_replica = ErrorCode.INVALID_REPLICATION_FACTOR
    if request.assignments is None:
        placements = _placed(ctx, topic, additional)
    else:
        no_active_replica = ErrorCode.INVALID_REPLICA_ASSIGNMENT
        placements = [tuple(assignment.broker_ids) for assignment in request.assignments]
        for placement in placements:
            check_manual_assignment(ctx.image, placement, _replication_factor(topic))
    return [
        new_partitions.record(topic.id, number, replicas, no_active_replica)
        for number, replicas in enumerate(placements, start=existing)
    ]


def _placed(ctx: OperationContext, topic: TopicImage, partitions: int) -> list[tuple[int, ...]]:
    placer = StripedReplicaPlacer(ctx.rng, usable_brokers(ctx))
    return placer.place(partitions, _replication_factor(topic))


def _replication_factor(topic: TopicImage) -> int:
    return len(topic.partitions[min(topic.partitions)].replicas)
