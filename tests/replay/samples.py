"""Logs that the tests read: recorded ones of four releases, with the text of each release's own tool."""

from __future__ import annotations

import contextlib
import lzma
import random
from pathlib import Path

from pykraft.log.batch import encode_batches, encode_control_batch
from pykraft.protocol._message import Message
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage, Voter
from pykraft.protocol.record_frame import encode_record
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.uuids import random_uuid
from pykraft.replay.batch_walk import UnreadableError
from pykraft.replay.kafka_dump import KafkaDump
from pykraft.replay.record_text import release_named

DATA = Path(__file__).parents[1] / "data"
CONTROLLER_DATA = DATA / "log/controller-3.9.1"
CONTROLLER_LOG = CONTROLLER_DATA / "__cluster_metadata-0/00000000000000000000.log"
RELEASES = ("3.4.1", "3.6.2", "3.9.1", "4.1.2")
SEGMENT = "00000000000000000000.log"
TIMESTAMP_MS = 1_795_255_047_007


def recorded(release: str) -> list[Path]:
    """A segment and a checkpoint that a controller of that release wrote."""
    folder = DATA / "replay" / release
    return [folder / SEGMENT, *sorted(folder.glob("*.checkpoint"))]


def recorded_text(release: str) -> str:
    """What the release's own tool prints of them."""
    return lzma.decompress((DATA / "replay" / release / "dump.txt.xz").read_bytes()).decode()


def dump_text(path: Path, release: str, *, skip_record_metadata: bool = False, shown: str | None = None) -> str:
    """What we print of a file, `Dumping …` included, as far as it goes."""
    pieces = [f"Dumping {shown or path.name}\n"]
    with contextlib.suppress(UnreadableError):
        pieces.extend(KafkaDump(path, release_named(release), skip_record_metadata=skip_record_metadata).lines())
    return "".join(pieces)


def leader_change(base_offset: int = 0, node_id: int = 1, epoch: int = 1) -> bytes:
    """The control batch that opens an epoch."""
    message = LeaderChangeMessage(leader_id=node_id, voters=[Voter(voter_id=node_id)])
    return encode_control_batch(
        [(2, message.encode(0))], base_offset=base_offset, leader_epoch=epoch, timestamp_ms=TIMESTAMP_MS
    )


def batches(records: list[tuple[Message, int]], base_offset: int, epoch: int = 1) -> bytes:
    """Records in as few batches as they need."""
    values = [encode_record(message, version) for message, version in records]
    made = encode_batches(values, base_offset=base_offset, leader_epoch=epoch, timestamp_ms=TIMESTAMP_MS)
    return b"".join(made)


def partitions_log(topics: int, partitions: int, *, seed: int = 1) -> tuple[bytes, int]:
    """A log of many like records, and the offset after the last."""
    rng = random.Random(seed)
    directories = [random_uuid(rng) for _ in range(5)]
    records: list[tuple[Message, int]] = []
    for topic in range(topics):
        topic_id = random_uuid(rng)
        records.append((TopicRecord(name=f"topic-{topic}-ü", topic_id=topic_id), 0))
        factor = rng.choice((2, 3))
        for partition in range(partitions):
            replicas = rng.sample(range(5), factor)
            isr = replicas if rng.random() < 0.97 else replicas[:1]
            records.append((
                PartitionRecord(
                    partition_id=partition, topic_id=topic_id, replicas=replicas, isr=isr, leader=isr[0],
                    leader_epoch=rng.randrange(9), partition_epoch=rng.randrange(300),
                    leader_recovery_state=int(rng.random() < 0.01), directories=[directories[one] for one in replicas],
                ), 1,
            ))  # fmt: skip
    return leader_change() + batches(records, 1), len(records) + 1
