"""The records that stand for a whole image, in Kafka's order: what a snapshot of the metadata holds.

Source: metadata/src/main/java/org/apache/kafka/image/MetadataImage.java and the `write` of its parts (Kafka 3.9).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from pykraft.image.delta import KEYED, MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import FEATURE_NAME, MINIMUM_BOOTSTRAP_VERSION, MetadataVersion
from pykraft.image.model import (
    PartitionRegistration,
    TopicImage,
    ZkMigrationState,
)
from pykraft.image.records import (
    access_control_entry_record,
    delegation_token_record,
    register_broker_record,
    register_controller_record,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records import (
    client_quota_record,
    config_record,
    feature_level_record,
    partition_record,
    producer_ids_record,
    topic_record,
    user_scram_credential_record,
    zk_migration_state_record,
)
from pykraft.protocol.uuids import Uuid

CHUNK_RECORDS: Final = 1_000


class UnwritableMetadataError(Exception):
    """The image holds what records of its metadata.version cannot say; a snapshot would lose it."""

    def __init__(self, version: MetadataVersion, what: str) -> None:
        super().__init__(f"metadata.version {version.text} has no records for {what}: raise it with UpdateFeatures")
        self.version = version


def snapshot_records(image: MetadataImage) -> Iterator[ApiMessageAndVersion]:
    """The records of an image that does not change meanwhile. Raises UnwritableMetadataError."""
    cursor = SnapshotCursor(image)
    while records := cursor.take(image, CHUNK_RECORDS):
        yield from records


class SnapshotCursor:
    """Gives the records of the image as it was when the cursor was made, a few at a time, while the image goes on.

    It copies nothing of the image: `note` has to hear of every delta from then on, and what a key was before it
    changed is taken from them. `take` must not be called while a transaction is open, whose changes no delta has told.
    """

    def __init__(self, image: MetadataImage) -> None:
        if image.in_transaction:
            raise ValueError(f"a transaction is open since offset {image.transaction_start_offset}")
        self.offset = image.offset
        self.epoch = image.epoch
        self._version = image.metadata_version
        self._features = dict(image.features)
        self._migration_state = image.zk_migration_state
        self._producer_ids = image.producer_ids
        self._keys = {name: list(getattr(image, "topics_by_id" if name == "topics" else name)) for name in KEYED}
        self._changed = MetadataDelta()
        self._image = image
        self._records = self._all()

    def note(self, delta: MetadataDelta) -> None:
        """Hear of a change after the cursor was made. The delta is not kept: others may still add to it."""
        topics = {
            topic_id: dataclasses.replace(change, partitions=dict(change.partitions))
            for topic_id, change in delta.topics.items()
        }
        self._changed.merge(dataclasses.replace(delta, topics=topics))

    def take(self, image: MetadataImage, records_max: int) -> list[ApiMessageAndVersion]:
        """The next records, in order; none at the end. `image` is the one that `note` has heard of all changes of."""
        if image.in_transaction:
            raise ValueError(f"a transaction is open since offset {image.transaction_start_offset}")
        self._image = image
        return list(islice(self._records, records_max))

    def _all(self) -> Iterator[ApiMessageAndVersion]:
        yield from self._of_features()
        yield from self._of_nodes()
        for topic_id in self._keys["topics"]:
            yield from self._of_topic(topic_id)
        yield from self._of_configs()
        yield from self._of_quotas()
        if self._producer_ids.next_producer_id >= 0:
            yield _plain(
                producer_ids_record.ProducerIdsRecord(
                    broker_id=-1, broker_epoch=-1, next_producer_id=self._producer_ids.next_producer_id
                )
            )
        yield from self._of_acls()
        yield from self._of_scram()
        yield from self._of_tokens()

    def _was(self, name: str) -> Iterator[tuple[Any, Any]]:
        """(key, value then) of one part of the image, without what came later."""
        for key in self._keys[name]:
            changed = getattr(self._changed, name)
            value = changed[key] if key in changed else getattr(self._image, name)[key]
            yield key, value

    def _require(self, supported: bool, what: str) -> None:
        if not supported:
            raise UnwritableMetadataError(self._version, what)

    def _of_features(self) -> Iterator[ApiMessageAndVersion]:
        version, levels = self._version, self._features
        record = feature_level_record.FeatureLevelRecord
        if version >= MINIMUM_BOOTSTRAP_VERSION:
            yield _plain(record(name=FEATURE_NAME, feature_level=version.value))
            for name, level in levels.items():
                if name != FEATURE_NAME:
                    yield _plain(record(name=name, feature_level=level))
        else:
            self._require(not levels, "feature levels")
        state = self._migration_state
        if version.is_migration_supported:
            yield _plain(zk_migration_state_record.ZkMigrationStateRecord(zk_migration_state=state.value))
        else:
            self._require(state is ZkMigrationState.NONE, "the state of a ZooKeeper migration")

    def _of_nodes(self) -> Iterator[ApiMessageAndVersion]:
        version = self._version
        for _, broker in self._was("brokers"):
            self._require(
                version.is_in_controlled_shutdown_state_supported or not broker.in_controlled_shutdown,
                f"the controlled shutdown of broker {broker.id}",
            )
            self._require(
                version.is_migration_supported or not broker.is_migrating_zk_broker,
                f"broker {broker.id}, which is in ZooKeeper mode",
            )
            self._require(
                version.is_directory_assignment_supported or not broker.directories,
                f"the log directories of broker {broker.id}",
            )
            yield ApiMessageAndVersion(register_broker_record(broker), version.register_broker_record_version)
        for _, controller in self._was("controllers"):
            self._require(version.is_controller_registration_supported, f"controller {controller.id}")
            yield _plain(register_controller_record(controller))

    def _of_topic(self, topic_id: Uuid) -> Iterator[ApiMessageAndVersion]:
        name, partitions = self._topic_then(topic_id)
        yield _plain(topic_record.TopicRecord(name=name, topic_id=topic_id))
        version = self._version.partition_record_version
        assigns = self._version.is_directory_assignment_supported
        for number, state in partitions:
            self._require(
                self._version.is_elr_supported or not (state.elr or state.last_known_elr),
                f"the eligible leader replicas of topic {name}",
            )
            if not assigns:
                self._require(not any(state.directories), f"the log directories of topic {name}")
            yield ApiMessageAndVersion(_partition(topic_id, number, state, assigns), version)

    def _topic_then(self, topic_id: Uuid) -> tuple[str, list[tuple[int, PartitionRegistration]]]:
        changed = self._changed.topics.get(topic_id)
        if changed is None:
            topic: TopicImage = self._image.topics_by_id[topic_id]
            return topic.name, sorted(topic.partitions.items())
        if changed.removed is not None:
            return changed.name, sorted(changed.partitions_before().items())
        now = self._image.topics_by_id[topic_id]
        then = {**now.partitions, **changed.partitions}
        return now.name, sorted((number, state) for number, state in then.items() if state is not None)

    def _of_configs(self) -> Iterator[ApiMessageAndVersion]:
        for resource, configs in self._was("configs"):
            for name, value in list(configs.items()):
                yield _plain(
                    config_record.ConfigRecord(
                        resource_type=resource.type, resource_name=resource.name, name=name, value=value
                    )
                )

    def _of_quotas(self) -> Iterator[ApiMessageAndVersion]:
        for entity, quotas in self._was("client_quotas"):
            for key, value in list(quotas.items()):
                yield _plain(
                    client_quota_record.ClientQuotaRecord(
                        entity=[
                            client_quota_record.EntityData(entity_type=kind, entity_name=name) for kind, name in entity
                        ],
                        key=key,
                        value=value,
                        remove=False,
                    )
                )

    def _of_acls(self) -> Iterator[ApiMessageAndVersion]:
        for acl_id, acl in self._was("acls"):
            yield _plain(access_control_entry_record(acl_id, acl))

    def _of_scram(self) -> Iterator[ApiMessageAndVersion]:
        for key, credential in self._was("scram"):
            self._require(self._version.is_scram_supported, f"the SCRAM credential of user {key.user}")
            yield _plain(
                user_scram_credential_record.UserScramCredentialRecord(
                    name=key.user,
                    mechanism=key.mechanism,
                    salt=credential.salt,
                    stored_key=credential.stored_key,
                    server_key=credential.server_key,
                    iterations=credential.iterations,
                )
            )

    def _of_tokens(self) -> Iterator[ApiMessageAndVersion]:
        for token_id, token in self._was("delegation_tokens"):
            self._require(self._version.is_delegation_token_supported, f"delegation token {token_id}")
            yield _plain(delegation_token_record(token))


def _plain(message: Any) -> ApiMessageAndVersion:
    return ApiMessageAndVersion(message, 0)


def _partition(
    topic_id: Uuid, number: int, state: PartitionRegistration, assigns_directories: bool
) -> partition_record.PartitionRecord:
    return partition_record.PartitionRecord(
        partition_id=number,
        topic_id=topic_id,
        replicas=list(state.replicas),
        isr=list(state.isr),
        removing_replicas=list(state.removing_replicas),
        adding_replicas=list(state.adding_replicas),
        leader=state.leader,
        leader_recovery_state=state.leader_recovery_state,
        leader_epoch=state.leader_epoch,
        partition_epoch=state.partition_epoch,
        directories=list(state.all_directories()) if assigns_directories else [],
        eligible_leader_replicas=list(state.elr) if state.elr else None,
        last_known_elr=list(state.last_known_elr) if state.last_known_elr else None,
    )
