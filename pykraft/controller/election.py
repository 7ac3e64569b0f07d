"""Leader elections: on request, and the controller's own for preferred leaders and unclean topics.

Source: ReplicationControlManager.electLeaders, maybeBalancePartitionLeaders, maybeElectUncleanLeaders (Kafka 3.9).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from pykraft.controller.errors import ApiError, check_record_limit
from pykraft.controller.partition_change import Election, PartitionChangeBuilder, leaderless_partitions
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.model import NO_LEADER
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.elect_leaders_request import ElectLeadersRequestData
from pykraft.protocol.messages.elect_leaders_response import (
    ElectLeadersResponseData,
    PartitionResult,
    ReplicaElectionResult,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion

ELECTIONS_PER_RUN_MAX: Final = 1_000
"""ReplicationControlManager.MAX_ELECTIONS_PER_IMBALANCE: a run that reaches it is repeated at once."""


class ElectionType(IntEnum):
    """The electionType of an ElectLeaders request (ElectionType.java)."""

    PREFERRED = 0
    UNCLEAN = 1


def elect_leaders(
    ctx: OperationContext, request: ElectLeadersRequestData
) -> ControllerResult[ElectLeadersResponseData]:
    """Elect leaders of the named partitions, or of all: then those that need no election are left out of the answer.

    Raises ApiError INVALID_REQUEST for an unknown election type, TooManyRecordsError.
    """
    if request.topic_partitions is not None and not request.topic_partitions:
        return ControllerResult(ElectLeadersResponseData())
    try:
        election_type = ElectionType(request.election_type)
    except ValueError:
        raise ApiError(
            ErrorCode.INVALID_REQUEST,
            f"There is no election type {request.election_type}: use 0 (preferred) or 1 (unclean)",
        ) from None
    builder = PartitionChangeBuilder(ctx)
    records: list[ApiMessageAndVersion] = []
    response = ElectLeadersResponseData()
    named = request.topic_partitions is not None
    for name, partitions in _asked_for(ctx, request):
        result = ReplicaElectionResult(topic=name)
        response.replica_election_results.append(result)
        for number in partitions:
            try:
                records.append(_elect(ctx, builder, name, number, election_type))
            except ApiError as error:
                if named or error.code is not ErrorCode.ELECTION_NOT_NEEDED:
                    result.partition_result.append(PartitionResult(number, error.code.value, error.message))
            else:
                check_record_limit(records)
                result.partition_result.append(PartitionResult(number, 0, None))
    return ControllerResult(response, records)


def _asked_for(ctx: OperationContext, request: ElectLeadersRequestData) -> list[tuple[str, list[int]]]:
    if request.topic_partitions is None:
        return [(topic.name, list(topic.partitions)) for topic in ctx.image.topics_by_name.values()]
    return [(topic.topic, topic.partitions) for topic in request.topic_partitions]


def _elect(
    ctx: OperationContext, builder: PartitionChangeBuilder, name: str, number: int, election_type: ElectionType
) -> ApiMessageAndVersion:
    topic = ctx.image.topics_by_name.get(name)
    partition = None if topic is None else topic.partitions.get(number)
    if topic is None or partition is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"There is no partition {number} of a topic {name}")
    if election_type is ElectionType.PREFERRED:
        if partition.leader == partition.preferred_replica:
            raise ApiError(ErrorCode.ELECTION_NOT_NEEDED, f"{name}-{number} is led by its preferred replica")
        record = builder.build(topic.id, number, partition, Election.PREFERRED)
        if record is None:
            raise ApiError(
                ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
                f"The preferred replica of {name}-{number}, broker {partition.preferred_replica}, cannot lead: it is"
                " fenced, shutting down or not in sync",
            )
        return record
    if partition.leader != NO_LEADER:
        raise ApiError(ErrorCode.ELECTION_NOT_NEEDED, f"{name}-{number} has a leader")
    record = builder.build(topic.id, number, partition, Election.UNCLEAN)
    if record is None:
        raise ApiError(
            ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
            f"No replica of {name}-{number} can lead: start one of its brokers",
        )
    return record


def balance_partition_leaders(ctx: OperationContext) -> ControllerResult[bool]:
    """Give partitions back to their preferred replica where it can lead. True: there may be more, run again at once."""
    builder = PartitionChangeBuilder(ctx)
    records: list[ApiMessageAndVersion] = []
    for topic_id, number in sorted(ctx.image.not_preferred):
        partition = ctx.image.topics_by_id[topic_id].partitions[number]
        record = builder.build(topic_id, number, partition, Election.PREFERRED)
        if record is not None:
            records.append(record)
            if len(records) >= ELECTIONS_PER_RUN_MAX:
                return ControllerResult(True, records)
    return ControllerResult(False, records)


def elect_unclean_leaders(ctx: OperationContext) -> ControllerResult[bool]:
    """Lead leaderless partitions of unclean topics by whoever is there. True: there may be more, run again at once."""
    builder = PartitionChangeBuilder(ctx)
    records: list[ApiMessageAndVersion] = []
    for topic, number, partition in leaderless_partitions(ctx.image):
        if builder.election(topic.name) is Election.UNCLEAN:
            record = builder.build(topic.id, number, partition, Election.UNCLEAN)
            if record is not None:
                records.append(record)
                if len(records) >= ELECTIONS_PER_RUN_MAX:
                    return ControllerResult(True, records)
    return ControllerResult(False, records)
