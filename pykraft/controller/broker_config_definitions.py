"""Every broker and controller config of Kafka 3.9: its type, its default, and whether it can change at run time.

Sources: core/src/main/scala/kafka/server/KafkaConfig.scala, DynamicBrokerConfig.scala and DynamicConfig.scala there,
clients/.../common/config/SslConfigs.java.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pykraft.controller.config_values import ConfigType, ConfigValueError, parse_value

BOOLEAN, STRING, SHORT, INT = ConfigType.BOOLEAN, ConfigType.STRING, ConfigType.SHORT, ConfigType.INT
LONG, DOUBLE, LIST = ConfigType.LONG, ConfigType.DOUBLE, ConfigType.LIST
CLASS, PASSWORD = ConfigType.CLASS, ConfigType.PASSWORD


class UpdateMode(Enum):
    """How a config can change: only with a restart, for one node, or also for all nodes at once."""

    READ_ONLY = "read-only"
    PER_BROKER = "per-broker"
    CLUSTER_WIDE = "cluster-wide"


PER_BROKER, CLUSTER_WIDE = UpdateMode.PER_BROKER, UpdateMode.CLUSTER_WIDE


@dataclass(frozen=True, slots=True)
class BrokerConfigDefinition:
    """One broker config. `default` is its text, None when it has none; an internal config is not shown."""

    name: str
    type: ConfigType
    default: str | None
    update_mode: UpdateMode
    internal: bool


def _config(
    name: str,
    value_type: ConfigType,
    default: str | None,
    update_mode: UpdateMode = UpdateMode.READ_ONLY,
    *,
    internal: bool = False,
) -> BrokerConfigDefinition:
    return BrokerConfigDefinition(name, value_type, default, update_mode, internal)


_DEFINITIONS: Final = (
    _config("advertised.listeners", STRING, None, PER_BROKER),
    _config("alter.config.policy.class.name", CLASS, None),
    _config("alter.log.dirs.replication.quota.window.num", INT, "11"),
    _config("alter.log.dirs.replication.quota.window.size.seconds", INT, "1"),
    _config("authorizer.class.name", STRING, ""),
    _config("auto.create.topics.enable", BOOLEAN, "true"),
    _config("auto.include.jmx.reporter", BOOLEAN, "true"),
    _config("auto.leader.rebalance.enable", BOOLEAN, "true"),
    _config("background.threads", INT, "10", CLUSTER_WIDE),
    _config("broker.heartbeat.interval.ms", INT, "2000"),
    _config("broker.id", INT, "-1"),
    _config("broker.id.generation.enable", BOOLEAN, "true"),
    _config("broker.rack", STRING, None),
    _config("broker.session.timeout.ms", INT, "9000"),
    _config("client.quota.callback.class", CLASS, None),
    _config("compression.gzip.level", INT, "-1", CLUSTER_WIDE),
    _config("compression.lz4.level", INT, "9", CLUSTER_WIDE),
    _config("compression.type", STRING, "producer", CLUSTER_WIDE),
    _config("compression.zstd.level", INT, "3", CLUSTER_WIDE),
    _config("connection.failed.authentication.delay.ms", INT, "100"),
    _config("connections.max.idle.ms", LONG, "600000"),
    _config("connections.max.reauth.ms", LONG, "0"),
    _config("control.plane.listener.name", STRING, None),
    _config("controlled.shutdown.enable", BOOLEAN, "true"),
    _config("controlled.shutdown.max.retries", INT, "3"),
    _config("controlled.shutdown.retry.backoff.ms", LONG, "5000"),
    _config("controller.listener.names", STRING, None),
    _config("controller.quorum.append.linger.ms", INT, "25"),
    _config("controller.quorum.bootstrap.servers", LIST, ""),
    _config("controller.quorum.election.backoff.max.ms", INT, "1000"),
    _config("controller.quorum.election.timeout.ms", INT, "1000"),
    _config("controller.quorum.fetch.timeout.ms", INT, "2000"),
    _config("controller.quorum.request.timeout.ms", INT, "2000"),
    _config("controller.quorum.retry.backoff.ms", INT, "20"),
    _config("controller.quorum.voters", LIST, ""),
    _config("controller.quota.window.num", INT, "11"),
    _config("controller.quota.window.size.seconds", INT, "1"),
    _config("controller.socket.timeout.ms", INT, "30000"),
    _config("create.topic.policy.class.name", CLASS, None),
    _config("default.replication.factor", INT, "1"),
    _config("delegation.token.expiry.check.interval.ms", LONG, "3600000"),
    _config("delegation.token.expiry.time.ms", LONG, "86400000"),
    _config("delegation.token.master.key", PASSWORD, None),
    _config("delegation.token.max.lifetime.ms", LONG, "604800000"),
    _config("delegation.token.secret.key", PASSWORD, None),
    _config("delete.records.purgatory.purge.interval.requests", INT, "1"),
    _config("delete.topic.enable", BOOLEAN, "true"),
    _config("early.start.listeners", STRING, None),
    _config("eligible.leader.replicas.enable", BOOLEAN, "false"),
    _config("fetch.max.bytes", INT, "57671680"),
    _config("fetch.purgatory.purge.interval.requests", INT, "1000"),
    _config(
        "group.consumer.assignors",
        LIST,
        "org.apache.kafka.coordinator.group.assignor.UniformAssignor,"
        "org.apache.kafka.coordinator.group.assignor.RangeAssignor",
    ),
    _config("group.consumer.heartbeat.interval.ms", INT, "5000"),
    _config("group.consumer.max.heartbeat.interval.ms", INT, "15000"),
    _config("group.consumer.max.session.timeout.ms", INT, "60000"),
    _config("group.consumer.max.size", INT, "2147483647"),
    _config("group.consumer.migration.policy", STRING, "disabled", internal=True),
    _config("group.consumer.min.heartbeat.interval.ms", INT, "5000"),
    _config("group.consumer.min.session.timeout.ms", INT, "45000"),
    _config("group.consumer.session.timeout.ms", INT, "45000"),
    _config("group.coordinator.append.linger.ms", INT, "10"),
    _config("group.coordinator.new.enable", BOOLEAN, "false", internal=True),
    _config("group.coordinator.rebalance.protocols", LIST, "classic"),
    _config("group.coordinator.threads", INT, "1"),
    _config("group.initial.rebalance.delay.ms", INT, "3000"),
    _config("group.max.session.timeout.ms", INT, "1800000"),
    _config("group.max.size", INT, "2147483647"),
    _config("group.min.session.timeout.ms", INT, "6000"),
    _config("group.share.delivery.count.limit", INT, "5"),
    _config("group.share.enable", BOOLEAN, "false", internal=True),
    _config("group.share.heartbeat.interval.ms", INT, "5000"),
    _config("group.share.max.groups", SHORT, "10"),
    _config("group.share.max.heartbeat.interval.ms", INT, "15000"),
    _config("group.share.max.record.lock.duration.ms", INT, "60000"),
    _config("group.share.max.session.timeout.ms", INT, "60000"),
    _config("group.share.max.size", SHORT, "200"),
    _config("group.share.min.heartbeat.interval.ms", INT, "5000"),
    _config("group.share.min.record.lock.duration.ms", INT, "15000"),
    _config("group.share.min.session.timeout.ms", INT, "45000"),
    _config("group.share.partition.max.record.locks", INT, "200"),
    _config("group.share.record.lock.duration.ms", INT, "30000"),
    _config("group.share.session.timeout.ms", INT, "45000"),
    _config("initial.broker.registration.timeout.ms", INT, "60000"),
    _config("inter.broker.listener.name", STRING, None),
    _config("inter.broker.protocol.version", STRING, "3.9-IV0"),
    _config("kafka.metrics.polling.interval.secs", INT, "10"),
    _config("kafka.metrics.reporters", LIST, ""),
    _config("leader.imbalance.check.interval.seconds", LONG, "300"),
    _config("leader.imbalance.per.broker.percentage", INT, "10"),
    _config(
        "listener.security.protocol.map",
        STRING,
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        PER_BROKER,
    ),
    _config("listeners", STRING, "PLAINTEXT://:9092", PER_BROKER),
    _config("log.cleaner.backoff.ms", LONG, "15000", CLUSTER_WIDE),
    _config("log.cleaner.dedupe.buffer.size", LONG, "134217728", CLUSTER_WIDE),
    _config("log.cleaner.delete.retention.ms", LONG, "86400000", CLUSTER_WIDE),
    _config("log.cleaner.enable", BOOLEAN, "true"),
    _config("log.cleaner.io.buffer.load.factor", DOUBLE, "0.9", CLUSTER_WIDE),
    _config("log.cleaner.io.buffer.size", INT, "524288", CLUSTER_WIDE),
    _config("log.cleaner.io.max.bytes.per.second", DOUBLE, "1.7976931348623157E308", CLUSTER_WIDE),
    _config("log.cleaner.max.compaction.lag.ms", LONG, "9223372036854775807", CLUSTER_WIDE),
    _config("log.cleaner.min.cleanable.ratio", DOUBLE, "0.5", CLUSTER_WIDE),
    _config("log.cleaner.min.compaction.lag.ms", LONG, "0", CLUSTER_WIDE),
    _config("log.cleaner.threads", INT, "1", CLUSTER_WIDE),
    _config("log.cleanup.policy", LIST, "delete", CLUSTER_WIDE),
    _config("log.dir", STRING, "/tmp/kafka-logs"),
    _config("log.dir.failure.timeout.ms", LONG, "30000"),
    _config("log.dirs", STRING, None),
    _config("log.flush.interval.messages", LONG, "9223372036854775807", CLUSTER_WIDE),
    _config("log.flush.interval.ms", LONG, None, CLUSTER_WIDE),
    _config("log.flush.offset.checkpoint.interval.ms", INT, "60000"),
    _config("log.flush.scheduler.interval.ms", LONG, "9223372036854775807"),
    _config("log.flush.start.offset.checkpoint.interval.ms", INT, "60000"),
    _config("log.index.interval.bytes", INT, "4096", CLUSTER_WIDE),
    _config("log.index.size.max.bytes", INT, "10485760", CLUSTER_WIDE),
    _config("log.initial.task.delay.ms", LONG, "30000", internal=True),
    _config("log.local.retention.bytes", LONG, "-2", CLUSTER_WIDE),
    _config("log.local.retention.ms", LONG, "-2", CLUSTER_WIDE),
    _config("log.message.downconversion.enable", BOOLEAN, "true", CLUSTER_WIDE),
    _config("log.message.format.version", STRING, "3.0-IV1"),
    _config("log.message.timestamp.after.max.ms", LONG, "9223372036854775807", CLUSTER_WIDE),
    _config("log.message.timestamp.before.max.ms", LONG, "9223372036854775807", CLUSTER_WIDE),
    _config("log.message.timestamp.difference.max.ms", LONG, "9223372036854775807", CLUSTER_WIDE),
    _config("log.message.timestamp.type", STRING, "CreateTime", CLUSTER_WIDE),
    _config("log.preallocate", BOOLEAN, "false", CLUSTER_WIDE),
    _config("log.retention.bytes", LONG, "-1", CLUSTER_WIDE),
    _config("log.retention.check.interval.ms", LONG, "300000"),
    _config("log.retention.hours", INT, "168"),
    _config("log.retention.minutes", INT, None),
    _config("log.retention.ms", LONG, None, CLUSTER_WIDE),
    _config("log.roll.hours", INT, "168"),
    _config("log.roll.jitter.hours", INT, "0"),
    _config("log.roll.jitter.ms", LONG, None, CLUSTER_WIDE),
    _config("log.roll.ms", LONG, None, CLUSTER_WIDE),
    _config("log.segment.bytes", INT, "1073741824", CLUSTER_WIDE),
    _config("log.segment.delete.delay.ms", LONG, "60000", CLUSTER_WIDE),
    _config("max.connection.creation.rate", INT, "2147483647", CLUSTER_WIDE),
    _config("max.connections", INT, "2147483647", CLUSTER_WIDE),
    _config("max.connections.per.ip", INT, "2147483647", CLUSTER_WIDE),
    _config("max.connections.per.ip.overrides", STRING, "", CLUSTER_WIDE),
    _config("max.incremental.fetch.session.cache.slots", INT, "1000"),
    _config("max.request.partition.size.limit", INT, "2000"),
    _config("message.max.bytes", INT, "1048588", CLUSTER_WIDE),
    _config("metadata.log.dir", STRING, None),
    _config("metadata.log.max.record.bytes.between.snapshots", LONG, "20971520"),
    _config("metadata.log.max.snapshot.interval.ms", LONG, "3600000"),
    _config("metadata.log.segment.bytes", INT, "1073741824"),
    _config("metadata.log.segment.min.bytes", INT, "8388608", internal=True),
    _config("metadata.log.segment.ms", LONG, "604800000"),
    _config("metadata.max.idle.interval.ms", INT, "500"),
    _config("metadata.max.retention.bytes", LONG, "104857600"),
    _config("metadata.max.retention.ms", LONG, "604800000"),
    _config("metric.reporters", LIST, "", CLUSTER_WIDE),
    _config("metrics.num.samples", INT, "2"),
    _config("metrics.recording.level", STRING, "INFO"),
    _config("metrics.sample.window.ms", LONG, "30000"),
    _config("min.insync.replicas", INT, "1", CLUSTER_WIDE),
    _config("node.id", INT, "-1"),
    _config("num.io.threads", INT, "8", CLUSTER_WIDE),
    _config("num.network.threads", INT, "3", CLUSTER_WIDE),
    _config("num.partitions", INT, "1"),
    _config("num.recovery.threads.per.data.dir", INT, "1", CLUSTER_WIDE),
    _config("num.replica.alter.log.dirs.threads", INT, None),
    _config("num.replica.fetchers", INT, "1", CLUSTER_WIDE),
    _config("offset.metadata.max.bytes", INT, "4096"),
    _config("offsets.commit.required.acks", SHORT, "-1"),
    _config("offsets.commit.timeout.ms", INT, "5000"),
    _config("offsets.load.buffer.size", INT, "5242880"),
    _config("offsets.retention.check.interval.ms", LONG, "600000"),
    _config("offsets.retention.minutes", INT, "10080"),
    _config("offsets.topic.compression.codec", INT, "0"),
    _config("offsets.topic.num.partitions", INT, "50"),
    _config("offsets.topic.replication.factor", SHORT, "3"),
    _config("offsets.topic.segment.bytes", INT, "104857600"),
    _config("password.encoder.cipher.algorithm", STRING, "AES/CBC/PKCS5Padding"),
    _config("password.encoder.iterations", INT, "4096"),
    _config("password.encoder.key.length", INT, "128"),
    _config("password.encoder.keyfactory.algorithm", STRING, None),
    _config("password.encoder.old.secret", PASSWORD, None),
    _config("password.encoder.secret", PASSWORD, None),
    _config(
        "principal.builder.class",
        CLASS,
        "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
        PER_BROKER,
    ),
    _config("process.roles", LIST, ""),
    _config("producer.id.expiration.check.interval.ms", INT, "600000", internal=True),
    _config("producer.id.expiration.ms", INT, "86400000", CLUSTER_WIDE),
    _config("producer.purgatory.purge.interval.requests", INT, "1000"),
    _config("queued.max.request.bytes", LONG, "-1"),
    _config("queued.max.requests", INT, "500"),
    _config("quota.window.num", INT, "11"),
    _config("quota.window.size.seconds", INT, "1"),
    _config("remote.fetch.max.wait.ms", INT, "500", CLUSTER_WIDE),
    _config("remote.log.index.file.cache.total.size.bytes", LONG, "1073741824", CLUSTER_WIDE),
    _config("remote.log.manager.copier.thread.pool.size", INT, "-1"),
    _config("remote.log.manager.copy.max.bytes.per.second", LONG, "9223372036854775807", CLUSTER_WIDE),
    _config("remote.log.manager.copy.quota.window.num", INT, "11"),
    _config("remote.log.manager.copy.quota.window.size.seconds", INT, "1"),
    _config("remote.log.manager.expiration.thread.pool.size", INT, "-1"),
    _config("remote.log.manager.fetch.max.bytes.per.second", LONG, "9223372036854775807", CLUSTER_WIDE),
    _config("remote.log.manager.fetch.quota.window.num", INT, "11"),
    _config("remote.log.manager.fetch.quota.window.size.seconds", INT, "1"),
    _config("remote.log.manager.task.interval.ms", LONG, "30000"),
    _config("remote.log.manager.task.retry.backoff.max.ms", LONG, "30000", internal=True),
    _config("remote.log.manager.task.retry.backoff.ms", LONG, "500", internal=True),
    _config("remote.log.manager.task.retry.jitter", DOUBLE, "0.2", internal=True),
    _config("remote.log.manager.thread.pool.size", INT, "10"),
    _config("remote.log.metadata.custom.metadata.max.bytes", INT, "128"),
    _config(
        "remote.log.metadata.manager.class.name",
        STRING,
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
    ),
    _config("remote.log.metadata.manager.class.path", STRING, None),
    _config("remote.log.metadata.manager.impl.prefix", STRING, "rlmm.config."),
    _config("remote.log.metadata.manager.listener.name", STRING, None),
    _config("remote.log.reader.max.pending.tasks", INT, "100"),
    _config("remote.log.reader.threads", INT, "10"),
    _config("remote.log.storage.manager.class.name", STRING, None),
    _config("remote.log.storage.manager.class.path", STRING, None),
    _config("remote.log.storage.manager.impl.prefix", STRING, "rsm.config."),
    _config("remote.log.storage.system.enable", BOOLEAN, "false"),
    _config("replica.fetch.backoff.ms", INT, "1000"),
    _config("replica.fetch.max.bytes", INT, "1048576"),
    _config("replica.fetch.min.bytes", INT, "1"),
    _config("replica.fetch.response.max.bytes", INT, "10485760"),
    _config("replica.fetch.wait.max.ms", INT, "500"),
    _config("replica.high.watermark.checkpoint.interval.ms", LONG, "5000"),
    _config("replica.lag.time.max.ms", LONG, "30000"),
    _config("replica.selector.class", STRING, None),
    _config("replica.socket.receive.buffer.bytes", INT, "65536"),
    _config("replica.socket.timeout.ms", INT, "30000"),
    _config("replication.quota.window.num", INT, "11"),
    _config("replication.quota.window.size.seconds", INT, "1"),
    _config("request.timeout.ms", INT, "30000"),
    _config("reserved.broker.max.id", INT, "1000"),
    _config("sasl.client.callback.handler.class", CLASS, None),
    _config("sasl.enabled.mechanisms", LIST, "GSSAPI", PER_BROKER),
    _config("sasl.jaas.config", PASSWORD, None, PER_BROKER),
    _config("sasl.kerberos.kinit.cmd", STRING, "/usr/bin/kinit", PER_BROKER),
    _config("sasl.kerberos.min.time.before.relogin", LONG, "60000", PER_BROKER),
    _config("sasl.kerberos.principal.to.local.rules", LIST, "DEFAULT", PER_BROKER),
    _config("sasl.kerberos.service.name", STRING, None, PER_BROKER),
    _config("sasl.kerberos.ticket.renew.jitter", DOUBLE, "0.05", PER_BROKER),
    _config("sasl.kerberos.ticket.renew.window.factor", DOUBLE, "0.8", PER_BROKER),
    _config("sasl.login.callback.handler.class", CLASS, None),
    _config("sasl.login.class", CLASS, None),
    _config("sasl.login.connect.timeout.ms", INT, None),
    _config("sasl.login.read.timeout.ms", INT, None),
    _config("sasl.login.refresh.buffer.seconds", SHORT, "300", PER_BROKER),
    _config("sasl.login.refresh.min.period.seconds", SHORT, "60", PER_BROKER),
    _config("sasl.login.refresh.window.factor", DOUBLE, "0.8", PER_BROKER),
    _config("sasl.login.refresh.window.jitter", DOUBLE, "0.05", PER_BROKER),
    _config("sasl.login.retry.backoff.max.ms", LONG, "10000"),
    _config("sasl.login.retry.backoff.ms", LONG, "100"),
    _config("sasl.mechanism.controller.protocol", STRING, "GSSAPI"),
    _config("sasl.mechanism.inter.broker.protocol", STRING, "GSSAPI", PER_BROKER),
    _config("sasl.oauthbearer.clock.skew.seconds", INT, "30"),
    _config("sasl.oauthbearer.expected.audience", LIST, None),
    _config("sasl.oauthbearer.expected.issuer", STRING, None),
    _config("sasl.oauthbearer.jwks.endpoint.refresh.ms", LONG, "3600000"),
    _config("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", LONG, "10000"),
    _config("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", LONG, "100"),
    _config("sasl.oauthbearer.jwks.endpoint.url", STRING, None),
    _config("sasl.oauthbearer.scope.claim.name", STRING, "scope"),
    _config("sasl.oauthbearer.sub.claim.name", STRING, "sub"),
    _config("sasl.oauthbearer.token.endpoint.url", STRING, None),
    _config("sasl.server.callback.handler.class", CLASS, None),
    _config("sasl.server.max.receive.size", INT, "524288"),
    _config("security.inter.broker.protocol", STRING, "PLAINTEXT"),
    _config("security.providers", STRING, None),
    _config("server.max.startup.time.ms", LONG, "9223372036854775807", internal=True),
    _config("socket.connection.setup.timeout.max.ms", LONG, "30000"),
    _config("socket.connection.setup.timeout.ms", LONG, "10000"),
    _config("socket.listen.backlog.size", INT, "50"),
    _config("socket.receive.buffer.bytes", INT, "102400"),
    _config("socket.request.max.bytes", INT, "104857600"),
    _config("socket.send.buffer.bytes", INT, "102400"),
    _config("ssl.allow.dn.changes", BOOLEAN, "false"),
    _config("ssl.allow.san.changes", BOOLEAN, "false"),
    _config("ssl.cipher.suites", LIST, "", PER_BROKER),
    _config("ssl.client.auth", STRING, "none", PER_BROKER),
    _config("ssl.enabled.protocols", LIST, "TLSv1.2,TLSv1.3", PER_BROKER),
    _config("ssl.endpoint.identification.algorithm", STRING, "https", PER_BROKER),
    _config("ssl.engine.factory.class", CLASS, None, PER_BROKER),
    _config("ssl.key.password", PASSWORD, None, PER_BROKER),
    _config("ssl.keymanager.algorithm", STRING, "SunX509", PER_BROKER),
    _config("ssl.keystore.certificate.chain", PASSWORD, None, PER_BROKER),
    _config("ssl.keystore.key", PASSWORD, None, PER_BROKER),
    _config("ssl.keystore.location", STRING, None, PER_BROKER),
    _config("ssl.keystore.password", PASSWORD, None, PER_BROKER),
    _config("ssl.keystore.type", STRING, "JKS", PER_BROKER),
    _config("ssl.principal.mapping.rules", STRING, "DEFAULT"),
    _config("ssl.protocol", STRING, "TLSv1.3", PER_BROKER),
    _config("ssl.provider", STRING, None, PER_BROKER),
    _config("ssl.secure.random.implementation", STRING, None, PER_BROKER),
    _config("ssl.trustmanager.algorithm", STRING, "PKIX", PER_BROKER),
    _config("ssl.truststore.certificates", PASSWORD, None, PER_BROKER),
    _config("ssl.truststore.location", STRING, None, PER_BROKER),
    _config("ssl.truststore.password", PASSWORD, None, PER_BROKER),
    _config("ssl.truststore.type", STRING, "JKS", PER_BROKER),
    _config("telemetry.max.bytes", INT, "1048576"),
    _config("transaction.abort.timed.out.transaction.cleanup.interval.ms", INT, "10000"),
    _config("transaction.max.timeout.ms", INT, "900000"),
    _config("transaction.partition.verification.enable", BOOLEAN, "true", CLUSTER_WIDE),
    _config("transaction.remove.expired.transaction.cleanup.interval.ms", INT, "3600000"),
    _config("transaction.state.log.load.buffer.size", INT, "5242880"),
    _config("transaction.state.log.min.isr", INT, "2"),
    _config("transaction.state.log.num.partitions", INT, "50"),
    _config("transaction.state.log.replication.factor", SHORT, "3"),
    _config("transaction.state.log.segment.bytes", INT, "104857600"),
    _config("transactional.id.expiration.ms", INT, "604800000"),
    _config("unclean.leader.election.enable", BOOLEAN, "false", CLUSTER_WIDE),
    _config("unclean.leader.election.interval.ms", LONG, "300000", internal=True),
    _config("unstable.api.versions.enable", BOOLEAN, "false", internal=True),
    _config("unstable.feature.versions.enable", BOOLEAN, "false", internal=True),
    _config("zookeeper.clientCnxnSocket", STRING, None),
    _config("zookeeper.connect", STRING, None),
    _config("zookeeper.connection.timeout.ms", INT, None),
    _config("zookeeper.max.in.flight.requests", INT, "10"),
    _config("zookeeper.metadata.migration.enable", BOOLEAN, "false"),
    _config("zookeeper.metadata.migration.min.batch.size", INT, "200", internal=True),
    _config("zookeeper.session.timeout.ms", INT, "18000"),
    _config("zookeeper.set.acl", BOOLEAN, "false"),
    _config("zookeeper.ssl.cipher.suites", LIST, None),
    _config("zookeeper.ssl.client.enable", BOOLEAN, "false"),
    _config("zookeeper.ssl.crl.enable", BOOLEAN, "false"),
    _config("zookeeper.ssl.enabled.protocols", LIST, None),
    _config("zookeeper.ssl.endpoint.identification.algorithm", STRING, "HTTPS"),
    _config("zookeeper.ssl.keystore.location", STRING, None),
    _config("zookeeper.ssl.keystore.password", PASSWORD, None),
    _config("zookeeper.ssl.keystore.type", STRING, None),
    _config("zookeeper.ssl.ocsp.enable", BOOLEAN, "false"),
    _config("zookeeper.ssl.protocol", STRING, "TLSv1.2"),
    _config("zookeeper.ssl.truststore.location", STRING, None),
    _config("zookeeper.ssl.truststore.password", PASSWORD, None),
    _config("zookeeper.ssl.truststore.type", STRING, None),
)

BROKER_CONFIGS: Final[Mapping[str, BrokerConfigDefinition]] = {config.name: config for config in _DEFINITIONS}
"""Every broker config by name."""

_REPLICATION_QUOTAS: Final = frozenset(
    {
        "follower.replication.throttled.rate",
        "leader.replication.throttled.rate",
        "replica.alter.log.dirs.io.max.bytes.per.second",
    }
)
"""Configs that exist only as dynamic ones, all LONG."""
_SECURITY_STORES: Final = frozenset(
    {
        "ssl.key.password",
        "ssl.keystore.certificate.chain",
        "ssl.keystore.key",
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.keystore.type",
        "ssl.truststore.certificates",
        "ssl.truststore.location",
        "ssl.truststore.password",
        "ssl.truststore.type",
    }
)
"""Configs that are dynamic only under the prefix of a listener."""
_CLUSTER_WIDE_LISTENER_CONFIGS: Final = frozenset(
    {
        "max.connections",
        "max.connection.creation.rate",
        "num.network.threads",
    }
)
_MECHANISM_CONFIGS: Final = (
    "sasl.jaas.config",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.server.callback.handler.class",
    "connections.max.reauth.ms",
)
_LISTENER_PREFIX: Final = re.compile(r"listener\.name\.[^.]*\.(.*)")
SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    name: names
    for names in (
        ("log.roll.ms", "log.roll.hours"),
        ("log.roll.jitter.ms", "log.roll.jitter.hours"),
        ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
    )
    for name in names
} | {"log.flush.interval.ms": ("log.flush.interval.ms", "log.flush.scheduler.interval.ms")}
"""Configs that say the same thing under several names, the one that wins first."""


def broker_config_synonyms(name: str) -> tuple[str, ...]:
    """The names under which a broker config can be given, the one that wins first."""
    prefixed = _LISTENER_PREFIX.fullmatch(name)
    if prefixed is None:
        return SYNONYMS.get(name, (name,))
    base = prefixed[1]
    return name, next((mechanism for mechanism in _MECHANISM_CONFIGS if base.endswith(mechanism)), base)


def broker_config_type(name: str) -> ConfigType:
    """The type of a broker config, also under a listener's prefix; UNKNOWN for one that is not known."""
    for synonym in (name, *broker_config_synonyms(name)):
        if synonym in BROKER_CONFIGS:
            return BROKER_CONFIGS[synonym].type
        if synonym in _REPLICATION_QUOTAS:
            return LONG
    return ConfigType.UNKNOWN


def applicable_dynamic_configs(configs: Mapping[str, str], *, per_broker: bool) -> dict[str, str]:
    """The dynamic configs that a node takes over: those it may change at run time, with values it can read.

    `per_broker` tells configs of one node from the defaults of all. Unknown configs pass, as in Kafka.
    """
    return {name: value for name, value in configs.items() if _applies(name, value, per_broker=per_broker)}


def _applies(name: str, value: str, *, per_broker: bool) -> bool:
    prefixed = _LISTENER_PREFIX.fullmatch(name)
    definition = BROKER_CONFIGS.get(name if prefixed is None else prefixed[1])
    if definition is not None:
        try:
            parse_value(name, value, definition.type)
        except ConfigValueError:
            return False
    if prefixed is not None:
        return per_broker or prefixed[1] in _CLUSTER_WIDE_LISTENER_CONFIGS
    if definition is None:
        return True
    if definition.update_mode is UpdateMode.READ_ONLY or name in _SECURITY_STORES:
        return False
    return per_broker or definition.update_mode is UpdateMode.CLUSTER_WIDE
