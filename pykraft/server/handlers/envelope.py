"""Envelope (58): v0. A broker forwards a client's request, with who sent it.

- Checks in Kafka's order: principal (97), client address (42), inner header (35), whether the inner API may be
  forwarded (42), inner body (35). These errors are the Envelope's own; response data is null then.
- Errors of the inner request are inside the response data, under an Envelope without error; only NOT_CONTROLLER
  (and NOT_LEADER_OR_FOLLOWER of DescribeQuorum) makes the Envelope answer 41, so that the broker asks again.
- Needs CLUSTER_ACTION on the cluster.
Source: EnvelopeUtils.scala, RequestChannel.scala (shouldReturnNotController).
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final

from pykraft.controller.errors import ApiError
from pykraft.controller.result import Requester
from pykraft.protocol.api import ApiKey, request_class
from pykraft.protocol.errors import ErrorCode, ProtocolError, UnsupportedVersionError
from pykraft.protocol.messages.default_principal_data import DefaultPrincipalData
from pykraft.protocol.messages.describe_quorum_response import DescribeQuorumResponseData
from pykraft.protocol.messages.envelope_request import EnvelopeRequestData
from pykraft.protocol.messages.envelope_response import EnvelopeResponseData
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.server.dispatch import BadRequestError, answer_decoded, inner_context, request_header
from pykraft.server.registry import RequestContext, handler, handles

FORWARDABLE: Final = frozenset(
    {
        ApiKey.CREATE_TOPICS,
        ApiKey.DELETE_TOPICS,
        ApiKey.CREATE_ACLS,
        ApiKey.DELETE_ACLS,
        ApiKey.ALTER_CONFIGS,
        ApiKey.CREATE_PARTITIONS,
        ApiKey.CREATE_DELEGATION_TOKEN,
        ApiKey.RENEW_DELEGATION_TOKEN,
        ApiKey.EXPIRE_DELEGATION_TOKEN,
        ApiKey.ELECT_LEADERS,
        ApiKey.INCREMENTAL_ALTER_CONFIGS,
        ApiKey.ALTER_PARTITION_REASSIGNMENTS,
        ApiKey.LIST_PARTITION_REASSIGNMENTS,
        ApiKey.ALTER_CLIENT_QUOTAS,
        ApiKey.ALTER_USER_SCRAM_CREDENTIALS,
        ApiKey.DESCRIBE_QUORUM,
        ApiKey.UPDATE_FEATURES,
        ApiKey.UNREGISTER_BROKER,
        ApiKey.ALLOCATE_PRODUCER_IDS,
        ApiKey.ADD_RAFT_VOTER,
        ApiKey.REMOVE_RAFT_VOTER,
    }
)
"""The APIs that a broker may forward (ApiKeys.java)."""


@handles(ApiKey.ENVELOPE)
async def handle(context: RequestContext, request: EnvelopeRequestData) -> EnvelopeResponseData:
    principal = _principal(request.request_principal)
    try:
        host = str(ip_address(request.client_host_address))
    except ValueError as error:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Failed to parse client address from envelope") from error
    try:
        header, position = request_header(request.request_data)
    except BadRequestError as error:
        raise ApiError(ErrorCode.UNSUPPORTED_VERSION, "Failed to parse request header from envelope") from error
    key = ApiKey(header.request_api_key)
    if key not in FORWARDABLE or key not in context.node.apis:
        raise ApiError(ErrorCode.INVALID_REQUEST, f"API {key.name} is not enabled or is not eligible for forwarding")
    body = _inner_body(header, request.request_data, position, context.node.apis[key])
    requester = Requester(
        principal=f"{principal.type}:{principal.name}",
        client_host=host,
        client_id=header.client_id,
        forwarded=True,
        token_authenticated=principal.token_authenticated,
        listener=context.requester.listener,
    )
    inner = inner_context(context, key, header.request_api_version, requester)
    response, frame, code = await answer_decoded(inner, header.correlation_id, body)
    if code is ErrorCode.NOT_CONTROLLER or (key is ApiKey.DESCRIBE_QUORUM and _not_leader(response)):
        raise ApiError(ErrorCode.NOT_CONTROLLER, "this node is not the active controller")
    return EnvelopeResponseData(response_data=frame)


def _not_leader(response: DescribeQuorumResponseData) -> bool:
    codes = (partition.error_code for topic in response.topics for partition in topic.partitions)
    return ErrorCode.NOT_LEADER_OR_FOLLOWER in codes


def _principal(data: bytes | None) -> DefaultPrincipalData:
    """The forwarded principal: a version and a DefaultPrincipalData, as DefaultKafkaPrincipalBuilder writes it."""
    try:
        if data is None or len(data) < 2:
            raise ValueError("no version")
        return DefaultPrincipalData.decode(data[2:], int.from_bytes(data[:2], "big", signed=True))
    except ValueError as error:
        raise ApiError(
            ErrorCode.PRINCIPAL_DESERIALIZATION_FAILURE, "Failed to deserialize client principal from envelope"
        ) from error


def _inner_body(header: RequestHeaderData, frame: bytes, position: int, offered: tuple[int, int]) -> Any:
    key, version = ApiKey(header.request_api_key), header.request_api_version
    try:
        if not offered[0] <= version <= offered[1]:
            raise UnsupportedVersionError(f"{key.name} is offered in versions {offered[0]} to {offered[1]}")
        body = request_class(key).decode(frame[position:], version)
        check_body = handler(key).check_body
        if check_body is not None:
            check_body(body, version)
    except ProtocolError as error:
        raise ApiError(
            ErrorCode.UNSUPPORTED_VERSION, f"Failed to parse forwarded request {key.name} version {version}"
        ) from error
    return body
