"""The port to a real ZooKeeper, over kazoo's connection.

kazoo runs the connection in a thread of its own: it connects, pings, reconnects, renews an expired session.
Requests are built and read here (`pykraft.zookeeper.jute`), put in kazoo's queue, and their answers handed
to trio; none of kazoo's retries and none of its opinions about a transaction are used.
"""

import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import trio

from pykraft.zookeeper import jute
from pykraft.zookeeper.acls import ZkAcls, default_acls
from pykraft.zookeeper.errors import (
    AuthError,
    ConnectionLossError,
    ConnectTimeoutError,
    NotConnectedError,
    RequestFailedError,
    RequestTooLargeError,
    SessionExpiredError,
    ZkCode,
    ZooKeeperError,
)
from pykraft.zookeeper.kazoo_requests import ReadBatch, Request, single_read, translated
from pykraft.zookeeper.ops import ensure_paths
from pykraft.zookeeper.port import (
    JUTE_MAXBUFFER_BYTES,
    MAX_IN_FLIGHT_REQUESTS,
    GetData,
    Op,
    OpResult,
    ReadError,
    ReadRequest,
    ReadResult,
    Session,
    SessionState,
)

log = logging.getLogger(__name__)

READS_PER_REQUEST_MAX: Final = 1000
"""Reads in one multiRead."""

SINGLE_READS_PER_BATCH_MAX: Final = 100
"""Reads sent together where there is no multiRead."""

SINGLE_READ_BATCHES_MAX: Final = 2
"""Such batches in flight. kazoo is woken by a byte for each request through a socket that holds a few hundred
before its sender blocks."""

REQUEST_OVERHEAD_BYTES: Final = 64
"""Room for the header of a request and the end of its list."""

RECONNECT_BACKOFF_MAX_S: Final = 1.0
"""Longest pause between two attempts to reach a ZooKeeper that is away."""

CONNECT_ATTEMPTS_MIN: Final = 3
"""Attempts to connect that fit into one session timeout when servers do not answer."""

RESTART_INTERVAL_S: Final = 1.0
"""Pause before a client whose credentials were refused, or that died, is replaced. Kafka waits as long."""

CLOSE_TIMEOUT_S: Final = 5.0
"""How long closing waits for a ZooKeeper that does not answer."""

_T = TypeVar("_T")


class ZooKeeperConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach ZooKeeper; the names are those of Kafka's `zookeeper.*` configs.

    `connect` is `host:port,host:port/chroot`; a chroot that does not exist is created, unless `create_chroot` says that
    nothing is to be written. `credentials` are
    (scheme, credential) pairs, as ("digest", "user:password").
    """

    connect: str
    session_timeout_ms: int = 18_000
    connection_timeout_ms: int = 18_000
    max_in_flight_requests: int = MAX_IN_FLIGHT_REQUESTS
    set_acl: bool = False
    request_bytes_max: int = JUTE_MAXBUFFER_BYTES
    credentials: tuple[tuple[str, str], ...] = ()
    create_chroot: bool = True


@asynccontextmanager
async def open_zookeeper(config: ZooKeeperConfig) -> "AsyncIterator[KazooPort]":
    """A connected client for the length of the block; its session ends with it.

    Raises ConnectTimeoutError when the first connection does not come about in `connection_timeout_ms`,
    AuthError when ZooKeeper refuses the credentials by then.
    """
    port = KazooPort(config)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.run)
        try:
            await port.first_connect()
            yield port
        except Exception as error:
            failure = error  # raised outside of the nursery, which would wrap it in a group
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


class KazooPort:
    """A ZooKeeperPort on a real ZooKeeper. Made by `open_zookeeper`."""

    def __init__(self, config: ZooKeeperConfig) -> None:
        self.session = Session()
        self.request_bytes_max = config.request_bytes_max
        self._config = config
        self._hosts, root = _split_connect(config.connect)
        self._chroot = jute.Chroot("")
        self._wanted_chroot = root
        self._multi_read = True
        self._token = trio.lowlevel.current_trio_token()
        self._in_flight = trio.Semaphore(config.max_in_flight_requests)
        self._outstanding: set[Request[Any]] = set()
        # Guards the next three; kazoo's thread takes it when the connection changes, trio's when it sends.
        self._lock = threading.Lock()
        self._client: Any = None
        self._connection = 0
        self._connected = False

    async def run(self) -> None:
        """Keep a kazoo client going until cancelled."""
        try:
            while True:
                client = await trio.to_thread.run_sync(_new_client, self._hosts, self._config)
                with self._lock:
                    self._client = client
                client.add_listener(partial(self._on_kazoo_state, client))
                client.start_async()
                thread: threading.Thread = client._connection._connection_routine
                await trio.to_thread.run_sync(thread.join, abandon_on_cancel=True)
                log.warning("ZooKeeper client for %s ended, starting another", self._hosts)
                self._fail_outstanding(ConnectionLossError("the ZooKeeper client ended"))
                await trio.to_thread.run_sync(_stop, client)
                await trio.sleep(RESTART_INTERVAL_S)
        finally:
            await self._close()

    async def first_connect(self) -> None:
        """Wait for the first connection, learn what the server can do, create the chroot."""
        timeout_s = self._config.connection_timeout_ms / 1000
        with trio.move_on_after(timeout_s) as scope:
            while True:
                status = await self.session.wait_connected()
                try:
                    await self._probe_multi_read(status.connections)
                    if self._wanted_chroot and self._config.create_chroot:
                        await ensure_paths(self, [self._wanted_chroot])
                    break
                except (ConnectionLossError, NotConnectedError, SessionExpiredError):
                    continue
        if scope.cancelled_caught:
            state = self.session.status.state
            if state is SessionState.AUTH_FAILED:
                raise AuthError(f"ZooKeeper at {self._hosts} refused our credentials: check them")
            raise ConnectTimeoutError(
                f"no ZooKeeper at {self._hosts} within {self._config.connection_timeout_ms} ms "
                f"(session {state.value}): check zookeeper.connect, and that ZooKeeper runs"
            )
        self._chroot = jute.Chroot(self._wanted_chroot)

    async def read_many(self, requests: Sequence[ReadRequest]) -> list[ReadResult]:
        if not self._multi_read or len(requests) == 1:
            return await self._read_in_batches([single_read(read, self._chroot) for read in requests])
        sent: list[Request[list[ReadResult]]] = []
        for count, body in self._multi_read_bodies(requests):
            decode = partial(jute.decode_multi_read, count=count)
            sent.append(await self._send(Request(jute.MULTI_READ, body, decode)))
        results: list[ReadResult] = []
        for request in sent:
            try:
                results += await request.answer()
            except RequestFailedError as error:
                if error.code is not ZkCode.UNIMPLEMENTED:
                    raise
                self._multi_read = False
                raise ConnectionLossError("a ZooKeeper before 3.6 hung up on a multiRead") from error
        return results

    async def read_acls(self, paths: Sequence[str]) -> list[ZkAcls | ReadError]:
        reads = [Request(jute.GET_ACL, jute.encode_get_acl(path, self._chroot), jute.decode_acls) for path in paths]
        return await self._read_in_batches(reads)

    async def multi(self, ops: Sequence[Op]) -> list[OpResult]:
        return await (await self._send(self._multi_request(ops))).answer()

    async def multi_pipelined(self, multis: Sequence[Sequence[Op]]) -> list[list[OpResult] | ZooKeeperError]:
        requests = [self._multi_request(ops) for ops in multis]
        results: list[list[OpResult] | ZooKeeperError] = []
        sent = 0
        unsent: ZooKeeperError | None = None
        for request in requests:
            try:
                await self._send(request, requests[0].connection if sent else None)
            except NotConnectedError as error:
                unsent = error
                break
            sent += 1
        for request in requests[:sent]:
            try:
                results.append(await request.answer())
            except ZooKeeperError as error:
                results.append(error)
        if unsent is not None:
            results.extend([unsent] * (len(multis) - sent))
        return results

    def _multi_request(self, ops: Sequence[Op]) -> Request[list[OpResult]]:
        acls_of = partial(default_acls, set_acl=self._config.set_acl)
        body = jute.encode_multi(ops, self._chroot, acls_of)
        if len(body) + REQUEST_OVERHEAD_BYTES > self.request_bytes_max:
            raise RequestTooLargeError(len(body), self.request_bytes_max, ops[0].path)
        return Request(jute.MULTI, body, partial(jute.decode_multi, chroot=self._chroot))

    def _multi_read_bodies(self, requests: Sequence[ReadRequest]) -> Iterator[tuple[int, bytes]]:
        """Cut reads into requests below the size limit: how many each holds, and its body."""
        for begin in range(0, len(requests), READS_PER_REQUEST_MAX):
            chunks = [requests[begin : begin + READS_PER_REQUEST_MAX]]
            while chunks:
                chunk = chunks.pop()
                body = jute.encode_multi_read(chunk, self._chroot)
                if len(body) + REQUEST_OVERHEAD_BYTES <= self.request_bytes_max:
                    yield len(chunk), body
                elif len(chunk) == 1:
                    raise RequestTooLargeError(len(body), self.request_bytes_max, chunk[0].path)
                else:
                    half = len(chunk) // 2
                    chunks += (chunk[half:], chunk[:half])

    async def _read_in_batches(self, reads: Sequence[Request[_T]]) -> list[_T | ReadError]:
        """Single reads, pipelined."""
        results: list[_T | ReadError] = []
        sent: deque[ReadBatch[_T]] = deque()
        for begin in range(0, len(reads), SINGLE_READS_PER_BATCH_MAX):
            if len(sent) == SINGLE_READ_BATCHES_MAX:
                results += await sent.popleft().answer()
            batch = ReadBatch(reads[begin : begin + SINGLE_READS_PER_BATCH_MAX])
            await self._send(batch)
            sent.append(batch)
        while sent:
            results += await sent.popleft().answer()
        return results

    async def _probe_multi_read(self, connections: int) -> None:
        """Learn whether the server knows multiRead; one that does not answers so and hangs up."""
        probe: list[ReadRequest] = [GetData("/")]
        body = jute.encode_multi_read(probe, self._chroot)
        decode = partial(jute.decode_multi_read, count=1)
        try:
            await (await self._send(Request(jute.MULTI_READ, body, decode))).answer()
        except RequestFailedError as error:
            if error.code is not ZkCode.UNIMPLEMENTED:
                raise
            log.info("ZooKeeper at %s is older than 3.6: reading without multiRead", self._hosts)
            self._multi_read = False
            await self.session.wait_connected(after_connection=connections)

    async def _send(self, request: Request[_T], connection: int | None = None) -> Request[_T]:
        """Put a request on the connection that stands, or on none; `connection` insists on one.

        Raises NotConnectedError when nothing was sent.
        """
        await self._in_flight.acquire()
        with self._lock:
            # The session is suspended as soon as one request is known to be lost, before kazoo says so.
            connected = self._connected and self.session.connected
            sendable = connected and connection in (None, self._connection)
            if sendable:
                request.sent_by(self._delivered, self._connection)
                self._outstanding.add(request)
                for part in request.parts():
                    self._client._call(part, part)
        if not sendable:
            self._in_flight.release()
            if connection is None:
                self._connection_is_down()
                raise NotConnectedError(f"no connection to ZooKeeper at {self._hosts}: nothing was sent")
            raise NotConnectedError("a transaction before this one was lost: this one was not sent")
        return request

    def _delivered(self, request: Request[Any], value: Any, error: Exception | None) -> None:
        """In whatever thread kazoo answers: pass the answer to trio's."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._settle, request, value, error)

    def _settle(self, request: Request[Any], value: Any, error: Exception | None) -> None:
        if request.settled:
            return
        request.settled = True
        self._outstanding.discard(request)
        self._in_flight.release()
        request.value = value
        if error is not None:
            request.error = translated(error, request)
            if isinstance(request.error, ConnectionLossError):
                self._connection_is_down()
        request.done.set()

    def _connection_is_down(self) -> None:
        """Say so before kazoo's own word arrives, so that who waits for a connection waits for the next one."""
        if self.session.connected:
            self.session.update(SessionState.SUSPENDED)

    def _fail_outstanding(self, error: ZooKeeperError) -> None:
        for request in list(self._outstanding):
            self._settle(request, None, error)

    def _on_kazoo_state(self, client: Any, state: str) -> None:
        """In kazoo's connection thread, the only one that takes requests from its queue."""
        with self._lock:
            if client is not self._client:
                return
            self._connected = state == "CONNECTED"
            if self._connected:
                self._connection += 1
            else:
                # kazoo emptied its queue before it told us; what slipped in between would go out on the
                # next connection, behind requests that were lost.
                while client._queue:
                    _, waiting = client._queue.popleft()
                    if waiting is not None:
                        waiting.set_exception(NotConnectedError("the connection was lost before sending"))
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self.session.update, _session_state(state, client.client_state))

    async def _close(self) -> None:
        self.session.update(SessionState.CLOSED)
        with self._lock:
            client, self._client, self._connected = self._client, None, False
        self._fail_outstanding(ConnectionLossError("the ZooKeeper client was closed with requests in flight"))
        if client is not None:
            with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                await trio.to_thread.run_sync(_stop, client, abandon_on_cancel=True)


