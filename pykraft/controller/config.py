"""The controller's configuration: Kafka's keys and defaults, typed.

Source: core/src/main/scala/kafka/server/KafkaConfig.scala, server/.../config/*Configs.java, raft/.../QuorumConfig.java.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final

from pykraft.controller.releases import DEFAULT_RELEASE, has_dynamic_quorums, is_4, release_of, supported_levels
from pykraft.image.metadata_version import (
    LATEST_PRODUCTION,
    MetadataVersion,
    UnknownMetadataVersionError,
    metadata_version_from_text,
)

STANDARD_AUTHORIZER: Final = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key, the value and what would be right."""


def _key(name: str, default: Any, parse: Callable[[str], Any]) -> Any:
    return field(default=default, metadata={"key": name, "parse": parse})


def _boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in ("true", "false"):
        raise ValueError("true or false")
    return lowered == "true"


def _text(text: str) -> str:
    return text.strip()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _principals(text: str) -> tuple[str, ...]:
    """Principals between semicolons, since names of certificates hold commas. Raises ConfigError."""
    principals = tuple(principal.strip() for principal in text.split(";") if principal.strip())
    for principal in principals:
        if ":" not in principal:
            raise ConfigError(f"{principal!r} is no principal: give it as Type:name, such as User:{principal}")
    return principals


def _is_true(text: str) -> bool:
    """As StandardAuthorizer reads it: anything but true is false."""
    return text.strip().lower() == "true"


