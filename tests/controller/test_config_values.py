"""Config values are read, checked and shown as Kafka's ConfigDef does."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykraft.controller.config_values import (
    ConfigType,
    ConfigValue,
    ConfigValueError,
    at_least,
    between,
    one_of,
    parse_integer,
    parse_value,
    split_like_java,
    value_text,
)


@pytest.mark.parametrize(
    ("value_type", "text", "value"),
    [
        (ConfigType.BOOLEAN, " TRUE ", True),
        (ConfigType.BOOLEAN, "False", False),
        (ConfigType.SHORT, "-32768", -32768),
        (ConfigType.INT, "+7", 7),
        (ConfigType.INT, " 2147483647 ", 2147483647),
        (ConfigType.LONG, "-9223372036854775808", -(2**63)),
        (ConfigType.DOUBLE, "1e3", 1000.0),
        (ConfigType.DOUBLE, ".5d", 0.5),
        (ConfigType.DOUBLE, "Infinity", math.inf),
        (ConfigType.LIST, "", ()),
        (ConfigType.LIST, " a , b,", ("a", "b", "")),
        (ConfigType.STRING, " x ", "x"),
        (ConfigType.CLASS, "a.B", "a.B"),
        (ConfigType.PASSWORD, " p ", "p"),
    ],
)
def test_values_are_read(value_type: ConfigType, text: str, value: ConfigValue) -> None:
    assert parse_value("key", text, value_type) == value


@pytest.mark.parametrize(
    ("value_type", "text"),
    [
        (ConfigType.BOOLEAN, "yes"),
        (ConfigType.BOOLEAN, ""),
        (ConfigType.SHORT, "32768"),
        (ConfigType.INT, "2147483648"),
        (ConfigType.INT, "1_0"),
        (ConfigType.INT, "1.0"),
        (ConfigType.INT, ""),
        (ConfigType.LONG, "9223372036854775808"),
        (ConfigType.LONG, "0x1"),
        (ConfigType.DOUBLE, "one"),
        (ConfigType.DOUBLE, "1_0.5"),
        (ConfigType.DOUBLE, "inf"),
    ],
)
def test_values_that_cannot_be_read_are_refused_by_key(value_type: ConfigType, text: str) -> None:
    with pytest.raises(ConfigValueError, match=r"for configuration the\.key"):
        parse_value("the.key", text, value_type)


@given(st.integers())
def test_integers_are_read_within_their_bits(number: int) -> None:
    if -(2**31) <= number < 2**31:
        assert parse_integer(str(number), 32) == number
    else:
        with pytest.raises(ValueError, match="32 bits"):
            parse_integer(str(number), 32)


@given(st.floats(allow_nan=False))
def test_a_shown_double_reads_back(value: float) -> None:
    assert parse_value("key", value_text(value), ConfigType.DOUBLE) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (-2, "-2"),
        (("a", "b"), "a,b"),
        ((), ""),
        ("x", "x"),
        (0.5, "0.5"),
    ],
)
def test_values_are_shown(value: ConfigValue, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [""]),
        (",", []),
        ("a", ["a"]),
        ("a,", ["a"]),
        ("a,,b,,", ["a", "", "b"]),
        (",a", ["", "a"]),
    ],
)
def test_lists_are_split_as_java_splits_them(text: str, parts: list[str]) -> None:
    assert split_like_java(text) == parts


def test_ranges_hold_both_ends() -> None:
    assert [at_least(1)(value) is None for value in (0, 1, 2)] == [False, True, True]
    assert [between(1, 3)(value) is None for value in (0, 1, 3, 4)] == [False, True, True, False]
    assert between(0, 1)(math.nan) is None


def test_choices_hold_for_every_part_of_a_list() -> None:
    check = one_of(("a", "b"))
    assert check(("a", "b", "a")) is None
    assert check(()) is None
    assert "'c' must be one of a, b" in str(check(("a", "c")))
    assert check("A") is not None
