"""Floats as Java shows them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykraft.protocol.java_double import java_double


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (100.0, "100.0"),
        (-2.5, "-2.5"),
        (0.001, "0.001"),
        (0.00099, "9.9E-4"),
        (0.0001, "1.0E-4"),
        (1.25e-7, "1.25E-7"),
        (9_999_999.5, "9999999.5"),
        (1e7, "1.0E7"),
        (-1e9, "-1.0E9"),
        (12_345_678.9, "1.23456789E7"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e22, "1.0E22"),
        (1e300, "1.0E300"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        # Of the texts with two digits that give the number back, the nearest.
        (5e-324, "4.9E-324"),
        (1e-323, "9.9E-324"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
    ],
)
def test_doubles(value: float, text: str) -> None:
    assert java_double(value) == text


@given(st.floats(allow_nan=False))
def test_a_double_reads_back(value: float) -> None:
    assert float(java_double(value)) == value
