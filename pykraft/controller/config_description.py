"""DescribeConfigs on the controller's listener: topics, and the controller's own and the cluster's broker configs.

Sources: core/.../ConfigHelper.scala, DynamicBrokerConfig.scala. Left out: documentation texts, which are Kafka's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pykraft.controller.authorizer import CLUSTER_NAME, AclOperation, AclResourceType, Authorize, allow_all
from pykraft.controller.broker_config_definitions import (
    BROKER_CONFIGS,
    UpdateMode,
    broker_config_synonyms,
    broker_config_type,
)
from pykraft.controller.config import ControllerConfig
from pykraft.controller.config_values import ConfigType, ConfigValueError, parse_integer, parse_value, value_text
from pykraft.controller.effective_configs import (
    BrokerConfigs,
    ConfigSource,
    broker_configs,
    static_configs,
    topic_defaults,
)
from pykraft.controller.errors import ApiError
from pykraft.controller.group_configs import group_config_definitions
from pykraft.controller.releases import is_4
from pykraft.controller.topic_config_definitions import TopicConfigDefinition, topic_configs
from pykraft.controller.topic_names import topic_name_problem
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ConfigResource, ResourceType
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.describe_configs_request import DescribeConfigsRequestData, DescribeConfigsResource
from pykraft.protocol.messages.describe_configs_response import (
    DescribeConfigsResourceResult,
    DescribeConfigsResponseData,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)

_DESCRIBABLE: Final = frozenset(
    {
        ResourceType.TOPIC,
        ResourceType.BROKER,
        ResourceType.BROKER_LOGGER,
        ResourceType.CLIENT_METRICS,
    }
)


def describe_configs(
    image: MetadataImage,
    config: ControllerConfig,
    request: DescribeConfigsRequestData,
    authorize: Authorize = allow_all,
) -> DescribeConfigsResponseData:
    """Describe configs (v0 to v4): needs DESCRIBE_CONFIGS on the topic or group or, for other resources, on the
    cluster.

    Raises ApiError INVALID_REQUEST when one resource is of an unexpected type.
    """
    for resource in request.resources:
        if resource.resource_type not in _DESCRIBABLE and not (
            resource.resource_type == ResourceType.GROUP and is_4(config.release)
        ):
            raise ApiError(
                ErrorCode.INVALID_REQUEST,
                f"Unexpected resource type {resource.resource_type} for resource {resource.resource_name}",
            )
    results = []
    for resource in request.resources:
        code, message = ErrorCode.NONE, None
        configs: list[DescribeConfigsResourceResult] = []
        try:
            _check_allowed(resource, authorize)
            configs = _describe(image, config, resource)
        except ApiError as error:
            code, message = error.code, error.message
        for entry in configs if not request.include_synonyms else ():
            entry.synonyms = []
        results.append(
            DescribeConfigsResult(
                error_code=code,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
                configs=configs,
            )
        )
    return DescribeConfigsResponseData(results=results)


def _check_allowed(resource: DescribeConfigsResource, authorize: Authorize) -> None:
    """Raises ApiError TOPIC_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED."""
    if resource.resource_type == ResourceType.TOPIC:
        if not authorize(AclOperation.DESCRIBE_CONFIGS, AclResourceType.TOPIC, resource.resource_name):
            raise ApiError(ErrorCode.TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed.")
    elif resource.resource_type == ResourceType.GROUP:
        if not authorize(AclOperation.DESCRIBE_CONFIGS, AclResourceType.GROUP, resource.resource_name):
            raise ApiError(ErrorCode.GROUP_AUTHORIZATION_FAILED, "Group authorization failed.")
    elif not authorize(AclOperation.DESCRIBE_CONFIGS, AclResourceType.CLUSTER, CLUSTER_NAME):
        raise ApiError(ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "Cluster authorization failed.")


def _describe(
    image: MetadataImage, config: ControllerConfig, resource: DescribeConfigsResource
) -> list[DescribeConfigsResourceResult]:
    """The configs of one resource, with synonyms, by name. Raises ApiError."""
    if resource.resource_type == ResourceType.TOPIC:
        entries = _topic_entries(image, config, resource.resource_name)
    elif resource.resource_type == ResourceType.BROKER:
        entries = _broker_entries(image, config, resource.resource_name)
    elif resource.resource_type == ResourceType.BROKER_LOGGER:
        _check_own_id(config, resource.resource_name, may_be_empty=False)
        return []
    elif resource.resource_type == ResourceType.GROUP:
        entries = _group_entries(image, config, resource.resource_name)
    else:
        return _client_metrics_entries(image, resource.resource_name)
    wanted = resource.configuration_keys
    return [entry for entry in entries if not wanted or entry.name in wanted]


def _topic_entries(image: MetadataImage, config: ControllerConfig, topic: str) -> list[DescribeConfigsResourceResult]:
    problem = topic_name_problem(topic)
    if problem is not None:
        raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
    if topic not in image.topics_by_name:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{topic}' does not exist.")
    layers = broker_configs(image, config)
    defaults, own = topic_defaults(layers, config.release), image.topic_configs(topic)
    definitions = topic_configs(config.release).values()
    return [_topic_entry(definition, own, defaults, layers) for definition in definitions]


def _topic_entry(
    definition: TopicConfigDefinition, own: Mapping[str, str], defaults: Mapping[str, str], layers: BrokerConfigs
) -> DescribeConfigsResourceResult:
    name = definition.name
    text = _normalized(name, own.get(name, defaults[name]), definition.type)
    synonyms = _synonyms(definition.synonyms[0].name, ConfigType.STRING, layers) if definition.synonyms else []
    if name in own:
        synonyms.insert(0, DescribeConfigsSynonym(name=name, value=text, source=ConfigSource.DYNAMIC_TOPIC_CONFIG))
    return _entry(name, text, definition.type, synonyms, read_only=False)


def _broker_entries(image: MetadataImage, config: ControllerConfig, name: str) -> list[DescribeConfigsResourceResult]:
    layers = broker_configs(image, config)
    if not name:
        return [_broker_entry(key, value, layers, per_broker=False) for key, value in sorted(layers.cluster.items())]
    _check_own_id(config, name, may_be_empty=True)
    merged = layers.merged()
    shown = {definition.name for definition in BROKER_CONFIGS.values() if not definition.internal} | merged.keys()
    entries = []
    for key in sorted(shown):
        definition = BROKER_CONFIGS.get(key)
        text = merged.get(key, definition.default if definition is not None else None)
        if definition is not None and text is not None and not definition.internal:
            text = _normalized(key, text, definition.type)
        entries.append(_broker_entry(key, text, layers, per_broker=True))
    return entries


def _broker_entry(
    name: str, text: str | None, layers: BrokerConfigs, *, per_broker: bool
) -> DescribeConfigsResourceResult:
    value_type = broker_config_type(name)
    synonyms = [
        synonym
        for synonym in _synonyms(name, value_type, layers)
        if per_broker or synonym.source == ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
    ]
    definition = BROKER_CONFIGS.get(name)
    read_only = definition is None or definition.update_mode is UpdateMode.READ_ONLY
    return _entry(name, text, value_type, synonyms, read_only=read_only)


def _group_entries(image: MetadataImage, config: ControllerConfig, group: str) -> list[DescribeConfigsResourceResult]:
    if not group:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Group name must not be empty")
    own, static = image.configs.get(ConfigResource(ResourceType.GROUP, group), {}), static_configs(config)
    entries = []
    for definition in group_config_definitions(config.release):
        name = definition.name
        text = own.get(name, static.get(definition.synonym or "", definition.default))
        source = ConfigSource.GROUP_CONFIG if name in own else ConfigSource.DEFAULT_CONFIG
        synonyms = [DescribeConfigsSynonym(name=name, value=text, source=source)]
        entries.append(_entry(name, text, definition.type, synonyms, read_only=False))
    return entries


def _client_metrics_entries(image: MetadataImage, subscription: str) -> list[DescribeConfigsResourceResult]:
    if not subscription:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Client metrics subscription name must not be empty")
    configs = image.configs.get(ConfigResource(ResourceType.CLIENT_METRICS, subscription), {})
    return [
        DescribeConfigsResourceResult(
            name=name, value=value, config_source=ConfigSource.CLIENT_METRICS_CONFIG, documentation=None
        )
        for name, value in sorted(configs.items())
    ]


def _check_own_id(config: ControllerConfig, name: str, *, may_be_empty: bool) -> None:
    """A node describes only itself. Raises ApiError INVALID_REQUEST."""
    if not name:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Broker id must not be empty")
    try:
        node_id = parse_integer(name, 32)
    except ValueError as error:
        reason = f"Broker id must be an integer, but it is: {name}"
        raise ApiError(ErrorCode.INVALID_REQUEST, reason) from error
    if node_id != config.node_id:
        expected = f"{config.node_id} or empty string" if may_be_empty else str(config.node_id)
        reason = f"Unexpected broker id, expected {expected}, but received {name}"
        raise ApiError(ErrorCode.INVALID_REQUEST, reason)


def _synonyms(name: str, value_type: ConfigType, layers: BrokerConfigs) -> list[DescribeConfigsSynonym]:
    """Everywhere a broker config has a value, the one that wins first; those of other names only after its own."""
    names = broker_config_synonyms(name)
    defaults = {
        synonym: default
        for synonym in names
        if synonym in BROKER_CONFIGS and (default := BROKER_CONFIGS[synonym].default) is not None
    }
    found = [
        DescribeConfigsSynonym(name=synonym, value=None if value_type.is_sensitive else configs[synonym], source=source)
        for source, configs in (
            (ConfigSource.DYNAMIC_BROKER_CONFIG, layers.node),
            (ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG, layers.cluster),
            (ConfigSource.STATIC_BROKER_CONFIG, layers.static),
            (ConfigSource.DEFAULT_CONFIG, defaults),
        )
        for synonym in names
        if synonym in configs
    ]
    return _from_own_name(found, name)


def _from_own_name(synonyms: Iterable[DescribeConfigsSynonym], name: str) -> list[DescribeConfigsSynonym]:
    kept: list[DescribeConfigsSynonym] = []
    for synonym in synonyms:
        if kept or synonym.name == name:
            kept.append(synonym)
    return kept


def _normalized(name: str, text: str, value_type: ConfigType) -> str:
    """A value as it shows after it was read; one that cannot be read stands as it was given."""
    try:
        return value_text(parse_value(name, text, value_type))
    except ConfigValueError:
        return text


def _entry(
    name: str,
    text: str | None,
    value_type: ConfigType,
    synonyms: list[DescribeConfigsSynonym],
    *,
    read_only: bool,
) -> DescribeConfigsResourceResult:
    return DescribeConfigsResourceResult(
        name=name,
        value=None if value_type.is_sensitive else text,
        read_only=read_only,
        config_source=synonyms[0].source if synonyms else ConfigSource.DEFAULT_CONFIG,
        is_sensitive=value_type.is_sensitive,
        synonyms=synonyms,
        config_type=value_type,
        documentation=None,
    )
