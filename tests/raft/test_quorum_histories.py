"""Whatever happens to a quorum node and in whatever order, some things always hold."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pykraft.protocol.messages.fetch_response import FetchResponseData
from pykraft.protocol.messages.quorum_state_data import QuorumStateData
from pykraft.raft.events import (
    AppendControlRecords,
    Effect,
    Event,
    HighWatermarkAdvanced,
    LeaderChanged,
    LogFlushed,
    PersistQuorumState,
    Reply,
    ReplyFetch,
    RequestDropped,
    ResignRequested,
    Started,
    Tick,
)
from pykraft.raft.roles import Role
from tests.raft.quorum_samples import NODE, FactLog, begin, end, fetch, node, received, vote

REPLICAS = st.sampled_from([-1, 1, 2, NODE])
OTHERS = st.sampled_from([-1, 1, 7, NODE])


class Histories(RuleBasedStateMachine):
    """A node, its log and its quorum-state file; the node is stopped and started at any moment."""

    @initialize()
    def first_start(self) -> None:
        self.now_ms = 0
        self.log = FactLog()
        self.stored: QuorumStateData | None = None
        self.tokens = 0
        self.open: set[int] = set()
        self.led: set[int] = set()
        self.unflushed = 0
        self.restart()

    @rule()
    def restart(self) -> None:
        self.quorum = node(self.log, self.stored)
        self.open.clear()
        self.unflushed = 0
        self.told_epoch = self.told_high_watermark = -1
        self.step(Started())

    def step(self, event: Event) -> None:
        effects = self.quorum.step(event, self.now_ms)
        for at, effect in enumerate(effects):
            assert not isinstance(effect, PersistQuorumState) or at == 0
            self.carry_out(effect)
        for effect in effects:
            if isinstance(effect, AppendControlRecords):
                self.step(LogFlushed(self.log.append(effect.epoch)))

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case PersistQuorumState(state):
                self.check_stored(state)
                self.stored = state
            case AppendControlRecords(epoch):
                assert epoch not in self.led
                assert self.stored is not None
                assert (self.stored.leader_epoch, self.stored.leader_id) == (epoch, NODE)
                self.led.add(epoch)
            case HighWatermarkAdvanced(high_watermark):
                assert high_watermark <= self.log.end_offset
            case LeaderChanged(_, epoch):
                assert epoch == self.quorum.epoch
            case Reply(token, response) | ReplyFetch(token, response):
                self.open.remove(token)
                if isinstance(response, FetchResponseData):
                    self.check_fetch(response)

    def check_stored(self, state: QuorumStateData) -> None:
        """Epochs only rise; in one epoch there is one vote, given up only for the leader it made, and one leader."""
        before = self.stored
        if before is None or state.leader_epoch > before.leader_epoch:
            return
        assert state.leader_epoch == before.leader_epoch
        assert before.leader_id in (-1, state.leader_id)
        assert before.voted_id in (-1, state.voted_id) or state.leader_id >= 0

    def check_fetch(self, response: FetchResponseData) -> None:
        """What an observer relies on: it dies of a high watermark that falls within an epoch."""
        answer = response.responses[0].partitions[0]
        epoch = answer.current_leader.leader_epoch
        assert epoch >= self.told_epoch
        if epoch > self.told_epoch:
            self.told_epoch, self.told_high_watermark = epoch, -1
        if answer.high_watermark >= 0:
            assert self.told_high_watermark <= answer.high_watermark <= self.log.end_offset
            self.told_high_watermark = answer.high_watermark

    def token(self) -> int:
        self.tokens += 1
        self.open.add(self.tokens)
        return self.tokens

    @precondition(lambda self: self.quorum.role is Role.LEADER)
    @rule(count=st.integers(1, 5))
    def append(self, count: int) -> None:
        self.unflushed = self.log.append(self.quorum.epoch, count)

    @rule()
    def hear_of_flush(self) -> None:
        if self.unflushed:
            self.step(LogFlushed(self.unflushed))

    @rule(wait_ms=st.sampled_from([1, 100, 499, 500, 1000, 2000]))
    def time_passes(self, wait_ms: int) -> None:
        self.now_ms += wait_ms
        self.step(Tick())

    @rule(
        replica_id=REPLICAS,
        offset=st.integers(0, 12),
        behind=st.integers(0, 2),
        last_epoch=st.integers(0, 4),
        wait_ms=st.sampled_from([0, 500]),
    )
    def fetch(self, replica_id: int, offset: int, behind: int, last_epoch: int, wait_ms: int) -> None:
        epoch = max(0, self.quorum.epoch - behind)
        offset = min(offset, self.log.end_offset + 1)
        request = fetch(offset, min(last_epoch, epoch), epoch=epoch, replica_id=replica_id, wait_ms=wait_ms)
        self.step(received(request, self.token()))

    @rule(replica_id=REPLICAS)
    def fetch_the_end(self, replica_id: int) -> None:
        request = fetch(self.log.end_offset, self.log.last_epoch, epoch=self.quorum.epoch, replica_id=replica_id)
        self.step(received(request, self.token()))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.open)))
        self.open.discard(token)
        self.step(RequestDropped(token))

    @rule(ahead=st.integers(-1, 3), other=OTHERS, offset=st.integers(0, 30), log_epoch=st.integers(0, 5))
    def asked_for_vote(self, ahead: int, other: int, offset: int, log_epoch: int) -> None:
        request = vote(self.quorum.epoch + ahead, other, last=(offset, log_epoch))
        self.step(received(request, self.token()))

    @rule(ahead=st.integers(-1, 3), other=OTHERS, ends=st.booleans())
    def told_of_leader(self, ahead: int, other: int, ends: bool) -> None:
        epoch = self.quorum.epoch + ahead
        self.step(received(end(epoch, other, [NODE]) if ends else begin(epoch, other), self.token()))

    @rule()
    def resign(self) -> None:
        self.step(ResignRequested(self.quorum.epoch))

    @invariant()
    def requests_wait_only_with_a_leader_and_never_beyond_their_time(self) -> None:
        due = self.quorum.deadline_ms
        if self.open:
            assert self.quorum.role is Role.LEADER
            assert due is not None
            assert due <= self.now_ms + 500
        if self.quorum.role is not Role.LEADER:
            assert due is not None
            assert self.quorum.high_watermark is None

    @invariant()
    def what_is_stored_is_what_is_so(self) -> None:
        assert self.stored is not None
        assert self.stored.leader_epoch == self.quorum.epoch
        leader_id = self.quorum.leader_id
        assert self.stored.leader_id == (-1 if leader_id is None else leader_id)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
