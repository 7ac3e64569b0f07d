"""Many metadata records encoded at once; apart from `record_frame`, which must not need any record's class."""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterable
from copy import copy
from typing import Final

from pykraft.protocol.record_frame import ApiMessageAndVersion, encode_record
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord

MODELS_MAX: Final = 256
"""How many kinds of records of partitions are told apart in one call."""

_HEAD_BYTES: Final = 3
"""Frame version, API key and version of a record of a partition."""
_UUID_BYTES: Final = 16
_PARTITION: Final = struct.Struct(f">i{_UUID_BYTES}s")


def encode_records(records: Iterable[ApiMessageAndVersion]) -> list[bytes]:
    """Records as they stand in a batch; errors as of `encode_record`.

    Records of partitions begin with the partition and its topic. What follows is the same for many partitions that one
    change touches, and is encoded once for those.
    """
    values: list[bytes] = []
    models: dict[Hashable, tuple[PartitionRecord | PartitionChangeRecord, bytes, bytes]] = {}
    for message, version in records:
        if not isinstance(message, PartitionRecord | PartitionChangeRecord):
            values.append(encode_record(message, version))
            continue
        # Not all that may differ, so that the key costs little; the comparison looks at everything.
        key = type(message), version, message.leader, *(message.replicas or ()), *(message.isr or ())
        found = models.get(key)
        if found is not None and len(message.topic_id) == _UUID_BYTES:
            model, head, rest = found
            model.partition_id, model.topic_id = message.partition_id, message.topic_id
            if model == message:
                try:
                    values.append(head + _PARTITION.pack(message.partition_id, message.topic_id) + rest)
                    continue
                except struct.error:
                    pass  # Encoding it by itself says what is wrong.
        value = encode_record(message, version)
        values.append(value)
        if found is None and len(models) < MODELS_MAX:
            models[key] = copy(message), value[:_HEAD_BYTES], value[_HEAD_BYTES + _PARTITION.size :]
    return values
