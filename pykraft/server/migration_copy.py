"""Running the copy and the reconcile: read some of ZooKeeper, hand it on, until all is done.

Source: KRaftMigrationDriver.java (MigrateMetadataEvent, SyncKRaftMetadataEvent), QuorumController.java
(MigrationRecordConsumer), Kafka 3.9. A copy that fails is aborted in the log and starts over at the next poll, where
Kafka's controller ends its process.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from random import Random
from typing import NamedTuple, Protocol, TypeVar

import trio

from pykraft.controller.errors import ApiError
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.controller.transactions import abort_transaction
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ZkMigrationState
from pykraft.migration.copy import (
    TRANSACTION_NAME,
    BatchBuffer,
    Manifest,
    Records,
    leftover_records,
    other_records,
    topic_records,
)
from pykraft.migration.operations import ZkOperation, count_by_type
from pykraft.migration.states import ZkMigrationLeadershipState
from pykraft.migration.unwritable import unwritable
from pykraft.migration.zk_contents import PasswordEncoder, ZkTopic
from pykraft.migration.zk_writer import ZkWriter
from pykraft.protocol.errors import EncodeError
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from pykraft.server.migration_reader import children, read_others, read_topics, topic_names
from pykraft.server.migration_zookeeper import MigrationZooKeeper
from pykraft.zookeeper import paths
from pykraft.zookeeper.port import ZooKeeperPort

log = logging.getLogger(__name__)

COPY_RECORDS_PER_WRITE_MIN = 1_000
"""Records handed to the writer at once, so that the log is flushed some ten times and not some hundred."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class WriterOperation(Protocol[T_co]):
    def __call__(self, ctx: OperationContext, /) -> ControllerResult[T_co]: ...


class ReadImage(Protocol[T_co]):
    def __call__(self, image: MetadataImage, /) -> T_co: ...


class MetadataWriter(Protocol):
    """What the migration needs of the single writer."""

    async def read(self, fn: ReadImage[T]) -> T:
        """Run `fn` on the committed image."""

    async def write(
        self,
        op: WriterOperation[T],
        *,
        runs_in_premigration: bool = False,
        raises: tuple[type[Exception], ...] = (),
    ) -> T:
        """Run `op`, give its response once its records are committed. Raises ApiError, and `raises` as they are."""


class OffsetAndEpoch(NamedTuple):
    offset: int
    epoch: int


async def copy_metadata(
    port: ZooKeeperPort, writer: MetadataWriter, passwords: PasswordEncoder, rng: Random, batch_records_min: int
) -> tuple[OffsetAndEpoch, Manifest]:
    """Copy ZooKeeper into the log, as one metadata transaction where metadata.version has them.

    Raises ZooKeeperError, ZnodeError for a znode that cannot be read, ApiError when the log does not take it.
    """
    manifest = Manifest()
    await _write(writer, _abort_open)
    in_transaction = await _write(writer, _begin)

    async def append(batch: Records) -> None:
        started_s = trio.current_time()
        try:
            await writer.write(
                lambda ctx: ControllerResult(None, batch), runs_in_premigration=True, raises=(EncodeError,)
            )
        except EncodeError as error:
            raise unwritable(batch, error) from None
        manifest.add(batch, (trio.current_time() - started_s) * 1000)

    try:
        batches = _batches(port, passwords, rng, max(batch_records_min, COPY_RECORDS_PER_WRITE_MIN))
        manifest.read_ms = await read_ahead(batches, append)
        end = await _write(writer, _complete if in_transaction else _complete_without_transaction)
    except Exception as error:
        log.error(
            "Aborting the metadata migration from ZooKeeper to KRaft after %d records: %s", manifest.records, error
        )
        if in_transaction:
            await _try_to_abort(writer)
        raise
    return end, manifest


async def _batches(
    port: ZooKeeperPort, passwords: PasswordEncoder, rng: Random, batch_records_min: int
) -> AsyncIterator[Records]:
    names, deleting = await topic_names(port)
    for name in deleting:
        log.info("Not migrating pending deleted topic: %s", name)
    gone = set(deleting)
    buffer = BatchBuffer(batch_records_min)
    wanted = [name for name in names if name not in gone]
    async with aclosing(read_topics(port, wanted, passwords, strict=True)) as chunks:
        async for chunk in chunks:
            for name, topic in chunk.items():
                if topic.exists:
                    full = buffer.add(topic_records(name, topic))
                    if full:
                        yield full
    for records in other_records(await read_others(port, passwords, strict=True), rng):
        full = buffer.add(records)
        if full:
            yield full
    rest = buffer.flush()
    if rest:
        yield rest


