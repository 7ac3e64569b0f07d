"""Brokers come and go, and partitions follow."""

from __future__ import annotations

import pytest

from pykraft.controller.errors import ApiError
from pykraft.controller.fencing import fence_stale_broker, process_broker_heartbeat, touch_expired_heartbeat
from pykraft.controller.unregister import unregister_broker
from pykraft.image.metadata_version import MetadataVersion
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.broker_registration_change_record import BrokerRegistrationChangeRecord
from pykraft.protocol.records.fence_broker_record import FenceBrokerRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.unfence_broker_record import UnfenceBrokerRecord
from pykraft.protocol.records.unregister_broker_record import UnregisterBrokerRecord
from tests.controller.cluster import SESSION_MS, Cluster, directory_of

V = MetadataVersion


def three_brokers(version: MetadataVersion = V.IBP_3_9_IV0) -> Cluster:
    cluster = Cluster(version)
    cluster.start(1, 2, 3)
    cluster.create("a", [1, 2, 3], [2, 3, 1], [3, 1, 2])
    cluster.create("single", [1])
    return cluster


def shape(cluster: Cluster, name: str = "a") -> list[tuple[int, tuple[int, ...]]]:
    partitions = cluster.image.topics_by_name[name].partitions
    return [(partitions[number].leader, partitions[number].isr) for number in sorted(partitions)]


@pytest.mark.parametrize(
    ("broker_id", "epoch"), [(9, 1), (1, 0)], ids=["never registered", "of an earlier registration"]
)
def test_a_heartbeat_with_a_stale_epoch_is_refused(broker_id: int, epoch: int) -> None:
    cluster = three_brokers()
    request = BrokerHeartbeatRequestData(broker_id=broker_id, broker_epoch=epoch)
    for operation in (process_broker_heartbeat, touch_expired_heartbeat):
        with pytest.raises(ApiError) as caught:
            operation(cluster.ctx(), request)
        assert caught.value.code is ErrorCode.STALE_BROKER_EPOCH


def test_the_end_of_a_session_moves_leaders_and_shrinks_isrs() -> None:
    cluster = three_brokers()

    cluster.expire(1)

    assert cluster.image.brokers[1].fenced
    assert shape(cluster) == [(2, (2, 3)), (2, (2, 3)), (3, (3, 2))]
    assert shape(cluster, "single") == [(-1, (1,))], "the last in-sync replica stays in the ISR"


def test_partition_changes_come_before_the_fencing() -> None:
    cluster = three_brokers()
    cluster.heartbeat(1, fence=True)
    assert [type(m) for m in cluster.messages] == [PartitionChangeRecord] * 4 + [BrokerRegistrationChangeRecord]
    assert cluster.messages[-1] == BrokerRegistrationChangeRecord(
        broker_id=1, broker_epoch=cluster.image.brokers[1].epoch, fenced=1
    )
    assert cluster.written[-1].version == 0


def test_one_session_ends_at_a_time() -> None:
    cluster = three_brokers()
    cluster.monotonic_ms += SESSION_MS + 1
    cluster.heartbeat(3)
    assert [cluster.run(fence_stale_broker) for _ in range(3)] == [1, 2, None]
    assert shape(cluster) == [(3, (3,))] * 3


def test_a_session_left_over_from_records_that_were_taken_back_fences_nobody() -> None:
    cluster = three_brokers()
    cluster.heartbeats.register(9, fenced=False, monotonic_ms=0)
    cluster.heartbeat(3, fence=True)
    cluster.heartbeats.touch(3, fenced=False, metadata_offset=1, monotonic_ms=1)
    cluster.monotonic_ms += SESSION_MS + 1
    assert [cluster.run(fence_stale_broker) for _ in range(3)] == [1, 2, None]
    cluster.heartbeats.remove(3)
    assert not cluster.heartbeat(3).is_fenced, "and one that is gone is started anew"


def test_unfencing_elects_for_partitions_that_wait_for_this_broker_only() -> None:
    cluster = three_brokers()
    cluster.create("other", [2])
    cluster.expire(1, 2)
    assert (shape(cluster, "single"), shape(cluster, "other")) == ([(-1, (1,))], [(-1, (2,))])

    assert not cluster.heartbeat(1).is_fenced

    assert [type(m) for m in cluster.messages] == [BrokerRegistrationChangeRecord, PartitionChangeRecord]
    assert (shape(cluster, "single"), shape(cluster, "other")) == ([(1, (1,))], [(-1, (2,))])
    assert shape(cluster)[0] == (3, (3,)), "the ISR grows only when the leader says so"


