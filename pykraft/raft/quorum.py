"""`QuorumNode`: one voter of the metadata quorum as a pure state machine, so far one that is the only voter.

Source: raft/src/main/java/org/apache/kafka/raft/KafkaRaftClient.java, `QuorumState.java` (Kafka 3.9).
"""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec

from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.begin_quorum_epoch_request import BeginQuorumEpochRequestData
from pykraft.protocol.messages.begin_quorum_epoch_response import BeginQuorumEpochResponseData
from pykraft.protocol.messages.describe_quorum_request import DescribeQuorumRequestData
from pykraft.protocol.messages.describe_quorum_response import DescribeQuorumResponseData
from pykraft.protocol.messages.end_quorum_epoch_request import EndQuorumEpochRequestData
from pykraft.protocol.messages.end_quorum_epoch_response import EndQuorumEpochResponseData
from pykraft.protocol.messages.fetch_request import FetchRequestData
from pykraft.protocol.messages.fetch_response import FetchResponseData
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage
from pykraft.protocol.messages.leader_change_message import Voter as ControlRecordVoter
from pykraft.protocol.messages.quorum_state_data import QuorumStateData
from pykraft.protocol.messages.quorum_state_data import Voter as StoredVoter
from pykraft.protocol.messages.vote_request import VoteRequestData
from pykraft.protocol.messages.vote_response import VoteResponseData
from pykraft.protocol.uuids import ZERO_UUID, Uuid
from pykraft.raft import answers
from pykraft.raft.answers import Endpoint, Leader
from pykraft.raft.divergence import LogFacts, Valid, fetch_verdict
from pykraft.raft.events import (
    AppendControlRecords,
    Effect,
    Event,
    HighWatermarkAdvanced,
    LeaderChanged,
    LogFlushed,
    PersistQuorumState,
    RaftResponse,
    Reply,
    ReplyFetch,
    RequestDropped,
    RequestReceived,
    ResignRequested,
    ShutdownBegun,
    Started,
    Tick,
    Token,
    VotersMoveToLog,
)
from pykraft.raft.leadership import Leadership, ReplicaKey
from pykraft.raft.roles import Role, check_transition

FETCH_BYTES_MAX: Final = 8 * 1024 * 1024
PARKED_FETCHES_MAX: Final = 10_000
LEADER_CHANGE: Final = 2
_LEADER_CHANGE_VERSION: Final = 0


class QuorumConfig(msgspec.Struct, frozen=True):
    """Who this node is and how long it waits; Kafka's `controller.quorum.*` with Kafka's defaults.

    At `kraft_version` 1 voters are known by their directory ids too, and `missing_records` are the control records
    (type, value) that say who they are and that the log still lacks.
    `endpoints` maps each controller listener to the host and port it is reached at. `refuses_non_voters`
    answers strangers' Vote, BeginQuorumEpoch and EndQuorumEpoch with INCONSISTENT_VOTER_SET, as Kafka 3.4 to
    3.8 do; 3.9 hears them.
    """

    node_id: int
    cluster_id: str
    voters: tuple[int, ...]
    endpoints: dict[str, Endpoint] = {}
    directory_id: Uuid = ZERO_UUID
    election_timeout_ms: int = 1000
    fetch_timeout_ms: int = 2000
    election_backoff_max_ms: int = 1000
    refuses_non_voters: bool = False
    kraft_version: int = 0
    missing_records: tuple[tuple[int, bytes], ...] = ()


class VoterSetError(Exception):
    """The configured voters are not the ones this node can work with, or has worked with so far."""


class _Parked(msgspec.Struct, frozen=True):
    """A Fetch that waits for news."""

    event: RequestReceived
    request: FetchRequestData
    deadline_ms: int
    high_watermark: int | None


