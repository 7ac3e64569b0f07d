"""A controller node: storage, quorum, writer, listener and timers, joined and run together."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import trio

from pykraft.controller.activation import ActivationError
from pykraft.controller.authorizer import Authorizer
from pykraft.controller.config import ControllerConfig
from pykraft.controller.controller_registration import own_registration
from pykraft.controller.errors import ApiError
from pykraft.controller.mutation_quotas import ControllerMutationQuotas
from pykraft.controller.releases import has_mutation_quotas, refuses_non_voters
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import Endpoint, ZkMigrationState
from pykraft.log.errors import LogError
from pykraft.log.metadata_log import MetadataLog
from pykraft.log.quorum_state import read_quorum_state
from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.uuids import random_uuid
from pykraft.raft.events import LeaderChanged
from pykraft.raft.quorum import QuorumConfig, QuorumNode
from pykraft.server.announcer import Announcer
from pykraft.server.bootstrap import activate
from pykraft.server.events import Emit
from pykraft.server.features import NO_FEATURES, FinalizedFeatures
from pykraft.server.listener import Listener, bind
from pykraft.server.maintenance import run_maintenance
from pykraft.server.quorum_driver import QuorumDriver
from pykraft.server.recorded_quorum import DYNAMIC, quorum_records, recorded_quorum
from pykraft.server.releases import controller_apis
from pykraft.server.snapshots import Snapshots
from pykraft.server.storage import Storage, StorageError, open_storage, replay
from pykraft.server.writer import Writer

if TYPE_CHECKING:
    from pykraft.server.migration import Migration

log = logging.getLogger(__name__)

SHUTDOWN_MS_MAX: Final = 5_000
PLAINTEXT: Final = 0


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What a node is started with, beside Kafka's configuration.

    `cluster_id` None takes that of the data directory or draws one. `port` 0 takes a free one. `advertised` is where
    brokers reach the node; None is the address listened on, with this machine's name for all addresses.
    """

    data_directory: Path
    host: str = "127.0.0.1"
    port: int = 9093
    advertised: tuple[str, int] | None = None
    cluster_id: str | None = None
    seed: int | None = None


