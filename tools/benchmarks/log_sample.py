"""A generated metadata log of many partitions, for the benchmarks: the directory as a controller leaves it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pykraft.log.batch import BATCH_RECORDS_MAX, encode_batch, encode_control_batch
from pykraft.log.metadata_log import DIRECTORY_NAME
from pykraft.log.quorum_state import write_quorum_state
from pykraft.log.segment import segment_name
from pykraft.protocol._message import Message
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage
from pykraft.protocol.messages.leader_change_message import Voter as LogVoter
from pykraft.protocol.messages.quorum_state_data import QuorumStateData, Voter
from pykraft.protocol.record_frame import encode_record
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.register_broker_record import BrokerEndpoint, BrokerFeature, RegisterBrokerRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from pykraft.protocol.uuids import random_uuid

NODE_ID: Final = 3000
BROKERS: Final = 6
REPLICAS: Final = 3
EPOCHS: Final = 1000
METADATA_VERSION: Final = 21
TIMESTAMP_MS: Final = 1_795_255_047_007
EPOCH: Final = 1


def values(partitions: int, partitions_per_topic: int, *, seed: int = 1) -> Iterator[bytes]:
    """The framed records: features, brokers, then topics with their partitions."""
    rng = random.Random(seed)
    directories = [random_uuid(rng) for _ in range(BROKERS)]
    yield encode_record(FeatureLevelRecord(name="metadata.version", feature_level=METADATA_VERSION), 0)
    yield encode_record(ZkMigrationStateRecord(zk_migration_state=0), 0)
    for number in range(BROKERS):
        yield encode_record(_broker(number, directories[number], rng), 3)
    done = 0
    while done < partitions:
        topic_id = random_uuid(rng)
        yield encode_record(TopicRecord(name=f"topic-{done // partitions_per_topic}", topic_id=topic_id), 0)
        for partition in range(min(partitions_per_topic, partitions - done)):
            yield encode_record(_partition(partition, topic_id, directories, rng), 1)
        done += partitions_per_topic


def _broker(number: int, directory: bytes, rng: random.Random) -> Message:
    return RegisterBrokerRecord(
        broker_id=number, incarnation_id=random_uuid(rng), broker_epoch=3 + number, fenced=False,
        end_points=[BrokerEndpoint(name="PLAINTEXT", host="127.0.0.1", port=9092 + number)],
        features=[BrokerFeature(name="metadata.version", min_supported_version=1, max_supported_version=21)],
        log_dirs=[directory],
    )  # fmt: skip


def _partition(number: int, topic_id: bytes, directories: list[bytes], rng: random.Random) -> Message:
    """A partition with a history: no two need have the same state."""
    replicas = rng.sample(range(BROKERS), REPLICAS)
    return PartitionRecord(
        partition_id=number, topic_id=topic_id, replicas=replicas, isr=replicas, leader=replicas[0],
        leader_epoch=rng.randrange(EPOCHS), partition_epoch=rng.randrange(EPOCHS),
        directories=[directories[replica] for replica in replicas],
    )  # fmt: skip


def write_log(data: Path, partitions: int, partitions_per_topic: int, cluster_id: str) -> Path:
    """Write a formatted data directory with a log of one segment; the segment's path."""
    directory = data / DIRECTORY_NAME
    directory.mkdir(parents=True)
    path = directory / segment_name(0)
    voter = LogVoter(voter_id=NODE_ID)
    change = LeaderChangeMessage(leader_id=NODE_ID, voters=[voter], granting_voters=[voter])
    offset = 1
    with path.open("wb") as file:
        file.write(
            encode_control_batch([(2, change.encode(0))], base_offset=0, leader_epoch=EPOCH, timestamp_ms=TIMESTAMP_MS)
        )
        batch: list[bytes] = []
        for value in values(partitions, partitions_per_topic):
            batch.append(value)
            if len(batch) == BATCH_RECORDS_MAX:
                file.write(encode_batch(batch, base_offset=offset, leader_epoch=EPOCH, timestamp_ms=TIMESTAMP_MS))
                offset += len(batch)
                batch = []
        if batch:
            file.write(encode_batch(batch, base_offset=offset, leader_epoch=EPOCH, timestamp_ms=TIMESTAMP_MS))
    (data / "meta.properties").write_text(f"version=1\nnode.id={NODE_ID}\ncluster.id={cluster_id}\n")
    (directory / "partition.metadata").write_text("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ")
    (directory / "leader-epoch-checkpoint").write_text(f"0\n1\n{EPOCH} 0\n")
    state = QuorumStateData(
        cluster_id="", leader_id=NODE_ID, leader_epoch=EPOCH, voted_id=-1, applied_offset=0,
        current_voters=[Voter(voter_id=NODE_ID)],
    )  # fmt: skip
    write_quorum_state(directory, state)
    return path