class QuorumNode:
    """The quorum's state machine: `step` takes an event and gives the effects to carry out, in order.

    It reads `log` for facts only. A step that raises has changed nothing.
    """

    def __init__(self, config: QuorumConfig, log: LogFacts, stored: QuorumStateData | None, rng: random.Random) -> None:
        """`stored` is what the quorum-state file says. Raises `VoterSetError`."""
        if config.voters != (config.node_id,):
            raise VoterSetError(
                f"controller.quorum.voters is {list(config.voters)}: node {config.node_id} can only be the only voter"
            )
        before = [voter.voter_id for voter in (stored.current_voters or [])] if stored else []
        if before and sorted(before) != sorted(config.voters):
            raise VoterSetError(
                f"controller.quorum.voters is {list(config.voters)}, but quorum-state says that the voters are "
                f"{before}: set the same voters, or remove quorum-state if this node shall go on alone"
            )
        self._config = config
        self._log = log
        self._rng = rng
        self._stored = stored
        self.role = Role.UNATTACHED
        self.epoch = 0
        self.leader_id: int | None = None
        self._voted: ReplicaKey | None = None
        self._leader_endpoints: dict[str, Endpoint] = {}
        self._leadership: Leadership | None = None
        self._role_deadline_ms: int | None = None
        self._parked: dict[Token, _Parked] = {}
        self._missing_records = config.missing_records
        self._shutting_down = False
        self._now_ms = 0
        self._effects: list[Effect] = []

    @property
    def kraft_version(self) -> int:
        """0 with configured voters, 1 with those of the log: the data version of what `PersistQuorumState` holds."""
        return self._config.kraft_version

    @property
    def high_watermark(self) -> int | None:
        """Offset before which everything is committed, None while this node does not know."""
        return self._leadership.high_watermark if self._leadership else None

    @property
    def epoch_start_offset(self) -> int | None:
        """Where this node's own epoch begins in the log; None unless it leads."""
        return self._leadership.epoch_start_offset if self._leadership else None

    @property
    def deadline_ms(self) -> int | None:
        """When a `Tick` is due at the latest; None for never."""
        due = [parked.deadline_ms for parked in self._parked.values()]
        if self._role_deadline_ms is not None and not self._shutting_down:
            due.append(self._role_deadline_ms)
        return min(due, default=None)

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """Takes one event; the effects, of which a later `PersistQuorumState` has replaced earlier ones."""
        self._now_ms = now_ms
        self._effects = []
        match event:
            case RequestReceived():
                self._on_request(event)
            case LogFlushed(end_offset):
                self._on_flushed(end_offset)
            case Tick():
                self._on_tick()
            case RequestDropped(token):
                self._parked.pop(token, None)
            case Started():
                self._on_started()
            case ResignRequested(epoch):
                if self.role is Role.LEADER and epoch == self.epoch:
                    self._become_resigned()
            case VotersMoveToLog():
                self._move_voters_to_log()
            case ShutdownBegun():
                self._shutting_down = True
                self._refuse_parked(ErrorCode.BROKER_NOT_AVAILABLE)
        return _persist_once(self._effects)

    # Roles

    def _on_started(self) -> None:
        """Goes on from what was stored, in a new epoch: what the last one left unflushed may be lost."""
        stored, log_epoch = self._stored, self._log.last_epoch
        self.epoch = max(log_epoch, stored.leader_epoch if stored else 0)
        if stored is not None and stored.leader_epoch == self.epoch:
            if stored.leader_id == self._config.node_id:
                self.role = Role.RESIGNED
            elif stored.leader_id >= 0:
                self.role = Role.FOLLOWER
            elif stored.voted_id == self._config.node_id:
                self.role = Role.CANDIDATE
            elif stored.voted_id >= 0:
                self.role = Role.VOTED
        self._become_candidate()

    def _become_candidate(self) -> None:
        self._enter(Role.CANDIDATE, self.epoch + 1, None, ReplicaKey(self._config.node_id, self._config.directory_id))
        # The only voter has the majority with its own vote.
        self._become_leader()

    def _become_leader(self) -> None:
        me = self._config.node_id
        self._enter(Role.LEADER, self.epoch, me, None)
        self._leader_endpoints = self._config.endpoints
        is_dynamic = self._config.kraft_version > 0
        voters = [
            ReplicaKey(voter, self._config.directory_id if is_dynamic else ZERO_UUID) for voter in self._config.voters
        ]
        self._leadership = Leadership(me, voters, self.epoch, self._log.end_offset)
        message = LeaderChangeMessage(
            version=_LEADER_CHANGE_VERSION,
            leader_id=me,
            voters=[ControlRecordVoter(voter_id=voter.id) for voter in voters],
            granting_voters=[ControlRecordVoter(voter_id=me)],
        )
        record = (LEADER_CHANGE, message.encode(_LEADER_CHANGE_VERSION))
        self._effects.append(AppendControlRecords(self.epoch, [record, *self._missing_records]))
        self._missing_records = ()

    def _move_voters_to_log(self) -> None:
        """Stored before the records are in the log: without voters in quorum-state a start looks for them there."""
        self._config = msgspec.structs.replace(self._config, kraft_version=1)
        if self._leadership is not None:
            self._leadership.know_own_directory(self._config.directory_id)
        self._effects.append(PersistQuorumState(self._quorum_state()))

    def _become_unattached(self, epoch: int) -> None:
        waited_for_election = self.role in (Role.UNATTACHED, Role.VOTED, Role.CANDIDATE)
        deadline_ms = self._role_deadline_ms if waited_for_election else None
        self._enter(Role.UNATTACHED, epoch, None, None)
        self._role_deadline_ms = self._election_deadline() if deadline_ms is None else deadline_ms
        self._effects.append(LeaderChanged(None, epoch))

    def _become_voted(self, candidate: ReplicaKey) -> None:
        self._enter(Role.VOTED, self.epoch, None, candidate)
        self._role_deadline_ms = self._election_deadline()

    def _become_follower(self, leader_id: int, epoch: int, endpoints: dict[str, Endpoint]) -> None:
        self._enter(Role.FOLLOWER, epoch, leader_id, None)
        self._leader_endpoints = endpoints
        self._role_deadline_ms = self._now_ms + self._config.fetch_timeout_ms
        self._effects.append(LeaderChanged(leader_id, epoch))

    def _become_resigned(self) -> None:
        """Not stored: a leader that starts again begins resigned anyway. It still counts as its epoch's leader."""
        check_transition(self.role, Role.RESIGNED, self.epoch)
        self.role = Role.RESIGNED
        self._role_deadline_ms = self._election_deadline()
        self._leave_leadership()
        self._effects.append(LeaderChanged(None, self.epoch))

    def _enter(self, role: Role, epoch: int, leader_id: int | None, voted: ReplicaKey | None) -> None:
        check_transition(self.role, role, epoch)
        self.role, self.epoch, self.leader_id, self._voted = role, epoch, leader_id, voted
        self._leader_endpoints = {}
        self._role_deadline_ms = None
        self._effects.append(PersistQuorumState(self._quorum_state()))
        self._leave_leadership()

    def _leave_leadership(self) -> None:
        """Forgets what only a leader knows; whoever waits for its records has to look for the next leader."""
        self._leadership = None
        self._refuse_parked(ErrorCode.NOT_LEADER_OR_FOLLOWER)

    def _refuse_parked(self, error: ErrorCode) -> None:
        parked, self._parked = self._parked, {}
        for waiting in parked.values():
            self._refuse_fetch(waiting.event, error)

    def _quorum_state(self) -> QuorumStateData:
        if self._config.kraft_version > 0:
            return QuorumStateData(
                leader_id=-1 if self.leader_id is None else self.leader_id,
                leader_epoch=self.epoch,
                voted_id=-1 if self._voted is None else self._voted.id,
                voted_directory_id=ZERO_UUID if self._voted is None else self._voted.directory_id,
            )
        return QuorumStateData(
            leader_id=-1 if self.leader_id is None else self.leader_id,
            leader_epoch=self.epoch,
            voted_id=-1 if self._voted is None else self._voted.id,
            voted_directory_id=ZERO_UUID,
            current_voters=[StoredVoter(voter_id=voter) for voter in self._config.voters],
        )

    def _election_deadline(self) -> int:
        timeout_ms = self._config.election_timeout_ms
        return self._now_ms + timeout_ms + self._rng.randrange(timeout_ms)

    # Time and the log

    def _on_tick(self) -> None:
        for token, parked in list(self._parked.items()):
            if parked.deadline_ms <= self._now_ms:
                del self._parked[token]
                self._effects.append(Reply(token, self._fetch_answer(parked.event)))
        due = self._role_deadline_ms
        if due is not None and due <= self._now_ms and not self._shutting_down:
            self._become_candidate()

    def _on_flushed(self, end_offset: int) -> None:
        leadership = self._leadership
        if leadership is None:
            return
        before = leadership.high_watermark
        if leadership.flushed(end_offset):
            self._announce_high_watermark(before)
        self._wake_parked(leadership)

    def _announce_high_watermark(self, before: int | None) -> None:
        self._effects.append(HighWatermarkAdvanced(self.high_watermark or 0))
        if before is None:
            self._effects.append(LeaderChanged(self.leader_id, self.epoch))

    def _wake_parked(self, leadership: Leadership) -> None:
        """Answers those for whom there are records or another high watermark."""
        for token, parked in list(self._parked.items()):
            offset = parked.request.topics[0].partitions[0].fetch_offset
            if parked.high_watermark != leadership.high_watermark or offset < self._log.end_offset:
                del self._parked[token]
                self._complete_fetch(parked.event, parked.request, max_wait_ms=0)

    # Requests

    def _on_request(self, event: RequestReceived) -> None:
        request = event.request
        response: RaftResponse
        match request:
            case FetchRequestData():
                self._on_fetch(event, request)
                return
            case DescribeQuorumRequestData():
                response = self._on_describe_quorum(event, request)
            case VoteRequestData():
                response = self._on_vote(event, request)
            case BeginQuorumEpochRequestData():
                response = self._on_begin_quorum_epoch(event, request)
            case EndQuorumEpochRequestData():
                response = self._on_end_quorum_epoch(event, request)
        self._effects.append(Reply(event.token, response))

    def _leader(self, event: RequestReceived, endpoint_from: int) -> Leader:
        """The leader as an answer names it, with its endpoint from version `endpoint_from` on."""
        endpoint = self._leader_endpoints.get(event.listener) if event.api_version >= endpoint_from else None
        return Leader(-1 if self.leader_id is None else self.leader_id, self.epoch, endpoint)

    def _foreign_cluster(self, cluster_id: str | None) -> bool:
        return cluster_id is not None and cluster_id != self._config.cluster_id

    def _on_fetch(self, event: RequestReceived, request: FetchRequestData) -> None:
        if self._foreign_cluster(request.cluster_id):
            refusal = FetchResponseData(error_code=ErrorCode.INCONSISTENT_CLUSTER_ID)
            self._effects.append(Reply(event.token, refusal))
            return
        if not answers.fetches_metadata_partition(request):
            self._effects.append(Reply(event.token, FetchResponseData(error_code=ErrorCode.INVALID_REQUEST)))
            return
        partition = request.topics[0].partitions[0]
        if (
            request.max_wait_ms < 0
            or partition.fetch_offset < 0
            or not 0 <= partition.last_fetched_epoch <= partition.current_leader_epoch
        ):
            self._refuse_fetch(event, ErrorCode.INVALID_REQUEST)
            return
        self._complete_fetch(event, request, max_wait_ms=request.max_wait_ms)

    def _complete_fetch(self, event: RequestReceived, request: FetchRequestData, *, max_wait_ms: int) -> None:
        """Answers, or parks the Fetch when it is valid, there is nothing new and it may wait."""
        partition = request.topics[0].partitions[0]
        error = self._leader_only_error(partition.current_leader_epoch)
        leadership = self._leadership
        if error is not ErrorCode.NONE or leadership is None:
            self._refuse_fetch(event, error)
            return
        offset, end_offset = partition.fetch_offset, self._log.end_offset
        verdict = fetch_verdict(self._log, offset, partition.last_fetched_epoch)
        if not isinstance(verdict, Valid):
            response = answers.fetch(
                self._leader(event, 17),
                ErrorCode.NONE,
                log_start_offset=self._log.start_offset,
                high_watermark=leadership.high_watermark,
                verdict=verdict,
            )
            self._effects.append(Reply(event.token, response))
            return
        replica_id = request.replica_id if request.replica_id != -1 else request.replica_state.replica_id
        if replica_id == self._config.node_id:
            self._refuse_fetch(event, ErrorCode.UNKNOWN_SERVER_ERROR)
            return
        key = ReplicaKey(replica_id, partition.replica_directory_id)
        before = leadership.high_watermark
        if leadership.fetched(key, offset, end_offset, self._now_ms):
            self._announce_high_watermark(before)
            self._wake_parked(leadership)
        # Records go out before they are committed. A replica that was told an older high watermark is told the new
        # one now, where Kafka lets it sit out its wait; so is one that waits when the high watermark moves.
        replica = leadership.replica(key)
        is_told = replica is None or replica.told_high_watermark == leadership.high_watermark
        if offset == end_offset and is_told and max_wait_ms > 0 and len(self._parked) < PARKED_FETCHES_MAX:
            deadline_ms = self._now_ms + max_wait_ms
            self._parked[event.token] = _Parked(event, request, deadline_ms, leadership.high_watermark)
            return
        if replica is not None:
            replica.told_high_watermark = leadership.high_watermark
        if offset < end_offset:
            self._effects.append(ReplyFetch(event.token, self._fetch_answer(event), offset, FETCH_BYTES_MAX))
        else:
            self._effects.append(Reply(event.token, self._fetch_answer(event)))

    def _fetch_answer(self, event: RequestReceived) -> FetchResponseData:
        return answers.fetch(
            self._leader(event, 17),
            ErrorCode.NONE,
            log_start_offset=self._log.start_offset,
            high_watermark=self.high_watermark,
        )

    def _refuse_fetch(self, event: RequestReceived, error: ErrorCode) -> None:
        leader = self._leader(event, 17)
        response = answers.fetch(leader, error, log_start_offset=self._log.start_offset)
        self._effects.append(Reply(event.token, response))

    def _leader_only_error(self, epoch: int) -> ErrorCode:
        if epoch < self.epoch:
            return ErrorCode.FENCED_LEADER_EPOCH
        if epoch > self.epoch:
            return ErrorCode.UNKNOWN_LEADER_EPOCH
        if self.role is not Role.LEADER:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        return ErrorCode.BROKER_NOT_AVAILABLE if self._shutting_down else ErrorCode.NONE

    def _on_describe_quorum(
        self, event: RequestReceived, request: DescribeQuorumRequestData
    ) -> DescribeQuorumResponseData:
        if not answers.names_metadata_partition(request.topics):
            error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            return answers.describe_quorum_error(request, error, "Only the metadata partition has a quorum.")
        if self._leadership is None:
            error = ErrorCode.NOT_LEADER_OR_FOLLOWER
            return answers.describe_quorum_error(request, error, f"The leader is {self.leader_id}.")
        return answers.describe_quorum(
            self._leadership, self._config.node_id, self._config.endpoints, event.api_version, self._now_ms
        )

    def _voter_only_error(self, remote_id: int, epoch: int) -> ErrorCode:
        if epoch < self.epoch:
            return ErrorCode.FENCED_LEADER_EPOCH
        if remote_id < 0:
            return ErrorCode.INVALID_REQUEST
        if self._config.refuses_non_voters and remote_id not in self._config.voters:
            return ErrorCode.INCONSISTENT_VOTER_SET
        return ErrorCode.NONE

    def _is_me(self, voter_id: int, directory_id: Uuid) -> bool:
        """Whether a request that may name the voter it is meant for means this one."""
        if voter_id < 0:
            return True
        return voter_id == self._config.node_id and directory_id in (ZERO_UUID, self._config.directory_id)

    def _on_vote(self, event: RequestReceived, request: VoteRequestData) -> VoteResponseData:
        if self._foreign_cluster(request.cluster_id):
            return VoteResponseData(error_code=ErrorCode.INCONSISTENT_CLUSTER_ID)
        if not answers.names_metadata_partition(request.topics):
            return VoteResponseData(error_code=ErrorCode.INVALID_REQUEST)
        asked = request.topics[0].partitions[0]
        error = ErrorCode.INVALID_REQUEST
        # Who asks beforehand names the epoch it is in, who stands for election the next one.
        log_epoch_max = asked.candidate_epoch if asked.pre_vote else asked.candidate_epoch - 1
        if asked.last_offset >= 0 and 0 <= asked.last_offset_epoch <= log_epoch_max:
            error = self._voter_only_error(asked.candidate_id, asked.candidate_epoch)
        if error is not ErrorCode.NONE:
            return answers.vote(self._leader(event, 1), error)
        if asked.candidate_epoch > self.epoch:
            self._become_unattached(asked.candidate_epoch)
        if not self._is_me(request.voter_id, asked.voter_directory_id):
            return answers.vote(self._leader(event, 1), ErrorCode.INVALID_VOTER_KEY)
        candidate = ReplicaKey(asked.candidate_id, asked.candidate_directory_id)
        theirs, ours = (asked.last_offset_epoch, asked.last_offset), (self._log.last_epoch, self._log.end_offset)
        granted = False
        if asked.pre_vote:
            granted = self.leader_id is None and theirs >= ours
        elif self.role is Role.VOTED and self._voted is not None:
            known = self._voted.directory_id
            granted = self._voted.id == candidate.id and known in (ZERO_UUID, candidate.directory_id)
        elif self.role is Role.UNATTACHED and self.leader_id is None and theirs >= ours:
            granted = True
            self._become_voted(candidate)
        return answers.vote(self._leader(event, 1), ErrorCode.NONE, granted=granted)

    def _on_begin_quorum_epoch(
        self, event: RequestReceived, request: BeginQuorumEpochRequestData
    ) -> BeginQuorumEpochResponseData:
        if self._foreign_cluster(request.cluster_id):
            return BeginQuorumEpochResponseData(error_code=ErrorCode.INCONSISTENT_CLUSTER_ID)
        if not answers.names_metadata_partition(request.topics):
            return BeginQuorumEpochResponseData(error_code=ErrorCode.INVALID_REQUEST)
        asked = request.topics[0].partitions[0]
        error = self._voter_only_error(asked.leader_id, asked.leader_epoch)
        if error is ErrorCode.NONE:
            error = self._hear_of_leader(asked.leader_id, asked.leader_epoch, request.leader_endpoints)
        if error is ErrorCode.NONE and not self._is_me(request.voter_id, asked.voter_directory_id):
            error = ErrorCode.INVALID_VOTER_KEY
        return answers.begin_quorum_epoch(self._leader(event, 1), error)

    def _on_end_quorum_epoch(
        self, event: RequestReceived, request: EndQuorumEpochRequestData
    ) -> EndQuorumEpochResponseData:
        if self._foreign_cluster(request.cluster_id):
            return EndQuorumEpochResponseData(error_code=ErrorCode.INCONSISTENT_CLUSTER_ID)
        if not answers.names_metadata_partition(request.topics):
            return EndQuorumEpochResponseData(error_code=ErrorCode.INVALID_REQUEST)
        asked = request.topics[0].partitions[0]
        error = self._voter_only_error(asked.leader_id, asked.leader_epoch)
        if error is ErrorCode.NONE:
            error = self._hear_of_leader(asked.leader_id, asked.leader_epoch, request.leader_endpoints)
        if error is ErrorCode.NONE and self.role is Role.FOLLOWER and self.leader_id == asked.leader_id:
            successors = asked.preferred_successors or [c.candidate_id for c in asked.preferred_candidates]
            self._role_deadline_ms = self._now_ms + self._successor_backoff_ms(successors)
        return answers.end_quorum_epoch(self._leader(event, 1), error)

    def _hear_of_leader(self, leader_id: int, epoch: int, listeners: list[Any]) -> ErrorCode:
        """Follows a leader that says so, in an epoch not before ours.

        Two leaders of one epoch cannot be: Kafka stops there, here the second one gets an error and nothing
        changes.
        """
        if leader_id == self._config.node_id:
            is_true = epoch == self.epoch and leader_id == self.leader_id
            return ErrorCode.NONE if is_true else ErrorCode.UNKNOWN_SERVER_ERROR
        if epoch == self.epoch and self.leader_id is not None:
            return ErrorCode.NONE if leader_id == self.leader_id else ErrorCode.UNKNOWN_SERVER_ERROR
        endpoints = {listener.name: (listener.host, listener.port) for listener in listeners}
        self._become_follower(leader_id, epoch, endpoints)
        return ErrorCode.NONE

    def _successor_backoff_ms(self, successors: list[int]) -> int:
        """How long to leave the election to those the resigning leader likes better."""
        limit = self._config.election_backoff_max_ms
        me = self._config.node_id
        position = successors.index(me) if me in successors else len(successors)
        if position == 0:
            return 0
        if position == len(successors):
            return limit
        return min(limit, (limit >> (len(successors) - 1)) << (position - 1))


def _persist_once(effects: list[Effect]) -> list[Effect]:
    """Keeps the last state to persist, before everything else: no effect may be seen ahead of it."""
    states = [effect for effect in effects if isinstance(effect, PersistQuorumState)]
    if not states:
        return effects
    return [states[-1], *(effect for effect in effects if not isinstance(effect, PersistQuorumState))]
