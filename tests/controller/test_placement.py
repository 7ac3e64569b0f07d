"""Striped placement: what always holds, and that it spreads."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykraft.controller.errors import ApiError
from pykraft.controller.placement import StripedReplicaPlacer, UsableBroker, usable_brokers
from pykraft.protocol.errors import ErrorCode
from tests.controller.cluster import Cluster


def brokers(count: int, racks: int = 0, fenced: tuple[int, ...] = ()) -> list[UsableBroker]:
    return [UsableBroker(i, f"r{i % racks}" if racks else None, i in fenced) for i in range(count)]


@st.composite
def clusters(draw: st.DrawFn) -> list[UsableBroker]:
    racks = draw(st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=8))
    fenced = draw(st.lists(st.booleans(), min_size=len(racks), max_size=len(racks)))
    fenced[draw(st.integers(0, len(racks) - 1))] = False
    return [UsableBroker(i, rack, off) for i, (rack, off) in enumerate(zip(racks, fenced, strict=True))]


@given(clusters(), st.data(), st.integers(0, 2**32))
def test_what_always_holds(usable: list[UsableBroker], data: st.DataObject, seed: int) -> None:
    factor = data.draw(st.integers(1, len(usable)))
    by_id = {broker.id: broker for broker in usable}

    placements = StripedReplicaPlacer(Random(seed), usable).place(30, factor)

    assert len(placements) == 30
    for replicas in placements:
        assert len(set(replicas)) == factor, "no broker twice"
        assert not by_id[replicas[0]].fenced, "an unfenced leader"
        racks = Counter(by_id[replica].rack for replica in replicas)
        sizes = Counter(broker.rack for broker in usable)
        for rack, used in racks.items():
            spare = [other for other, size in sizes.items() if racks[other] < min(size, used - 1)]
            assert not spare, f"rack {rack} has {used} replicas while {spare} could take one more"


@pytest.mark.parametrize(("count", "racks", "factor"), [(6, 0, 3), (6, 3, 3), (9, 3, 2), (5, 5, 1), (12, 4, 3)])
def test_load_is_spread(count: int, racks: int, factor: int) -> None:
    placements = StripedReplicaPlacer(Random(1), brokers(count, racks)).place(count * 20, factor)
    assert {replicas[0] for replicas in placements} == set(range(count)), "everyone leads something"
    load = Counter(replica for replicas in placements for replica in replicas)
    assert max(load.values()) <= 1.35 * min(load.values()), load


def test_fenced_brokers_of_a_rack_come_last() -> None:
    placements = StripedReplicaPlacer(Random(3), brokers(4, fenced=(3,))).place(20, 3)
    assert all(3 not in replicas for replicas in placements)
    assert all(3 in replicas for replicas in StripedReplicaPlacer(Random(3), brokers(4, fenced=(3,))).place(5, 4))


def test_the_stripe_as_offsets_give_it() -> None:
    class First(Random):
        def randrange(self, *args: int) -> int:  # type: ignore[override]  # all that the placer calls
            return 0

    placements = StripedReplicaPlacer(First(), brokers(9, 3)).place(3, 3)
    # Racks r0, r1, r2 hold 0 3 6, 1 4 7 and 2 5 8: one rack on, and one broker on, per partition.
    assert placements == [(0, 1, 2), (4, 5, 3), (8, 6, 7)]


@pytest.mark.parametrize(
    ("usable", "factor", "reason"),
    [
        (brokers(3), 0, "not positive"),
        (brokers(2, fenced=(0, 1)), 1, "fenced"),
        (brokers(2), 3, "2 are registered"),
        ([], 1, "fenced"),
    ],
)
def test_what_cannot_be_placed(usable: list[UsableBroker], factor: int, reason: str) -> None:
    with pytest.raises(ApiError, match=reason) as caught:
        StripedReplicaPlacer(Random(0), usable).place(1, factor)
    assert caught.value.code is ErrorCode.INVALID_REPLICATION_FACTOR


def test_a_broker_on_its_way_out_is_not_usable_but_one_that_is_down_is() -> None:
    cluster = Cluster()
    cluster.start(1, 2, 3)
    cluster.create("a", [1, 2], [2, 1])
    cluster.heartbeat(1, shut_down=True)
    cluster.expire(3)
    assert usable_brokers(cluster.ctx()) == [UsableBroker(2, None, fenced=False), UsableBroker(3, None, fenced=True)]
    cluster.expire(1)
    assert UsableBroker(1, None, fenced=True) in usable_brokers(cluster.ctx())
