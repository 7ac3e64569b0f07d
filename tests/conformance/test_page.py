"""The conformance page names every row once, and tests that there are."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "pykraft" / "migration" / "CONFORMANCE.md"
ROWS = [f"C-{number}" for number in range(1, 71)] + [f"L-{number}" for number in range(1, 26)]
ROWS_OF_A_TEST_MAX = 3
CARRIES = re.compile(r"\bdef test_[cl]\d+_")


def table() -> list[tuple[str, str, str]]:
    """(row, what pykraft does, what holds it) of each line of the two tables of rows."""
    cells = [[cell.strip() for cell in line.split("|")] for line in PAGE.read_text().splitlines()]
    return [(line[1], line[-3], line[-2]) for line in cells if len(line) > 4 and re.fullmatch(r"[CL]-\d+", line[1])]


def named(text: str) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", text))


@cache
def all_tests() -> frozenset[str]:
    """The tests that are functions of a module; modules that neither carry a row nor are on the page are left out."""
    on_page = named(PAGE.read_text())
    texts = [path.read_text() for path in TESTS.rglob("test_*.py")]
    of_interest = [
        text for text in texts if on_page.intersection(re.findall(r"\btest_\w+", text)) or CARRIES.search(text)
    ]
    return frozenset(
        node.name
        for text in of_interest
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def rows_of(test: str) -> list[str]:
    """The rows that a test's name carries: C-3 and L-1 for test_c3_l1_some_text."""
    carried = re.match(r"test_((?:[cl]\d+_)*)", test)
    assert carried is not None
    return [f"{part[0].upper()}-{part[1:]}" for part in carried[1].split("_") if part]


def test_every_row_is_there_once_and_says_something() -> None:
    assert [row for row, _, _ in table()] == ROWS
    for row, does, held in table():
        is_held = any(row in rows_of(test) for test in named(held))
        assert is_held != held.startswith("not applicable: "), row
        assert (len(does) > 20) == is_held, row


def test_every_test_that_is_named_exists() -> None:
    assert named(PAGE.read_text()) - all_tests() == set()


def test_every_test_that_carries_a_row_is_in_it() -> None:
    held = {row: named(text) for row, _, text in table()}
    carried: dict[str, set[str]] = {row: set() for row in ROWS}
    for test in all_tests():
        rows = rows_of(test)
        assert len(rows) <= ROWS_OF_A_TEST_MAX, test
        assert max(Counter(rows).values(), default=1) == 1, test
        for row in rows:
            carried[row].add(test)
    assert {row: tests for row, tests in carried.items() if not tests <= held[row]} == {}
