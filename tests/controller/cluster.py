"""A controller without a server: one image, its operations, and a clock that moves when told to."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from pykraft.controller.config import ControllerConfig
from pykraft.controller.fencing import fence_stale_broker, process_broker_heartbeat
from pykraft.controller.heartbeats import BrokerHeartbeatManager
from pykraft.controller.registration import register_broker
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.controller.topics import create_topics
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import FEATURE_NAME, MetadataVersion
from pykraft.image.model import PartitionRegistration, ZkMigrationState
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_heartbeat_response import BrokerHeartbeatResponseData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature, Listener
from pykraft.protocol.messages.create_topics_request import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.create_topics_response import CreatableTopicResult
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record, encode_record
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from pykraft.protocol.uuids import Uuid, random_uuid

CLUSTER_ID = "vPeOCWypqUOSepEvx0cbog"
SESSION_MS = 9_000
ResultT = TypeVar("ResultT")


class Cluster:
    """Runs operations and applies their records, each through its bytes, as the writer and the log would."""

    def __init__(
        self,
        version: MetadataVersion = MetadataVersion.IBP_3_9_IV0,
        *,
        migration: bool = False,
        state: ZkMigrationState = ZkMigrationState.NONE,
        seed: int = 0,
        **config: Any,
    ) -> None:
        """`config`: Kafka's keys with `_` for `.`."""
        properties = {"node.id": "3000", "inter.broker.protocol.version": version.text}
        if migration:
            properties |= {"zookeeper.metadata.migration.enable": "true", "zookeeper.connect": "zk:2181"}
        properties |= {key.replace("_", "."): str(value) for key, value in config.items()}
        self.config = ControllerConfig.from_properties(properties)
        self.image = MetadataImage()
        self.heartbeats = BrokerHeartbeatManager(SESSION_MS)
        self.rng = Random(seed)
        self.monotonic_ms = 1_000_000
        self.log: list[ApiMessageAndVersion] = []
        self.written: list[ApiMessageAndVersion] = []
        start: list[Any] = [FeatureLevelRecord(name=FEATURE_NAME, feature_level=version.value)]
        if state is not ZkMigrationState.NONE:
            start.append(ZkMigrationStateRecord(zk_migration_state=state.value))
        self.apply([ApiMessageAndVersion(record, 0) for record in start])

    def ctx(self) -> OperationContext:
        return OperationContext(
            image=self.image,
            config=self.config,
            heartbeats=self.heartbeats,
            cluster_id=CLUSTER_ID,
            next_offset=self.image.offset + 1,
            now_ms=1_700_000_000_000,
            monotonic_ms=self.monotonic_ms,
            rng=self.rng,
        )

    def apply(self, records: list[ApiMessageAndVersion]) -> None:
        for record in records:
            data = encode_record(record.message, record.version)
            read = decode_record(data)
            assert read == record
            self.image.apply(read.message, self.image.offset + 1, 1)
            self.log.append(read)
        self.written = records

    def run(self, operation: Callable[[OperationContext], ControllerResult[ResultT]]) -> ResultT:
        result = operation(self.ctx())
        self.apply(result.records)
        return result.response

    @property
    def messages(self) -> list[Any]:
        """The records that the last operation wrote."""
        return [record.message for record in self.written]

    # -- brokers -------------------------------------------------------------------------------------------------

    def registration(self, broker_id: int, **changes: Any) -> BrokerRegistrationRequestData:
        level = self.image.metadata_version.value
        fields: dict[str, Any] = {
            "broker_id": broker_id,
            "cluster_id": CLUSTER_ID,
            "incarnation_id": random_uuid(self.rng),
            "listeners": [Listener("PLAINTEXT", f"broker{broker_id}", 9092, 0)],
            "features": [Feature(FEATURE_NAME, 1, max(level, 1))],
            "rack": None,
            "log_dirs": [directory_of(broker_id)],
        }
        return BrokerRegistrationRequestData(**(fields | changes))

    def register(self, broker_id: int, **changes: Any) -> int:
        """Register a broker, which stays fenced; gives its epoch."""
        request = self.registration(broker_id, **changes)
        return self.run(lambda ctx: register_broker(ctx, request)).broker_epoch

    def start(self, *broker_ids: int, racks: dict[int, str] | None = None) -> None:
        """Register brokers and unfence them."""
        for broker_id in broker_ids:
            self.register(broker_id, rack=(racks or {}).get(broker_id))
            assert not self.heartbeat(broker_id).is_fenced

    def heartbeat(
        self,
        broker_id: int,
        *,
        fence: bool = False,
        shut_down: bool = False,
        offset: int | None = None,
        offline: list[Uuid] | None = None,
    ) -> BrokerHeartbeatResponseData:
        request = BrokerHeartbeatRequestData(
            broker_id=broker_id,
            broker_epoch=self.image.brokers[broker_id].epoch,
            want_fence=fence,
            want_shut_down=shut_down,
            offline_log_dirs=offline or [],
            current_metadata_offset=self.image.offset if offset is None else offset,
        )
        return self.run(lambda ctx: process_broker_heartbeat(ctx, request))

    def expire(self, *broker_ids: int) -> None:
        """Let the session of these brokers end and fence them; the others keep sending heartbeats."""
        self.monotonic_ms += SESSION_MS + 1
        for broker in list(self.image.brokers.values()):
            if broker.id not in broker_ids:
                self.heartbeat(broker.id, fence=broker.fenced)
        while self.run(fence_stale_broker) is not None:
            pass

    # -- topics --------------------------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        *replicas: list[int],
        partitions: int = -1,
        replication_factor: int = -1,
        configs: dict[str, str | None] | None = None,
        validate_only: bool = False,
        api_version: int = 7,
    ) -> CreatableTopicResult:
        """Create one topic, which must succeed, with the replicas of each partition or as many of both as wanted."""
        topic = CreatableTopic(
            name,
            partitions,
            replication_factor,
            [CreatableReplicaAssignment(number, list(ids)) for number, ids in enumerate(replicas)],
            [CreatableTopicConfig(key, value) for key, value in (configs or {}).items()],
        )
        request = CreateTopicsRequestData(topics=[topic], validate_only=validate_only)
        [result] = self.run(lambda ctx: create_topics(ctx, request, api_version)).topics
        assert result.error_code == 0, result.error_message
        return result

    def partition(self, name: str, number: int = 0) -> PartitionRegistration:
        return self.image.topics_by_name[name].partitions[number]


def directory_of(broker_id: int, number: int = 0) -> Uuid:
    """The id of a log directory of a broker."""
    return bytes([0xD0, broker_id, number]) + bytes(12) + b"\x01"
