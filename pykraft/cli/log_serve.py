"""`pykraft log serve`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pykraft.cli.common import CANNOT_RUN, DONE, UsageError
from pykraft.cli.log_common import command, log_argument
from pykraft.cli.log_edit import mappings
from pykraft.log.batch import ControlRecordType
from pykraft.log.meta_properties import FILE_NAME, read_meta_properties
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage
from pykraft.replay.edit import Edits, edit
from pykraft.replay.recorded import RecordedLog

if TYPE_CHECKING:
    from pykraft.server.replay import ReplayServer


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Arguments of `serve`."""
    parser.epilog = (
        "examples: pykraft log serve /var/kafka/metadata --listen 127.0.0.1:9093\n"
        "          pykraft log serve /var/kafka/metadata --pace 60 --map-host 10.0.0.7:9092=127.0.0.1:19092\n"
        "Brokers reach it with controller.quorum.voters=NODE_ID@HOST:PORT and the cluster id of the log; both are in\n"
        "the first line on stdout. Nothing is written: registrations and heartbeats are granted as they come."
    )
    log_argument(parser)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--until", type=int, default=None, metavar="OFFSET", help="leave out what comes after")
    parser.add_argument("--pace", type=float, default=None, metavar="N",
                        help="N times as fast as it was recorded; all at once without it")  # fmt: skip
    parser.add_argument("--cluster-id", default=None, metavar="ID", help="that of meta.properties without it")
    parser.add_argument("--node-id", type=int, default=None, metavar="N", help="the last leader in the log without it")
    parser.add_argument("--map-id", action="append", default=[], metavar="OLD=NEW", help="rewrite a node id")
    parser.add_argument("--map-host", action="append", default=[], metavar="HOST[:PORT]=HOST[:PORT]",
                        help="tell brokers and clients to go elsewhere")  # fmt: skip
    parser.set_defaults(func=run_serve)


@command
def run_serve(options: argparse.Namespace) -> int:
    """0 after SIGTERM or SIGINT."""
    import trio

    from pykraft.server.events import EventWriter
    from pykraft.server.failures import root_causes
    from pykraft.server.listener import ListenError
    from pykraft.server.replay import ReplayServer, ReplaySettings

    logging.basicConfig(stream=sys.stderr, level="INFO", format="[%(asctime)s] %(levelname)s %(message)s")
    host, _, port = options.listen.rpartition(":")
    if not port.isdecimal():
        raise UsageError(f"--listen {options.listen}: not HOST:PORT")
    if options.pace is not None and not options.pace > 0:
        raise UsageError(f"--pace {options.pace}: must be above 0")
    recorded = RecordedLog.at(options.log)
    cluster_id = options.cluster_id or _cluster_id(recorded)
    with tempfile.TemporaryDirectory(prefix="pykraft-serve-") as folder:
        ids, hosts = mappings(options)
        if ids or hosts:
            target = Path(folder) / recorded.root.name
            edit(recorded, target, Edits(node_ids=ids, hosts=hosts))
            recorded = RecordedLog.at(target)
        leader_id = options.node_id if options.node_id is not None else _last_leader(recorded)
        settings = ReplaySettings(cluster_id, leader_id, host, int(port), until=options.until, pace=options.pace)
        emit = EventWriter(sys.stdout.buffer)
        failed = False
        try:
            server = ReplayServer(recorded, settings, emit)
            try:
                trio.run(_serve, server)
            except* (ListenError, OSError) as errors:
                failed = True
                for error in root_causes(errors):
                    logging.critical("%s", error)
        finally:
            emit.close()
    return CANNOT_RUN if failed else DONE


async def _serve(server: ReplayServer) -> None:
    import trio

    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            nursery.start_soon(server.run)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break


def _cluster_id(recorded: RecordedLog) -> str:
    directory = recorded.root if recorded.root.is_dir() else recorded.root.parent
    found = read_meta_properties(directory.parent)
    if found is not None and found.cluster_id:
        return found.cluster_id
    raise UsageError(f"{directory.parent / FILE_NAME} does not tell the cluster id: give --cluster-id")


def _last_leader(recorded: RecordedLog) -> int:
    found: int | None = None
    for _, _, batch in recorded.batches():
        if ControlRecordType.LEADER_CHANGE in batch.control_types:
            value = batch.values[batch.control_types.index(ControlRecordType.LEADER_CHANGE)]
            found = LeaderChangeMessage.decode(value, int.from_bytes(value[:2], "big")).leader_id
    if found is None:
        raise UsageError("the log names no leader: give --node-id")
    return found
