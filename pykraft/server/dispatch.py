"""From a request frame to a response frame: decode, ask the handler, place its error, encode.

Source of what closes a connection: core/.../network/SocketServer.scala, clients/.../requests/RequestContext.java.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pykraft.controller.errors import ApiError
from pykraft.controller.result import Requester
from pykraft.protocol.api import ApiKey, request_class
from pykraft.protocol.errors import DecodeError, ErrorCode, ProtocolError, UnsupportedVersionError
from pykraft.protocol.frame import decode_request_header, encode_response
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.server.registry import RequestContext, RequestError, handler

if TYPE_CHECKING:
    from pykraft.server.node import Node

log = logging.getLogger(__name__)


class BadRequestError(Exception):
    """A request that Kafka answers by closing the connection; the message says what it was and what to do."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One accepted connection: the peer as `host:port` and the listener it came in on."""

    peer: str
    host: str
    listener: str


class Answer(NamedTuple):
    """A response, decoded and as a frame, and the error of the whole request."""

    response: Any
    frame: bytes
    error: ErrorCode

    @property
    def throttle_time_ms(self) -> int:
        """How long the client that gets it is to be silent; 0 for responses that have no such field."""
        return getattr(self.response, "throttle_time_ms", 0)


async def answer(node: Node, frame: bytes, connection: Connection) -> Answer:
    """The response to a request frame. Raises BadRequestError where Kafka closes the connection."""
    header, position = request_header(frame)
    key, version = ApiKey(header.request_api_key), header.request_api_version
    requester = Requester(client_host=connection.host, client_id=header.client_id, listener=connection.listener)
    versions = node.apis.get(key)
    if versions is None:
        raise BadRequestError(f"{key.name} is not offered on a controller listener; send it to a broker")
    if not versions[0] <= version <= versions[1] and key is not ApiKey.API_VERSIONS:
        raise BadRequestError(
            f"{key.name} version {version}, this controller has {versions[0]} to {versions[1]}; ask with ApiVersions"
            " first"
        )
    if key is ApiKey.API_VERSIONS and version > versions[1]:
        body: Any = None
    else:
        try:
            body = request_class(key).decode(memoryview(frame)[position:], version)
            check_body = handler(key).check_body
            if check_body is not None:
                check_body(body, version)
        except ProtocolError as error:
            raise BadRequestError(
                f"{key.name} version {version} cannot be decoded ({error}); the sender's codec is at fault"
            ) from error
    context = RequestContext(node, key, version, requester)
    return await answer_decoded(context, header.correlation_id, body)


def request_header(frame: bytes) -> tuple[RequestHeaderData, int]:
    """The header and the position of the body. Raises BadRequestError."""
    try:
        header, _, position = decode_request_header(frame)
    except UnsupportedVersionError as error:
        raise BadRequestError(f"{error}; is this a Kafka client?") from error
    except DecodeError as error:
        raise BadRequestError(f"no request header ({error}); is this a Kafka client?") from error
    return header, position


async def answer_decoded(context: RequestContext, correlation_id: int, body: Any) -> Answer:
    """Ask the handler; a failure of the whole request goes where Kafka's getErrorResponse puts it."""
    handle, place_error, _ = handler(context.api_key)
    code = ErrorCode.NONE
    try:
        context.check_cluster_operation()
        response = await handle(context, body)
    except ApiError as error:
        code = error.code
        response = place_error(context, body, RequestError(error.code, error.message))
    except BadRequestError:
        raise
    except Exception:
        log.exception("Unexpected error handling request %s from %s", context.api_key.name, context.requester)
        code = ErrorCode.UNKNOWN_SERVER_ERROR
        response = place_error(context, body, RequestError(code, None))
    version = context.api_version
    if context.api_key is ApiKey.API_VERSIONS and version > context.node.apis[ApiKey.API_VERSIONS][1]:
        version = 0
    return Answer(response, encode_response(context.api_key, version, correlation_id, response), code)


def inner_context(context: RequestContext, key: ApiKey, version: int, requester: Requester) -> RequestContext:
    """The context of a request that came inside an Envelope."""
    return replace(context, api_key=key, api_version=version, requester=requester)
