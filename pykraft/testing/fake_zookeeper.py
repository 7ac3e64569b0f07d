"""A ZooKeeper in memory, behind the same port as the real one, that fails exactly when told to.

It passes the tests that the adapter to a real ZooKeeper passes: versions, transactions with ZooKeeper's own
result codes, counters of sequential znodes, ephemeral znodes, access lists, sessions. What it adds are
faults: a lost connection before or after a request was applied, an expired session, a refused znode, slowness.
"""

import enum
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import trio
from msgspec import structs

from pykraft.testing.zookeeper_tree import Tree
from pykraft.zookeeper.acls import ZkAcls, default_acls
from pykraft.zookeeper.errors import (
    ConnectionLossError,
    NotConnectedError,
    RequestTooLargeError,
    SessionExpiredError,
    ZkCode,
    ZooKeeperError,
)
from pykraft.zookeeper.port import (
    JUTE_MAXBUFFER_BYTES,
    MAX_IN_FLIGHT_REQUESTS,
    Create,
    Op,
    OpResult,
    ReadError,
    ReadRequest,
    ReadResult,
    Session,
    SessionState,
    SessionStatus,
    request_bytes,
)

_T = TypeVar("_T")


class FaultKind(enum.Enum):
    """What goes wrong with a request."""

    LOSE_BEFORE_APPLY = "the connection is lost, the request was not applied"
    LOSE_AFTER_APPLY = "the connection is lost, the request was applied"
    EXPIRE = "the session expires, the request was not applied"
    NO_AUTH = "the znode refuses the operation"
    SLOW = "the answer takes longer"


class On(enum.Enum):
    """Which requests a fault hits."""

    ANY = "any"
    READ = "read"
    WRITE = "write"


@dataclass
class Fault:
    """One misbehaviour.

    Hits requests of kind `on` that touch a path starting with `path`: lets `skip` of them pass, then hits
    `times`. `delay_s`, in seconds, is for SLOW.
    """

    kind: FaultKind
    on: On = On.ANY
    path: str = "/"
    skip: int = 0
    times: int = 1
    delay_s: float = 0.0

    def takes(self, on: On, touched: Iterable[str]) -> bool:
        """Whether the fault hits this request; counts it."""
        if self.times == 0 or (self.on is not On.ANY and self.on is not on):
            return False
        if not any(path.startswith(self.path) for path in touched):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass
class FakeZooKeeper:
    """The server: one tree, any number of sessions.

    `now_ms` is the server's wall clock. `latency_s` is added to each request and to each answer.
    """

    now_ms: Callable[[], int] = lambda: int(time.time() * 1000)
    latency_s: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    tree: Tree = field(init=False)
    running: bool = field(default=True, init=False)
    _ports: "list[FakeZooKeeperPort]" = field(default_factory=list, init=False)
    _last_session_id: int = field(default=0x1000, init=False)

    def __post_init__(self) -> None:
        self.tree = Tree(self.now_ms)

    def connect(
        self,
        *,
        set_acl: bool = False,
        identities: Iterable[tuple[str, str]] = (),
        request_bytes_max: int = JUTE_MAXBUFFER_BYTES,
        in_flight_max: int = MAX_IN_FLIGHT_REQUESTS,
    ) -> "FakeZooKeeperPort":
        """Open a session. `identities` are the (scheme, id) pairs the connection authenticated as."""
        port = FakeZooKeeperPort(self, set_acl, frozenset(identities), request_bytes_max, in_flight_max)
        self._ports.append(port)
        if self.running:
            self._open_session(port)
        return port

    def inject(self, fault: Fault) -> Fault:
        """Add a fault; see `unused_faults`."""
        self.faults.append(fault)
        return fault

    @property
    def unused_faults(self) -> list[Fault]:
        """Faults that did not hit as often as asked for; a test should end with none."""
        return [fault for fault in self.faults if fault.times]

    def stop(self) -> None:
        """Take the server down: every connection is lost, sessions stay."""
        self.running = False
        for port in self._ports:
            port.session.update(SessionState.SUSPENDED)

    def start(self, *, expire_sessions: bool = False) -> None:
        """Bring it up again; the ports reconnect, with new sessions if the old ones expired meanwhile."""
        self.running = True
        for port in self._ports:
            if expire_sessions:
                self.expire(port)
            elif not port.session_id:
                self._open_session(port)
            else:
                port.session.update(SessionState.CONNECTED)

    def expire(self, port: "FakeZooKeeperPort") -> None:
        """End the port's session; the port opens a new one."""
        self.tree.delete_ephemerals(port.session_id)
        port.session.update(SessionState.EXPIRED)
        if self.running:
            self._open_session(port)

    def lose_connection(self, port: "FakeZooKeeperPort") -> None:
        """Cut the port's connection; what is in flight is lost, then the port reconnects."""
        port.session.update(SessionState.SUSPENDED)
        port.session.update(SessionState.CONNECTED)

    def close(self, port: "FakeZooKeeperPort") -> None:
        """End the port's session for good."""
        self._ports.remove(port)
        self.tree.delete_ephemerals(port.session_id)
        port.session.update(SessionState.CLOSED)

    def _open_session(self, port: "FakeZooKeeperPort") -> None:
        self._last_session_id += 1
        port.session_id = self._last_session_id
        port.session.update(SessionState.CONNECTED)

    def take_faults(self, on: On, touched: Sequence[str]) -> list[Fault]:
        """Faults that hit a request which touches these paths."""
        return [fault for fault in self.faults if fault.takes(on, touched)]


