"""Runs the quorum node: feeds it requests and time, and carries out its effects in order."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Final, cast

import trio

from pykraft.log.batch import encode_control_batch
from pykraft.log.errors import CorruptLogError
from pykraft.log.metadata_log import MetadataLog
from pykraft.log.quorum_state import write_quorum_state
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.fetch_response import FetchResponseData
from pykraft.raft.events import (
    AppendControlRecords,
    Effect,
    Event,
    HighWatermarkAdvanced,
    LeaderChanged,
    LogFlushed,
    PersistQuorumState,
    RaftRequest,
    RaftResponse,
    Reply,
    ReplyFetch,
    RequestDropped,
    RequestReceived,
    ResignRequested,
    ShutdownBegun,
    Started,
    Tick,
    VotersMoveToLog,
)
from pykraft.raft.quorum import QuorumNode

log = logging.getLogger(__name__)

TAIL_RECORDS_MAX: Final = 1_000


class _Waiting:
    """A request that has no answer yet."""

    __slots__ = ("answered", "response")

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.response: RaftResponse | None = None


class QuorumDriver:
    """The one that calls `QuorumNode.step`.

    `on_leader_change` hears of leaders, in order; `now_ms` is wall-clock time in ms that never goes back.
    """

    def __init__(
        self,
        quorum: QuorumNode,
        opened: MetadataLog,
        *,
        now_ms: Callable[[], int],
        on_leader_change: Callable[[LeaderChanged], None],
    ) -> None:
        self.quorum = quorum
        self._log = opened
        self._now_ms = now_ms
        self._on_leader_change = on_leader_change
        self._tokens = itertools.count()
        self._waiting: dict[int, _Waiting] = {}
        self._stepping = trio.Lock()
        self._appending = trio.Lock()
        self._rescheduled = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the node, then give it the time it asks for, until cancelled."""
        await self._step(Started())
        task_status.started()
        while True:
            deadline_ms = self.quorum.deadline_ms
            self._rescheduled = trio.Event()
            wait_s = float("inf") if deadline_ms is None else max(0, deadline_ms - self._now_ms()) / 1000
            with trio.move_on_after(wait_s) as waited:
                await self._rescheduled.wait()
            if waited.cancelled_caught:
                await self._step(Tick())

    async def ask(self, request: RaftRequest, api_version: int, listener: str) -> RaftResponse:
        """The answer to a Fetch, Vote, BeginQuorumEpoch, EndQuorumEpoch or DescribeQuorum; a Fetch may take long."""
        token = next(self._tokens)
        waiting = self._waiting[token] = _Waiting()
        try:
            await self._step(RequestReceived(token, request, api_version, listener))
            await waiting.answered.wait()
        except trio.Cancelled:
            del self._waiting[token]
            with trio.CancelScope(shield=True):
                await self._step(RequestDropped(token))
            raise
        del self._waiting[token]
        return cast("RaftResponse", waiting.response)

    async def append(self, batches: Sequence[bytes]) -> None:
        """Make data batches durable and committed. Raises LogError, OSError."""
        async with self._appending:
            end_offset = await trio.to_thread.run_sync(self._log.append, batches)
        await self._step(LogFlushed(end_offset))

    async def resign(self, epoch: int) -> None:
        """Give up leadership: the controller cannot go on."""
        await self._step(ResignRequested(epoch))

    async def move_voters_to_log(self) -> None:
        """Get ready for kraft.version 1, whose records are to be appended next. Raises OSError."""
        await self._step(VotersMoveToLog())

    async def shut_down(self) -> None:
        """Answer what waits: the node is about to stop."""
        await self._step(ShutdownBegun())

    async def _step(self, event: Event) -> None:
        async with self._stepping:
            events = [event]
            while events:
                effects = self.quorum.step(events.pop(0), self._now_ms())
                # Effects are for others too: an asker that gives up must not stop them half-way.
                with trio.CancelScope(shield=True):
                    for effect in effects:
                        follow_up = await self._perform(effect)
                        if follow_up is not None:
                            events.append(follow_up)
        self._rescheduled.set()

    async def _perform(self, effect: Effect) -> Event | None:
        match effect:
            case Reply(token, response):
                self._answer(token, response)
            case ReplyFetch():
                self._answer(effect.token, await self._with_records(effect))
            case PersistQuorumState(state):
                await trio.to_thread.run_sync(write_quorum_state, self._log.directory, state, self.quorum.kraft_version)
            case AppendControlRecords(epoch, records):
                return LogFlushed(await self._append_control(epoch, records))
            case LeaderChanged():
                self._on_leader_change(effect)
            case HighWatermarkAdvanced():
                pass
        return None

    async def _append_control(self, epoch: int, records: list[tuple[int, bytes]]) -> int:
        async with self._appending:
            batch = encode_control_batch(
                records, base_offset=self._log.end_offset, leader_epoch=epoch, timestamp_ms=self._now_ms()
            )
            return await trio.to_thread.run_sync(self._log.append, [batch])

    def _answer(self, token: int, response: RaftResponse) -> None:
        waiting = self._waiting.get(token)
        if waiting is not None:
            waiting.response = response
            waiting.answered.set()

    async def _with_records(self, effect: ReplyFetch) -> FetchResponseData:
        """The answer with its records; the last few batches are in memory, more come through a worker thread."""
        partition = effect.response.responses[0].partitions[0]
        is_tail = self._log.end_offset - effect.offset <= TAIL_RECORDS_MAX
        try:
            if is_tail:
                partition.records = self._log.read(effect.offset, effect.max_bytes)
            else:
                partition.records = await trio.to_thread.run_sync(self._log.read, effect.offset, effect.max_bytes)
        except CorruptLogError as damage:
            log.error("%s", damage)
            partition.error_code = ErrorCode.KAFKA_STORAGE_ERROR
        return effect.response
