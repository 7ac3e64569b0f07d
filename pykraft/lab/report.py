"""The result of a migration run: its stages, what became of every message, what was checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pykraft.lab import releases
from pykraft.lab.clients import Accounts

DETAILS_SHOWN_MAX = 10


@dataclass(slots=True)
class Stage:
    """One step of the run; `seconds` is None while it lasts."""

    name: str
    seconds: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer; `problems` say what is wrong and are empty when it passed."""

    name: str
    problems: tuple[str, ...] = ()
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(slots=True)
class Report:
    """Everything a run has to say."""

    controller: str
    kafka: str
    brokers: int
    folder: str
    left_out: dict[str, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    driver: list[tuple[str, float]] = field(default_factory=list)
    copied_records: int | None = None
    copy_ms: float | None = None
    leaders_moved: int | None = None
    leaders_moved_s: float | None = None
    isr_restored_s: float | None = None
    messages: Accounts | None = None
    zookeeper_facts: int = 0
    image_facts: int = 0
    zookeeper_writes: int = 0
    claim: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    failure: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the run went to its end and all its checks passed."""
        return self.failure is None and bool(self.checks) and all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The machine report."""
        content = asdict(self)
        content["driver"] = [{"state": state, "at_s": at_s} for state, at_s in self.driver]
        content["checks"] = [
            {
                "name": check.name,
                "passed": check.passed,
                "detail": check.detail,
                "problems": list(check.problems),
            }
            for check in self.checks
        ]
        return content | {"passed": self.passed}

    def to_text(self) -> str:
        """The report for a person."""
        newest = releases.newest(self.kafka.split(", "))
        who = "pykraft" if self.controller == "pykraft" else f"Kafka's {newest} controller"
        lines = [f"Migration of {self.brokers} Kafka {self.kafka} brokers from ZooKeeper to {who}"]
        lines += [f"  without {what}: {reason}" for what, reason in self.left_out.items()]
        lines += ["", "stages"]
        for stage in self.stages:
            took = "  failed" if stage.seconds is None else f"{stage.seconds:6.1f} s"
            lines.append(f"  {took}  {stage.name}{': ' + stage.detail if stage.detail else ''}")
        if self.driver:
            lines += ["", "migration driver"]
            lines += [f"  {at_s:6.1f} s  {state}" for state, at_s in self.driver]
        if self.copy_ms is not None:
            lines += ["", f"copy         {self.copied_records} records in {self.copy_ms:.0f} ms"]
        if self.leaders_moved_s is not None:
            lines.append(f"broker kill  leaders moved after {self.leaders_moved_s:.1f} s")
        if self.isr_restored_s is not None:
            lines.append(f"             all in sync {self.isr_restored_s:.1f} s after its restart")
        lines += self._messages_text()
        if self.image_facts:
            lines.append(
                f"ZooKeeper    {self.zookeeper_facts} facts, image {self.image_facts} facts, "
                f"{self.zookeeper_writes} fenced writes"
            )
        lines += [f"{path:<17} {value}" for path, value in self.claim.items()]
        lines += ["", "checks"]
        for check in self.checks:
            lines.append(f"  {'ok    ' if check.passed else 'FAILED'}  {check.name}{_colon(check.detail)}")
            lines += [f"            {problem}" for problem in check.problems[:DETAILS_SHOWN_MAX]]
            if len(check.problems) > DETAILS_SHOWN_MAX:
                lines.append(f"            and {len(check.problems) - DETAILS_SHOWN_MAX} more")
        if self.failure:
            lines += ["", f"FAILED: {self.failure}"]
        lines += ["", "passed" if self.passed else f"NOT passed; logs in {self.folder}"]
        return "\n".join(lines)

    def _messages_text(self) -> list[str]:
        if self.messages is None:
            return []
        m = self.messages
        return [
            f"messages     {m.sent} sent, {m.acked} acknowledged, {m.received} received",
            f"             {m.lost} lost, {m.duplicated} duplicated, {m.out_of_order} out of order",
            f"             longest wait for an acknowledgement {m.longest_stall_ms} ms",
        ]


def _colon(text: str) -> str:
    return f": {text}" if text else ""
