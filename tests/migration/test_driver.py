"""The driver alone: the way to dual write, and what a change of leaders does."""

from __future__ import annotations

import pytest

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ZkMigrationState
from pykraft.migration import effects, events
from pykraft.migration.states import MigrationDriverState as S
from pykraft.protocol.records.register_broker_record import RegisterBrokerRecord
from pykraft.protocol.records.register_controller_record import RegisterControllerRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from tests.migration.driver_bench import EPOCH, NODE, READ, Bench, config, topic, zk_broker

# -- the way to dual write ---------------------------------------------------------------------------------------


def test_c23_the_whole_way() -> None:
    bench = Bench()
    bench.dual_write()
    assert bench.has(effects.SendFullRpcs)
    assert bench.one(effects.SendFullRpcs).zk_controller_epoch == 6
    assert not bench.has(effects.WriteZk)


def test_c64_a_leader_event_before_the_start_is_not_lost() -> None:
    bench = Bench()
    bench.step(events.LeaderChanged(NODE, EPOCH))
    assert bench.at(S.UNINITIALIZED)
    bench.step(events.MigrationStateRead(bench.one(effects.ReadMigrationState).job, READ))
    assert bench.at(S.WAIT_FOR_BROKERS)
    leadership = bench.driver.leadership
    assert (leadership.kraft_controller_id, leadership.kraft_controller_epoch) == (NODE, EPOCH)


def test_a_follower_stays_inactive() -> None:
    bench = Bench()
    bench.step(events.Poll())
    bench.step(events.MigrationStateRead(bench.one(effects.ReadMigrationState).job, READ))
    bench.step(events.LeaderChanged(4000, EPOCH))
    assert bench.effects == []
    assert bench.at(S.INACTIVE)
    bench.register(0)
    assert bench.effects == []


def test_c38_nothing_happens_before_the_first_image() -> None:
    bench = Bench()
    bench.image = MetadataImage()
    bench.lead()
    assert bench.at(S.WAIT_FOR_CONTROLLER_QUORUM)
    assert "holds nothing yet" in bench.one(effects.ReportWaiting).reason


@pytest.mark.parametrize(
    ("version", "voters", "missing", "expected"),
    [
        (21, (NODE, 3001), 3001, "controller 3001 has not registered"),
        (14, (NODE, 3001), 3001, None),
        (21, (NODE,), None, None),
    ],
    ids=["3.9: all voters", "3.6: no registrations yet", "3.9: this one only"],
)
def test_c15_c44_every_voter_must_be_ready(
    version: int, voters: tuple[int, ...], missing: int, expected: str | None
) -> None:
    bench = Bench(voters=voters, version=version)
    bench.image.controllers.pop(missing, None)
    bench.lead()
    assert bench.at(S.WAIT_FOR_CONTROLLER_QUORUM if expected else S.WAIT_FOR_BROKERS)
    if expected:
        assert expected in bench.one(effects.ReportWaiting).reason
        bench.change(RegisterControllerRecord(controller_id=missing, zk_migration_ready=False))
        assert f"controller {missing} is not ready to migrate" in bench.one(effects.ReportWaiting).reason
        bench.change(RegisterControllerRecord(controller_id=missing, zk_migration_ready=True))
        assert bench.at(S.WAIT_FOR_BROKERS)


@pytest.mark.parametrize(
    ("state", "expected"),
    [(ZkMigrationState.NONE, "created in KRaft mode"), (ZkMigrationState.POST_MIGRATION, "is finalized")],
)
def test_a_log_that_cannot_migrate_ends_it(state: ZkMigrationState, expected: str) -> None:
    bench = Bench()
    bench.apply(ZkMigrationStateRecord(zk_migration_state=state))
    bench.lead()
    assert bench.at(S.INACTIVE)
    assert expected in bench.one(effects.ReportWaiting).reason
    assert not bench.has(effects.SetTimer)
    bench.register(0)
    assert bench.effects == []


def test_c18_a_migration_below_3_4_is_refused() -> None:
    bench = Bench(version=7)
    bench.lead()
    assert "must be 3.4-IV0 or later" in bench.one(effects.ReportWaiting).reason


