"""JSON as Jackson prints it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykraft.replay.json_text import java_double, json_text


@pytest.mark.parametrize(("value", "text"), [
    (0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (100.0, "100.0"), (0.001, "0.001"), (0.00099, "9.9E-4"),
    (9_999_999.0, "9999999.0"), (1e7, "1.0E7"), (12_345_678.9, "1.23456789E7"), (1.5e-5, "1.5E-5"),
    (0.1 + 0.2, "0.30000000000000004"), (-2.5, "-2.5"), (1e22, "1.0E22"), (5e-324, "5E-324".replace("5E", "5.0E")),
    (float("inf"), "Infinity"), (float("nan"), "NaN"),
])  # fmt: skip
def test_doubles(value: float, text: str) -> None:
    assert java_double(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_reads_back(value: float) -> None:
    assert float(java_double(value)) == value


@given(st.text())
def test_a_text_reads_back(value: str) -> None:
    assert (
        json.loads(json_text({"x": value.encode(errors="replace").decode()}))["x"]
        == value.encode(errors="replace").decode()
    )


def test_escapes() -> None:
    assert json_text('\x1f\x07\n"\\u001f ü\x7f') == '"\\u001F\\u0007\\n\\"\\\\u001f ü\x7f"'