def _authorizer(text: str) -> str:
    name = text.strip()
    if name not in ("", STANDARD_AUTHORIZER):
        raise ConfigError(f"this controller decides only as {STANDARD_AUTHORIZER} does: give that, or nothing")
    return name


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """What a controller is told. Each field carries its Kafka key in `metadata["key"]`; times are in ms.

    `release` is the release of Kafka whose controller this one stands for: it decides what is offered and refused, as
    `metadata_version` decides how a new cluster begins. `properties` is all that was read, by Kafka's key, with what a
    controller does not know: topics take their defaults from it, and DescribeConfigs shows it.
    """

    node_id: int = _key("node.id", 1, int)
    metadata_version: MetadataVersion = _key(
        "inter.broker.protocol.version", LATEST_PRODUCTION, metadata_version_from_text
    )
    zookeeper_connect: str = _key("zookeeper.connect", "", _text)
    zookeeper_metadata_migration_enable: bool = _key("zookeeper.metadata.migration.enable", False, _boolean)
    zookeeper_metadata_migration_min_batch_size: int = _key("zookeeper.metadata.migration.min.batch.size", 200, int)
    zookeeper_session_timeout_ms: int = _key("zookeeper.session.timeout.ms", 18_000, int)
    zookeeper_connection_timeout_ms: int = _key("zookeeper.connection.timeout.ms", 18_000, int)
    zookeeper_max_in_flight_requests: int = _key("zookeeper.max.in.flight.requests", 10, int)
    zookeeper_set_acl: bool = _key("zookeeper.set.acl", False, _boolean)
    inter_broker_listener_name: str = _key("inter.broker.listener.name", "PLAINTEXT", _text)
    controller_listener_names: tuple[str, ...] = _key("controller.listener.names", ("CONTROLLER",), _names)
    num_partitions: int = _key("num.partitions", 1, int)
    default_replication_factor: int = _key("default.replication.factor", 1, int)
    delete_topic_enable: bool = _key("delete.topic.enable", True, _boolean)
    unclean_leader_election_enable: bool = _key("unclean.leader.election.enable", False, _boolean)
    auto_leader_rebalance_enable: bool = _key("auto.leader.rebalance.enable", True, _boolean)
    unclean_leader_election_interval_ms: int = _key("unclean.leader.election.interval.ms", 300_000, int)
    leader_imbalance_check_interval_seconds: int = _key("leader.imbalance.check.interval.seconds", 300, int)
    broker_session_timeout_ms: int = _key("broker.session.timeout.ms", 9_000, int)
    broker_heartbeat_interval_ms: int = _key("broker.heartbeat.interval.ms", 2_000, int)
    metadata_max_idle_interval_ms: int = _key("metadata.max.idle.interval.ms", 500, int)
    authorizer_class_name: str = _key("authorizer.class.name", "", _authorizer)
    super_users: tuple[str, ...] = _key("super.users", (), _principals)
    allow_everyone_if_no_acl_found: bool = _key("allow.everyone.if.no.acl.found", False, _is_true)
    delegation_token_secret_key: str = _key("delegation.token.secret.key", "", _text)
    delegation_token_max_lifetime_ms: int = _key("delegation.token.max.lifetime.ms", 604_800_000, int)
    delegation_token_expiry_time_ms: int = _key("delegation.token.expiry.time.ms", 86_400_000, int)
    delegation_token_expiry_check_interval_ms: int = _key("delegation.token.expiry.check.interval.ms", 3_600_000, int)
    controller_quota_window_num: int = _key("controller.quota.window.num", 11, int)
    controller_quota_window_size_seconds: int = _key("controller.quota.window.size.seconds", 1, int)
    request_timeout_ms: int = _key("request.timeout.ms", 30_000, int)
    socket_request_max_bytes: int = _key("socket.request.max.bytes", 104_857_600, int)
    max_connections: int = _key("max.connections", 4_096, int)
    connections_max_idle_ms: int = _key("connections.max.idle.ms", 600_000, int)
    metadata_log_segment_bytes: int = _key("metadata.log.segment.bytes", 1_073_741_824, int)
    metadata_log_segment_ms: int = _key("metadata.log.segment.ms", 604_800_000, int)
    metadata_log_max_record_bytes_between_snapshots: int = _key(
        "metadata.log.max.record.bytes.between.snapshots", 20_971_520, int
    )
    metadata_log_max_snapshot_interval_ms: int = _key("metadata.log.max.snapshot.interval.ms", 3_600_000, int)
    metadata_max_retention_bytes: int = _key("metadata.max.retention.bytes", 104_857_600, int)
    metadata_max_retention_ms: int = _key("metadata.max.retention.ms", 604_800_000, int)
    password_encoder_secret: str = _key("password.encoder.secret", "", _text)
    controller_quorum_voters: str = _key("controller.quorum.voters", "", _text)
    controller_quorum_bootstrap_servers: str = _key("controller.quorum.bootstrap.servers", "", _text)
    release: str = field(default=DEFAULT_RELEASE, metadata={"key": None})
    properties: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False, metadata={"key": None}
    )

    @property
    def has_dynamic_quorum(self) -> bool:
        """Whether a new log begins at kraft.version 1, with the voters in it: Kafka's rule, that they are not here."""
        return bool(self.controller_quorum_bootstrap_servers) and not self.controller_quorum_voters

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], release: str | None = None) -> ControllerConfig:
        """Read Kafka's keys; keys that a controller does not know are left alone, as Kafka does.

        `release` names the release to stand for (any name of a metadata.version); without it that is 3.9, or the
        release of a metadata.version that 3.9 does not have.

        Raises ConfigError for a value that cannot be read or that rules out another.
        """
        values: dict[str, Any] = {}
        for item in fields(cls):
            key = item.metadata["key"]
            text = None if key is None else properties.get(key)
            if text is None:
                continue
            try:
                values[item.name] = item.metadata["parse"](text)
            except (ConfigError, UnknownMetadataVersionError) as error:
                raise ConfigError(f"{key}={text}: {error}") from error
            except ValueError as error:
                raise ConfigError(f"{key}={text}: give a value of the kind of the default, {item.default}") from error
        config = cls(**values, properties=MappingProxyType(dict(properties)))
        config = replace(config, release=_release(release, config.metadata_version))
        config._check_release()
        if config.zookeeper_metadata_migration_enable and not config.zookeeper_connect:
            raise ConfigError(
                "zookeeper.metadata.migration.enable=true needs zookeeper.connect: give the ZooKeeper of the cluster"
                " that is to migrate"
            )
        return config

    def _check_release(self) -> None:
        levels = supported_levels(self.release)
        if self.metadata_version not in levels:
            raise ConfigError(
                f"inter.broker.protocol.version={self.metadata_version.text} is not a metadata.version of release"
                f" {self.release}, which has {MetadataVersion(levels[0]).text} to {MetadataVersion(levels[-1]).text}"
            )
        if is_4(self.release) and self.zookeeper_metadata_migration_enable:
            raise ConfigError(
                f"zookeeper.metadata.migration.enable=true and release {self.release}: it knows no ZooKeeper; migrate"
                " with release 3.9 or earlier first"
            )
        if self.has_dynamic_quorum and (
            not has_dynamic_quorums(self.release) or self.metadata_version < MetadataVersion.IBP_3_9_IV0
        ):
            raise ConfigError(
                "controller.quorum.bootstrap.servers without controller.quorum.voters makes the quorum kraft.version 1,"
                f" which begins with 3.9-IV0; this is {self.metadata_version.text} of release {self.release}: give"
                " controller.quorum.voters"
            )


def _release(named: str | None, version: MetadataVersion) -> str:
    """Raises ConfigError."""
    if named is None:
        return version.release if is_4(version.release) else DEFAULT_RELEASE
    try:
        return release_of(named)
    except UnknownMetadataVersionError as error:
        raise ConfigError(f"release {named}: {error}") from error
