"""Every topic config of Kafka 3.9 and the releases before it: its type, default, allowed values and the broker configs
that stand in for it.

Sources: storage/.../internals/log/LogConfig.java (3.4 to 3.9), server-common/.../config/ServerTopicConfigSynonyms.java,
storage/.../internals/log/ThrottledReplicaListValidator.java, clients/.../record/CompressionType.java.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Final, NamedTuple

from pykraft.controller.config_values import (
    Check,
    ConfigType,
    ConfigValue,
    ConfigValueError,
    at_least,
    between,
    one_of,
    parse_value,
)
from pykraft.controller.releases import DEFAULT_RELEASE, is_4, is_since, supported_levels
from pykraft.image.metadata_version import MetadataVersion

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
INT64_MAX: Final = (1 << 63) - 1
DERIVED: Final = -2
"""local.retention.ms and local.retention.bytes: take retention.ms and retention.bytes."""

BOOLEAN, STRING, INT, LONG = ConfigType.BOOLEAN, ConfigType.STRING, ConfigType.INT, ConfigType.LONG
DOUBLE, LIST = ConfigType.DOUBLE, ConfigType.LIST


class Synonym(NamedTuple):
    """A broker config that a topic takes when it has no value of its own; `unit_ms` turns its unit into ms."""

    name: str
    unit_ms: int = 0


@dataclass(frozen=True, slots=True)
class TopicConfigDefinition:
    """One topic config. `default` is its text; `synonyms` come in the order in which they are looked up."""

    name: str
    type: ConfigType
    default: str
    check: Check | None
    synonyms: tuple[Synonym, ...]

    def parse(self, text: str) -> ConfigValue:
        """Read and check a value. Raises ConfigValueError."""
        value = parse_value(self.name, text, self.type)
        reason = self.check(value) if self.check is not None else None
        if reason is not None:
            raise ConfigValueError(f"Invalid value {text} for configuration {self.name}: {reason}")
        return value


_THROTTLED_REPLICA: Final = re.compile(r"(?:[0-9]+:[0-9]+)?", re.ASCII)
_OLD_VERSIONS: Final = (
    "0.8.0",
    "0.8.1",
    "0.8.2",
    "0.9.0",
    "0.10.0-IV0",
    "0.10.0-IV1",
    "0.10.1-IV0",
    "0.10.1-IV1",
    "0.10.1-IV2",
    "0.10.2-IV0",
    "0.11.0-IV0",
    "0.11.0-IV1",
    "0.11.0-IV2",
    "1.0-IV0",
    "1.1-IV0",
    "2.0-IV0",
    "2.0-IV1",
    "2.1-IV0",
    "2.1-IV1",
    "2.1-IV2",
    "2.2-IV0",
    "2.2-IV1",
    "2.3-IV0",
    "2.3-IV1",
    "2.4-IV0",
    "2.4-IV1",
    "2.5-IV0",
    "2.6-IV0",
    "2.7-IV0",
    "2.7-IV1",
    "2.7-IV2",
    "2.8-IV0",
    "2.8-IV1",
    "3.0-IV0",
)
_UNRELEASED_VERSIONS: Final = {"3.7": ("3.8-IV0",), "3.8": ("3.9-IV0",), "3.9": ("4.0-IV0", "4.0-IV1")}
"""Those that a release knows before they are finished, by their whole names."""


def _throttled_replicas(value: ConfigValue) -> str | None:
    assert isinstance(value, tuple)
    parts = [part.strip() for part in value]
    if all(_THROTTLED_REPLICA.fullmatch(part) for part in parts) or "".join(parts) == "*":
        return None
    return "give * or [partitionId]:[brokerId],[partitionId]:[brokerId],…"


def _version_texts(release: str) -> frozenset[str]:
    """The names that message.format.version may have in a release up to 3.9."""
    levels = supported_levels(release)
    released = (*_OLD_VERSIONS, *(version.text for version in MetadataVersion if version <= levels[-1]))
    unreleased = _UNRELEASED_VERSIONS.get(release, ())
    return frozenset((*released, *unreleased, *(text.partition("-")[0] for text in released)))


def _version(texts: frozenset[str], value: ConfigValue) -> str | None:
    text = str(value)
    segments = 3 if text.startswith("0.") else 2
    if ".".join(text.split(".")[:segments]) in texts:
        return None
    return "it is not a version of Kafka: give one such as 3.0 or 3.0-IV1"


def _gzip_level(value: ConfigValue) -> str | None:
    return None if value == -1 else between(1, 9)(value)


_NOT_NEGATIVE: Final = at_least(0)
_POSITIVE: Final = at_least(1)


def _config(
    name: str, value_type: ConfigType, default: str | float, check: Check | None = None, *synonyms: str | Synonym
) -> TopicConfigDefinition:
    return TopicConfigDefinition(
        name,
        value_type,
        str(default),
        check,
        tuple(Synonym(synonym) if isinstance(synonym, str) else synonym for synonym in synonyms),
    )


_DEFINITIONS: Final = (
    _config("cleanup.policy", LIST, "delete", one_of(("compact", "delete")), "log.cleanup.policy"),
    _config("compression.gzip.level", INT, -1, _gzip_level, "compression.gzip.level"),
    _config("compression.lz4.level", INT, 9, between(1, 17), "compression.lz4.level"),
    _config(
        "compression.type",
        STRING,
        "producer",
        one_of(("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")),
        "compression.type",
    ),
    _config("compression.zstd.level", INT, 3, between(-131_072, 22), "compression.zstd.level"),
    _config("delete.retention.ms", LONG, 86_400_000, _NOT_NEGATIVE, "log.cleaner.delete.retention.ms"),
    _config("file.delete.delay.ms", LONG, 60_000, _NOT_NEGATIVE, "log.segment.delete.delay.ms"),
    _config("flush.messages", LONG, INT64_MAX, _POSITIVE, "log.flush.interval.messages"),
    _config("flush.ms", LONG, INT64_MAX, _NOT_NEGATIVE, "log.flush.interval.ms", "log.flush.scheduler.interval.ms"),
    _config("follower.replication.throttled.replicas", LIST, "", _throttled_replicas),
    _config("index.interval.bytes", INT, 4_096, _NOT_NEGATIVE, "log.index.interval.bytes"),
    _config("leader.replication.throttled.replicas", LIST, "", _throttled_replicas),
    _config("local.retention.bytes", LONG, DERIVED, at_least(DERIVED), "log.local.retention.bytes"),
    _config("local.retention.ms", LONG, DERIVED, at_least(DERIVED), "log.local.retention.ms"),
    _config("max.compaction.lag.ms", LONG, INT64_MAX, _POSITIVE, "log.cleaner.max.compaction.lag.ms"),
    _config("max.message.bytes", INT, 1_048_588, _NOT_NEGATIVE, "message.max.bytes"),
    _config("message.downconversion.enable", BOOLEAN, "true", None, "log.message.downconversion.enable"),
    _config("message.format.version", STRING, "3.0-IV1", None, "log.message.format.version"),
    _config("message.timestamp.after.max.ms", LONG, INT64_MAX, _NOT_NEGATIVE, "log.message.timestamp.after.max.ms"),
    _config("message.timestamp.before.max.ms", LONG, INT64_MAX, _NOT_NEGATIVE, "log.message.timestamp.before.max.ms"),
    _config(
        "message.timestamp.difference.max.ms", LONG, INT64_MAX, _NOT_NEGATIVE, "log.message.timestamp.difference.max.ms"
    ),
    _config(
        "message.timestamp.type",
        STRING,
        "CreateTime",
        one_of(("CreateTime", "LogAppendTime")),
        "log.message.timestamp.type",
    ),
    _config("min.cleanable.dirty.ratio", DOUBLE, 0.5, between(0, 1), "log.cleaner.min.cleanable.ratio"),
    _config("min.compaction.lag.ms", LONG, 0, _NOT_NEGATIVE, "log.cleaner.min.compaction.lag.ms"),
    _config("min.insync.replicas", INT, 1, _POSITIVE, "min.insync.replicas"),
    _config("preallocate", BOOLEAN, "false", None, "log.preallocate"),
    _config("remote.log.copy.disable", BOOLEAN, "false"),
    _config("remote.log.delete.on.disable", BOOLEAN, "false"),
    _config("remote.storage.enable", BOOLEAN, "false"),
    _config("retention.bytes", LONG, -1, None, "log.retention.bytes"),
    _config(
        "retention.ms",
        LONG,
        604_800_000,
        at_least(-1),
        "log.retention.ms",
        Synonym("log.retention.minutes", MINUTE_MS),
        Synonym("log.retention.hours", HOUR_MS),
    ),
    _config("segment.bytes", INT, 1_073_741_824, at_least(14), "log.segment.bytes"),
    _config("segment.index.bytes", INT, 10_485_760, at_least(4), "log.index.size.max.bytes"),
    _config(
        "segment.jitter.ms", LONG, 0, _NOT_NEGATIVE, "log.roll.jitter.ms", Synonym("log.roll.jitter.hours", HOUR_MS)
    ),
    _config("segment.ms", LONG, 604_800_000, _POSITIVE, "log.roll.ms", Synonym("log.roll.hours", HOUR_MS)),
    _config("unclean.leader.election.enable", BOOLEAN, "false", None, "unclean.leader.election.enable"),
)

_FIRST_RELEASES: Final = {
    "compression.gzip.level": "3.8",
    "compression.lz4.level": "3.8",
    "compression.zstd.level": "3.8",
    "message.timestamp.after.max.ms": "3.6",
    "message.timestamp.before.max.ms": "3.6",
    "remote.log.copy.disable": "3.9",
    "remote.log.delete.on.disable": "3.9",
}
"""Where a config came with a release after 3.4."""
_GONE_WITH_4: Final = frozenset(
    {"message.downconversion.enable", "message.format.version", "message.timestamp.difference.max.ms"}
)
_SEGMENT_BYTES_MIN_4_1: Final = 1_048_576


@cache
def topic_configs(release: str) -> Mapping[str, TopicConfigDefinition]:
    """Every topic config of a release by name, sorted by name."""
    return MappingProxyType(
        {
            config.name: _as_of(config, release)
            for config in _DEFINITIONS
            if is_since(release, _FIRST_RELEASES.get(config.name, release))
            and not (is_4(release) and config.name in _GONE_WITH_4)
        }
    )


def _as_of(config: TopicConfigDefinition, release: str) -> TopicConfigDefinition:
    """A config with the default and the check that it has in a release."""
    if config.name == "message.format.version":
        return replace(config, check=partial(_version, _version_texts(release)))
    if config.name == "message.timestamp.after.max.ms" and is_4(release):
        return replace(config, default=str(HOUR_MS))
    if config.name == "segment.bytes" and is_since(release, "4.1"):
        return replace(config, check=at_least(_SEGMENT_BYTES_MIN_4_1))
    return config


def check_topic_configs(
    configs: Mapping[str, str],
    existing: Mapping[str, str],
    defaults: Mapping[str, str],
    *,
    remote_storage_system_enabled: bool,
    release: str = DEFAULT_RELEASE,
) -> None:
    """LogConfig.validate of a release for a KRaft cluster: names, values, and values against each other.

    `configs` are the topic's own configs as they would be, `existing` as they are; `defaults` holds what applies
    where the topic has none, by topic config name. Raises ConfigValueError.
    """
    definitions = topic_configs(release)
    for name in configs:
        if name not in definitions:
            raise ConfigValueError(f"Unknown topic config name: {name}")
    values = {
        name: definition.parse(configs.get(name, defaults.get(name, definition.default)))
        for name, definition in definitions.items()
    }
    shortest, longest = _number(values, "min.compaction.lag.ms"), _number(values, "max.compaction.lag.ms")
    if shortest > longest:
        raise ConfigValueError(
            f"conflict topic config setting min.compaction.lag.ms ({shortest}) > max.compaction.lag.ms ({longest})"
        )
    if values["remote.storage.enable"]:
        _check_remote_storage(values, system_enabled=remote_storage_system_enabled)
    elif existing.get("remote.storage.enable", "").lower() == "true" and not values.get(
        "remote.log.delete.on.disable", True
    ):
        raise ConfigValueError(
            "remote.storage.enable cannot become false while the remote data stays: set remote.log.delete.on.disable="
            "true to delete it, or keep remote.storage.enable=true and set remote.log.copy.disable=true"
        )


def _check_remote_storage(values: Mapping[str, ConfigValue], *, system_enabled: bool) -> None:
    if not system_enabled:
        raise ConfigValueError(
            "remote.storage.enable=true needs tiered storage: set remote.log.storage.system.enable=true on the nodes"
        )
    policies = values["cleanup.policy"]
    assert isinstance(policies, tuple)
    if "compact" in policies:
        raise ConfigValueError("remote.storage.enable=true does not go with cleanup.policy=compact")
    _check_local_retention(values, "retention.bytes", has_limit=_number(values, "retention.bytes") > -1)
    _check_local_retention(values, "retention.ms", has_limit=_number(values, "retention.ms") != -1)
    if not values.get("remote.log.copy.disable"):
        return
    for name in ("retention.bytes", "retention.ms"):
        local = _number(values, f"local.{name}")
        if local not in (DERIVED, _number(values, name)):
            raise ConfigValueError(
                f"remote.log.copy.disable=true needs local.{name} to equal {name}: nothing more is copied away"
            )


def _check_local_retention(values: Mapping[str, ConfigValue], name: str, *, has_limit: bool) -> None:
    limit, local = _number(values, name), _number(values, f"local.{name}")
    if not has_limit or local == DERIVED:
        return
    if local == -1 or local > limit:
        raise ConfigValueError(f"Invalid value {local} for configuration local.{name}: {name} allows up to {limit}")


def _number(values: Mapping[str, ConfigValue], name: str) -> int:
    value = values[name]
    assert isinstance(value, int)
    return value
