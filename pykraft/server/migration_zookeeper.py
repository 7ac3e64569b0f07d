"""The migration's writes to ZooKeeper: the state in `/migration`, the claim, and updates under the claim's fence.

Nothing here retries over a lost connection: its outcome is unknown, so the error goes up, and whoever comes back
learns the version of `/migration` anew. Source: core kafka.zk.KafkaZkClient, kafka.zk.ZkMigrationClient (Kafka 3.9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final

from pykraft.migration.claim import AlreadyClaimed, ClaimRefusal, judge_claim, plan_claim, refuse_if_rolled_back
from pykraft.migration.operations import (
    Applied,
    LostClaim,
    MigrationChanged,
    TurnedDown,
    ZkOperation,
    delete_descendants,
    fenced,
    judge,
    paths_to_look_at,
    repair,
    split,
)
from pykraft.migration.states import EMPTY, ZkMigrationLeadershipState
from pykraft.zookeeper import paths, znodes
from pykraft.zookeeper.errors import RequestFailedError, ZkCode, ZooKeeperError
from pykraft.zookeeper.ops import ensure_paths, get_children_many, get_data, get_data_many, make_path
from pykraft.zookeeper.port import UNKNOWN_VERSION, ChildrenResult, Create, DataResult, Op, ZooKeeperPort
from pykraft.zookeeper.znodes import ZnodeError

ATTEMPTS_MAX: Final = 10
"""How often a transaction is put right, or a version learnt, before giving up until the next poll."""


class FencedError(ZooKeeperError):
    """Another controller holds ZooKeeper now: nothing of the failed transaction was applied, nothing more will be."""


class MigrationChangedError(ZooKeeperError):
    """`/migration` was written by someone else while the claim still stands."""


class MigrationZooKeeper:
    """The migration's znodes through a port. `now_ms` is the wall clock, in ms since 1970."""

    def __init__(self, port: ZooKeeperPort, now_ms: Callable[[], int]) -> None:
        self._port = port
        self._now_ms = now_ms

    async def read_migration_state(self) -> ZkMigrationLeadershipState:
        """What `/migration` holds; it and the top-level paths are created when missing. Raises ZnodeError."""
        await ensure_paths(self._port, paths.PERSISTENT_PATHS)
        for _attempt in range(ATTEMPTS_MAX):
            found = await get_data(self._port, paths.MIGRATION)
            if found is not None:
                return state_from(found)
            try:
                await make_path(self._port, paths.MIGRATION, EMPTY.encode())
            except RequestFailedError as error:
                if error.code is not ZkCode.NODE_EXISTS:
                    raise
        raise RequestFailedError(ZkCode.NODE_EXISTS, "creating", paths.MIGRATION)

    async def claim(self, state: ZkMigrationLeadershipState) -> ZkMigrationLeadershipState | ClaimRefusal:
        """Become ZooKeeper's controller, then store `state` in `/migration` to learn its version.

        After a lost connection call it again: a claim that was made is recognised. Raises ZooKeeperError, ZnodeError.
        """
        port = self._port
        epoch_before, controller, epoch_after, migration = [
            await get_data(port, path)
            for path in (paths.CONTROLLER_EPOCH, paths.CONTROLLER, paths.CONTROLLER_EPOCH, paths.MIGRATION)
        ]
        refusal = refuse_if_rolled_back(epoch_before, controller, migration, state)
        plan = refusal or plan_claim(epoch_before, controller, epoch_after, state, self._now_ms())
        if isinstance(plan, ClaimRefusal):
            return plan
        if isinstance(plan, AlreadyClaimed):
            claimed = plan.state
        else:
            judged = judge_claim(plan, await port.multi(plan.ops), state)
            if isinstance(judged, ClaimRefusal):
                return judged
            claimed = judged
        return await self.learn_version(claimed)

    async def learn_version(self, state: ZkMigrationLeadershipState) -> ZkMigrationLeadershipState:
        """Store `state` in `/migration`, whatever version it has, and give the version it got.

        Reading alone would not do: a transaction sent before the connection was lost could still be applied; the new
        version makes it fail. Raises FencedError.
        """
        for _attempt in range(ATTEMPTS_MAX):
            found = await get_data(self._port, paths.MIGRATION)
            if found is None:
                ops: list[Op] = [fenced([], state, store=False)[0], Create(paths.MIGRATION, state.encode())]
            else:
                held = state_from(found)
                if held.kraft_controller_epoch > state.kraft_controller_epoch:
                    raise FencedError(
                        f"/migration was written by KRaft controller {held.kraft_controller_id} of the later epoch"
                        f" {held.kraft_controller_epoch}"
                    )
                ops = fenced([], state.with_migration_version(held.migration_zk_version), store=True)
            judgement = judge(await self._port.multi(ops))
            if isinstance(judgement, Applied):
                return state.with_migration_version(judgement.migration_zk_version or 0)
            if isinstance(judgement, LostClaim):
                raise await self._fenced()
            if isinstance(judgement, TurnedDown) and judgement.code is not ZkCode.NODE_EXISTS:
                raise RequestFailedError(judgement.code, "writing", paths.MIGRATION)
        raise MigrationChangedError("/migration changes all the time: another controller writes it")

    async def write(
        self, operations: Iterable[ZkOperation], state: ZkMigrationLeadershipState, *, store: bool
    ) -> ZkMigrationLeadershipState:
        """Run operations in order, under the claim; with `store` the last transaction stores `state`.

        Gives the state with its new version. After an error some of the transactions may have been applied, and the
        one that ran may have been even if the connection was lost; all can be run again. Raises FencedError,
        MigrationChangedError, UnrepairableError and the port's errors.
        """
        if state.migration_zk_version == UNKNOWN_VERSION:
            state = await self.learn_version(state)
        return await self._run(list(chain.from_iterable(op.ops for op in operations)), state, store, ATTEMPTS_MAX)

    async def _run(
        self, ops: Sequence[Op], state: ZkMigrationLeadershipState, store: bool, attempts: int
    ) -> ZkMigrationLeadershipState:
        batches = list(split(ops, self._port.request_bytes_max)) or ([[]] if store else [])
        for number, batch in enumerate(batches, 1):
            state = await self._run_batch(batch, state, store and number == len(batches), attempts)
        return state

    async def _run_batch(
        self, ops: Sequence[Op], state: ZkMigrationLeadershipState, store: bool, attempts: int
    ) -> ZkMigrationLeadershipState:
        """One transaction; when an op does not fit what exists, what exists is looked up and the ops put right."""
        judgement = judge(await self._port.multi(fenced(ops, state, store=store)))
        if isinstance(judgement, Applied):
            version = judgement.migration_zk_version
            return state if version is None else state.with_migration_version(version)
        if isinstance(judgement, LostClaim):
            raise await self._fenced()
        if isinstance(judgement, MigrationChanged):
            raise MigrationChangedError("/migration was written by another controller: learning its version anew")
        index, code = judgement.index, judgement.code
        if index < 0:
            raise RequestFailedError(code, "checking the claim", paths.CONTROLLER_EPOCH)
        if attempts == 0 or code not in (ZkCode.NODE_EXISTS, ZkCode.NO_NODE, ZkCode.NOT_EMPTY):
            raise RequestFailedError(code, "writing", ops[index].path)
        if code is ZkCode.NOT_EMPTY:
            repaired = delete_descendants(ops, index, await self._descendants(ops[index].path))
        else:
            repaired = repair(ops, await self._existing(paths_to_look_at(ops)))
        return await self._run(repaired, state, store, attempts - 1)

    async def _existing(self, wanted: Sequence[str]) -> set[str]:
        results = await get_data_many(self._port, wanted)
        return {path for path, result in zip(wanted, results, strict=True) if isinstance(result, DataResult)}

    async def _descendants(self, path: str) -> list[str]:
        found: list[str] = []
        level = [path]
        while level:
            results = await get_children_many(self._port, level)
            level = [
                f"{parent}/{name}"
                for parent, result in zip(level, results, strict=True)
                if isinstance(result, ChildrenResult)
                for name in result.children
            ]
            found += level
        return found

    async def _fenced(self) -> FencedError:
        """Who took over, as far as can be told."""
        holder = "nobody is in /controller now"
        try:
            found = await get_data(self._port, paths.CONTROLLER)
            if found is not None:
                controller = znodes.decode_controller(found.data)
                kind = "KRaft controller" if (controller.kraft_controller_epoch or -1) > 0 else "ZooKeeper broker"
                holder = f"{kind} {controller.broker_id} is in /controller now"
        except (ZooKeeperError, ZnodeError) as error:
            holder = f"/controller cannot be read ({error})"
        return FencedError(f"/controller_epoch is not what the claim left, {holder}")


def state_from(found: DataResult) -> ZkMigrationLeadershipState:
    """The content and version of `/migration`. Raises ZnodeError."""
    content = znodes.decode_migration(found.data)
    return ZkMigrationLeadershipState(
        kraft_controller_id=content.kraft_controller_id,
        kraft_controller_epoch=content.kraft_controller_epoch,
        kraft_metadata_offset=content.kraft_metadata_offset,
        kraft_metadata_epoch=content.kraft_metadata_epoch,
        last_updated_time_ms=found.stat.mtime_ms,
        migration_zk_version=found.stat.version,
    )