@dataclass(eq=False)
class Node:
    """One controller, the only voter of its quorum. `run` is its whole life."""

    config: ControllerConfig
    settings: NodeSettings
    emit: Emit
    apis: Mapping[ApiKey, tuple[int, int]] = field(init=False)
    cluster_id: str = field(init=False)
    log: MetadataLog = field(init=False)
    writer: Writer = field(init=False)
    quorum: QuorumDriver = field(init=False)
    snapshots: Snapshots = field(init=False)
    endpoint: Endpoint = field(init=False)
    kraft_version: int = field(init=False)
    authorizer: Authorizer = field(init=False)
    mutation_quotas: ControllerMutationQuotas = field(init=False)
    finalized_features: FinalizedFeatures = NO_FEATURES
    leader_id: int = -1

    def __post_init__(self) -> None:
        self.apis = controller_apis(self.config.release)
        self.rng = Random(self.settings.seed)
        self.authorizer = Authorizer(self.config)
        self.mutation_quotas = ControllerMutationQuotas(
            self.config.controller_quota_window_num, self.config.controller_quota_window_size_seconds * 1000
        )
        self._migration: Migration | None = None
        self._leaders_send, self._leaders_receive = trio.open_memory_channel[LeaderChanged](1000)
        self._incarnation_id = random_uuid(self.rng)
        self._started = trio.Event()
        self._clock_start_ms = time.time() * 1000 - trio.current_time() * 1000

    @property
    def address(self) -> str:
        """Where brokers reach the node, `host:port`."""
        return f"{self.endpoint.host}:{self.endpoint.port}"

    def now_ms(self) -> int:
        """Wall-clock time in ms since 1970 that never goes back."""
        return int(self._clock_start_ms + trio.current_time() * 1000)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start, report ready, serve until cancelled, and stop in order.

        Raises LogError, StorageError, ListenError, ReplayError, ActivationError or OSError when it cannot start;
        WriterStoppedError when the log fails it later (inside an ExceptionGroup, as a nursery gives it).
        """
        if not self.config.zookeeper_metadata_migration_enable:
            await self._run(self.settings.cluster_id, task_status)
            return
        from pykraft.server.migration import open_migration

        async with open_migration(self.config) as migration:
            self._migration = migration
            cluster_id = await migration.cluster_id(self.settings.data_directory, self.settings.cluster_id)
            await self._run(cluster_id, task_status)

    async def _run(self, cluster_id: str | None, task_status: trio.TaskStatus[None]) -> None:
        storage = open_storage(self.settings.data_directory, self.config, cluster_id, self.rng)
        with closing(storage.log):
            self.cluster_id, self.log = storage.cluster_id, storage.log
            sockets = await bind(self.settings.host, self.settings.port)
            try:
                self.endpoint = self._endpoint(sockets)
                self.config = replace(self.config, properties=self._own_properties())
                self._assemble(storage)
                await self._serve(storage, sockets, task_status)
            finally:
                for each in sockets:
                    each.socket.close()

    def _endpoint(self, sockets: Sequence[trio.SocketListener]) -> Endpoint:
        host, port = self.settings.advertised or (self.settings.host, sockets[0].socket.getsockname()[1])
        if host in ("", "0.0.0.0", "::"):
            host = socket.getfqdn()
        return Endpoint(self.config.controller_listener_names[0], host, port, PLAINTEXT)

    def _own_properties(self) -> Mapping[str, str]:
        """What was configured, and what the file of a Kafka controller that is as this one would say beside."""
        config, name = self.config, self.endpoint.name
        own = {
            "process.roles": "controller",
            "node.id": str(config.node_id),
            "controller.listener.names": name,
            "listeners": f"{name}://{self.address}",
            "log.dirs": str(self.settings.data_directory),
        }
        if not config.has_dynamic_quorum:
            own["controller.quorum.voters"] = f"{config.node_id}@{self.address}"
        return MappingProxyType(own | dict(config.properties))

    def _assemble(self, storage: Storage) -> None:
        config, node_id = self.config, self.config.node_id
        stored = read_quorum_state(storage.log.directory)
        recorded = recorded_quorum(storage.log, stored, config, storage.directory_id, self.endpoint)
        self.kraft_version = recorded.kraft_version
        self._directory_id = storage.directory_id
        quorum = QuorumNode(
            QuorumConfig(
                node_id=node_id,
                cluster_id=self.cluster_id,
                voters=(node_id,),
                endpoints={self.endpoint.name: (self.endpoint.host, self.endpoint.port)},
                directory_id=storage.directory_id,
                refuses_non_voters=refuses_non_voters(config.release),
                kraft_version=recorded.kraft_version,
                missing_records=recorded.missing,
            ),
            storage.log,
            stored,
            self.rng,
        )
        self.quorum = QuorumDriver(
            quorum, storage.log, now_ms=self.now_ms, on_leader_change=self._leaders_send.send_nowait
        )
        self.writer = Writer(
            config=config,
            cluster_id=self.cluster_id,
            rng=self.rng,
            append=self.quorum.append,
            reload=lambda offset: replay(storage.log, offset),
            now_ms=self.now_ms,
            kraft_version=recorded.kraft_version,
        )
        self.snapshots = Snapshots(self.writer, storage.log, config, self.now_ms, recorded.records)
        self.writer.subscribe(self.authorizer.update)
        if has_mutation_quotas(config.release):
            self.writer.subscribe(self.mutation_quotas.update)
        self.writer.subscribe(self._remember_features)
        self.writer.subscribe(Announcer(self.emit))
        if self._migration is not None:
            self._migration.attach(self)

    async def _serve(
        self, storage: Storage, sockets: list[trio.SocketListener], task_status: trio.TaskStatus[None]
    ) -> None:
        async with trio.open_nursery() as base:
            await base.start(self.quorum.run)
            await base.start(self.writer.run)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._follow_leadership, storage)
                    if self._migration is not None:
                        nursery.start_soon(self._migration.run, self.cluster_id)
                    await self._started.wait()
                    nursery.start_soon(Listener(self, self.endpoint.name, sockets).serve)
                    nursery.start_soon(run_maintenance, self.writer, self.config)
                    nursery.start_soon(self.snapshots.run)
                    task_status.started()
            finally:
                with trio.move_on_after(SHUTDOWN_MS_MAX / 1000, shield=True):
                    await self.quorum.shut_down()
                log.info("Shut down completed")
                base.cancel_scope.cancel()

    async def upgrade_kraft_version(self) -> None:
        """Keep the voters, which is this node, in the log from now on: kraft.version 1. Raises ApiError, OSError."""
        records = quorum_records(self.config.node_id, self._directory_id, self.endpoint)
        await self.quorum.move_voters_to_log()
        await self.writer.upgrade_kraft_version(records)
        self.snapshots.quorum_records = records
        self.kraft_version = DYNAMIC
        log.info("The voters are in the log from here on: kraft.version %d.", DYNAMIC)

    def _report_ready(self) -> None:
        node_id = self.config.node_id
        log.info("Kafka Server started: node %d of cluster %s at %s", node_id, self.cluster_id, self.address)
        self.emit("ready", node_id=node_id, cluster_id=self.cluster_id, listener=self.address)

    async def _follow_leadership(self, storage: Storage) -> None:
        """Load the image and activate when this node becomes leader; hold the writer still while it is not."""
        async for change in self._leaders_receive:
            if change.leader_id != self.config.node_id:
                self.writer.resign()
                self.leader_id = -1 if change.leader_id is None else change.leader_id
                log.info("In the new epoch %d, the leader is %s.", change.epoch, change.leader_id)
                self._tell_migration(change)
                continue
            try:
                await self._lead(storage, change.epoch)
            except ApiError as error:
                if error.code is not ErrorCode.NOT_CONTROLLER:
                    raise
                log.info("Leadership of epoch %d was lost before the controller was active.", change.epoch)
                continue
            self.leader_id = self.config.node_id
            if not self._started.is_set():
                self._report_ready()  # The first line on stdout, before anything else there is to tell.
            self.emit("leader", epoch=change.epoch)
            self._tell_migration(change)
            self._started.set()

    async def _lead(self, storage: Storage, epoch: int) -> None:
        image = replay(storage.log)
        image.take_delta()
        end_offset = storage.log.end_offset
        log.info("Becoming the active controller at epoch %d, next write offset %d.", epoch, end_offset)
        if image.zk_migration_state is not ZkMigrationState.NONE:
            log.info("The migration state in the log is %s.", image.zk_migration_state.name)
        if image.features:
            self.finalized_features = FinalizedFeatures(dict(image.features), image.offset)
        self.authorizer.load(image)
        if has_mutation_quotas(self.config.release):
            self.mutation_quotas.load(image)
        await self.writer.lead(image, epoch, end_offset)
        await self.writer.write(
            lambda ctx: activate(ctx, self.settings.data_directory),
            name="completeActivation",
            runs_in_premigration=True,
            raises=(ActivationError, StorageError, LogError, OSError),
        )
        await self.writer.write(self._register, name="registerController", runs_in_premigration=True)

    def _tell_migration(self, change: LeaderChanged) -> None:
        if self._migration is not None:
            self._migration.leader_changed(change.leader_id, change.epoch)

    def _register(self, context: OperationContext) -> ControllerResult[None]:
        return own_registration(context, self._incarnation_id, [self.endpoint])

    def _remember_features(self, image: MetadataImage, delta: MetadataDelta) -> None:
        if delta.features:
            self.finalized_features = FinalizedFeatures(dict(image.features), image.offset)
