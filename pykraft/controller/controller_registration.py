"""Controllers register too: our own record, and ControllerRegistration from the others.

Source: ClusterControlManager.registerController, core/.../ControllerRegistrationManager.scala (Kafka 3.9).
"""

from __future__ import annotations

from collections.abc import Sequence

from pykraft.controller.errors import ApiError
from pykraft.controller.registration import SECURITY_PROTOCOLS
from pykraft.controller.releases import SUPPORTED_FEATURES
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.model import ControllerRegistration, Endpoint, FeatureRange
from pykraft.image.records import register_controller_record
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.controller_registration_request import ControllerRegistrationRequestData
from pykraft.protocol.messages.controller_registration_response import ControllerRegistrationResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.uuids import Uuid


def register_controller(
    ctx: OperationContext, request: ControllerRegistrationRequestData
) -> ControllerResult[ControllerRegistrationResponseData]:
    """Write down what a controller supports and where it is.

    Raises ApiError UNSUPPORTED_VERSION, INVALID_REGISTRATION.
    """
    version = ctx.image.metadata_version
    if not version.is_controller_registration_supported:
        raise ApiError(
            ErrorCode.UNSUPPORTED_VERSION,
            f"Controllers register from metadata.version 3.7-IV0 on, the cluster has {version.text}",
        )
    for listener in request.listeners:
        if listener.security_protocol not in SECURITY_PROTOCOLS:
            raise ApiError(
                ErrorCode.INVALID_REGISTRATION,
                f"Listener {listener.name} of controller {request.controller_id} has the unknown security protocol"
                f" {listener.security_protocol}",
            )
    registration = ControllerRegistration(
        id=request.controller_id,
        incarnation_id=request.incarnation_id,
        zk_migration_ready=request.zk_migration_ready,
        listeners=tuple(Endpoint(e.name, e.host, e.port, e.security_protocol) for e in request.listeners),
        features=tuple(
            FeatureRange(f.name, f.min_supported_version, f.max_supported_version) for f in request.features
        ),
    )
    response = ControllerRegistrationResponseData(error_message=None)
    return ControllerResult(response, [ApiMessageAndVersion(register_controller_record(registration), 0)], atomic=True)


def own_registration(
    ctx: OperationContext, incarnation_id: Uuid, listeners: Sequence[Endpoint]
) -> ControllerResult[None]:
    """Register this controller; nothing where that is not supported or the log has it already."""
    registration = ControllerRegistration(
        id=ctx.config.node_id,
        incarnation_id=incarnation_id,
        zk_migration_ready=ctx.migration_enabled,
        listeners=tuple(listeners),
        features=tuple(sorted(SUPPORTED_FEATURES[ctx.config.release], key=lambda feature: feature.name)),
    )
    if (
        not ctx.image.metadata_version.is_controller_registration_supported
        or ctx.image.controllers.get(registration.id) == registration
    ):
        return ControllerResult(None)
    return ControllerResult(None, [ApiMessageAndVersion(register_controller_record(registration), 0)], atomic=True)
