"""AlterPartition: the checks in their order, and what an accepted ISR leads to."""

from __future__ import annotations

from typing import Any

import pytest

from pykraft.controller.alter_partition import alter_partition
from pykraft.controller.errors import ApiError
from pykraft.controller.reassignment import alter_partition_reassignments
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.model import ZkMigrationState
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import alter_partition_response as answers
from pykraft.protocol.messages.alter_partition_reassignments_request import (
    AlterPartitionReassignmentsRequestData,
    ReassignablePartition,
    ReassignableTopic,
)
from pykraft.protocol.messages.alter_partition_request import (
    AlterPartitionRequestData,
    BrokerState,
    PartitionData,
    TopicData,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from tests.controller.cluster import Cluster

E = ErrorCode


def ready(**options: Any) -> Cluster:
    """Partition a-0 on 1, 2, 3 at leader epoch 1 and partition epoch 2, with the ISR 1, 2."""
    cluster = Cluster(**options)
    cluster.start(1, 2, 3)
    cluster.create("a", [1, 2, 3])
    topic_id = cluster.image.topics_by_name["a"].id
    for change in (PartitionChangeRecord(leader=1), PartitionChangeRecord(isr=[1, 2])):
        change.topic_id, change.partition_id = topic_id, 0
        cluster.apply([ApiMessageAndVersion(change, 1)])
    return cluster


def send(
    cluster: Cluster,
    isr: list[int],
    *,
    version: int = 3,
    sender: int = 1,
    topic: str = "a",
    epochs: dict[int, int] | None = None,
    **changes: Any,
) -> answers.PartitionData:
    """The answer for partition 0 (or another given) of one topic; the request goes through its bytes."""
    known = cluster.image.topics_by_name.get(topic)
    fields: dict[str, Any] = {"partition_index": 0, "leader_epoch": 1, "partition_epoch": 2} | changes
    if version >= 3:
        own = {broker.id: broker.epoch for broker in cluster.image.brokers.values()} | (epochs or {})
        data = PartitionData(new_isr_with_epochs=[BrokerState(i, own.get(i, -1)) for i in isr], **fields)
    else:
        data = PartitionData(new_isr=isr, **fields)
    request = AlterPartitionRequestData(
        broker_id=sender,
        broker_epoch=cluster.image.brokers[sender].epoch,
        topics=[TopicData(topic_name=topic, topic_id=known.id if known else bytes([9]) * 16, partitions=[data])],
    )
    request = AlterPartitionRequestData.decode(request.encode(version), version)
    response = cluster.run(lambda ctx: alter_partition(ctx, request, version))
    response.encode(version)
    [[answer]] = [t.partitions for t in response.topics]
    return answer


RECOVERING: dict[str, Any] = {"leader_recovery_state": 1}


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("isr", "changes", "code", "code_before_2"),
    [
        ([1], {"topic": "nope"}, E.UNKNOWN_TOPIC_ID, E.UNKNOWN_TOPIC_OR_PARTITION),
        ([1], {"partition_index": 1}, E.UNKNOWN_TOPIC_OR_PARTITION, None),
        ([1], {"leader_epoch": 2, "partition_epoch": 1}, E.NOT_CONTROLLER, None),
        ([1], {"leader_epoch": 0, "partition_epoch": 3}, E.NOT_CONTROLLER, None),
        ([1], {"leader_epoch": 0, "sender": 2}, E.FENCED_LEADER_EPOCH, None),
        ([1], {"partition_epoch": 1, "sender": 2}, E.INVALID_REQUEST, None),
        ([9], {"partition_epoch": 1}, E.INVALID_UPDATE_VERSION, None),
        ([1, 9], {}, E.INVALID_REQUEST, None),
        ([1, 1], {}, E.INVALID_REQUEST, None),
        ([1, -1], {}, E.INVALID_REQUEST, None),
        ([], {}, E.INVALID_REQUEST, None),
        ([2, 3], {}, E.INVALID_REQUEST, None),
        ([1, 2, 3], {}, E.NONE, None),
        ([1], {}, E.NONE, None),
    ],
)
def test_the_first_check_that_fails_is_answered(
    version: int, isr: list[int], changes: dict[str, Any], code: ErrorCode, code_before_2: ErrorCode | None
) -> None:
    cluster = ready()
    answer = send(cluster, isr, version=version, **changes)
    expected = code_before_2 if version < 2 and code_before_2 is not None else code
    assert ErrorCode(answer.error_code) is expected
    assert bool(cluster.messages) is (code is E.NONE)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    ("stored", "isr", "code"),
    [(1, [1, 2], E.INVALID_REQUEST), (0, [1], E.INVALID_REQUEST), (1, [1], E.NONE)],
    ids=["more than the leader", "recovered cannot recover", "still recovering"],
)
def test_recovery_goes_one_way_and_alone(version: int, stored: int, isr: list[int], code: ErrorCode) -> None:
    cluster = ready()
    topic_id = cluster.image.topics_by_name["a"].id
    change = PartitionChangeRecord(topic_id=topic_id, partition_id=0, leader_recovery_state=stored)
    cluster.apply([ApiMessageAndVersion(change, 1)])
    answer = send(cluster, isr, version=version, partition_epoch=3, **RECOVERING)
    assert ErrorCode(answer.error_code) is code


