"""Clients that keep working while the cluster is changed under them, with exact accounts of every message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pykraft.lab import jars
from pykraft.lab.errors import LabError
from pykraft.lab.process import Json, JsonProcess, jvm_command

DRAIN_TIMEOUT_S = 400.0


@dataclass(frozen=True, slots=True)
class Accounts:
    """What became of the messages.

    `lost`: acknowledged but not received after everything was read. `duplicated`: received twice. `out_of_order`:
    received after a later message of its partition. `failed`: the producer gave up, so it was not acknowledged.
    `longest_stall_ms`: the longest time a message waited for its acknowledgement; `longest_receive_ms`: from
    send to receipt. `drained`: everything in the topic was read before the deadline, without which `lost` says little.
    """

    sent: int
    acked: int
    received: int
    failed: int
    lost: int
    duplicated: int
    out_of_order: int
    longest_stall_ms: int
    longest_receive_ms: int
    drained: bool
    errors: tuple[str, ...] = ()

    @classmethod
    def from_report(cls, report: Mapping[str, Any]) -> Self:
        """From the JSON of the workload's `report` line."""
        fields = {key: value for key, value in report.items() if key not in {"event", "errors"}}
        return cls(**fields, errors=tuple(report["errors"]))

    @property
    def is_whole(self) -> bool:
        """Whether every message was acknowledged and received once and in order."""
        return self.drained and not (
            self.failed or self.lost or self.duplicated or self.out_of_order or self.acked != self.sent
        )


class Workload:
    """An idempotent acks=all producer and a consumer group of one, real Kafka clients in one JVM."""

    def __init__(
        self,
        folder: Path,
        bootstrap: str,
        topic: str,
        partitions: int,
        *,
        rate: int = 200,
        group: str = "lab-workload",
        version: str = jars.DEFAULT_VERSION,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """`rate` is in messages a second over all partitions of `topic`, which must be there."""
        settings = {
            "bootstrap": bootstrap,
            "topic": topic,
            "partitions": partitions,
            "rate": rate,
            "group": group,
            "configs": dict(config or {}),
        }
        self.process = JsonProcess(
            "workload",
            jvm_command(
                version,
                folder / "workload",
                "Workload",
                [json.dumps(settings)],
                class_path=jars.compiled(version),
                log_level="WARN",
                log_target="System.err",
            ),
            folder / "workload",
        )

    def start(self, timeout_s: float = 60.0) -> Self:
        """Start and wait until messages are acknowledged and received. Raises LabError."""
        self.process.start()
        self.process.wait_event(
            lambda event: event["acked"] > 0 and event["received"] > 0, "sent and received anything", timeout_s
        )
        return self

    @property
    def progress(self) -> Json:
        """The latest line of accounts; empty before the first."""
        return self.process.events[-1] if self.process.events else {}

    def wait_flowing(self, timeout_s: float = 60.0) -> None:
        """Wait until 100 more messages than now are acknowledged and received. Raises LabError at the deadline."""
        now, since = self.progress, len(self.process.events)
        self.process.wait_event(
            lambda event: event["acked"] >= now["acked"] + 100 and event["received"] >= now["received"] + 100,
            "acknowledged and received 100 more messages",
            timeout_s,
            since=since,
        )

    def finish(self) -> Accounts:
        """Stop sending, wait for every acknowledgement, read everything, and give the accounts. Raises LabError."""
        self.process.send({"op": "stop"})
        report = self.process.wait_event(lambda event: event["event"] == "report", "read everything", DRAIN_TIMEOUT_S)
        self.process.stop()
        return Accounts.from_report(report)

    def close(self) -> None:
        """End it without accounts."""
        if self.process.running:
            self.process.kill()


def require_whole(accounts: Accounts) -> None:
    """Raises LabError when a message was lost, duplicated, reordered or not acknowledged."""
    if not accounts.is_whole:
        raise LabError(f"the clients did not get what they should: {accounts}")
