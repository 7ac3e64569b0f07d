"""What a leader knows of one epoch: the progress of each replica and the high watermark.

Source: raft/src/main/java/org/apache/kafka/raft/LeaderState.java.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from pykraft.protocol.uuids import ZERO_UUID, Uuid

OBSERVER_SESSION_TIMEOUT_MS: Final = 300_000
OBSERVERS_MAX: Final = 10_000


class ReplicaKey(NamedTuple):
    """A replica: node id, and the id of its metadata log directory where it gave one."""

    id: int
    directory_id: Uuid = ZERO_UUID


class ReplicaProgress(msgspec.Struct):
    """How far one replica is; offsets and times in ms since 1970, -1 for unknown.

    `told_high_watermark` is what its last answer said, None before the first.
    """

    key: ReplicaKey
    end_offset: int = -1
    last_fetch_ms: int = -1
    last_caught_up_ms: int = -1
    leader_end_at_last_fetch: int = -1
    told_high_watermark: int | None = None

    def fetched(self, offset: int, leader_end_offset: int, now_ms: int) -> None:
        """It asked for `offset`, so it holds everything before.

        A replica that has now what the leader had at its fetch before was caught up at that fetch.
        """
        if offset >= leader_end_offset:
            self.last_caught_up_ms = max(self.last_caught_up_ms, now_ms)
        elif 0 < self.leader_end_at_last_fetch <= offset:
            self.last_caught_up_ms = max(self.last_caught_up_ms, self.last_fetch_ms)
        self.leader_end_at_last_fetch = leader_end_offset
        self.last_fetch_ms = max(self.last_fetch_ms, now_ms)
        self.end_offset = offset


class Leadership:
    """The leader's view of one epoch, in which it writes from `epoch_start_offset` on."""

    def __init__(self, local_id: int, voters: Iterable[ReplicaKey], epoch: int, epoch_start_offset: int) -> None:
        self.epoch = epoch
        self.epoch_start_offset = epoch_start_offset
        self.high_watermark: int | None = None
        self._local_id = local_id
        self._voters = {key.id: ReplicaProgress(key) for key in voters}
        self._observers: dict[ReplicaKey, ReplicaProgress] = {}

    @property
    def voters(self) -> list[ReplicaProgress]:
        return list(self._voters.values())

    def know_own_directory(self, directory_id: Uuid) -> None:
        """From kraft.version 1 on voters are known by their directories too."""
        own = self._voters[self._local_id]
        own.key = ReplicaKey(self._local_id, directory_id)

    def observers(self, now_ms: int) -> list[ReplicaProgress]:
        """Those who fetched within the last `OBSERVER_SESSION_TIMEOUT_MS`; forgets the others."""
        for key, observer in list(self._observers.items()):
            if now_ms - observer.last_fetch_ms >= OBSERVER_SESSION_TIMEOUT_MS:
                del self._observers[key]
        return list(self._observers.values())

    def flushed(self, end_offset: int) -> bool:
        """The leader's own log is on disk up to `end_offset`; whether that moved the high watermark."""
        self._voters[self._local_id].end_offset = end_offset
        return self._advance()

    def fetched(self, key: ReplicaKey, offset: int, leader_end_offset: int, now_ms: int) -> bool:
        """A valid Fetch of another replica came in; whether it moved the high watermark.

        A negative id is a reader without a name and leaves no trace. With `OBSERVERS_MAX` known, a new
        observer takes the place of the one unseen for longest.
        """
        if key.id < 0:
            return False
        voter = self._voter(key)
        if voter is not None:
            voter.fetched(offset, leader_end_offset, now_ms)
            return self._advance()
        # Ordered by last fetch, so that the first is the one to give up.
        observer = self._observers.pop(key, None) or ReplicaProgress(key)
        if len(self._observers) >= OBSERVERS_MAX:
            del self._observers[next(iter(self._observers))]
        self._observers[key] = observer
        observer.fetched(offset, leader_end_offset, now_ms)
        return False

    def replica(self, key: ReplicaKey) -> ReplicaProgress | None:
        """What is known of a replica that has fetched; None for one without a name."""
        return self._voter(key) or self._observers.get(key)

    def _voter(self, key: ReplicaKey) -> ReplicaProgress | None:
        """The voter that `key` names; a voter without a directory id goes by its node id alone."""
        voter = self._voters.get(key.id)
        if voter is None or voter.key.directory_id not in (ZERO_UUID, key.directory_id):
            return None
        return voter

    def _advance(self) -> bool:
        """Raises the high watermark to what a majority holds, never before the epoch's first record is part of it."""
        ends = sorted((voter.end_offset for voter in self._voters.values()), reverse=True)
        replicated = ends[len(ends) // 2]
        known = self.epoch_start_offset if self.high_watermark is None else self.high_watermark
        if replicated <= known:
            return False
        self.high_watermark = replicated
        return True