def test_an_unknown_recovery_state_is_refused() -> None:
    assert send(ready(), [1], leader_recovery_state=7).error_code == E.INVALID_REQUEST


@pytest.mark.parametrize("why", ["fenced", "shutting down", "unregistered", "registered again"])
@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_replicas_that_are_not_up_cannot_be_in_sync(why: str, version: int) -> None:
    cluster = ready()
    epoch = cluster.image.brokers[3].epoch
    if why == "fenced":
        cluster.expire(3)
    elif why == "shutting down":
        cluster.create("b", [3])
        cluster.heartbeat(3, shut_down=True)
    elif why == "unregistered":
        del cluster.image.brokers[3]
    else:
        cluster.expire(3)
        cluster.start(3)
    answer = send(cluster, [1, 2, 3], version=version, epochs={3: epoch})
    if why == "registered again" and version < 3:
        assert answer.error_code == E.NONE
    else:
        assert answer.error_code == (E.INELIGIBLE_REPLICA if version >= 2 else E.OPERATION_NOT_ATTEMPTED)


def test_an_unknown_broker_epoch_is_not_checked() -> None:
    assert send(ready(), [1, 2, 3], epochs={3: -1}).error_code == E.NONE


def test_a_sender_of_an_earlier_registration_is_refused_whole() -> None:
    cluster = ready()
    with pytest.raises(ApiError) as caught:
        alter_partition(cluster.ctx(), AlterPartitionRequestData(broker_id=1, broker_epoch=0), 3)
    assert caught.value.code is E.STALE_BROKER_EPOCH


@pytest.mark.parametrize(
    ("options", "leader_epoch"),
    [
        ({}, 1),
        ({"version": MetadataVersion.IBP_3_5_IV2}, 2),
        ({"migration": True, "state": ZkMigrationState.MIGRATION}, 2),
    ],
)
def test_the_answer_holds_the_partition_after_the_change(options: dict[str, Any], leader_epoch: int) -> None:
    cluster = Cluster(**options)
    cluster.start(1, 2, 3)
    cluster.create("a", [1, 2, 3])
    answer = send(cluster, [1, 2], leader_epoch=0, partition_epoch=0)
    partition = cluster.partition("a")
    assert answer == answers.PartitionData(0, 0, 1, leader_epoch - 1, [1, 2], 0, 1)
    assert (partition.leader_epoch, partition.isr, partition.partition_epoch) == (leader_epoch - 1, (1, 2), 1)


def test_an_unchanged_isr_is_accepted_without_a_record() -> None:
    cluster = ready()
    answer = send(cluster, [1, 2])
    assert cluster.messages == []
    assert (answer.error_code, answer.partition_epoch, answer.isr) == (0, 2, [1, 2])


def test_one_partition_s_refusal_leaves_the_others_alone() -> None:
    cluster = ready()
    cluster.create("b", [1, 2])
    topics = []
    for name, epochs in (("a", (1, 2)), ("b", (0, 7))):
        data = PartitionData(0, epochs[0], new_isr_with_epochs=[BrokerState(1)], partition_epoch=epochs[1])
        topics.append(TopicData(topic_id=cluster.image.topics_by_name[name].id, partitions=[data]))
    request = AlterPartitionRequestData(1, cluster.image.brokers[1].epoch, topics)
    response = cluster.run(lambda ctx: alter_partition(ctx, request, 3))
    assert [t.partitions[0].error_code for t in response.topics] == [E.NONE, E.NOT_CONTROLLER]
    assert cluster.partition("a").isr == (1,)


def reassign(cluster: Cluster, replicas: list[int]) -> None:
    request = AlterPartitionReassignmentsRequestData(
        topics=[ReassignableTopic("a", [ReassignablePartition(0, replicas)])]
    )
    cluster.run(lambda ctx: alter_partition_reassignments(ctx, request))


@pytest.mark.parametrize(
    ("version", "code"),
    [(0, E.FENCED_LEADER_EPOCH), (1, E.FENCED_LEADER_EPOCH), (2, E.NEW_LEADER_ELECTED), (3, E.NEW_LEADER_ELECTED)],
)
def test_completing_a_reassignment_that_drops_the_sender_tells_it_so(version: int, code: ErrorCode) -> None:
    cluster = ready()
    reassign(cluster, [2, 3])
    epoch = cluster.partition("a").partition_epoch
    answer = send(cluster, [1, 2, 3], version=version, partition_epoch=epoch)
    assert ErrorCode(answer.error_code) is code
    after = cluster.partition("a")
    assert (after.leader, after.replicas, after.isr, after.is_reassigning) == (2, (2, 3), (2, 3), False)


def test_completing_a_reassignment_under_the_same_leader_is_a_plain_success() -> None:
    cluster = ready()
    reassign(cluster, [1, 3])
    before = cluster.partition("a")
    assert (before.replicas, before.removing_replicas) == ((1, 3, 2), (2,))
    answer = send(cluster, [1, 2, 3], partition_epoch=before.partition_epoch)
    after = cluster.partition("a")
    assert (answer.error_code, answer.leader_epoch, answer.isr) == (0, after.leader_epoch, [1, 3])
    assert (after.leader, after.replicas, after.leader_epoch) == (1, (1, 3), before.leader_epoch + 1)
