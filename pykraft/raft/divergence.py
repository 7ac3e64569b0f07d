"""Where a replica's log agrees with ours: what the leader answers to a fetch offset and epoch.

Source: raft/src/main/java/org/apache/kafka/raft/ReplicatedLog.java (`validateOffsetAndEpoch`),
`KafkaRaftClient.tryCompleteFetchRequest`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias


class LogFacts(Protocol):
    """What the quorum node asks of the log; pairs are (offset, epoch). Answers come without IO."""

    @property
    def start_offset(self) -> int:
        """Offset of the first record."""

    @property
    def end_offset(self) -> int:
        """Offset after the last record that is on disk."""

    @property
    def last_epoch(self) -> int:
        """Leader epoch of the last record or, in an empty log, of the latest snapshot, else 0."""

    @property
    def earliest_snapshot(self) -> tuple[int, int] | None:
        """The oldest snapshot kept."""

    @property
    def latest_snapshot(self) -> tuple[int, int] | None:
        """The newest snapshot kept."""

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """Where the largest epoch <= `epoch` ends, and that epoch."""


class Valid(NamedTuple):
    """The replica's log is a prefix of ours: it gets records from its fetch offset on."""


class Diverging(NamedTuple):
    """The replica has to cut its log to at most `offset`, and to records of at most `epoch`."""

    offset: int
    epoch: int


class SnapshotNeeded(NamedTuple):
    """The replica has to load the snapshot of everything before `offset`, whose last record is of `epoch`."""

    offset: int
    epoch: int


Verdict: TypeAlias = Valid | Diverging | SnapshotNeeded
BOOTSTRAP_SNAPSHOT = (0, 0)


def validate_offset_and_epoch(log: LogFacts, offset: int, epoch: int) -> Verdict:
    """Whether a log that ends at `offset` with a record of `epoch` is a prefix of `log`."""
    if offset == 0 and log.start_offset == 0:
        return Valid()
    earliest, latest = log.earliest_snapshot, log.latest_snapshot
    if earliest is not None and latest is not None:
        start, earliest_epoch = log.start_offset, earliest[1]
        if offset < start or (offset == start and epoch != earliest_epoch) or epoch < earliest_epoch:
            return SnapshotNeeded(*latest)
    end_offset, end_epoch = log.end_offset_for_epoch(epoch)
    if end_epoch != epoch or end_offset < offset:
        return Diverging(end_offset, end_epoch)
    return Valid()


def fetch_verdict(log: LogFacts, offset: int, epoch: int) -> Verdict:
    """What a Fetch from `offset` is answered; an empty replica is sent to a snapshot where there is one."""
    latest = log.latest_snapshot
    if offset == 0 and latest is not None and latest != BOOTSTRAP_SNAPSHOT:
        return SnapshotNeeded(*latest)
    return validate_offset_and_epoch(log, offset, epoch)
