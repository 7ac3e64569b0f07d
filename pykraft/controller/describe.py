"""DescribeCluster on the controller's listener: the registered controllers (KIP-919).

Sources: core/.../ControllerApis.scala handleDescribeCluster, AuthHelper.scala computeDescribeClusterResponse,
metadata/.../image/publisher/ControllerRegistrationsPublisher.java.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from pykraft.controller.authorizer import CLUSTER_NAME, AclOperation, AclResourceType, Authorize, allow_all
from pykraft.controller.errors import ApiError
from pykraft.image.metadata_image import MetadataImage
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.describe_cluster_request import DescribeClusterRequestData
from pykraft.protocol.messages.describe_cluster_response import DescribeClusterBroker, DescribeClusterResponseData

CLUSTER_OPERATIONS: Final = (
    AclOperation.CREATE,
    AclOperation.ALTER,
    AclOperation.DESCRIBE,
    AclOperation.CLUSTER_ACTION,
    AclOperation.DESCRIBE_CONFIGS,
    AclOperation.ALTER_CONFIGS,
    AclOperation.IDEMPOTENT_WRITE,
)
"""What may be done to a cluster."""


class EndpointType(IntEnum):
    BROKER = 1
    CONTROLLER = 2


def describe_cluster(
    image: MetadataImage,
    cluster_id: str,
    leader_id: int,
    listener: str,
    request: DescribeClusterRequestData,
    api_version: int,
    authorize: Authorize = allow_all,
) -> DescribeClusterResponseData:
    """The controllers that have the listener on which the request came (v0 to v1). Needs ALTER on the cluster.

    `leader_id` is −1 while no leader is known. Raises ApiError UNSUPPORTED_VERSION when controllers do not register
    at this metadata.version, CLUSTER_AUTHORIZATION_FAILED.
    """
    version = image.metadata_version
    if not version.is_controller_registration_supported:
        raise ApiError(
            ErrorCode.UNSUPPORTED_VERSION,
            f"Direct-to-controller communication is not supported with metadata.version {version.text}",
        )
    if not authorize(AclOperation.ALTER, AclResourceType.CLUSTER, CLUSTER_NAME):
        raise ApiError(ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "DescribeCluster of controllers needs ALTER")
    if request.endpoint_type != EndpointType.CONTROLLER:
        return _mismatch(request.endpoint_type, api_version)
    nodes = []
    for controller in image.controllers.values():
        endpoint = next((endpoint for endpoint in controller.listeners if endpoint.name == listener), None)
        if endpoint is not None:
            nodes.append(
                DescribeClusterBroker(broker_id=controller.id, host=endpoint.host, port=endpoint.port, rack=None)
            )
    response = DescribeClusterResponseData(
        endpoint_type=EndpointType.CONTROLLER,
        cluster_id=cluster_id,
        controller_id=leader_id if any(node.broker_id == leader_id for node in nodes) else -1,
        brokers=nodes,
    )
    if request.include_cluster_authorized_operations:
        response.cluster_authorized_operations = _cluster_operations(authorize)
    return response


def _cluster_operations(authorize: Authorize) -> int:
    """What the requester may do to the cluster, as a bit field of operation codes; nothing without DESCRIBE."""
    if not authorize(AclOperation.DESCRIBE, AclResourceType.CLUSTER, CLUSTER_NAME):
        return 0
    return sum(
        1 << operation
        for operation in CLUSTER_OPERATIONS
        if authorize(operation, AclResourceType.CLUSTER, CLUSTER_NAME)
    )


def _mismatch(endpoint_type: int, api_version: int) -> DescribeClusterResponseData:
    if api_version == 0:
        code = ErrorCode.INVALID_REQUEST
    elif endpoint_type == EndpointType.BROKER:
        code = ErrorCode.MISMATCHED_ENDPOINT_TYPE
    else:
        code = ErrorCode.UNSUPPORTED_ENDPOINT_TYPE
    return DescribeClusterResponseData(
        error_code=code,
        error_message=f"This is an endpoint of type CONTROLLER (2), the request asks for one of type {endpoint_type}",
    )
