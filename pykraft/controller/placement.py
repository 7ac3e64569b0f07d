"""Where new replicas go: striped over racks and brokers.

Source: metadata/.../metadata/placement/StripedReplicaPlacer.java (Kafka 3.4 to 3.9).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

from pykraft.controller.errors import ApiError
from pykraft.controller.result import OperationContext
from pykraft.image.metadata_image import MetadataImage
from pykraft.protocol.errors import ErrorCode


class UsableBroker(NamedTuple):
    """A broker that new replicas may be placed on; leaders only on unfenced ones."""

    id: int
    rack: str | None
    fenced: bool


def usable_brokers(ctx: OperationContext) -> list[UsableBroker]:
    """Every registered broker that is not on its way out."""
    return [
        UsableBroker(broker.id, broker.rack, broker.fenced)
        for broker in ctx.image.brokers.values()
        if broker.fenced or not (broker.in_controlled_shutdown or ctx.heartbeats.is_shutting_down(broker.id))
    ]


def check_manual_assignment(image: MetadataImage, replicas: Sequence[int], replication_factor: int | None) -> None:
    """Whether replicas that a person chose can be a partition's; all of a topic have the same number.

    Raises ApiError INVALID_REPLICA_ASSIGNMENT (ReplicationControlManager.validateManualPartitionAssignment).
    """
    reason = None
    if not replicas:
        reason = "the list of replicas is empty"
    elif unknown := [broker for broker in replicas if broker not in image.brokers]:
        reason = f"broker {min(unknown)} is not registered"
    elif len(set(replicas)) != len(replicas):
        reason = f"a broker occurs twice in {list(replicas)}"
    elif replication_factor is not None and len(replicas) != replication_factor:
        reason = f"{list(replicas)} has {len(replicas)} replicas, the partitions before it have {replication_factor}"
    if reason is not None:
        raise ApiError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"The manual partition assignment cannot be: {reason}")


class _BrokerRing:
    """Brokers of one rack in one condition, gone round once per epoch, each epoch starting one further on."""

    __slots__ = ("_epoch", "_index", "_offset", "brokers")

    def __init__(self) -> None:
        self.brokers: list[int] = []
        self._epoch = 0
        self._index = 0
        self._offset = 0

    def start(self, rng: Random) -> None:
        if self.brokers:
            self.brokers.sort()
            self._offset = rng.randrange(len(self.brokers))

    def shuffle(self, rng: Random) -> None:
        rng.shuffle(self.brokers)
        self._epoch = -1

    def next(self, epoch: int) -> int | None:
        size = len(self.brokers)
        if not size:
            return None
        if self._epoch != epoch:
            self._epoch = epoch
            self._index = 0
            self._offset = (self._offset + 1) % size
        if self._index >= size:
            return None
        broker = self.brokers[(self._index + self._offset) % size]
        self._index += 1
        return broker


class _Rack:
    __slots__ = ("fenced", "unfenced")

    def __init__(self) -> None:
        self.fenced = _BrokerRing()
        self.unfenced = _BrokerRing()

    def next(self, epoch: int) -> int | None:
        broker = self.unfenced.next(epoch)
        return self.fenced.next(epoch) if broker is None else broker


class StripedReplicaPlacer:
    """Places the partitions of one request: racks before balance, unfenced before fenced within a rack."""

    def __init__(self, rng: Random, brokers: Iterable[UsableBroker]) -> None:
        self._rng = rng
        racks: dict[str | None, _Rack] = {}
        self._broker_count = 0
        self._unfenced_count = 0
        for broker in brokers:
            rack = racks.setdefault(broker.rack, _Rack())
            (rack.fenced if broker.fenced else rack.unfenced).brokers.append(broker.id)
            self._broker_count += 1
            self._unfenced_count += not broker.fenced
        self._racks = [racks[name] for name in sorted(racks, key=lambda name: (name is not None, name or ""))]
        for rack in self._racks:
            rack.fenced.start(rng)
            rack.unfenced.start(rng)
        self._epoch = 0
        self._offset = rng.randrange(len(self._racks)) if self._racks else 0

    def place(self, partitions: int, replication_factor: int) -> list[tuple[int, ...]]:
        """The replicas of each new partition, the leader-to-be first.

        Raises ApiError INVALID_REPLICATION_FACTOR when there are not enough brokers.
        """
        if replication_factor <= 0:
            raise _refusal(f"a replication factor of {replication_factor} is not positive")
        if not self._unfenced_count:
            raise _refusal("all brokers are fenced; wait for one to come up")
        if replication_factor > self._broker_count:
            raise _refusal(
                f"a replication factor of {replication_factor} needs as many brokers, and {self._broker_count} are"
                " registered"
            )
        return [self._place_one(replication_factor) for _ in range(partitions)]

    def _place_one(self, replication_factor: int) -> tuple[int, ...]:
        racks = self._racks
        if self._epoch == self._unfenced_count > 1:
            # As many assignments as there are leaders to choose from: mix them, so that they do not repeat.
            self._shuffle()
            self._epoch = 0
        if self._offset == len(racks):
            self._offset = 0
        epoch = self._epoch
        leader_rack = self._offset
        while (leader := racks[leader_rack].unfenced.next(epoch)) is None:
            leader_rack = (leader_rack + 1) % len(racks)
        replicas = [leader]
        rack = self._offset
        skip: int | None = leader_rack
        while len(replicas) < replication_factor:
            if rack == skip:
                skip = None
            else:
                replica = racks[rack].next(epoch)
                if replica is not None:
                    replicas.append(replica)
            rack = (rack + 1) % len(racks)
        self._epoch += 1
        self._offset += 1
        return tuple(replicas)

    def _shuffle(self) -> None:
        self._rng.shuffle(self._racks)
        for rack in self._racks:
            rack.fenced.shuffle(self._rng)
            rack.unfenced.shuffle(self._rng)


def _refusal(reason: str) -> ApiError:
    return ApiError(ErrorCode.INVALID_REPLICATION_FACTOR, f"Cannot place the replicas: {reason}")
