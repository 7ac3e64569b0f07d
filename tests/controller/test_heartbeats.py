"""Broker sessions and the table of broker states."""

from __future__ import annotations

import itertools

import pytest

from pykraft.controller.heartbeats import (
    CONTROLLED_SHUTDOWN,
    EXPIRY_MOVES,
    FENCED,
    HEARTBEAT_MOVES,
    SHUTDOWN_NOW,
    UNFENCED,
    BrokerControlState,
    BrokerHeartbeatManager,
    IllegalBrokerMoveError,
    Wish,
)
from pykraft.image.model import BrokerRegistration
from tests.controller.cluster import SESSION_MS

REGISTERED_AT = 100
N, F, S, FS = Wish


def broker(broker_id: int = 1, *, fenced: bool = False) -> BrokerRegistration:
    return BrokerRegistration(
        id=broker_id,
        epoch=REGISTERED_AT,
        incarnation_id=bytes(16),
        listeners=(),
        features=(),
        rack=None,
        fenced=fenced,
        in_controlled_shutdown=False,
        is_migrating_zk_broker=False,
        directories=(),
        registration_offset=REGISTERED_AT,
    )


def manager(*unfenced: int, now: int = 0) -> BrokerHeartbeatManager:
    heartbeats = BrokerHeartbeatManager(SESSION_MS)
    for broker_id in unfenced:
        heartbeats.register(broker_id, fenced=False, monotonic_ms=now)
    return heartbeats


@pytest.mark.parametrize(
    ("state", "wish", "offset", "leads", "next_state"),
    [
        (FENCED, N, 99, False, FENCED),
        (FENCED, N, 100, False, UNFENCED),
        (FENCED, N, 101, True, UNFENCED),
        (FENCED, F, 101, False, FENCED),
        (FENCED, S, 99, False, SHUTDOWN_NOW),
        (FENCED, FS, 101, False, SHUTDOWN_NOW),
        (UNFENCED, N, 0, True, UNFENCED),
        (UNFENCED, F, 101, True, FENCED),
        (UNFENCED, FS, 101, True, SHUTDOWN_NOW),
        (UNFENCED, S, 101, True, CONTROLLED_SHUTDOWN),
        (UNFENCED, S, 101, False, SHUTDOWN_NOW),
    ],
)
def test_a_heartbeat_moves_a_broker(
    state: BrokerControlState, wish: Wish, offset: int, leads: bool, next_state: BrokerControlState
) -> None:
    heartbeats = BrokerHeartbeatManager(SESSION_MS)
    heartbeats.register(1, fenced=state is FENCED, monotonic_ms=0)

    states = heartbeats.calculate_next_broker_state(broker(fenced=state is FENCED), wish, offset, lambda: leads)

    assert states == (state, next_state)


@pytest.mark.parametrize("wish", Wish)
@pytest.mark.parametrize(
    ("leads", "other_offset", "next_state"),
    [
        (True, 500, CONTROLLED_SHUTDOWN),
        (False, 199, CONTROLLED_SHUTDOWN),
        (False, 200, SHUTDOWN_NOW),
        (False, None, SHUTDOWN_NOW),
    ],
)
def test_a_controlled_shutdown_ends_when_nothing_is_led_and_the_others_have_read_of_it(
    wish: Wish, leads: bool, other_offset: int | None, next_state: BrokerControlState
) -> None:
    heartbeats = manager(1)
    heartbeats.begin_controlled_shutdown(1, 200)
    if other_offset is not None:
        heartbeats.register(2, fenced=False, monotonic_ms=0)
        heartbeats.touch(2, fenced=False, metadata_offset=other_offset, monotonic_ms=1)

    states = heartbeats.calculate_next_broker_state(broker(), wish, 0, lambda: leads)

    assert states == (CONTROLLED_SHUTDOWN, next_state)


def test_fenced_brokers_and_others_that_shut_down_are_not_waited_for() -> None:
    heartbeats = manager(1, 2)
    heartbeats.register(3, fenced=True, monotonic_ms=0)
    for broker_id in (1, 2):
        heartbeats.begin_controlled_shutdown(broker_id, 200)

    assert heartbeats.lowest_active_offset() is None
    assert heartbeats.calculate_next_broker_state(broker(), S, 0, lambda: False).next is SHUTDOWN_NOW


def test_every_state_a_broker_can_be_in_answers_every_heartbeat() -> None:
    states = {move.state for move in HEARTBEAT_MOVES}
    assert states == {FENCED, UNFENCED, CONTROLLED_SHUTDOWN}
    for state, wish in itertools.product(states, Wish):
        assert any(move.state is state and wish in move.wishes for move in HEARTBEAT_MOVES)
    assert set(EXPIRY_MOVES) == {UNFENCED, CONTROLLED_SHUTDOWN}


def test_illegal_moves_are_refused_and_change_nothing() -> None:
    heartbeats = BrokerHeartbeatManager(SESSION_MS)
    heartbeats.register(1, fenced=True, monotonic_ms=0)

    with pytest.raises(IllegalBrokerMoveError, match="broker 1 in state FENCED cannot follow the end of a session"):
        heartbeats.expire(broker(fenced=True))
    with pytest.raises(IllegalBrokerMoveError, match="controlled shutdown"):
        heartbeats.begin_controlled_shutdown(1, 5)

    assert not heartbeats.is_shutting_down(1)


def test_the_first_offset_of_a_controlled_shutdown_counts_and_fencing_ends_it() -> None:
    heartbeats = manager(1, 2)
    heartbeats.begin_controlled_shutdown(1, 5)
    heartbeats.begin_controlled_shutdown(1, 9)
    heartbeats.touch(2, fenced=False, metadata_offset=5, monotonic_ms=1)
    assert heartbeats.calculate_next_broker_state(broker(), S, 0, lambda: False).next is SHUTDOWN_NOW

    heartbeats.touch(1, fenced=True, metadata_offset=5, monotonic_ms=1)

    assert not heartbeats.is_shutting_down(1)


def test_only_unfenced_brokers_have_a_session_and_the_oldest_ends_first() -> None:
    heartbeats = BrokerHeartbeatManager(SESSION_MS)
    assert heartbeats.next_expiry_ms() is None
    for at, broker_id in enumerate((1, 2, 3)):
        heartbeats.register(broker_id, fenced=broker_id == 3, monotonic_ms=at)
    heartbeats.touch(1, fenced=False, metadata_offset=7, monotonic_ms=10)

    assert heartbeats.next_expiry_ms() == 1 + SESSION_MS + 1
    assert heartbeats.find_stale_broker(1 + SESSION_MS) is None
    assert heartbeats.find_stale_broker(2 + SESSION_MS) == 2
    assert heartbeats.has_valid_session(1, 10 + SESSION_MS)
    assert not heartbeats.has_valid_session(1, 11 + SESSION_MS)
    assert not heartbeats.has_valid_session(3, 2)

    heartbeats.fence(2)
    assert heartbeats.next_expiry_ms() == 10 + SESSION_MS + 1
    heartbeats.remove(1)
    assert heartbeats.next_expiry_ms() is None
    assert heartbeats.session(1) is None


def test_a_new_registration_knows_nothing_of_the_one_before() -> None:
    heartbeats = manager(1)
    heartbeats.touch(1, fenced=False, metadata_offset=50, monotonic_ms=1)
    heartbeats.begin_controlled_shutdown(1, 60)

    heartbeats.register(1, fenced=False, monotonic_ms=2)

    assert heartbeats.lowest_active_offset() == -1
    assert not heartbeats.is_shutting_down(1)
