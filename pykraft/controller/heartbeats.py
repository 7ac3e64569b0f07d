"""Which brokers are alive: their sessions, how far they have read, and the broker lifecycle as a table.

Source: metadata/.../controller/BrokerHeartbeatManager.java (Kafka 3.9).

This is the one state of the controller that is not in the log and so not in the image. Only operations that run in
the single writer change it, and a new active controller starts it afresh.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import BrokerRegistration

NEVER_REPORTED = -1
"""The metadata offset of a broker that has sent no heartbeat yet."""


class BrokerControlState(Enum):
    """Where a broker stands in its life (BrokerControlState.java)."""

    FENCED = auto()
    UNFENCED = auto()
    CONTROLLED_SHUTDOWN = auto()
    SHUTDOWN_NOW = auto()

    @property
    def is_fenced(self) -> bool:
        return self in (BrokerControlState.FENCED, BrokerControlState.SHUTDOWN_NOW)


FENCED, UNFENCED, CONTROLLED_SHUTDOWN, SHUTDOWN_NOW = BrokerControlState


class Wish(Enum):
    """What a heartbeat asks for: its WantFence and WantShutDown."""

    NOTHING = auto()
    FENCE = auto()
    SHUT_DOWN = auto()
    FENCE_AND_SHUT_DOWN = auto()

    @classmethod
    def of(cls, want_fence: bool, want_shut_down: bool) -> Wish:
        if want_shut_down:
            return cls.FENCE_AND_SHUT_DOWN if want_fence else cls.SHUT_DOWN
        return cls.FENCE if want_fence else cls.NOTHING


class Guard(Enum):
    """What must hold for a move."""

    ALWAYS = auto()
    CAUGHT_UP = auto()
    """The broker has read the log up to its own RegisterBrokerRecord."""
    LEADS_PARTITIONS = auto()
    OTHERS_CAUGHT_UP = auto()
    """Every broker that is unfenced and not shutting down has read up to where the shutdown began."""


class Move(NamedTuple):
    """A row of the table: from `state`, when a heartbeat has one of `wishes` and `guard` holds, to `next_state`."""

    state: BrokerControlState
    wishes: frozenset[Wish]
    guard: Guard
    next_state: BrokerControlState


_ANY: Final = frozenset(Wish)
_SHUT_DOWN: Final = frozenset((Wish.SHUT_DOWN, Wish.FENCE_AND_SHUT_DOWN))


def _only(wish: Wish) -> frozenset[Wish]:
    return frozenset((wish,))


HEARTBEAT_MOVES: Final = (
    Move(FENCED, _SHUT_DOWN, Guard.ALWAYS, SHUTDOWN_NOW),
    Move(FENCED, _only(Wish.NOTHING), Guard.CAUGHT_UP, UNFENCED),
    Move(FENCED, _ANY, Guard.ALWAYS, FENCED),
    Move(UNFENCED, _only(Wish.FENCE_AND_SHUT_DOWN), Guard.ALWAYS, SHUTDOWN_NOW),
    Move(UNFENCED, _only(Wish.FENCE), Guard.ALWAYS, FENCED),
    Move(UNFENCED, _only(Wish.SHUT_DOWN), Guard.LEADS_PARTITIONS, CONTROLLED_SHUTDOWN),
    Move(UNFENCED, _only(Wish.SHUT_DOWN), Guard.ALWAYS, SHUTDOWN_NOW),
    Move(UNFENCED, _ANY, Guard.ALWAYS, UNFENCED),
    Move(CONTROLLED_SHUTDOWN, _ANY, Guard.LEADS_PARTITIONS, CONTROLLED_SHUTDOWN),
    Move(CONTROLLED_SHUTDOWN, _ANY, Guard.OTHERS_CAUGHT_UP, SHUTDOWN_NOW),
    Move(CONTROLLED_SHUTDOWN, _ANY, Guard.ALWAYS, CONTROLLED_SHUTDOWN),
)
"""What a heartbeat leads to: the first row that fits. SHUTDOWN_NOW is an answer; a broker that got it is FENCED."""

EXPIRY_MOVES: Final = {UNFENCED: FENCED, CONTROLLED_SHUTDOWN: FENCED}
"""What the end of a session leads to; a fenced broker has no session."""


class IllegalBrokerMoveError(Exception):
    """A move that the table of broker states does not have; nothing was changed."""

    def __init__(self, broker_id: int, state: BrokerControlState, cause: str) -> None:
        super().__init__(f"broker {broker_id} in state {state.name} cannot follow {cause}")


class StateChange(NamedTuple):
    current: BrokerControlState
    next: BrokerControlState


@dataclass(slots=True)
class BrokerSession:
    """What is known of one registered broker's liveness; `last_contact_ms` is monotonic time."""

    last_contact_ms: int
    metadata_offset: int = NEVER_REPORTED
    controlled_shutdown_offset: int | None = None