class FakeZooKeeperPort:
    """A session on a FakeZooKeeper; a ZooKeeperPort."""

    def __init__(
        self,
        server: FakeZooKeeper,
        set_acl: bool,
        identities: frozenset[tuple[str, str]],
        request_bytes_max: int,
        in_flight_max: int,
    ) -> None:
        self.session = Session()
        self.session_id = 0
        self._server = server
        self._set_acl = set_acl
        self._identities = identities
        self.request_bytes_max = request_bytes_max
        self._in_flight_max = in_flight_max

    def close(self) -> None:
        """End the session."""
        self._server.close(self)

    async def read_many(self, requests: Sequence[ReadRequest]) -> list[ReadResult]:
        def read(refused: tuple[str, ...]) -> list[ReadResult]:
            tree = self._server.tree
            return [
                ReadError(ZkCode.NO_AUTH) if request.path.startswith(refused) else tree.read(request, self._identities)
                for request in requests
            ]

        return _settled(await self._request(On.READ, [request.path for request in requests], read))

    async def read_acls(self, paths: Sequence[str]) -> list[ZkAcls | ReadError]:
        def read(refused: tuple[str, ...]) -> list[ZkAcls | ReadError]:
            tree = self._server.tree
            return [
                ReadError(ZkCode.NO_AUTH) if path.startswith(refused) else tree.read_acls(path, self._identities)
                for path in paths
            ]

        return _settled(await self._request(On.READ, paths, read))

    async def multi(self, ops: Sequence[Op]) -> list[OpResult]:
        (result,) = await self.multi_pipelined([ops])
        if isinstance(result, ZooKeeperError):
            raise result
        return result

    async def multi_pipelined(self, multis: Sequence[Sequence[Op]]) -> list[list[OpResult] | ZooKeeperError]:
        for ops in multis:
            size = request_bytes(ops)
            if ops and size > self.request_bytes_max:
                raise RequestTooLargeError(size, self.request_bytes_max, ops[0].path)
        results: list[list[OpResult] | ZooKeeperError] = []
        for ops in multis:
            apply = partial(self._apply, ops)
            outcome = await self._request(On.WRITE, [op.path for op in ops], apply)
            if not isinstance(outcome, _Lost):
                results.append(outcome)
                continue
            results.append(outcome.error)
            if not isinstance(outcome.error, NotConnectedError):
                self._lose_in_flight(multis, results, outcome)
            break
        unsent = NotConnectedError("a transaction before this one was lost: this one was not sent")
        results.extend([unsent] * (len(multis) - len(results)))
        return results

    def _lose_in_flight(
        self,
        multis: Sequence[Sequence[Op]],
        results: list[list[OpResult] | ZooKeeperError],
        lost: "_Lost",
    ) -> None:
        """What was sent behind a lost transaction shares its fate: applied or not, nobody hears of it."""
        in_flight = multis[len(results) : len(results) + self._in_flight_max - 1]
        for ops in in_flight:
            if lost.applied:
                self._apply(ops, ())
            results.append(lost.error)

    def _apply(self, ops: Sequence[Op], refused: tuple[str, ...]) -> list[OpResult]:
        with_acls = [
            structs.replace(op, acls=default_acls(op.path, set_acl=self._set_acl))
            if isinstance(op, Create) and op.acls is None
            else op
            for op in ops
        ]
        return self._server.tree.multi(with_acls, self.session_id, self._identities, refused)

    async def _request(self, on: On, touched: Sequence[str], apply: Callable[[tuple[str, ...]], _T]) -> "_T | _Lost":
        """Send, apply, answer; each step may go wrong."""
        server, status = self._server, self.session.status
        if status.state is not SessionState.CONNECTED:
            await trio.lowlevel.checkpoint()
            return _Lost(NotConnectedError("no connection to ZooKeeper: nothing was sent"), applied=False)
        faults = server.take_faults(on, touched)
        kinds = {fault.kind for fault in faults}
        await trio.sleep(server.latency_s + sum(fault.delay_s for fault in faults))
        if self.session.status != status:
            return self._lost(status, applied=False)
        if FaultKind.EXPIRE in kinds:
            server.expire(self)
            return self._lost(status, applied=False)
        if FaultKind.LOSE_BEFORE_APPLY in kinds:
            server.lose_connection(self)
            return self._lost(status, applied=False)
        result = apply(tuple(fault.path for fault in faults if fault.kind is FaultKind.NO_AUTH))
        await trio.sleep(server.latency_s)
        if FaultKind.LOSE_AFTER_APPLY in kinds:
            server.lose_connection(self)
        if self.session.status != status:
            return self._lost(status, applied=True)
        return result

    def _lost(self, sent_on: SessionStatus, *, applied: bool) -> "_Lost":
        now = self.session.status
        if now.state is SessionState.EXPIRED or now.sessions != sent_on.sessions:
            return _Lost(SessionExpiredError("the ZooKeeper session expired with requests in flight"), applied)
        return _Lost(ConnectionLossError("the connection to ZooKeeper was lost with requests in flight"), applied)


@dataclass(frozen=True)
class _Lost:
    error: ZooKeeperError
    applied: bool


def _settled(outcome: "_T | _Lost") -> "_T":
    if isinstance(outcome, _Lost):
        raise outcome.error
    return outcome
