"""`pykraft controller`: runs a controller until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from pykraft.cli.common import CANNOT_RUN, DONE, UsageError, is_foreseen, load_properties

DEFAULT_DATA: Final = "./pykraft-data"
DEFAULT_LISTEN: Final = ("127.0.0.1", 9093)
COLLECTED_OBJECTS_MIN: Final = 20_000
"""How many more objects must be there than at the last look before the garbage collector looks at the new ones."""

log = logging.getLogger("pykraft")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser; its `func` default is `run`."""
    parser = subparsers.add_parser(
        "controller",
        help="run a KRaft controller",
        description="Run a KRaft controller. Without arguments: one node with id 1 on 127.0.0.1:9093 that keeps its"
        " data in ./pykraft-data. Its first line on stdout is the event `ready`; more events follow as JSON lines,"
        " logs go to stderr (PYKRAFT_LOG=DEBUG for more). SIGTERM ends it in order, SIGKILL loses nothing that was"
        " acknowledged.",
        epilog="examples: pykraft controller --listen 127.0.0.1:0 --data /tmp/quorum --cluster-id"
        " MkU3OEVBNTcwNTJENDM2Qg | pykraft controller --zookeeper localhost:2181 --override"
        " inter.broker.listener.name=INTERNAL",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    option = parser.add_argument
    option(
        "properties",
        nargs="?",
        type=Path,
        default=None,
        metavar="server.properties",
        help="Kafka's configuration file; keys that a controller does not know are left alone",
    )
    option(
        "--override",
        action="append",
        default=[],
        metavar="K=V",
        type=_key_value,
        help="set one key over the file; may be repeated",
    )
    option(
        "--data",
        type=Path,
        default=None,
        metavar="DIR",
        help=f"data directory; otherwise metadata.log.dir or log.dirs of the file, otherwise {DEFAULT_DATA}",
    )
    option(
        "--listen",
        type=_host_port,
        default=None,
        metavar="HOST:PORT",
        help="address to listen on, port 0 takes a free one; otherwise the controller's listener in the file,"
        f" otherwise {DEFAULT_LISTEN[0]}:{DEFAULT_LISTEN[1]}",
    )
    option("--node-id", type=int, default=None, metavar="N", help="node.id; 1 without it")
    option(
        "--cluster-id",
        default=None,
        metavar="ID",
        help="cluster id of a new data directory, and a check of an old one; drawn at random without it",
    )
    option(
        "--release",
        default=None,
        metavar="RELEASE",
        help="the release of Kafka to stand for, and the metadata.version of a new cluster: 3.4-IV0 … 4.1-IV1, or a"
        " short form such as 3.6; 3.9-IV0 without it",
    )
    option(
        "--zookeeper",
        default=None,
        metavar="CONNECT",
        help="migrate the ZooKeeper cluster at this connect string; its /cluster/id is the cluster id",
    )
    parser.set_defaults(func=run)


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not K=V")
    return key.strip(), value


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9093")
    return host.strip("[]"), int(port)


def run(options: argparse.Namespace) -> int:
    """Run the controller; 0 after SIGTERM or SIGINT, 2 when it cannot start or go on."""
    import trio

    from pykraft.server.events import EventWriter

    _set_up_logging()
    emit = EventWriter(sys.stdout.buffer)
    failed = False
    try:
        # A request may make tens of thousands of objects and drop them again: collecting meanwhile finds no garbage.
        gc.set_threshold(COLLECTED_OBJECTS_MIN, *gc.get_threshold()[1:])
        trio.run(_main, options, emit)
    except* Exception as errors:
        failed = True
        _report(errors)
    finally:
        emit.close()
    return CANNOT_RUN if failed else DONE


async def _main(options: argparse.Namespace, emit: Any) -> None:
    import trio

    from pykraft.server.node import Node

    config, settings = _configure(options)
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            nursery.start_soon(Node(config, settings, emit).run)
            async for number in signals:
                log.info("%s: shutting down", signal.Signals(number).name)
                nursery.cancel_scope.cancel()
                break


def _configure(options: argparse.Namespace) -> tuple[Any, Any]:
    """The configuration and settings of the options, over those of the file."""
    from pykraft.controller.config import ControllerConfig
    from pykraft.server.node import NodeSettings

    properties = load_properties(options.properties) if options.properties is not None else {}
    properties.update(options.override)
    if options.node_id is not None:
        properties["node.id"] = str(options.node_id)
    if options.release is not None and "inter.broker.protocol.version" not in dict(options.override):
        properties["inter.broker.protocol.version"] = options.release
    if options.zookeeper is not None:
        properties["zookeeper.connect"] = options.zookeeper
        properties["zookeeper.metadata.migration.enable"] = "true"
    config = ControllerConfig.from_properties(properties, options.release)
    _check_quorum(properties, config.node_id, config.controller_listener_names[0])
    name = config.controller_listener_names[0]
    host, port = options.listen or _listener(properties, "listeners", name) or DEFAULT_LISTEN
    directory = options.data or properties.get("metadata.log.dir") or properties.get("log.dirs", "").split(",")[0]
    return config, NodeSettings(
        data_directory=Path(directory or DEFAULT_DATA),
        host=host,
        port=port,
        cluster_id=options.cluster_id,
        advertised=_listener(properties, "advertised.listeners", name),
    )


def _check_quorum(properties: dict[str, str], node_id: int, listener: str) -> None:
    """Refuse what this controller cannot be, rather than be something else."""
    roles = properties.get("process.roles", "controller").strip()
    if roles != "controller":
        raise UsageError(f"process.roles={roles}: pykraft is a controller and nothing else; run brokers by themselves")
    voters = properties.get("controller.quorum.voters", "").strip()
    if voters and [voter.partition("@")[0].strip() for voter in voters.split(",")] != [str(node_id)]:
        raise UsageError(
            f"controller.quorum.voters={voters}: node {node_id} can only be the only voter; name it alone, here and at"
            " the brokers"
        )
    listeners = properties.get("listeners", "")
    if listeners and not any(each.strip().startswith(f"{listener}://") for each in listeners.split(",")):
        raise UsageError(f"listeners={listeners} has no {listener}, the first of controller.listener.names: add it")
    protocols = {
        name.strip(): protocol.strip()
        for name, _, protocol in (
            pair.partition(":") for pair in properties.get("listener.security.protocol.map", "").split(",")
        )
    }
    protocol = protocols.get(listener, "PLAINTEXT")
    if protocol != "PLAINTEXT":
        raise UsageError(
            f"listener.security.protocol.map gives {listener} {protocol}: the controller's listener is PLAINTEXT only"
        )


def _listener(properties: dict[str, str], key: str, name: str) -> tuple[str, int] | None:
    """Host and port of the controller's listener in `listeners` or `advertised.listeners` (NAME://host:port, …)."""
    text = properties.get(key, "")
    for each in filter(None, (part.strip() for part in text.split(","))):
        scheme, separator, address = each.partition("://")
        if separator and scheme == name:
            try:
                return _host_port(address)
            except argparse.ArgumentTypeError as error:
                raise UsageError(f"{key}={text}: {error}") from error
    return None


def _set_up_logging() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("PYKRAFT_LOG", "INFO").upper(),
        format="[%(asctime)s] %(levelname)s %(message)s (%(name)s)",
    )


def _report(errors: BaseExceptionGroup[BaseException]) -> None:
    """One line for each thing that stopped the controller, and the traceback of what nobody foresaw."""
    from pykraft.server.failures import root_causes

    for error in root_causes(errors):
        log.critical("%s", str(error) or type(error).__name__, exc_info=None if is_foreseen(error) else error)
