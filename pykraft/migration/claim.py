"""Becoming ZooKeeper's controller: the transaction, and what its results mean. Pure.

Source: core kafka.zk.KafkaZkClient.tryRegisterKRaftControllerAsActiveController (Kafka 3.9). Different from there:

* A claim that this controller made already, in the same epoch of its leadership, is recognised; so a claim whose answer
  was lost is found out about by reading.
* The ZooKeeper epoch that a claim starts is above the KRaft epoch too. Partition states in ZooKeeper carry the KRaft
  epoch, and a ZooKeeper controller elected after a roll-back refuses to elect leaders of partitions whose state has a
  higher epoch than its own.
* No claim goes on from a log that ZooKeeper has left behind: see `refuse_if_rolled_back`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pykraft.migration.states import ZkMigrationLeadershipState
from pykraft.zookeeper import paths, znodes
from pykraft.zookeeper.errors import RequestFailedError, ZkCode
from pykraft.zookeeper.port import Create, DataResult, Delete, Op, OpResult, SetData, failed_index


class ClaimRefusal(msgspec.Struct, frozen=True):
    """No claim can be made now: who, what and what to do."""

    reason: str


class AlreadyClaimed(msgspec.Struct, frozen=True):
    """`/controller` is this controller's own of this epoch; `state` has ZooKeeper's epoch and version."""

    state: ZkMigrationLeadershipState


class ClaimAttempt(msgspec.Struct, frozen=True):
    """The transaction that makes the claim, and the ZooKeeper epoch that it starts."""

    ops: list[Op]
    zk_controller_epoch: int


def plan_claim(
    epoch_before: DataResult | None,
    controller: DataResult | None,
    epoch_after: DataResult | None,
    state: ZkMigrationLeadershipState,
    now_ms: int,
) -> ClaimAttempt | AlreadyClaimed | ClaimRefusal:
    """What to do, given `/controller_epoch`, `/controller` and `/controller_epoch` again, read in this order.

    Reading the epoch on both sides shows whether it belongs to what is in `/controller`. Raises ZnodeError for
    content that cannot be read.
    """
    if epoch_before is None or epoch_after is None:
        return ClaimRefusal(
            "ZooKeeper has no /controller_epoch, so no ZooKeeper controller was ever elected there: start the"
            " ZooKeeper-mode brokers first, and check that zookeeper.connect names the chroot that they use"
        )
    epoch = znodes.decode_controller_epoch(epoch_before.data)
    version = epoch_before.stat.version
    if controller is not None:
        holder = znodes.decode_controller(controller.data)
        kraft_epoch = -1 if holder.kraft_controller_epoch is None else holder.kraft_controller_epoch
        if holder.broker_id == state.kraft_controller_id and kraft_epoch == state.kraft_controller_epoch:
            if epoch_after.stat.version == version:
                return AlreadyClaimed(state.with_zk_controller(epoch, version))
            return ClaimRefusal("/controller_epoch changed while it was read: trying again")
        if kraft_epoch >= state.kraft_controller_epoch:
            return ClaimRefusal(
                f"/controller is held by KRaft controller {holder.broker_id} of epoch {kraft_epoch}, and this"
                f" controller, {state.kraft_controller_id}, is only in epoch {state.kraft_controller_epoch}: two"
                " quorums claim one ZooKeeper, stop the one that is not to migrate it; after a roll-back delete"
                " /controller and /migration"
            )
    new_epoch = max(epoch, state.kraft_controller_epoch) + 1
    ops: list[Op] = [SetData(paths.CONTROLLER_EPOCH, znodes.encode_controller_epoch(new_epoch), version)]
    if controller is not None:
        ops.append(Delete(paths.CONTROLLER, controller.stat.version))
    ops.append(
        Create(
            paths.CONTROLLER,
            znodes.encode_controller(
                znodes.Controller(
                    broker_id=state.kraft_controller_id,
                    timestamp_ms=now_ms,
                    kraft_controller_epoch=state.kraft_controller_epoch,
                )
            ),
        )
    )
    return ClaimAttempt(ops, new_epoch)


def refuse_if_rolled_back(
    epoch: DataResult | None,
    controller: DataResult | None,
    migration: DataResult | None,
    state: ZkMigrationLeadershipState,
) -> ClaimRefusal | None:
    """Why a migration whose copy was made long ago must not be taken up again, given the present znodes.

    A ZooKeeper controller that was elected after the last write of a KRaft controller has changed `/controller_epoch`
    later than that one changed `/migration`. What ZooKeeper's brokers were told since is not in the log: reconciling
    would delete it. Raises ZnodeError.
    """
    if not state.initial_migration_complete or epoch is None or migration is None:
        return None
    holder = None if controller is None else znodes.decode_controller(controller.data)
    if holder is not None and (holder.kraft_controller_epoch or -1) >= 0:
        return None
    if epoch.stat.mzxid < migration.stat.mzxid:
        return None
    who = "a ZooKeeper controller" if holder is None else f"broker {holder.broker_id} as the ZooKeeper controller"
    return ClaimRefusal(
        f"the migration was rolled back: {who} has ruled since /migration was last written, and going on from this"
        " metadata log would undo what was changed there, topics created since included. To migrate anew, stop this"
        " controller, delete /migration and start with an empty data directory. To go on all the same, set /migration"
        " to the content that it has"
    )


_RACES = {
    ZkCode.BAD_VERSION: "another controller was elected in ZooKeeper at the same moment",
    ZkCode.NO_NODE: "/controller vanished at the same moment",
    ZkCode.NODE_EXISTS: "another controller created /controller at the same moment",
}


def judge_claim(
    attempt: ClaimAttempt, results: Sequence[OpResult], state: ZkMigrationLeadershipState
) -> ZkMigrationLeadershipState | ClaimRefusal:
    """The state after the claim, or who was faster. Raises RequestFailedError for any other refusal."""
    index = failed_index(results)
    if index is None:
        stat = results[0].stat
        assert stat is not None
        return state.with_zk_controller(attempt.zk_controller_epoch, stat.version)
    code = results[index].code
    if code in _RACES:
        return ClaimRefusal(f"the claim of /controller lost a race: {_RACES[code]}; trying again")
    raise RequestFailedError(code, "claiming", attempt.ops[index].path)
