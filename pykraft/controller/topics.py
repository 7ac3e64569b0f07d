"""CreateTopics and DeleteTopics.

Source: ReplicationControlManager.createTopics and deleteTopics, ControllerApis.createTopics and deleteTopics
(Kafka 3.9).
"""

from __future__ import annotations

from collections import Counter
from functools import cache, partial
from typing import Final

from pykraft.controller.authorizer import CLUSTER_NAME, AclOperation, AclResourceType, Authorize, allow_all
from pykraft.controller.configs import create_topic_configs
from pykraft.controller.effective_configs import describe_topic_configs
from pykraft.controller.errors import ApiError, TooManyRecordsError, check_record_limit
from pykraft.controller.mutation_quotas import UNBOUNDED, MutationQuota
from pykraft.controller.partitions import NewPartitions
from pykraft.controller.placement import StripedReplicaPlacer, check_manual_assignment
from pykraft.controller.releases import is_since
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.controller.topic_names import topic_name_problem
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import TopicImage
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.create_topics_response import CreatableTopicResult, CreateTopicsResponseData
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData
from pykraft.protocol.messages.delete_topics_response import DeletableTopicResult, DeleteTopicsResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.uuids import ZERO_UUID, Uuid, random_uuid

CLUSTER_METADATA_TOPIC: Final = "__cluster_metadata"
_OWN_TOPIC_TOLD_SINCE: Final = "3.9"
"""The first release that refuses to create that topic for what it is; to those before, nobody is authorized to."""
USE_DEFAULT: Final = -1
"""In CreateTopics: as many partitions or replicas as the controller's configuration says."""

CONFIGS_SINCE_VERSION: Final = 5
"""The first CreateTopics version whose response describes the topic."""


class _TopicNames:
    """The names in use, and as metrics know them: with `.` and `_` the same."""

    def __init__(self, image: MetadataImage) -> None:
        self._image = image
        self._unified: dict[str, str] | None = None

    def check(self, name: str) -> None:
        """Raises ApiError TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION."""
        if name in self._image.topics_by_name:
            raise ApiError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic {name} exists already")
        problem = topic_name_problem(name)
        if problem is not None:
            raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
        if "." not in name and "_" not in name:
            return
        if self._unified is None:
            self._unified = {
                other.replace(".", "_"): other for other in self._image.topics_by_name if "." in other or "_" in other
            }
        other = self._unified.get(name.replace(".", "_"))
        if other is not None:
            raise ApiError(
                ErrorCode.INVALID_TOPIC_EXCEPTION,
                f"Topic {name} would collide with topic {other} in metric names, where '.' and '_' are the same",
            )


def create_topics(
    ctx: OperationContext,
    request: CreateTopicsRequestData,
    api_version: int,
    authorize: Authorize = allow_all,
    quota: MutationQuota = UNBOUNDED,
) -> ControllerResult[CreateTopicsResponseData]:
    """Create topics; one topic's refusal leaves the others alone. Raises TooManyRecordsError.

    Each partition is drawn from `quota`, with validateOnly too; without it a topic is refused with
    THROTTLING_QUOTA_EXCEEDED.

    Needs CREATE on the cluster or the topic; the answer tells a topic's configs and counts to those who may
    DESCRIBE_CONFIGS it. With validateOnly everything is checked and answered, and nothing written.
    """
    may_create_all = authorize(AclOperation.CREATE, AclResourceType.CLUSTER, CLUSTER_NAME)
    names = _TopicNames(ctx.image)
    new_partitions = NewPartitions(ctx)
    default_configs = cache(partial(describe_topic_configs, ctx.image, ctx.config, {}))
    records: list[ApiMessageAndVersion] = []
    results: list[CreatableTopicResult] = []
    refused: list[CreatableTopicResult] = []
    tells_own_topic = is_since(ctx.config.release, _OWN_TOPIC_TOLD_SINCE)
    own_topic_refusal = ErrorCode.INVALID_REQUEST if tells_own_topic else ErrorCode.TOPIC_AUTHORIZATION_FAILED
    occurrences = Counter(topic.name for topic in request.topics)
    for name, count in occurrences.items():
        if count > 1:
            refused.append(_refused(name, ErrorCode.INVALID_REQUEST, f"Topic {name} is named twice"))
    for topic in request.topics:
        if occurrences[topic.name] > 1:
            continue
        if topic.name == CLUSTER_METADATA_TOPIC:
            message = f"{topic.name} is the controllers' own topic and cannot be created"
            refused.append(_refused(topic.name, own_topic_refusal, message))
            continue
        if not may_create_all and not authorize(AclOperation.CREATE, AclResourceType.TOPIC, topic.name):
            refused.append(_refused(topic.name, ErrorCode.TOPIC_AUTHORIZATION_FAILED, "Authorization failed."))
            continue
        try:
            names.check(topic.name)
            created, result = _create_topic(ctx, topic, new_partitions, len(records), quota)
        except TooManyRecordsError:
            raise
        except ApiError as error:
            results.append(_refused(topic.name, error.code, error.message))
            continue
        if not authorize(AclOperation.DESCRIBE_CONFIGS, AclResourceType.TOPIC, topic.name):
            result.topic_config_error_code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
            result.num_partitions = result.replication_factor = -1
        elif api_version >= CONFIGS_SINCE_VERSION:
            configs = {config.name: config.value for config in topic.configs if config.value is not None}
            result.configs = describe_topic_configs(ctx.image, ctx.config, configs) if configs else default_configs()
        records += created
        results.append(result)
    response = CreateTopicsResponseData(topics=results + refused)
    return ControllerResult(response, [] if request.validate_only else records, atomic=True)


