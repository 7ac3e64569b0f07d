"""The cluster at a point of a log, two points compared, and the first bad one found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pykraft.image.metadata_image import MetadataImage
from pykraft.log.errors import CorruptLogError
from pykraft.protocol._message import Message
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.protocol.records.fence_broker_record import FenceBrokerRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.replay.bisection import bisect, candidates
from pykraft.replay.difference import ABSENT, differences
from pykraft.replay.image_json import image_to_json
from pykraft.replay.recorded import NotALogError, RecordedLog, RecordError
from tests.replay.samples import CONTROLLER_DATA, CONTROLLER_LOG, RELEASES, SEGMENT, batches, leader_change, recorded


def has_topic(name: str) -> Callable[[MetadataImage], bool]:
    return lambda image: name in image.topics_by_name


def log() -> RecordedLog:
    return RecordedLog.at(CONTROLLER_DATA)


def test_the_whole_and_earlier_points() -> None:
    image = image_to_json(log().image())
    assert image["offset"] == 154
    assert sorted(image["topics"]) == ["during-dual-write", "orders", "payments.v1", "under_score"]
    assert image["metadataVersion"] == "3.9-IV0"
    assert image["zkMigrationState"] == "MIGRATION"
    earlier = image_to_json(log().image(67))
    assert (earlier["offset"], earlier["topics"], sorted(earlier["brokers"])) == (67, {}, ["0", "1", "2"])
    assert image_to_json(log().image(70))["openTransaction"] == 68
    assert log().image(9_999).offset == 154


def test_by_time() -> None:
    moment_ms = next(
        logged.batch.header.max_timestamp_ms for logged in log().batches() if logged.batch.header.base_offset == 39
    )
    image = log().image(until_ms=moment_ms)
    assert sorted(image.brokers) == [0, 1]
    assert log().image(until_ms=moment_ms - 1).offset < 39


@pytest.mark.parametrize("release", RELEASES)
def test_a_checkpoint_is_the_log_up_to_it(release: str) -> None:
    segment, checkpoint = recorded(release)
    end = RecordedLog.at(checkpoint).checkpoints[0].end
    by_log = image_to_json(RecordedLog.at(segment).image(end.offset - 1))
    by_checkpoint = image_to_json(RecordedLog.at(checkpoint).image())
    # Kafka's checkpoints do not say who got the last producer ids.
    unsaid = {("producerIds", "brokerEpoch"), ("producerIds", "brokerId")}
    assert {found.path for found in differences(by_log, by_checkpoint)} <= unsaid


def test_eligible_leader_replicas_are_kept_and_cleared() -> None:
    """4.1.2: the log has them of both topics, then a ClearElrRecord of one."""
    segment, checkpoint = recorded("4.1.2")
    for image in (RecordedLog.at(segment).image(), RecordedLog.at(checkpoint).image()):
        found = {
            name: {partition.elr for partition in topic.partitions.values()}
            for name, topic in image.topics_by_name.items()
        }
        assert found == {"topic-2": {()}, "topic-3": {(2,)}}


def test_a_log_that_begins_with_a_checkpoint(tmp_path: Path) -> None:
    segment, checkpoint = recorded("3.9.1")
    end = RecordedLog.at(checkpoint).checkpoints[0].end
    shutil.copyfile(checkpoint, tmp_path / checkpoint.name)
    rest = [
        logged.batch.header for logged in RecordedLog.at(segment).batches()
        if logged.batch.header.base_offset >= end.offset
    ]  # fmt: skip
    start = segment.stat().st_size - sum(header.size for header in rest)
    (tmp_path / f"{end.offset:020d}.log").write_bytes(segment.read_bytes()[start:])
    found, whole = (image_to_json(RecordedLog.at(path).image()) for path in (tmp_path, segment))
    assert found.pop("producerIds")["nextProducerId"] == whole.pop("producerIds")["nextProducerId"]
    assert found == whole
    with pytest.raises(NotALogError, match="has no checkpoint to begin with for offset 3"):
        RecordedLog.at(tmp_path).image(3)


def test_errors_say_where(tmp_path: Path) -> None:
    path = tmp_path / SEGMENT
    path.write_bytes(leader_change() + batches([(FenceBrokerRecord(id=4, epoch=9), 0)], 1))
    with pytest.raises(RecordError, match="offset 1, batch at byte 86: broker 4 is not registered"):
        RecordedLog.at(path).image()
    path.write_bytes(CONTROLLER_LOG.read_bytes()[:-1])
    with pytest.raises(CorruptLogError, match="byte 11270"):
        RecordedLog.at(path).image()
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotALogError, match="holds neither segments"):
        RecordedLog.at(tmp_path / "empty")
    with pytest.raises(NotALogError, match="give it such a name"):
        RecordedLog.at(CONTROLLER_DATA / "meta.properties")


def test_differences() -> None:
    left = {"a": {"10": 1, "9": 2, "gone": None}, "same": [1, {"x": 2}], "list": [1]}
    right = {"a": {"10": True, "9": 3}, "same": [1, {"x": 2}], "list": [1, 2], "new": {}}
    assert list(differences(left, right)) == [
        (("a", "gone"), None, ABSENT), (("a", "9"), 2, 3), (("a", "10"), 1, True), (("list",), [1], [1, 2]),
        (("new",), ABSENT, {}),
    ]  # fmt: skip


def test_bisect_finds_every_point(tmp_path: Path) -> None:
    path = tmp_path / SEGMENT
    content, offset = leader_change(), 1
    for number in range(12):
        records: list[tuple[Message, int]] = [(TopicRecord(name=f"t{number}", topic_id=bytes([number] * 16)), 0)]
        content += batches(records, offset)
        offset += 1
    path.write_bytes(content)
    recorded_log = RecordedLog.at(path)
    points = candidates(recorded_log)
    assert points == list(range(13))
    for number in range(12):
        found = bisect(recorded_log, points, has_topic(f"t{number}"))
        assert found is not None
        assert found.offset == number + 1
        assert f"name='t{number}'" in found.records[0]
    assert bisect(recorded_log, points, lambda image: False) is None
    first = bisect(recorded_log, points, lambda image: True)
    assert first is not None
    assert first.offset == 0


def test_no_point_within_a_transaction(tmp_path: Path) -> None:
    path = tmp_path / SEGMENT
    path.write_bytes(
        leader_change() + batches([(BeginTransactionRecord(), 0)], 1)
        + batches([(TopicRecord(name="t", topic_id=bytes([1] * 16)), 0)], 2) + batches([(EndTransactionRecord(), 0)], 3)
    )  # fmt: skip
    assert candidates(RecordedLog.at(path)) == [0, 3]
    with pytest.raises(NotALogError, match="no batch that ends between offsets 1 and 2"):
        candidates(RecordedLog.at(path), 1, 2)
