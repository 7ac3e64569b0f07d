"""Events of a running controller: one JSON object a line, for the process that started it."""

from __future__ import annotations

import logging
import queue
import threading
from typing import BinaryIO, Protocol

import msgspec

log = logging.getLogger(__name__)

EVENTS_QUEUED_MAX = 1_000
CLOSE_WAIT_S = 2.0


class Emit(Protocol):
    """Tells the world that something happened: `emit("leader", epoch=3)`."""

    def __call__(self, event: str, **fields: object) -> None: ...


class EventWriter:
    """An `Emit` that writes to a stream from a thread of its own, so a reader that stalls holds up nobody.

    When EVENTS_QUEUED_MAX events wait, later ones are dropped and the first drop is logged.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._queue: queue.Queue[bytes | None] = queue.Queue(EVENTS_QUEUED_MAX)
        self._dropping = False
        self._thread = threading.Thread(target=self._write, name="events", daemon=True)
        self._thread.start()

    def __call__(self, event: str, **fields: object) -> None:
        line = msgspec.json.encode({"event": event, **fields}) + b"\n"
        try:
            self._queue.put_nowait(line)
            self._dropping = False
        except queue.Full:
            if not self._dropping:
                log.warning(
                    "%d events wait to be read from stdout: dropping new ones until the reader catches up",
                    EVENTS_QUEUED_MAX,
                )
            self._dropping = True

    def close(self) -> None:
        """Write what waits, for at most CLOSE_WAIT_S seconds."""
        try:
            self._queue.put(None, timeout=CLOSE_WAIT_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_WAIT_S)

    def _write(self) -> None:
        while (line := self._queue.get()) is not None:
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):
                log.warning("nobody reads the events on stdout any more")
                return
