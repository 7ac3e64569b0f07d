"""The narrow, typed port through which everything in pykraft talks to ZooKeeper.

Three calls carry all the traffic: `read_many` (reads, in transactions where the server can),
`multi` (one write transaction) and `multi_pipelined` (many of them, in order, several in flight).
`Session` tells the state of the connection. `pykraft.zookeeper.kazoo_port` speaks to a real ZooKeeper,
`pykraft.testing.fake_zookeeper` keeps one in memory; both pass the same tests.
"""

import enum
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, Self

import msgspec
import trio

from pykraft.zookeeper.acls import ZkAcls
from pykraft.zookeeper.errors import ZkCode, ZooKeeperError

ANY_VERSION: Final = -1
"""Matches every znode version. Write it out where it is meant; no default in this package is ANY_VERSION."""

UNKNOWN_VERSION: Final = -2
"""Stands for a znode version that was never learnt. A conditional write with it fails BAD_VERSION."""

JUTE_MAXBUFFER_BYTES: Final = 0xFFFFF
"""ZooKeeper's own default of `jute.maxbuffer`: a request with more bytes makes the server hang up."""

MAX_IN_FLIGHT_REQUESTS: Final = 10
"""Default of Kafka's `zookeeper.max.in.flight.requests`."""


class Stat(msgspec.Struct, frozen=True, gc=False):
    """What ZooKeeper keeps about a znode.

    `version` counts changes of the data, `czxid` and `mzxid` are the transactions that created and last
    changed it, `mtime_ms` is the server's wall clock at the last change, `ephemeral_owner` the session id
    or 0, `num_children` the number of direct children.
    """

    czxid: int
    mzxid: int
    mtime_ms: int
    version: int
    ephemeral_owner: int
    num_children: int


class GetData(msgspec.Struct, frozen=True, gc=False):
    """Read one znode's data and stat."""

    path: str


class GetChildren(msgspec.Struct, frozen=True, gc=False):
    """Read the names of a znode's children (not their paths; in no particular order)."""

    path: str


class DataResult(msgspec.Struct, frozen=True, gc=False):
    """Data of a znode; None is a znode that was created without any, which is not the same as b""."""

    data: bytes | None
    stat: Stat


class ChildrenResult(msgspec.Struct, frozen=True, gc=False):
    """Names of a znode's children. ZooKeeper's multiRead gives no stat with them."""

    children: list[str]


class ReadError(msgspec.Struct, frozen=True, gc=False):
    """One read that gave no value: NO_NODE, NO_AUTH."""

    code: ZkCode


ReadRequest = GetData | GetChildren
ReadResult = DataResult | ChildrenResult | ReadError


class Create(msgspec.Struct, frozen=True, gc=False):
    """Create one znode; its parent must exist.

    `acls=None` puts the access list on it that Kafka puts on this path (`acls.default_acls`, under
    `zookeeper.set.acl`). `sequential` lets ZooKeeper append the parent's 10-digit counter to `path`;
    the result carries the whole name.
    """

    path: str
    data: bytes | None = None
    ephemeral: bool = False
    sequential: bool = False
    acls: ZkAcls | None = None


class SetData(msgspec.Struct, frozen=True, gc=False):
    """Replace a znode's data if its version is `version` (ANY_VERSION: whatever it is)."""

    path: str
    data: bytes | None
    version: int


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Delete a znode without children if its version is `version` (ANY_VERSION: whatever it is)."""

    path: str
    version: int


class Check(msgspec.Struct, frozen=True, gc=False):
    """Let the transaction fail unless the znode's version is `version`."""

    path: str
    version: int


Op = Create | SetData | Delete | Check


class OpResult(msgspec.Struct, frozen=True, gc=False):
    """What became of one operation of a multi.

    In a multi that was applied every code is OK, `stat` is there for SetData and `path` for Create.
    In one that was not, the operations before the failing one say OK, the failing one its code, those
    after it RUNTIME_INCONSISTENCY, and nothing was applied: ask `failed_index`.
    """

    code: ZkCode
    stat: Stat | None = None
    path: str | None = None


OK_RESULT: Final = OpResult(ZkCode.OK)


def failed_index(results: Sequence[OpResult]) -> int | None:
    """Index of the operation that made a multi fail; None when the multi was applied."""
    for index, result in enumerate(results):
        if result.code is not ZkCode.OK:
            return index
    return None


