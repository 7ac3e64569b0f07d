"""Kafka's own command-line tools, run by their main class."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from pykraft.lab import jars
from pykraft.lab.errors import LabError
from pykraft.lab.process import jvm_command

TOOL_TIMEOUT_S = 120.0

TOPICS = "org.apache.kafka.tools.TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"
ACLS = "kafka.admin.AclCommand"
STORAGE = "kafka.tools.StorageTool"
DUMP_LOG = "kafka.tools.DumpLogSegments"
METADATA_QUORUM = "org.apache.kafka.tools.MetadataQuorumCommand"
METADATA_SHELL = "org.apache.kafka.shell.MetadataShell"
CONSOLE_PRODUCER = "kafka.tools.ConsoleProducer"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"


def run(
    main: str,
    *arguments: str,
    version: str = jars.DEFAULT_VERSION,
    timeout_s: float = TOOL_TIMEOUT_S,
    check: bool = True,
    stdin: str = "",
    class_path: str | None = None,
) -> str:
    """Run a tool and return its stdout; what it logs at ERROR goes to stderr. `stdin` is what is typed.

    `class_path` is another than that of the release's jars, for the tools that are not in them.
    Raises LabError when it ends with something else than 0 (unless `check` is false) or does not end in time.
    A JVM takes one to two seconds to start: for many calls take `pykraft.lab.shell.Shell`.
    """
    with tempfile.TemporaryDirectory(prefix="pykraft-tool-") as folder:
        command = jvm_command(
            version,
            Path(folder),
            main,
            list(arguments),
            class_path=class_path or jars.class_path(version),
            log_level="ERROR",
            log_target="System.err",
        )
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                input=stdin,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"{main} {' '.join(arguments)} has not ended within {timeout_s:.0f} s") from None
    if check and done.returncode:
        raise LabError(f"{main} {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
