"""Shared by `pykraft migration` and `pykraft zk`: how they run, options, ZooKeeper, the image of a log or a quorum."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from pykraft.cli.common import CANNOT_RUN, DONE, is_foreseen
from pykraft.image.metadata_image import MetadataImage

ZOOKEEPER_TIMEOUT_S: Final = 15.0
CONTROLLER_TIMEOUT_S: Final = 60.0

Command = Callable[[argparse.Namespace], Awaitable[int]]


def runner(name: str, command: Command) -> Callable[[argparse.Namespace], int]:
    """A command that says in one line what it cannot do, and ends with exit code 2 then."""

    def run(options: argparse.Namespace) -> int:
        import trio

        try:
            code: int = trio.run(command, options)
            sys.stdout.flush()
        except BrokenPipeError:
            sys.stderr.close()  # nobody reads on: Python would complain at its end
            return DONE
        except KeyboardInterrupt:
            return CANNOT_RUN
        except Exception as error:
            if not is_foreseen(error):
                raise
            print(f"pykraft {name}: {error}", file=sys.stderr)
            return CANNOT_RUN
        return code

    return run


def addresses(text: str) -> list[str]:
    """The HOST:PORT of a comma-separated list. Raises ArgumentTypeError."""
    found = [address.strip() for address in text.split(",") if address.strip()]
    if not found or not all(":" in address and address.rpartition(":")[2].isdecimal() for address in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT,…, such as 127.0.0.1:9093")
    return found


def json_option(parser: argparse.ArgumentParser, help_: str = "one JSON object") -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help=help_)


def zookeeper_option(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """--zookeeper."""
    parser.add_argument(
        "--zookeeper", required=required, metavar="CONNECT", help="the ZooKeeper of the cluster, HOST:PORT,…/chroot"
    )


def image_options(parser: argparse.ArgumentParser, *, data: bool = True) -> None:
    """--bootstrap-controller and --data, one of which must be given."""
    group = parser.add_mutually_exclusive_group(required=True) if data else parser
    group.add_argument(
        "--bootstrap-controller",
        type=addresses,
        required=not data,
        metavar="HOST:PORT,…",
        help="the controllers: those of pykraft or of Apache Kafka; the log is read from their leader",
    )
    if data:
        group.add_argument("--data", type=Path, metavar="DIR", help="the data directory of a controller")


def zookeeper(connect: str) -> Any:
    """A connected ZooKeeper for the length of an `async with`, of which nothing is created; ZooKeeperError."""
    from pykraft.zookeeper.kazoo_port import ZooKeeperConfig, open_zookeeper

    timeout_ms = int(ZOOKEEPER_TIMEOUT_S * 1000)
    return open_zookeeper(ZooKeeperConfig(
        connect=connect, session_timeout_ms=timeout_ms, connection_timeout_ms=timeout_ms, create_chroot=False
    ))  # fmt: skip


async def read_image(options: argparse.Namespace) -> MetadataImage:
    """The image of --data, or of the leader of --bootstrap-controller; AskError and errors of the log."""
    if options.data is not None:
        return image_of_directory(options.data)
    from pykraft.server.quorum_client import connected_to_leader, read_image

    async with connected_to_leader(options.bootstrap_controller, CONTROLLER_TIMEOUT_S) as (connection, facts):
        return await read_image(connection, facts, lambda record, offset: None)


def image_of_directory(directory: Path) -> MetadataImage:
    """The image of a data directory, whether its controller runs or not."""
    from pykraft.replay.recorded import RecordedLog

    return RecordedLog.at(directory).image()
