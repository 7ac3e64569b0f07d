"""The migration driver: when to claim, to copy, to reconcile, to write, to tell the brokers. Pure.

Source: KRaftMigrationDriver.java (Kafka 3.9), states and transitions as there. `step` takes what happened and the
committed image, and gives what to do; work on ZooKeeper is done elsewhere, one job at a time, and comes back as an
event. On purpose different from Kafka:

* In DUAL_WRITE brokers are told at once, not after ZooKeeper was written: ZooKeeper may be away for as long as it
  likes and partitions still get their leaders. A broker that reads a topic's config from ZooKeeper before it is there
  is put right by the change notification that comes with it.
* What changes while a write runs is kept as one merged delta, and a write that failed, for whatever reason, is
  followed by a reconcile of everything: nothing is lost, and what has to be remembered does not grow.
* A claim that another controller took away ends the term: INACTIVE until the next KRaft leader change.
* A finished copy whose offset never reached `/migration` goes on from the log instead of stopping for ever; a
  `/migration` that some other attempt left is refused instead of emptying ZooKeeper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final

from pykraft.image.delta import KEYED, MetadataDelta, TopicDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ZkMigrationState
from pykraft.migration import effects, events, preconditions
from pykraft.migration.states import EMPTY, MigrationDriverState, check_transition
from pykraft.migration.zk_contents import PasswordEncoder, PlainPasswords
from pykraft.migration.zk_writer import ZkWriter
from pykraft.zookeeper.port import UNKNOWN_VERSION

POLL_BACKOFF_INITIAL_MS: Final = 100
POLL_BACKOFF_MAX_MS: Final = 60_000
POLL_BACKOFF_JITTER: Final = 0.02
PENDING_KEYS_MAX: Final = 100_000
"""Changed keys to remember while a write runs; with more than that, everything is compared instead."""

S = MigrationDriverState


class MigrationDriver:
    """One node's driver. `voter_ids` are the controllers of the quorum; `rng` jitters the polls; `listener` is the
    brokers' inter-broker listener."""

    def __init__(
        self,
        node_id: int,
        voter_ids: Iterable[int],
        rng: Random,
        passwords: PasswordEncoder | None = None,
        listener: str = "PLAINTEXT",
    ) -> None:
        self.state = S.UNINITIALIZED
        self.leadership = EMPTY
        self._stored = EMPTY
        self._node_id = node_id
        self._voter_ids = frozenset(voter_ids)
        self._rng = rng
        self._passwords = passwords or PlainPasswords()
        self._listener = listener
        self._leader_id: int | None = None
        self._leader_epoch = -1
        self._may_lead = False
        self._polls = 0
        self._poll_now = False
        self._read_again = False
        self._job: int | None = None
        self._jobs = 0
        self._job_started_ms = 0
        self._job_is_snapshot = False
        self._waiting: str | None = None
        self._pending: MetadataDelta | None = None
        self._pending_while_reconciling = False
        self._reconcile_needed = False
        self._effects: list[effects.Effect] = []
        self._now_ms = 0

    def step(self, event: events.Event, image: MetadataImage, now_ms: int) -> list[effects.Effect]:
        """Take one event, with the committed image at this moment; times are in ms of one clock that never goes back.

        Raises IllegalTransitionError, which would be a defect here, and leaves the state as it was.
        """
        self._effects, self._now_ms = [], now_ms
        job = getattr(event, "job", None)
        if job is None:
            _HANDLERS[type(event)](self, event, image)
        elif job == self._job:
            self._job = None
            _HANDLERS[type(event)](self, event, image)
        while self._poll_now:
            self._poll_now = False
            self._poll(image)
        return self._effects

    @property
    def is_writing(self) -> bool:
        """Whether in DUAL_WRITE something committed is not in ZooKeeper yet."""
        pending = self._pending is not None and not self._pending.is_empty
        return self.state is S.DUAL_WRITE and (self._job is not None or pending or self._reconcile_needed)

    def lag(self, image: MetadataImage) -> int:
        """ZkWriteBehindLag: records committed but not in ZooKeeper; 0 unless this node writes it."""
        if not self.is_writing:
            return 0
        return max(0, image.offset - self.leadership.kraft_metadata_offset)

    # -- events --------------------------------------------------------------------------------------------------

    def _on_poll(self, event: events.Poll, image: MetadataImage) -> None:
        self._poll_now = True

    def _on_leader(self, event: events.LeaderChanged, image: MetadataImage) -> None:
        """The old term ends here whatever comes next: its job, its claim, its pending changes."""
        self._leader_id, self._leader_epoch = event.leader_id, event.epoch
        self._may_lead = event.leader_id == self._node_id
        self.leadership = self.leadership.with_leader(-1 if event.leader_id is None else event.leader_id, event.epoch)
        if self.state is S.UNINITIALIZED:
            self._poll_now = True
            return
        self._stop()
        self._poll_now = True

    def _on_metadata(self, event: events.MetadataChanged, image: MetadataImage) -> None:
        delta = event.delta
        if self.state is S.DUAL_WRITE:
            if delta is None:
                self._effects.append(effects.SendFullRpcs(self.leadership.zk_controller_epoch))
                self._reconcile_needed = True
            elif delta.topics or delta.brokers:
                self._effects.append(effects.SendDeltaRpcs(delta, self.leadership.zk_controller_epoch))
            self._poll_now = delta is None or not self._reconcile_needed
        elif delta is None or delta.brokers or delta.controllers or delta.features:
            self._poll_now = True
        if delta is not None and self._pending is not None:
            self._remember(delta)

    def _on_state_read(self, event: events.MigrationStateRead, image: MetadataImage) -> None:
        self._stored = event.state
        self.leadership = event.state.with_leader(
            -1 if self._leader_id is None else self._leader_id, self._leader_epoch
        )
        if self.state is S.UNINITIALIZED:
            self._transition(S.INACTIVE)
        if self.state is S.INACTIVE:
            if self._may_lead:
                self._transition(S.WAIT_FOR_CONTROLLER_QUORUM)
            return
        self._poll_now = True

    def _on_broker_ids(self, event: events.BrokerIdsRead, image: MetadataImage) -> None:
        reason = preconditions.brokers_not_registered(image, event.brokers) or preconditions.brokers_out_of_reach(
            image, self._listener
        )
        if reason is not None:
            self._wait(reason)
        else:
            self._start(effects.ReadAssignedBrokers(self._next_job()))

    def _on_assigned_brokers(self, event: events.AssignedBrokersRead, image: MetadataImage) -> None:
        reason = (
            preconditions.replicas_not_registered(image, event.replicas)
            or preconditions.topics_without_id(event.topics_without_id)
            or preconditions.contents_without_record(image.metadata_version, event.scram_users, event.tokens)
        )
        if reason is not None:
            self._wait(reason)
        else:
            self._transition(S.BECOME_CONTROLLER)

    def _on_claimed(self, event: events.Claimed, image: MetadataImage) -> None:
        self.leadership = event.state
        self._transition(S.SYNC_KRAFT_TO_ZK if event.state.initial_migration_complete else S.ZK_MIGRATION)

    def _on_claim_refused(self, event: events.ClaimRefused, image: MetadataImage) -> None:
        self._wait(event.reason)

    def _on_copied(self, event: events.Copied, image: MetadataImage) -> None:
        self.leadership = self.leadership.with_offset(event.offset, event.epoch)
        self._transition(S.SYNC_KRAFT_TO_ZK)

    def _on_written(self, event: events.Written, image: MetadataImage) -> None:
        self.leadership = event.state
        self._polls = 0
        self._waiting = None
        self._effects.append(
            effects.ReportWrites(
                event.operations,
                event.state.kraft_metadata_offset,
                self.lag(image),
                self._now_ms - self._job_started_ms,
                self._job_is_snapshot,
            )
        )
        if self.state is S.SYNC_KRAFT_TO_ZK:
            self._transition(S.KRAFT_CONTROLLER_TO_BROKER_COMM)
        else:
            self._poll_now = True

    def _on_failed(self, event: events.JobFailed, image: MetadataImage) -> None:
        """Nothing that the job may have done is relied upon: versions are learnt anew, everything is compared."""
        self.leadership = self.leadership.with_migration_version(UNKNOWN_VERSION)
        self._pending = None
        if self.state is S.DUAL_WRITE:
            self._reconcile_needed = True
        if event.failure is events.ZkFailure.FENCED:
            self._stop()
            self._may_lead = False
        self._wait(event.reason)

    # -- what a state does when polled ---------------------------------------------------------------------------

    def _poll(self, image: MetadataImage) -> None:
        if self._job is not None:
            return
        if self.state in (S.UNINITIALIZED, S.INACTIVE):
            if self.state is S.UNINITIALIZED or self._may_lead:
                self._start(effects.ReadMigrationState(self._next_job()))
        elif not preconditions.is_first_image(image):
            self._wait("the metadata log holds nothing yet")
        else:
            _POLLS[self.state](self, image)

    def _poll_quorum(self, image: MetadataImage) -> None:
        reason = preconditions.no_migration_possible(image)
        if reason is not None:
            self._stop()
            self._may_lead = False
            self._wait(reason)
            return
        reason = preconditions.left_from_another_attempt(image, self._stored) or preconditions.log_behind_zookeeper(
            image, self.leadership
        )
        if reason is not None:
            self._wait_for_another_migration_znode(reason)
        elif image.zk_migration_state is ZkMigrationState.MIGRATION:
            self._adopt_offset_of_the_log(image)
            self._transition(S.BECOME_CONTROLLER)
        elif (reason := preconditions.quorum_not_ready(image, self._voter_ids)) is not None:
            self._wait(reason)
        else:
            self._transition(S.WAIT_FOR_BROKERS)

    def _wait_for_another_migration_znode(self, reason: str) -> None:
        """Every other poll reads `/migration` again: the operator may have put it right."""
        self._read_again = not self._read_again
        if self._read_again:
            self._wait(reason)
        else:
            self._start(effects.ReadMigrationState(self._next_job()))

    def _poll_brokers(self, image: MetadataImage) -> None:
        self._start(effects.ReadBrokerIds(self._next_job()))

    def _poll_claim(self, image: MetadataImage) -> None:
        self._start(effects.Claim(self._next_job(), self.leadership))

    def _poll_copy(self, image: MetadataImage) -> None:
        """Copy, unless that is committed and only its result was lost."""
        if image.zk_migration_state is ZkMigrationState.MIGRATION:
            self._adopt_offset_of_the_log(image)
            self._transition(S.SYNC_KRAFT_TO_ZK)
        else:
            self._start(effects.CopyMetadata(self._next_job()))

    def _poll_sync(self, image: MetadataImage) -> None:
        reason = preconditions.log_behind_zookeeper(image, self.leadership)
        if reason is not None:
            self._wait(reason)
        else:
            self._start_reconcile(image)

    def _poll_full_rpcs(self, image: MetadataImage) -> None:
        self._effects.append(effects.SendFullRpcs(self.leadership.zk_controller_epoch))
        self._transition(S.DUAL_WRITE)

    def _poll_dual_write(self, image: MetadataImage) -> None:
        if self._reconcile_needed:
            self._start_reconcile(image)
        elif self._pending is not None and not self._pending.is_empty:
            delta, self._pending = self._pending, MetadataDelta()
            reconciled, self._pending_while_reconciling = self._pending_while_reconciling, False
            if reconciled and any(before is None and acl not in image.acls for acl, before in delta.acls.items()):
                self._start_reconcile(image)  # It may have written an ACL that nothing tells the resource of any more.
                return
            writer = ZkWriter(self.leadership.kraft_controller_epoch, self._passwords, reconciled)
            try:
                operations = writer.delta(image, delta)
            except Exception as error:  # Whatever it is, no change may be lost, and brokers must still be told.
                self._reconcile_needed = True
                self._wait(
                    f"a change cannot be put into ZooKeeper ({type(error).__name__}: {error}): everything is compared"
                    " next; please report it"
                )
                return
            if operations:
                state = self.leadership.with_offset(image.offset, image.epoch)
                self._start(effects.WriteZk(self._next_job(), state, operations))

    def _adopt_offset_of_the_log(self, image: MetadataImage) -> None:
        """The log has the whole copy, even if nobody came to write its offset to `/migration`."""
        if not self.leadership.initial_migration_complete:
            self.leadership = self.leadership.with_offset(image.offset, image.epoch)

    # -- helpers -------------------------------------------------------------------------------------------------

    def _start_reconcile(self, image: MetadataImage) -> None:
        """What changes from now on is remembered, because the reconcile may have looked at it already."""
        self._pending, self._reconcile_needed, self._pending_while_reconciling = MetadataDelta(), False, True
        self._start(
            effects.Reconcile(self._next_job(), self.leadership.with_offset(image.offset, image.epoch)), snapshot=True
        )

    def _next_job(self) -> int:
        self._jobs += 1
        return self._jobs

    def _start(self, job: effects.Job, *, snapshot: bool = False) -> None:
        self._job, self._job_started_ms, self._job_is_snapshot = job.job, self._now_ms, snapshot
        self._effects.append(job)

    def _stop(self) -> None:
        """Give up what was claimed: no job, no pending changes, INACTIVE."""
        if self._job is not None:
            self._job = None
            self._effects.append(effects.CancelJob())
        self._pending, self._reconcile_needed, self._read_again = None, False, False
        if self.state is not S.INACTIVE:
            self._transition(S.INACTIVE)
            self._effects.append(effects.StopRpcs())

    def _transition(self, state: MigrationDriverState) -> None:
        check_transition(self.state, state)
        if state is not self.state:
            self._effects.append(effects.StateChanged(self.state, state))
            self.state, self._polls, self._waiting, self._poll_now = state, 0, None, True

    def _wait(self, reason: str) -> None:
        """Say why it does not go on, once, and poll again later; an INACTIVE driver waits for a new leader instead."""
        if reason != self._waiting:
            self._waiting = reason
            self._effects.append(effects.ReportWaiting(reason))
        self._poll_now = False
        if self.state is S.INACTIVE and not self._may_lead:
            return
        backoff = min(POLL_BACKOFF_INITIAL_MS * 2 ** min(self._polls, 20), POLL_BACKOFF_MAX_MS)
        self._polls += 1
        jitter = 1 + self._rng.uniform(-POLL_BACKOFF_JITTER, POLL_BACKOFF_JITTER)
        self._effects.append(effects.SetTimer(self._now_ms + round(backoff * jitter)))

    def _remember(self, delta: MetadataDelta) -> None:
        """Add a change to those that the next write has to look at; the delta itself belongs to others too."""
        pending = self._pending
        assert pending is not None
        for topic_id, change in delta.topics.items():
            if topic_id not in pending.topics:
                pending.topics[topic_id] = TopicDelta(change.name, change.existed)
        pending.merge(delta)
        if self._pending_while_reconciling:
            self._remember_removed(pending, delta)
        if _size(pending) > PENDING_KEYS_MAX:
            self._pending, self._reconcile_needed = MetadataDelta(), True

    def _remember_removed(self, pending: MetadataDelta, delta: MetadataDelta) -> None:
        """A topic that came and went meanwhile is nothing to a delta, but the reconcile may have created it."""
        for topic_id, change in delta.topics.items():
            if change.removed is not None and topic_id not in pending.topics:
                pending.topics[topic_id] = TopicDelta(change.name, existed=True, removed=change.removed)


