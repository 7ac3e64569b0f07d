"""A metadata image as JSON: everything in it under Kafka's names, in an order that does not depend on history."""

from __future__ import annotations

import base64
from typing import Any

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import FEATURE_NAME
from pykraft.image.model import (
    Acl,
    BrokerRegistration,
    ControllerRegistration,
    DelegationToken,
    Endpoint,
    FeatureRange,
    PartitionRegistration,
    ResourceType,
    ScramCredential,
    TopicImage,
)
from pykraft.protocol.uuids import uuid_to_text

Json = dict[str, Any]


def image_to_json(image: MetadataImage) -> Json:
    """The image; its keys are texts throughout, so that two of them can be compared path by path."""
    version = image.features.get(FEATURE_NAME)
    return {
        "offset": image.offset,
        "epoch": image.epoch,
        "metadataVersion": None if version is None else image.metadata_version.text,
        "features": dict(sorted(image.features.items())),
        "zkMigrationState": image.zk_migration_state.name,
        "openTransaction": image.transaction_start_offset,
        "brokers": {str(key): _broker(found) for key, found in sorted(image.brokers.items())},
        "controllers": {str(key): _controller(found) for key, found in sorted(image.controllers.items())},
        "topics": {name: _topic(found) for name, found in sorted(image.topics_by_name.items())},
        "configs": {
            _resource(resource.type, resource.name): dict(sorted(values.items()))
            for resource, values in sorted(image.configs.items())
        },
        "clientQuotas": {
            _entity(entity): dict(sorted(values.items()))
            for entity, values in sorted(image.client_quotas.items(), key=lambda item: _entity(item[0]))
        },
        "acls": {uuid_to_text(key): _acl(found) for key, found in sorted(image.acls.items())},
        "scramCredentials": {
            f"{key.user}/{key.mechanism}": _scram(found) for key, found in sorted(image.scram.items())
        },
        "delegationTokens": {key: _token(found) for key, found in sorted(image.delegation_tokens.items())},
        "producerIds": {
            "brokerId": image.producer_ids.broker_id,
            "brokerEpoch": image.producer_ids.broker_epoch,
            "nextProducerId": image.producer_ids.next_producer_id,
        },
    }


def _broker(found: BrokerRegistration) -> Json:
    return {
        "epoch": found.epoch,
        "incarnationId": uuid_to_text(found.incarnation_id),
        "listeners": _listeners(found.listeners),
        "features": _features(found.features),
        "rack": found.rack,
        "fenced": found.fenced,
        "inControlledShutdown": found.in_controlled_shutdown,
        "isMigratingZkBroker": found.is_migrating_zk_broker,
        "directories": [uuid_to_text(directory) for directory in found.directories],
    }


def _controller(found: ControllerRegistration) -> Json:
    return {
        "incarnationId": uuid_to_text(found.incarnation_id),
        "zkMigrationReady": found.zk_migration_ready,
        "listeners": _listeners(found.listeners),
        "features": _features(found.features),
    }


def _listeners(endpoints: tuple[Endpoint, ...]) -> Json:
    return {
        end.name: {"host": end.host, "port": end.port, "securityProtocol": end.security_protocol} for end in endpoints
    }


def _features(ranges: tuple[FeatureRange, ...]) -> Json:
    return {found.name: [found.min_version, found.max_version] for found in ranges}


def _topic(topic: TopicImage) -> Json:
    return {
        "id": uuid_to_text(topic.id),
        "partitions": {str(number): _partition(found) for number, found in sorted(topic.partitions.items())},
    }


def _partition(found: PartitionRegistration) -> Json:
    return {
        "replicas": list(found.replicas),
        "isr": list(found.isr),
        "leader": found.leader,
        "leaderEpoch": found.leader_epoch,
        "partitionEpoch": found.partition_epoch,
        "leaderRecoveryState": found.leader_recovery_state,
        "removingReplicas": list(found.removing_replicas),
        "addingReplicas": list(found.adding_replicas),
        "directories": [uuid_to_text(directory) for directory in found.directories],
        "eligibleLeaderReplicas": list(found.elr),
        "lastKnownElr": list(found.last_known_elr),
    }


def _resource(number: int, name: str) -> str:
    try:
        kind = ResourceType(number).name
    except ValueError:
        kind = str(number)
    return f"{kind}/{name}"


def _entity(entity: tuple[tuple[str, str | None], ...]) -> str:
    return ",".join(f"{kind}={'<default>' if name is None else name}" for kind, name in entity)


def _acl(found: Acl) -> Json:
    return {
        "resourceType": found.resource_type,
        "resourceName": found.resource_name,
        "patternType": found.pattern_type,
        "principal": found.principal,
        "host": found.host,
        "operation": found.operation,
        "permissionType": found.permission_type,
    }


def _scram(found: ScramCredential) -> Json:
    return {
        "iterations": found.iterations,
        "salt": _base64(found.salt),
        "storedKey": _base64(found.stored_key),
        "serverKey": _base64(found.server_key),
    }


def _token(found: DelegationToken) -> Json:
    return {
        "owner": found.owner,
        "requester": found.requester,
        "renewers": list(found.renewers),
        "issueTimestampMs": found.issue_timestamp_ms,
        "maxTimestampMs": found.max_timestamp_ms,
        "expirationTimestampMs": found.expiration_timestamp_ms,
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
