"""Which value of a config applies: the topic's, this node's, the cluster's, the one given at start, or the default.

Sources: metadata/.../KafkaConfigSchema.java and .../controller/ConfigurationControlManager.java (what CreateTopics
answers and what the controller itself goes by), core/.../KafkaConfig.scala extractLogConfigMap (what topics are
checked against and what DescribeConfigs answers).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from pykraft.controller.broker_config_definitions import BROKER_CONFIGS, SYNONYMS, applicable_dynamic_configs
from pykraft.controller.config import ControllerConfig
from pykraft.controller.config_values import ConfigValueError, parse_integer, parse_value
from pykraft.controller.topic_config_definitions import Synonym, TopicConfigDefinition, topic_configs
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ConfigResource, ResourceType
from pykraft.protocol.messages.create_topics_response import CreatableTopicConfigs


class ConfigSource(IntEnum):
    """Where a config's value comes from (DescribeConfigsResponse.ConfigSource)."""

    DYNAMIC_TOPIC_CONFIG = 1
    DYNAMIC_BROKER_CONFIG = 2
    DYNAMIC_DEFAULT_BROKER_CONFIG = 3
    STATIC_BROKER_CONFIG = 4
    DEFAULT_CONFIG = 5
    DYNAMIC_BROKER_LOGGER_CONFIG = 6
    CLIENT_METRICS_CONFIG = 7
    GROUP_CONFIG = 8


class EffectiveConfig(NamedTuple):
    value: str
    source: ConfigSource


_Layers: TypeAlias = tuple[tuple[ConfigSource, Mapping[str, str]], ...]
"""Where a topic's config is looked for when it has none of its own, the nearest place first."""

CLUSTER_DEFAULT: Final = ConfigResource(ResourceType.BROKER, "")
"""The resource whose configs apply to every node."""
MIN_INSYNC_REPLICAS: Final = "min.insync.replicas"


def static_configs(config: ControllerConfig) -> Mapping[str, str]:
    """What was given at start, by Kafka's key; node.id and broker.id stand for each other."""
    node_id = str(config.node_id)
    return {"broker.id": node_id, "node.id": node_id, **config.properties}


def node_configs(image: MetadataImage, config: ControllerConfig) -> Mapping[str, str]:
    """The dynamic configs of this controller's own id."""
    return image.configs.get(ConfigResource(ResourceType.BROKER, str(config.node_id)), {})


def cluster_configs(image: MetadataImage) -> Mapping[str, str]:
    """The dynamic configs that apply to every node."""
    return image.configs.get(CLUSTER_DEFAULT, {})


def _dynamic_and_static(image: MetadataImage, config: ControllerConfig) -> _Layers:
    return (
        (ConfigSource.DYNAMIC_BROKER_CONFIG, node_configs(image, config)),
        (ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG, cluster_configs(image)),
        (ConfigSource.STATIC_BROKER_CONFIG, config.properties),
    )


def _effective(definition: TopicConfigDefinition, own: Mapping[str, str], layers: _Layers) -> EffectiveConfig:
    """One config of a topic whose own configs are `own`; values stand as they were given (KafkaConfigSchema)."""
    if definition.name in own:
        return EffectiveConfig(own[definition.name], ConfigSource.DYNAMIC_TOPIC_CONFIG)
    for source, configs in layers:
        for synonym in definition.synonyms:
            if synonym.name in configs:
                return EffectiveConfig(_converted(configs[synonym.name], synonym), source)
    return EffectiveConfig(definition.default, ConfigSource.DEFAULT_CONFIG)


def _converted(text: str, synonym: Synonym) -> str:
    """A value in hours or minutes becomes ms; one that cannot be read counts as 0."""
    if not synonym.unit_ms:
        return text
    try:
        return str(parse_integer(text.strip(), 32) * synonym.unit_ms)
    except ValueError:
        return "0"


