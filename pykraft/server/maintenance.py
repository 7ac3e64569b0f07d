"""What the active controller does unasked, each at its time: fencing, balancing, elections, tokens, NoOp records.

Source: metadata/.../controller/QuorumController.java (the deferred write events).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import trio

from pykraft.controller.activation import no_op_record
from pykraft.controller.config import ControllerConfig
from pykraft.controller.errors import ApiError
from pykraft.controller.fencing import fence_stale_broker
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.server.writer import Writer, monotonic_ms

log = logging.getLogger(__name__)

FENCING_CHECK_INTERVAL_MS_MAX: Final = 1_000


async def run_maintenance(writer: Writer, config: ControllerConfig) -> None:
    """Run all of it until cancelled; while the node is not the active controller it comes to nothing."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fence, writer)
        nursery.start_soon(_write_no_ops, writer, config.metadata_max_idle_interval_ms)
        if config.auto_leader_rebalance_enable:
            interval_ms = config.leader_imbalance_check_interval_seconds * 1000
            nursery.start_soon(_every, interval_ms, writer, "maybeBalancePartitionLeaders", _balance)
        interval_ms = config.unclean_leader_election_interval_ms
        nursery.start_soon(_every, interval_ms, writer, "maybeElectUncleanLeaders", _elect_unclean)
        if config.delegation_token_secret_key:
            interval_ms = config.delegation_token_expiry_check_interval_ms
            nursery.start_soon(_every, interval_ms, writer, "maybeExpireDelegationTokens", _sweep_tokens)


async def _fence(writer: Writer) -> None:
    """Fence each broker when its session is over.

    Sessions only ever get longer, so looking again at the next expiry, and every FENCING_CHECK_INTERVAL_MS_MAX
    in case a broker came, misses none.
    """
    while True:
        expiry_ms = writer.heartbeats.next_expiry_ms()
        now_ms = monotonic_ms()
        if expiry_ms is not None and expiry_ms <= now_ms:
            if await _write(writer, "maybeFenceReplicas", fence_stale_broker, runs_in_premigration=True) is not None:
                continue
            expiry_ms = writer.heartbeats.next_expiry_ms()
        wait_ms = FENCING_CHECK_INTERVAL_MS_MAX if expiry_ms is None else expiry_ms - now_ms
        await trio.sleep(max(1, min(wait_ms, FENCING_CHECK_INTERVAL_MS_MAX)) / 1000)


async def _write_no_ops(writer: Writer, idle_ms: int) -> None:
    """Keep the log moving when nothing else does, so that observers know the leader lives; 0 turns it off."""
    if idle_ms <= 0:
        return
    while True:
        due_s = writer.last_append_s + idle_ms / 1000
        if trio.current_time() >= due_s:
            await _write(writer, "writeNoOpRecord", no_op_record, runs_in_premigration=True)
            due_s = trio.current_time() + idle_ms / 1000
        await trio.sleep_until(due_s)


async def _every(
    interval_ms: int, writer: Writer, name: str, operation: Callable[[OperationContext], ControllerResult[Any]]
) -> None:
    """Run an operation at its interval, and again at once while it says that there is more."""
    while True:
        await trio.sleep(interval_ms / 1000)
        while await _write(writer, name, operation):
            await trio.lowlevel.checkpoint()


async def _write(
    writer: Writer,
    name: str,
    operation: Callable[[OperationContext], ControllerResult[Any]],
    *,
    runs_in_premigration: bool = False,
) -> Any:
    try:
        return await writer.write(operation, name=name, runs_in_premigration=runs_in_premigration)
    except ApiError as error:
        log.debug("%s: %s", name, error)
        return None


def _balance(context: OperationContext) -> ControllerResult[bool]:
    from pykraft.controller.election import balance_partition_leaders

    return balance_partition_leaders(context)


def _elect_unclean(context: OperationContext) -> ControllerResult[bool]:
    from pykraft.controller.election import elect_unclean_leaders

    return elect_unclean_leaders(context)


def _sweep_tokens(context: OperationContext) -> ControllerResult[None]:
    from pykraft.controller.tokens import sweep_expired_tokens

    return sweep_expired_tokens(context)
