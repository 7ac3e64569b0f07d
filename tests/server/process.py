"""The command `pykraft controller` as a process, to be killed and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio

READY_S = 20.0


class ControllerProcess:
    """One run of the command. As a context manager it is killed at the end if it still runs."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.log_path = directory / "stderr.txt"
        self._log = self.log_path.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pykraft", "controller", "--data", str(directory / "data"), *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=directory,
        )
        self.address = ""
        self.cluster_id = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    async def ready(self) -> dict[str, Any]:
        """Wait for the `ready` event; its fields."""
        with trio.fail_after(READY_S):
            event = await trio.to_thread.run_sync(self._read_ready, abandon_on_cancel=True)
        self.address, self.cluster_id = event["listener"], event["cluster_id"]
        return event

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        with trio.fail_after(READY_S):
            return await trio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()

    def _read_ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "ready":
                return event
        raise AssertionError(f"it ended without being ready:\n{self.log}")
