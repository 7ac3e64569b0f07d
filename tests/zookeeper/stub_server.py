"""A few words of ZooKeeper's protocol, to play servers that cannot be had: old ones, ones that refuse us."""

import struct
from collections import Counter

import trio

CONNECT_ANSWER = struct.pack("!iiqi16s", 0, 6_000, 0x1234, 16, b"p" * 16)
PING, CLOSE, GET_DATA, AUTH, MULTI, MULTI_READ = 11, -11, 4, 100, 14, 22
NO_NODE, UNIMPLEMENTED, AUTH_FAILED = -101, -6, -115
CHECK_APPLIED = struct.pack("!iBiiBi", 13, 0, 0, -1, 1, -1)
STAT_BYTES = struct.pack("!qqqqiiiqiiq", *([0] * 11))


class StubServer:
    """Serves `data` like a ZooKeeper 3.5, which answers a multiRead with UNIMPLEMENTED and hangs up.

    The first `refusals` connections that authenticate are turned down. Of all multis, each of one check,
    `multis_answered` get an answer; at the next one it hangs up. `asked` counts requests by type, `multis_seen`
    the multis that came over each connection.
    """

    def __init__(self, data: dict[str, bytes], *, refusals: int = 0, multis_answered: int = 0) -> None:
        self.data = data
        self.refusals = refusals
        self.multis_answered = multis_answered
        self.multis_seen: list[int] = []
        self.asked: Counter[int] = Counter()
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        """Run until cancelled."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._talk, [listener])

    async def _talk(self, stream: trio.SocketStream) -> None:
        frames = _Frames(stream)
        if await frames.read() is None:
            return
        await frames.write(CONNECT_ANSWER)
        self.multis_seen.append(0)
        while (frame := await frames.read()) is not None:
            xid, kind = struct.unpack_from("!ii", frame)
            self.asked[kind] += 1
            code, body, stay = self._answer(kind, frame)
            if not stay and kind == MULTI:
                return
            await frames.write(struct.pack("!iqi", xid, 1, code) + body)
            if not stay:
                return

    def _answer(self, kind: int, frame: bytes) -> tuple[int, bytes, bool]:
        """Result code, body, whether the connection stays."""
        if kind == MULTI_READ:
            return UNIMPLEMENTED, b"", False
        if kind == MULTI:
            self.multis_seen[-1] += 1
            self.multis_answered -= 1
            return 0, CHECK_APPLIED, self.multis_answered >= 0
        if kind == AUTH:
            self.refusals -= 1
            return (AUTH_FAILED, b"", False) if self.refusals >= 0 else (0, b"", True)
        if kind == GET_DATA:
            (size,) = struct.unpack_from("!i", frame, 8)
            found = self.data.get(frame[12 : 12 + size].decode())
            if found is None:
                return NO_NODE, b"", True
            return 0, struct.pack("!i", len(found)) + found + STAT_BYTES, True
        return 0, b"", kind != CLOSE


class _Frames:
    """Frames with a 4-byte length in front."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def read(self) -> bytes | None:
        while len(self._buffer) < 4 or len(self._buffer) < 4 + struct.unpack("!i", self._buffer[:4])[0]:
            more = await self._stream.receive_some()
            if not more:
                return None
            self._buffer += more
        (size,) = struct.unpack("!i", self._buffer[:4])
        frame, self._buffer = self._buffer[4 : 4 + size], self._buffer[4 + size :]
        return frame

    async def write(self, frame: bytes) -> None:
        await self._stream.send_all(struct.pack("!i", len(frame)) + frame)