def _refused(name: str, code: ErrorCode, message: str) -> CreatableTopicResult:
    return CreatableTopicResult(name=name, error_code=code.value, error_message=message)


def _create_topic(
    ctx: OperationContext,
    topic: CreatableTopic,
    new_partitions: NewPartitions,
    record_count: int,
    quota: MutationQuota,
) -> tuple[list[ApiMessageAndVersion], CreatableTopicResult]:
    configs: dict[str, str] = {}
    for config in topic.configs:
        if config.value is None:
            raise ApiError(ErrorCode.INVALID_CONFIG, f"Topic {topic.name} cannot have null as {config.name}")
        configs[config.name] = config.value
    config_records = create_topic_configs(ctx, topic.name, configs)
    if topic.assignments:
        placements = _manual_placements(ctx, topic)
        no_active_replica = ErrorCode.INVALID_REPLICA_ASSIGNMENT
    else:
        partitions, replication_factor = _counts(ctx, topic)
        check_record_limit(range(record_count + 1 + len(config_records)), more=partitions)
        placements = StripedReplicaPlacer(ctx.rng, new_partitions.brokers).place(partitions, replication_factor)
        no_active_replica = ErrorCode.INVALID_REPLICATION_FACTOR
    topic_id = random_uuid(ctx.rng)
    records = [ApiMessageAndVersion(TopicRecord(name=topic.name, topic_id=topic_id), 0), *config_records]
    for number, replicas in enumerate(placements):
        records.append(new_partitions.record(topic_id, number, replicas, no_active_replica))
    quota.record(len(placements), ctx.now_ms)
    check_record_limit(range(record_count), more=len(records))
    result = CreatableTopicResult(
        name=topic.name,
        topic_id=topic_id,
        error_message=None,
        num_partitions=len(placements),
        replication_factor=len(placements[0]),
    )
    return records, result


def _counts(ctx: OperationContext, topic: CreatableTopic) -> tuple[int, int]:
    """How many partitions and replicas to make. Raises ApiError INVALID_REPLICATION_FACTOR, INVALID_PARTITIONS."""
    for what, count, code in (
        ("replication factor", topic.replication_factor, ErrorCode.INVALID_REPLICATION_FACTOR),
        ("number of partitions", topic.num_partitions, ErrorCode.INVALID_PARTITIONS),
    ):
        if count != USE_DEFAULT and count <= 0:
            raise ApiError(
                code, f"The {what} of topic {topic.name} is {count}: it must be positive, or -1 to use the default"
            )
    partitions, replication_factor = topic.num_partitions, topic.replication_factor
    return (
        ctx.config.num_partitions if partitions == USE_DEFAULT else partitions,
        ctx.config.default_replication_factor if replication_factor == USE_DEFAULT else replication_factor,
    )


def _manual_placements(ctx: OperationContext, topic: CreatableTopic) -> list[tuple[int, ...]]:
    """The replicas by partition. Raises ApiError INVALID_REQUEST, INVALID_REPLICA_ASSIGNMENT."""
    for what, count in (("replicationFactor", topic.replication_factor), ("numPartitions", topic.num_partitions)):
        if count != USE_DEFAULT:
            raise ApiError(
                ErrorCode.INVALID_REQUEST,
                f"Topic {topic.name} has a manual partition assignment: {what} must be -1, it is {count}",
            )
    placements: dict[int, tuple[int, ...]] = {}
    replication_factor = None
    for assignment in topic.assignments:
        if assignment.partition_index in placements:
            raise ApiError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"Partition {assignment.partition_index} of topic {topic.name} is assigned twice",
            )
        check_manual_assignment(ctx.image, assignment.broker_ids, replication_factor)
        replication_factor = len(assignment.broker_ids)
        placements[assignment.partition_index] = tuple(assignment.broker_ids)
    if sorted(placements) != list(range(len(placements))):
        raise ApiError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"The assigned partitions of topic {topic.name} must be numbered from 0 without gaps",
        )
    return [placements[number] for number in range(len(placements))]


