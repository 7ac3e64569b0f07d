"""The driver's table of transitions, and what is remembered about leadership."""

from __future__ import annotations

from random import Random

import pytest

from pykraft.migration.driver import MigrationDriver
from pykraft.migration.states import (
    EMPTY,
    TRANSITIONS,
    IllegalTransitionError,
    check_transition,
)
from pykraft.migration.states import MigrationDriverState as S
from pykraft.zookeeper import znodes

KAFKA_3_9 = """
UNINITIALIZED                    INACTIVE
INACTIVE                         WAIT_FOR_CONTROLLER_QUORUM
WAIT_FOR_CONTROLLER_QUORUM       INACTIVE WAIT_FOR_BROKERS BECOME_CONTROLLER
WAIT_FOR_BROKERS                 INACTIVE BECOME_CONTROLLER
BECOME_CONTROLLER                INACTIVE ZK_MIGRATION SYNC_KRAFT_TO_ZK
ZK_MIGRATION                     INACTIVE SYNC_KRAFT_TO_ZK
SYNC_KRAFT_TO_ZK                 INACTIVE KRAFT_CONTROLLER_TO_BROKER_COMM
KRAFT_CONTROLLER_TO_BROKER_COMM  INACTIVE DUAL_WRITE
DUAL_WRITE                       INACTIVE
"""


def test_the_table_is_that_of_kafka_3_9() -> None:
    rows = [row.split() for row in KAFKA_3_9.strip().splitlines()]
    assert {S(state): frozenset(map(S, following)) for state, *following in rows} == TRANSITIONS


@pytest.mark.parametrize("current", S)
@pytest.mark.parametrize("wanted", S)
def test_a_move_that_the_table_lacks_is_an_error_and_changes_nothing(current: S, wanted: S) -> None:
    driver = MigrationDriver(1, [1], Random(1))
    driver.state = current
    if wanted is current or wanted in TRANSITIONS[current]:
        check_transition(current, wanted)
        driver._transition(wanted)
        assert driver.state is wanted
        return
    message = f"Invalid transition in migration driver from {current.name} to {wanted.name}"
    with pytest.raises(IllegalTransitionError, match=message):
        driver._transition(wanted)
    assert driver.state is current
    assert driver._effects == []


def test_nothing_is_known_at_first_and_no_version_matches_any() -> None:
    assert (EMPTY.migration_zk_version, EMPTY.controller_epoch_zk_version) == (-2, -2)
    assert not EMPTY.initial_migration_complete
    assert not EMPTY.with_offset(0, 0).initial_migration_complete
    assert EMPTY.with_offset(1, 0).initial_migration_complete


def test_a_new_leader_forgets_the_claim_but_not_the_migration() -> None:
    claimed = EMPTY.with_leader(3, 4).with_offset(100, 4).with_zk_controller(7, 9).with_migration_version(5)
    followed = claimed.with_leader(8, 5)
    assert (followed.kraft_controller_id, followed.kraft_controller_epoch) == (8, 5)
    assert (followed.kraft_metadata_offset, followed.migration_zk_version) == (100, 5)
    assert (followed.zk_controller_epoch, followed.controller_epoch_zk_version) == (-1, -2)


def test_only_four_numbers_are_stored() -> None:
    state = EMPTY.with_leader(3, 4).with_offset(100, 2).with_zk_controller(7, 9)
    stored = znodes.decode_migration(state.encode())
    assert (stored.kraft_controller_id, stored.kraft_controller_epoch) == (3, 4)
    assert (stored.kraft_metadata_offset, stored.kraft_metadata_epoch) == (100, 2)
