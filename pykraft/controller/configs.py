"""IncrementalAlterConfigs and AlterConfigs, and the configs of topics that are being created.

Sources: metadata/.../controller/ConfigurationControlManager.java and QuorumController.java
(ConfigResourceExistenceChecker), core/.../ControllerApis.scala, ControllerConfigurationValidator.scala,
core/src/main/java/kafka/server/logger/RuntimeLoggerManager.java.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple, Protocol, TypeVar

from pykraft.controller.authorizer import CLUSTER_NAME, AclOperation, AclResourceType, Authorize, allow_all
from pykraft.controller.broker_config_definitions import BROKER_CONFIGS
from pykraft.controller.client_metrics_configs import check_client_metrics_configs
from pykraft.controller.config import ControllerConfig
from pykraft.controller.config_values import ConfigType, ConfigValueError, parse_integer, split_like_java
from pykraft.controller.effective_configs import (
    broker_configs,
    remote_storage_system_enabled,
    static_configs,
    topic_defaults,
)
from pykraft.controller.elr import check_min_insync_replicas, clear_elr_records
from pykraft.controller.errors import ApiError, check_record_limit
from pykraft.controller.group_configs import check_group_configs
from pykraft.controller.releases import is_4, is_since
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.controller.topic_config_definitions import TopicConfigDefinition, check_topic_configs, topic_configs
from pykraft.controller.topic_names import topic_name_problem
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ConfigResource, ResourceType
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import alter_configs_response as legacy
from pykraft.protocol.messages.alter_configs_request import AlterConfigsRequestData
from pykraft.protocol.messages.incremental_alter_configs_request import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequestData,
)
from pykraft.protocol.messages.incremental_alter_configs_response import (
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsResponseData,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.config_record import ConfigRecord


class OpType(IntEnum):
    """What IncrementalAlterConfigs does to a config (AlterConfigOp.OpType)."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


class _Resource(Protocol):
    @property
    def resource_type(self) -> int: ...
    @property
    def resource_name(self) -> str: ...


class _Answer(NamedTuple):
    resource: ConfigResource
    code: ErrorCode = ErrorCode.NONE
    message: str | None = None


_ResourceT = TypeVar("_ResourceT", bound=_Resource)
_ALTERABLE_TYPES: Final = frozenset({ResourceType.TOPIC, ResourceType.BROKER, ResourceType.CLIENT_METRICS})
_KNOWN_TYPES: Final = _ALTERABLE_TYPES | {ResourceType.BROKER_LOGGER}
"""Those of Kafka 3.9; GROUP came with 4.0 and may be altered there."""
_CLIENT_METRICS_SINCE: Final = "3.7"
_OWN_LOGGERS_SINCE: Final = "3.7"
"""The first release whose controller alters its own loggers; to those before, they are no resource it could alter."""


def incremental_alter_configs(
    ctx: OperationContext, request: IncrementalAlterConfigsRequestData, authorize: Authorize = allow_all
) -> ControllerResult[IncrementalAlterConfigsResponseData]:
    """Set, delete, append to and subtract from configs (v0 to v1).

    Needs ALTER_CONFIGS on the topic or group or, for other resources, on the cluster; for log levels CLUSTER_ACTION.
    A resource with one bad change keeps all its configs. Raises ApiError POLICY_VIOLATION for too many records.
    """
    answers: list[_Answer] = []
    records: list[ApiMessageAndVersion] = []
    has_loggers = is_since(ctx.config.release, _OWN_LOGGERS_SINCE)
    loggers: list[AlterConfigsResource] = []
    others: list[AlterConfigsResource] = []
    for entry in request.resources:
        (loggers if has_loggers and entry.resource_type == ResourceType.BROKER_LOGGER else others).append(entry)
    for resource, entry in _accepted(ctx, others, answers, authorize).items():
        try:
            changes = _incremental_changes(ctx, resource, entry.configs)
            records += _altered(ctx, resource, changes)
        except ApiError as error:
            answers.append(_Answer(resource, error.code, error.message))
        else:
            answers.append(_Answer(resource))
    answers += [_altered_loggers(ctx.config, entry.resource_name, entry.configs, authorize) for entry in loggers]
    records += clear_elr_records(ctx.image, records)
    check_record_limit(records)
    response = IncrementalAlterConfigsResponseData(
        responses=[
            AlterConfigsResourceResponse(
                error_code=answer.code,
                error_message=answer.message,
                resource_type=answer.resource.type,
                resource_name=answer.resource.name,
            )
            for answer in answers
        ]
    )
    return ControllerResult(response, [] if request.validate_only else records, atomic=True)


