"""Every message and record in every version: written and read again, by the compiled and by the careful code."""

from __future__ import annotations

import random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykraft.protocol import _careful, jsonconv
from pykraft.protocol._message import Message

from .values import every_class, every_version, message_value

VALUES_PER_VERSION: Final = 6
EVERY_VERSION: Final = list(every_version())


def check(cls: type[Message], version: int, rng: random.Random) -> None:
    value = message_value(cls, version, rng)
    raw = value.encode(version)
    assert cls.decode(raw, version) == value
    assert _careful.encode(value, version) == raw
    assert _careful.decode(cls, raw, version) == value


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_every_version_round_trips(cls: type[Message]) -> None:
    rng = random.Random(cls.__name__)
    for version in range(cls.MIN_VERSION, cls.MAX_VERSION + 1):
        for _ in range(VALUES_PER_VERSION):
            check(cls, version, rng)


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_every_version_round_trips_through_json(cls: type[Message]) -> None:
    rng = random.Random(cls.__name__)
    for version in range(cls.MIN_VERSION, cls.MAX_VERSION + 1):
        for _ in range(2):
            value = message_value(cls, version, rng, unknown_tags=False)
            told = jsonconv.to_json(value, version, records=True)
            again = jsonconv.from_json(cls, told, version)
            assert again.encode(version) == value.encode(version)


@given(st.sampled_from(EVERY_VERSION), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_drawn_values_round_trip(which: tuple[type[Message], int], rng: random.Random) -> None:
    check(*which, rng)


def test_a_message_of_defaults_can_be_written_in_every_version() -> None:
    for cls, version in EVERY_VERSION:
        assert cls.decode(cls().encode(version), version) == cls()


def test_the_number_of_versions_is_what_the_schemas_say() -> None:
    assert len(EVERY_VERSION) > 700
