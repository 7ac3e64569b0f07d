"""Kafka's own kafka-dump-log reads the checkpoints we write, and we read and write back the one it made."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.replay import apply_values
from pykraft.image.snapshot import snapshot_records
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.metadata_log import MetadataLog
from pykraft.protocol.record_frame import encode_record
from tests.log.kafka_dump import batches_of, dump, payloads_of
from tests.log.samples import TIMESTAMP_MS, copy_of_controller_data

pytestmark = pytest.mark.oracle


def image_of(log: MetadataLog) -> MetadataImage:
    image = MetadataImage()
    for batch in log.iter_batches():
        if not batch.header.is_control:
            apply_values(image, batch.values, range(batch.header.base_offset, batch.header.next_offset), 1)
    return image


def test_a_checkpoint_of_a_real_controllers_log(tmp_path: Path) -> None:
    with MetadataLog.open(copy_of_controller_data(tmp_path)) as log:
        image = image_of(log)
        records = list(snapshot_records(image))
        point = OffsetAndEpoch(log.end_offset, 1)
        writer = log.begin_snapshot(point, TIMESTAMP_MS)
        for start in range(0, len(records), 50):
            writer.append([encode_record(record.message, record.version) for record in records[start : start + 50]])
        log.add_snapshot(writer)
        (path,) = log.directory.glob("*.checkpoint")
        last_ms = log.timestamp_ms_before(log.end_offset)
    lines = dump(path)
    batches = batches_of(lines)
    assert {found["isvalid"] for found in batches} == {"true"}
    assert {found["partitionLeaderEpoch"] for found in batches} == {"1"}
    assert [found["isControl"] for found in batches] == ["true", *["false"] * (len(batches) - 2), "true"]
    header, footer = (line for line in lines if line.startswith("|") and "Snapshot" in line)
    assert f'SnapshotHeader {{"version":0,"lastContainedLogTimestamp":{last_ms}}}' in header
    assert 'SnapshotFooter {"version":0}' in footer
    payloads = list(payloads_of(lines).values())
    assert len(payloads) == len(records)
    kinds = [payload["type"] for payload in payloads if isinstance(payload, dict)]
    assert kinds[:2] == ["FEATURE_LEVEL_RECORD", "ZK_MIGRATION_STATE_RECORD"]
    assert {"REGISTER_BROKER_RECORD", "REGISTER_CONTROLLER_RECORD", "TOPIC_RECORD", "PARTITION_RECORD"} <= set(kinds)
    assert kinds.count("PARTITION_RECORD") == image.partition_count
