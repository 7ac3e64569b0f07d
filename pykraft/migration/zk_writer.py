"""KRaft to ZooKeeper: what must be written so that ZooKeeper holds what the image holds.

Both ways are level-triggered: what is written follows from the present image alone, whether the keys to look at come
from a delta or from everything there is. Source: KRaftMigrationZkWriter.java, kafka.zk.migration.* (Kafka 3.9).

On purpose different from Kafka: a topic that was re-created goes away under its old id before it comes back; missing
partition znodes are created; a partition that is too many goes with its state; quotas, credentials and tokens are
compared before they are written; partition epochs and directories are not compared (a znode's version drifts with
every repeated write, and ZooKeeper has no directories); tokens get a change notification; notifications are part of
the transaction that they tell of. Never written: registrations, features, client metrics and group configs, and what
has no place in ZooKeeper (ACLs or quotas of names such as `a/b` that cannot be a znode's).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pykraft.image.delta import MetadataDelta, TopicDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import (
    NO_PRODUCER_IDS,
    Acl,
    ConfigResource,
    DelegationToken,
    PartitionRegistration,
    ResourceType,
    TopicImage,
)
from pykraft.migration import client_entities
from pykraft.migration.operations import ZkOperation
from pykraft.migration.operations import ZkOperationType as Type
from pykraft.migration.zk_contents import (
    Configs,
    PasswordEncoder,
    PlainPasswords,
    Topics,
    ZkContents,
    ZkTopic,
    is_password_config,
    is_znode_name,
)
from pykraft.protocol.uuids import uuid_to_text
from pykraft.zookeeper import acl_znodes, paths, znodes
from pykraft.zookeeper.acl_znodes import AclEntry, AclResource
from pykraft.zookeeper.paths import PatternType
from pykraft.zookeeper.port import ANY_VERSION, Create, Delete, Op, SetData
from pykraft.zookeeper.znodes import PartitionState, ProducerIdBlock, TopicAssignment

DUAL_WRITE_PRODUCER_BROKER: Final = -1
"""Who owns the producer id block that a KRaft controller writes."""


@dataclass(frozen=True, slots=True)
class ZkWriter:
    """Builds operations. `kraft_epoch` goes into partition states; `passwords` encodes config secrets."""

    kraft_epoch: int
    passwords: PasswordEncoder = field(default_factory=PlainPasswords)
    reconciled: bool = False
    """Whether a reconcile ran while the delta came about: it may have written any value that a key had meanwhile, so
    one that is back at its value before is written all the same."""

    # -- all of it -----------------------------------------------------------------------------------------------

    def reconcile(self, image: MetadataImage, contents: ZkContents) -> list[ZkOperation]:
        """What makes `contents` equal to the image; nothing when it is already."""
        names = {*contents.topics, *image.topics_by_name}
        return [
            *self.pending_deletions(contents.pending_deletions),
            *self.reconcile_topics(image, names, contents.topics),
            *self.reconcile_others(image, contents),
        ]

    def pending_deletions(self, topics: Collection[str]) -> list[ZkOperation]:
        """The markers of the ZooKeeper controller: what they stand for is deleted with the topics."""
        if not topics:
            return []
        ops = tuple(Delete(paths.delete_topic(name), ANY_VERSION) for name in sorted(topics))
        return [ZkOperation(Type.DELETE_PENDING_TOPIC_DELETION, ", ".join(sorted(topics)), ops)]

    def reconcile_topics(self, image: MetadataImage, names: Iterable[str], topics: Topics) -> list[ZkOperation]:
        """The topics called `names` and their configs; `topics` has what ZooKeeper holds of them."""
        operations: list[ZkOperation] = []
        absent = ZkTopic()
        for name in sorted(names):
            topic, held = image.topics_by_name.get(name), topics.get(name, absent)
            if held.exists and (topic is None or _is_another(topic, held)):
                operations.append(_delete_topic(name, _known_partitions(held)))
                held = absent
            if topic is not None:
                if not held.exists:
                    operations.append(self._create_topic(topic))
                    held = ZkTopic(configs={})
                else:
                    operations += self._reconcile_topic(topic, held)
            operations += self._reconcile_topic_config(image, name, held)
        return operations

    def reconcile_others(self, image: MetadataImage, contents: ZkContents) -> list[ZkOperation]:
        """Everything but topics."""
        return [
            *self._reconcile_broker_configs(image, contents.broker_configs),
            *self._reconcile_client_entities(image, contents.client_entities),
            *self._reconcile_producer_ids(image, contents.producer_ids),
            *self._reconcile_acls(image, contents.acls),
            *self._reconcile_tokens(image, contents.delegation_tokens),
        ]

    def delta(self, image: MetadataImage, delta: MetadataDelta) -> list[ZkOperation]:
        """The present state of every key that `delta` touches and that differs from before."""
        return [
            *self._topics_delta(image, delta),
            *self._configs_delta(image, delta),
            *self._client_entities_delta(image, delta),
            *(_write_producer_ids(image) if delta.producer_ids not in (None, image.producer_ids) else ()),
            *self._acls_delta(image, delta),
            *self._tokens_delta(image, delta),
        ]

    # -- topics --------------------------------------------------------------------------------------------------

    def _topics_delta(self, image: MetadataImage, delta: MetadataDelta) -> list[ZkOperation]:
        operations = [
            _delete_topic(change.name, change.partitions_before())
            for change in delta.topics.values()
            if change.removed is not None
        ]
        for topic_id, change in delta.topics.items():
            if change.removed is not None:
                continue
            topic = image.topics_by_id[topic_id]
            if not change.existed:
                operations.append(self._create_topic(topic))
            else:
                operations += self._topic_delta(topic, change)
        return operations

    def _topic_delta(self, topic: TopicImage, change: TopicDelta) -> list[ZkOperation]:
        new = sorted(number for number, before in change.partitions.items() if before is None)
        pairs = {
            number: (before, topic.partitions[number])
            for number, before in change.partitions.items()
            if before is not None
        }
        operations: list[ZkOperation] = []
        moved = any(_assignment(before) != _assignment(now) for before, now in pairs.values())
        if new or moved or self.reconciled:
            operations.append(_update_topic(topic))
        if new:
            operations.append(self._create_partitions(topic, new))
        changed = sorted(
            number for number, (before, now) in pairs.items() if self.reconciled or _state(before) != _state(now)
        )
        if changed:
            operations.append(self._update_partitions(topic, changed))
        return operations

    def _reconcile_topic(self, topic: TopicImage, held: ZkTopic) -> list[ZkOperation]:
        operations: list[ZkOperation] = []
        if held.assignment is None or not _same_assignment(topic, held.assignment):
            operations.append(_update_topic(topic))
        states = held.partitions
        missing = sorted(topic.partitions.keys() - states.keys())
        if missing:
            operations.append(self._create_partitions(topic, missing))
        changed = sorted(
            number
            for number, state in topic.partitions.items()
            if number in states and not _same_state(state, states[number])
        )
        if changed:
            operations.append(self._update_partitions(topic, changed))
        extra = sorted(_known_partitions(held) - topic.partitions.keys())
        if extra:
            ops = tuple(op for number in extra for op in _delete_partition(topic.name, number))
            operations.append(ZkOperation(Type.DELETE_PARTITION, topic.name, ops))
        return operations

    def _create_topic(self, topic: TopicImage) -> ZkOperation:
        ops: list[Op] = [
            Create(paths.topic(topic.name), _encode_assignment(topic)),
            Create(paths.topic_config(topic.name), znodes.encode_config({})),
            Create(paths.topic_partitions(topic.name)),
        ]
        for number in sorted(topic.partitions):
            ops += self._create_partition(topic, number)
        return ZkOperation(Type.CREATE_TOPIC, topic.name, tuple(ops))

    def _create_partition(self, topic: TopicImage, number: int) -> tuple[Op, Op]:
        return (
            Create(paths.topic_partition(topic.name, number)),
            Create(paths.topic_partition_state(topic.name, number), self._encode_state(topic.partitions[number])),
        )

    def _create_partitions(self, topic: TopicImage, numbers: Iterable[int]) -> ZkOperation:
        ops = tuple(op for number in numbers for op in self._create_partition(topic, number))
        return ZkOperation(Type.UPDATE_PARTITION, topic.name, ops)

    def _update_partitions(self, topic: TopicImage, numbers: Iterable[int]) -> ZkOperation:
        name, partitions = topic.name, topic.partitions
        return ZkOperation(
            Type.UPDATE_PARTITION,
            name,
            tuple(
                SetData(paths.topic_partition_state(name, number), self._encode_state(partitions[number]), ANY_VERSION)
                for number in numbers
            ),
        )

    def _encode_state(self, partition: PartitionRegistration) -> bytes:
        return znodes.encode_partition_state(
            PartitionState(
                partition.leader,
                partition.leader_epoch,
                self.kraft_epoch,
                list(partition.isr),
                partition.leader_recovery_state,
            )
        )

    # -- configs -------------------------------------------------------------------------------------------------

    def _reconcile_topic_config(self, image: MetadataImage, name: str, held: ZkTopic) -> list[ZkOperation]:
        wanted = dict(image.topic_configs(name)) if name in image.topics_by_name else {}
        if wanted == (held.configs or {}):
            orphaned = held.configs is not None and name not in image.topics_by_name
            return [_delete_config(Type.DELETE_TOPIC_CONFIG, paths.topic_config(name))] if orphaned else []
        if wanted:
            return [self._write_config(Type.UPDATE_TOPIC_CONFIG, paths.topic_config(name), wanted)]
        return [_delete_config(Type.DELETE_TOPIC_CONFIG, paths.topic_config(name))]

    def _reconcile_broker_configs(self, image: MetadataImage, held: Configs) -> list[ZkOperation]:
        wanted = {
            _broker_config_path(resource.name): configs
            for resource, configs in image.configs.items()
            if resource.type == ResourceType.BROKER
        }
        return [
            self._write_config(Type.UPDATE_BROKER_CONFIG, path, wanted[path])
            if path in wanted
            else _delete_config(Type.DELETE_BROKER_CONFIG, path)
            for path in sorted(wanted.keys() | held.keys())
            if wanted.get(path) != held.get(path)
        ]

    def _configs_delta(self, image: MetadataImage, delta: MetadataDelta) -> list[ZkOperation]:
        created = {change.name for change in delta.topics.values() if not change.existed}
        operations: list[ZkOperation] = []
        for resource, before in delta.configs.items():
            path = _config_path(image, resource)
            now = image.configs.get(resource, {})
            if resource.type == ResourceType.TOPIC and resource.name in created:
                before = {}  # CreateTopic starts with an empty config, whatever an older topic of that name had.
            if path is None or (now == before and not self.reconciled):
                continue
            if now:
                operations.append(self._write_config(Type.UPDATE_CONFIG, path, now))
            else:
                operations.append(_delete_config(Type.DELETE_CONFIG, path))
        return operations

    def _write_config(self, type_: Type, path: str, configs: Mapping[str, str]) -> ZkOperation:
        encoded = {
            name: self.passwords.encode(value) if is_password_config(name) else value for name, value in configs.items()
        }
        return ZkOperation(
            type_,
            paths.config_entity_path(path),
            (SetData(path, znodes.encode_config(encoded), ANY_VERSION), _config_change(path)),
        )

    # -- quotas and credentials ----------------------------------------------------------------------------------

    def _reconcile_client_entities(self, image: MetadataImage, held: Configs) -> list[ZkOperation]:
        wanted = client_entities.image_properties(image)
        return [
            _write_client_entity(path, wanted.get(path, {}))
            for path in sorted(wanted.keys() | held.keys())
            if not client_entities.same_properties(path, held.get(path, {}), wanted.get(path, {}))
        ]

    def _client_entities_delta(self, image: MetadataImage, delta: MetadataDelta) -> list[ZkOperation]:
        entities = [
            entity
            for entity, before in delta.client_quotas.items()
            if self.reconciled or before != image.client_quotas.get(entity, {})
        ]
        users = {
            key.user: None for key, before in delta.scram.items() if self.reconciled or before != image.scram.get(key)
        }
        touched = client_entities.properties_of(image, entities, users)
        return [_write_client_entity(path, properties) for path, properties in touched.items()]

    # -- producer ids --------------------------------------------------------------------------------------------

    def _reconcile_producer_ids(self, image: MetadataImage, held: ProducerIdBlock | None) -> list[ZkOperation]:
        if image.producer_ids == NO_PRODUCER_IDS:
            return []
        following = image.producer_ids.next_producer_id
        if held is not None:
            # A broker writes the block that it took, a dual write the one that comes next.
            ours = held.broker == DUAL_WRITE_PRODUCER_BROKER
            if (held.block_start if ours else held.block_end + 1) == following:
                return []
        return _write_producer_ids(image)

    # -- ACLs ----------------------------------------------------------------------------------------------------

    def _reconcile_acls(self, image: MetadataImage, held: Mapping[AclResource, list[AclEntry]]) -> list[ZkOperation]:
        wanted = _entries_by_resource(image.acls.values())
        return [
            _write_acls(resource, wanted.get(resource, []))
            for resource in sorted(wanted.keys() | held.keys())
            if resource not in held or resource not in wanted or set(wanted[resource]) != set(held[resource])
        ]

    def _acls_delta(self, image: MetadataImage, delta: MetadataDelta) -> list[ZkOperation]:
        touched = {
            resource
            for acl_id, before in delta.acls.items()
            if self.reconciled or before != image.acls.get(acl_id)
            for acl in (before, image.acls.get(acl_id))
            if acl is not None and (resource := _resource(acl)) is not None
        }
        if not touched:
            return []
        wanted = _entries_by_resource(image.acls.values())
        return [_write_acls(resource, wanted.get(resource, [])) for resource in sorted(touched)]

    # -- delegation tokens ---------------------------------------------------------------------------------------

    def _reconcile_tokens(
        self, image: MetadataImage, held: Mapping[str, acl_znodes.DelegationToken]
    ) -> list[ZkOperation]:
        wanted = {token_id: _znode_token(token) for token_id, token in image.delegation_tokens.items()}
        return [
            _write_token(token_id, wanted.get(token_id))
            for token_id in sorted(wanted.keys() | held.keys())
            if is_znode_name(token_id) and wanted.get(token_id) != held.get(token_id)
        ]

    def _tokens_delta(self, image: MetadataImage, delta: MetadataDelta) -> list[ZkOperation]:
        now = {token_id: image.delegation_tokens.get(token_id) for token_id in delta.delegation_tokens}
        return [
            _write_token(token_id, None if (token := now[token_id]) is None else _znode_token(token))
            for token_id, before in delta.delegation_tokens.items()
            if is_znode_name(token_id) and (self.reconciled or before != now[token_id])
        ]


# -- topics ------------------------------------------------------------------------------------------------------


def _is_another(topic: TopicImage, held: ZkTopic) -> bool:
    """Whether ZooKeeper holds an older topic of the same name. One without id counts as the same."""
    assignment = held.assignment
    return assignment is not None and assignment.topic_id not in (None, uuid_to_text(topic.id))


def _known_partitions(held: ZkTopic) -> set[int]:
    return held.partitions.keys() | (held.assignment.partitions.keys() if held.assignment is not None else set())


def _assignment(partition: PartitionRegistration) -> tuple[tuple[int, ...], ...]:
    return partition.replicas, partition.adding_replicas, partition.removing_replicas


def _state(partition: PartitionRegistration) -> tuple[object, ...]:
    return partition.leader, partition.leader_epoch, partition.isr, partition.leader_recovery_state


def _same_state(partition: PartitionRegistration, held: PartitionState | None) -> bool:
    return (
        held is not None
        and partition.leader == held.leader
        and partition.leader_epoch == held.leader_epoch
        and partition.isr == tuple(held.isr)
        and partition.leader_recovery_state == held.leader_recovery_state
    )


def _same_assignment(topic: TopicImage, held: TopicAssignment) -> bool:
    if held.topic_id is None or held.partitions.keys() != topic.partitions.keys():
        return False
    adding, removing = held.adding_replicas, held.removing_replicas
    for number, partition in topic.partitions.items():
        if partition.replicas != tuple(held.partitions[number]):
            return False
        if (adding or partition.adding_replicas) and partition.adding_replicas != tuple(adding.get(number, ())):
            return False
        if (removing or partition.removing_replicas) and partition.removing_replicas != tuple(removing.get(number, ())):
            return False
    return True


def _encode_assignment(topic: TopicImage) -> bytes:
    partitions = sorted(topic.partitions.items())
    return znodes.encode_topic_assignment(
        TopicAssignment(
            topic_id=uuid_to_text(topic.id),
            partitions={number: list(partition.replicas) for number, partition in partitions},
            adding_replicas={number: list(p.adding_replicas) for number, p in partitions if p.adding_replicas},
            removing_replicas={number: list(p.removing_replicas) for number, p in partitions if p.removing_replicas},
        )
    )


def _update_topic(topic: TopicImage) -> ZkOperation:
    op = SetData(paths.topic(topic.name), _encode_assignment(topic), ANY_VERSION)
    return ZkOperation(Type.UPDATE_TOPIC, topic.name, (op,))


def _delete_partition(name: str, number: int) -> tuple[Op, Op]:
    return (
        Delete(paths.topic_partition_state(name, number), ANY_VERSION),
        Delete(paths.topic_partition(name, number), ANY_VERSION),
    )


def _delete_topic(name: str, partitions: Iterable[int]) -> ZkOperation:
    ops: list[Op] = []
    for number in sorted(partitions):
        ops += _delete_partition(name, number)
    ops += (
        Delete(path, ANY_VERSION)
        for path in (paths.topic_partitions(name), paths.topic_config(name), paths.topic(name))
    )
    return ZkOperation(Type.DELETE_TOPIC, name, tuple(ops))


# -- configs -----------------------------------------------------------------------------------------------------


def _broker_config_path(name: str) -> str:
    return f"{paths.CONFIG_BROKERS}/{name or paths.DEFAULT_ENTITY}"


def _config_path(image: MetadataImage, resource: ConfigResource) -> str | None:
    """The znode of a config; None for what has none, or went with its topic."""
    if resource.type == ResourceType.BROKER:
        return _broker_config_path(resource.name)
    if resource.type == ResourceType.TOPIC and resource.name in image.topics_by_name:
        return paths.topic_config(resource.name)
    return None


def _config_change(path: str) -> Op:
    """Tells brokers to read the config at `path` again."""
    data = znodes.encode_config_change(paths.config_entity_path(path))
    return Create(paths.CONFIG_CHANGE_PREFIX, data, sequential=True)


def _delete_config(type_: Type, path: str) -> ZkOperation:
    return ZkOperation(type_, paths.config_entity_path(path), (Delete(path, ANY_VERSION), _config_change(path)))


def _write_client_entity(path: str, properties: Mapping[str, str]) -> ZkOperation:
    return ZkOperation(
        Type.UPDATE_CLIENT_QUOTA,
        paths.config_entity_path(path),
        (SetData(path, znodes.encode_config(properties), ANY_VERSION), _config_change(path)),
    )


def _write_producer_ids(image: MetadataImage) -> list[ZkOperation]:
    start = image.producer_ids.next_producer_id
    block = ProducerIdBlock(
        broker=DUAL_WRITE_PRODUCER_BROKER, block_start=start, block_end=start + znodes.PRODUCER_ID_BLOCK_SIZE - 1
    )
    op = SetData(paths.PRODUCER_ID_BLOCK, znodes.encode_producer_id_block(block), ANY_VERSION)
    return [ZkOperation(Type.UPDATE_PRODUCER_ID, str(start), (op,))]


# -- ACLs and tokens ---------------------------------------------------------------------------------------------


def _resource(acl: Acl) -> AclResource | None:
    """The pattern an ACL is attached to; None when it has no place in ZooKeeper."""
    if not is_znode_name(acl.resource_name):
        return None
    return AclResource(acl_znodes.ResourceType(acl.resource_type), acl.resource_name, PatternType(acl.pattern_type))


def _entries_by_resource(acls: Iterable[Acl]) -> dict[AclResource, list[AclEntry]]:
    result: dict[AclResource, list[AclEntry]] = {}
    for acl in acls:
        resource = _resource(acl)
        if resource is not None:
            result.setdefault(resource, []).append(
                AclEntry(
                    acl.principal,
                    acl.host,
                    acl_znodes.Operation(acl.operation),
                    acl_znodes.PermissionType(acl.permission_type),
                )
            )
    return result


def _write_acls(resource: AclResource, entries: list[AclEntry]) -> ZkOperation:
    change = Create(
        paths.acl_change_prefix(resource.pattern_type), acl_znodes.encode_acl_change(resource), sequential=True
    )
    subject = f"{resource.resource_type.znode_name}:{resource.name}"
    if not entries:
        return ZkOperation(Type.DELETE_ACL, subject, (Delete(resource.path, ANY_VERSION), change))
    data = acl_znodes.encode_acl_entries(dict.fromkeys(entries))
    return ZkOperation(Type.UPDATE_ACL, subject, (SetData(resource.path, data, ANY_VERSION), change))


def _znode_token(token: DelegationToken) -> acl_znodes.DelegationToken:
    return acl_znodes.DelegationToken(
        token_id=token.token_id,
        owner=token.owner,
        token_requester=token.requester,
        renewers=list(token.renewers),
        issue_timestamp_ms=token.issue_timestamp_ms,
        max_timestamp_ms=token.max_timestamp_ms,
        expiry_timestamp_ms=token.expiration_timestamp_ms,
    )


def _write_token(token_id: str, token: acl_znodes.DelegationToken | None) -> ZkOperation:
    path = paths.delegation_token(token_id)
    change = Create(paths.DELEGATION_TOKEN_CHANGE_PREFIX, token_id.encode(), sequential=True)
    if token is None:
        return ZkOperation(Type.DELETE_DELEGATION_TOKEN, token_id, (Delete(path, ANY_VERSION), change))
    return ZkOperation(
        Type.UPDATE_DELEGATION_TOKEN,
        token_id,
        (SetData(path, acl_znodes.encode_delegation_token(token), ANY_VERSION), change),
    )