async def _write(writer: MetadataWriter, operation: WriterOperation[T]) -> T:
    return await writer.write(operation, runs_in_premigration=True)


async def read_ahead(source: AsyncIterator[T], sink: Callable[[T], Awaitable[None]]) -> float:
    """Put everything from `source` into `sink`, in order, while the source works on what comes after it.

    Gives the ms that the source took. Raises what either raises.
    """
    send, receive = trio.open_memory_channel[T](0)
    failure: Exception | None = None
    read_ms = 0.0

    async def read() -> None:
        nonlocal failure, read_ms
        async with send:
            started_s = trio.current_time()
            try:
                async for item in source:
                    read_ms += (trio.current_time() - started_s) * 1000
                    await send.send(item)
                    started_s = trio.current_time()
            except trio.BrokenResourceError:
                return
            except Exception as error:
                failure = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        async with receive:
            try:
                async for item in receive:
                    await sink(item)
            except Exception as error:
                failure = error
                nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return read_ms


def _abort_open(ctx: OperationContext) -> ControllerResult[None]:
    """A copy that was cut short in this process left its transaction open."""
    if not ctx.image.in_transaction:
        return ControllerResult(None)
    return ControllerResult(None, abort_transaction(ctx, "The copy starts over"))


def _begin(ctx: OperationContext) -> ControllerResult[bool]:
    """Whether there is a transaction; without one, what an earlier attempt left in the log is removed first."""
    if ctx.image.metadata_version.is_metadata_transaction_supported:
        record = ApiMessageAndVersion(BeginTransactionRecord(name=TRANSACTION_NAME), 0)
        return ControllerResult(True, [record])
    return ControllerResult(False, leftover_records(ctx.image))


def _complete_without_transaction(ctx: OperationContext) -> ControllerResult[OffsetAndEpoch]:
    record = ApiMessageAndVersion(ZkMigrationStateRecord(zk_migration_state=ZkMigrationState.MIGRATION), 0)
    return ControllerResult(OffsetAndEpoch(ctx.next_offset, ctx.image.epoch), [record])


def _complete(ctx: OperationContext) -> ControllerResult[OffsetAndEpoch]:
    records = _complete_without_transaction(ctx).records
    records.append(ApiMessageAndVersion(EndTransactionRecord(), 0))
    return ControllerResult(OffsetAndEpoch(ctx.next_offset + 1, ctx.image.epoch), records)


async def _try_to_abort(writer: MetadataWriter) -> None:
    def abort(ctx: OperationContext) -> ControllerResult[None]:
        if not ctx.image.in_transaction:
            return ControllerResult(None)
        return ControllerResult(None, abort_transaction(ctx, "Aborting the migration"))

    try:
        await _write(writer, abort)
    except ApiError as error:
        log.warning("The transaction of the copy stays open for now (%s); the next attempt aborts it", error)


async def reconcile(
    port: ZooKeeperPort,
    zookeeper: MigrationZooKeeper,
    writer: MetadataWriter,
    passwords: PasswordEncoder,
    state: ZkMigrationLeadershipState,
) -> tuple[ZkMigrationLeadershipState, Counter[str]]:
    """Make ZooKeeper hold what the image holds; gives the state with its new version, and what was written.

    The image is looked at part by part, each between two commits: what changes meanwhile is the caller's to write
    afterwards. `state` goes into `/migration` first, so that a transaction of earlier still on its way fails, and at
    the end.
    """
    zk_writer = ZkWriter(state.kraft_controller_epoch, passwords)
    counts: Counter[str] = Counter()

    async def write(operations: list[ZkOperation], *, store: bool) -> None:
        nonlocal state
        counts.update(count_by_type(operations))
        state = await zookeeper.write(operations, state, store=store)

    await write([], store=True)
    names, deleting = await topic_names(port)
    all_names = {*names, *await children(port, paths.CONFIG_TOPICS), *await writer.read(_topic_names)}

    async def write_topics(topics: dict[str, ZkTopic]) -> None:
        def operations(image: MetadataImage) -> list[ZkOperation]:
            return zk_writer.reconcile_topics(image, topics.keys(), topics)

        await write(await writer.read(operations), store=False)

    await read_ahead(read_topics(port, sorted(all_names), passwords, strict=False), write_topics)
    contents = await read_others(port, passwords, strict=False)

    def other_operations(image: MetadataImage) -> list[ZkOperation]:
        return zk_writer.reconcile_others(image, contents)

    others = await writer.read(other_operations)
    await write([*zk_writer.pending_deletions(deleting), *others], store=True)
    return state, counts


def _topic_names(image: MetadataImage) -> list[str]:
    return list(image.topics_by_name)
