"""Kafka's own kafka-dump-log reads the logs we write."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pykraft.log.batch import ControlRecordType, encode_batches, encode_control_batch
from pykraft.log.metadata_log import MetadataLog
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage, Voter
from pykraft.protocol.record_frame import encode_record
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.uuids import random_uuid, uuid_to_text
from tests.log.kafka_dump import batches_of, dump, payloads_of
from tests.log.samples import TIMESTAMP_MS, copy_of_controller_data

pytestmark = pytest.mark.oracle


def leader_change(base_offset: int, node_id: int, epoch: int) -> bytes:
    voter = Voter(voter_id=node_id)
    message = LeaderChangeMessage(leader_id=node_id, voters=[voter], granting_voters=[voter])
    records = [(ControlRecordType.LEADER_CHANGE, message.encode(0))]
    return encode_control_batch(records, base_offset=base_offset, leader_epoch=epoch, timestamp_ms=TIMESTAMP_MS)


def test_a_log_of_ours(tmp_path: Path) -> None:
    rng = random.Random(7)
    topics = [TopicRecord(name=f"topic-{i}", topic_id=random_uuid(rng)) for i in range(12_000)]
    with MetadataLog.open(tmp_path) as log:
        log.append([leader_change(0, 1, 1)])
        log.append(
            encode_batches(
                [encode_record(topic, 0) for topic in topics], base_offset=1, leader_epoch=1, timestamp_ms=TIMESTAMP_MS
            )
        )
        config = ConfigRecord(resource_type=2, resource_name="topic-ü", name="retention.ms", value="x" * 30_000)
        end = log.append([leader_change(log.end_offset, 1, 2)])
        values = [encode_record(config, 0), encode_record(NoOpRecord(), 0)]
        log.append(encode_batches(values, base_offset=end, leader_epoch=2, timestamp_ms=TIMESTAMP_MS, atomic=True))
        end_offset, size = log.end_offset, log.size
    lines = dump(tmp_path / "__cluster_metadata-0" / f"{0:020d}.log")
    batches = batches_of(lines)
    assert [found["isvalid"] for found in batches] == ["true"] * 5
    assert [found["isControl"] for found in batches] == ["true", "false", "false", "true", "false"]
    assert [int(found["count"]) for found in batches] == [1, 10_000, 2_000, 1, 2]
    assert [int(found["partitionLeaderEpoch"]) for found in batches] == [1, 1, 1, 2, 2]
    assert int(batches[-1]["lastOffset"]) + 1 == end_offset
    assert sum(int(found["size"]) for found in batches) == size
    assert sum("controlType: LEADER_CHANGE(2)" in line for line in lines) == 2
    payloads = payloads_of(lines)
    assert len(payloads) == 12_002
    for offset in (1, 2, 10_000, 10_001, 12_000):
        data = {"name": f"topic-{offset - 1}", "topicId": uuid_to_text(topics[offset - 1].topic_id)}
        assert payloads[offset] == {"type": "TOPIC_RECORD", "version": 0, "data": data}
    assert payloads[12_002] == {
        "type": "CONFIG_RECORD",
        "version": 0,
        "data": {"resourceType": 2, "resourceName": "topic-ü", "name": "retention.ms", "value": "x" * 30_000},
    }
    assert payloads[12_003] == {"type": "NO_OP_RECORD", "version": 0, "data": {}}


def test_a_log_of_kafkas_that_we_went_on_with(tmp_path: Path) -> None:
    data = copy_of_controller_data(tmp_path)
    with MetadataLog.open(data) as log:
        log.append([leader_change(155, 3000, 2)])
        log.append(
            encode_batches(
                [encode_record(NoOpRecord(), 0)] * 3, base_offset=156, leader_epoch=2, timestamp_ms=TIMESTAMP_MS
            )
        )
    lines = dump(data / "__cluster_metadata-0" / f"{0:020d}.log")
    assert {found["isvalid"] for found in batches_of(lines)} == {"true"}
    assert [found["baseOffset"] for found in batches_of(lines)][-2:] == ["155", "156"]
    assert payloads_of(lines)[158] == {"type": "NO_OP_RECORD", "version": 0, "data": {}}