def unclean_leader_election_enabled(image: MetadataImage, config: ControllerConfig, topic: str) -> bool:
    """Whether a topic may get a leader from outside its ISR.

    Kafka's controllers before 3.9 leave the config alone and answer no; a topic's own word counts here in all releases.
    """
    definition = topic_configs(config.release)["unclean.leader.election.enable"]
    layers = _dynamic_and_static(image, config)
    return _effective(definition, image.topic_configs(topic), layers).value.lower() == "true"


def min_insync_replicas(image: MetadataImage, config: ControllerConfig, topic: str) -> int:
    """How many replicas of a topic have to be in sync for its partitions to be written to with acks=all."""
    definition = topic_configs(config.release)[MIN_INSYNC_REPLICAS]
    layers = _dynamic_and_static(image, config)
    return int(_effective(definition, image.topic_configs(topic), layers).value)


def static_min_insync_replicas(config: ControllerConfig) -> int:
    """What applies to a cluster without dynamic configs."""
    default = topic_configs(config.release)[MIN_INSYNC_REPLICAS].default
    return int(config.properties.get(MIN_INSYNC_REPLICAS, default))


def describe_topic_configs(
    image: MetadataImage, config: ControllerConfig, own: Mapping[str, str]
) -> list[CreatableTopicConfigs]:
    """Every config of a topic whose own configs are `own`, by name, as CreateTopics v5 and later answers it."""
    layers = _dynamic_and_static(image, config)
    described = []
    for definition in topic_configs(config.release).values():
        value, source = _effective(definition, own, layers)
        described.append(
            CreatableTopicConfigs(
                name=definition.name, value=value, read_only=False, config_source=source, is_sensitive=False
            )
        )
    return described


class BrokerConfigs(NamedTuple):
    """The broker configs that this node goes by, each layer by name: its own, the cluster's, those given at start."""

    node: Mapping[str, str]
    cluster: Mapping[str, str]
    static: Mapping[str, str]

    def merged(self) -> dict[str, str]:
        """What applies; a dynamic config also puts aside other names of the same thing, such as log.retention.hours."""
        merged = dict(self.static)
        for layer in (self.cluster, self.node):
            for name, value in layer.items():
                for synonym in SYNONYMS.get(name, ()):
                    merged.pop(synonym, None)
                merged[name] = value
        return merged


def broker_configs(image: MetadataImage, config: ControllerConfig) -> BrokerConfigs:
    """The layers of this node's configs; dynamic ones only as far as a node takes them over."""
    return BrokerConfigs(
        applicable_dynamic_configs(node_configs(image, config), per_broker=True),
        applicable_dynamic_configs(cluster_configs(image), per_broker=False),
        static_configs(config),
    )


def topic_defaults(configs: BrokerConfigs, release: str) -> dict[str, str]:
    """What applies to a topic that has no value of its own, by topic config name (extractLogConfigMap)."""
    merged = configs.merged()
    defaults: dict[str, str] = {}
    for definition in topic_configs(release).values():
        defaults[definition.name] = definition.default
        for synonym in definition.synonyms:
            text = merged.get(synonym.name)
            if text is not None:
                defaults[definition.name] = _default_text(text, synonym, definition)
                break
    return defaults


def _default_text(text: str, synonym: Synonym, definition: TopicConfigDefinition) -> str:
    if not synonym.unit_ms and definition.name != "retention.ms":
        return text
    try:
        value = parse_value(synonym.name, text, BROKER_CONFIGS[synonym.name].type)
    except ConfigValueError:
        return definition.default
    assert isinstance(value, int)
    # Any negative retention time, in whatever unit, means that nothing expires.
    if definition.name == "retention.ms" and value < 0:
        return "-1"
    return str(value * (synonym.unit_ms or 1))


def remote_storage_system_enabled(configs: BrokerConfigs) -> bool:
    """Whether tiered storage is switched on, which only a start-up config can do."""
    return configs.static.get("remote.log.storage.system.enable", "").strip().lower() == "true"
