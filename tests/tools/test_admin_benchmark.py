"""The admin benchmark: what it takes for done, what it takes for flat, and one small run of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pykraft.lab import process
from pykraft.log.batch import encode_batch
from pykraft.protocol import frame
from pykraft.protocol._message import Message
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.leader_and_isr_request import (
    LeaderAndIsrPartitionState,
    LeaderAndIsrRequestData,
    LeaderAndIsrTopicState,
)
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.messages.update_metadata_request import (
    UpdateMetadataPartitionState,
    UpdateMetadataRequestData,
    UpdateMetadataTopicState,
)
from pykraft.protocol.record_frame import encode_record
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.testing import simulated_broker
from tools.benchmarks import admin, admin_cluster
from tools.benchmarks.admin_cluster import Progress, Times, clusters, parts

VERSION = "3.9.1"


def records(offset: int, *partitions: int) -> bytes:
    values = [encode_record(PartitionChangeRecord(partition_id=each), 0) for each in partitions]
    return encode_batch([*values, encode_record(NoOpRecord(), 0)], base_offset=offset, leader_epoch=1, timestamp_ms=0)


def sent(request: Message, version: int) -> bytes:
    header = RequestHeaderData(request_api_key=request.API_KEY, request_api_version=version, correlation_id=1)
    return frame.encode_request(header, request)


def leader_and_isr(*partitions: int) -> bytes:
    states = [LeaderAndIsrPartitionState(partition_index=each) for each in partitions]
    return sent(LeaderAndIsrRequestData(topic_states=[LeaderAndIsrTopicState("t", partition_states=states)]), 7)


def update_metadata(*partitions: int) -> bytes:
    states = [UpdateMetadataPartitionState(partition_index=each) for each in partitions]
    return sent(UpdateMetadataRequestData(topic_states=[UpdateMetadataTopicState("t", partition_states=states)]), 8)


def test_records_are_there_when_the_last_broker_has_the_last_of_them() -> None:
    progress = Progress(3, brokers=(1, 2), rpc_brokers=())
    arrivals = [(1, 1.0, records(10, 0, 1)), (2, 2.0, records(10, 0, 1)), (0, 3.0, records(10, 0, 1, 2))]
    arrivals += [(1, 4.0, records(13, 2)), (2, 5.0, records(13, 2)), (2, 6.0, records(15))]
    seen = []
    for broker, at, data in arrivals:
        progress.look(broker, at, ApiKey.FETCH, data)
        seen.append(progress.done)
    assert seen == [False] * 4 + [True] * 2
    assert (progress.records_s, progress.last_offset) == (5.0, 13)
    assert math.isnan(progress.rpcs_s)


def test_requests_are_there_when_every_broker_was_told_of_every_partition_in_both() -> None:
    progress = Progress(2, brokers=(), rpc_brokers=(1, 2))
    for broker, at, key, data in [
        (1, 1.0, ApiKey.LEADER_AND_ISR, leader_and_isr(0, 1)),
        (1, 2.0, ApiKey.UPDATE_METADATA, update_metadata(0, 1)),
        (2, 3.0, ApiKey.UPDATE_METADATA, update_metadata(0, 1)),
        (2, 4.0, ApiKey.LEADER_AND_ISR, leader_and_isr(0)),
        (2, 5.0, ApiKey.LEADER_AND_ISR, leader_and_isr(0)),
        (0, 6.0, ApiKey.LEADER_AND_ISR, leader_and_isr(1)),
    ]:
        progress.look(broker, at, key, data)
    assert math.isnan(progress.rpcs_s)
    assert "LEADER_AND_ISR at 2': 1" in str(progress)
    progress.look(2, 7.0, ApiKey.LEADER_AND_ISR, leader_and_isr(1))
    assert progress.done
    assert progress.rpcs_s == 7.0


def test_the_end_of_it_all_is_the_latest_of_what_was_measured() -> None:
    assert Times(3.0, 2.0).last_ms == 3.0
    assert Times(3.0, 2.0, 8.0, 5.0).last_ms == 8.0


@pytest.mark.parametrize(("costs", "good"), [((10, 11, 11.9), True), ((10, 13, 9), False), ((10, 6, 5), True)])
def test_what_counts_as_flat(costs: tuple[float, ...], good: bool) -> None:
    sizes = admin.Sizes("KRaft", (1_000, 10_000, 100_000))
    for (load, size), figure in sizes.figures.items():
        figure.values["pykraft"] = [costs[sizes.sizes.index(size)] if load == admin.LOST else 5.0]
        figure.values["kafka"] = [float(size)]
    notes, flat = sizes.notes(["pykraft", "kafka"])
    assert flat is good
    assert len(notes) == 4
    assert notes["KRaft, leaders lost, kafka: most / in the smallest"] == "100.00"
    assert ("MISSED" in notes["KRaft, leaders lost, pykraft: most / in the smallest"]) is not good


def test_the_largest_size_runs_often_enough_for_a_median_and_the_warm_up_does_not_count() -> None:
    plan = admin.size_plan((1_000, 10_000, 100_000))
    assert [size for size, counts in plan if not counts] == [1_000, 10_000]
    assert [sum(counts and size == each for size, counts in plan) for each in (1_000, 10_000, 100_000)] == [7, 3, 3]


def test_requests_are_cut_to_what_one_may_create() -> None:
    wanted = {f"t{number}": 1_000 for number in range(20)}
    made = list(parts(wanted))
    assert [sum(part.values()) for part in made] == [9_000, 9_000, 2_000]
    assert {name for part in made for name in part} == set(wanted)


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        admin.options(["--parts", "kraft,nothing"])
    assert "no such part: nothing" in capsys.readouterr().err


def test_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "TOPIC_PARTITIONS", 5)
    monkeypatch.setattr(admin, "LED_PARTITIONS", 10)
    monkeypatch.setattr(admin_cluster, "QUIET_S", 0.02)
    monkeypatch.setattr(process, "POLL_INTERVAL_S", 0.005)
    monkeypatch.setattr(simulated_broker, "HEARTBEAT_INTERVAL_S", 0.05)
    with clusters(tmp_path, ["pykraft"], VERSION, dual_write=False) as running:
        times = admin.one_round(running["pykraft"], "round", check_zookeeper=False)
    assert set(times) == {admin.ONE_TOPIC, admin.MANY_TOPICS, admin.FAILURE}
    assert all(0 < end < math.inf for each in times.values() for end in (each.answer_ms, each.records_ms))
    assert all(math.isnan(each.rpcs_ms) and math.isnan(each.znodes_ms) for each in times.values())
