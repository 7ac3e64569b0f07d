"""Replay of records: what each does, what is refused, and what the delta remembers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage, ReplayError
from pykraft.image.metadata_version import FEATURE_NAME, MetadataVersion
from pykraft.image.model import (
    DIRECTORY_LOST,
    DIRECTORY_MIGRATING,
    DIRECTORY_UNASSIGNED,
    ConfigResource,
    PartitionRegistration,
    ResourceType,
    TopicPartition,
    ZkMigrationState,
)
from pykraft.log.batch import iter_batches
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record
from pykraft.protocol.records.abort_transaction_record import AbortTransactionRecord
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.broker_registration_change_record import BrokerRegistrationChangeRecord
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.fence_broker_record import FenceBrokerRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.register_broker_record import RegisterBrokerRecord
from pykraft.protocol.records.remove_access_control_entry_record import RemoveAccessControlEntryRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.remove_user_scram_credential_record import RemoveUserScramCredentialRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.unfence_broker_record import UnfenceBrokerRecord
from pykraft.protocol.records.unregister_broker_record import UnregisterBrokerRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from tests.image.contents import contents, recounted
from tests.image.samples import sundry_records

REAL_LOG = Path(__file__).parents[1] / "data/log/controller-3.9.1/__cluster_metadata-0/00000000000000000000.log"
T1, T2 = bytes([1]) * 16, bytes([2]) * 16
D1, D2 = bytes([11]) * 16, bytes([12]) * 16


def apply(image: MetadataImage, *records: Any) -> None:
    for record in records:
        image.apply(record, image.offset + 1, 3)


def broker(broker_id: int = 1, epoch: int = 5, **changes: Any) -> RegisterBrokerRecord:
    return RegisterBrokerRecord(broker_id=broker_id, broker_epoch=epoch, **changes)


def partition(number: int = 0, topic_id: bytes = T1, **changes: Any) -> PartitionRecord:
    fields: dict[str, Any] = {"replicas": [1, 2], "isr": [1, 2], "leader": 1}
    return PartitionRecord(partition_id=number, topic_id=topic_id, **(fields | changes))


def image_with(*records: Any) -> MetadataImage:
    """An image after these records, with its delta taken."""
    image = MetadataImage()
    apply(image, *records)
    image.take_delta()
    return image


def with_topic(*more: Any) -> MetadataImage:
    return image_with(TopicRecord(name="a", topic_id=T1), partition(0), partition(1), *more)


def test_offsets_and_epochs_follow_the_records() -> None:
    image = MetadataImage()
    assert (image.offset, image.epoch, image.is_blank) == (-1, 0, True)
    apply(image, FeatureLevelRecord(name=FEATURE_NAME, feature_level=21))
    assert (image.offset, image.epoch, image.is_blank) == (0, 3, False)
    assert image.metadata_version is MetadataVersion.IBP_3_9_IV0


TOPIC = TopicRecord(name="a", topic_id=T1)
REFUSED: list[tuple[list[Any], Any, str]] = [
    ([], UnregisterBrokerRecord(broker_id=1), "broker 1 is not registered"),
    ([broker()], UnregisterBrokerRecord(broker_id=1, broker_epoch=4), "has epoch 5, not 4"),
    ([], FenceBrokerRecord(id=1), "not registered"),
    ([broker()], UnfenceBrokerRecord(id=1, epoch=6), "has epoch 5, not 6"),
    ([broker()], BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=5, fenced=2), "cannot change by fenced=2"),
    ([], RemoveTopicRecord(topic_id=T1), "no topic has the id"),
    ([], partition(), "no topic has the id"),
    ([TOPIC], TopicRecord(name="a", topic_id=T2), "exists already"),
    ([TOPIC], TopicRecord(name="b", topic_id=T1), "exists already"),
    ([TOPIC], partition(replicas=[], isr=[]), "has 0 replicas"),
    ([TOPIC], partition(directories=[D1]), "2 replicas and 1 directories"),
    ([TOPIC], PartitionChangeRecord(0, T1), "has no partition 0"),
    ([TOPIC, partition()], PartitionChangeRecord(0, T1, replicas=[]), "leaves 0 replicas"),
    ([TOPIC, partition()], PartitionChangeRecord(0, T1, directories=[D1]), "1 directories"),
    ([], RemoveAccessControlEntryRecord(id=T1), "no ACL has the id"),
    ([], RemoveUserScramCredentialRecord(name="u", mechanism=1), "user u has no credential"),
    ([], FeatureLevelRecord(name=FEATURE_NAME, feature_level=0), "metadata.version 0 is unknown"),
    ([], FeatureLevelRecord(name=FEATURE_NAME, feature_level=99), "pykraft knows 1 to"),
    ([], ZkMigrationStateRecord(zk_migration_state=4), "no migration state has the value 4"),
    ([], EndTransactionRecord(), "no transaction is open to end"),
    ([], AbortTransactionRecord(), "no transaction is open to abort"),
    ([BeginTransactionRecord()], BeginTransactionRecord(), "a transaction is open since 0"),
    ([], object(), "no replay for object"),
]


@pytest.mark.parametrize(("before", "record", "reason"), REFUSED)
def test_a_record_that_does_not_fit_is_refused_and_changes_nothing(before: list[Any], record: Any, reason: str) -> None:
    image = MetadataImage()
    apply(image, *before)
    held, offset = contents(image), image.offset

    with pytest.raises(ReplayError, match=reason):
        apply(image, record)

    assert contents(image) == held
    assert image.offset == offset


def test_a_broker_s_standing_changes_field_by_field() -> None:
    image = image_with(broker(log_dirs=[D1, D2]))
    assert image.brokers[1].registration_offset == 0

    def change(**fields: Any) -> tuple[bool, bool, tuple[bytes, ...]]:
        apply(image, BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=5, **fields))
        now = image.brokers[1]
        return now.fenced, now.in_controlled_shutdown, now.directories

    assert change(fenced=-1) == (False, False, (D1, D2))
    assert change(in_controlled_shutdown=1) == (False, True, (D1, D2))
    assert change(log_dirs=[D2]) == (False, True, (D2,))
    assert change(fenced=1) == (True, True, (D2,))
    for record, fenced in ((UnfenceBrokerRecord(id=1, epoch=5), False), (FenceBrokerRecord(id=1, epoch=5), True)):
        apply(image, record)
        assert image.brokers[1].fenced is fenced
    assert image.brokers[1].registration_offset == 0


@pytest.mark.parametrize(
    ("directories", "change", "expected"),
    [
        ([], PartitionChangeRecord(0, T1, replicas=[2, 3]), ()),
        ([D1, D2], PartitionChangeRecord(0, T1, replicas=[2, 3]), (D2, DIRECTORY_MIGRATING)),
        ([D1, D2], PartitionChangeRecord(0, T1, isr=[1]), (D1, D2)),
        ([D1, D2], PartitionChangeRecord(0, T1, directories=[D2, D1]), (D2, D1)),
        ([], PartitionChangeRecord(0, T1, replicas=[3], directories=[DIRECTORY_UNASSIGNED]), (DIRECTORY_UNASSIGNED,)),
    ],
)
def test_replicas_keep_their_directories(
    directories: list[bytes], change: PartitionChangeRecord, expected: tuple[bytes, ...]
) -> None:
    image = image_with(TopicRecord(name="a", topic_id=T1), partition(directories=directories), change)
    assert image.topics_by_name["a"].partitions[0].directories == expected


def test_the_sets_that_operations_ask_for_follow_the_partitions() -> None:
    image = with_topic()
    key = TopicPartition(T1, 0)
    apply(image, PartitionChangeRecord(0, T1, leader=-1, isr=[2]))
    assert (image.leaderless, image.not_preferred, image.isr_counts) == ({key}, {key}, {1: 1, 2: 2})
    apply(image, PartitionChangeRecord(0, T1, leader=2, adding_replicas=[2]))
    assert (image.leaderless, image.not_preferred, image.reassigning) == (set(), {key}, {key})
    apply(image, PartitionChangeRecord(0, T1, leader=1, adding_replicas=[]))
    assert (image.leaderless, image.not_preferred, image.reassigning) == (set(), set(), set())
    apply(image, RemoveTopicRecord(topic_id=T1))
    assert image.partition_count == 0
    assert recounted(image)["leader_counts"] == {}


def test_a_removed_topic_takes_its_configs_along() -> None:
    image = with_topic(ConfigRecord(2, "a", "retention.ms", "1"), ConfigRecord(4, "a", "x", "1"))
    delta = delta_of(image, RemoveTopicRecord(topic_id=T1))
    assert image.configs == {ConfigResource(ResourceType.BROKER, "a"): {"x": "1"}}
    assert delta.configs == {ConfigResource(ResourceType.TOPIC, "a"): {"retention.ms": "1"}}


# -- deltas ------------------------------------------------------------------------------------------------------


def delta_of(image: MetadataImage, *records: Any) -> MetadataDelta:
    apply(image, *records)
    delta = image.take_delta()
    assert delta is not None
    return delta


def test_a_delta_holds_what_was_before() -> None:
    image = with_topic(ConfigRecord(2, "a", "k", "1"))
    was = image.topics_by_name["a"].partitions[0]
    delta = delta_of(
        image,
        PartitionChangeRecord(0, T1, isr=[1]),
        PartitionChangeRecord(0, T1, leader=2),
        partition(2),
        ConfigRecord(2, "a", "k", "2"),
        ConfigRecord(2, "a", "l", "3"),
        broker(),
        ZkMigrationStateRecord(zk_migration_state=2),
    )
    change = delta.topics[T1]
    assert change.existed
    assert change.partitions == {0: was, 2: None}
    assert delta.configs == {ConfigResource(ResourceType.TOPIC, "a"): {"k": "1"}}
    assert delta.brokers == {1: None}
    assert delta.zk_migration_state is ZkMigrationState.NONE
    assert image.take_delta() is None


def test_a_topic_that_came_and_went_is_no_change() -> None:
    image = MetadataImage()
    apply(image, TopicRecord(name="a", topic_id=T1), partition(), RemoveTopicRecord(topic_id=T1))
    assert image.take_delta() is None


def test_a_removed_topic_tells_all_partitions_it_had_before() -> None:
    image = with_topic()
    before = dict(image.topics_by_name["a"].partitions)
    delta = delta_of(
        image,
        PartitionChangeRecord(0, T1, isr=[1]),
        partition(2),
        RemoveTopicRecord(topic_id=T1),
        TopicRecord(name="a", topic_id=T2),
        partition(0, T2),
    )
    assert delta.topics[T1].partitions_before() == before
    assert not delta.topics[T2].existed


def test_a_topic_created_again_under_its_id_is_a_change_of_its_partitions() -> None:
    image = with_topic()
    before = contents(image)
    was = dict(image.topics_by_name["a"].partitions)
    delta = delta_of(
        image,
        RemoveTopicRecord(topic_id=T1),
        TopicRecord(name="a", topic_id=T1),
        partition(0, replicas=[3], isr=[3], leader=3),
    )
    change = delta.topics[T1]
    assert (change.existed, change.removed, change.partitions) == (True, None, was)
    image.revert(delta)
    assert contents(image) == before
    with pytest.raises(ReplayError, match="which was just deleted"):
        apply(image, RemoveTopicRecord(topic_id=T1), TopicRecord(name="b", topic_id=T1))


def test_merged_deltas_hold_the_oldest_values() -> None:
    image = with_topic()
    before = contents(image)
    first = delta_of(image, PartitionChangeRecord(0, T1, isr=[1]), TopicRecord(name="b", topic_id=T2), broker())
    second = delta_of(
        image,
        PartitionChangeRecord(0, T1, isr=[2]),
        PartitionChangeRecord(1, T1, isr=[2]),
        RemoveTopicRecord(topic_id=T2),
        RemoveTopicRecord(topic_id=T1),
        broker(epoch=9),
    )
    third = delta_of(image, TopicRecord(name="a", topic_id=T1), partition(5))
    first.merge(second)
    first.merge(third)
    assert set(first.topics) == {T1}
    assert first.brokers == {1: None}
    assert set(first.topics[T1].partitions) == {0, 1, 5}
    image.revert(first)
    assert contents(image) == before


def test_a_transaction_is_one_change_at_its_end() -> None:
    image = with_topic()
    apply(image, broker(1), BeginTransactionRecord(name="t"), broker(2))
    assert (image.in_transaction, image.transaction_name, image.last_stable_offset) == (True, "t", image.offset - 2)
    held_back = image.take_delta()
    assert held_back is not None
    assert set(held_back.brokers) == {1}
    assert image.take_delta() is None
    apply(image, broker(3), EndTransactionRecord())
    assert image.last_stable_offset == image.offset
    delta = image.take_delta()
    assert delta is not None
    assert set(delta.brokers) == {2, 3}


def test_changes_from_before_a_transaction_that_nobody_took_come_with_it() -> None:
    image = with_topic()
    delta = delta_of(image, broker(1), BeginTransactionRecord(), broker(2), EndTransactionRecord(), broker(3))
    assert set(delta.brokers) == {1, 2, 3}


def test_an_aborted_transaction_never_was() -> None:
    image = with_topic(ZkMigrationStateRecord(zk_migration_state=2))
    apply(image, broker(1))
    before = contents(image)
    apply(
        image,
        BeginTransactionRecord(),
        broker(1, 9),
        RemoveTopicRecord(topic_id=T1),
        TopicRecord(name="a", topic_id=T2),
        partition(0, T2),
        ConfigRecord(2, "a", "k", "v"),
        ZkMigrationStateRecord(zk_migration_state=1),
    )
    assert image.stable_zk_migration_state is ZkMigrationState.PRE_MIGRATION
    apply(image, AbortTransactionRecord(reason="no"))
    assert contents(image) == before
    delta = image.take_delta()
    assert delta is not None
    assert delta.brokers == {1: None}
    assert delta.topics == {}


@settings(max_examples=100)
@given(st.lists(sundry_records(), max_size=20), st.lists(sundry_records(), min_size=1, max_size=20))
def test_every_kind_of_record_can_be_taken_back(
    first: list[ApiMessageAndVersion], second: list[ApiMessageAndVersion]
) -> None:
    image = image_with(*(record.message for record in first))
    before = contents(image)
    apply(image, *(record.message for record in second))
    delta = image.take_delta()
    if delta is None:
        assert contents(image) == before
    else:
        assert delta.is_empty is False
        image.revert(delta)
        assert contents(image) == before


# -- the log of a real controller --------------------------------------------------------------------------------


def test_the_log_of_a_real_migration_replays() -> None:
    """A 3.9.1 controller's: three brokers in ZooKeeper mode, a copy in one transaction, then dual writes."""
    image = MetadataImage()
    deltas = []
    for batch in iter_batches(REAL_LOG.read_bytes()):
        if batch.control_types:
            continue
        for position, value in enumerate(batch.values):
            image.apply(decode_record(value).message, batch.header.base_offset + position, batch.header.leader_epoch)
            delta = image.take_delta()
            if delta is not None:
                deltas.append(delta)

    held = contents(image)
    for name, expected in recounted(image).items():
        assert held[name] == expected, name
    assert image.metadata_version is MetadataVersion.IBP_3_9_IV0
    assert image.zk_migration_state is ZkMigrationState.MIGRATION
    assert set(image.brokers) == {0, 1, 2}
    assert all(b.is_migrating_zk_broker for b in image.brokers.values())
    assert image.controllers[3000].zk_migration_ready
    assert "during-dual-write" in image.topics_by_name
    assert image.acls
    assert image.scram
    assert image.client_quotas
    assert image.delegation_tokens
    assert sum(len(delta.topics) > 1 for delta in deltas) == 1, "the copy is one change"
    for delta in reversed(deltas):
        image.revert(delta)
    assert contents(image) == contents(MetadataImage())


@pytest.mark.parametrize(
    ("directory", "of_a_broker_with_some", "of_one_with_none"),
    [
        (D1, True, True),
        (D2, False, True),
        (DIRECTORY_MIGRATING, True, True),
        (DIRECTORY_UNASSIGNED, True, True),
        (DIRECTORY_LOST, False, False),
    ],
)
def test_which_directories_are_online(directory: bytes, of_a_broker_with_some: bool, of_one_with_none: bool) -> None:
    image = image_with(broker(1, log_dirs=[D1]), broker(2))
    assert image.brokers[1].has_online_directory(directory) is of_a_broker_with_some
    assert image.brokers[2].has_online_directory(directory) is of_one_with_none


def test_directories_of_a_partition() -> None:
    placed = PartitionRegistration((1, 2), (1,), 1, 0, 0, directories=(D1, D2))
    bare = PartitionRegistration((1, 2), (1,), 1, 0, 0)
    assert (placed.directory(2), bare.directory(2)) == (D2, DIRECTORY_MIGRATING)
    assert (placed.all_directories(), bare.all_directories()) == ((D1, D2), (DIRECTORY_MIGRATING,) * 2)
    with pytest.raises(ValueError):
        bare.directory(3)
