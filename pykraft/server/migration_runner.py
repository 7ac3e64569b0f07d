"""Runs the migration driver: feeds it events, does what it wants done on ZooKeeper, the log and the brokers.

Every step of the driver takes place in the writer, on a committed image. One job runs at a time; of leader changes
only the newest is kept, of timers only the last one set.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final, Protocol

import trio

from pykraft.controller.config import ControllerConfig
from pykraft.controller.errors import ApiError
from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.migration import effects, events
from pykraft.migration.claim import ClaimRefusal
from pykraft.migration.driver import MigrationDriver
from pykraft.migration.operations import UnrepairableError, count_by_type
from pykraft.migration.zk_contents import PasswordEncoder, PlainPasswords
from pykraft.protocol.errors import ErrorCode
from pykraft.server.events import Emit
from pykraft.server.migration_copy import MetadataWriter, copy_metadata, reconcile
from pykraft.server.migration_reader import broker_addresses, children, read_assignments, scram_users, topic_names
from pykraft.server.migration_zookeeper import FencedError, MigrationZooKeeper
from pykraft.zookeeper import paths
from pykraft.zookeeper.errors import (
    AuthError,
    ConnectionLossError,
    NotConnectedError,
    RequestFailedError,
    SessionExpiredError,
    ZkCode,
    ZooKeeperError,
)
from pykraft.zookeeper.port import SessionState, ZooKeeperPort
from pykraft.zookeeper.znodes import ZnodeError

log = logging.getLogger(__name__)

NO_IMAGE: Final = -1
"""The metric ZkMigrationState before the first image."""

RECONNECTED_PAUSE_MS: Final = 100
"""Between a new connection and the poll it gives rise to: bounds what a connection that comes and goes may cost."""

_AUTH_CODES: Final = (ZkCode.NO_AUTH, ZkCode.AUTH_FAILED, ZkCode.SESSION_CLOSED_REQUIRE_SASL_AUTH)
_LOST: Final = (ConnectionLossError, NotConnectedError, SessionExpiredError)


class Channels(Protocol):
    """What the migration needs of the broker channels; all of it synchronous, called in the writer."""

    def publish_full(self, image: MetadataImage, zk_controller_epoch: int) -> None: ...

    def publish_delta(self, image: MetadataImage, delta: MetadataDelta, zk_controller_epoch: int) -> None: ...

    def stop_all(self) -> None: ...


@dataclass(slots=True)
class MigrationMetrics:
    """Kafka's gauges under Kafka's meaning; times are in ms, of the last write of their kind."""

    zk_migration_state: int = NO_IMAGE
    migrating_zk_broker_count: int = 0
    zk_write_behind_lag: int = 0
    zk_write_snapshot_time_ms: int = 0
    zk_write_delta_time_ms: int = 0


class MigrationRunner:
    """The migration of one controller. `now_ms` is the wall clock, in ms since 1970; the rest runs on trio's clock."""

    def __init__(
        self,
        *,
        port: ZooKeeperPort,
        writer: MetadataWriter,
        channels: Channels,
        config: ControllerConfig,
        voter_ids: frozenset[int],
        rng: Random,
        emit: Emit,
        now_ms: Callable[[], int],
        passwords: PasswordEncoder | None = None,
    ) -> None:
        self.metrics = MigrationMetrics()
        self._node_id = config.node_id
        self._batch_records_min = config.zookeeper_metadata_migration_min_batch_size
        self._zookeeper_connect = config.zookeeper_connect
        self._port = port
        self._zookeeper = MigrationZooKeeper(port, now_ms)
        self._writer = writer
        self._channels = channels
        self._rng = rng
        self._emit = emit
        self._now_ms = now_ms
        self._passwords = passwords or PlainPasswords()
        self.driver = MigrationDriver(
            config.node_id, voter_ids, rng, self._passwords, config.inter_broker_listener_name
        )
        self._leader: events.LeaderChanged | None = None
        self._leader_news = trio.Event()
        self._timer_at_s = float("inf")
        self._timer_news = trio.Event()
        self._job: effects.Job | None = None
        self._job_news = trio.Event()
        self._job_scope: trio.CancelScope | None = None

    # -- called by the server ------------------------------------------------------------------------------------

    def publish(self, image: MetadataImage, delta: MetadataDelta) -> None:
        """The writer's publisher."""
        self._step(events.MetadataChanged(delta), image)

    def leader_changed(self, leader_id: int | None, epoch: int) -> None:
        """Tell who leads the quorum from now on (None: nobody)."""
        self._leader = events.LeaderChanged(leader_id, epoch)
        self._leader_news.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Migrate, until cancelled or until the writer has stopped."""
        async with trio.open_nursery() as nursery:
            for task in (self._watch_leader, self._watch_session, self._watch_timer, self._run_jobs):
                nursery.start_soon(self._until_writer_stops, task, nursery.cancel_scope)
            task_status.started()

    async def _until_writer_stops(self, task: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        try:
            await task()
        except ApiError as error:
            if error.code is not ErrorCode.NOT_CONTROLLER:
                raise
            log.info("The migration ends, the writer has stopped: %s", error)
            scope.cancel()

    # -- events --------------------------------------------------------------------------------------------------

    async def _deliver(self, event: events.Event) -> None:
        await self._writer.read(partial(self._step, event))

    def _step(self, event: events.Event, image: MetadataImage) -> None:
        for effect in self.driver.step(event, image, int(trio.current_time() * 1000)):
            try:
                self._do(effect, image)
            except Exception:  # What goes wrong with one effect, such as telling brokers, must not stop the others.
                log.exception("%s of the migration failed in %s", type(effect).__name__, self.driver.state.name)
        metrics = self.metrics
        if image.offset >= 0:
            metrics.zk_migration_state = image.zk_migration_state
        metrics.migrating_zk_broker_count = sum(b.is_migrating_zk_broker for b in image.brokers.values())
        metrics.zk_write_behind_lag = self.driver.lag(image)

    async def _watch_leader(self) -> None:
        while True:
            await self._leader_news.wait()
            self._leader_news = trio.Event()
            assert self._leader is not None
            await self._deliver(self._leader)

    async def _watch_session(self) -> None:
        """Poll at the start and, after a breath, whenever ZooKeeper can be reached again."""
        await self._deliver(events.Poll())
        connections = self._port.session.status.connections
        async for status in self._port.session.changes():
            if status.state is SessionState.CONNECTED and status.connections != connections:
                connections = status.connections
                await trio.sleep(RECONNECTED_PAUSE_MS / 1000)
                await self._deliver(events.Poll())

    async def _watch_timer(self) -> None:
        while True:
            with trio.move_on_at(self._timer_at_s):
                await self._timer_news.wait()
            if self._timer_news.is_set():
                self._timer_news = trio.Event()
            else:
                self._timer_at_s = float("inf")
                await self._deliver(events.Poll())

    # -- effects -------------------------------------------------------------------------------------------------

    def _do(self, effect: effects.Effect, image: MetadataImage) -> None:
        match effect:
            case effects.CancelJob():
                self._job = None
                if self._job_scope is not None:
                    self._job_scope.cancel()
            case effects.SetTimer():
                self._timer_at_s = effect.at_ms / 1000
                self._timer_news.set()
            case effects.SendFullRpcs():
                self._channels.publish_full(image, effect.zk_controller_epoch)
            case effects.SendDeltaRpcs():
                self._channels.publish_delta(image, effect.delta, effect.zk_controller_epoch)
            case effects.StopRpcs():
                self._channels.stop_all()
            case effects.StateChanged():
                self._report_state(effect)
            case effects.ReportWaiting():
                log.warning("The migration waits in %s: %s", self.driver.state.name, effect.reason)
                self._emit("migration_waiting", reason=effect.reason)
            case effects.ReportWrites():
                self._report_writes(effect)
            case _:
                self._job = effect
                self._job_news.set()

    def _report_state(self, effect: effects.StateChanged) -> None:
        log.info("%d transitioning from %s to %s state", self._node_id, effect.previous.name, effect.state.name)
        self._emit("migration_state", state=effect.state.value, previous=effect.previous.value, time_ms=self._now_ms())

    def _report_writes(self, effect: effects.ReportWrites) -> None:
        operations = dict(effect.operations)
        if effect.snapshot:
            self.metrics.zk_write_snapshot_time_ms = effect.duration_ms
            log.info("Made the following ZK writes when reconciling with KRaft state: %s", operations)
        else:
            self.metrics.zk_write_delta_time_ms = effect.duration_ms
            log.debug("Made the following ZK writes: %s", operations)
        self._emit(
            "zk_writes",
            operations=operations,
            offset=effect.offset,
            lag=effect.lag,
            duration_ms=effect.duration_ms,
            snapshot=effect.snapshot,
        )

    # -- jobs ----------------------------------------------------------------------------------------------------

    async def _run_jobs(self) -> None:
        while True:
            await self._job_news.wait()
            self._job_news = trio.Event()
            job, self._job = self._job, None
            if job is None:
                continue
            with trio.CancelScope() as self._job_scope:
                await self._deliver(await self._perform(job))

    async def _perform(self, job: effects.Job) -> events.Event:
        """Do a job; what goes wrong with ZooKeeper or the log is its result."""
        try:
            return await self._job_result(job)
        except (ZooKeeperError, ZnodeError, UnrepairableError, ApiError) as error:
            failure = _failure(error)
            log.info("Encountered an error during %s. Will retry. %s: %s", type(job).__name__, failure.value, error)
            return events.JobFailed(job.job, failure, self._advice(failure, error))
        except Exception as error:  # Brokers are served whatever the migration comes upon.
            log.exception("%s of the migration failed in %s. Will retry.", type(job).__name__, self.driver.state.name)
            return events.JobFailed(job.job, events.ZkFailure.DEFECT, self._advice(events.ZkFailure.DEFECT, error))

    async def _job_result(self, job: effects.Job) -> events.Event:
        match job:
            case effects.ReadMigrationState():
                return events.MigrationStateRead(job.job, await self._zookeeper.read_migration_state())
            case effects.ReadBrokerIds():
                return events.BrokerIdsRead(job.job, await broker_addresses(self._port))
            case effects.ReadAssignedBrokers():
                return await self._assigned_brokers(job)
            case effects.Claim():
                outcome = await self._zookeeper.claim(job.state)
                if isinstance(outcome, ClaimRefusal):
                    return events.ClaimRefused(job.job, outcome.reason)
                log.info("Claimed ZK controller leadership: epoch %d", outcome.zk_controller_epoch)
                return events.Claimed(job.job, outcome)
            case effects.CopyMetadata():
                return await self._copy(job)
            case effects.Reconcile():
                log.info("Performing a full metadata sync from KRaft to ZK.")
                state, counts = await reconcile(self._port, self._zookeeper, self._writer, self._passwords, job.state)
                return events.Written(job.job, state, counts)
            case effects.WriteZk():
                state = await self._zookeeper.write(job.operations, job.state, store=True)
                return events.Written(job.job, state, count_by_type(job.operations))

    async def _assigned_brokers(self, job: effects.ReadAssignedBrokers) -> events.AssignedBrokersRead:
        names, deleting = await topic_names(self._port)
        gone = set(deleting)
        replicas: dict[int, str] = {}
        without_id: list[str] = []
        wanted = [name for name in names if name not in gone]
        async for chunk in read_assignments(self._port, wanted, self._passwords):
            for name, topic in chunk.items():
                if topic.assignment is None:
                    continue
                if topic.assignment.topic_id is None:
                    without_id.append(name)
                for number, brokers in topic.assignment.partitions.items():
                    for broker in brokers:
                        if broker not in replicas:
                            replicas[broker] = f"{name}-{number}"
        version = await self._writer.read(lambda image: image.metadata_version)
        users = [] if version.is_scram_supported else await scram_users(self._port)
        tokens = [] if version.is_delegation_token_supported else await children(self._port, paths.DELEGATION_TOKENS)
        return events.AssignedBrokersRead(job.job, replicas, without_id, users, tokens)

    async def _copy(self, job: effects.CopyMetadata) -> events.Copied:
        log.info("Starting ZK migration")
        started_s = trio.current_time()
        (offset, epoch), manifest = await copy_metadata(
            self._port, self._writer, self._passwords, self._rng, self._batch_records_min
        )
        duration_ms = round((trio.current_time() - started_s) * 1000)
        log.info(
            "Completed migration of metadata from ZooKeeper to KRaft. %d records were generated in %d ms across %d"
            " batches. The record types were %s. The current metadata offset is now %d with an epoch of %d. Saw %d"
            " brokers in the migrated metadata %s.",
            manifest.records,
            duration_ms,
            manifest.batches,
            dict(manifest.record_types),
            offset,
            epoch,
            len(manifest.brokers),
            sorted(manifest.brokers),
        )
        log.info("Finished initial migration of ZK metadata to KRaft in %d ms.", duration_ms)
        self._emit(
            "migration_copied",
            records=manifest.records,
            batches=manifest.batches,
            topics=manifest.topics,
            partitions=manifest.partitions,
            duration_ms=duration_ms,
            read_ms=round(manifest.read_ms),
        )
        return events.Copied(job.job, offset, epoch)

    def _advice(self, failure: events.ZkFailure, error: Exception) -> str:
        match failure:
            case events.ZkFailure.CONNECTION:
                return (
                    f"ZooKeeper at {self._zookeeper_connect} cannot be reached ({error}): see that it runs and that"
                    " zookeeper.connect is right; brokers are served meanwhile, and ZooKeeper is caught up afterwards"
                )
            case events.ZkFailure.AUTH:
                return (
                    f"ZooKeeper at {self._zookeeper_connect} refused the credentials ({error}): give this controller"
                    " the same ZooKeeper login as the brokers"
                )
            case events.ZkFailure.FENCED:
                return (
                    f"another controller took over in ZooKeeper ({error}): ZooKeeper is not written any more from"
                    " here; if that was not meant, delete /controller and restart this controller, else stop it"
                )
            case events.ZkFailure.ZNODE | events.ZkFailure.REFUSED:
                return f"ZooKeeper: {error}"
            case events.ZkFailure.METADATA:
                return f"the metadata log did not take the records ({error}): look in this controller's log"
            case events.ZkFailure.DEFECT:
                return (
                    f"something unforeseen went wrong ({type(error).__name__}: {error}): report it with this"
                    " controller's log, which says where"
                )


def _failure(error: Exception) -> events.ZkFailure:
    if isinstance(error, FencedError):
        return events.ZkFailure.FENCED
    if isinstance(error, AuthError) or (isinstance(error, RequestFailedError) and error.code in _AUTH_CODES):
        return events.ZkFailure.AUTH
    if isinstance(error, _LOST):
        return events.ZkFailure.CONNECTION
    if isinstance(error, ZnodeError):
        return events.ZkFailure.ZNODE
    return events.ZkFailure.METADATA if isinstance(error, ApiError) else events.ZkFailure.REFUSED
