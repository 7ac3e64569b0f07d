"""What `tools/bench codec` measures and holds its goals on, without the peers."""

from __future__ import annotations

import pytest

from pykraft.protocol.messages.metadata_response import MetadataResponseData
from tools.benchmarks import codec
from tools.benchmarks.codec_peers.measure import reading


def case(name: str) -> codec.Case:
    return next(found for found in codec.cases() if found.name == name)


def test_pykraft_is_measured_in_every_way() -> None:
    every = [case("BrokerHeartbeat v1"), case("BrokerHeartbeat v1, looked up once"),
             case("FetchResponse v17, 1000 partitions")]  # fmt: skip
    codec.measure("pykraft", every, "")
    for one in every:
        assert not one.notes
        assert all(one.times_us["pykraft", direction] > 0 for direction in one.directions)
    assert "read" in every[2].directions
    assert "read" not in every[0].directions


@pytest.mark.parametrize("one", codec.cases(), ids=lambda one: one.name)
def test_every_field_is_read(one: codec.Case) -> None:
    names = codec.names_of(type(one.value), one.version)
    read = reading(names, one.value)
    read(one.value)

    class Nothing:
        """Has no field at all."""

    with pytest.raises(AttributeError, match=names["plain"][0]):
        read(Nothing())


def test_a_goal_is_missed_by_one_message() -> None:
    one = codec.Case("one", case("BrokerHeartbeat v1").value, 1)
    one.times_us |= {("pykraft", "decode"): 2.0, ("kio", "decode"): 1.9}
    assert not one.good("kio", "decode")
    assert not codec.goal_met([case("PartitionRecord v2"), one], "kio", "decode")
    one.times_us["kio", "decode"] = 2.1
    assert codec.goal_met([case("PartitionRecord v2"), one], "kio", "decode")


def test_a_make_that_leaves_things_out_is_beaten_with_and_without_reading_them() -> None:
    one = codec.Case("one", case("BrokerHeartbeat v1").value, 1, lazy={"kafka-python": "something"})
    one.times_us |= {("pykraft", "decode"): 1.0, ("kafka-python", "decode"): 6.0}
    one.times_us |= {("pykraft", "read"): 1.0, ("kafka-python", "read"): 6.0}
    assert codec.goal_met([one], "kafka-python", "decode")
    one.times_us["kafka-python", "read"] = 4.0
    assert not codec.goal_met([one], "kafka-python", "decode")
    one.times_us |= {("kafka-python", "decode"): 4.0, ("kafka-python", "read"): 6.0}
    assert not codec.goal_met([one], "kafka-python", "decode")


def test_mixed_messages_are_mixed_and_have_no_goal() -> None:
    one = case("mixed: MetadataResponse v12, 1 x 1000, 1 in 5 lagging")
    assert isinstance(one.value, MetadataResponseData)
    in_sync = [len(partition.isr_nodes) for partition in one.value.topics[0].partitions]
    assert in_sync.count(2) == 200
    assert len({tuple(in_sync[number : number + 20]) for number in range(0, 1000, 20)}) > 10
    one.times_us |= {("pykraft", "decode"): 2.0, ("kio", "decode"): 1.0}
    assert codec.goal_met([one], "kio", "decode")


def test_java_has_one_turn() -> None:
    makes = ["pykraft", "kio", "java"]
    assert codec.turns(makes, 2) == ["pykraft", "kio", "java", "pykraft", "kio"]
    assert all(not one.bound for one in codec.asked("java", codec.cases()))
