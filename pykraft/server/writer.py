"""The single writer: the one task that owns the image, and through which everything that changes it goes.

Operations that wait together run one after the other on the image, their records are appended and fsynced together,
and one such group is in flight at a time: then publishers see it and the replies go out, before the migration tells
ZooKeeper and its brokers.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Generic, TypeAlias, TypeVar, cast

import trio

from pykraft.controller.config import ControllerConfig
from pykraft.controller.errors import ApiError
from pykraft.controller.heartbeats import BrokerHeartbeatManager
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ZkMigrationState
from pykraft.log.batch import encode_batches, encode_control_batch
from pykraft.log.errors import LogError
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.record_encoder import encode_records

log = logging.getLogger(__name__)

QUEUED_OPERATIONS_MAX = 10_000
GROUP_OPERATIONS_MAX = 1_000
GROUP_BYTES_MAX = 8 * 1024 * 1024
LARGE_GROUP_BYTES = 64 * 1024
"""From here on the records may not fit a socket at once: brokers need a while to take them in."""
LARGE_GROUP_PAUSE_S = 0.01
"""How long late publishers leave them in peace for it."""

T = TypeVar("T")
Operation: TypeAlias = Callable[[OperationContext], ControllerResult[T]]
Publisher: TypeAlias = Callable[[MetadataImage, MetadataDelta], None]
Append: TypeAlias = Callable[[Sequence[bytes]], Awaitable[None]]
"""Makes record batches durable and committed; raises LogError or OSError when it cannot."""


class WriterStoppedError(Exception):
    """The log cannot be written any more: nothing is acknowledged from here on."""


@dataclass(eq=False, slots=True)
class _Task(Generic[T]):
    """An operation (or, with `read`, a question, with `voters`, control records) that waits, and later its outcome."""

    name: str
    operation: Operation[T] | None
    read: Callable[[MetadataImage], T] | None = None
    runs_in_premigration: bool = False
    deadline_s: float | None = None
    on_timeout: Callable[[OperationContext], None] | None = None
    raises: tuple[type[Exception], ...] = ()
    response: T | None = None
    error: Exception | None = None
    voters: Sequence[tuple[int, bytes]] = ()
    done: trio.Event = field(default_factory=trio.Event)

    async def outcome(self) -> T:
        await self.done.wait()
        if self.error is not None:
            raise self.error
        return cast("T", self.response)


class Writer:
    """Owns the image of the active controller, and refuses operations with NOT_CONTROLLER while it is not one.

    `append` makes a group of batches durable. `reload(offset)` replays the log into a new image whose delta starts
    after `offset`, for the case that an operation gave records that do not apply. `now_ms` is the wall clock, in ms
    since 1970; trio's clock serves for all else.
    """

    def __init__(
        self,
        *,
        config: ControllerConfig,
        cluster_id: str,
        rng: Random,
        append: Append,
        reload: Callable[[int], MetadataImage],
        now_ms: Callable[[], int],
        kraft_version: int = 0,
    ) -> None:
        self._kraft_version = kraft_version
        self._image = MetadataImage()
        self._config = config
        self._cluster_id = cluster_id
        self._heartbeats = BrokerHeartbeatManager(config.broker_session_timeout_ms)
        self._rng = rng
        self._append = append
        self._reload = reload
        self._now_ms = now_ms
        self._epoch: int | None = None
        self._next_offset = 0
        self._batches: list[bytes] = []
        self._batches_bytes = 0
        self._ran: list[_Task[Any]] = []
        self._published_offset = -1
        self._publishers: list[Publisher] = []
        self._late_publishers: list[Publisher] = []
        self._send, self._receive = trio.open_memory_channel[_Task[Any]](QUEUED_OPERATIONS_MAX)
        self._turn = trio.Lock()
        self.last_append_s = 0.0

    @property
    def heartbeats(self) -> BrokerHeartbeatManager:
        """Who of the brokers is alive; only operations change it."""
        return self._heartbeats

    async def lead(self, image: MetadataImage, epoch: int, next_offset: int) -> None:
        """Take operations from now on, as the active controller of `epoch`, on an image at `next_offset` - 1."""
        async with self._turn:
            self._image, self._epoch, self._next_offset = image, epoch, next_offset
            self._published_offset = image.offset
            self._heartbeats.activate(image, monotonic_ms())
            self.last_append_s = trio.current_time()

    def resign(self) -> None:
        """Refuse operations from now on, also those in flight: another node may know better what became of them."""
        self._epoch = None

    @property
    def next_offset(self) -> int:
        """The offset of the next record, past those of the group in flight."""
        return self._next_offset

    def subscribe(self, publisher: Publisher, *, after_replies: bool = False) -> None:
        """Have `publisher` called after each commit that changed something, never while a transaction is open.

        One with much to do asks to be called `after_replies`: those who wait need not wait for it too.
        """
        (self._late_publishers if after_replies else self._publishers).append(publisher)

    async def write(
        self,
        op: Operation[T],
        *,
        runs_in_premigration: bool = False,
        name: str = "",
        timeout_ms: int | None = None,
        on_timeout: Callable[[OperationContext], None] | None = None,
        raises: tuple[type[Exception], ...] = (),
    ) -> T:
        """Run an operation and give its response once its records are committed.

        An operation that waited longer than `timeout_ms` is not run: `on_timeout` is, and REQUEST_TIMED_OUT raised.
        `raises` are errors of the operation that come to the caller as they are.
        Raises ApiError, also for what went wrong unexpectedly (UNKNOWN_SERVER_ERROR) and once the writer has stopped
        (NOT_CONTROLLER).
        """
        deadline_s = None if timeout_ms is None else trio.current_time() + timeout_ms / 1000
        task = _Task(name or _name(op), op, None, runs_in_premigration, deadline_s, on_timeout, raises)
        await self._queue(task)
        return await task.outcome()

    async def upgrade_kraft_version(self, voters: Sequence[tuple[int, bytes]]) -> None:
        """Append the control records (type, value) of kraft.version 1, unless it is that already; the image, which
        holds no control records, goes on behind them. Raises ApiError NOT_CONTROLLER."""
        task: _Task[None] = _Task("upgradeKRaftVersion", None, voters=voters)
        await self._queue(task)
        await task.outcome()

    async def read(self, fn: Callable[[MetadataImage], T]) -> T:
        """Run `fn` on the committed image: between groups, never on a state that may still be lost."""
        if not self._turn.locked():
            return fn(self._image)
        task = _Task("read", None, fn)
        await self._queue(task)
        return await task.outcome()

    async def _queue(self, task: _Task[Any]) -> None:
        try:
            await self._send.send(task)
        except trio.BrokenResourceError:
            raise _no_controller() from None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Raises WriterStoppedError when the log cannot be written."""
        task_status.started()
        waiting: list[_Task[Any]] = []
        with self._receive:
            try:
                while True:
                    waiting = [await self._receive.receive()]
                    async with self._turn:
                        self._drain(waiting)
                        await self._run_group(waiting)
            finally:
                self._refuse(waiting)

    def _drain(self, waiting: list[_Task[Any]]) -> None:
        try:
            while len(waiting) < GROUP_OPERATIONS_MAX:
                waiting.append(self._receive.receive_nowait())
        except trio.WouldBlock:
            return

    def _refuse(self, waiting: list[_Task[Any]]) -> None:
        while waiting:
            for task in waiting:
                if not task.done.is_set():
                    task.response, task.error = None, _no_controller()
                    task.done.set()
            waiting = []
            self._drain(waiting)

    async def _run_group(self, waiting: list[_Task[Any]]) -> None:
        for task in waiting:
            if task.read is not None:
                task.response = self._guard(task, partial(task.read, self._image))
                task.done.set()
        for task in waiting:
            if task.operation is not None:
                self._ran.append(task)
                await self._run_operation(task, task.operation)
            elif task.voters:
                self._ran.append(task)
                self._add_voters(task)
            if self._batches_bytes >= GROUP_BYTES_MAX:
                await self._commit()
        await self._commit()

    async def _run_operation(self, task: _Task[Any], operation: Operation[Any]) -> None:
        epoch = self._epoch
        if epoch is None:
            task.error = _no_controller()
            return
        context = OperationContext(
            image=self._image,
            config=self._config,
            heartbeats=self._heartbeats,
            cluster_id=self._cluster_id,
            next_offset=self._next_offset,
            now_ms=self._now_ms(),
            monotonic_ms=monotonic_ms(),
            rng=self._rng,
            controller_ids=frozenset((self._config.node_id,)),
            kraft_version=self._kraft_version,
        )
        outcome = self._guard(task, lambda: self._ask(task, operation, context, epoch))
        if outcome is None:
            return
        result, batches = outcome
        try:
            for offset, record in enumerate(result.records, context.next_offset):
                self._image.apply(record.message, offset, epoch)
        except Exception as error:
            await self._recover(task, error)
            return
        task.response = result.response
        self._batches += batches
        self._batches_bytes += sum(map(len, batches))
        self._next_offset += len(result.records)

    def _add_voters(self, task: _Task[None]) -> None:
        if self._epoch is None:
            task.error = _no_controller()
            return
        if self._kraft_version:
            return
        batch = encode_control_batch(
            task.voters, base_offset=self._next_offset, leader_epoch=self._epoch, timestamp_ms=self._now_ms()
        )
        self._batches.append(batch)
        self._batches_bytes += len(batch)
        self._next_offset += len(task.voters)
        self._kraft_version = 1

    def _ask(
        self, task: _Task[Any], operation: Operation[Any], context: OperationContext, epoch: int
    ) -> tuple[ControllerResult[Any], list[bytes]]:
        """The operation's result and its batches, encoded first so that nothing is applied that cannot be written."""
        if task.deadline_s is not None and trio.current_time() > task.deadline_s:
            if task.on_timeout is not None:
                task.on_timeout(context)
            raise ApiError(ErrorCode.REQUEST_TIMED_OUT, f"{task.name} waited longer than its time-out")
        in_premigration = self._image.zk_migration_state is ZkMigrationState.PRE_MIGRATION
        if in_premigration and context.migration_enabled and not task.runs_in_premigration:
            log.info("Cannot run write operation %s in pre-migration mode. Returning NOT_CONTROLLER.", task.name)
            raise ApiError(ErrorCode.NOT_CONTROLLER, "The controller is in pre-migration mode.")
        result = operation(context)
        if not result.records:
            return result, []
        batches = encode_batches(
            encode_records(result.records),
            base_offset=context.next_offset,
            leader_epoch=epoch,
            timestamp_ms=context.now_ms,
            atomic=result.atomic,
        )
        return result, batches

    def _guard(self, task: _Task[Any], ask: Callable[[], T]) -> T | None:
        """Run `ask`; what it raises becomes the task's error, and anything but ApiError is logged as a defect."""
        try:
            return ask()
        except Exception as error:
            if isinstance(error, (ApiError, *task.raises)):
                task.error = error
                return None
            log.exception("%s: event failed with %s; nothing was changed", task.name, type(error).__name__)
            task.error = ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, f"{type(error).__name__}: {error}")
        return None

    async def _recover(self, task: _Task[Any], error: Exception) -> None:
        """A result did not apply: make durable what ran before it, then take the image from the log again."""
        log.error("%s: its records do not apply (%s); loading the image from the log again", task.name, error)
        task.error = ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error))
        await self._append_batches()
        self._image = self._reload(self._published_offset)
        self._heartbeats.activate(self._image, monotonic_ms())

    async def _append_batches(self) -> None:
        if not self._batches:
            return
        try:
            await self._append(self._batches)
        except (LogError, OSError) as error:
            raise WriterStoppedError(
                f"the metadata log cannot be written: {error}; nothing of this was acknowledged; start again once the"
                " disk has room and works"
            ) from error
        self.last_append_s = trio.current_time()
        self._batches = []
        self._batches_bytes = 0

    async def _commit(self) -> None:
        is_large = self._batches_bytes >= LARGE_GROUP_BYTES
        await self._append_batches()
        if self._epoch is None:
            for task in self._ran:
                task.response, task.error = None, _no_controller()
                task.done.set()
            self._ran.clear()
            return
        delta = self._image.take_delta()
        self._published_offset = self._image.offset
        if delta is not None:
            for publish in self._publishers:
                self._publish(publish, delta)
        for task in self._ran:
            task.done.set()
        self._ran.clear()
        if delta is not None and self._late_publishers:
            # The replies go out; nothing changes, as this is still the writer's turn. Those who wait take their step in
            # the same round as this task, before or after it, so they have all done so a round later.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            if is_large:
                await trio.sleep(LARGE_GROUP_PAUSE_S)
            for publish in self._late_publishers:
                self._publish(publish, delta)

    def _publish(self, publish: Publisher, delta: MetadataDelta) -> None:
        try:
            publish(self._image, delta)
        except Exception:
            log.exception("publisher %s failed at offset %d", _name(publish), self._image.offset)


def monotonic_ms() -> int:
    """Trio's clock in ms; it never goes back, and stands still for nobody but a test."""
    return int(trio.current_time() * 1000)


def _no_controller() -> ApiError:
    return ApiError(ErrorCode.NOT_CONTROLLER, "No controller appears to be active.")


def _name(function: Callable[..., object]) -> str:
    inner = function.func if isinstance(function, partial) else function
    return getattr(inner, "__name__", type(inner).__name__)
