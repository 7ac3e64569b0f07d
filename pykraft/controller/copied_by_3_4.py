"""What the controllers of 3.4 and 3.5 copied wrongly from ZooKeeper, put right.

Quotas: 3.4 wrote the names of znodes, the types `users`, `clients` and `ips` and names still escaped. Brokers apply no
such quota, and a dual write from such a log would delete it in ZooKeeper, where it is right. Producer ids: before 3.5.2
the next block was the one that a broker holds (KAFKA-15552). Source: core/.../kafka/zk/ZkMigrationClient.scala and
core/.../kafka/zk/migration/ (Kafka 3.4, 3.5).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_plus

from pykraft.controller.producer_ids import PRODUCER_IDS_PER_BLOCK
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import QuotaEntity
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord

_NEXT_MAX: Final = 2**63 - 1 - PRODUCER_IDS_PER_BLOCK
_TYPES: Final = {"users": "user", "clients": "client-id", "ips": "ip"}
_DEFAULT: Final = "<default>"


def put_right(image: MetadataImage, release: str) -> list[ApiMessageAndVersion]:
    """The records that a log which `release` has copied from ZooKeeper needs, mostly none."""
    return [*_quotas(image), *(_producer_ids(image) if release in ("3.4", "3.5") else ())]


def _producer_ids(image: MetadataImage) -> list[ApiMessageAndVersion]:
    """A block is skipped where none was given out since the copy, as far as the log tells.

    Snapshots do not tell, so that it may be skipped again after a restart: ids are plenty, and used twice they lose
    messages.
    """
    held = image.producer_ids
    if held.broker_epoch != -1 or not 0 <= held.next_producer_id < _NEXT_MAX:
        return []
    next_id = held.next_producer_id + PRODUCER_IDS_PER_BLOCK
    record = ProducerIdsRecord(broker_id=-1, broker_epoch=-1, next_producer_id=next_id)
    return [ApiMessageAndVersion(record, 0)]


def _quotas(image: MetadataImage) -> list[ApiMessageAndVersion]:
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