def test_an_unclean_topic_is_led_by_whoever_comes_first() -> None:
    cluster = three_brokers()
    cluster.create("unclean", [1, 2], configs={"unclean.leader.election.enable": "true"})
    cluster.expire(1)
    cluster.expire(2)
    assert shape(cluster, "unclean") == [(-1, (2,))]

    cluster.heartbeat(1)

    assert shape(cluster, "unclean") == [(1, (1,))]
    assert cluster.partition("unclean").leader_recovery_state == 1


def test_partitions_in_the_same_state_change_alike_but_for_their_configs() -> None:
    cluster = three_brokers()
    unclean = "unclean.leader.election.enable"
    for name, configs in (("a1", {}), ("unclean", {unclean: "true"}), ("a2", {}), ("kept", {"retention.ms": "1"})):
        cluster.create(name, [1, 2], [1, 3], [1, 2], configs={**configs})
    cluster.expire(2)
    cluster.expire(3)
    cluster.heartbeat(2)
    written = len(cluster.log)

    cluster.expire(1)

    for name in ("a1", "a2", "kept"):
        assert shape(cluster, name) == [(-1, (1,))] * 3
    assert shape(cluster, "unclean") == [(2, (2,)), (-1, (1,)), (2, (2,))]
    messages = [record.message for record in cluster.log[written:]]
    changed = [(m.topic_id, m.partition_id) for m in messages if isinstance(m, PartitionChangeRecord)]
    assert len(set(changed)) == len(changed) == 3 * 4 + 4
    assert [partition.leader_epoch for partition in cluster.image.topics_by_name["a2"].partitions.values()] == [1] * 3


@pytest.mark.parametrize(
    ("version", "fence", "unfence"),
    [
        (V.IBP_3_3_IV1, FenceBrokerRecord, UnfenceBrokerRecord),
        (V.IBP_3_3_IV2, BrokerRegistrationChangeRecord, BrokerRegistrationChangeRecord),
    ],
)
def test_how_fencing_is_written_depends_on_the_metadata_version(
    version: MetadataVersion, fence: type, unfence: type
) -> None:
    cluster = Cluster(version)
    cluster.register(1)
    cluster.heartbeat(1)
    assert [type(m) for m in cluster.messages] == [unfence]
    cluster.heartbeat(1, fence=True)
    assert [type(m) for m in cluster.messages] == [fence]


def test_a_controlled_shutdown_moves_leaders_and_ends_when_the_others_know() -> None:
    cluster = three_brokers()

    entered = cluster.heartbeat(1, shut_down=True)

    assert not entered.is_fenced
    assert not entered.should_shut_down
    assert isinstance(cluster.messages[0], BrokerRegistrationChangeRecord)
    assert cluster.written[0].version == 1
    assert cluster.messages[0].in_controlled_shutdown == 1
    assert shape(cluster) == [(2, (2, 3)), (2, (2, 3)), (3, (3, 2))]
    assert shape(cluster, "single") == [(-1, (1,))]
    session = cluster.heartbeats.session(1)
    assert session is not None
    assert session.controlled_shutdown_offset == cluster.image.offset

    assert not cluster.heartbeat(1, shut_down=True).should_shut_down, "brokers 2 and 3 have not read so far"
    assert cluster.messages == []
    cluster.heartbeat(2)
    assert not cluster.heartbeat(1, shut_down=True).should_shut_down
    cluster.heartbeat(3)
    done = cluster.heartbeat(1, shut_down=True)
    assert (done.is_fenced, done.should_shut_down) == (True, True)
    assert cluster.image.brokers[1].fenced


def test_a_broker_that_leads_nothing_shuts_down_at_once() -> None:
    cluster = three_brokers()
    cluster.start(4)
    assert cluster.heartbeat(4, shut_down=True).should_shut_down


def test_before_3_3_iv3_a_controlled_shutdown_is_not_written() -> None:
    cluster = three_brokers(V.IBP_3_3_IV2)
    cluster.heartbeat(1, shut_down=True)
    assert {type(m) for m in cluster.messages} == {PartitionChangeRecord}
    assert cluster.heartbeats.is_shutting_down(1)


def test_a_new_active_controller_gives_every_broker_a_fresh_session() -> None:
    cluster = three_brokers()
    cluster.heartbeat(1, fence=True)
    cluster.heartbeat(2, shut_down=True)
    cluster.monotonic_ms += 2 * SESSION_MS
    cluster.heartbeats.register(9, fenced=False, monotonic_ms=cluster.monotonic_ms)

    cluster.heartbeats.activate(cluster.image, cluster.monotonic_ms)

    assert cluster.heartbeats.session(9) is None, "it is not registered in the log"

    assert cluster.run(fence_stale_broker) is None
    assert cluster.heartbeats.next_expiry_ms() == cluster.monotonic_ms + SESSION_MS + 1
    assert not cluster.heartbeats.is_shutting_down(2)
    assert cluster.heartbeat(2, shut_down=True).should_shut_down, "it leads nothing any more"