class BrokerHeartbeatManager:
    """Sessions of all registered brokers; those of unfenced ones expire `session_timeout_ms` after the last contact."""

    def __init__(self, session_timeout_ms: int) -> None:
        self._session_timeout_ms = session_timeout_ms
        self._sessions: dict[int, BrokerSession] = {}
        # Unfenced brokers, the one heard of longest ago first.
        self._tracked: OrderedDict[int, BrokerSession] = OrderedDict()

    def activate(self, image: MetadataImage, monotonic_ms: int) -> None:
        """Start afresh: a new active controller does not know when brokers were last heard of, so none is overdue."""
        self._sessions.clear()
        self._tracked.clear()
        for broker in image.brokers.values():
            self.register(broker.id, fenced=broker.fenced, monotonic_ms=monotonic_ms)

    def register(self, broker_id: int, *, fenced: bool, monotonic_ms: int) -> None:
        """A new registration: a fresh session, with nothing reported and no shutdown under way."""
        self.remove(broker_id)
        self.touch(broker_id, fenced=fenced, metadata_offset=NEVER_REPORTED, monotonic_ms=monotonic_ms)

    def remove(self, broker_id: int) -> None:
        """Forget an unregistered broker."""
        self._sessions.pop(broker_id, None)
        self._tracked.pop(broker_id, None)

    def touch(self, broker_id: int, *, fenced: bool, metadata_offset: int, monotonic_ms: int) -> None:
        """A registered broker was heard of; `fenced` says how it stands from now on."""
        session = self._sessions.setdefault(broker_id, BrokerSession(monotonic_ms))
        session.last_contact_ms = monotonic_ms
        session.metadata_offset = metadata_offset
        if fenced:
            self.fence(broker_id)
        else:
            self._tracked[broker_id] = session
            self._tracked.move_to_end(broker_id)

    def fence(self, broker_id: int) -> None:
        """Stop tracking a broker that is fenced now; a shutdown that was under way is over."""
        session = self._tracked.pop(broker_id, None)
        if session is not None:
            session.controlled_shutdown_offset = None

    def begin_controlled_shutdown(self, broker_id: int, offset: int) -> None:
        """Remember up to where the others must have read before the broker may stop; the first offset counts."""
        session = self._tracked.get(broker_id)
        if session is None:
            raise IllegalBrokerMoveError(broker_id, FENCED, "a controlled shutdown: it is fenced")
        if session.controlled_shutdown_offset is None:
            session.controlled_shutdown_offset = offset

    def is_shutting_down(self, broker_id: int) -> bool:
        session = self._sessions.get(broker_id)
        return session is not None and session.controlled_shutdown_offset is not None

    def session(self, broker_id: int) -> BrokerSession | None:
        """What is known of a broker, None when it is not registered."""
        return self._sessions.get(broker_id)

    def has_valid_session(self, broker_id: int, monotonic_ms: int) -> bool:
        """Whether the broker is unfenced and was heard of in time."""
        session = self._tracked.get(broker_id)
        return session is not None and session.last_contact_ms + self._session_timeout_ms >= monotonic_ms

    def next_expiry_ms(self) -> int | None:
        """The monotonic time at which the next session will have ended, None when no broker is tracked."""
        for session in self._tracked.values():
            return session.last_contact_ms + self._session_timeout_ms + 1
        return None

    def find_stale_broker(self, monotonic_ms: int) -> int | None:
        """The broker whose session ended first, or None."""
        for broker_id, session in self._tracked.items():
            return broker_id if session.last_contact_ms + self._session_timeout_ms < monotonic_ms else None
        return None

    def lowest_active_offset(self) -> int | None:
        """The least metadata offset reported by an unfenced broker that is not shutting down, None without any."""
        return min(
            (s.metadata_offset for s in self._tracked.values() if s.controlled_shutdown_offset is None), default=None
        )

    def current_state(self, broker: BrokerRegistration) -> BrokerControlState:
        if broker.fenced:
            return FENCED
        return CONTROLLED_SHUTDOWN if self.is_shutting_down(broker.id) else UNFENCED

    def calculate_next_broker_state(
        self, broker: BrokerRegistration, wish: Wish, metadata_offset: int, leads_partitions: Callable[[], bool]
    ) -> StateChange:
        """Where a heartbeat takes a broker; changes nothing. Raises IllegalBrokerMoveError when no row fits."""
        current = self.current_state(broker)
        for move in HEARTBEAT_MOVES:
            if (
                move.state is current
                and wish in move.wishes
                and (
                    move.guard is Guard.ALWAYS
                    or (move.guard is Guard.CAUGHT_UP and metadata_offset >= broker.registration_offset)
                    or (move.guard is Guard.LEADS_PARTITIONS and leads_partitions())
                    or (move.guard is Guard.OTHERS_CAUGHT_UP and self._others_caught_up(broker.id))
                )
            ):
                return StateChange(current, move.next_state)
        raise IllegalBrokerMoveError(broker.id, current, f"a heartbeat that wants {wish.name}")

    def expire(self, broker: BrokerRegistration) -> StateChange:
        """End a broker's session. Raises IllegalBrokerMoveError for a broker that is fenced, which has none."""
        current = self.current_state(broker)
        if current not in EXPIRY_MOVES:
            raise IllegalBrokerMoveError(broker.id, current, "the end of a session")
        self.fence(broker.id)
        return StateChange(current, EXPIRY_MOVES[current])

    def _others_caught_up(self, broker_id: int) -> bool:
        offset = self._sessions[broker_id].controlled_shutdown_offset
        lowest = self.lowest_active_offset()
        return offset is None or lowest is None or offset <= lowest
