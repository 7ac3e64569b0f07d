"""Shared by all tests: the tiers, their order and their time, and the fixtures on real Kafka."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pykraft.lab import jars
from pykraft.lab.cluster import Lab

TIERS = ("fast", "oracle", "kafka")
KAFKA_TIMEOUT_S = 900


@dataclass
class Tally:
    """What became of the tests of a tier, and when the first began and the last ended, in s since 1970."""

    tests: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    begun_s: float = math.inf
    ended_s: float = -math.inf

    def __str__(self) -> str:
        failed = f", {len(self.failed)} FAILED: see the summary of their run" if self.failed else ""
        return f"{len(self.tests)} tests in {self.ended_s - self.begun_s:.1f} s{failed}"


_tallies = {tier: Tally() for tier in TIERS}


def tier_of(item: pytest.Item) -> str:
    """fast, oracle or kafka: the marker decides."""
    return next((tier for tier in ("kafka", "oracle") if item.get_closest_marker(tier)), "fast")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", action="append", choices=TIERS, help="run this tier only, or with it another --tier")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what lies in tests/oracle and tests/kafka; the tiers run one after the other, fast first."""
    for item in items:
        for tier in ("oracle", "kafka"):
            if tier in item.path.relative_to(Path(__file__).parent).parts[:-1]:
                item.add_marker(tier)
        if tier_of(item) == "kafka" and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(KAFKA_TIMEOUT_S))
        item.user_properties.append(("tier", tier_of(item)))
    wanted = config.getoption("--tier") or TIERS
    if left_out := [item for item in items if tier_of(item) not in wanted]:
        config.hook.pytest_deselected(items=left_out)
    items[:] = sorted((item for item in items if tier_of(item) in wanted), key=lambda item: TIERS.index(tier_of(item)))


def pytest_collection_finish() -> None:
    """What collecting has made stays until the end: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts a report, be the test run in this process or in another of pytest-xdist's."""
    # Of a process of pytest-xdist's that died there is a report that no test has made, without properties and times.
    tally = _tallies[str(dict(report.user_properties).get("tier", "fast"))]
    tally.tests.add(report.nodeid)
    if report.failed:
        tally.failed.add(report.nodeid)
    if report.start:
        tally.begun_s, tally.ended_s = min(tally.begun_s, report.start), max(tally.ended_s, report.stop)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the time per tier, behind that of what tools/test ran before, which it has in a file."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # This is a process that runs tests for another, which counts and prints.
    lines = [f"{tier:7} {tally}" for tier, tally in _tallies.items() if tally.tests]
    if name := os.environ.get("TIERS_FILE"):
        with Path(name).open("a+") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.seek(0)
            lines = file.read().splitlines()
    terminalreporter.section("tiers")
    for line in lines:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def kafka_class_path() -> str:
    """The class path of Kafka 3.9.1; fetched through Maven when it is not there yet."""
    return jars.ensure()


@pytest.fixture
def lab(tmp_path: Path, kafka_class_path: str) -> Iterator[Lab]:
    """Real Kafka 3.9.1 processes in a folder of their own, ended after the test."""
    with Lab(tmp_path / "lab") as lab:
        yield lab
