"""What happens to the migration driver. A job's result carries its number (see `effects`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from pykraft.image.delta import MetadataDelta
from pykraft.migration.states import ZkMigrationLeadershipState


class ZkFailure(Enum):
    """Why a job failed. Only FENCED is final for this term of leadership; the others are tried again."""

    CONNECTION = "no connection to ZooKeeper"
    AUTH = "ZooKeeper refused the credentials"
    FENCED = "another controller took over in ZooKeeper"
    ZNODE = "a znode cannot be used"
    REFUSED = "ZooKeeper refused a request"
    METADATA = "the metadata log did not take the records"
    DEFECT = "a defect of this controller"


@dataclass(frozen=True, slots=True)
class Poll:
    """The start, the timer, or that ZooKeeper can be reached again."""


@dataclass(frozen=True, slots=True)
class LeaderChanged:
    """A new KRaft leader (None: there is none) of an epoch."""

    leader_id: int | None
    epoch: int


@dataclass(frozen=True, slots=True)
class MetadataChanged:
    """Committed records changed the image. `delta` None: the image was loaded as a whole."""

    delta: MetadataDelta | None


@dataclass(frozen=True, slots=True)
class MigrationStateRead:
    """`/migration` was read, or created."""

    job: int
    state: ZkMigrationLeadershipState


@dataclass(frozen=True, slots=True)
class BrokerIdsRead:
    """The brokers registered in ZooKeeper, each with its address as text ("" when it cannot be read)."""

    job: int
    brokers: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class AssignedBrokersRead:
    """Which brokers have replicas, each with a partition as an example; and topics that have no id.

    `scram_users` and `tokens` are those in ZooKeeper, if metadata.version has no record for them.
    """

    job: int
    replicas: Mapping[int, str]
    topics_without_id: Sequence[str]
    scram_users: Sequence[str] = ()
    tokens: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """This node is ZooKeeper's controller now; `state` has the ZooKeeper epoch and all versions."""

    job: int
    state: ZkMigrationLeadershipState


@dataclass(frozen=True, slots=True)
class ClaimRefused:
    """The claim cannot be made, or lost a race. `reason` says who, what and what to do."""

    job: int
    reason: str


@dataclass(frozen=True, slots=True)
class Copied:
    """The copy is committed; (offset, epoch) is that of its last record."""

    job: int
    offset: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Written:
    """All of a Reconcile or WriteZk is in ZooKeeper. `operations` counts them by type."""

    job: int
    state: ZkMigrationLeadershipState
    operations: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A job gave up. What it had sent may have been applied or not."""

    job: int
    failure: ZkFailure
    reason: str


Event: TypeAlias = (
    Poll
    | LeaderChanged
    | MetadataChanged
    | MigrationStateRead
    | BrokerIdsRead
    | AssignedBrokersRead
    | Claimed
    | ClaimRefused
    | Copied
    | Written
    | JobFailed
)
