"""Eligible leader replicas and min.insync.replicas: what they depend on has one value for the whole cluster (KIP-966).

Source: metadata/.../controller/ConfigurationControlManager.java (Kafka 4.1).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pykraft.controller.config import ControllerConfig
from pykraft.controller.effective_configs import (
    CLUSTER_DEFAULT,
    MIN_INSYNC_REPLICAS,
    cluster_configs,
    static_min_insync_replicas,
)
from pykraft.controller.errors import ApiError
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ConfigResource, ResourceType
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.clear_elr_record import ClearElrRecord
from pykraft.protocol.records.config_record import ConfigRecord


def elr_safety_records(image: MetadataImage, config: ControllerConfig) -> list[ApiMessageAndVersion]:
    """What switching ELR on needs: min.insync.replicas set for the cluster, and by no broker for itself."""
    records = []
    if MIN_INSYNC_REPLICAS not in cluster_configs(image):
        records.append(_min_insync_replicas(CLUSTER_DEFAULT, str(static_min_insync_replicas(config))))
    for resource, configs in image.configs.items():
        if _is_broker(resource) and MIN_INSYNC_REPLICAS in configs:
            records.append(_min_insync_replicas(resource, None))
    return records


def check_min_insync_replicas(
    image: MetadataImage, resource: ConfigResource, changes: Mapping[str, str | None], dropped: Collection[str]
) -> None:
    """Raises ApiError INVALID_CONFIG for a change that would give brokers a value of their own, or none to all."""
    if not image.is_elr_enabled or not (MIN_INSYNC_REPLICAS in changes or MIN_INSYNC_REPLICAS in dropped):
        return
    if _is_broker(resource):
        raise ApiError(
            ErrorCode.INVALID_CONFIG, f"Broker-level {MIN_INSYNC_REPLICAS} cannot be altered while ELR is enabled."
        )
    if resource == CLUSTER_DEFAULT and changes.get(MIN_INSYNC_REPLICAS) is None:
        raise ApiError(
            ErrorCode.INVALID_CONFIG, f"Cluster-level {MIN_INSYNC_REPLICAS} cannot be removed while ELR is enabled."
        )


def clear_elr_records(image: MetadataImage, records: Iterable[ApiMessageAndVersion]) -> list[ApiMessageAndVersion]:
    """One for each change of min.insync.replicas: who is eligible was found by the value before."""
    if not image.is_elr_enabled:
        return []
    cleared = []
    for message, _ in records:
        if isinstance(message, ConfigRecord) and message.name == MIN_INSYNC_REPLICAS:
            name = message.resource_name if message.resource_type == ResourceType.TOPIC else ""
            cleared.append(ApiMessageAndVersion(ClearElrRecord(topic_name=name), 0))
    return cleared


def _is_broker(resource: ConfigResource) -> bool:
    return resource.type == ResourceType.BROKER and resource != CLUSTER_DEFAULT


def _min_insync_replicas(resource: ConfigResource, value: str | None) -> ApiMessageAndVersion:
    record = ConfigRecord(
        resource_type=resource.type, resource_name=resource.name, name=MIN_INSYNC_REPLICAS, value=value
    )
    return ApiMessageAndVersion(record, 0)