def test_brokers_are_waited_for_with_their_names() -> None:
    bench = Bench()
    bench.lead()
    bench.step(events.BrokerIdsRead(bench.one(effects.ReadBrokerIds).job, {}))
    assert "/brokers/ids has no children" in bench.one(effects.ReportWaiting).reason
    bench.step(events.Poll())
    bench.step(events.BrokerIdsRead(bench.one(effects.ReadBrokerIds).job, {0: "h:9092", 1: "h:9093"}))
    assert "broker 0 (h:9092), 1 (h:9093)" in bench.one(effects.ReportWaiting).reason
    bench.register(0)
    bench.step(events.BrokerIdsRead(bench.one(effects.ReadBrokerIds).job, {0: "h:9092", 1: "h:9093"}))
    assert "broker 1 (h:9093) not registered" in bench.one(effects.ReportWaiting).reason
    bench.change(RegisterBrokerRecord(broker_id=1))
    bench.step(events.BrokerIdsRead(bench.one(effects.ReadBrokerIds).job, {0: "h:9092", 1: "h:9093"}))
    assert "broker 1 (h:9093) registered with this controller in KRaft mode" in bench.one(effects.ReportWaiting).reason
    bench.register(1)
    bench.step(events.BrokerIdsRead(bench.one(effects.ReadBrokerIds).job, {0: "h:9092", 1: "h:9093"}))
    bench.step(events.AssignedBrokersRead(bench.one(effects.ReadAssignedBrokers).job, {0: "t-0", 7: "orders-3"}, []))
    assert "broker 7 (orders-3) not registered" in bench.one(effects.ReportWaiting).reason
    assert bench.at(S.WAIT_FOR_BROKERS)


def test_l19_topics_without_id_hold_the_migration_up() -> None:
    bench = Bench()
    bench.lead()
    bench.register(0)
    bench.step(events.BrokerIdsRead(bench.driver._job or 0, {0: ""}))
    bench.step(events.AssignedBrokersRead(bench.one(effects.ReadAssignedBrokers).job, {0: "old-0"}, ["old"]))
    assert "topic old has no topic_id" in bench.one(effects.ReportWaiting).reason


@pytest.mark.parametrize(
    ("version", "users", "tokens", "expected"),
    [
        (8, ["u"], [], "SCRAM credentials of user u"),
        (10, ["u"], [], "SCRAM credentials of user u"),
        (11, ["u"], [], None),
        (13, ["u"], ["t"], "delegation token t"),
        (14, ["u"], ["t"], None),
    ],
)
def test_c16_what_the_log_has_no_record_for_holds_the_migration_up(
    version: int, users: list[str], tokens: list[str], expected: str | None
) -> None:
    """Brokers of 3.4 have another layout of these records, which was never used, and cannot read ours."""
    bench = Bench(version=version)
    bench.lead()
    bench.register(0)
    bench.step(events.BrokerIdsRead(bench.driver._job or 0, {0: ""}))
    bench.step(events.AssignedBrokersRead(bench.one(effects.ReadAssignedBrokers).job, {0: "t-0"}, [], users, tokens))
    assert bench.at(S.WAIT_FOR_BROKERS if expected else S.BECOME_CONTROLLER)
    if expected:
        assert expected in bench.one(effects.ReportWaiting).reason


@pytest.mark.parametrize(
    ("listener", "protocol", "expected"),
    [
        ("EXTERNAL", 0, "registered without a listener PLAINTEXT"),
        ("PLAINTEXT", 3, "asking for TLS or SASL on its inter-broker listener PLAINTEXT"),
    ],
)
def test_c59_a_broker_that_could_not_be_told_anything_holds_the_claim_up(
    listener: str, protocol: int, expected: str
) -> None:
    """Once ZooKeeper is claimed nobody else would tell it either."""
    bench = Bench()
    bench.lead()
    bench.change(zk_broker(0, listener, protocol))
    bench.step(events.BrokerIdsRead(bench.driver._job or 0, {0: "h:1"}))
    assert f"broker 0{' (h:9000)' if protocol else ''} {expected}" in bench.one(effects.ReportWaiting).reason
    bench.register(0)
    bench.step(events.BrokerIdsRead(bench.driver._job or 0, {0: "h:1"}))
    assert bench.has(effects.ReadAssignedBrokers)


