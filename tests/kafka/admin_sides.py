"""The sides of the comparison: controllers behind a socket, and pykraft's functions on an image."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, Self

from pykraft.controller import (
    acls,
    config_description,
    configs,
    describe,
    features,
    producer_ids,
    quotas,
    scram,
    tokens,
)
from pykraft.controller.config import ControllerConfig
from pykraft.controller.effective_configs import describe_topic_configs
from pykraft.controller.errors import ApiError
from pykraft.controller.heartbeats import BrokerHeartbeatManager
from pykraft.controller.result import ControllerResult, OperationContext, Requester
from pykraft.image.metadata_image import MetadataImage
from pykraft.protocol._message import Message
from pykraft.protocol.errors import DecodeError, ErrorCode
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages.alter_client_quotas_request import AlterClientQuotasRequestData
from pykraft.protocol.messages.create_acls_request import CreateAclsRequestData
from pykraft.protocol.messages.create_topics_request import CreateTopicsRequestData
from pykraft.protocol.messages.create_topics_response import CreatableTopicResult, CreateTopicsResponseData
from pykraft.protocol.messages.default_principal_data import DefaultPrincipalData
from pykraft.protocol.messages.delete_acls_request import DeleteAclsRequestData
from pykraft.protocol.messages.describe_acls_request import DescribeAclsRequestData
from pykraft.protocol.messages.envelope_request import EnvelopeRequestData
from pykraft.protocol.messages.envelope_response import EnvelopeResponseData
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from tests.kafka.admin_cases import Case

ANSWER_TIMEOUT_S: Final = 60.0
_LENGTH: Final = struct.Struct(">i")
_HOST: Final = bytes((127, 0, 0, 1))


class Connection:
    """A connection to a Kafka listener, one request at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_S)
        self._socket.settimeout(ANSWER_TIMEOUT_S)

    def close(self) -> None:
        self._socket.close()

    def ask(self, request: Message, version: int) -> Message:
        """The answer to a request. Raises ConnectionError when the connection is closed instead."""
        frame = _frame(request, version)
        self._socket.sendall(_LENGTH.pack(len(frame)) + frame)
        (size,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return decode_response(self._read(size), request.API_KEY, version)[2]

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the connection was closed")
            data += part
        return bytes(data)


def _frame(request: Message, version: int) -> bytes:
    header = RequestHeaderData(
        request_api_key=request.API_KEY, request_api_version=version, correlation_id=1, client_id="differential"
    )
    return encode_request(header, request)


class ServedSide:
    """A controller behind its listener: Apache Kafka's or pykraft's."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = Connection(port)
        self.answers: dict[str, Message] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def ask(self, case: Case) -> Message | None:
        """The answer, or None when the connection was closed."""
        request = case.request if isinstance(case.request, Message) else case.request(self.answers)
        try:
            answer = self._ask(case, request)
        except ConnectionError:
            self._connection.close()
            self._connection = Connection(self._port)
            return None
        self.answers[case.name] = answer
        return answer

    def _ask(self, case: Case, request: Message) -> Message:
        if case.principal is None:
            return self._connection.ask(request, case.version)
        principal_type, _, name = case.principal.partition(":")
        principal = DefaultPrincipalData(type=principal_type, name=name, token_authenticated=case.token_authenticated)
        envelope = EnvelopeRequestData(
            request_data=_frame(request, case.version),
            request_principal=b"\x00\x00" + principal.encode(0),
            client_host_address=_HOST,
        )
        answer = self._connection.ask(envelope, 0)
        assert isinstance(answer, EnvelopeResponseData)
        assert answer.error_code == ErrorCode.NONE
        assert answer.response_data is not None
        return decode_response(answer.response_data, request.API_KEY, case.version)[2]


class FunctionSide:
    """pykraft's functions on an image that takes what they write."""

    def __init__(self, properties: Mapping[str, str], cluster_id: str, controller_id: int) -> None:
        self.image = MetadataImage()
        self.config = ControllerConfig.from_properties(properties)
        self.answers: dict[str, Message] = {}
        self.written: list[tuple[str, list[ApiMessageAndVersion]]] = []
        self._cluster_id = cluster_id
        self._controller_id = controller_id
        self._rng = Random(1)
        self._heartbeats = BrokerHeartbeatManager(self.config.broker_session_timeout_ms)

    def apply(self, record: Message) -> None:
        self.image.apply(record, self.image.offset + 1, 1)

    def ask(self, case: Case) -> Message | ApiError | None:
        """The answer, the error of the whole request, or None when the body would not be parsed."""
        request = case.request if isinstance(case.request, Message) else case.request(self.answers)
        request = type(request).decode(request.encode(case.version), case.version)
        requester = Requester(
            principal=case.principal or "User:ANONYMOUS",
            forwarded=case.principal is not None,
            token_authenticated=case.token_authenticated,
        )
        try:
            result = self._run(request, case.version, requester)
        except ApiError as error:
            return error
        except DecodeError:
            return None
        for record in result.records:
            self.apply(record.message)
        if result.records:
            self.written.append((case.name, result.records))
        answer: Message = type(result.response).decode(result.response.encode(case.version), case.version)
        self.answers[case.name] = answer
        return answer

    def _run(self, request: Any, version: int, requester: Requester) -> ControllerResult[Any]:
        ctx = OperationContext(
            image=self.image,
            config=self.config,
            heartbeats=self._heartbeats,
            cluster_id=self._cluster_id,
            next_offset=self.image.offset + 1,
            now_ms=int(time.time() * 1000),
            monotonic_ms=0,
            rng=self._rng,
            controller_ids=frozenset({self._controller_id}),
        )
        check = _BODY_CHECKS.get(type(request).__name__)
        if check is not None:
            check(request, version)
        name = type(request).__name__.removesuffix("RequestData")
        if name == "DescribeCluster":
            return ControllerResult(
                describe.describe_cluster(
                    self.image, self._cluster_id, self._controller_id, "CONTROLLER", request, version
                )
            )
        return _OPERATIONS[name](ctx, request, version, requester)


def _check_delete(request: DeleteAclsRequestData, version: int) -> None:
    acls.check_delete_acls_body(request, version)


def _check_describe(request: DescribeAclsRequestData, version: int) -> None:
    acls.check_describe_acls_body(request, version)


def _check_create(request: CreateAclsRequestData, version: int) -> None:
    acls.check_create_acls_body(request)


def _alter_client_quotas(
    ctx: OperationContext, request: AlterClientQuotasRequestData, version: int, requester: Requester
) -> ControllerResult[Any]:
    unresolvable = set()
    for host in quotas.host_names(request):
        try:
            socket.getaddrinfo(host, None)
        except OSError:
            unresolvable.add(host)
    return quotas.alter_client_quotas(ctx, request, unresolvable)


def _create_topics(
    ctx: OperationContext, request: CreateTopicsRequestData, version: int, requester: Requester
) -> ControllerResult[Any]:
    """The configs' part of validate-only CreateTopics, for one partition with one replica."""
    results = []
    for topic in request.topics:
        own = {config.name: config.value or "" for config in topic.configs}
        result = CreatableTopicResult(name=topic.name, error_message=None)
        try:
            configs.create_topic_configs(ctx, topic.name, own)
        except ApiError as error:
            result.error_code, result.configs = error.code, []
        else:
            result.num_partitions = result.replication_factor = 1
            result.configs = describe_topic_configs(ctx.image, ctx.config, own)
        results.append(result)
    return ControllerResult(CreateTopicsResponseData(topics=results))


_Operation = Callable[[OperationContext, Any, int, Requester], ControllerResult[Any]]
_BODY_CHECKS: Mapping[str, Callable[[Any, int], None]] = {
    "CreateAclsRequestData": _check_create,
    "DeleteAclsRequestData": _check_delete,
    "DescribeAclsRequestData": _check_describe,
}
_OPERATIONS: Mapping[str, _Operation] = {
    "IncrementalAlterConfigs": lambda ctx, request, _, __: configs.incremental_alter_configs(ctx, request),
    "AlterConfigs": lambda ctx, request, _, __: configs.alter_configs(ctx, request),
    "DescribeConfigs": lambda ctx, request, _, __: ControllerResult(
        config_description.describe_configs(ctx.image, ctx.config, request)
    ),
    "CreateTopics": _create_topics,
    "AlterClientQuotas": _alter_client_quotas,
    "CreateAcls": lambda ctx, request, _, __: acls.create_acls(ctx, request),
    "DeleteAcls": lambda ctx, request, _, __: acls.delete_acls(ctx, request),
    "DescribeAcls": lambda ctx, request, _, __: ControllerResult(acls.describe_acls(ctx.image, ctx.config, request)),
    "AlterUserScramCredentials": lambda ctx, request, _, __: scram.alter_user_scram_credentials(ctx, request),
    "CreateDelegationToken": lambda ctx, request, version, requester: tokens.create_delegation_token(
        ctx, request, requester, version
    ),
    "RenewDelegationToken": lambda ctx, request, _, requester: tokens.renew_delegation_token(ctx, request, requester),
    "ExpireDelegationToken": lambda ctx, request, _, requester: tokens.expire_delegation_token(ctx, request, requester),
    "AllocateProducerIds": lambda ctx, request, _, __: producer_ids.allocate_producer_ids(ctx, request),
    "UpdateFeatures": lambda ctx, request, _, __: features.update_features(ctx, request),
}
