"""Replays the records of a batch into an image: what every start does with every record of the log.

A log of many partitions is mostly PartitionRecords without anything unusual, so these go from their bytes to their
registration without a message in between. Anything else, and anything that is not as expected, goes the long way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import PartitionRegistration
from pykraft.protocol.record_frame import decode_record
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.uuids import Uuid

SHARED_MAX: Final = 65_536

_FRAME: Final = bytes((1, PartitionRecord.API_KEY))
_REPLICA_COUNT_AT: Final = 3 + 4 + 16
_REPLICAS_MAX: Final = 100
_DIRECTORIES_FROM: Final = 1
_VERSION_MAX: Final = 1
_UUID: Final = 16


def apply_values(image: MetadataImage, values: Iterable[bytes], offsets: Iterable[int], epoch: int) -> None:
    """Apply records as they stand in a batch; `offsets` has one for each, or more.

    Raises ReplayError and ProtocolError as `decode_record` and `MetadataImage.apply` do.
    """
    topics = image.topics_by_id
    for value, offset in zip(values, offsets, strict=False):
        if value.startswith(_FRAME):
            found = _read_plain_partition(value)
            if found is not None:
                number, topic_id, state = found
                topic = topics.get(topic_id)
                if topic is not None:
                    image.set_partition(topic, number, state)
                    image.offset, image.epoch = offset, epoch
                    continue
        image.apply(decode_record(value).message, offset, epoch)


class _Shape:
    """The layout of a PartitionRecord with these counts, no reassignment and no tagged fields."""

    __slots__ = ("directories", "isr", "layout", "marks", "replicas")

    def __init__(self, version: int, replicas: int, isr: int) -> None:
        has_directories = version >= _DIRECTORIES_FROM
        directories = f"B{_UUID * replicas}s" if has_directories else ""
        self.layout = struct.Struct(f">3xi{_UUID}sB{replicas}iB{isr}iBBiii{directories}B")
        self.replicas = slice(3, 3 + replicas)
        self.isr = slice(4 + replicas, 4 + replicas + isr)
        self.directories = has_directories
        # What the counts and the last byte have to be: no removing, no adding replicas, no tagged fields.
        self.marks = (replicas + 1, isr + 1, 1, 1, replicas + 1 if has_directories else 0, 0)


_shapes: dict[tuple[int, int, int, int], _Shape] = {}
_ints: dict[tuple[int, ...], tuple[int, ...]] = {}
_directories: dict[bytes, tuple[Uuid, ...]] = {}


def _read_plain_partition(value: bytes) -> tuple[int, Uuid, PartitionRegistration] | None:
    """(partition, topic id, state) of a framed PartitionRecord; None for one that is out of the ordinary."""
    size = len(value)
    if size <= _REPLICA_COUNT_AT:
        return None
    version, replica_count = value[2], value[_REPLICA_COUNT_AT] - 1
    isr_at = _REPLICA_COUNT_AT + 1 + 4 * replica_count
    if not 0 < replica_count <= _REPLICAS_MAX or isr_at >= size or version > _VERSION_MAX:
        return None
    isr_count = value[isr_at] - 1
    shape = _shapes.get((version, replica_count, isr_count, size))
    if shape is None:
        if not 0 <= isr_count <= _REPLICAS_MAX:
            return None
        shape = _Shape(version, replica_count, isr_count)
        if shape.layout.size != size:
            return None
        _shapes[version, replica_count, isr_count, size] = shape
    fields = shape.layout.unpack(value)
    at = shape.isr.stop
    replicas, isr = fields[shape.replicas], fields[shape.isr]
    removing, adding, leader, leader_epoch, partition_epoch = fields[at : at + 5]
    if shape.directories:
        directory_mark, packed = fields[at + 5], fields[at + 6]
        directories = _directories.get(packed)
        if directories is None:
            directories = _share_directories(packed)
    else:
        directory_mark, directories = 0, ()
    if (fields[2], fields[shape.isr.start - 1], removing, adding, directory_mark, fields[-1]) != shape.marks:
        return None
    replicas = _ints.get(replicas) or _share_ints(replicas)
    isr = _ints.get(isr) or _share_ints(isr)
    state = PartitionRegistration(
        replicas, isr, leader, leader_epoch, partition_epoch, 0, (), (), directories,
    )
    return fields[0], fields[1], state


def _share_ints(ids: tuple[int, ...]) -> tuple[int, ...]:
    """The same ids as one object: a cluster has few combinations of replicas, on many partitions."""
    if len(_ints) >= SHARED_MAX:
        _ints.clear()
    return _ints.setdefault(ids, ids)


def _share_directories(packed: bytes) -> tuple[Uuid, ...]:
    if len(_directories) >= SHARED_MAX:
        _directories.clear()
    found = _directories[packed] = tuple(packed[at : at + _UUID] for at in range(0, len(packed), _UUID))
    return found
