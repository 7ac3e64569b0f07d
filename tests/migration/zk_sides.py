"""An image beside a ZooKeeper that its controller has claimed, the writer between them, and records for the image."""

from __future__ import annotations

from typing import Any

from pykraft.image.metadata_image import MetadataImage
from pykraft.migration.operations import ZkOperation, count_by_type
from pykraft.migration.states import EMPTY, ZkMigrationLeadershipState
from pykraft.migration.zk_contents import PlainPasswords
from pykraft.migration.zk_writer import ZkWriter
from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord
from pykraft.server.migration_reader import read_contents
from pykraft.server.migration_zookeeper import MigrationZooKeeper
from pykraft.testing.fake_zookeeper import FakeZooKeeper
from pykraft.zookeeper import paths
from pykraft.zookeeper.port import ANY_VERSION, Delete, SetData

from .house import children, content, make

EPOCH = 7
WRITER = ZkWriter(EPOCH)
TOPIC, BROKER, CLIENT_METRICS, GROUP = 2, 4, 16, 32

Entity = dict[str, str | None]


def topic_id(number: int) -> bytes:
    return bytes(15) + bytes([number])


def topic(number: int, name: str, partitions: int = 1, **fields: Any) -> list[Any]:
    return [
        TopicRecord(name=name, topic_id=topic_id(number)),
        *(partition(number, n, **fields) for n in range(partitions)),
    ]


def partition(number: int, index: int, **fields: Any) -> PartitionRecord:
    given_fields: dict[str, Any] = {
        "replicas": [0, 1],
        "isr": [0, 1],
        "leader": 0,
        "leader_epoch": 3,
        "partition_epoch": 4,
        **fields,
    }
    return PartitionRecord(topic_id=topic_id(number), partition_id=index, **given_fields)


def config(type_: int, name: str, key: str, value: str | None) -> ConfigRecord:
    return ConfigRecord(resource_type=type_, resource_name=name, name=key, value=value)


def quota(key: str, value: float, entity: Entity, *, remove: bool = False) -> ClientQuotaRecord:
    named = [EntityData(entity_type=kind, entity_name=name) for kind, name in entity.items()]
    return ClientQuotaRecord(entity=named, key=key, value=value, remove=remove)


def scram(user: str, mechanism: int = 1) -> UserScramCredentialRecord:
    return UserScramCredentialRecord(
        name=user, mechanism=mechanism, salt=b"s", stored_key=b"k", server_key=b"v", iterations=4096
    )


def acl(
    number: int, name: str, principal: str = "User:a", pattern: int = 3, type_: int = 2
) -> AccessControlEntryRecord:
    return AccessControlEntryRecord(
        id=topic_id(number),
        resource_type=type_,
        resource_name=name,
        pattern_type=pattern,
        principal=principal,
        host="*",
        operation=3,
        permission_type=3,
    )


class Sides:
    """An image, and a ZooKeeper that this controller has claimed."""

    def __init__(self) -> None:
        self.image = MetadataImage()
        self.server = FakeZooKeeper(now_ms=lambda: 1)
        make(self.server, {paths.CONTROLLER_EPOCH: "1", **dict.fromkeys(paths.PERSISTENT_PATHS)})
        self.port = self.server.connect()
        self.zookeeper = MigrationZooKeeper(self.port, lambda: 1)
        self.state = EMPTY.with_leader(3000, EPOCH)

    def apply(self, *records: Any) -> None:
        for record in records:
            self.image.apply(record, self.image.offset + 1, EPOCH)

    async def run(self, operations: list[ZkOperation]) -> dict[str, int]:
        if self.state.controller_epoch_zk_version < 0:
            outcome = await self.zookeeper.claim(self.state)
            assert isinstance(outcome, ZkMigrationLeadershipState)
            self.state = outcome
        self.state = await self.zookeeper.write(operations, self.state, store=True)
        return dict(count_by_type(operations))

    async def follow(self, *records: Any) -> dict[str, int]:
        """Commit records and write their delta."""
        self.apply(*records)
        delta = self.image.take_delta()
        assert delta is not None
        return await self.run(WRITER.delta(self.image, delta))

    async def reconcile(self) -> dict[str, int]:
        contents = await read_contents(self.port, PlainPasswords(), strict=False)
        return await self.run(WRITER.reconcile(self.image, contents))

    async def both(self, *records: Any) -> dict[str, int]:
        """Follow records, and see that a reconcile finds nothing left to do."""
        counts = await self.follow(*records)
        assert await self.reconcile() == {}
        return counts

    def config_changes(self) -> list[str]:
        return [
            content(self.server, f"{paths.CONFIG_CHANGES}/{name}")["entity_path"]
            for name in children(self.server, paths.CONFIG_CHANGES)
        ]

    def set(self, path: str, data: str) -> None:
        self.server.tree.multi([SetData(path, data.encode(), ANY_VERSION)], 0, ())

    def delete(self, *deleted: str) -> None:
        results = self.server.tree.multi([Delete(path, ANY_VERSION) for path in deleted], 0, ())
        assert all(result.code == 0 for result in results)
