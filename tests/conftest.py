"""Shared by all tests: the tiers, their order and their time, and the fixtures on real Kafka."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykraft.lab import jars
from pykraft.lab.cluster import Lab

TIERS = ("fast", "oracle", "kafka")
KAFKA_TIMEOUT_S = 900

_seconds: dict[str, float] = defaultdict(float)
_counts: Counter[str] = Counter()


def tier_of(item: pytest.Item) -> str:
    """fast, oracle or kafka: the marker decides."""
    return next((tier for tier in ("kafka", "oracle") if item.get_closest_marker(tier)), "fast")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what lies in tests/oracle and tests/kafka; the tiers run one after the other, fast first."""
    for item in items:
        for tier in ("oracle", "kafka"):
            if tier in item.path.relative_to(Path(__file__).parent).parts[:-1]:
                item.add_marker(tier)
        if tier_of(item) == "kafka" and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(KAFKA_TIMEOUT_S))
    items.sort(key=lambda item: TIERS.index(tier_of(item)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Takes the time of each test for its tier."""
    begun = time.monotonic()
    try:
        return (yield)
    finally:
        _seconds[tier_of(item)] += time.monotonic() - begun
        _counts[tier_of(item)] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the time per tier, and how the lint that tools/test ran before came out."""
    terminalreporter.section("tiers")
    if os.environ.get("LINT_OUTCOME"):
        terminalreporter.write_line(f"lint    {os.environ['LINT_OUTCOME']}")
    for tier in TIERS:
        if _counts[tier]:
            terminalreporter.write_line(f"{tier:7} {_counts[tier]} tests in {_seconds[tier]:.1f} s")


@pytest.fixture(scope="session")
def kafka_class_path() -> str:
    """The class path of Kafka 3.9.1; fetched through Maven when it is not there yet."""
    return jars.ensure()


@pytest.fixture
def lab(tmp_path: Path, kafka_class_path: str) -> Iterator[Lab]:
    """Real Kafka 3.9.1 processes in a folder of their own, ended after the test."""
    with Lab(tmp_path / "lab") as lab:
        yield lab
