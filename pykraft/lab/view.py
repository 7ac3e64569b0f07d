"""How a run is watched: plain lines, or a live view on a terminal when rich is installed."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol, TextIO

from pykraft.lab.watch import Status

if TYPE_CHECKING:
    from rich.console import RenderableType

NOTES_SHOWN_MAX = 12


class View(Protocol):
    """What a run tells while it lasts."""

    def begin(self, stage: str) -> None:
        """A stage begins."""

    def end(self, stage: str, seconds: float, detail: str) -> None:
        """A stage has ended."""

    def note(self, text: str) -> None:
        """Something happened."""

    def update(self, status: Status) -> None:
        """Where the migration stands now."""

    def close(self) -> None:
        """The run is over."""


class PlainView:
    """One line for each thing that happens, with the seconds since the beginning; a status line now and then."""

    STATUS_INTERVAL_S = 5.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = self._last_status = time.monotonic()

    def _print(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} s  {text}", file=self._stream, flush=True)

    def begin(self, stage: str) -> None:
        """A stage begins."""
        self._print(f"── {stage}")

    def end(self, stage: str, seconds: float, detail: str) -> None:
        """A stage has ended."""
        if detail:
            self._print(f"   {detail}")

    def note(self, text: str) -> None:
        """Something happened."""
        self._print(f"   {text}")

    def update(self, status: Status) -> None:
        """Where the migration stands now; printed every few seconds."""
        if time.monotonic() - self._last_status >= self.STATUS_INTERVAL_S:
            self._last_status = time.monotonic()
            self._print("   " + status_line(status))

    def close(self) -> None:
        """The run is over."""


def status_line(status: Status) -> str:
    """A status in one line."""
    parts = [f"state {status.state}", f"{len(status.registered)} registered"]
    if status.copied_records is not None:
        parts.append(f"{status.copied_records} records copied")
    if status.lag is not None:
        parts.append(f"{status.zookeeper_writes} ZooKeeper writes, lag {status.lag}")
    if status.messages:
        counts = status.messages
        parts.append(f"{counts['acked']} messages acknowledged, {counts['received']} received")
    return ", ".join(parts)


class LiveView:
    """A table of stages, the figures of the migration and the latest notes, drawn again as they change.

    Raises ImportError when rich is not installed.
    """

    def __init__(self) -> None:
        from rich.live import Live

        self._stages: list[tuple[str, float | None, str]] = []
        self._stage_begun = time.monotonic()
        self._notes: deque[str] = deque(maxlen=NOTES_SHOWN_MAX)
        self._status = Status()
        self._begun = time.monotonic()
        self._live = Live(get_renderable=self._draw, refresh_per_second=4, transient=True)
        self._live.start()

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        stages = Table.grid(padding=(0, 2))
        for name, seconds, detail in self._stages:
            now_s = time.monotonic() - self._stage_begun
            took = Text(f"{now_s:6.1f} s …", "yellow") if seconds is None else Text(f"{seconds:6.1f} s  ", "green")
            stages.add_row(took, Text(name, "bold" if seconds is None else ""), Text(detail, "dim"))
        status, counts = self._status, self._status.messages
        figures = Table.grid(padding=(0, 2))
        figures.add_row("state", Text(status.state, "bold cyan"))
        figures.add_row("brokers registered", ", ".join(map(str, sorted(status.registered))) or "none")
        copied = "-" if status.copied_records is None else f"{status.copied_records} in {status.copy_ms:.0f} ms"
        figures.add_row("records copied", copied)
        lag = "-" if status.lag is None else str(status.lag)
        figures.add_row("ZooKeeper writes", f"{status.zookeeper_writes}   lag {lag}")
        if counts:
            figures.add_row(
                "messages",
                f"{counts['sent']} sent  {counts['acked']} acknowledged  {counts['received']} received  "
                f"{counts['duplicated']} duplicated  longest wait {counts['longest_stall_ms']} ms",
            )
        elapsed = f"{time.monotonic() - self._begun:.0f} s"
        return Panel(
            Group(stages, Text(), figures, Text(), *(Text(note, "dim") for note in self._notes)),
            title="ZooKeeper → KRaft",
            subtitle=elapsed,
        )

    def begin(self, stage: str) -> None:
        """A stage begins."""
        self._stage_begun = time.monotonic()
        self._stages.append((stage, None, ""))

    def end(self, stage: str, seconds: float, detail: str) -> None:
        """A stage has ended."""
        self._stages[-1] = (stage, seconds, detail)

    def note(self, text: str) -> None:
        """Something happened."""
        self._notes.append(f"{time.monotonic() - self._begun:6.1f} s  {text}")

    def update(self, status: Status) -> None:
        """Where the migration stands now."""
        self._status = status

    def close(self) -> None:
        """Clear the view; the report follows."""
        self._live.stop()


def make_view(*, json: bool) -> View:
    """The live view on a terminal, plain lines elsewhere; on stderr when stdout is for a machine (`json`)."""
    if not json and sys.stdout.isatty():
        try:
            return LiveView()
        except ImportError:
            pass  # rich is an extra: plain lines then
    return PlainView(sys.stderr if json else sys.stdout)