class SessionState(enum.Enum):
    """States of the session, as the user of a port sees them."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    AUTH_FAILED = "auth failed"
    CLOSED = "closed"


class SessionStatus(NamedTuple):
    """Where the session stands.

    `sessions` counts the sessions opened so far and `connections` the times a connection was made, so one
    that compares them sees an expiry or a reconnect even if it missed the states between.
    """

    state: SessionState
    sessions: int
    connections: int


class Session:
    """State of a port's session: to be read, awaited, or iterated over. Belongs to trio's thread."""

    def __init__(self) -> None:
        self._status = SessionStatus(SessionState.CONNECTING, 0, 0)
        self._new_session = True
        self._waiters = trio.lowlevel.ParkingLot()

    @property
    def status(self) -> SessionStatus:
        return self._status

    @property
    def connected(self) -> bool:
        return self._status.state is SessionState.CONNECTED

    def update(self, state: SessionState) -> None:
        """Only for adapters: take over a new state and wake who waits for one."""
        _, sessions, connections = self._status
        if state is self._status.state or self._status.state is SessionState.CLOSED:
            return
        if state is SessionState.CONNECTED:
            connections += 1
            sessions += self._new_session
            self._new_session = False
        elif state in (SessionState.EXPIRED, SessionState.AUTH_FAILED):
            self._new_session = True
        self._status = SessionStatus(state, sessions, connections)
        self._waiters.unpark_all()

    async def wait_connected(self, *, after_connection: int = 0) -> SessionStatus:
        """Return when the session is connected, at once if it is; only on a connection after the given one.

        Waits as long as it takes: put it under a deadline. Raises ZooKeeperError when the port was closed.
        """
        while not self.connected or self._status.connections <= after_connection:
            if self._status.state is SessionState.CLOSED:
                raise ZooKeeperError("the ZooKeeper client was closed: open a new one")
            await self._waiters.park()
        await trio.lowlevel.checkpoint()
        return self._status

    def changes(self) -> "SessionChanges":
        """Iterate over the present status and each later one, until CLOSED.

        A slow consumer sees the newest status only, never a queue of old ones.
        """
        return SessionChanges(self)

    async def wait_change(self, seen: SessionStatus | None) -> SessionStatus:
        """Return the status as soon as it is another than `seen`."""
        while self._status == seen:
            await self._waiters.park()
        await trio.lowlevel.checkpoint()
        return self._status


class SessionChanges:
    """Async iterator over the statuses of a session; needs no closing."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen: SessionStatus | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionStatus:
        if self._seen is not None and self._seen.state is SessionState.CLOSED:
            raise StopAsyncIteration
        self._seen = await self._session.wait_change(self._seen)
        return self._seen


class ZooKeeperPort(Protocol):
    """A ZooKeeper client.

    Nothing in it retries: a request is sent once, on the connection that stands. Errors common to the
    calls: NotConnectedError (nothing sent), ConnectionLossError and SessionExpiredError (outcome unknown),
    AuthError, RequestTooLargeError, RequestFailedError (the server refused the request as a whole).
    After any of them the port goes on: it reconnects, and opens a new session where the old one expired.
    """

    @property
    def session(self) -> Session:
        """State of the connection and the session."""

    @property
    def request_bytes_max(self) -> int:
        """Most bytes of one request, which is the server's `jute.maxbuffer`; see `request_bytes`."""

    async def read_many(self, requests: Sequence[ReadRequest]) -> list[ReadResult]:
        """One result for each request, in order; what a single read failed on is a ReadError in its place.

        The reads are not a snapshot: writes may fall between them.
        """

    async def read_acls(self, paths: Sequence[str]) -> list[ZkAcls | ReadError]:
        """ZooKeeper's access list of each znode, in order."""

    async def multi(self, ops: Sequence[Op]) -> list[OpResult]:
        """Run the operations as one transaction, all or none; one result for each.

        A transaction that ZooKeeper turned down returns its codes; it raises nothing for them.
        """

    async def multi_pipelined(self, multis: Sequence[Sequence[Op]]) -> list[list[OpResult] | ZooKeeperError]:
        """Run transactions one after the other, a bounded number of them in flight.

        ZooKeeper executes them in this order. One that fails does not stop those behind it. When one gets
        no answer the ones not yet sent stay unsent (NotConnectedError in their place): nothing overtakes it.
        The errors are those that `multi` would raise; after all but NotConnectedError and RequestFailedError
        the transaction may have been applied.
        """


_OP_FIXED_BYTES: Final = 32
"""Upper bound of what an operation takes beside path, data and access list."""


def request_bytes(ops: Sequence[ReadRequest | Op]) -> int:
    """Upper bound in bytes of a request that carries `ops`; to be kept under `request_bytes_max`."""
    total = _OP_FIXED_BYTES
    for op in ops:
        path = op.path
        total += _OP_FIXED_BYTES + (len(path) if path.isascii() else len(path.encode()))
        if isinstance(op, Create | SetData):
            total += len(op.data or b"")
        if isinstance(op, Create):
            acls = op.acls
            total += 64 if acls is None else sum(12 + len(a.scheme) + 4 * len(a.id) for a in acls)
    return total