def alter_configs(
    ctx: OperationContext, request: AlterConfigsRequestData, authorize: Authorize = allow_all
) -> ControllerResult[legacy.AlterConfigsResponseData]:
    """Replace the whole set of configs of each resource (v0 to v2): what is not listed is deleted.

    Needs ALTER_CONFIGS on the topic or group or, for other resources, on the cluster.
    Raises ApiError POLICY_VIOLATION for too many records.
    """
    answers: list[_Answer] = []
    records: list[ApiMessageAndVersion] = []
    for resource, entry in _accepted(ctx, request.resources, answers, authorize).items():
        current = ctx.image.configs.get(resource, {})
        wanted = {config.name: config.value for config in entry.configs}
        changes = {name: value for name, value in wanted.items() if _is_written(resource, current.get(name), value)}
        try:
            records += _altered(ctx, resource, changes, dropped=[name for name in current if name not in wanted])
        except ApiError as error:
            answers.append(_Answer(resource, error.code, error.message))
        else:
            answers.append(_Answer(resource))
    records += clear_elr_records(ctx.image, records)
    check_record_limit(records)
    response = legacy.AlterConfigsResponseData(
        responses=[
            legacy.AlterConfigsResourceResponse(
                error_code=answer.code,
                error_message=answer.message,
                resource_type=answer.resource.type,
                resource_name=answer.resource.name,
            )
            for answer in answers
        ]
    )
    return ControllerResult(response, [] if request.validate_only else records, atomic=True)


def create_topic_configs(ctx: OperationContext, name: str, configs: Mapping[str, str]) -> list[ApiMessageAndVersion]:
    """The records of the configs that a new topic starts with. Raises ApiError for a bad name or config."""
    if not configs:
        return []
    validate_topic_configs(ctx.image, ctx.config, name, configs)
    resource = ConfigResource(ResourceType.TOPIC, name)
    current = ctx.image.configs.get(resource, {})
    records = [_record(resource, key, value) for key, value in configs.items() if current.get(key) != value]
    return records + clear_elr_records(ctx.image, records)


def validate_topic_configs(
    image: MetadataImage,
    config: ControllerConfig,
    name: str,
    configs: Mapping[str, str],
    existing: Mapping[str, str] | None = None,
) -> None:
    """Check the configs that a topic would have against those it has.

    Raises ApiError: INVALID_REQUEST or INVALID_TOPIC_EXCEPTION for the name, INVALID_CONFIG for a config.
    """
    if not name:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Default topic resources are not allowed.")
    problem = topic_name_problem(name)
    if problem is not None:
        raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
    layers = broker_configs(image, config)
    try:
        check_topic_configs(
            configs,
            existing or {},
            topic_defaults(layers, config.release),
            remote_storage_system_enabled=remote_storage_system_enabled(layers),
            release=config.release,
        )
    except ConfigValueError as error:
        raise ApiError(ErrorCode.INVALID_CONFIG, str(error)) from error


