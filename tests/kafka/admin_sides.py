"""The sides of the comparison: a controller behind its listener, and the broker that forwards to it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, Self

from pykraft.protocol._message import Message
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages.default_principal_data import DefaultPrincipalData
from pykraft.protocol.messages.envelope_request import EnvelopeRequestData
from pykraft.protocol.messages.envelope_response import EnvelopeResponseData
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.messages.sasl_authenticate_request import SaslAuthenticateRequestData
from pykraft.protocol.messages.sasl_authenticate_response import SaslAuthenticateResponseData
from pykraft.protocol.messages.sasl_handshake_request import SaslHandshakeRequestData
from pykraft.protocol.messages.sasl_handshake_response import SaslHandshakeResponseData
from tests.kafka.case import Case

ANSWER_TIMEOUT_S: Final = 40.0
SCRAM_SALT: Final = b"salt of the users"
SCRAM_ITERATIONS: Final = 4_096
LOG_IN_DEADLINE_S: Final = 30.0
"""A broker follows the log, and with it the credentials, with a delay."""
POLL_S: Final = 0.05
_LENGTH: Final = struct.Struct(">i")
_HOST: Final = bytes((127, 0, 0, 1))


class Connection:
    """A connection to a Kafka listener; answers come in the order of the requests."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_S)
        self._socket.settimeout(ANSWER_TIMEOUT_S)

    def close(self) -> None:
        self._socket.close()

    def ask(self, request: Message, version: int) -> Message:
        """The answer to a request. Raises ConnectionError when the connection is closed instead."""
        self.send(request, version)
        return self.receive(request, version)

    def send(self, request: Message, version: int) -> None:
        """Sends a request; `receive` with the same arguments gives its answer."""
        frame = _frame(request, version)
        self._socket.sendall(_LENGTH.pack(len(frame)) + frame)

    def receive(self, request: Message, version: int) -> Message:
        """The answer to the oldest request that has none yet. Raises ConnectionError."""
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


def password_of(user: str) -> str:
    return f"{user}-secret"


def salted(password: str) -> bytes:
    """What SCRAM-SHA-256 makes of a password (RFC 5802, Hi)."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), SCRAM_SALT, SCRAM_ITERATIONS)


def _log_in(connection: Connection, user: str) -> bool:
    """Whether the broker took the user's credential (SCRAM-SHA-256, RFC 5802 and 7677)."""
    handshake = connection.ask(SaslHandshakeRequestData(mechanism="SCRAM-SHA-256"), 1)
    assert isinstance(handshake, SaslHandshakeResponseData)
    assert handshake.error_code == ErrorCode.NONE
    nonce = secrets.token_hex(12)
    opening = f"n={user},r={nonce}"
    answer = connection.ask(SaslAuthenticateRequestData(auth_bytes=f"n,,{opening}".encode()), 2)
    assert isinstance(answer, SaslAuthenticateResponseData)
    if answer.error_code != ErrorCode.NONE:
        return False
    challenge = answer.auth_bytes.decode()
    closing = f"c=biws,r={challenge.split(',')[0].removeprefix('r=')}"
    client_key = _mac(salted(password_of(user)), "Client Key")
    signature = _mac(hashlib.sha256(client_key).digest(), f"{opening},{challenge},{closing}")
    proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
    final = f"{closing},p={base64.b64encode(proof).decode()}"
    answer = connection.ask(SaslAuthenticateRequestData(auth_bytes=final.encode()), 2)
    assert isinstance(answer, SaslAuthenticateResponseData)
    return answer.error_code == ErrorCode.NONE


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


class ServedSide:
    """A controller behind its listener, Apache Kafka's or pykraft's, and the broker that has it for a controller.

    At `sasl_port` users log in at the broker.
    """

    def __init__(self, port: int, broker_port: int | None = None, sasl_port: int | None = None) -> None:
        self._ports = {False: port, True: broker_port}
        self._sasl_port = sasl_port
        self._connections: dict[tuple[bool, str | None], Connection] = {}
        self.answers: dict[str, Message] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for connection in self._connections.values():
            connection.close()

    def _connect(self, *, through_broker: bool, principal: str | None = None) -> Connection:
        """A connection of its own to the controller, or to the broker, where a principal logs in."""
        if through_broker and principal is not None:
            return self._logged_in(principal.removeprefix("User:"))
        port = self._ports[through_broker]
        assert port is not None
        return Connection(port)

    def _logged_in(self, user: str) -> Connection:
        assert self._sasl_port is not None
        deadline = time.monotonic() + LOG_IN_DEADLINE_S
        while True:
            connection = Connection(self._sasl_port)
            if _log_in(connection, user):
                return connection
            connection.close()
            assert time.monotonic() < deadline, f"{user} cannot log in at the broker"
            time.sleep(POLL_S)

    def ask(self, case: Case) -> Message | None:
        """The answer, or None when the connection was closed."""
        request = case.made(self.answers)
        key = case.through_broker, case.principal if case.through_broker else None
        if key not in self._connections:
            self._connections[key] = self._connect(through_broker=key[0], principal=key[1])
        try:
            answer = self._ask(self._connections[key], case, request)
        except ConnectionError:
            self._connections.pop(key).close()
            return None
        except TimeoutError as error:
            self._connections.pop(key).close()
            raise AssertionError(f"{case.name}: no answer within {ANSWER_TIMEOUT_S:.0f} s") from error
        self.answers[case.name] = answer
        return answer

    def ask_at_once(self, runs: Sequence[Sequence[Case]]) -> list[tuple[Case, Message]]:
        """Each case with its answer; every run has a connection of its own, and nothing waits for an answer."""
        with ExitStack() as stack:
            sent = []
            for run in runs:
                connection = self._connect(through_broker=run[0].through_broker)
                stack.callback(connection.close)
                sent.append((connection, [(case, case.made(self.answers)) for case in run]))
            for connection, requests in sent:
                for case, request in requests:
                    connection.send(request, case.version)
            return [
                (case, connection.receive(request, case.version))
                for connection, requests in sent
                for case, request in requests
            ]

    def _ask(self, connection: Connection, case: Case, request: Message) -> Message:
        if case.principal is None or case.through_broker:
            return connection.ask(request, case.version)
        principal_type, _, name = case.principal.partition(":")
        principal = DefaultPrincipalData(type=principal_type, name=name, token_authenticated=case.token_authenticated)
        envelope = EnvelopeRequestData(
            request_data=_frame(request, case.version),
            request_principal=b"\x00\x00" + principal.encode(0),
            client_host_address=_HOST,
        )
        answer = connection.ask(envelope, 0)
        assert isinstance(answer, EnvelopeResponseData)
        assert answer.error_code == ErrorCode.NONE
        assert answer.response_data is not None
        return decode_response(answer.response_data, request.API_KEY, case.version)[2]
