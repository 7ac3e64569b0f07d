"""Changes of ZooKeeper as typed operations, and how they become transactions that only the right controller can make.

Source: KRaftMigrationZkWriter.java (operation names), core kafka.zk.KafkaZkClient.retryMigrationRequestsUntilConnected
(the fence), Kafka 3.9. Kafka sends one transaction for each znode; here each carries many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from pykraft.migration.states import ZkMigrationLeadershipState
from pykraft.zookeeper import paths
from pykraft.zookeeper.errors import ZkCode
from pykraft.zookeeper.port import (
    ANY_VERSION,
    Check,
    Create,
    Delete,
    Op,
    OpResult,
    SetData,
    failed_index,
    request_bytes,
)

MULTI_OPERATIONS_MAX: Final = 500
"""Operations in one transaction, so that none holds ZooKeeper up for long."""

FENCE_OPERATIONS: Final = 2
"""Operations that the fence puts before those of a transaction."""

FENCE_BYTES_MAX: Final = 1_024
"""What the fence takes of a request, the content of `/migration` included."""


class ZkOperationType(StrEnum):
    """Kafka's names, by which writes are counted."""

    CREATE_TOPIC = "CreateTopic"
    UPDATE_TOPIC = "UpdateTopic"
    DELETE_TOPIC = "DeleteTopic"
    DELETE_PENDING_TOPIC_DELETION = "DeletePendingTopicDeletion"
    UPDATE_PARTITION = "UpdatePartition"
    DELETE_PARTITION = "DeletePartition"
    UPDATE_BROKER_CONFIG = "UpdateBrokerConfig"
    DELETE_BROKER_CONFIG = "DeleteBrokerConfig"
    UPDATE_TOPIC_CONFIG = "UpdateTopicConfig"
    DELETE_TOPIC_CONFIG = "DeleteTopicConfig"
    UPDATE_CONFIG = "UpdateConfig"
    DELETE_CONFIG = "DeleteConfig"
    UPDATE_CLIENT_QUOTA = "UpdateClientQuota"
    UPDATE_PRODUCER_ID = "UpdateProducerId"
    UPDATE_ACL = "UpdateAcl"
    DELETE_ACL = "DeleteAcl"
    UPDATE_DELEGATION_TOKEN = "UpdateDelegationToken"
    DELETE_DELEGATION_TOKEN = "DeleteDelegationToken"


class ZkOperation(msgspec.Struct, frozen=True, gc=False):
    """One change: `subject` says of what, `ops` what to do in ZooKeeper, parents before children.

    The ops are a guess about what exists: `repair` puts them right when ZooKeeper turns them down.
    """

    type: ZkOperationType
    subject: str
    ops: tuple[Op, ...]


class UnrepairableError(Exception):
    """Operations that do not fit what is in ZooKeeper in a way that only a whole reconcile puts right."""


def count_by_type(operations: Iterable[ZkOperation]) -> Counter[str]:
    return Counter(operation.type.value for operation in operations)


def split(ops: Iterable[Op], request_bytes_max: int) -> Iterator[list[Op]]:
    """Cut ops, in order, into lists that each fit one transaction with its fence.

    An op that is too large by itself gets a list of its own; the port refuses it with its size.
    """
    batch: list[Op] = []
    size = FENCE_BYTES_MAX
    for op in ops:
        op_bytes = request_bytes((op,))
        if batch and (size + op_bytes > request_bytes_max or len(batch) >= MULTI_OPERATIONS_MAX):
            yield batch
            batch, size = [], FENCE_BYTES_MAX
        batch.append(op)
        size += op_bytes
    if batch:
        yield batch


