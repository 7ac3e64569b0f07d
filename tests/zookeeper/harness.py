"""One face for the ZooKeepers that the contract tests run on: the fake, and a real server."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

import trio

from pykraft.lab.cluster import Node
from pykraft.testing.fake_zookeeper import FakeZooKeeper, FakeZooKeeperPort
from pykraft.zookeeper.kazoo_port import KazooPort, ZooKeeperConfig, open_zookeeper
from pykraft.zookeeper.port import ZooKeeperPort

USER, PASSWORD = "super", "secret"
# What ZooKeeper's digest scheme makes of them: base64 of the SHA-1 of "super:secret".
DIGEST_ID = "super:lK75jTNcA+U9vtVEw5vB51mj/w4="
CLOSE_SESSION = -11
SESSION_TIMEOUT_MS = 6_000
SOCKET_TIMEOUT_S = 10.0
EXPIRY_NOTICED_S = 3.0


class Harness(Protocol):
    """A ZooKeeper with a tree of its own for the test, and the means to make trouble."""

    name: str

    def open(
        self, *, set_acl: bool = False, authenticated: bool = False, request_bytes_max: int = 0xFFFFF
    ) -> AbstractAsyncContextManager[ZooKeeperPort]:
        """Open a session on the test's tree."""

    async def expire(self, port: ZooKeeperPort) -> None:
        """Let the server end the port's session."""

    async def stop(self) -> None:
        """Take the server down."""

    async def start(self) -> None:
        """Bring it up again, with its data."""


def close_session(port: int, session_id: int, password: bytes) -> None:
    """Take a session over and close it, both requests in one packet so that its owner has no time in between."""
    connect = struct.pack(">iqiqi", 0, 0, SESSION_TIMEOUT_MS, session_id, len(password)) + password + b"\0"
    close = struct.pack(">ii", 1, CLOSE_SESSION)
    with socket.create_connection(("127.0.0.1", port), SOCKET_TIMEOUT_S) as connection, suppress(OSError):
        connection.sendall(b"".join(struct.pack(">i", len(request)) + request for request in (connect, close)))
        while connection.recv(4_096):
            pass


class FakeHarness:
    name = "fake"

    def __init__(self) -> None:
        self.server = FakeZooKeeper()

    @asynccontextmanager
    async def open(
        self, *, set_acl: bool = False, authenticated: bool = False, request_bytes_max: int = 0xFFFFF
    ) -> AsyncIterator[ZooKeeperPort]:
        identities = [("digest", DIGEST_ID)] if authenticated else []
        port = self.server.connect(set_acl=set_acl, identities=identities, request_bytes_max=request_bytes_max)
        yield port
        port.close()

    async def expire(self, port: ZooKeeperPort) -> None:
        assert isinstance(port, FakeZooKeeperPort)
        self.server.expire(port)

    async def stop(self) -> None:
        self.server.stop()

    async def start(self) -> None:
        self.server.start()


class RealHarness:
    name = "real"

    def __init__(self, node: Node, chroot: str) -> None:
        self._node = node
        self._chroot = chroot

    @asynccontextmanager
    async def open(
        self, *, set_acl: bool = False, authenticated: bool = False, request_bytes_max: int = 0xFFFFF
    ) -> AsyncIterator[ZooKeeperPort]:
        config = ZooKeeperConfig(
            connect=self._node.address + self._chroot,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            set_acl=set_acl,
            credentials=(("digest", f"{USER}:{PASSWORD}"),) if authenticated else (),
            request_bytes_max=request_bytes_max,
        )
        async with open_zookeeper(config) as port:
            yield port

    async def expire(self, port: ZooKeeperPort) -> None:
        """Close the session from a second connection that takes it over, until the port has noticed.

        The port may win its session back before the close arrives, so it is done again after a while.
        """
        assert isinstance(port, KazooPort)
        before = port.session.status.sessions
        while port.session.status.sessions == before:
            client_id = port._client.client_id
            if client_id is not None:
                await trio.to_thread.run_sync(close_session, self._node.port, *client_id)
            with trio.move_on_after(EXPIRY_NOTICED_S):
                async for status in port.session.changes():
                    if status.sessions != before:
                        break

    async def stop(self) -> None:
        await trio.to_thread.run_sync(self._node.kill)

    async def start(self) -> None:
        await trio.to_thread.run_sync(self._node.start)
