"""Kafka's managers of brokers and partitions and pykraft's operations on one image, compared at every step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from pykraft.controller.config import ControllerConfig
from pykraft.controller.errors import ApiError
from pykraft.controller.fencing import fence_stale_broker
from pykraft.controller.heartbeats import BrokerHeartbeatManager
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import ELR_VERSION, FEATURE_NAME, MetadataVersion
from pykraft.protocol._message import Message
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.broker_registration_change_record import BrokerRegistrationChangeRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.register_broker_record import RegisterBrokerRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.unregister_broker_record import UnregisterBrokerRecord
from pykraft.protocol.uuids import Uuid, uuid_to_text
from tests.controller.cluster import CLUSTER_ID, SESSION_MS
from tests.kafka.comparison import comparable
from tests.oracle.replication_oracle import Answer, ReplicationOracle

Operation = Callable[[OperationContext], ControllerResult[Any]]


class BothSides:
    """One image, which takes the records of Kafka's managers once pykraft's are the same."""

    def __init__(self, oracle: ReplicationOracle, version: str, level: int, rng: Random) -> None:
        self.release = version.rpartition(".")[0]
        config = ControllerConfig.from_properties({"node.id": "3000"})
        self.config = replace(config, release=self.release)
        self.oracle, self.rng = oracle, rng
        self.image = MetadataImage()
        self.heartbeats = BrokerHeartbeatManager(SESSION_MS)
        self.monotonic_ms = 1_000_000_000
        self.heard_ms: dict[tuple[int, int], int] = {}
        self.history: list[str] = []
        self.had_elr: set[Uuid] = set()
        levels = {FEATURE_NAME: level}
        if self.is_4 and MetadataVersion(level).is_elr_supported:
            levels[ELR_VERSION] = 1
        start = [
            ApiMessageAndVersion(FeatureLevelRecord(name=name, feature_level=value), 0)
            for name, value in levels.items()
        ]
        oracle.replay(start)
        self.apply(start)
        oracle.do("activate")

    @property
    def is_4(self) -> bool:
        return self.release.startswith("4")

    @property
    def has_directories(self) -> bool:
        """Whether the release knows of log directories: 3.7 and later."""
        return self.release != "3.6"

    def apply(self, records: list[ApiMessageAndVersion]) -> None:
        for record in records:
            self.image.apply(record.message, self.image.offset + 1, 1)
        self.had_elr.update(key.topic_id for key in self.image.with_elr)

    def run(self, what: str, theirs: Answer, operation: Operation, version: int = 0, *, whole: bool = True) -> Any:
        """Do the same here and compare; `whole`: the answer too. Gives our response, None for an error of all."""
        self.history.append(what)
        ctx = OperationContext(
            image=self.image,
            config=self.config,
            heartbeats=self.heartbeats,
            cluster_id=CLUSTER_ID,
            next_offset=self.image.offset + 1,
            now_ms=1_700_000_000_000,
            monotonic_ms=self.monotonic_ms,
            rng=self.rng,
        )
        try:
            result: ControllerResult[Any] = operation(ctx)
        except ApiError as error:
            self._require(int(error.code) == theirs.error, theirs, f"error {error}")
            return None
        if whole:
            self._require(theirs.response is not None, theirs, result.response)
            ours = comparable(to_json(result.response, version))
            self._require(ours == comparable(theirs.response), theirs, ours)
        ids = {
            mine.message.topic_id: other.message.topic_id
            for mine, other in zip(result.records, theirs.records, strict=False)
            if isinstance(mine.message, TopicRecord) and isinstance(other.message, TopicRecord)
        }
        expected = theirs.records
        if self.is_4 and what.startswith(("BrokerRegistration", "unregister")):
            expected = self._without_strays(expected)
        mine = _texts(result.records, ids)
        self._require(mine == _texts(expected, {}), theirs, mine)
        self.apply(theirs.records)
        return result.response

    def _without_strays(self, records: list[ApiMessageAndVersion]) -> list[ApiMessageAndVersion]:
        """Kafka 4.1's index of eligible leaders keeps partitions after ClearElrRecord took these from them, some twice,
        and looks after them too when a broker comes back or leaves for good. pykraft only does where it is one."""
        kept: list[ApiMessageAndVersion] = []
        for record in records:
            message, last = record.message, records[-1].message
            if isinstance(message, PartitionChangeRecord) and message.topic_id in self.had_elr:
                assert isinstance(last, (RegisterBrokerRecord, UnregisterBrokerRecord))
                partition = self.image.partition(message.topic_id, message.partition_id)
                assert partition is not None
                if last.broker_id not in (*partition.isr, *partition.elr) or record in kept:
                    continue
            kept.append(record)
        return kept

    def _is_redundant(self, records: list[ApiMessageAndVersion]) -> bool:
        """4.x fences a broker that is fenced already once more when its last session ends; pykraft leaves it."""
        last = records[-1].message if records else None
        return isinstance(last, BrokerRegistrationChangeRecord) and self.image.brokers[last.broker_id].fenced

    def _require(self, holds: bool, theirs: Answer, ours: Any) -> None:
        if not holds:
            recent = "\n".join(self.history[-12:])
            raise AssertionError(f"after {len(self.history)} steps:\n{recent}\nKafka: {theirs}\npykraft: {ours}")

    def ask(
        self,
        request: Message,
        version: int,
        operation: Callable[[OperationContext, Any], ControllerResult[Any]],
    ) -> Any:
        """Put a request to both."""
        self.tick(1)
        theirs = self.oracle.ask(request, version)
        sent = type(request).decode(request.encode(version), version)
        what = f"{type(request).__name__} v{version} {json.dumps(to_json(request, version))}"
        return self.run(what, theirs, lambda ctx: operation(ctx, sent), version)

    def tick(self, ms: int) -> None:
        """Time goes on, and brokers whose session ends are fenced, each at its time."""
        until_ms = self.monotonic_ms + ms
        while True:
            expiry_ms = self.heartbeats.next_expiry_ms()
            heard = [at + SESSION_MS + 1 for at in self.heard_ms.values() if at + SESSION_MS + 1 > self.monotonic_ms]
            step_ms = min([until_ms, *heard, *([] if expiry_ms is None else [expiry_ms])])
            self.oracle.do("advance", ms=step_ms - self.monotonic_ms)
            self.monotonic_ms = step_ms
            while True:
                theirs = self.oracle.do("fence")
                if self._is_redundant(theirs.records):
                    self.apply(theirs.records)
                    continue
                fenced = self.run(f"fence at {step_ms}", theirs, fence_stale_broker, whole=False)
                if not theirs.more and fenced is None:
                    break
            if step_ms == until_ms:
                return


def _texts(records: list[ApiMessageAndVersion], ids: dict[Uuid, Uuid]) -> list[str]:
    """The records as sorted text; the ids that we drew stand as the ones that Kafka drew."""
    texts = []
    for message, version in records:
        text = json.dumps(to_json(message, version), sort_keys=True)
        for mine, other in ids.items():
            text = text.replace(uuid_to_text(mine), uuid_to_text(other))
        texts.append(f"{type(message).__name__} v{version} {text}")
    return sorted(texts)
