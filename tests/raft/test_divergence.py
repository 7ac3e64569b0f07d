"""The leader's decision on a fetch offset and epoch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykraft.raft.divergence import (
    Diverging,
    SnapshotNeeded,
    Valid,
    Verdict,
    fetch_verdict,
    validate_offset_and_epoch,
)
from tests.raft.quorum_samples import FactLog

# Offsets 0-2 are of epoch 1, 3-6 of epoch 3, 7-9 of epoch 5.
WHOLE = FactLog([1] * 3 + [3] * 4 + [5] * 3)


def cut(*snapshots: tuple[int, int]) -> FactLog:
    """The same log from offset 3 on."""
    log = FactLog([3] * 4 + [5] * 3, start=3)
    log.snapshots = list(snapshots)
    return log


@pytest.mark.parametrize(
    ("offset", "epoch", "verdict"),
    [
        (0, 0, Valid()),
        (0, 9, Valid()),
        (3, 1, Valid()),
        (2, 1, Valid()),
        (4, 1, Diverging(3, 1)),
        (3, 2, Diverging(3, 1)),
        (2, 2, Diverging(3, 1)),
        (7, 3, Valid()),
        (4, 3, Valid()),
        (8, 3, Diverging(7, 3)),
        (7, 4, Diverging(7, 3)),
        (10, 5, Valid()),
        (11, 5, Diverging(10, 5)),
        (10, 6, Diverging(10, 5)),
        (5, 6, Diverging(10, 5)),
        (1, 0, Diverging(0, 0)),
    ],
)
def test_a_log_without_snapshots(offset: int, epoch: int, verdict: Verdict) -> None:
    assert validate_offset_and_epoch(WHOLE, offset, epoch) == verdict
    assert fetch_verdict(WHOLE, offset, epoch) == verdict


@pytest.mark.parametrize(
    ("offset", "epoch", "verdict"),
    [
        (0, 0, SnapshotNeeded(7, 3)),
        (2, 1, SnapshotNeeded(7, 3)),
        (3, 1, Valid()),
        (3, 2, SnapshotNeeded(7, 3)),
        (3, 3, SnapshotNeeded(7, 3)),
        (4, 0, SnapshotNeeded(7, 3)),
        (4, 1, Diverging(3, 1)),
        (4, 2, Diverging(3, 1)),
        (4, 3, Valid()),
        (11, 5, Diverging(10, 5)),
    ],
)
def test_a_log_that_begins_with_a_snapshot(offset: int, epoch: int, verdict: Verdict) -> None:
    assert validate_offset_and_epoch(cut((3, 1), (7, 3)), offset, epoch) == verdict


def test_an_empty_replica_is_sent_to_the_latest_snapshot_even_when_the_log_is_whole() -> None:
    log = FactLog([1] * 3 + [3] * 4)
    log.snapshots = [(2, 1), (5, 3)]
    assert fetch_verdict(log, 0, 0) == SnapshotNeeded(5, 3)
    assert validate_offset_and_epoch(log, 0, 0) == Valid()
    assert fetch_verdict(log, 1, 1) == Valid()
    log.snapshots = [(0, 0)]
    assert fetch_verdict(log, 0, 0) == Valid()


def histories() -> st.SearchStrategy[tuple[list[int], list[int]]]:
    """Epochs of a leader's and a follower's log that agree up to some offset and then differ."""

    def build(parts: tuple[list[int], list[int], list[int]]) -> tuple[list[int], list[int]]:
        shared, ours, theirs = map(sorted, parts)
        last = shared[-1] if shared else 0
        # A leader's own epochs are even from here on, the follower's odd: one epoch has one leader.
        return shared + [last + 2 * e for e in ours], shared + [last + 2 * e - 1 for e in theirs]

    epochs = st.lists(st.integers(1, 6), max_size=8)
    return st.tuples(epochs, epochs, epochs).map(build)


@given(histories())
def test_a_follower_that_does_as_told_ends_at_the_common_prefix(logs: tuple[list[int], list[int]]) -> None:
    """Kafka's follower truncates to the end of the diverging epoch in its own log, or to the told offset."""
    leader, follower = map(FactLog, logs)
    common = 0
    while common < min(leader.end_offset, follower.end_offset) and leader.epochs[common] == follower.epochs[common]:
        common += 1
    for _ in range(20):
        match fetch_verdict(leader, follower.end_offset, follower.last_epoch):
            case Diverging(offset, epoch):
                before = follower.end_offset
                own_end, own_epoch = follower.end_offset_for_epoch(epoch)
                follower.truncate(min(own_end, offset) if own_epoch == epoch else own_end)
                assert common <= follower.end_offset < before
            case Valid():
                break
    else:
        raise AssertionError("it never ends")
    assert follower.epochs == leader.epochs[: follower.end_offset]
    assert follower.end_offset == common
