"""AlterClientQuotas: limits of users, client ids and ip addresses.

Sources: metadata/.../controller/ClientQuotaControlManager.java, server-common/.../config/QuotaConfigs.java.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Final

from pykraft.controller.errors import ApiError, check_record_limit
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.model import QuotaEntity
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import alter_client_quotas_response as answer
from pykraft.protocol.messages.alter_client_quotas_request import AlterClientQuotasRequestData, EntryData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData

USER: Final = "user"
CLIENT_ID: Final = "client-id"
IP: Final = "ip"

_INT32_MAX: Final = (1 << 31) - 1
_INT64_MAX: Final = (1 << 63) - 1
_FRACTION_MAX: Final = 1e-6
"""How far a value of a whole-number quota may be from a whole number."""
_Limits = Mapping[str, int | None]
"""The greatest value of each key, None for those that may be fractions."""
_USER_LIMITS: Final[_Limits] = {
    "producer_byte_rate": _INT64_MAX,
    "consumer_byte_rate": _INT64_MAX,
    "request_percentage": None,
    "controller_mutation_rate": None,
}
_IP_LIMITS: Final[_Limits] = {"connection_creation_rate": _INT32_MAX}


def host_names(request: AlterClientQuotasRequestData) -> set[str]:
    """The names of ip entities that are no addresses: the server resolves them before the operation runs."""
    names = {entity.entity_name for entry in request.entries for entity in entry.entity if entity.entity_type == IP}
    return {name for name in names if name and not _is_address(name)}


def alter_client_quotas(
    ctx: OperationContext, request: AlterClientQuotasRequestData, unresolvable_hosts: Collection[str] = ()
) -> ControllerResult[answer.AlterClientQuotasResponseData]:
    """Set and remove quotas (v0 to v1); an entity with one bad change keeps all its quotas.

    `unresolvable_hosts`: those of `host_names(request)` that do not resolve. An entity that comes twice is refused
    the second time, which also is its answer; what the first entry set stays, as in Kafka. Raises ApiError
    POLICY_VIOLATION for too many records.
    """
    answers: dict[QuotaEntity, tuple[ErrorCode, str | None]] = {}
    records: list[ApiMessageAndVersion] = []
    for entry in request.entries:
        entity = _entity(entry)
        try:
            if entity in answers:
                raise ApiError(ErrorCode.INVALID_REQUEST, f"Ignoring duplicate entity {_shown(entity)}")
            records += _alter(ctx, entity, _changes(entry), unresolvable_hosts)
            answers[entity] = ErrorCode.NONE, None
        except ApiError as error:
            answers[entity] = error.code, error.message
    check_record_limit(records)
    response = answer.AlterClientQuotasResponseData(
        entries=[
            answer.EntryData(
                error_code=code,
                error_message=message,
                entity=[answer.EntityData(entity_type=entity_type, entity_name=name) for entity_type, name in entity],
            )
            for entity, (code, message) in answers.items()
        ]
    )
    return ControllerResult(response, [] if request.validate_only else records, atomic=True)


def _entity(entry: EntryData) -> QuotaEntity:
    """The entity as the image keys it; of a type that comes twice the last name counts."""
    return tuple(sorted({part.entity_type: part.entity_name for part in entry.entity}.items()))


def _changes(entry: EntryData) -> dict[str, float | None]:
    """The new value of each key, None where it is removed. Raises ApiError for a key that comes twice."""
    changes: dict[str, float | None] = {}
    for op in entry.ops:
        if op.key in changes:
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Duplicate quota key {op.key}: give each key once per entity")
        changes[op.key] = None if op.remove else op.value
    return changes


def _alter(
    ctx: OperationContext,
    entity: QuotaEntity,
    changes: Mapping[str, float | None],
    unresolvable_hosts: Collection[str],
) -> list[ApiMessageAndVersion]:
    limits = _limits(entity, unresolvable_hosts)
    current = ctx.image.client_quotas.get(entity, {})
    records = []
    for key, value in changes.items():
        if value is None:
            if key in current:
                records.append(_record(entity, key, 0.0, remove=True))
            continue
        _check_value(limits, key, value)
        if key not in current or not _equal(current[key], value):
            records.append(_record(entity, key, value, remove=False))
    return records


def _limits(entity: QuotaEntity, unresolvable_hosts: Collection[str]) -> _Limits:
    """The keys that an entity may have. Raises ApiError INVALID_REQUEST for an entity that cannot be."""
    if not entity:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Invalid empty client quota entity")
    for entity_type, name in entity:
        if entity_type not in (USER, CLIENT_ID, IP):
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Unhandled client quota entity type: {entity_type}")
        if name == "":
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Empty {entity_type} not supported")
    names = dict(entity)
    if IP not in names:
        return _USER_LIMITS
    if len(names) > 1:
        raise ApiError(
            ErrorCode.INVALID_REQUEST,
            "Invalid quota entity combination, an ip entity cannot be combined with user or client-id",
        )
    if names[IP] in unresolvable_hosts:
        raise ApiError(ErrorCode.INVALID_REQUEST, f"{names[IP]} is not a valid IP or resolvable host.")
    return _IP_LIMITS


def _check_value(limits: _Limits, key: str, value: float) -> None:
    if key not in limits:
        raise ApiError(ErrorCode.INVALID_REQUEST, f"Invalid configuration key {key}: use one of {', '.join(limits)}")
    if value <= 0:
        raise ApiError(ErrorCode.INVALID_REQUEST, f"Quota {key} must be greater than 0")
    maximum = limits[key]
    if maximum is None:
        return
    if value > maximum:
        raise ApiError(ErrorCode.INVALID_REQUEST, f"Proposed value for {key} is too large: at most {maximum}")
    if math.fmod(value, 1.0) > _FRACTION_MAX:
        raise ApiError(ErrorCode.INVALID_REQUEST, f"{key} cannot be a fractional value.")


def _equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _record(entity: QuotaEntity, key: str, value: float, *, remove: bool) -> ApiMessageAndVersion:
    parts = [EntityData(entity_type=entity_type, entity_name=name) for entity_type, name in entity]
    return ApiMessageAndVersion(ClientQuotaRecord(entity=parts, key=key, value=value, remove=remove), 0)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _shown(entity: QuotaEntity) -> str:
    return ", ".join(f"{entity_type}={'<default>' if name is None else name}" for entity_type, name in entity)