def test_c40_a_reason_is_given_once_and_polls_get_rarer_up_to_a_minute() -> None:
    bench = Bench()
    bench.lead()
    waits, reasons = [], 0
    for _ in range(12):
        bench.step(events.BrokerIdsRead(bench.one(effects.ReadBrokerIds).job, {}))
        reasons += bench.has(effects.ReportWaiting)
        waits.append(bench.one(effects.SetTimer).at_ms - bench.now_ms)
        bench.now_ms = bench.one(effects.SetTimer).at_ms
        bench.step(events.Poll())
    assert reasons == 1
    for wait, expected in zip(
        waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000], strict=True
    ):
        assert abs(wait - expected) <= 0.02 * expected + 1


def test_a_broker_that_registers_wakes_the_driver_a_topic_does_not() -> None:
    bench = Bench()
    bench.lead()
    bench.step(events.BrokerIdsRead(bench.one(effects.ReadBrokerIds).job, {0: "h"}))
    bench.change(*topic(1, "t"))
    assert bench.effects == []
    bench.register(0)
    assert bench.has(effects.ReadBrokerIds)


def test_a_refused_claim_is_tried_again() -> None:
    bench = Bench()
    bench.brokers_found()
    for attempt in range(3):
        bench.step(events.ClaimRefused(bench.one(effects.Claim).job, f"because {attempt}"))
        assert bench.one(effects.ReportWaiting).reason == f"because {attempt}"
        assert bench.at(S.BECOME_CONTROLLER)
        bench.step(events.Poll())
    for failure in (events.ZkFailure.AUTH, events.ZkFailure.CONNECTION):
        bench.step(events.JobFailed(bench.one(effects.Claim).job, failure, failure.value))
        assert bench.at(S.BECOME_CONTROLLER)
        bench.step(events.Poll())
    bench.claimed()
    assert bench.at(S.ZK_MIGRATION)


def test_c30_the_copy_runs_once() -> None:
    bench = Bench()
    bench.brokers_found()
    bench.claimed()
    job = bench.one(effects.CopyMetadata).job
    assert bench.step(events.Poll()) == []
    bench.register(2)
    assert not bench.has(effects.CopyMetadata)
    bench.step(events.Copied(job, bench.image.offset, EPOCH))
    assert bench.step(events.Copied(job, bench.image.offset, EPOCH)) == []


def test_a_copy_that_failed_starts_over_and_one_whose_result_was_lost_goes_on() -> None:
    bench = Bench()
    bench.brokers_found()
    bench.claimed()
    bench.step(events.JobFailed(bench.one(effects.CopyMetadata).job, events.ZkFailure.ZNODE, "znode /x"))
    assert bench.at(S.ZK_MIGRATION)
    bench.step(events.Poll())
    bench.step(events.JobFailed(bench.one(effects.CopyMetadata).job, events.ZkFailure.METADATA, "lost"))
    bench.apply(ZkMigrationStateRecord(zk_migration_state=ZkMigrationState.MIGRATION))
    bench.step(events.Poll())
    assert bench.at(S.SYNC_KRAFT_TO_ZK)
    assert bench.one(effects.Reconcile).state.kraft_metadata_offset == bench.image.offset


def migrated_before(offset: int) -> Bench:
    """A leader that comes to a log in MIGRATION, with /migration at `offset`."""
    bench = Bench()
    bench.apply(ZkMigrationStateRecord(zk_migration_state=ZkMigrationState.MIGRATION))
    bench.lead(READ.with_leader(NODE, EPOCH - 1).with_offset(offset, EPOCH))
    return bench


def test_c67_a_copied_log_beside_a_migration_znode_that_was_deleted_is_refused() -> None:
    """KAFKA-17146, the other way round: an old data directory after a roll-back would undo what changed since."""
    bench = Bench()
    bench.apply(ZkMigrationStateRecord(zk_migration_state=ZkMigrationState.MIGRATION))
    bench.lead(READ)
    assert bench.at(S.WAIT_FOR_CONTROLLER_QUORUM)
    assert "start with an empty data directory" in bench.one(effects.ReportWaiting).reason


@pytest.mark.parametrize("offset", [1, -1], ids=["stored", "never stored"])
def test_c23_l20_a_new_leader_of_a_copied_log_skips_the_waits_and_reconciles(offset: int) -> None:
    bench = migrated_before(offset)
    assert bench.at(S.BECOME_CONTROLLER)
    assert bench.one(effects.Claim).state.initial_migration_complete
    bench.claimed()
    assert bench.at(S.SYNC_KRAFT_TO_ZK)
    bench.write_done()
    assert bench.at(S.DUAL_WRITE)


