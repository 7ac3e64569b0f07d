"""Quotas that a controller of 3.4 copied from ZooKeeper under names that nothing reads, put right.

3.4 wrote the names of znodes: the types `users`, `clients` and `ips`, and names still escaped. Brokers apply no such
quota, and a dual write from such a log would delete it in ZooKeeper, where it is right. Source:
core/src/main/scala/kafka/zk/ZkMigrationClient.scala (Kafka 3.4).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_plus

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import QuotaEntity
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData

_TYPES: Final = {"users": "user", "clients": "client-id", "ips": "ip"}
_DEFAULT: Final = "<default>"


def quotas_put_right(image: MetadataImage) -> list[ApiMessageAndVersion]:
    """The records that move them to their entities; a quota that the entity was given since stays as it is."""
    records: list[ApiMessageAndVersion] = []
    for entity, quotas in image.client_quotas.items():
        if not any(kind in _TYPES for kind, _ in entity):
            continue
        right: QuotaEntity = tuple(sorted((_TYPES.get(kind, kind), _name(kind, name)) for kind, name in entity))
        given = image.client_quotas.get(right, {})
        for key, value in quotas.items():
            if key not in given:
                records.append(_record(right, key, value))
            records.append(_record(entity, key, None))
    return records


def _name(kind: str, name: str | None) -> str | None:
    if kind not in _TYPES or name is None:
        return name
    return None if name == _DEFAULT else unquote_plus(name)


def _record(entity: QuotaEntity, key: str, value: float | None) -> ApiMessageAndVersion:
    named = [EntityData(entity_type=kind, entity_name=name) for kind, name in entity]
    record = ClientQuotaRecord(entity=named, key=key, value=0.0 if value is None else value, remove=value is None)
    return ApiMessageAndVersion(record, 0)
