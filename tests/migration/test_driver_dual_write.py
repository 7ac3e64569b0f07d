"""The driver alone while ZooKeeper is written: what the brokers are told, what is written, and what a failure costs."""

from __future__ import annotations

import pytest

from pykraft.image.delta import MetadataDelta
from pykraft.migration import driver, effects, events
from pykraft.migration.states import MigrationDriverState as S
from pykraft.migration.zk_writer import ZkWriter
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.topic_record import TopicRecord
from tests.migration.driver_bench import EPOCH, Bench, config, topic


def test_c8_only_needed_rpcs_go_out() -> None:
    bench = Bench()
    bench.dual_write()
    bench.change(config("2"))
    assert bench.has(effects.WriteZk)
    assert not bench.has(effects.SendDeltaRpcs, effects.SendFullRpcs)
    bench.write_done()
    bench.register(2)
    assert bench.has(effects.SendDeltaRpcs)
    assert not bench.has(effects.WriteZk)


def test_brokers_are_told_at_once_while_a_write_runs() -> None:
    bench = Bench()
    bench.dual_write()
    bench.change(*topic(1, "t"))
    assert [type(effect) for effect in bench.effects] == [effects.SendDeltaRpcs, effects.WriteZk]
    bench.change(*topic(2, "u"))
    assert [type(effect) for effect in bench.effects] == [effects.SendDeltaRpcs]


def test_what_changes_during_a_write_is_written_once_as_it_is_then() -> None:
    bench = Bench()
    bench.dual_write()
    bench.change(*topic(1, "t"))
    write = bench.one(effects.WriteZk)
    first = PartitionChangeRecord(topic_id=bytes(15) + b"\x01", partition_id=0, isr=[0])
    second = PartitionChangeRecord(topic_id=bytes(15) + b"\x01", partition_id=0, leader=1)
    bench.change(first)
    bench.change(second)
    bench.change(*topic(2, "gone"))
    bench.change(RemoveTopicRecord(topic_id=bytes(15) + b"\x02"))
    assert not bench.has(effects.WriteZk)
    bench.step(events.Written(write.job, write.state, {"CreateTopic": 1}))
    (operation,) = bench.one(effects.WriteZk).operations
    assert (operation.type.value, operation.subject) == ("UpdatePartition", "t")
    assert bench.one(effects.WriteZk).state.kraft_metadata_offset == bench.image.offset


def test_c28_the_merged_delta_does_not_touch_the_deltas_of_others() -> None:
    bench = Bench()
    bench.dual_write()
    bench.change(*topic(1, "t"))
    delta = bench.apply(PartitionChangeRecord(topic_id=bytes(15) + b"\x01", partition_id=0, isr=[0]))
    before = repr(delta)
    bench.step(events.MetadataChanged(delta))
    bench.change(RemoveTopicRecord(topic_id=bytes(15) + b"\x01"))
    assert repr(delta) == before


@pytest.mark.parametrize("failure", [f for f in events.ZkFailure if f is not events.ZkFailure.FENCED])
def test_l15_a_failed_write_is_followed_by_a_reconcile_of_everything(failure: events.ZkFailure) -> None:
    bench = Bench()
    bench.dual_write()
    bench.change(config("2"))
    bench.step(events.JobFailed(bench.one(effects.WriteZk).job, failure, "why"))
    assert bench.at(S.DUAL_WRITE)
    timer = bench.one(effects.SetTimer)
    bench.change(config("3"))
    assert not bench.has(effects.WriteZk, effects.Reconcile)
    assert bench.driver._pending is None
    bench.now_ms = timer.at_ms
    bench.step(events.Poll())
    assert bench.one(effects.Reconcile).state.migration_zk_version == -2
    bench.change(config("4"))
    assert bench.driver.lag(bench.image) > 0
    bench.write_done()
    assert bench.has(effects.WriteZk)
    bench.write_done()
    assert bench.driver.lag(bench.image) == 0


def test_zookeeper_coming_back_is_not_left_to_the_timer() -> None:
    bench = Bench()
    bench.dual_write()
    bench.change(config("2"))
    bench.step(events.JobFailed(bench.one(effects.WriteZk).job, events.ZkFailure.CONNECTION, "away"))
    assert bench.has(effects.SetTimer)
    bench.step(events.Poll())
    assert bench.has(effects.Reconcile)


def test_too_much_to_remember_becomes_a_reconcile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "PENDING_KEYS_MAX", 1_000)
    bench = Bench()
    bench.dual_write()
    bench.change(config("2"))
    names = map(str, range(1_001))
    bench.change(*(ConfigRecord(resource_type=4, resource_name=name, name="k", value="v") for name in names))
    assert bench.driver._pending == MetadataDelta()
    bench.write_done()
    assert bench.has(effects.Reconcile)


def test_c17_c42_a_loaded_image_is_told_and_compared_as_a_whole() -> None:
    bench = Bench()
    bench.dual_write()
    bench.step(events.MetadataChanged(None))
    assert bench.has(effects.SendFullRpcs)
    assert bench.has(effects.Reconcile)


def test_changes_during_the_sync_are_written_after_it() -> None:
    bench = Bench()
    bench.brokers_found()
    bench.claimed()
    bench.step(events.Copied(bench.one(effects.CopyMetadata).job, bench.image.offset, EPOCH))
    reconcile = bench.one(effects.Reconcile)
    bench.change(*topic(1, "t"))
    assert bench.effects == []
    bench.step(events.Written(reconcile.job, reconcile.state, {}))
    assert [type(effect) for effect in bench.effects] == [
        effects.ReportWrites,
        effects.StateChanged,
        effects.SendFullRpcs,
        effects.StateChanged,
        effects.WriteZk,
    ]


def test_a_change_that_cannot_be_made_into_operations_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers are told of it all the same, and everything is compared as soon as the timer is due."""
    bench = Bench()
    bench.dual_write()

    def refuse(*_: object) -> None:
        raise ValueError("no such thing")

    with monkeypatch.context() as patched:
        patched.setattr(ZkWriter, "delta", refuse)
        bench.change(TopicRecord(name="t", topic_id=bytes(15) + b"\x01"))
    assert bench.has(effects.SendDeltaRpcs)
    assert not bench.has(effects.WriteZk)
    assert "ValueError: no such thing" in bench.one(effects.ReportWaiting).reason
    assert bench.driver.is_writing
    bench.now_ms = bench.one(effects.SetTimer).at_ms
    bench.step(events.Poll())
    assert bench.has(effects.Reconcile)


@pytest.mark.parametrize("snapshot", [False, True], ids=["WriteZk", "Reconcile"])
def test_l12_how_long_a_write_took_is_never_negative(snapshot: bool) -> None:
    bench = Bench()
    bench.dual_write()
    bench.now_ms += 1_000
    if snapshot:
        bench.step(events.MetadataChanged(None))
    else:
        bench.change(config("2"))
    bench.now_ms += 250
    bench.write_done()
    assert bench.one(effects.ReportWrites).duration_ms == 250
    assert bench.one(effects.ReportWrites).snapshot is snapshot
