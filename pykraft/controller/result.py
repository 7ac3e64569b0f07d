"""What an operation needs and what it gives: the context it reads, the records and the reply it makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Generic, TypeVar

from pykraft.controller.config import ControllerConfig
from pykraft.image.metadata_image import MetadataImage
from pykraft.protocol.record_frame import ApiMessageAndVersion

if TYPE_CHECKING:
    from pykraft.controller.heartbeats import BrokerHeartbeatManager

RECORDS_PER_USER_OPERATION_MAX = 10_000
"""QuorumController.MAX_RECORDS_PER_USER_OP: one request may not write more; it is refused with POLICY_VIOLATION."""

ResponseT_co = TypeVar("ResponseT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class ControllerResult(Generic[ResponseT_co]):
    """Records to append (`atomic`: all in one batch) and the reply to give once they are committed."""

    response: ResponseT_co
    records: list[ApiMessageAndVersion] = field(default_factory=list)
    atomic: bool = False


@dataclass(slots=True)
class OperationContext:
    """What operations read. They change nothing: the single writer applies the records that they return.

    `next_offset` is the offset that the first returned record will get; `now_ms` is wall-clock time in ms since 1970;
    `monotonic_ms` never goes back and serves sessions; `controller_ids` are the ids of the quorum's voters;
    `kraft_version` is 1 when these are kept in the log.
    """

    image: MetadataImage
    config: ControllerConfig
    heartbeats: BrokerHeartbeatManager
    cluster_id: str
    next_offset: int
    now_ms: int
    monotonic_ms: int
    rng: Random
    controller_ids: frozenset[int] = frozenset()
    kraft_version: int = 0

    @property
    def migration_enabled(self) -> bool:
        return self.config.zookeeper_metadata_migration_enable


@dataclass(frozen=True, slots=True)
class Requester:
    """Who sent a request: the principal of an Envelope or of the connection.

    `principal` is `Type:name`; `forwarded` tells that it came in an Envelope; `token_authenticated` that a delegation
    token proved it; `listener` is the listener of the controller it arrived on.
    """

    principal: str = "User:ANONYMOUS"
    client_host: str = "127.0.0.1"
    client_id: str | None = None
    forwarded: bool = False
    token_authenticated: bool = False
    listener: str = "CONTROLLER"
