"""The table of roles."""

from __future__ import annotations

import pytest

from pykraft.raft.roles import TRANSITIONS, IllegalTransitionError, Role, check_transition


def test_every_move_is_in_the_table_or_refused() -> None:
    assert TRANSITIONS.keys() == set(Role)
    for current in Role:
        for wanted in Role:
            if wanted in TRANSITIONS[current]:
                check_transition(current, wanted, 7)
            else:
                with pytest.raises(IllegalTransitionError, match=f"{wanted.value} from {current.value} in epoch 7"):
                    check_transition(current, wanted, 7)


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        (Role.UNATTACHED, Role.LEADER),
        (Role.VOTED, Role.LEADER),
        (Role.FOLLOWER, Role.LEADER),
        (Role.RESIGNED, Role.LEADER),
        (Role.LEADER, Role.LEADER),
        (Role.LEADER, Role.CANDIDATE),
        (Role.LEADER, Role.VOTED),
        (Role.CANDIDATE, Role.VOTED),
        (Role.FOLLOWER, Role.VOTED),
        (Role.CANDIDATE, Role.RESIGNED),
        (Role.OBSERVER, Role.CANDIDATE),
        (Role.UNATTACHED, Role.OBSERVER),
    ],
)
def test_what_would_break_an_epoch_is_not_in_the_table(current: Role, wanted: Role) -> None:
    """Only a candidate becomes leader, nobody leads an epoch twice or votes in one that it stood or led in."""
    with pytest.raises(IllegalTransitionError) as caught:
        check_transition(current, wanted, 1)
    assert (caught.value.current, caught.value.wanted, caught.value.epoch) == (current, wanted, 1)
