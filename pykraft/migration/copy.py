"""The copy: what is in ZooKeeper as metadata records, version 0 of each, as Kafka 3.9 writes them.

Sources: core kafka.zk.ZkMigrationClient, kafka.zk.migration.*, metadata/.../migration/{BufferingBatchConsumer,
MigrationManifest}.java. The order of entities is Kafka's; within one Kafka has that of hash tables, which means
nothing: here partitions go by number, names by the alphabet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ResourceType
from pykraft.migration import client_entities
from pykraft.migration.client_entities import SCRAM_CODES, USER
from pykraft.migration.zk_contents import ZkContents, ZkTopic
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.remove_access_control_entry_record import RemoveAccessControlEntryRecord
from pykraft.protocol.records.remove_delegation_token_record import RemoveDelegationTokenRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.remove_user_scram_credential_record import RemoveUserScramCredentialRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord
from pykraft.protocol.uuids import ZERO_UUID, Uuid, random_uuid, uuid_from_text
from pykraft.zookeeper import paths
from pykraft.zookeeper.acl_znodes import AclEntry, AclResource, DelegationToken
from pykraft.zookeeper.znodes import ProducerIdBlock, ZnodeError

TRANSACTION_NAME: Final = "ZK Migration"
ACLS_PER_BATCH_MAX: Final = 100

Records = list[ApiMessageAndVersion]


def _record(message: Any) -> ApiMessageAndVersion:
    return ApiMessageAndVersion(message, 0)


def topic_records(name: str, topic: ZkTopic) -> Records:
    """TopicRecord, its configs, its partitions. A partition without state znode starts with all replicas in sync.

    Raises ZnodeError for a topic without id, or with a partition without replicas.
    """
    assignment = topic.assignment
    if assignment is None or assignment.topic_id is None:
        raise ZnodeError(
            paths.topic(name),
            "has no topic_id",
            "have a ZooKeeper controller of inter.broker.protocol.version 2.8 or later elected, which gives it one",
        )
    topic_id = _topic_id(name, assignment.topic_id)
    records = [ApiMessageAndVersion(TopicRecord(name=name, topic_id=topic_id), 0)]
    records += config_records(ResourceType.TOPIC, name, topic.configs or {})
    states, epochs = topic.partitions, topic.partition_epochs
    adding, removing = assignment.adding_replicas, assignment.removing_replicas
    for number, replicas in sorted(assignment.partitions.items()):
        if number < 0:
            raise ZnodeError(paths.topic(name), f"has a partition {number}", "correct its assignment")
        if not replicas:
            raise ZnodeError(paths.topic(name), f"gives partition {number} no replicas", "correct its assignment")
        state = states.get(number)
        if state is None:
            record = PartitionRecord(
                partition_id=number,
                topic_id=topic_id,
                replicas=replicas,
                isr=replicas,
                leader=replicas[0],
                leader_epoch=0,
                partition_epoch=0,
            )
        else:
            record = PartitionRecord(
                partition_id=number,
                topic_id=topic_id,
                replicas=replicas,
                isr=state.isr,
                leader=state.leader,
                leader_recovery_state=state.leader_recovery_state,
                leader_epoch=state.leader_epoch,
                partition_epoch=epochs[number],
            )
        if adding:
            record.adding_replicas = adding.get(number, [])
        if removing:
            record.removing_replicas = removing.get(number, [])
        records.append(ApiMessageAndVersion(record, 0))
    return records


def _topic_id(name: str, text: str) -> Uuid:
    try:
        topic_id = uuid_from_text(text)
    except ValueError as error:
        raise ZnodeError(paths.topic(name), f"has a topic_id that is no id ({error})", "restore it") from None
    if topic_id == ZERO_UUID:
        raise ZnodeError(paths.topic(name), f"has the topic_id {text}, which stands for none", "restore it")
    return topic_id


def config_records(resource_type: ResourceType, name: str, configs: Mapping[str, str]) -> Records:
    return [
        _record(ConfigRecord(resource_type=resource_type, resource_name=name, name=key, value=value))
        for key, value in configs.items()
    ]


def other_records(contents: ZkContents, rng: Random) -> list[Records]:
    """Everything but topics, one list for each entity, in Kafka's order. `rng` gives ACLs their ids.

    Raises ZnodeError for a quota or credential that cannot be read.
    """
    batches: list[Records] = []
    for path, configs in sorted(contents.broker_configs.items()):
        element = path.rpartition("/")[2]
        name = "" if element == paths.DEFAULT_ENTITY else element
        batches.append(config_records(ResourceType.BROKER, name, configs))
    for path, properties in sorted(contents.client_entities.items(), key=_entity_order):
        batches += _client_entity_records(path, properties)
    if contents.producer_ids is not None:
        batches.append(_producer_id_records(contents.producer_ids))
    for resource, entries in sorted(contents.acls.items(), key=_resource_order):
        batches += _acl_records(resource, entries, rng)
    batches.append([_record(_token_record(token)) for _, token in sorted(contents.delegation_tokens.items())])
    return [batch for batch in batches if batch]


def _entity_order(item: tuple[str, object]) -> tuple[int, str]:
    kind, _, rest = paths.config_entity_path(item[0]).partition("/")
    order = {"users": 2 if "/" in rest else 0, "clients": 1, "ips": 3}
    return order[kind], item[0]


def _resource_order(item: tuple[AclResource, object]) -> tuple[int, int, list[int]]:
    resource = item[0]
    return resource.resource_type, resource.pattern_type, [-ord(letter) for letter in resource.name]


def _client_entity_records(path: str, properties: Mapping[str, str]) -> list[Records]:
    """One list for each credential, and one for all quotas of the entity."""
    entity = client_entities.path_entity(path)
    scram: list[Records] = []
    quotas: Records = []
    is_user = [kind for kind, _ in entity] == [USER]
    for key in sorted(SCRAM_CODES) if is_user else ():
        text = properties.get(key)
        if text is not None:
            credential = client_entities.scram_credential(path, text)
            scram.append(
                [
                    _record(
                        UserScramCredentialRecord(
                            name=paths.desanitize(path.rpartition("/")[2]),
                            mechanism=SCRAM_CODES[key],
                            salt=credential.salt,
                            stored_key=credential.stored_key,
                            server_key=credential.server_key,
                            iterations=credential.iterations,
                        )
                    )
                ]
            )
    for key, text in properties.items():
        if not (is_user and key in SCRAM_CODES):
            named = [EntityData(entity_type=kind, entity_name=name) for kind, name in entity]
            value = client_entities.quota_value(path, key, text)
            quotas.append(_record(ClientQuotaRecord(entity=named, key=key, value=value)))
    return [*scram, quotas]


def _producer_id_records(block: ProducerIdBlock) -> Records:
    return [_record(ProducerIdsRecord(broker_id=block.broker, broker_epoch=-1, next_producer_id=block.block_end + 1))]


def _acl_records(resource: AclResource, entries: Iterable[AclEntry], rng: Random) -> list[Records]:
    records = [
        _record(
            AccessControlEntryRecord(
                id=random_uuid(rng),
                resource_type=resource.resource_type,
                resource_name=resource.name,
                pattern_type=resource.pattern_type,
                principal=entry.principal,
                host=entry.host,
                operation=entry.operation,
                permission_type=entry.permission_type,
            )
        )
        for entry in dict.fromkeys(entries)
    ]
    return [records[at : at + ACLS_PER_BATCH_MAX] for at in range(0, len(records), ACLS_PER_BATCH_MAX)]


def _token_record(token: DelegationToken) -> DelegationTokenRecord:
    return DelegationTokenRecord(
        owner=token.owner,
        requester=token.token_requester,
        renewers=token.renewers,
        issue_timestamp=token.issue_timestamp_ms,
        max_timestamp=token.max_timestamp_ms,
        expiration_timestamp=token.expiry_timestamp_ms,
        token_id=token.token_id,
    )


def leftover_records(image: MetadataImage) -> Records:
    """Removes what a copy without transaction left behind when it was cut short, so that it can start over."""
    records = [_record(RemoveTopicRecord(topic_id=topic_id)) for topic_id in image.topics_by_id]
    records += [
        _record(ConfigRecord(resource_type=resource.type, resource_name=resource.name, name=key, value=None))
        for resource, configs in image.configs.items()
        if resource.type != ResourceType.TOPIC or resource.name not in image.topics_by_name
        for key in configs
    ]
    records += [
        _record(
            ClientQuotaRecord(
                entity=[EntityData(entity_type=kind, entity_name=name) for kind, name in entity], key=key, remove=True
            )
        )
        for entity, quotas in image.client_quotas.items()
        for key in quotas
    ]
    records += [_record(RemoveUserScramCredentialRecord(name=key.user, mechanism=key.mechanism)) for key in image.scram]
    records += [_record(RemoveAccessControlEntryRecord(id=acl_id)) for acl_id in image.acls]
    records += [_record(RemoveDelegationTokenRecord(token_id=token_id)) for token_id in image.delegation_tokens]
    return records


class BatchBuffer:
    """Joins the lists of entities until they hold `batch_records_min` records; no list is ever split."""

    def __init__(self, batch_records_min: int) -> None:
        self._min = batch_records_min
        self._records: Records = []

    def add(self, records: Records) -> Records | None:
        """A batch that is full with these records, or None."""
        self._records += records
        return self.flush() if len(self._records) >= self._min else None

    def flush(self) -> Records | None:
        """What is left, or None."""
        batch, self._records = self._records, []
        return batch or None


@dataclass(slots=True)
class Manifest:
    """What a copy did: record types, batches, and where its time went, in ms."""

    record_types: Counter[str] = field(default_factory=Counter)
    batches: int = 0
    read_ms: float = 0.0
    commit_ms: float = 0.0
    brokers: set[int] = field(default_factory=set)

    def add(self, batch: Records, commit_ms: float) -> None:
        """Count a batch that took `commit_ms` to be committed, and the brokers that it names."""
        self.batches += 1
        self.commit_ms += commit_ms
        for message, _ in batch:
            self.record_types[type(message).__name__] += 1
            if type(message) is PartitionRecord:
                self.brokers.update(message.replicas, message.adding_replicas)

    @property
    def records(self) -> int:
        return self.record_types.total()

    @property
    def topics(self) -> int:
        return self.record_types["TopicRecord"]

    @property
    def partitions(self) -> int:
        return self.record_types["PartitionRecord"]
