"""What happens to a quorum node, and what it wants done about it.

Effects are carried out in their order, and each before the next begins: what is persisted stands before
what follows from it. Times are ms since 1970 from a clock that never goes back.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from pykraft.protocol.messages.begin_quorum_epoch_request import BeginQuorumEpochRequestData
from pykraft.protocol.messages.begin_quorum_epoch_response import BeginQuorumEpochResponseData
from pykraft.protocol.messages.describe_quorum_request import DescribeQuorumRequestData
from pykraft.protocol.messages.describe_quorum_response import DescribeQuorumResponseData
from pykraft.protocol.messages.end_quorum_epoch_request import EndQuorumEpochRequestData
from pykraft.protocol.messages.end_quorum_epoch_response import EndQuorumEpochResponseData
from pykraft.protocol.messages.fetch_request import FetchRequestData
from pykraft.protocol.messages.fetch_response import FetchResponseData
from pykraft.protocol.messages.quorum_state_data import QuorumStateData
from pykraft.protocol.messages.vote_request import VoteRequestData
from pykraft.protocol.messages.vote_response import VoteResponseData

Token: TypeAlias = int
"""Names a request to whoever sent it in; the node hands it back with the answer."""

RaftRequest: TypeAlias = (
    FetchRequestData
    | VoteRequestData
    | BeginQuorumEpochRequestData
    | EndQuorumEpochRequestData
    | DescribeQuorumRequestData
)
RaftResponse: TypeAlias = (
    FetchResponseData
    | VoteResponseData
    | BeginQuorumEpochResponseData
    | EndQuorumEpochResponseData
    | DescribeQuorumResponseData
)


class Started(msgspec.Struct, frozen=True):
    """The log is open and read; comes first and once."""


class Tick(msgspec.Struct, frozen=True):
    """Time has passed; wanted at the latest when `QuorumNode.deadline_ms` is reached."""


class LogFlushed(msgspec.Struct, frozen=True):
    """Everything before `end_offset` is on disk."""

    end_offset: int


class RequestReceived(msgspec.Struct, frozen=True):
    """A request came in on `listener`, which decides on the endpoint that the answer names."""

    token: Token
    request: RaftRequest
    api_version: int
    listener: str = ""


class RequestDropped(msgspec.Struct, frozen=True):
    """Nobody waits for the answer any more."""

    token: Token


class ResignRequested(msgspec.Struct, frozen=True):
    """The controller cannot go on as leader of `epoch`."""

    epoch: int


class ShutdownBegun(msgspec.Struct, frozen=True):
    """The node is about to stop: nobody waits any longer, and after `ResignRequested` it never leads again."""


class VotersMoveToLog(msgspec.Struct, frozen=True):
    """The quorum is about to be upgraded to kraft.version 1: its voters will be in the log, and are in no file."""


Event: TypeAlias = (
    Started | Tick | LogFlushed | RequestReceived | RequestDropped | ResignRequested | ShutdownBegun | VotersMoveToLog
)


class PersistQuorumState(msgspec.Struct, frozen=True):
    """Write the quorum-state file, with fsync."""

    state: QuorumStateData


class AppendControlRecords(msgspec.Struct, frozen=True):
    """Append one control batch of (type, value) records in `epoch`, then report `LogFlushed`."""

    epoch: int
    records: list[tuple[int, bytes]]


class LeaderChanged(msgspec.Struct, frozen=True):
    """The leader that the controller has to know of; `leader_id` is None while nobody leads.

    This node as leader is announced only once the first record of its epoch is committed.
    """

    leader_id: int | None
    epoch: int


class HighWatermarkAdvanced(msgspec.Struct, frozen=True):
    """Every record before `high_watermark` is committed."""

    high_watermark: int


class Reply(msgspec.Struct, frozen=True):
    """Answer a request."""

    token: Token
    response: RaftResponse


class ReplyFetch(msgspec.Struct, frozen=True):
    """Answer a Fetch with whole batches from `offset`, at most `max_bytes` beyond the first.

    They belong into the only partition of `response`.
    """

    token: Token
    response: FetchResponseData
    offset: int
    max_bytes: int


Effect: TypeAlias = (
    PersistQuorumState | AppendControlRecords | LeaderChanged | HighWatermarkAdvanced | Reply | ReplyFetch
)
