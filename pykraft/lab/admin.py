"""Kafka's AdminClient and tools behind one JVM: many calls, one start.

The operations and their JSON are those of `java/AdminShell.java`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from pykraft.lab import jars
from pykraft.lab.errors import LabError
from pykraft.lab.process import JsonProcess, jvm_command

CALL_TIMEOUT_S = 90.0


class AdminError(LabError):
    """The cluster refused an operation; `error` is Kafka's name of it, such as TOPIC_ALREADY_EXISTS."""

    def __init__(self, operation: str, error: str, message: str) -> None:
        self.operation, self.error = operation, error
        super().__init__(f"{operation}: {error}: {message}")


class ToolResult(NamedTuple):
    """What a tool ended with and what it wrote."""

    code: int
    stdout: str
    stderr: str


class AdminShell:
    """A running shell, for one cluster; `call` for each operation."""

    def __init__(
        self,
        folder: Path,
        bootstrap: str,
        *,
        version: str = jars.DEFAULT_VERSION,
        config: Mapping[str, str] | None = None,
        name: str = "admin",
    ) -> None:
        """Clients of the brokers at `bootstrap` (HOST:PORT,…); `config` are further client settings."""
        settings = {
            "bootstrap.servers": bootstrap,
            "default.api.timeout.ms": "50000",
            "request.timeout.ms": "20000",
            "reconnect.backoff.max.ms": "500",
            **(config or {}),
        }
        self.process = JsonProcess(
            name,
            jvm_command(
                version,
                folder / name,
                "AdminShell",
                [json.dumps(settings)],
                class_path=jars.compiled(version),
                log_level="WARN",
                log_target="System.err",
            ),
            folder / name,
        )
        self._calls = 0

    def start(self) -> Self:
        """Start the JVM; the first call waits for it. Raises LabError."""
        self.process.start()
        return self

    def close(self) -> None:
        """End the JVM, and its pipes, also when a tool has ended it."""
        self.process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, operation: str, /, **arguments: Any) -> Any:
        """Do one operation and return its result.

        Raises AdminError with Kafka's error when the cluster refuses, LabError when there is no answer.
        """
        self._calls += 1
        number, since = self._calls, len(self.process.events)
        self.process.send({"id": number, "op": operation, **arguments})
        reply = self.process.wait_event(
            lambda event: event.get("id") == number, f"answered {operation}", CALL_TIMEOUT_S, since=since
        )
        if "error" in reply:
            raise AdminError(operation, reply["error"], reply["message"])
        return reply["result"]

    def tool(self, main: str, *arguments: str) -> str:
        """Run the main method of a tool in this JVM and return its stdout. Raises LabError if it fails."""
        done = self.run_tool(main, *arguments)
        if done.code:
            raise LabError(f"{main} {' '.join(arguments)} ended with {done.code}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def run_tool(self, main: str, *arguments: str) -> ToolResult:
        """Run the main method of a tool in this JVM, whatever it ends with."""
        result = self.call("tool", main=main, args=list(arguments))
        return ToolResult(result["exit"], result["stdout"], result["stderr"])
