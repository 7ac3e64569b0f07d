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
_VERSION_MAX: Final = 2
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
    """The layout of a PartitionRecord with these counts, no reassignment and no tagged fields.

    `plain_at` is where two counts of nothing stand, for removing and adding replicas.
    """

    __slots__ = ("directories_at", "directory_mark", "layout", "plain_at")

    def __init__(self, version: int, replicas: int, isr: int) -> None:
        has_directories = version >= _DIRECTORIES_FROM
        directories = f"x{_UUID * replicas}s" if has_directories else "0s"
        self.layout = struct.Struct(f">3xi{_UUID}sx{4 * replicas}sx{4 * isr}s2xiii{directories}x")
        self.plain_at = _REPLICA_COUNT_AT + 2 + 4 * (replicas + isr)
        # Without directories this looks at the last byte once more, which is 0.
        self.directories_at = self.plain_at + 14 if has_directories else -1
        self.directory_mark = replicas + 1 if has_directories else 0


_shapes: dict[tuple[int, int, int, int], _Shape] = {}
_ints: dict[bytes, tuple[int, ...]] = {}
_directories: dict[bytes, tuple[Uuid, ...]] = {}


def _read_plain_partition(value: bytes) -> tuple[int, Uuid, PartitionRegistration] | None:
    """(partition, topic id, state) of a framed PartitionRecord; None for one that is out of the ordinary."""
    size = len(value)
    if size <= _REPLICA_COUNT_AT:
        return None
    version, replica_mark = value[2], value[_REPLICA_COUNT_AT]
    isr_at = _REPLICA_COUNT_AT - 3 + 4 * replica_mark
    if isr_at >= size:
        return None
    key = version, replica_mark, value[isr_at], size
    shape = _shapes.get(key)
    if shape is None:
        shape = _shape_of(*key)
        if shape is None:
            return None
    plain_at = shape.plain_at
    if value[plain_at : plain_at + 2] != b"\1\1" or value[-1] or value[shape.directories_at] != shape.directory_mark:
        return None
    number, topic_id, replicas, isr, leader, leader_epoch, partition_epoch, directories = shape.layout.unpack(value)
    state = PartitionRegistration(
        _ints.get(replicas) or _share_ints(replicas),
        _ints.get(isr) or _share_ints(isr),
        leader,
        leader_epoch,
        partition_epoch,
        0,
        (),
        (),
        _directories.get(directories) or _share_directories(directories),
    )
    return number, topic_id, state


def _shape_of(version: int, replica_mark: int, isr_mark: int, size: int) -> _Shape | None:
    """The shape, from then on remembered, of what has these two counts, each one more than the number it stands for."""
    if version > _VERSION_MAX or not 1 < replica_mark <= _REPLICAS_MAX or not 0 < isr_mark <= _REPLICAS_MAX:
        return None
    shape = _Shape(version, replica_mark - 1, isr_mark - 1)
    if shape.layout.size != size:
        return None
    _shapes[version, replica_mark, isr_mark, size] = shape
    return shape


def _share_ints(packed: bytes) -> tuple[int, ...]:
    """The ids as one object: a cluster has few combinations of replicas, on many partitions."""
    if len(_ints) >= SHARED_MAX:
        _ints.clear()
    found = _ints[packed] = struct.unpack(f">{len(packed) // 4}i", packed)
    return found


def _share_directories(packed: bytes) -> tuple[Uuid, ...]:
    if len(_directories) >= SHARED_MAX:
        _directories.clear()
    found = _directories[packed] = tuple(packed[at : at + _UUID] for at in range(0, len(packed), _UUID))
    return found
