"""Where a migration stands, seen from outside: the controller's events or log, its metadata log, ZooKeeper."""

from __future__ import annotations

import json
import re
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kazoo.exceptions import KazooException

from pykraft.lab.clients import Workload
from pykraft.lab.cluster import Node, PykraftNode
from pykraft.lab.facts import zookeeper_client
from pykraft.lab.process import Json, LogReader

WATCH_INTERVAL_S = 0.25
BATCH_HEADER = struct.Struct(">qi11xi30xi")  # baseOffset, batchLength, …, lastOffsetDelta, …, record count
# How a record ends that is a NoOpRecord: length of the value, frame version, API key, version, no tags; no headers.
NO_OP_END = b"\x08\x01\x14\x00\x00\x00"

_TRANSITION = re.compile(r"KRaftMigrationDriver id=\d+\] \d+ transitioning from (\w+) to (\w+) state")
_REGISTERED = re.compile(r"RegisterBrokerRecord\w*\W.*?brokerId=(\d+), isMigratingZkBroker=true")
_COPIED = re.compile(
    r"Completed migration of metadata from ZooKeeper to KRaft\. (\d+) records were generated in (\d+) ms"
)


@dataclass(frozen=True, slots=True)
class Status:
    """One look at a migration; times in seconds since the watch began."""

    state: str = "-"
    registered: frozenset[int] = frozenset()
    copied_records: int | None = None
    copy_ms: float | None = None
    zookeeper_writes: int = 0
    written_offset: int = -1
    log_end_offset: int = -1
    last_change_offset: int = -1
    messages: Json = field(default_factory=dict)

    @property
    def lag(self) -> int | None:
        """Records in the log that ZooKeeper does not have yet; None before the first dual write."""
        if self.written_offset <= 0 or self.last_change_offset < 0:
            return None
        return max(0, self.last_change_offset - self.written_offset)


class LogEnd:
    """The end of a metadata log, followed as the file grows: the last offset, and the last that changed anything.

    A batch that holds one NoOpRecord, as the controller writes twice a second, changes nothing.
    """

    def __init__(self, data: Path) -> None:
        self._folder = data / "__cluster_metadata-0"
        self._path: Path | None = None
        self._position = 0
        self.offset = self.last_change = -1

    def update(self) -> None:
        """Read what was appended since; both offsets are -1 while there is nothing."""
        segments = sorted(self._folder.glob("*.log"))
        if not segments:
            return
        if segments[-1] != self._path:
            self._path, self._position = segments[-1], 0
        size = self._path.stat().st_size
        with self._path.open("rb") as file:
            while self._position + BATCH_HEADER.size <= size:
                file.seek(self._position)
                header = file.read(BATCH_HEADER.size)
                base_offset, length, last_offset_delta, records = BATCH_HEADER.unpack(header)
                if length <= 0 or self._position + 12 + length > size:
                    break  # preallocated space or a batch being written
                self._position += 12 + length
                self.offset = base_offset + last_offset_delta
                file.seek(self._position - len(NO_OP_END))
                if records > 1 or file.read(len(NO_OP_END)) != NO_OP_END:
                    self.last_change = self.offset


class Watch:
    """Looks every quarter of a second, in a thread, and tells `listener` each new Status and `note` each event."""

    def __init__(
        self,
        controller: Node,
        zookeeper: str,
        workload: Workload | None,
        listener: Callable[[Status], None],
        note: Callable[[str], None],
    ) -> None:
        self.status = Status()
        self.states: list[tuple[str, float]] = []
        self._controller, self._workload = controller, workload
        self._listener, self._note = listener, note
        self._zookeeper = zookeeper_client(zookeeper)
        self._log_end = LogEnd(controller.folder / "data")
        self._events_seen = 0
        self._log = LogReader(controller.process.log)
        self._begun = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lab-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look a last time and end."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        self._zookeeper.start_async()
        try:
            while not self._stopping.wait(WATCH_INTERVAL_S):
                self.look()
            self.look()
        finally:
            self._zookeeper.stop()
            self._zookeeper.close()

    def look(self) -> None:
        """Bring `status` up to date."""
        if isinstance(self._controller, PykraftNode):
            events = self._controller.process.events
            for event in events[self._events_seen :]:
                self._pykraft_event(event)
                self._events_seen += 1
        else:
            for line in self._log.new_lines():
                self._kafka_line(line)
        writes, offset = self._migration_znode()
        self._log_end.update()
        self.status = replace(
            self.status,
            zookeeper_writes=writes,
            written_offset=offset,
            log_end_offset=self._log_end.offset,
            last_change_offset=self._log_end.last_change,
            messages=self._workload.progress if self._workload is not None else {},
        )
        self._listener(self.status)

    def _migration_znode(self) -> tuple[int, int]:
        """How often /migration was written (once in each multi of the dual writes) and the offset it holds."""
        before = (self.status.zookeeper_writes, self.status.written_offset)
        if not self._zookeeper.connected:
            return before
        try:
            data, stat = self._zookeeper.get("/migration")
            return stat.version, int(json.loads(data)["kraft_metadata_offset"])
        except (KazooException, self._zookeeper.handler.timeout_exception):
            return before

    def _pykraft_event(self, event: dict[str, Any]) -> None:
        match event.get("event"):
            case "migration_state":
                self._moved(event["previous"], event["state"])
            case "broker_registered" if event["is_migrating_zk_broker"]:
                self._registered(int(event["broker_id"]))
            case "migration_copied":
                self._copied(int(event["records"]), float(event["duration_ms"]))

    def _kafka_line(self, line: str) -> None:
        if found := _TRANSITION.search(line):
            self._moved(found[1], found[2])
        elif found := _REGISTERED.search(line):
            self._registered(int(found[1]))
        elif found := _COPIED.search(line):
            self._copied(int(found[1]), float(found[2]))

    def _moved(self, previous: str, state: str) -> None:
        self.states.append((state, round(time.monotonic() - self._begun, 2)))
        self.status = replace(self.status, state=state)
        self._note(f"migration driver: {previous} → {state}")

    def _registered(self, broker: int) -> None:
        if broker not in self.status.registered:
            self.status = replace(self.status, registered=self.status.registered | {broker})
            self._note(f"broker {broker} has registered with the controller")

    def _copied(self, records: int, duration_ms: float) -> None:
        self.status = replace(self.status, copied_records=records, copy_ms=duration_ms)
        self._note(f"{records} records copied from ZooKeeper in {duration_ms:.0f} ms")
