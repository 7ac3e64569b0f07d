"""Requests in the shape that kazoo's connection takes, whose answers go to trio.

kazoo's connection thread asks a request for `type` and `serialize()`, hands the answer to `deserialize()` and
then calls `set` or `set_exception`; that is all it knows of it. Belongs to `pykraft.zookeeper.kazoo_port`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import trio

from pykraft.zookeeper import jute
from pykraft.zookeeper.errors import (
    AuthError,
    ConnectionLossError,
    RequestFailedError,
    SessionExpiredError,
    ZkCode,
    ZooKeeperError,
)
from pykraft.zookeeper.port import GetData, ReadError, ReadRequest

_T = TypeVar("_T")


class Request(Generic[_T]):
    """A request as kazoo's connection takes it, and its answer as kazoo's connection gives it.

    `connection` is the number of the connection it was sent on; `settled` is for who delivers the answer.
    """

    __slots__ = ("_body", "_decode", "_deliver", "connection", "done", "error", "settled", "type", "value")

    def __init__(self, kind: int, body: bytes, decode: Callable[[bytes, int], _T]) -> None:
        self.type = kind
        self.done = trio.Event()
        self.value: _T | None = None
        self.error: Exception | None = None
        self.connection = 0
        self.settled = False
        self._body = body
        self._decode = decode
        self._deliver: Callable[[Request[Any], Any, Exception | None], None] | None = None

    def sent_by(self, deliver: "Callable[[Request[Any], Any, Exception | None], None]", connection: int) -> None:
        """Say who takes the answer, and on which connection the request goes out."""
        self._deliver = deliver
        self.connection = connection

    def parts(self) -> "Sequence[Request[Any]]":
        """What goes into kazoo's queue."""
        return (self,)

    def __repr__(self) -> str:
        return f"request type {self.type} of {len(self._body)} bytes"

    def serialize(self) -> bytes:
        return self._body

    def deserialize(self, body: bytes, offset: int) -> _T:
        return self._decode(body, offset)

    def set(self, value: _T) -> None:
        if self._deliver is not None:
            self._deliver(self, value, None)

    def set_exception(self, error: Exception) -> None:
        if self._deliver is not None:
            self._deliver(self, None, error)

    async def answer(self) -> _T:
        """The decoded answer. Raises what came instead of it."""
        await self.done.wait()
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # a settled request has a value or an error


class ReadBatch(Request[list[_T | ReadError]]):
    """Several single reads that are sent together and answered to trio together.

    Waking trio's thread for each of them costs more than the reads.
    """

    __slots__ = ("_reads", "_results")

    def __init__(self, reads: Sequence[Request[_T]]) -> None:
        super().__init__(reads[0].type, b"", lambda _body, _offset: [])
        self._reads = reads
        self._results: dict[Request[Any], _T | ReadError] = {}

    def sent_by(self, deliver: "Callable[[Request[Any], Any, Exception | None], None]", connection: int) -> None:
        super().sent_by(deliver, connection)
        for read in self._reads:
            read.sent_by(self._collect, connection)

    def parts(self) -> Sequence[Request[Any]]:
        return self._reads

    def _collect(self, read: Request[Any], value: Any, error: Exception | None) -> None:
        if read in self._results:
            return
        if error is not None:
            failure = translated(error, read)
            if not isinstance(failure, RequestFailedError):
                self.set_exception(failure)
                return
            value = ReadError(failure.code)
        self._results[read] = value
        if len(self._results) == len(self._reads):
            self.set([self._results[read] for read in self._reads])


def single_read(read: ReadRequest, chroot: jute.Chroot) -> Request[Any]:
    """A getData or getChildren of its own."""
    body = jute.encode_read(read.path, chroot)
    if isinstance(read, GetData):
        return Request(jute.GET_DATA, body, jute.decode_data)
    return Request(jute.GET_CHILDREN, body, jute.decode_children)


def translated(error: Exception, request: Request[Any]) -> ZooKeeperError:
    """Our error for one of kazoo's, which carry ZooKeeper's code in `code`."""
    if isinstance(error, ZooKeeperError):
        return error
    code = getattr(error, "code", None)
    if code is None:
        return ZooKeeperError(f"{request!r} failed in the client: {error!r}")
    match ZkCode(code):
        case ZkCode.CONNECTION_LOSS:
            return ConnectionLossError("the connection to ZooKeeper was lost with requests in flight")
        case ZkCode.SESSION_EXPIRED:
            return SessionExpiredError("the ZooKeeper session expired with requests in flight")
        case ZkCode.AUTH_FAILED:
            return AuthError("ZooKeeper refused our credentials: check them")
        case known:
            return RequestFailedError(known, repr(request))
