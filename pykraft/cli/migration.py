"""`pykraft migration preflight|status|wait|finalize`: a cluster's way from ZooKeeper to KRaft, checked step by step.

A migration is finalized as in Apache Kafka: by starting the controller without zookeeper.metadata.migration.enable,
upon which it writes POST_MIGRATION. `finalize` looks first whether that would cut anybody off, and a controller refuses
such a start by itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pykraft.cli.cluster_common import (
    CONTROLLER_TIMEOUT_S,
    image_of_directory,
    image_options,
    json_option,
    read_image,
    runner,
    zookeeper,
    zookeeper_option,
)
from pykraft.cli.common import CHECK_SAYS_NO, DONE, UsageError, is_foreseen, load_properties

if TYPE_CHECKING:
    from pykraft.image.metadata_image import MetadataImage
    from pykraft.migration.status import Stage, StatusFacts

CANNOT_TELL: Final = 2
WAIT_TIMEOUT_S: Final = 600.0
WAIT_PAUSE_S: Final = 1.0
BROKER_TIMEOUT_S: Final = 5.0
FINALIZE_TIMEOUT_S: Final = 120.0
STAGES: Final = (
    "quorum", "controllers", "brokers", "reassignments", "copy", "dual-write", "kraft-brokers", "finalized",
)  # fmt: skip


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "migration", help="check a migration before it begins, see where it stands, wait for a stage, finalize",
        description="Works with the controllers of pykraft and of Apache Kafka.",
        epilog="example: pykraft migration status --bootstrap-controller localhost:9093 --zookeeper localhost:2181",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", required=True, metavar="preflight|status|wait|finalize")
    _add_preflight(actions)
    _add_status(actions)
    _add_wait(actions)
    _add_finalize(actions)


# -- preflight ---------------------------------------------------------------------------------------------------


def _add_preflight(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "preflight", help="name every precondition that does not hold, and what to change",
        description="Names every precondition of a migration that does not hold, with what to change, from"
        " ZooKeeper and"
        " from the server.properties of brokers and controllers. Changes nothing. Exit code 0: nothing is in the way"
        " (there may be warnings), 1: something is, 2: cannot tell.",
        epilog="example: pykraft migration preflight --zookeeper localhost:2181/kafka --properties broker-*.properties"
        " controller.properties",
    )  # fmt: skip
    zookeeper_option(parser, required=False)
    parser.add_argument(
        "--properties", type=Path, nargs="+", default=[], action="extend", metavar="FILE",
        help="server.properties of brokers and controllers; process.roles tells which is which",
    )  # fmt: skip
    json_option(parser)
    parser.set_defaults(func=runner("migration preflight", run_preflight))


async def run_preflight(options: argparse.Namespace) -> int:
    """0 nothing is in the way, 1 something is."""
    import msgspec

    from pykraft.migration.preflight import Finding, Severity, check_zookeeper
    from pykraft.migration.preflight_properties import check_properties
    from pykraft.server.migration_survey import survey

    if options.zookeeper is None and not options.properties:
        raise UsageError("nothing to look at: give --zookeeper, --properties, or both")
    findings: list[Finding] = []
    facts = None
    if options.zookeeper is not None:
        async with zookeeper(options.zookeeper) as port:
            findings, facts = check_zookeeper(await survey(port))
    files = {str(path): load_properties(path) for path in options.properties}
    findings += check_properties(files, facts, options.zookeeper)
    blockers = sum(finding.severity is Severity.BLOCKER for finding in findings)
    if options.json:
        print(json.dumps({"ready": not blockers, "findings": msgspec.to_builtins(findings)}, indent=1))
    else:
        for finding in findings:
            print(f"{finding.severity.upper()} {finding.code}: {finding.subject} {finding.problem}")
            print(f"    {finding.remedy}")
        looked = [options.zookeeper or "no ZooKeeper", f"{len(files)} properties files"]
        print(f"{blockers} blockers, {len(findings) - blockers} warnings in {' and '.join(looked)}")
    return CHECK_SAYS_NO if blockers else DONE


# -- status and wait ---------------------------------------------------------------------------------------------


def _status_options(parser: argparse.ArgumentParser) -> None:
    image_options(parser, data=False)
    zookeeper_option(parser, required=False)
    parser.add_argument(
        "--brokers", type=_ids, default=frozenset(), metavar="ID,…", help="the brokers that there must be"
    )
    parser.add_argument(
        "--max-lag", type=int, default=None, metavar="RECORDS",
        help="how many records ZooKeeper may be behind the log before that counts as blocked (default 1000)",
    )  # fmt: skip
    json_option(parser)


def _ids(text: str) -> frozenset[int]:
    try:
        return frozenset(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not ID,ID,…") from None


def _add_status(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "status", help="tell where a migration stands, stage by stage",
        description=f"Tells for each stage ({', '.join(STAGES)}) whether it is done, waiting (its turn comes, or"
        " you may"
        " take your time), blocked, or unknown, and why. The metadata log is read from the quorum's leader. Exit"
        " code 0:"
        " on track or complete, 1: something blocks, 2: cannot tell.",
        epilog="example: pykraft migration status --bootstrap-controller localhost:9093 --zookeeper localhost:2181"
        " --json",
    )  # fmt: skip
    _status_options(parser)
    parser.set_defaults(func=runner("migration status", run_status))


async def run_status(options: argparse.Namespace) -> int:
    """0 on track or complete, 1 something blocks, 2 cannot tell."""
    from pykraft.migration.status import stages, verdict

    facts = await _status_facts(options)
    found = stages(facts)
    if options.json:
        print(json.dumps(_status_json(facts, found), indent=1))
    else:
        for stage in found:
            print(f"{stage.stage:<14} {stage.state.upper():<8} {stage.detail}")
        print(verdict(found))
    return {"blocked": CHECK_SAYS_NO, "unknown": CANNOT_TELL}.get(verdict(found), DONE)


def _status_json(facts: StatusFacts, found: list[Stage]) -> dict[str, Any]:
    import msgspec

    from pykraft.migration.status import metrics, verdict

    image, stored = facts.image, None if facts.zookeeper is None else facts.zookeeper.migration
    modes = {
        mode: sorted(id_ for id_, broker in image.brokers.items() if broker.is_migrating_zk_broker is zk)
        for mode, zk in (("zk", True), ("kraft", False))
    }
    return {
        "verdict": verdict(found),
        "zk_migration_state": image.zk_migration_state.name,
        "metadata_version": image.metadata_version.text,
        "leader_id": facts.leader_id,
        "log_offset": image.offset,
        "voter_lags": {str(voter): lag for voter, lag in facts.voters.items()},
        "brokers": modes,
        "zookeeper_offset": None if stored is None else stored.kraft_metadata_offset,
        "dual_write_lag": None if stored is None else facts.unwritten,
        "metrics": metrics(facts),
        "stages": msgspec.to_builtins(found),
    }


async def _status_facts(options: argparse.Namespace) -> StatusFacts:
    if options.zookeeper is None:
        return await _facts(options, None)
    async with zookeeper(options.zookeeper) as port:
        return await _facts(options, port)


async def _facts(options: argparse.Namespace, port: Any) -> StatusFacts:
    """Reads the log, then ZooKeeper: what is behind counts from the offset that `/migration` has afterwards."""
    from pykraft.image.model import ZkMigrationState
    from pykraft.migration.status import DUAL_WRITE_LAG_MAX, StatusFacts, is_written_to_zookeeper
    from pykraft.server.migration_survey import read_migration, zookeeper_facts
    from pykraft.server.quorum_client import connected_to_leader
    from pykraft.server.quorum_client import read_image as read_log

    before = None if port is None else await read_migration(port)
    written_to = -1 if before is None else before.kraft_metadata_offset
    behind: list[int] = []

    def count(record: Any, offset: int) -> None:
        if offset > written_to and is_written_to_zookeeper(record):
            behind.append(offset)

    async with connected_to_leader(options.bootstrap_controller, CONTROLLER_TIMEOUT_S) as (connection, quorum):
        image = await read_log(connection, quorum, count)
    facts = None
    if port is not None:
        facts = await zookeeper_facts(
            port, before_copy=image.zk_migration_state is ZkMigrationState.PRE_MIGRATION, ask_timeout_s=BROKER_TIMEOUT_S
        )
    stored = -1 if facts is None or facts.migration is None else facts.migration.kraft_metadata_offset
    return StatusFacts(
        image=image, leader_id=quorum.leader_id, zookeeper=facts, expected=options.brokers,
        voters={voter: max(0, quorum.high_watermark - end) for voter, end in quorum.voters.items()},
        unwritten=sum(offset > stored for offset in behind),
        lag_max=DUAL_WRITE_LAG_MAX if options.max_lag is None else options.max_lag,
    )  # fmt: skip


def _add_wait(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "wait", help="wait until a stage is done",
        description="Waits until a stage is done, and says on stderr when what it waits for changes. Exit code 0: done,"
        " 1: not within the time.",
        epilog="example: pykraft migration wait --stage dual-write --bootstrap-controller localhost:9093 --zookeeper"
        " localhost:2181",
    )  # fmt: skip
    parser.add_argument("--stage", required=True, choices=STAGES, metavar="STAGE", help=" | ".join(STAGES))
    parser.add_argument(
        "--timeout",
        type=float,
        default=WAIT_TIMEOUT_S,
        metavar="SECONDS",
        help="at most this long (default %(default)s)",
    )
    _status_options(parser)
    parser.set_defaults(func=runner("migration wait", run_wait))


async def run_wait(options: argparse.Namespace) -> int:
    """0 the stage is done, 1 it was not within the time."""
    import trio

    from pykraft.migration.status import StageState, stages

    deadline_s = trio.current_time() + options.timeout
    told = ""
    while True:
        facts, found, text = None, [], ""
        try:
            with trio.move_on_at(deadline_s):
                facts = await _status_facts(options)
            found = [] if facts is None else stages(facts)
        except Exception as error:
            if not is_foreseen(error):
                raise
            text = f"cannot tell: {error}"
        wanted = next((stage for stage in found if stage.stage == options.stage), None)
        if wanted is not None:
            hindrance = next((stage for stage in found if stage.state is StageState.BLOCKED), wanted)
            text = f"{hindrance.stage} {hindrance.state}: {hindrance.detail}"
        if wanted is not None and wanted.state is StageState.DONE:
            assert facts is not None
            print(
                json.dumps(_status_json(facts, found), indent=1) if options.json else f"{wanted.stage}: {wanted.detail}"
            )
            return DONE
        if text and text != told:
            told = text
            print(text, file=sys.stderr, flush=True)
        if trio.current_time() >= deadline_s:
            break
        await trio.sleep(min(WAIT_PAUSE_S, max(0.0, deadline_s - trio.current_time())))
    print(f"{options.stage} was not done within {options.timeout:g} s: {told or 'nothing answered'}", file=sys.stderr)
    return CHECK_SAYS_NO


# -- finalize ----------------------------------------------------------------------------------------------------


def _add_finalize(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "finalize", help="end a migration for good, behind its gates",
        description="Finalizing cannot be undone. With --data, which must be that of a stopped pykraft controller,"
        " it looks"
        " whether everything is ready (ZkMigrationState MIGRATION, no broker registered in ZooKeeper mode, no"
        " reassignment)"
        " and then does what ends a migration in Apache Kafka too: starts the controller, out of the brokers' reach,"
        " without zookeeper.metadata.migration.enable until POST_MIGRATION is in its log, and stops it. With"
        " --bootstrap-controller it only looks: to finalize, restart the controllers without that key. A pykraft"
        " controller refuses such a restart while a broker is registered in ZooKeeper mode, unless"
        " pykraft.migration.finalize.force=true. /controller is left in ZooKeeper, as Kafka leaves it: no broker"
        " that is"
        " started in ZooKeeper mode by mistake can become a controller then; --delete-controller removes it, once the"
        " migration is finalized. Exit code 0: finalized, or nothing is in the way; 1: something is; 2: cannot run.",
        epilog="example: pykraft migration finalize --data ./pykraft-data",
    )  # fmt: skip
    image_options(parser)
    parser.add_argument("--force", action="store_true", help="even with brokers registered in ZooKeeper mode")
    parser.add_argument("--delete-controller", action="store_true", help="delete /controller of --zookeeper afterwards")
    zookeeper_option(parser, required=False)
    json_option(parser)
    parser.set_defaults(func=runner("migration finalize", run_finalize))


async def run_finalize(options: argparse.Namespace) -> int:
    """0 finalized or nothing in the way, 1 something is."""
    from pykraft.image.model import ZkMigrationState
    from pykraft.migration.status import finalize_gates

    if options.delete_controller and options.zookeeper is None:
        raise UsageError("--delete-controller needs --zookeeper")
    image = await read_image(options)
    gates = [] if image.zk_migration_state is ZkMigrationState.POST_MIGRATION else finalize_gates(image)
    may = not gates or (options.force and image.zk_migration_state is ZkMigrationState.MIGRATION)
    if may and options.data is not None and image.zk_migration_state is ZkMigrationState.MIGRATION:
        await _start_without_flag(options.data, options.force)
        image = image_of_directory(options.data)
    done = image.zk_migration_state is ZkMigrationState.POST_MIGRATION
    deleted = await _delete_controller(options.zookeeper) if done and options.delete_controller else None
    _report_finalize(options, image, gates, deleted, done=done)
    return DONE if may else CHECK_SAYS_NO


def _report_finalize(
    options: argparse.Namespace, image: MetadataImage, gates: list[str], deleted: str | None, *, done: bool
) -> None:
    if options.json:
        print(json.dumps({
            "finalized": done, "zk_migration_state": image.zk_migration_state.name, "gates": gates,
            "forced": bool(gates) and options.force, "controller": deleted,
        }, indent=1))  # fmt: skip
        return
    for gate in gates:
        print(f"{'forced past' if options.force else 'refused'}: {gate}")
    if done:
        print("finalized: start the controllers without zookeeper.metadata.migration.enable and zookeeper.connect")
    elif not gates or options.force:
        print(
            "nothing is in the way: restart each controller without zookeeper.metadata.migration.enable and"
            " zookeeper.connect; the first that leads finalizes the migration"
        )
    if deleted is not None:
        print(deleted)


async def _start_without_flag(directory: Path, force: bool) -> None:
    """Let the controller of a stopped node's directory lead once. Raises the errors of its start."""
    import trio

    from pykraft.controller.activation import FINALIZE_FORCE
    from pykraft.controller.config import ControllerConfig
    from pykraft.log.meta_properties import read_meta_properties
    from pykraft.log.metadata_log import DIRECTORY_NAME
    from pykraft.log.quorum_state import read_quorum_state
    from pykraft.server.node import Node, NodeSettings

    properties = read_meta_properties(directory)
    if properties is None:
        raise UsageError(f"{directory} has no meta.properties: name the data directory of a controller")
    state = read_quorum_state(directory / DIRECTORY_NAME)
    if state is not None and len(state.current_voters or ()) > 1:
        raise UsageError(f"{directory} is that of one of several voters: restart them without the key instead")
    given: Mapping[str, str] = {"node.id": str(properties.node_id), FINALIZE_FORCE: str(force).lower()}
    node = Node(ControllerConfig.from_properties(given), NodeSettings(directory, port=0), lambda event, **fields: None)
    try:
        with trio.fail_after(FINALIZE_TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                await nursery.start(node.run)
                nursery.cancel_scope.cancel()
    except ExceptionGroup as errors:  # not except*: before Python 3.11.4 that puts what is raised in it into a group
        from pykraft.server.failures import root_causes

        raise root_causes(errors)[0] from None


async def _delete_controller(connect: str) -> str:
    """Delete `/controller` when a KRaft controller left it there; what was done."""
    from pykraft.zookeeper import paths
    from pykraft.zookeeper.ops import get_data, require_applied
    from pykraft.zookeeper.port import Delete
    from pykraft.zookeeper.znodes import decode_controller

    async with zookeeper(connect) as port:
        found = await get_data(port, paths.CONTROLLER)
        if found is None:
            return "/controller was not there any more"
        holder = decode_controller(found.data)
        if holder.kraft_controller_epoch in (None, -1):
            return f"/controller was left alone: ZooKeeper-mode broker {holder.broker_id} holds it"
        ops = [Delete(paths.CONTROLLER, found.stat.version)]
        require_applied("deleting", ops, await port.multi(ops))
    return f"/controller of KRaft controller {holder.broker_id} is deleted"
