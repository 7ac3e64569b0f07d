"""What happens to the migration driver (events) and what it wants done (effects).

A job is work on ZooKeeper that takes time; one runs at a time, and its result carries its number, so that the result
of a job that was called off is known for what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from pykraft.image.delta import MetadataDelta
from pykraft.migration.operations import ZkOperation
from pykraft.migration.states import MigrationDriverState, ZkMigrationLeadershipState


class ZkFailure(Enum):
    """Why a job failed. Only FENCED is final for this term of leadership; the others are tried again."""

    CONNECTION = "no connection to ZooKeeper"
    AUTH = "ZooKeeper refused the credentials"
    FENCED = "another controller took over in ZooKeeper"
    ZNODE = "a znode cannot be used"
    REFUSED = "ZooKeeper refused a request"
    METADATA = "the metadata log did not take the records"
    DEFECT = "a defect of this controller"


# -- events ------------------------------------------------------------------------------------------------------


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


# -- effects -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadMigrationState:
    """Create the top-level paths, read `/migration` or create it: MigrationStateRead."""

    job: int


@dataclass(frozen=True, slots=True)
class ReadBrokerIds:
    """Read `/brokers/ids`: BrokerIdsRead."""

    job: int


@dataclass(frozen=True, slots=True)
class ReadAssignedBrokers:
    """Read all topic assignments, and what cannot be copied: AssignedBrokersRead."""

    job: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Become ZooKeeper's controller and learn the version of `/migration` by writing it: Claimed or ClaimRefused."""

    job: int
    state: ZkMigrationLeadershipState


@dataclass(frozen=True, slots=True)
class CopyMetadata:
    """Copy ZooKeeper into the metadata log: Copied."""

    job: int


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Make ZooKeeper equal to the image: Written."""

    job: int
    state: ZkMigrationLeadershipState


@dataclass(frozen=True, slots=True)
class WriteZk:
    """Run these operations and store the offset that `state` holds: Written."""

    job: int
    state: ZkMigrationLeadershipState
    operations: Sequence[ZkOperation]


Job: TypeAlias = ReadMigrationState | ReadBrokerIds | ReadAssignedBrokers | Claim | CopyMetadata | Reconcile | WriteZk


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Call off the job that runs: its result is not wanted any more."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Poll at `at_ms`; replaces the timer set before."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SendFullRpcs:
    """Tell every ZooKeeper-mode broker everything."""

    zk_controller_epoch: int


@dataclass(frozen=True, slots=True)
class SendDeltaRpcs:
    """Tell the ZooKeeper-mode brokers what changed."""

    delta: MetadataDelta
    zk_controller_epoch: int


@dataclass(frozen=True, slots=True)
class StopRpcs:
    """Tell the brokers nothing more: this node is not their controller."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    previous: MigrationDriverState
    state: MigrationDriverState


@dataclass(frozen=True, slots=True)
class ReportWaiting:
    """The driver cannot go on; `reason` says who, what and what to do. Given once for each reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReportWrites:
    """A Reconcile (`snapshot`) or WriteZk was done in `duration_ms`; `lag` is in records."""

    operations: Mapping[str, int]
    offset: int
    lag: int
    duration_ms: int
    snapshot: bool


Effect: TypeAlias = (
    Job | CancelJob | SetTimer | SendFullRpcs | SendDeltaRpcs | StopRpcs | StateChanged | ReportWaiting | ReportWrites
)
