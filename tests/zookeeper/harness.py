"""One face for the ZooKeepers that the contract tests run on: the fake, and a real server."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import trio

from pykraft.lab.cluster import Node
from pykraft.testing.fake_zookeeper import FakeZooKeeper, FakeZooKeeperPort
from pykraft.zookeeper.kazoo_port import KazooPort, ZooKeeperConfig, open_zookeeper
from pykraft.zookeeper.port import ZooKeeperPort

USER, PASSWORD = "super", "secret"
# What ZooKeeper's digest scheme makes of them: base64 of the SHA-1 of "super:secret".
DIGEST_ID = "super:lK75jTNcA+U9vtVEw5vB51mj/w4="


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
            session_timeout_ms=6_000,
            set_acl=set_acl,
            credentials=(("digest", f"{USER}:{PASSWORD}"),) if authenticated else (),
            request_bytes_max=request_bytes_max,
        )
        async with open_zookeeper(config) as port:
            yield port

    async def expire(self, port: ZooKeeperPort) -> None:
        """Close the session from a second connection that takes it over."""
        from kazoo.client import KazooClient

        assert isinstance(port, KazooPort)
        twin = KazooClient(self._node.address, client_id=port._client.client_id)

        def take_over() -> None:
            twin.start(30)
            twin.stop()
            twin.close()

        await trio.to_thread.run_sync(take_over)

    async def stop(self) -> None:
        await trio.to_thread.run_sync(self._node.kill)

    async def start(self) -> None:
        await trio.to_thread.run_sync(self._node.start)
