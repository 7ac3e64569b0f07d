"""The sides of the comparison: a controller behind its listener, and the broker that forwards to it."""

from __future__ import annotations

import socket
import struct
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
from tests.kafka.admin_cases import Case

ANSWER_TIMEOUT_S: Final = 40.0
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


class ServedSide:
    """A controller behind its listener, Apache Kafka's or pykraft's, and the broker that has it for a controller."""

    def __init__(self, port: int, broker_port: int | None = None) -> None:
        self._ports = {False: port, True: broker_port}
        self._connections: dict[bool, Connection] = {}
        self.answers: dict[str, Message] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for connection in self._connections.values():
            connection.close()

    def _connect(self, *, through_broker: bool) -> Connection:
        port = self._ports[through_broker]
        assert port is not None
        return Connection(port)

    def ask(self, case: Case) -> Message | None:
        """The answer, or None when the connection was closed."""
        request = case.made(self.answers)
        if case.through_broker not in self._connections:
            self._connections[case.through_broker] = self._connect(through_broker=case.through_broker)
        try:
            answer = self._ask(self._connections[case.through_broker], case, request)
        except ConnectionError:
            self._connections.pop(case.through_broker).close()
            return None
        except TimeoutError as error:
            self._connections.pop(case.through_broker).close()
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
        if case.principal is None:
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
