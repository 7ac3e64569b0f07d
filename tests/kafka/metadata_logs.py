"""What a controller wrote, read from its log, in a form in which two clusters that went through the same are equal.

Ids that are drawn stand as what they belong to; epochs of brokers, ports and times are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pykraft.image.metadata_image import MetadataImage
from pykraft.log.batch import iter_batches
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record
from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.register_broker_record import RegisterBrokerRecord
from pykraft.protocol.records.register_controller_record import RegisterControllerRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.uuids import uuid_to_text
from pykraft.replay.image_json import image_to_json
from tests.kafka.comparison import comparable, key_text

SEGMENT: Final = Path("data", "__cluster_metadata-0", "00000000000000000000.log")
LEFT_OUT: Final = frozenset({"brokerEpoch", "epoch", "port", "offset"})
"""The epoch of a registration is its offset, and how many records without meaning lie between differs."""


@dataclass(frozen=True)
class WrittenBatch:
    """The records of a batch as sorted text, and where in the file it begins; offsets do not come into it."""

    position: int
    records: tuple[str, ...]


class WrittenLog:
    """The log of a controller in `folder` that has one segment and no snapshot."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / SEGMENT

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def image(self) -> MetadataImage:
        """The cluster as all records make it."""
        image = MetadataImage()
        for batch in iter_batches(self.path.read_bytes()):
            if batch.header.is_control:
                continue
            for offset, value in enumerate(batch.values, batch.header.base_offset):
                image.apply(decode_record(value).message, offset, batch.header.leader_epoch)
        return image

    def comparable_image(self) -> Any:
        """The image as JSON in which drawn ids stand as what they belong to."""
        image = self.image()
        # Their ids give way to what they say, which two of them could have in common.
        assert len(set(image.acls.values())) == len(image.acls)
        return comparable(_named(image_to_json(image), self._names()), LEFT_OUT)

    def batches(self, position: int = 0) -> list[WrittenBatch]:
        """The batches from `position` on that hold anything but records without meaning."""
        names = self._names()
        batches = []
        for start, records in self._records():
            if start < position:
                continue
            lines = [_line(record, names) for record in records if not isinstance(record.message, NoOpRecord)]
            if lines:
                batches.append(WrittenBatch(start, tuple(sorted(lines))))
        return batches

    def _records(self) -> Iterator[tuple[int, list[ApiMessageAndVersion]]]:
        position = 0
        for batch in iter_batches(self.path.read_bytes()):
            if not batch.header.is_control:
                yield position, [decode_record(value) for value in batch.values]
            position += batch.header.size

    def _names(self) -> dict[str, str]:
        """What each id in the log belongs to."""
        names: dict[str, str] = {}
        alike: Counter[str] = Counter()
        for _, records in self._records():
            for message, version in records:
                if isinstance(message, TopicRecord):
                    names[uuid_to_text(message.topic_id)] = f"topic {message.name}"
                elif isinstance(message, RegisterBrokerRecord):
                    names.setdefault(uuid_to_text(message.incarnation_id), f"incarnation of {message.broker_id}")
                    for number, directory in enumerate(message.log_dirs):
                        names[uuid_to_text(directory)] = f"directory {number} of {message.broker_id}"
                elif isinstance(message, RegisterControllerRecord):
                    names[uuid_to_text(message.incarnation_id)] = f"incarnation of controller {message.controller_id}"
                elif isinstance(message, AccessControlEntryRecord):
                    content = {key: part for key, part in to_json(message, version).items() if key != "id"}
                    names[uuid_to_text(message.id)] = f"entry {key_text(content)}"
                elif isinstance(message, DelegationTokenRecord) and message.token_id not in names:
                    token = f"token of {message.owner} by {message.requester}"
                    alike[token] += 1
                    names[message.token_id] = f"{token}, number {alike[token]}"
        return names


def _line(record: ApiMessageAndVersion, names: dict[str, str]) -> str:
    fields = comparable(_named(to_json(record.message, record.version), names), LEFT_OUT)
    return f"{type(record.message).__name__} v{record.version} {key_text(fields)}"


def _named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(key, key): _named(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [_named(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value
