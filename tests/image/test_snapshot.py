"""The records of an image give the image back, whatever happens to it while they are taken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykraft.image.metadata_image import MetadataImage, ReplayError
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.snapshot import SnapshotCursor, UnwritableMetadataError, snapshot_records
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record, encode_record
from pykraft.protocol.records.abort_transaction_record import AbortTransactionRecord
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.clear_elr_record import ClearElrRecord
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.register_broker_record import BrokerEndpoint, BrokerFeature, RegisterBrokerRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.unregister_broker_record import UnregisterBrokerRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from tests.image.contents import contents
from tests.image.samples import sundry_records

KAFKAS_ORDER = [
    "FeatureLevelRecord",
    "ZkMigrationStateRecord",
    "RegisterBrokerRecord",
    "RegisterControllerRecord",
    "TopicRecord",
    "ConfigRecord",
    "ClientQuotaRecord",
    "ProducerIdsRecord",
    "AccessControlEntryRecord",
    "UserScramCredentialRecord",
    "DelegationTokenRecord",
]


def topic_id(number: int) -> bytes:
    return bytes([number + 1]) * 16


def image_of(records: list[Any]) -> MetadataImage:
    image = MetadataImage()
    for offset, record in enumerate(records):
        image.apply(record, offset, 1)
    image.take_delta()
    return image


def through_bytes(records: list[ApiMessageAndVersion]) -> MetadataImage:
    """The image of a snapshot with these records, once they were written and read."""
    return image_of([decode_record(encode_record(*record)).message for record in records])


def told(image: MetadataImage) -> dict[str, Any]:
    """What a snapshot can tell: not which broker got the last producer ids, nor where a broker registered."""
    found = contents(image)
    found["producer_ids"] = image.producer_ids.next_producer_id
    found["brokers"] = {
        key: {name: getattr(broker, name) for name in broker.__struct_fields__ if name != "registration_offset"}
        for key, broker in image.brokers.items()
    }
    found["topics"] = {
        key: (
            name,
            {
                number: (
                    p.all_directories(),
                    p.replicas,
                    p.isr,
                    p.leader,
                    p.leader_epoch,
                    p.partition_epoch,
                    p.elr,
                    p.last_known_elr,
                )
                for number, p in partitions.items()
            },
        )
        for key, (name, partitions) in found["topics"].items()
    }
    return found


def level(version: MetadataVersion) -> FeatureLevelRecord:
    return FeatureLevelRecord(name="metadata.version", feature_level=version.value)


def broker(number: int) -> RegisterBrokerRecord:
    return RegisterBrokerRecord(
        broker_id=number,
        broker_epoch=7,
        incarnation_id=topic_id(number),
        rack="r",
        end_points=[BrokerEndpoint("PLAINTEXT", "host", 9092, 0)],
        features=[BrokerFeature("metadata.version", 1, 21)],
    )


def partition(topic: int, number: int) -> PartitionRecord:
    return PartitionRecord(partition_id=number, topic_id=topic_id(topic), replicas=[1, 2], isr=[2], leader=2)


def anything() -> st.SearchStrategy[Any]:
    """Records on few keys, many of which do not fit what was before and are left out by the replay here."""
    few = st.integers(0, 2)
    return st.one_of(
        sundry_records().map(lambda record: record.message),
        few.map(lambda n: TopicRecord(name=f"t{n}", topic_id=topic_id(n))),
        st.builds(partition, few, few),
        st.builds(
            lambda t, n, isr: PartitionChangeRecord(partition_id=n, topic_id=topic_id(t), isr=isr, leader=isr[0]),
            few,
            few,
            st.sampled_from([[1], [2], [1, 2]]),
        ),
        st.builds(
            lambda t, n, elr: PartitionChangeRecord(
                partition_id=n, topic_id=topic_id(t), eligible_leader_replicas=elr, last_known_elr=elr[:1]
            ),
            few,
            few,
            st.sampled_from([[], [1], [1, 2]]),
        ),
        st.sampled_from(["", "t0", "t1"]).map(lambda name: ClearElrRecord(topic_name=name)),
        few.map(lambda n: RemoveTopicRecord(topic_id=topic_id(n))),
        few.map(broker),
        few.map(lambda n: UnregisterBrokerRecord(broker_id=n, broker_epoch=7)),
        st.sampled_from([0, 1, 2, 3]).map(lambda n: ZkMigrationStateRecord(zk_migration_state=n)),
    )


def apply_what_fits(image: MetadataImage, records: list[Any]) -> None:
    for record in records:
        try:
            image.apply(record, image.offset + 1, 1)
        except ReplayError:
            continue


@settings(max_examples=150, deadline=None)
@given(
    before=st.lists(anything(), max_size=40),
    meanwhile=st.lists(st.tuples(st.integers(1, 4), st.lists(anything(), max_size=4)), max_size=20),
)
def test_a_snapshot_is_of_its_point_in_time(before: list[Any], meanwhile: list[tuple[int, list[Any]]]) -> None:
    image = image_of([level(MetadataVersion.IBP_4_0_IV1)])
    apply_what_fits(image, before)
    image.take_delta()
    expected = told(image)
    cursor = SnapshotCursor(image)
    taken: list[ApiMessageAndVersion] = []
    for count, records in meanwhile:
        taken += cursor.take(image, count)
        apply_what_fits(image, records)
        delta = image.take_delta()
        if delta is not None:
            cursor.note(delta)
    while more := cursor.take(image, 3):
        taken += more
    assert told(through_bytes(taken)) == expected
    names = [type(record.message).__name__ for record in taken]
    names = [name for name in names if name != "PartitionRecord"]
    assert [KAFKAS_ORDER.index(name) for name in names] == sorted(KAFKAS_ORDER.index(name) for name in names)


def test_a_delta_that_was_noted_is_not_changed_by_later_ones() -> None:
    image = image_of(
        [
            level(MetadataVersion.IBP_3_9_IV0),
            TopicRecord(name="t0", topic_id=topic_id(0)),
            partition(0, 0),
            partition(0, 1),
        ]
    )
    cursor = SnapshotCursor(image)
    noted = []
    for number in (0, 1):
        image.apply(PartitionChangeRecord(partition_id=number, topic_id=topic_id(0), isr=[1], leader=1), 10, 1)
        delta = image.take_delta()
        assert delta is not None
        cursor.note(delta)
        noted.append(delta)
    assert [list(delta.topics[topic_id(0)].partitions) for delta in noted] == [[0], [1]]


VERSIONS_BY_LEVEL = {
    MetadataVersion.IBP_3_3_IV0: (0, 0),
    MetadataVersion.IBP_3_3_IV3: (1, 0),
    MetadataVersion.IBP_3_4_IV0: (2, 0),
    MetadataVersion.IBP_3_6_IV2: (2, 0),
    MetadataVersion.IBP_3_7_IV2: (3, 1),
    MetadataVersion.IBP_3_9_IV0: (3, 1),
}


@pytest.mark.parametrize("version", VERSIONS_BY_LEVEL)
def test_records_have_the_versions_of_the_metadata_version(version: MetadataVersion) -> None:
    records = list(
        snapshot_records(
            image_of(
                [
                    level(version),
                    broker(1),
                    TopicRecord(name="t0", topic_id=topic_id(0)),
                    partition(0, 0),
                ]
            )
        )
    )
    found = {type(record.message).__name__: record for record in records}
    assert (found["RegisterBrokerRecord"].version, found["PartitionRecord"].version) == VERSIONS_BY_LEVEL[version]
    written = found["PartitionRecord"].message
    assert isinstance(written, PartitionRecord)
    directories = written.directories
    assert directories == ([bytes(16)] * 2 if version >= MetadataVersion.IBP_3_7_IV2 else [])
    assert ("ZkMigrationStateRecord" in found) == (version >= MetadataVersion.IBP_3_4_IV0)
    assert records[0].message == level(version)


def test_what_its_version_cannot_say_is_not_left_out_silently() -> None:
    scram = UserScramCredentialRecord(name="alice", mechanism=1)
    with pytest.raises(UnwritableMetadataError, match=r"3\.4-IV0 has no records for the SCRAM credential of user"):
        list(snapshot_records(image_of([level(MetadataVersion.IBP_3_4_IV0), scram])))
    tokens = image_of([level(MetadataVersion.IBP_3_6_IV2), ProducerIdsRecord(next_producer_id=5)])
    assert [record.message for record in snapshot_records(tokens)][-1] == ProducerIdsRecord(
        broker_id=-1, broker_epoch=-1, next_producer_id=5
    )


def test_no_snapshot_is_taken_inside_a_transaction() -> None:
    image = image_of(
        [level(MetadataVersion.IBP_3_9_IV0), ConfigRecord(resource_type=2, resource_name="t", name="a", value="1")]
    )
    cursor = SnapshotCursor(image)
    image.apply(BeginTransactionRecord(name="x"), 2, 1)
    with pytest.raises(ValueError, match="a transaction is open since offset 2"):
        cursor.take(image, 1)
    with pytest.raises(ValueError, match="a transaction is open"):
        SnapshotCursor(image)
    image.apply(AbortTransactionRecord(reason="x"), 3, 1)
    assert [type(record.message).__name__ for record in cursor.take(image, 9)] == [
        "FeatureLevelRecord",
        "ZkMigrationStateRecord",
        "ConfigRecord",
    ]
