"""A controller's writer and migration runner around a ZooKeeper, without log, sockets or brokers."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import trio

from pykraft.controller.activation import activation_records
from pykraft.controller.config import ControllerConfig
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import MetadataVersion
from pykraft.log.batch import decode_batch
from pykraft.migration.states import MigrationDriverState
from pykraft.migration.zk_contents import PasswordEncoder, PlainPasswords
from pykraft.migration.zk_writer import ZkWriter
from pykraft.protocol.jsonconv import from_json, to_json
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record
from pykraft.protocol.records.register_broker_record import BrokerEndpoint, RegisterBrokerRecord
from pykraft.protocol.records.register_controller_record import RegisterControllerRecord
from pykraft.server.migration_reader import read_contents
from pykraft.server.migration_runner import MigrationRunner
from pykraft.server.writer import Writer
from pykraft.testing.fake_zookeeper import FakeZooKeeper
from pykraft.zookeeper.acls import WORLD_ALL
from pykraft.zookeeper.paths import ancestors
from pykraft.zookeeper.port import Create, SetData, ZooKeeperPort, failed_index

DATA = Path(__file__).parent.parent / "data" / "migration"
NODE_ID = 3000
KRAFT_EPOCH = 1
WAIT_S = 90.0
"""Longer than the longest poll pause: with a virtual clock it costs nothing."""

DUAL_WRITE = MigrationDriverState.DUAL_WRITE


def log_records(first: int, last: int) -> list[tuple[int, ApiMessageAndVersion]]:
    """(offset, record) of the recorded log between two offsets, both included."""
    entries = json.loads((DATA / "metadata-log.json").read_text())
    return [(entry["offset"], _from_dump(**entry)) for entry in entries if first <= entry["offset"] <= last]


def _from_dump(offset: int, type: str, version: int, data: object) -> ApiMessageAndVersion:  # noqa: A002  its name
    module = import_module(f"pykraft.protocol.records.{type.lower()}")
    message = from_json(getattr(module, type.title().replace("_", "")), data, version)
    return ApiMessageAndVersion(message, version)


def as_json(record: ApiMessageAndVersion) -> dict[str, Any]:
    return {
        "type": type(record.message).__name__,
        "version": record.version,
        "data": to_json(record.message, record.version),
    }


@dataclass
class FakeChannels:
    """Remembers what brokers would have been told."""

    sent: list[str] = field(default_factory=list)
    on_send: Callable[[], None] = lambda: None

    def publish_full(self, image: MetadataImage, zk_controller_epoch: int) -> None:
        self.sent.append(f"full {zk_controller_epoch}")
        self.on_send()

    def publish_delta(self, image: MetadataImage, delta: MetadataDelta, zk_controller_epoch: int) -> None:
        self.sent.append(f"delta {zk_controller_epoch}")
        self.on_send()

    def stop_all(self) -> None:
        self.sent.append("stop")


@dataclass
class Log:
    """Committed records, encoded, that outlive a House."""

    records: list[bytes] = field(default_factory=list)
    commit_s: float = 0.0

    async def append(self, batches: Sequence[bytes]) -> None:
        await trio.sleep(self.commit_s)
        for data in batches:
            batch = decode_batch(data)
            assert batch.header.base_offset == len(self.records)
            self.records += batch.values

    def image(self, epoch: int = KRAFT_EPOCH) -> MetadataImage:
        image = MetadataImage()
        for offset, record in enumerate(self.records):
            image.apply(decode_record(record).message, offset, epoch)
        image.take_delta()
        return image

    def decoded(self) -> list[ApiMessageAndVersion]:
        return [decode_record(record) for record in self.records]


@dataclass(eq=False)
class House:
    """One term of leadership of one controller."""

    port: ZooKeeperPort
    log: Log
    writer: Writer
    runner: MigrationRunner
    channels: FakeChannels
    events: list[dict[str, Any]]
    image: MetadataImage

    async def write(self, *records: Any, version: int = 0) -> int:
        """Commit records in one go; gives the offset of the last."""
        tagged = [r if isinstance(r, ApiMessageAndVersion) else ApiMessageAndVersion(r, version) for r in records]

        def operation(ctx: OperationContext) -> ControllerResult[int]:
            return ControllerResult(ctx.next_offset + len(tagged) - 1, list(tagged))

        return await self.writer.write(operation, runs_in_premigration=True)

    async def register_brokers(self, *ids: int, zk: bool = True) -> None:
        for broker_id in ids:
            await self.write(
                RegisterBrokerRecord(
                    broker_id=broker_id,
                    is_migrating_zk_broker=zk,
                    broker_epoch=self.writer.next_offset,
                    fenced=False,
                    incarnation_id=bytes(15) + bytes([broker_id + 1]),
                    end_points=[BrokerEndpoint(name="PLAINTEXT", host="h", port=9000, security_protocol=0)],
                ),
                version=3,
            )

    @property
    def state(self) -> MigrationDriverState:
        return self.runner.driver.state

    async def until(self, reached: Callable[[], bool], what: str = "") -> None:
        with trio.move_on_after(WAIT_S) as scope:
            while not reached():  # noqa: ASYNC110  what is waited for gives no event
                await trio.sleep(0.01)
        if scope.cancelled_caught:
            raise AssertionError(f"never happened: {what}; {self.state}; {self.events[-3:]}")

    async def until_state(self, state: MigrationDriverState) -> None:
        await self.until(lambda: self.state is state, state.name)

    async def until_written(self, offset: int | None = None) -> None:
        """Until ZooKeeper is up to date with everything committed."""
        await self.until(
            lambda: (
                self.state is DUAL_WRITE
                and self.runner.metrics.zk_write_behind_lag == 0
                and not self.runner.driver.is_writing
            ),
            "ZooKeeper is up to date",
        )

    def waiting(self) -> str:
        """The last reason for which the migration waits."""
        reasons: list[str] = [e["reason"] for e in self.events if e["event"] == "migration_waiting"]
        return reasons[-1] if reasons else ""

    def states(self) -> list[str]:
        return [e["state"] for e in self.events if e["event"] == "migration_state"]

    async def differences(self) -> list[str]:
        """What a reconcile would write: nothing when ZooKeeper holds what the image holds."""
        contents = await read_contents(self.port, PlainPasswords(), strict=False)
        operations = ZkWriter(KRAFT_EPOCH).reconcile(self.image, contents)
        return [f"{operation.type} {operation.subject}" for operation in operations]


@asynccontextmanager
async def house(
    port: ZooKeeperPort,
    *,
    log: Log | None = None,
    epoch: int = KRAFT_EPOCH,
    node_id: int = NODE_ID,
    metadata_version: MetadataVersion = MetadataVersion.IBP_3_9_IV0,
    lead: bool = True,
    register_controller: bool = True,
    passwords: PasswordEncoder | None = None,
) -> AsyncIterator[House]:
    """Run writer and runner on a log; `lead` activates and tells the runner so."""
    log = log if log is not None else Log()
    image = log.image(epoch)
    config = ControllerConfig(
        node_id=node_id,
        metadata_version=metadata_version,
        zookeeper_connect="zk:2181",
        zookeeper_metadata_migration_enable=True,
    )
    writer = Writer(
        config=config,
        cluster_id="cluster",
        rng=Random(1),
        append=log.append,
        reload=lambda offset: log.image(epoch),
        now_ms=lambda: 1_000,
    )
    await writer.lead(image, epoch, len(log.records))
    events: list[dict[str, Any]] = []

    def emit(event: str, **fields: object) -> None:
        events.append({"event": event, **fields})

    channels = FakeChannels()
    runner = MigrationRunner(
        port=port,
        writer=writer,
        channels=channels,
        config=config,
        voter_ids=frozenset((node_id,)),
        rng=Random(2),
        emit=emit,
        now_ms=lambda: 1_700_000_000_000,
        passwords=passwords,
    )
    writer.subscribe(runner.publish)
    made = House(port, log, writer, runner, channels, events, image)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await nursery.start(runner.run)
        if lead:
            await writer.write(activation_records, runs_in_premigration=True)
            if register_controller:
                await made.write(RegisterControllerRecord(controller_id=node_id, zk_migration_ready=True))
            runner.leader_changed(node_id, epoch)
        yield made
        nursery.cancel_scope.cancel()


def load(server: FakeZooKeeper, tree: dict[str, Any]) -> None:
    """Put a dumped tree into the fake, versions and all."""
    port = server.connect()
    for path in sorted(tree):
        node = tree[path]
        data = None if node["data"] is None else base64.b64decode(node["data"])
        results = server.tree.multi([Create(path, data, acls=WORLD_ALL, ephemeral=False)], port.session_id, ())
        assert failed_index(results) is None, (path, results)
        for _ in range(node["version"]):
            server.tree.multi([SetData(path, data, -1)], port.session_id, ())
    port.close()


def make(server: FakeZooKeeper, nodes: dict[str, bytes | str | None]) -> None:
    """Create znodes with what is missing above them."""
    for path, data in nodes.items():
        for above in ancestors(path):
            if above not in server.tree.nodes:
                server.tree.multi([Create(above, acls=WORLD_ALL)], 0, ())
        content = data.encode() if isinstance(data, str) else data
        results = server.tree.multi([Create(path, content, acls=WORLD_ALL)], 0, ())
        assert failed_index(results) is None, (path, results)


def text(server: FakeZooKeeper, path: str) -> str:
    return (server.tree.nodes[path].data or b"").decode()


def content(server: FakeZooKeeper, path: str) -> Any:
    return json.loads(text(server, path))


def children(server: FakeZooKeeper, path: str) -> list[str]:
    return sorted(server.tree.nodes[path].children) if path in server.tree.nodes else []


def everything(server: FakeZooKeeper, under: Iterable[str] = ("/",)) -> dict[str, bytes | None]:
    return {path: node.data for path, node in server.tree.nodes.items() if path.startswith(tuple(under))}
