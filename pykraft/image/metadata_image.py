"""The metadata image: the cluster as replayed from records.

One writer applies records in order. Sources: metadata/src/main/java/org/apache/kafka/image/ and .../controller/
(the replay methods of the control managers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pykraft.image.delta import MetadataDelta, TopicDelta
from pykraft.image.metadata_version import ELR_VERSION, FEATURE_NAME, MINIMUM_VERSION, MetadataVersion
from pykraft.image.model import (
    NO_PRODUCER_IDS,
    Acl,
    BrokerRegistration,
    ConfigResource,
    ControllerRegistration,
    DelegationToken,
    Endpoint,
    FeatureRange,
    PartitionRegistration,
    ProducerIds,
    QuotaEntity,
    ResourceType,
    ScramCredential,
    ScramKey,
    TopicImage,
    ZkMigrationState,
)
from pykraft.image.partition_merge import merge_partition
from pykraft.image.partition_tallies import PartitionTallies
from pykraft.protocol.records.abort_transaction_record import AbortTransactionRecord
from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.broker_registration_change_record import BrokerRegistrationChangeRecord
from pykraft.protocol.records.clear_elr_record import ClearElrRecord
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.fence_broker_record import FenceBrokerRecord
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.register_broker_record import RegisterBrokerRecord
from pykraft.protocol.records.register_controller_record import RegisterControllerRecord
from pykraft.protocol.records.remove_access_control_entry_record import RemoveAccessControlEntryRecord
from pykraft.protocol.records.remove_delegation_token_record import RemoveDelegationTokenRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.remove_user_scram_credential_record import RemoveUserScramCredentialRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.unfence_broker_record import UnfenceBrokerRecord
from pykraft.protocol.records.unregister_broker_record import UnregisterBrokerRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from pykraft.protocol.uuids import Uuid, uuid_to_text


class ReplayError(Exception):
    """A record that cannot follow on what was replayed before it; the image is unchanged."""


class MetadataImage(PartitionTallies):
    """The cluster's metadata at `offset` (the last applied record, −1 when there is none).

    Everything here is read-only to all but the writer, who calls `apply` for each record in turn and `take_delta`
    for what to publish.
    """

    def __init__(self) -> None:
        super().__init__()
        self.offset = -1
        self.epoch = 0
        self.features: dict[str, int] = {}
        self.features_changed_offset = -1
        self.zk_migration_state = ZkMigrationState.NONE
        self.brokers: dict[int, BrokerRegistration] = {}
        self.controllers: dict[int, ControllerRegistration] = {}
        self.topics_by_id: dict[Uuid, TopicImage] = {}
        self.topics_by_name: dict[str, TopicImage] = {}
        self.configs: dict[ConfigResource, dict[str, str]] = {}
        self.client_quotas: dict[QuotaEntity, dict[str, float]] = {}
        self.producer_ids = NO_PRODUCER_IDS
        self.acls: dict[Uuid, Acl] = {}
        self.scram: dict[ScramKey, ScramCredential] = {}
        self.delegation_tokens: dict[str, DelegationToken] = {}
        self.transaction_name: str | None = None
        self.transaction_start_offset: int | None = None
        self._delta = MetadataDelta()
        self._delta_before_transaction: MetadataDelta | None = None

    @property
    def metadata_version(self) -> MetadataVersion:
        """The finalized metadata.version; 3.0-IV1 while no FeatureLevelRecord was seen."""
        return MetadataVersion(self.features.get(FEATURE_NAME, MINIMUM_VERSION))

    @property
    def is_elr_enabled(self) -> bool:
        """Whether partitions keep eligible leader replicas (KIP-966)."""
        return self.features.get(ELR_VERSION, 0) > 0

    @property
    def in_transaction(self) -> bool:
        return self.transaction_start_offset is not None

    @property
    def transaction_changes(self) -> MetadataDelta | None:
        """What the open transaction has changed so far, None when none is open."""
        return self._delta if self.in_transaction else None

    @property
    def last_stable_offset(self) -> int:
        """The last offset outside an open transaction."""
        return self.offset if self.transaction_start_offset is None else self.transaction_start_offset - 1

    @property
    def stable_zk_migration_state(self) -> ZkMigrationState:
        """The migration state without what an open transaction made of it."""
        if self.in_transaction and self._delta.zk_migration_state is not None:
            return self._delta.zk_migration_state
        return self.zk_migration_state

    @property
    def is_blank(self) -> bool:
        """Whether there is no metadata at all, as in a new cluster."""
        return (
            self.zk_migration_state is ZkMigrationState.NONE
            and self.producer_ids == NO_PRODUCER_IDS
            and not (
                self.features
                or self.brokers
                or self.controllers
                or self.topics_by_id
                or self.configs
                or self.client_quotas
                or self.acls
                or self.scram
                or self.delegation_tokens
            )
        )

    def partition(self, topic_id: Uuid, partition: int) -> PartitionRegistration | None:
        topic = self.topics_by_id.get(topic_id)
        return None if topic is None else topic.partitions.get(partition)

    def topic_configs(self, name: str) -> Mapping[str, str]:
        return self.configs.get(ConfigResource(ResourceType.TOPIC, name), {})

    def take_delta(self) -> MetadataDelta | None:
        """What changed since the last call, or None. Changes of an open transaction are held back until its end."""
        if self.in_transaction:
            delta, self._delta_before_transaction = self._delta_before_transaction, None
        else:
            delta, self._delta = self._delta, MetadataDelta()
        return None if delta is None or delta.is_empty else delta

    def apply(self, record: Any, offset: int, epoch: int) -> None:
        """Replay one metadata record (a generated record type).

        Raises ReplayError for a record that does not fit, such as a change to an unknown partition.
        """
        handler = _HANDLERS.get(type(record))
        if handler is None:
            raise ReplayError(f"offset {offset}: no replay for {type(record).__name__}")
        handler(self, record, offset)
        self.offset, self.epoch = offset, epoch

    # -- cluster -------------------------------------------------------------------------------------------------

    def _register_broker(self, record: RegisterBrokerRecord, offset: int) -> None:
        self._set_broker(
            BrokerRegistration(
                id=record.broker_id,
                epoch=record.broker_epoch,
                incarnation_id=record.incarnation_id,
                listeners=tuple(Endpoint(e.name, e.host, e.port, e.security_protocol) for e in record.end_points),
                features=_features(record.features),
                rack=record.rack,
                fenced=record.fenced,
                in_controlled_shutdown=record.in_controlled_shutdown,
                is_migrating_zk_broker=record.is_migrating_zk_broker,
                directories=tuple(record.log_dirs),
                registration_offset=offset,
            )
        )

    def _register_controller(self, record: RegisterControllerRecord, offset: int) -> None:
        self._delta.controllers.setdefault(record.controller_id, self.controllers.get(record.controller_id))
        self.controllers[record.controller_id] = ControllerRegistration(
            id=record.controller_id,
            incarnation_id=record.incarnation_id,
            zk_migration_ready=record.zk_migration_ready,
            listeners=tuple(Endpoint(e.name, e.host, e.port, e.security_protocol) for e in record.end_points),
            features=_features(record.features),
        )

    def _unregister_broker(self, record: UnregisterBrokerRecord, offset: int) -> None:
        broker = self._known_broker(record.broker_id, record.broker_epoch, offset)
        self._delta.brokers.setdefault(broker.id, broker)
        del self.brokers[broker.id]

    def _change_broker(self, record: BrokerRegistrationChangeRecord, offset: int) -> None:
        broker = self._known_broker(record.broker_id, record.broker_epoch, offset)
        if record.fenced not in (-1, 0, 1) or record.in_controlled_shutdown not in (0, 1):
            raise ReplayError(
                f"offset {offset}: broker {broker.id} cannot change by fenced={record.fenced},"
                f" inControlledShutdown={record.in_controlled_shutdown}"
            )
        fenced = broker.fenced if record.fenced == 0 else record.fenced == 1
        shutting_down = broker.in_controlled_shutdown or record.in_controlled_shutdown == 1
        self._set_broker(
            msgspec.structs.replace(
                broker,
                fenced=fenced,
                in_controlled_shutdown=shutting_down,
                directories=tuple(record.log_dirs) or broker.directories,
            )
        )

    def _fence_broker(self, record: FenceBrokerRecord, offset: int) -> None:
        broker = self._known_broker(record.id, record.epoch, offset)
        self._set_broker(msgspec.structs.replace(broker, fenced=True))

    def _unfence_broker(self, record: UnfenceBrokerRecord, offset: int) -> None:
        broker = self._known_broker(record.id, record.epoch, offset)
        self._set_broker(msgspec.structs.replace(broker, fenced=False))

    def _known_broker(self, broker_id: int, epoch: int, offset: int) -> BrokerRegistration:
        broker = self.brokers.get(broker_id)
        if broker is None:
            raise ReplayError(f"offset {offset}: broker {broker_id} is not registered")
        if broker.epoch != epoch:
            raise ReplayError(f"offset {offset}: broker {broker_id} has epoch {broker.epoch}, not {epoch}")
        return broker

    def _set_broker(self, broker: BrokerRegistration) -> None:
        self._delta.brokers.setdefault(broker.id, self.brokers.get(broker.id))
        self.brokers[broker.id] = broker

    # -- topics --------------------------------------------------------------------------------------------------

    def _topic(self, record: TopicRecord, offset: int) -> None:
        if record.topic_id in self.topics_by_id or record.name in self.topics_by_name:
            raise ReplayError(f"offset {offset}: topic {record.name} ({uuid_to_text(record.topic_id)}) exists already")
        change = self._delta.topics.get(record.topic_id)
        if change is None:
            self._delta.topics[record.topic_id] = TopicDelta(record.name, existed=False)
        elif not change.recreate(record.name):
            raise ReplayError(
                f"offset {offset}: topic {record.name} has the id {uuid_to_text(record.topic_id)} of {change.name},"
                " which was just deleted"
            )
        topic = TopicImage(record.name, record.topic_id, {})
        self.topics_by_id[topic.id] = self.topics_by_name[topic.name] = topic

    def _remove_topic(self, record: RemoveTopicRecord, offset: int) -> None:
        topic = self._known_topic(record.topic_id, offset)
        change = self._delta.topics.setdefault(topic.id, TopicDelta(topic.name, existed=True))
        for number, state in topic.partitions.items():
            self._count(topic.id, number, state, None)
        del self.topics_by_id[topic.id], self.topics_by_name[topic.name]
        if change.existed:
            change.removed = topic
        else:
            del self._delta.topics[topic.id]
        resource = ConfigResource(ResourceType.TOPIC, topic.name)
        configs = self.configs.pop(resource, None)
        if configs is not None:
            self._delta.configs.setdefault(resource, configs)

    def _partition(self, record: PartitionRecord, offset: int) -> None:
        topic = self._known_topic(record.topic_id, offset)
        if not record.replicas or (record.directories and len(record.directories) != len(record.replicas)):
            raise ReplayError(
                f"offset {offset}: partition {record.partition_id} of topic {topic.name} has {len(record.replicas)}"
                f" replicas and {len(record.directories)} directories"
            )
        self.set_partition(
            topic,
            record.partition_id,
            PartitionRegistration(
                tuple(record.replicas),
                tuple(record.isr),
                record.leader,
                record.leader_epoch,
                record.partition_epoch,
                record.leader_recovery_state,
                tuple(record.removing_replicas),
                tuple(record.adding_replicas),
                tuple(record.directories),
                tuple(record.eligible_leader_replicas or ()),
                tuple(record.last_known_elr or ()),
            ),
        )

    def _partition_change(self, record: PartitionChangeRecord, offset: int) -> None:
        topic = self._known_topic(record.topic_id, offset)
        before = topic.partitions.get(record.partition_id)
        if before is None:
            raise ReplayError(f"offset {offset}: topic {topic.name} has no partition {record.partition_id}")
        replicas = before.replicas if record.replicas is None else record.replicas
        if not replicas or (record.directories and len(record.directories) != len(replicas)):
            raise ReplayError(
                f"offset {offset}: a change of partition {record.partition_id} of topic {topic.name} leaves"
                f" {len(replicas)} replicas and {len(record.directories or ())} directories"
            )
        self.set_partition(topic, record.partition_id, merge_partition(before, record))

    def _clear_elr(self, record: ClearElrRecord, offset: int) -> None:
        """Forget the eligible leaders of a topic, of every topic for the name ""; partitions that had some change."""
        topic = self.topics_by_name.get(record.topic_name)
        if record.topic_name and topic is None:
            raise ReplayError(f"offset {offset}: there is no topic {record.topic_name} to clear the ELR of")
        cleared = PartitionChangeRecord(eligible_leader_replicas=[], last_known_elr=[])
        for topic_id, number in sorted(self.with_elr):
            if topic is None or topic.id == topic_id:
                owner = self.topics_by_id[topic_id]
                self.set_partition(owner, number, merge_partition(owner.partitions[number], cleared))

    def _known_topic(self, topic_id: Uuid, offset: int) -> TopicImage:
        topic = self.topics_by_id.get(topic_id)
        if topic is None:
            raise ReplayError(f"offset {offset}: no topic has the id {uuid_to_text(topic_id)}")
        return topic

    def set_partition(self, topic: TopicImage, number: int, state: PartitionRegistration) -> None:
        """Replay a PartitionRecord that was read already, as `pykraft.image.replay` reads most of them."""
        before = topic.partitions.get(number)
        change = self._delta.topics.get(topic.id)
        if change is None:
            change = self._delta.topics[topic.id] = TopicDelta(topic.name, existed=True)
        change.partitions.setdefault(number, before)
        topic.partitions[number] = state
        self._count(topic.id, number, before, state)

    # -- configs, quotas, credentials ----------------------------------------------------------------------------

    def _config(self, record: ConfigRecord, offset: int) -> None:
        resource = ConfigResource(record.resource_type, record.resource_name)
        configs = self.configs.get(resource, {})
        if resource not in self._delta.configs:
            self._delta.configs[resource] = dict(configs)
        if record.value is None:
            configs.pop(record.name, None)
        else:
            configs[record.name] = record.value
        _keep(self.configs, resource, configs)

    def _client_quota(self, record: ClientQuotaRecord, offset: int) -> None:
        entity = tuple(sorted((e.entity_type, e.entity_name) for e in record.entity))
        quotas = self.client_quotas.get(entity, {})
        if entity not in self._delta.client_quotas:
            self._delta.client_quotas[entity] = dict(quotas)
        if record.remove:
            quotas.pop(record.key, None)
        else:
            quotas[record.key] = record.value
        _keep(self.client_quotas, entity, quotas)

    def _scram(self, record: UserScramCredentialRecord, offset: int) -> None:
        key = ScramKey(record.mechanism, record.name)
        self._delta.scram.setdefault(key, self.scram.get(key))
        self.scram[key] = ScramCredential(record.salt, record.stored_key, record.server_key, record.iterations)

    def _remove_scram(self, record: RemoveUserScramCredentialRecord, offset: int) -> None:
        key = ScramKey(record.mechanism, record.name)
        if key not in self.scram:
            raise ReplayError(f"offset {offset}: user {record.name} has no credential of mechanism {record.mechanism}")
        self._delta.scram.setdefault(key, self.scram.pop(key))

    def _acl(self, record: AccessControlEntryRecord, offset: int) -> None:
        self._delta.acls.setdefault(record.id, self.acls.get(record.id))
        self.acls[record.id] = Acl(
            record.resource_type,
            record.resource_name,
            record.pattern_type,
            record.principal,
            record.host,
            record.operation,
            record.permission_type,
        )

    def _remove_acl(self, record: RemoveAccessControlEntryRecord, offset: int) -> None:
        if record.id not in self.acls:
            raise ReplayError(f"offset {offset}: no ACL has the id {uuid_to_text(record.id)}")
        self._delta.acls.setdefault(record.id, self.acls.pop(record.id))

    def _token(self, record: DelegationTokenRecord, offset: int) -> None:
        self._delta.delegation_tokens.setdefault(record.token_id, self.delegation_tokens.get(record.token_id))
        self.delegation_tokens[record.token_id] = DelegationToken(
            record.token_id,
            record.owner,
            record.requester,
            tuple(record.renewers),
            record.issue_timestamp,
            record.max_timestamp,
            record.expiration_timestamp,
        )

    def _remove_token(self, record: RemoveDelegationTokenRecord, offset: int) -> None:
        token = self.delegation_tokens.pop(record.token_id, None)
        if token is not None:
            self._delta.delegation_tokens.setdefault(record.token_id, token)

    def _producer_ids(self, record: ProducerIdsRecord, offset: int) -> None:
        if self._delta.producer_ids is None:
            self._delta.producer_ids = self.producer_ids
        self.producer_ids = ProducerIds(record.broker_id, record.broker_epoch, record.next_producer_id)

    # -- features, migration state, transactions -----------------------------------------------------------------

    def _feature(self, record: FeatureLevelRecord, offset: int) -> None:
        if record.name == FEATURE_NAME and record.feature_level not in MetadataVersion.__members__.values():
            raise ReplayError(
                f"offset {offset}: metadata.version {record.feature_level} is unknown here; pykraft knows"
                f" {MINIMUM_VERSION.value} to {max(MetadataVersion).value}"
            )
        self._delta.features.setdefault(record.name, self.features.get(record.name))
        self.features_changed_offset = offset
        if record.feature_level == 0:
            self.features.pop(record.name, None)
        else:
            self.features[record.name] = record.feature_level

    def _zk_migration_state(self, record: ZkMigrationStateRecord, offset: int) -> None:
        try:
            state = ZkMigrationState(record.zk_migration_state)
        except ValueError:
            value = record.zk_migration_state
            raise ReplayError(f"offset {offset}: no migration state has the value {value}") from None
        if self._delta.zk_migration_state is None:
            self._delta.zk_migration_state = self.zk_migration_state
        self.zk_migration_state = state

    def _begin_transaction(self, record: BeginTransactionRecord, offset: int) -> None:
        if self.in_transaction:
            raise ReplayError(f"offset {offset}: a transaction is open since {self.transaction_start_offset}")
        self.transaction_start_offset = offset
        self.transaction_name = record.name
        self._delta_before_transaction, self._delta = self._delta, MetadataDelta()

    def _end_transaction(self, record: EndTransactionRecord, offset: int) -> None:
        self._leave_transaction("end", offset)

    def _abort_transaction(self, record: AbortTransactionRecord, offset: int) -> None:
        if self.in_transaction:
            self.revert(self._delta)
            self._delta = MetadataDelta()
        self._leave_transaction("abort", offset)

    def _leave_transaction(self, what: str, offset: int) -> None:
        if not self.in_transaction:
            raise ReplayError(f"offset {offset}: no transaction is open to {what}")
        if self._delta_before_transaction is not None:
            self._delta_before_transaction.merge(self._delta)
            self._delta = self._delta_before_transaction
        self.transaction_start_offset = self.transaction_name = self._delta_before_transaction = None

    def _no_op(self, record: NoOpRecord, offset: int) -> None:
        """A NoOpRecord only moves the offset."""

    def revert(self, delta: MetadataDelta) -> None:
        """Put every changed key back to the value that `delta` holds."""
        for mine, before in (
            (self.features, delta.features),
            (self.brokers, delta.brokers),
            (self.controllers, delta.controllers),
            (self.acls, delta.acls),
            (self.scram, delta.scram),
            (self.delegation_tokens, delta.delegation_tokens),
        ):
            _restore(mine, before)
        for resource, configs in delta.configs.items():
            _keep(self.configs, resource, configs)
        for entity, quotas in delta.client_quotas.items():
            _keep(self.client_quotas, entity, quotas)
        if delta.zk_migration_state is not None:
            self.zk_migration_state = delta.zk_migration_state
        if delta.producer_ids is not None:
            self.producer_ids = delta.producer_ids
        for topic_id, change in delta.topics.items():
            self._revert_topic(topic_id, change)

    def _revert_topic(self, topic_id: Uuid, change: TopicDelta) -> None:
        topic = self.topics_by_id.get(topic_id)
        if change.removed is not None:
            topic = TopicImage(change.name, topic_id, change.partitions_before())
            self.topics_by_id[topic_id] = self.topics_by_name[topic.name] = topic
            for number, state in topic.partitions.items():
                self._count(topic_id, number, None, state)
            return
        assert topic is not None
        for number, before in change.partitions.items():
            self._count(topic_id, number, topic.partitions.get(number), before)
            if before is None:
                topic.partitions.pop(number, None)
            else:
                topic.partitions[number] = before
        if not change.existed:
            del self.topics_by_id[topic_id]
            if self.topics_by_name.get(topic.name) is topic:
                del self.topics_by_name[topic.name]


def _features(features: list[Any]) -> tuple[FeatureRange, ...]:
    return tuple(FeatureRange(f.name, f.min_supported_version, f.max_supported_version) for f in features)


def _keep(into: dict[Any, Any], key: Any, values: dict[str, Any]) -> None:
    if values:
        into[key] = values
    else:
        into.pop(key, None)


def _restore(mine: dict[Any, Any], before: Mapping[Any, Any]) -> None:
    for key, value in before.items():
        if value is None:
            mine.pop(key, None)
        else:
            mine[key] = value


_HANDLERS: dict[type, Callable[[MetadataImage, Any, int], None]] = {
    RegisterBrokerRecord: MetadataImage._register_broker,
    RegisterControllerRecord: MetadataImage._register_controller,
    UnregisterBrokerRecord: MetadataImage._unregister_broker,
    BrokerRegistrationChangeRecord: MetadataImage._change_broker,
    FenceBrokerRecord: MetadataImage._fence_broker,
    UnfenceBrokerRecord: MetadataImage._unfence_broker,
    TopicRecord: MetadataImage._topic,
    RemoveTopicRecord: MetadataImage._remove_topic,
    PartitionRecord: MetadataImage._partition,
    PartitionChangeRecord: MetadataImage._partition_change,
    ClearElrRecord: MetadataImage._clear_elr,
    ConfigRecord: MetadataImage._config,
    ClientQuotaRecord: MetadataImage._client_quota,
    UserScramCredentialRecord: MetadataImage._scram,
    RemoveUserScramCredentialRecord: MetadataImage._remove_scram,
    AccessControlEntryRecord: MetadataImage._acl,
    RemoveAccessControlEntryRecord: MetadataImage._remove_acl,
    DelegationTokenRecord: MetadataImage._token,
    RemoveDelegationTokenRecord: MetadataImage._remove_token,
    ProducerIdsRecord: MetadataImage._producer_ids,
    FeatureLevelRecord: MetadataImage._feature,
    ZkMigrationStateRecord: MetadataImage._zk_migration_state,
    BeginTransactionRecord: MetadataImage._begin_transaction,
    EndTransactionRecord: MetadataImage._end_transaction,
    AbortTransactionRecord: MetadataImage._abort_transaction,
    NoOpRecord: MetadataImage._no_op,
}