def _size(delta: MetadataDelta) -> int:
    partitions = sum(len(topic.partitions) for topic in delta.topics.values())
    return partitions + sum(len(getattr(delta, name)) for name in KEYED)


_HANDLERS: Final[dict[type, Callable[[MigrationDriver, Any, MetadataImage], None]]] = {
    events.Poll: MigrationDriver._on_poll,
    events.LeaderChanged: MigrationDriver._on_leader,
    events.MetadataChanged: MigrationDriver._on_metadata,
    events.MigrationStateRead: MigrationDriver._on_state_read,
    events.BrokerIdsRead: MigrationDriver._on_broker_ids,
    events.AssignedBrokersRead: MigrationDriver._on_assigned_brokers,
    events.Claimed: MigrationDriver._on_claimed,
    events.ClaimRefused: MigrationDriver._on_claim_refused,
    events.Copied: MigrationDriver._on_copied,
    events.Written: MigrationDriver._on_written,
    events.JobFailed: MigrationDriver._on_failed,
}

_POLLS: Final[dict[MigrationDriverState, Callable[[MigrationDriver, MetadataImage], None]]] = {
    S.WAIT_FOR_CONTROLLER_QUORUM: MigrationDriver._poll_quorum,
    S.WAIT_FOR_BROKERS: MigrationDriver._poll_brokers,
    S.BECOME_CONTROLLER: MigrationDriver._poll_claim,
    S.ZK_MIGRATION: MigrationDriver._poll_copy,
    S.SYNC_KRAFT_TO_ZK: MigrationDriver._poll_sync,
    S.KRAFT_CONTROLLER_TO_BROKER_COMM: MigrationDriver._poll_full_rpcs,
    S.DUAL_WRITE: MigrationDriver._poll_dual_write,
}