def _accepted(
    ctx: OperationContext, entries: Iterable[_ResourceT], answers: list[_Answer], authorize: Authorize
) -> dict[ConfigResource, _ResourceT]:
    """The resources that may be altered by the requester, each once; what is refused goes to `answers`."""
    accepted: dict[ConfigResource, _ResourceT] = {}
    seen: set[ConfigResource] = set()
    repeated: set[ConfigResource] = set()
    has_client_metrics = is_since(ctx.config.release, _CLIENT_METRICS_SINCE)
    known_types = _KNOWN_TYPES if has_client_metrics else _KNOWN_TYPES - {ResourceType.CLIENT_METRICS}
    for entry in entries:
        resource = ConfigResource(entry.resource_type, entry.resource_name)
        if resource.type not in known_types and not (resource.type == ResourceType.GROUP and is_4(ctx.config.release)):
            reason = f"Unknown resource type {resource.type}."
            answers.append(_Answer(resource, ErrorCode.UNSUPPORTED_VERSION, reason))
        elif resource not in seen:
            seen.add(resource)
            accepted[resource] = entry
        elif resource not in repeated:
            repeated.add(resource)
            del accepted[resource]
            answers.append(_Answer(resource, ErrorCode.INVALID_REQUEST, "Duplicate resource."))
    for resource in list(accepted):
        refusal = _refusal(resource, authorize)
        if refusal is not None:
            del accepted[resource]
            answers.append(refusal)
    return accepted


