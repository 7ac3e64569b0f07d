"""What the migration driver wants done.

A job is work on ZooKeeper that takes time; one runs at a time, and its result, the event that each names, carries its
number, so that the result of a job that was called off is known for what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pykraft.image.delta import MetadataDelta
from pykraft.migration.operations import ZkOperation
from pykraft.migration.states import MigrationDriverState, ZkMigrationLeadershipState


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