def delete_topics(
    ctx: OperationContext,
    request: DeleteTopicsRequestData,
    api_version: int,
    authorize: Authorize = allow_all,
    quota: MutationQuota = UNBOUNDED,
) -> ControllerResult[DeleteTopicsResponseData]:
    """Delete topics given by name or, from version 6, by id; their configs go with them at replay.

    Needs DELETE on the cluster or the topic. Those who may not even DESCRIBE a topic learn neither whether one of
    that name exists nor the name that belongs to an id. The answers come in no particular order, as Kafka's do.
    Each partition is drawn from `quota`; without it a topic is refused with THROTTLING_QUOTA_EXCEEDED.
    Raises ApiError INVALID_REQUEST (before version 3) or TOPIC_DELETION_DISABLED under delete.topic.enable=false;
    TooManyRecordsError.
    """
    if not ctx.config.delete_topic_enable:
        code = ErrorCode.INVALID_REQUEST if api_version < 3 else ErrorCode.TOPIC_DELETION_DISABLED
        raise ApiError(code, "Topics cannot be deleted: the controller has delete.topic.enable=false")
    responses: list[DeletableTopicResult] = []
    names = Counter(request.topic_names)
    ids: Counter[Uuid] = Counter()
    for state in request.topics:
        if state.name is None:
            if state.topic_id == ZERO_UUID:
                responses.append(_not_deleted(None, ZERO_UUID, "Neither a topic name nor an id is given"))
            else:
                ids[state.topic_id] += 1
        elif state.topic_id != ZERO_UUID:
            responses.append(_not_deleted(state.name, state.topic_id, "Both a topic name and an id are given"))
        else:
            names[state.name] += 1
    responses += [_not_deleted(name, ZERO_UUID, "The name is given twice") for name, n in names.items() if n > 1]
    responses += [_not_deleted(None, topic_id, "The id is given twice") for topic_id, n in ids.items() if n > 1]

    found, missing = _topics_to_delete(ctx.image, names, ids, authorize)
    responses += missing
    check_record_limit(found)
    records: list[ApiMessageAndVersion] = []
    for topic in found:
        try:
            quota.record(len(topic.partitions), ctx.now_ms)
        except ApiError as error:
            responses.append(_not_deleted(topic.name, topic.id, error.message, error.code))
            continue
        responses.append(DeletableTopicResult(name=topic.name, topic_id=topic.id, error_message=None))
        records.append(ApiMessageAndVersion(RemoveTopicRecord(topic_id=topic.id), 0))
    ctx.rng.shuffle(responses)
    return ControllerResult(DeleteTopicsResponseData(responses=responses), records, atomic=True)


def _not_deleted(
    name: str | None, topic_id: Uuid, message: str, code: ErrorCode = ErrorCode.INVALID_REQUEST
) -> DeletableTopicResult:
    return DeletableTopicResult(name=name, topic_id=topic_id, error_code=code.value, error_message=message)


def _not_allowed(name: str | None, topic_id: Uuid) -> DeletableTopicResult:
    return _not_deleted(name, topic_id, "Authorization failed.", ErrorCode.TOPIC_AUTHORIZATION_FAILED)


def _topics_to_delete(
    image: MetadataImage, names: Counter[str], ids: Counter[Uuid], authorize: Authorize
) -> tuple[list[TopicImage], list[DeletableTopicResult]]:
    """The topics that were given once, and the answers for those that do not exist, may not be deleted by the
    requester, or were given in both ways."""
    may_delete_all = authorize(AclOperation.DELETE, AclResourceType.CLUSTER, CLUSTER_NAME)

    def may(operation: AclOperation, name: str) -> bool:
        return may_delete_all or authorize(operation, AclResourceType.TOPIC, name)

    found: dict[Uuid, TopicImage] = {}
    refused: list[DeletableTopicResult] = []
    for topic_id, count in ids.items():
        topic = image.topics_by_id.get(topic_id)
        if count > 1:
            continue
        if topic is None:
            refused.append(_not_deleted(None, topic_id, "No topic has this id", ErrorCode.UNKNOWN_TOPIC_ID))
        elif may(AclOperation.DELETE, topic.name):
            found[topic_id] = topic
        else:
            refused.append(_not_allowed(topic.name if may(AclOperation.DESCRIBE, topic.name) else None, topic_id))
    for name, count in names.items():
        topic = image.topics_by_name.get(name)
        if count > 1:
            continue
        if not may(AclOperation.DESCRIBE, name):
            refused.append(_not_allowed(name, ZERO_UUID))
        elif topic is None:
            message = f"No topic is named {name}"
            refused.append(_not_deleted(name, ZERO_UUID, message, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
        elif not may(AclOperation.DELETE, name):
            refused.append(_not_allowed(name, ZERO_UUID))
        elif topic.id in ids:
            found.pop(topic.id, None)
            refused.append(_not_deleted(name, topic.id, "The topic is given by name and by id"))
        else:
            found[topic.id] = topic
    return list(found.values()), refused