def fenced(ops: Sequence[Op], state: ZkMigrationLeadershipState, *, store: bool) -> list[Op]:
    """The transaction of `ops`: it fails unless this controller holds the claim and `/migration` is as known.

    `store` writes `/migration` from `state` instead of only checking it; so the last one of an update does.
    """
    migration = (
        SetData(paths.MIGRATION, state.encode(), state.migration_zk_version)
        if store
        else Check(paths.MIGRATION, state.migration_zk_version)
    )
    return [Check(paths.CONTROLLER_EPOCH, state.controller_epoch_zk_version), migration, *ops]


class Applied(msgspec.Struct, frozen=True):
    """The transaction was applied. `migration_zk_version` is None unless `/migration` was stored."""

    migration_zk_version: int | None


class LostClaim(msgspec.Struct, frozen=True):
    """`/controller_epoch` is not what the claim left: another controller took over. Nothing was applied."""


class MigrationChanged(msgspec.Struct, frozen=True):
    """`/migration` has another version than known. Nothing was applied."""


class TurnedDown(msgspec.Struct, frozen=True):
    """The op at `index` (of those behind the fence) failed with `code`. Nothing was applied."""

    index: int
    code: ZkCode


Judgement = Applied | LostClaim | MigrationChanged | TurnedDown


def judge(results: Sequence[OpResult]) -> Judgement:
    """What the results of a fenced transaction mean."""
    index = failed_index(results)
    if index is None:
        stat = results[1].stat
        return Applied(None if stat is None else stat.version)
    code = results[index].code
    if index == 0:
        return LostClaim() if code in (ZkCode.BAD_VERSION, ZkCode.NO_NODE) else TurnedDown(-FENCE_OPERATIONS, code)
    if index == 1:
        return MigrationChanged() if code in (ZkCode.BAD_VERSION, ZkCode.NO_NODE) else TurnedDown(-1, code)
    return TurnedDown(index - FENCE_OPERATIONS, code)


def paths_to_look_at(ops: Sequence[Op]) -> list[str]:
    """The paths of which `repair` must know whether they exist: those of the ops and of their ancestors."""
    wanted: dict[str, None] = {}
    for op in ops:
        for ancestor in paths.ancestors(op.path):
            wanted[ancestor] = None
        if not (isinstance(op, Create) and op.sequential):
            wanted[op.path] = None
    return list(wanted)


def repair(ops: Sequence[Op], existing: Collection[str]) -> list[Op]:
    """The ops as they must be, given which of `paths_to_look_at` exist: the same outcome, whatever was there.

    A create of what exists becomes a setData, a setData or create of what has no place creates it, a delete of what
    is gone falls away. Raises UnrepairableError where a topic's own znode would have to be made up.
    """
    there = set(existing)
    repaired: list[Op] = []
    for op in ops:
        path = op.path
        if isinstance(op, Delete):
            if path in there:
                there.discard(path)
                repaired.append(op)
            continue
        for ancestor in paths.ancestors(path):
            if ancestor not in there:
                if paths.parent(ancestor) == paths.BROKER_TOPICS:
                    raise UnrepairableError(f"{path} cannot be written: the topic's znode {ancestor} is gone")
                there.add(ancestor)
                repaired.append(Create(ancestor))
        if isinstance(op, Create) and not op.sequential and path in there:
            if op.data is not None:
                repaired.append(SetData(path, op.data, ANY_VERSION))
        elif isinstance(op, SetData) and path not in there:
            repaired.append(Create(path, op.data))
        else:
            repaired.append(op)
        if not (isinstance(op, Create) and op.sequential):
            there.add(path)
    return repaired


def delete_descendants(ops: Sequence[Op], index: int, descendants: Sequence[str]) -> list[Op]:
    """The ops with deletes of what is still below the znode that `ops[index]` deletes, children first.

    What an op before it deletes already is left alone.
    """
    gone = {op.path for op in ops[:index] if isinstance(op, Delete)}
    deepest_first = sorted((path for path in descendants if path not in gone), key=lambda p: (-p.count("/"), p))
    return [*ops[:index], *(Delete(path, ANY_VERSION) for path in deepest_first), *ops[index:]]
