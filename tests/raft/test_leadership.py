"""What a leader knows of the replicas."""

from __future__ import annotations

import pytest

from pykraft.raft import leadership
from pykraft.raft.leadership import OBSERVER_SESSION_TIMEOUT_MS, Leadership, ReplicaKey


def leads(*voters: int, start: int = 10) -> Leadership:
    return Leadership(1, [ReplicaKey(voter) for voter in voters], 5, start)


def test_the_high_watermark_of_one_voter_is_its_flushed_end_once_the_epoch_has_a_record() -> None:
    alone = leads(1)
    moved = [(alone.flushed(end), alone.high_watermark) for end in (10, 11, 11, 15)]
    assert moved == [(False, None), (True, 11), (False, 11), (True, 15)]


def test_the_high_watermark_of_three_voters_is_what_two_hold() -> None:
    three = leads(1, 2, 3)
    assert not three.flushed(20)
    assert not three.fetched(ReplicaKey(2), 10, 20, 0)
    assert three.fetched(ReplicaKey(3), 12, 20, 0)
    assert three.high_watermark == 12
    assert three.fetched(ReplicaKey(2), 20, 20, 0)
    assert three.high_watermark == 20
    assert not three.fetched(ReplicaKey(2), 15, 20, 0)
    assert not three.fetched(ReplicaKey(3), 13, 20, 0)
    assert three.high_watermark == 20


def test_a_replica_is_caught_up_when_it_has_what_the_leader_has_or_had_at_its_last_fetch() -> None:
    alone = leads(1)
    key = ReplicaKey(7, b"d" * 16)
    steps = [
        # (fetch offset, leader's end, now) → (end offset, last fetch, last caught up)
        ((0, 20, 1000), (0, 1000, -1)),
        ((15, 25, 2000), (15, 2000, -1)),
        ((25, 30, 3000), (25, 3000, 2000)),
        ((30, 30, 4000), (30, 4000, 4000)),
        ((30, 40, 5000), (30, 5000, 4000)),
        ((35, 50, 6000), (35, 6000, 4000)),
        ((50, 60, 7000), (50, 7000, 6000)),
    ]
    for (offset, end, now), expected in steps:
        assert not alone.fetched(key, offset, end, now)
        (observer,) = alone.observers(now)
        assert (observer.end_offset, observer.last_fetch_ms, observer.last_caught_up_ms) == expected
    assert alone.replica(key) is observer


def test_observers_are_told_apart_by_id_and_directory_and_voters_by_id() -> None:
    voters = leads(1, 2)
    for key in (ReplicaKey(2), ReplicaKey(2, b"a" * 16), ReplicaKey(7, b"a" * 16), ReplicaKey(7, b"b" * 16)):
        voters.fetched(key, 0, 0, 0)
    assert [observer.key for observer in voters.observers(0)] == [ReplicaKey(7, b"a" * 16), ReplicaKey(7, b"b" * 16)]
    assert [voter.key.id for voter in voters.voters] == [1, 2]
    # A voter with a directory id is somebody else with another one.
    known = Leadership(1, [ReplicaKey(1), ReplicaKey(2, b"a" * 16)], 5, 0)
    known.fetched(ReplicaKey(2, b"b" * 16), 3, 3, 0)
    known.fetched(ReplicaKey(2, b"a" * 16), 3, 3, 0)
    assert [observer.key.directory_id for observer in known.observers(0)] == [b"b" * 16]
    assert known.voters[1].end_offset == 3


def test_a_reader_without_a_name_leaves_no_trace() -> None:
    alone = leads(1)
    assert not alone.fetched(ReplicaKey(-1), 5, 5, 0)
    assert alone.observers(0) == []
    assert alone.replica(ReplicaKey(-1)) is None


def test_an_observer_is_forgotten_after_its_session() -> None:
    alone = leads(1)
    alone.fetched(ReplicaKey(7), 0, 0, 1000)
    assert len(alone.observers(1000 + OBSERVER_SESSION_TIMEOUT_MS - 1)) == 1
    assert alone.observers(1000 + OBSERVER_SESSION_TIMEOUT_MS) == []


def test_too_many_observers_push_out_the_one_unseen_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leadership, "OBSERVERS_MAX", 3)
    alone = leads(1)
    for now, replica_id in enumerate([1001, 1002, 1001, 1003, 1004]):
        alone.fetched(ReplicaKey(replica_id), 0, 0, now)
    assert [observer.key.id for observer in alone.observers(5)] == [1001, 1003, 1004]