def test_c25_a_heartbeat_that_waited_too_long_keeps_the_session_and_nothing_more() -> None:
    cluster = three_brokers()
    broker = cluster.image.brokers[1]
    cluster.monotonic_ms += SESSION_MS
    touch_expired_heartbeat(
        cluster.ctx(), BrokerHeartbeatRequestData(broker_id=1, broker_epoch=broker.epoch, want_fence=True)
    )
    assert cluster.heartbeats.has_valid_session(1, cluster.monotonic_ms + SESSION_MS)
    assert not cluster.heartbeats.has_valid_session(2, cluster.monotonic_ms + SESSION_MS)
    cluster.heartbeat(1, fence=True)
    assert cluster.image.brokers[1].fenced


def test_a_broker_that_was_told_to_shut_down_and_goes_on_leads_what_nobody_else_can() -> None:
    cluster = three_brokers()
    cluster.heartbeat(1, shut_down=True)
    cluster.expire(1)
    cluster.heartbeat(1)
    assert not cluster.image.brokers[1].fenced
    assert cluster.image.brokers[1].in_controlled_shutdown
    assert shape(cluster, "single") == [(1, (1,))]

    cluster.heartbeat(1, shut_down=True)

    assert shape(cluster, "single") == [(-1, (1,))]
    assert [type(message) for message in cluster.messages] == [PartitionChangeRecord]


def test_unregistering_takes_a_live_broker_out_of_everything() -> None:
    cluster = three_brokers()
    epoch = cluster.image.brokers[1].epoch
    request = UnregisterBrokerRequestData(broker_id=1)

    assert cluster.run(lambda ctx: unregister_broker(ctx, request)).error_code == 0

    assert cluster.messages[-1] == UnregisterBrokerRecord(broker_id=1, broker_epoch=epoch)
    assert 1 not in cluster.image.brokers
    assert shape(cluster) == [(2, (2, 3)), (2, (2, 3)), (3, (3, 2))]
    with pytest.raises(ApiError) as caught:
        cluster.run(lambda ctx: unregister_broker(ctx, request))
    assert caught.value.code is ErrorCode.BROKER_ID_NOT_REGISTERED
    assert cluster.heartbeats.session(1) is None


def two_directories(version: MetadataVersion = V.IBP_3_9_IV0) -> Cluster:
    """Broker 1 has two directories: partition 0 of `a` is in the first, partition 1 in the second."""
    cluster = Cluster(version)
    both = [directory_of(1), directory_of(1, 1)]
    cluster.register(1, log_dirs=both)
    cluster.heartbeat(1)
    cluster.start(2)
    cluster.create("a", [1, 2], [1, 2])
    for number, directory in enumerate(both):
        cluster.apply([_placed(cluster, number, directory)])
    return cluster


def _placed(cluster: Cluster, number: int, directory: bytes) -> ApiMessageAndVersion:
    topic = cluster.image.topics_by_name["a"]
    record = PartitionChangeRecord(
        partition_id=number, topic_id=topic.id, directories=[directory, topic.partitions[number].directories[1]]
    )
    return ApiMessageAndVersion(record, 1)


def test_a_lost_directory_takes_its_replicas_out_of_sync() -> None:
    cluster = two_directories()

    cluster.heartbeat(1, offline=[directory_of(1), directory_of(7)])

    assert shape(cluster) == [(2, (2,)), (1, (1, 2))]
    assert [type(m) for m in cluster.messages] == [PartitionChangeRecord, BrokerRegistrationChangeRecord]
    assert cluster.written[-1].version == 2
    assert cluster.image.brokers[1].directories == (directory_of(1, 1),)
    assert not cluster.image.brokers[1].fenced

    cluster.heartbeat(1, offline=[directory_of(1), directory_of(7)])
    assert cluster.messages == [], "what is known to be lost is not lost again"


def test_a_broker_that_is_fenced_and_loses_a_directory_leaves_its_isrs_twice() -> None:
    cluster = two_directories()
    before = cluster.partition("a").partition_epoch
    cluster.heartbeat(1, fence=True, offline=[directory_of(1)])
    assert shape(cluster) == [(2, (2,)), (2, (2,))]
    assert cluster.partition("a").partition_epoch == before + 2, "as Kafka's controller writes it"
    assert cluster.image.brokers[1].directories == (directory_of(1, 1),)


def test_before_3_7_iv2_lost_directories_are_not_written() -> None:
    cluster = Cluster(V.IBP_3_7_IV1)
    cluster.start(1)
    cluster.heartbeat(1, offline=[directory_of(1)])
    assert cluster.messages == []
