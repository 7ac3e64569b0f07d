"""The roles of a quorum node and which may follow which.

Source: raft/src/main/java/org/apache/kafka/raft/QuorumState.java (Kafka 3.4 to 3.9; 3.9 calls Voted an
Unattached node with a vote).
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Role(Enum):
    """Part a node plays in its epoch. All but Observer are roles of voters; an observer never leaves its own."""

    UNATTACHED = "Unattached"
    VOTED = "Voted"
    CANDIDATE = "Candidate"
    LEADER = "Leader"
    FOLLOWER = "Follower"
    RESIGNED = "Resigned"
    OBSERVER = "Observer"


_R = Role

TRANSITIONS: Final[dict[Role, frozenset[Role]]] = {
    _R.UNATTACHED: frozenset({_R.UNATTACHED, _R.VOTED, _R.CANDIDATE, _R.FOLLOWER}),
    _R.VOTED: frozenset({_R.UNATTACHED, _R.CANDIDATE, _R.FOLLOWER}),
    _R.CANDIDATE: frozenset({_R.UNATTACHED, _R.CANDIDATE, _R.LEADER, _R.FOLLOWER}),
    _R.LEADER: frozenset({_R.UNATTACHED, _R.FOLLOWER, _R.RESIGNED}),
    _R.FOLLOWER: frozenset({_R.UNATTACHED, _R.CANDIDATE, _R.FOLLOWER}),
    _R.RESIGNED: frozenset({_R.UNATTACHED, _R.CANDIDATE, _R.FOLLOWER}),
    _R.OBSERVER: frozenset({_R.OBSERVER}),
}
"""Which role may follow which; a role that follows itself does so in another epoch."""


class IllegalTransitionError(Exception):
    """A change of role that the table does not have; the node stays what it was."""

    def __init__(self, current: Role, wanted: Role, epoch: int) -> None:
        super().__init__(f"a quorum node cannot become {wanted.value} from {current.value} in epoch {epoch}")
        self.current = current
        self.wanted = wanted
        self.epoch = epoch


def check_transition(current: Role, wanted: Role, epoch: int) -> None:
    """Raises `IllegalTransitionError` unless `wanted` may follow `current`."""
    if wanted not in TRANSITIONS[current]:
        raise IllegalTransitionError(current, wanted, epoch)
