"""Shared by the benchmarks: figures of both makes, their medians, their ratio, and the goal it is held against."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykraft.lab import jars

MAKES = ("pykraft", "kafka")


@dataclass(slots=True)
class Figure:
    """One measured quantity; `ratio_max` is the largest pykraft / Kafka that is good enough."""

    name: str
    unit: str
    ratio_max: float | None = None
    values: dict[str, list[float]] = field(default_factory=lambda: {make: [] for make in MAKES})

    def median(self, make: str) -> float:
        """The median of one make's runs; NaN when there was none."""
        return statistics.median(self.values[make]) if self.values[make] else float("nan")

    @property
    def both(self) -> bool:
        """Whether both makes were measured."""
        return bool(self.values["pykraft"] and self.values["kafka"])

    @property
    def ratio(self) -> float:
        """pykraft / Kafka, of the medians; NaN unless both were measured."""
        kafka = self.median("kafka")
        return self.median("pykraft") / kafka if kafka else float("nan")

    @property
    def good(self) -> bool:
        """Whether the goal is met; yes when there is none or one make was not measured."""
        return self.ratio_max is None or not self.ratio > self.ratio_max

    def to_json(self) -> dict[str, Any]:
        """For --json; no NaN in it."""
        return {
            "name": self.name,
            "unit": self.unit,
            **{make: {"median": self.median(make), "runs": values} for make, values in self.values.items() if values},
            "ratio": self.ratio if self.both else None,
            "ratio_max": self.ratio_max,
            "good": self.good,
        }


def parser(description: str) -> argparse.ArgumentParser:
    """The options every benchmark has."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--runs", type=int, default=3, help="runs of each make, alternating (3)")
    result.add_argument("--only", choices=MAKES, help="measure one make only")
    result.add_argument("--kafka", default=jars.DEFAULT_VERSION, metavar="VERSION", help="release of Kafka (3.9.1)")
    result.add_argument("--json", action="store_true", help="the figures as JSON on stdout")
    return result


def makes(args: argparse.Namespace) -> Iterator[tuple[int, str]]:
    """(run, make) in the order to measure: alternating, so that what else the machine does hits both."""
    for run in range(args.runs):
        for make in MAKES:
            if args.only in (None, make):
                yield run, make


@contextmanager
def work_folder() -> Iterator[Path]:
    """A temporary folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="pykraft-bench-") as folder:
        yield Path(folder)


def tell(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def report(title: str, figures: list[Figure], *, as_json: bool, notes: dict[str, Any] | None = None) -> int:
    """Print the figures; the exit code: 0, or 1 when a goal is missed."""
    good = all(figure.good for figure in figures)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    if as_json:
        content = {
            "benchmark": title,
            "machine": machine,
            "figures": [figure.to_json() for figure in figures],
            "notes": notes or {},
            "good": good,
        }
        print(json.dumps(content, indent=1))
        return 0 if good else 1
    print(f"{title} ({machine})")
    print(f"  {'':<44}{'pykraft':>12}{'Kafka':>12}  pykraft / Kafka")
    for figure in figures:
        line = f"  {figure.name + ', ' + figure.unit:<44}{_number(figure.median('pykraft'))}"
        line += _number(figure.median("kafka"))
        if figure.both:
            line += f"  {figure.ratio:.3f}"
        if figure.both and figure.ratio_max is not None:
            line += f"  (goal ≤ {figure.ratio_max:.3f}: {'met' if figure.good else 'MISSED'})"
        print(line)
    for name, value in (notes or {}).items():
        print(f"  {name}: {value}")
    return 0 if good else 1


def _number(value: float) -> str:
    if math.isnan(value):
        return f"{'-':>12}"
    digits = 3 if value < 10 else 1 if value < 1000 else 0
    return f"{value:12.{digits}f}"