def _refusal(resource: ConfigResource, authorize: Authorize) -> _Answer | None:
    """The answer for a resource that the requester may not alter, or nobody through the controller."""
    if resource.type == ResourceType.GROUP:
        if authorize(AclOperation.ALTER_CONFIGS, AclResourceType.GROUP, resource.name):
            return None
        return _Answer(resource, ErrorCode.GROUP_AUTHORIZATION_FAILED, "Group authorization failed.")
    if resource.type not in _ALTERABLE_TYPES:
        reason = f"Unexpected resource type {ResourceType(resource.type).name}."
        return _Answer(resource, ErrorCode.INVALID_REQUEST, reason)
    if resource.type == ResourceType.TOPIC:
        if authorize(AclOperation.ALTER_CONFIGS, AclResourceType.TOPIC, resource.name):
            return None
        return _Answer(resource, ErrorCode.TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed.")
    if authorize(AclOperation.ALTER_CONFIGS, AclResourceType.CLUSTER, CLUSTER_NAME):
        return None
    return _Answer(resource, ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "Cluster authorization failed.")


def _incremental_changes(
    ctx: OperationContext, resource: ConfigResource, configs: Iterable[AlterableConfig]
) -> dict[str, str | None]:
    """The new value of each config that is to be written (None: deleted). Raises ApiError.

    An unknown operation, and appending null, crash Kafka's controller; here they are refused as its brokers do.
    """
    current = ctx.image.configs.get(resource, {})
    definitions = topic_configs(ctx.config.release)
    changes: dict[str, str | None] = {}
    for change in {config.name: config for config in configs}.values():
        before = current.get(change.name)
        value: str | None
        if change.config_operation == OpType.SET:
            value = change.value
        elif change.config_operation == OpType.DELETE:
            value = None
        elif change.config_operation not in (OpType.APPEND, OpType.SUBTRACT):
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Unknown operation type {change.config_operation}.")
        elif not _is_list(definitions, resource, change.name):
            operation = OpType(change.config_operation).name
            raise ApiError(
                ErrorCode.INVALID_CONFIG, f"Can't {operation} to key {change.name} because its type is not LIST."
            )
        elif change.value is None:
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Null value not supported for : {change.name}")
        else:
            parts = _list_parts(before if before is not None else _default(definitions, resource, change.name))
            value = ",".join(_altered_list(parts, split_like_java(change.value), OpType(change.config_operation)))
        if _is_written(resource, before, value):
            changes[change.name] = value
    return changes


def _is_written(resource: ConfigResource, before: str | None, after: str | None) -> bool:
    """Whether a value gets a record. Those of brokers always do: it makes them load files again (KAFKA-14136)."""
    return before != after or resource.type == ResourceType.BROKER


def _is_list(definitions: Mapping[str, TopicConfigDefinition], resource: ConfigResource, name: str) -> bool:
    if resource.type == ResourceType.TOPIC:
        return name in definitions and definitions[name].type is ConfigType.LIST
    if resource.type == ResourceType.BROKER:
        return name in BROKER_CONFIGS and BROKER_CONFIGS[name].type is ConfigType.LIST
    return False


def _default(definitions: Mapping[str, TopicConfigDefinition], resource: ConfigResource, name: str) -> str | None:
    return definitions[name].default if resource.type == ResourceType.TOPIC else BROKER_CONFIGS[name].default


def _list_parts(text: str | None) -> list[str]:
    return [part for part in text.split(",") if part] if text else []


def _altered_list(parts: list[str], given: Iterable[str], operation: OpType) -> list[str]:
    for part in given:
        if operation is OpType.APPEND and part not in parts:
            parts.append(part)
        elif operation is OpType.SUBTRACT and part in parts:
            parts.remove(part)
    return parts


def _altered(
    ctx: OperationContext, resource: ConfigResource, changes: Mapping[str, str | None], dropped: Collection[str] = ()
) -> list[ApiMessageAndVersion]:
    """The records of changes and of configs that are dropped unasked. Raises ApiError for what they would lead to."""
    check_min_insync_replicas(ctx.image, resource, changes, dropped)
    existing = ctx.image.configs.get(resource, {})
    configs = {name: value for name, value in existing.items() if name not in changes and name not in dropped}
    configs |= {name: value for name, value in changes.items() if value is not None}
    _check(ctx, resource, configs, existing)
    return [
        *(_record(resource, name, value) for name, value in changes.items()),
        *(_record(resource, name, None) for name in dropped),
    ]


def _record(resource: ConfigResource, name: str, value: str | None) -> ApiMessageAndVersion:
    record = ConfigRecord(resource_type=resource.type, resource_name=resource.name, name=name, value=value)
    return ApiMessageAndVersion(record, 0)


def _check(
    ctx: OperationContext, resource: ConfigResource, configs: Mapping[str, str], existing: Mapping[str, str]
) -> None:
    """First what the resource would become, then whether it exists. Raises ApiError."""
    if resource.type == ResourceType.CLIENT_METRICS:
        check_client_metrics_configs(resource.name, configs)
    elif resource.type == ResourceType.GROUP:
        check_group_configs(ctx.config.release, static_configs(ctx.config), resource.name, configs)
    elif resource.type == ResourceType.BROKER:
        _check_broker(ctx, resource.name)
    else:
        validate_topic_configs(ctx.image, ctx.config, resource.name, configs, existing)
        if resource.name not in ctx.image.topics_by_name:
            raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{resource.name}' does not exist.")


def _check_broker(ctx: OperationContext, name: str) -> None:
    """Values of brokers are the business of the broker that forwards them; only the id is checked here."""
    if not name:
        return
    try:
        node_id = parse_integer(name, 32)
    except ValueError as error:
        reason = f"Unable to parse broker name {name!r} as a base 10 number."
        raise ApiError(ErrorCode.INVALID_REQUEST, reason) from error
    if node_id < 0:
        raise ApiError(ErrorCode.INVALID_REQUEST, f"Invalid negative broker ID {node_id}.")
    if node_id not in ctx.image.brokers and node_id not in ctx.controller_ids:
        raise ApiError(ErrorCode.BROKER_ID_NOT_REGISTERED, f"No node with id {node_id} found.")


def _altered_loggers(
    config: ControllerConfig, name: str, configs: Iterable[AlterableConfig], authorize: Authorize
) -> _Answer:
    """The answer for log levels of this process: it has no log4j loggers, so each that is named does not exist."""
    resource = ConfigResource(ResourceType.BROKER_LOGGER, name)
    if not authorize(AclOperation.CLUSTER_ACTION, AclResourceType.CLUSTER, CLUSTER_NAME):
        return _Answer(resource, ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "Cluster authorization failed.")
    try:
        node_id = parse_integer(name, 32)
    except ValueError:
        return _Answer(resource, ErrorCode.INVALID_REQUEST, f"Node id must be an integer, but it is: {name}")
    if node_id != config.node_id:
        reason = f"Unexpected node id. Expected {config.node_id}, but received {node_id}"
        return _Answer(resource, ErrorCode.INVALID_REQUEST, reason)
    for change in configs:
        if change.config_operation in (OpType.SET, OpType.DELETE):
            return _Answer(resource, ErrorCode.INVALID_CONFIG, f"Logger {change.name} does not exist!")
        reason = f"Operation {change.config_operation} is not allowed for the BROKER_LOGGER resource"
        return _Answer(resource, ErrorCode.INVALID_REQUEST, reason)
    return _Answer(resource)