def test_a_log_that_is_older_than_zookeeper_does_not_overwrite_it() -> None:
    bench = migrated_before(1_000)
    assert bench.at(S.WAIT_FOR_CONTROLLER_QUORUM)
    assert "this data directory is older than ZooKeeper" in bench.one(effects.ReportWaiting).reason


def test_c67_a_migration_znode_of_another_attempt_is_refused_until_it_is_deleted() -> None:
    """KAFKA-17146. Going on would reconcile ZooKeeper to an empty log: every topic would go."""
    bench = Bench()
    bench.lead(READ.with_offset(1, EPOCH))
    assert bench.at(S.WAIT_FOR_CONTROLLER_QUORUM)
    assert "delete /migration" in bench.one(effects.ReportWaiting).reason
    bench.step(events.Poll())
    bench.step(events.MigrationStateRead(bench.one(effects.ReadMigrationState).job, READ.with_offset(1, EPOCH)))
    assert bench.at(S.WAIT_FOR_CONTROLLER_QUORUM)
    bench.step(events.Poll())
    bench.step(events.MigrationStateRead(bench.one(effects.ReadMigrationState).job, READ))
    assert bench.at(S.WAIT_FOR_BROKERS)


# -- leadership --------------------------------------------------------------------------------------------------


def test_c49_losing_leadership_calls_everything_off() -> None:
    bench = Bench()
    bench.dual_write()
    bench.change(config("2"))
    job = bench.one(effects.WriteZk)
    bench.step(events.LeaderChanged(4000, EPOCH + 1))
    assert [type(effect) for effect in bench.effects] == [effects.CancelJob, effects.StateChanged, effects.StopRpcs]
    assert bench.at(S.INACTIVE)
    assert bench.step(events.Written(job.job, job.state, {})) == []
    assert bench.driver.leadership.zk_controller_epoch == -1
    bench.change(*topic(1, "t"))
    assert bench.effects == []


def test_leading_again_in_a_new_epoch_starts_over() -> None:
    bench = Bench()
    bench.dual_write()
    bench.step(events.LeaderChanged(NODE, EPOCH + 1))
    assert bench.at(S.INACTIVE)
    bench.step(events.MigrationStateRead(bench.one(effects.ReadMigrationState).job, bench.driver.leadership))
    assert bench.at(S.BECOME_CONTROLLER)
    assert bench.one(effects.Claim).state.kraft_controller_epoch == EPOCH + 1


def test_being_fenced_ends_the_term_until_the_next_leader_change() -> None:
    bench = Bench()
    bench.dual_write()
    bench.change(config("2"))
    bench.step(events.JobFailed(bench.one(effects.WriteZk).job, events.ZkFailure.FENCED, "broker 1 took over"))
    assert bench.at(S.INACTIVE)
    assert bench.has(effects.StopRpcs)
    assert bench.one(effects.ReportWaiting).reason == "broker 1 took over"
    assert not bench.has(effects.SetTimer)
    assert bench.step(events.Poll()) == []
    bench.register(5)
    assert bench.effects == []
    bench.step(events.LeaderChanged(NODE, EPOCH + 1))
    assert bench.has(effects.ReadMigrationState)


def test_c57_a_zookeeper_error_at_the_start_is_retried() -> None:
    bench = Bench()
    bench.step(events.Poll())
    bench.step(events.JobFailed(bench.one(effects.ReadMigrationState).job, events.ZkFailure.CONNECTION, "away"))
    assert bench.at(S.UNINITIALIZED)
    assert bench.has(effects.SetTimer)
    bench.step(events.Poll())
    assert bench.has(effects.ReadMigrationState)


def test_c43_a_controller_that_does_not_lead_is_behind_by_nothing() -> None:
    """KAFKA-15532: ZkWriteBehindLag is the leader's."""
    bench = Bench()
    bench.lead()
    bench.change(config("1"))
    assert bench.driver.lag(bench.image) == 0, "it waits for brokers"
    bench = Bench()
    bench.dual_write()
    bench.change(config("2"), config("3"))
    assert bench.driver.lag(bench.image) == 2
    bench.step(events.LeaderChanged(4000, EPOCH + 1))
    bench.change(config("4"))
    assert bench.driver.lag(bench.image) == 0
