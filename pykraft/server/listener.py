"""A listener: accepts connections and answers their requests, each connection's in order, one at a time.

As in Kafka, a connection's next request is read once the last one is answered; so a peer that does not read is
not read from either, and holds one response at most. One that is throttled is not read from until its time is over. A
bad frame closes its own connection only.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Final

import trio

from pykraft.server.dispatch import BadRequestError, Connection, answer

if TYPE_CHECKING:
    from pykraft.server.node import Node

log = logging.getLogger(__name__)

RECEIVE_BYTES_MAX: Final = 65_536
LISTEN_BACKLOG: Final = 128

_LENGTH = struct.Struct(">i")


class ListenError(Exception):
    """An address that cannot be listened on; the message names it."""


class FrameReader:
    """Takes length-prefixed frames from a stream; holds no more than what arrived."""

    def __init__(self, stream: trio.abc.ReceiveStream, request_bytes_max: int) -> None:
        self._stream = stream
        self._request_bytes_max = request_bytes_max
        self._buffer = bytearray()

    async def read(self) -> bytes | None:
        """The next frame without its length; None when the peer closed between two frames.

        Raises BadRequestError for a length that is not allowed and for a frame cut off.
        """
        if not await self._fill(_LENGTH.size):
            return None
        (size,) = _LENGTH.unpack_from(self._buffer)
        if not 0 <= size <= self._request_bytes_max:
            raise BadRequestError(
                f"a frame of {size} bytes, allowed are 0 to {self._request_bytes_max} (socket.request.max.bytes); is"
                " this a Kafka client, and without TLS?"
            )
        end = _LENGTH.size + size
        await self._fill(end)
        frame = bytes(memoryview(self._buffer)[_LENGTH.size : end])
        del self._buffer[:end]
        return frame

    async def _fill(self, size: int) -> bool:
        while len(self._buffer) < size:
            data = await self._stream.receive_some(RECEIVE_BYTES_MAX)
            if not data:
                if not self._buffer:
                    return False
                raise BadRequestError(
                    f"the connection ended {size - len(self._buffer)} bytes before the end of a frame; nothing of it"
                    " was done"
                )
            self._buffer += data
        return True


class Listener:
    """One bound address. `serve` runs until cancelled."""

    def __init__(self, node: Node, name: str, sockets: list[trio.SocketListener]) -> None:
        self._node = node
        self._name = name
        self._sockets = sockets
        self._connections = 0

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._connections

    async def serve(self) -> None:
        """Accept connections and answer them."""
        await trio.serve_listeners(self._connect, self._sockets)

    async def _connect(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                host, port = stream.socket.getpeername()[:2]
            except OSError:
                return
            connection = Connection(f"{host}:{port}", host, self._name)
            if self._connections >= self._node.config.max_connections:
                log.warning(
                    "%s: refused, %d connections are open already (max.connections); close some or raise the limit",
                    connection.peer,
                    self._connections,
                )
                return
            self._connections += 1
            try:
                await self._serve(stream, connection)
            except BadRequestError as error:
                log.warning("%s: connection closed: %s", connection.peer, error)
            except (OSError, trio.BrokenResourceError) as error:
                log.debug("%s: connection lost: %s", connection.peer, error)
            except Exception:
                log.exception("%s: connection closed: unexpected error", connection.peer)
            finally:
                self._connections -= 1

    async def _serve(self, stream: trio.SocketStream, connection: Connection) -> None:
        reader = FrameReader(stream, self._node.config.socket_request_max_bytes)
        # How long a peer may leave a frame unfinished, send nothing or not read a response; below 0 for ever.
        idle_ms_max = self._node.config.connections_max_idle_ms
        idle_s_max = idle_ms_max / 1000 if idle_ms_max >= 0 else float("inf")
        with trio.CancelScope() as idle:
            while True:
                idle.deadline = trio.current_time() + idle_s_max
                frame = await reader.read()
                if frame is None:
                    return
                idle.deadline = float("inf")
                response = await answer(self._node, frame, connection)
                idle.deadline = trio.current_time() + idle_s_max
                await stream.send_all(_LENGTH.pack(len(response.frame)) + response.frame)
                if response.throttle_time_ms > 0:
                    idle.deadline = float("inf")
                    await trio.sleep(response.throttle_time_ms / 1000)
        log.info("%s: connection closed: idle for %d ms (connections.max.idle.ms)", connection.peer, idle_ms_max)


async def bind(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on an address; port 0 takes a free one. Raises ListenError."""
    try:
        return await trio.open_tcp_listeners(port, host=host or None, backlog=LISTEN_BACKLOG)
    except OSError as error:
        raise ListenError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; stop what holds it, or give another address"
        ) from error
