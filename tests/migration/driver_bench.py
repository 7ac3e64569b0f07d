"""A migration driver on a bench: what happens to it is told, what it wants done is looked at."""

from __future__ import annotations

from random import Random
from typing import Any, TypeVar

from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ZkMigrationState
from pykraft.migration import effects, events
from pykraft.migration.driver import MigrationDriver
from pykraft.migration.states import EMPTY, ZkMigrationLeadershipState
from pykraft.migration.states import MigrationDriverState as S
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.register_broker_record import BrokerEndpoint, RegisterBrokerRecord
from pykraft.protocol.records.register_controller_record import RegisterControllerRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord

NODE, EPOCH = 3000, 5
E = TypeVar("E", bound=effects.Effect)
READ = EMPTY.with_migration_version(3)


class Bench:
    """A driver, an image, and a clock that stands still until it is told to go on."""

    def __init__(self, *, voters: tuple[int, ...] = (NODE,), version: int = 21) -> None:
        self.image = MetadataImage()
        self.driver = MigrationDriver(NODE, voters, Random(7))
        self.now_ms = 1_000
        self.effects: list[effects.Effect] = []
        self.write: effects.Reconcile | effects.WriteZk | None = None
        self.apply(
            FeatureLevelRecord(name="metadata.version", feature_level=version),
            ZkMigrationStateRecord(zk_migration_state=ZkMigrationState.PRE_MIGRATION),
            *(RegisterControllerRecord(controller_id=id_, zk_migration_ready=True) for id_ in voters),
        )

    def apply(self, *records: Any) -> MetadataDelta:
        for record in records:
            self.image.apply(record, self.image.offset + 1, EPOCH)
        delta = self.image.take_delta()
        assert delta is not None
        return delta

    def step(self, event: events.Event) -> list[effects.Effect]:
        self.effects = self.driver.step(event, self.image, self.now_ms)
        self.write = next((e for e in self.effects if isinstance(e, effects.Reconcile | effects.WriteZk)), self.write)
        return self.effects

    def change(self, *records: Any) -> list[effects.Effect]:
        """Commit records and tell the driver."""
        return self.step(events.MetadataChanged(self.apply(*records)))

    def one(self, kind: type[E]) -> E:
        """The only effect of a kind of the last step."""
        (found,) = (effect for effect in self.effects if isinstance(effect, kind))
        return found

    def has(self, *kinds: type[effects.Effect]) -> bool:
        return any(isinstance(effect, kinds) for effect in self.effects)

    def at(self, state: S) -> bool:
        return self.driver.state is state

    # -- shortcuts, each from the state before it -----------------------------------------------------------------

    def lead(self, read: ZkMigrationLeadershipState = READ) -> None:
        self.step(events.Poll())
        self.step(events.MigrationStateRead(self.one(effects.ReadMigrationState).job, read))
        self.step(events.LeaderChanged(NODE, EPOCH))
        self.step(events.MigrationStateRead(self.one(effects.ReadMigrationState).job, read))

    def register(self, *ids: int) -> None:
        self.change(*(zk_broker(id_) for id_ in ids))

    def brokers_found(self) -> None:
        self.lead()
        job = self.one(effects.ReadBrokerIds).job
        self.register(0, 1)
        self.step(events.BrokerIdsRead(job, {0: "h:1", 1: "h:2"}))
        self.step(events.AssignedBrokersRead(self.one(effects.ReadAssignedBrokers).job, {0: "t-0"}, []))

    def claimed(self) -> None:
        claim = self.one(effects.Claim)
        self.step(events.Claimed(claim.job, claim.state.with_zk_controller(6, 8).with_migration_version(4)))

    def dual_write(self) -> None:
        self.brokers_found()
        self.claimed()
        copy = self.one(effects.CopyMetadata)
        self.change(ZkMigrationStateRecord(zk_migration_state=ZkMigrationState.MIGRATION))
        self.step(events.Copied(copy.job, self.image.offset, EPOCH))
        self.write_done()
        assert self.at(S.DUAL_WRITE)

    def write_done(self, version: int = 10) -> list[effects.Effect]:
        """The write that runs has come to its end."""
        assert self.write is not None
        return self.step(events.Written(self.write.job, self.write.state.with_migration_version(version), {}))


def zk_broker(id_: int, listener: str = "PLAINTEXT", protocol: int = 0) -> RegisterBrokerRecord:
    end = BrokerEndpoint(name=listener, host="h", port=9000 + id_, security_protocol=protocol)
    return RegisterBrokerRecord(broker_id=id_, is_migrating_zk_broker=True, end_points=[end])


def topic(id_: int, name: str, partitions: int = 1) -> list[Any]:
    return [
        TopicRecord(name=name, topic_id=bytes(15) + bytes([id_])),
        *(
            PartitionRecord(
                topic_id=bytes(15) + bytes([id_]),
                partition_id=n,
                replicas=[0, 1],
                isr=[0, 1],
                leader=0,
                leader_epoch=0,
                partition_epoch=0,
            )
            for n in range(partitions)
        ),
    ]


def config(value: str) -> ConfigRecord:
    return ConfigRecord(resource_type=4, resource_name="0", name="log.cleaner.threads", value=value)