def _split_connect(connect: str) -> tuple[str, str]:
    """Hosts and chroot ("" for none) of a `zookeeper.connect`. Raises ValueError."""
    hosts, slash, chroot = connect.partition("/")
    root = (slash + chroot).rstrip("/")
    if not hosts or "//" in root:
        raise ValueError(f"zookeeper.connect is {connect!r}, not of the form host:port,host:port/chroot")
    return hosts, root


def _new_client(hosts: str, config: ZooKeeperConfig) -> Any:
    """A kazoo client, not yet started. kazoo is imported here: it takes a while and not everyone needs it."""
    from kazoo.client import KazooClient

    # kazoo waits the session timeout divided by the number of hosts for the answer to a connection attempt.
    # A ZooKeeper 3.8 that is just starting may keep one open that it will never answer (a null pointer in its
    # removeCnxn); with a single host nothing else would be tried by then.
    servers = hosts.split(",")
    servers *= -(-CONNECT_ATTEMPTS_MIN // len(servers))
    retry = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": RECONNECT_BACKOFF_MAX_S}
    return KazooClient(
        ",".join(servers),
        timeout=config.session_timeout_ms / 1000,
        auth_data=set(config.credentials),
        connection_retry=retry,
        logger=log.getChild("kazoo"),
    )


def _stop(client: Any) -> None:
    """End a kazoo client's session and threads; blocks until it is done."""
    from kazoo.exceptions import KazooException

    try:
        client.stop()
        client.close()
    except (KazooException, OSError) as error:
        log.warning("closing the ZooKeeper client: %r", error)


def _session_state(kazoo_state: str, keeper_state: str) -> SessionState:
    if kazoo_state == "CONNECTED":
        return SessionState.CONNECTED
    if kazoo_state == "SUSPENDED":
        return SessionState.SUSPENDED
    return SessionState.AUTH_FAILED if keeper_state == "AUTH_FAILED" else SessionState.EXPIRED
