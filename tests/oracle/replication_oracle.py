"""Kafka's own managers of brokers and partitions in a Java process, asked one operation at a time."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from pykraft.lab import jars
from pykraft.protocol import jsonconv
from pykraft.protocol._message import Message
from pykraft.protocol.api import message_class
from pykraft.protocol.record_frame import ApiMessageAndVersion

FOLDER: Final = Path(__file__).parent / "replication"
COMPILE_TIMEOUT_S: Final = 120


class Answer(NamedTuple):
    """What one operation came to: an error code, the JSON of the response, the records in their order."""

    error: int
    response: dict[str, Any] | None
    records: list[ApiMessageAndVersion]
    more: bool


class ReplicationOracle:
    """The managers of one release, as 3.9.1. As a context manager it ends the process."""

    def __init__(self, version: str, folder: Path) -> None:
        jars.ensure(version)
        libs = jars.class_path(version)
        sources = [
            *(FOLDER / f"{name}.java" for name in ("ReplicationOracle", "Managers")),
            FOLDER / jars.release(version) / "Release.java",
        ]
        javac = shutil.which("javac") or str(Path(jars.java()).with_name("javac"))
        done = subprocess.run(
            [javac, "-nowarn", "-proc:none", "-d", str(folder), "-cp", libs, *map(str, sources)],
            capture_output=True,
            text=True,
            timeout=COMPILE_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self._log = (folder / "stderr").open("wb")
        self._process = subprocess.Popen(
            [jars.java(), "-Xmx256m", "-cp", f"{folder}:{libs}", "org.apache.kafka.controller.ReplicationOracle"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def do(self, api: str, **arguments: Any) -> Answer:
        """Run one operation; its records are replayed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"api": api, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        while line and not line.startswith("{"):
            line = self._process.stdout.readline()
        assert line, Path(self._log.name).read_text()[-2000:]
        found = json.loads(line)
        written = [
            ApiMessageAndVersion(
                jsonconv.from_json(message_class(record["name"]), record["value"], record["version"]), record["version"]
            )
            for record in found["records"]
        ]
        return Answer(found.get("error", 0), found.get("response"), written, found.get("more", False))

    def ask(self, request: Message, version: int) -> Answer:
        """Put a request to the manager that it is for."""
        name = type(request).__name__.removesuffix("RequestData")
        return self.do(name, version=version, request=jsonconv.to_json(request, version))

    def replay(self, written: list[ApiMessageAndVersion]) -> None:
        """Replay records that none of its operations wrote."""
        self.do(
            "replay",
            records=[
                {"name": type(m).__name__, "version": version, "value": jsonconv.to_json(m, version)}
                for m, version in written
            ],
        )
