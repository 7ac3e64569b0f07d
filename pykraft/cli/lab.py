"""`pykraft lab`: real Kafka on this machine, up and down, and the whole migration watched and checked."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

from pykraft.cli.common import CANNOT_RUN, CHECK_SAYS_NO, DONE
from pykraft.lab import jars, state
from pykraft.lab.cluster import Lab, new_cluster_id
from pykraft.lab.errors import LabError
from pykraft.lab.migrate import Migration, Settings, how_to_connect
from pykraft.lab.view import make_view


def add_parser(subparsers: Any) -> None:
    """Register `lab` and its subcommands; each sets `func`, which takes the arguments and returns the exit code."""
    parser = subparsers.add_parser(
        "lab", help="run real Kafka: a cluster up and down, or a whole migration",
        description="Runs real ZooKeeper, brokers and controllers on this machine; their jars come through Maven. Exit"
        " codes: 0 done, 1 the check says no, 2 wrong use or cannot run.",
        epilog="example: pykraft lab up --kafka 4.1.2 --brokers 1",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="lab_command", required=True, metavar="migrate|up|down")

    migrate = commands.add_parser(
        "migrate", help="migrate a real ZooKeeper cluster, watch it, check it, report",
        description="Starts a ZooKeeper cluster under load, migrates it, kills a broker, and reports what was lost or"
        " duplicated, and where ZooKeeper and the metadata log differ. With several releases the first broker runs the"
        " first, the second the second, and so on in turn; their metadata.version is that of the oldest.",
        epilog="example: pykraft lab migrate --kafka 3.6.2,3.8.1,3.9.1 --brokers 3 --finalize --json",
    )  # fmt: skip
    migrate.add_argument(
        "--kafka",
        default=jars.DEFAULT_VERSION,
        type=_versions,
        metavar="VERSION[,VERSION…]",
        help="release of the brokers, 3.4 to 3.9 (3.9.1); several go to the brokers in turn: 3.6.2,3.8.1,3.9.1",
    )
    _cluster_arguments(migrate)
    migrate.add_argument("--partitions", type=_positive, default=50, help="about how many to migrate (50)")
    migrate.add_argument("--rate", type=_positive, default=200, help="messages a second (200)")
    migrate.add_argument(
        "--finalize", action="store_true", help="go on: brokers into KRaft mode, ZooKeeper away (ends in dual write)"
    )
    migrate.add_argument("--json", action="store_true", help="the report as JSON on stdout, progress on stderr")
    migrate.add_argument("--keep", action="store_true", help="leave the cluster running and tell how to connect")
    migrate.set_defaults(func=run_migrate)

    up = commands.add_parser(
        "up", help="start a cluster and leave it running",
        description="Starts a cluster, tells its bootstrap.servers, processes and logs, and leaves it running.",
        epilog="example: pykraft lab up --kafka 4.1.2 --brokers 1",
    )  # fmt: skip
    up.add_argument("--kafka", default=jars.DEFAULT_VERSION, metavar="VERSION", help="release (3.9.1)")
    _cluster_arguments(up)
    up.add_argument(
        "--mode",
        choices=("zk", "kraft"),
        default="kraft",
        help="how the brokers run (kraft); pykraft's controller then stands for their release",
    )
    up.set_defaults(func=run_up)

    down = commands.add_parser(
        "down", help="end a cluster that was left running",
        description="Ends the processes of a cluster that was left running; its folder stays.",
        epilog="example: pykraft lab down --folder /tmp/pykraft-lab-x",
    )  # fmt: skip
    down.add_argument("--folder", type=Path, required=True, help="the folder it runs in")
    down.set_defaults(func=run_down)


def _cluster_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--brokers", type=_positive, default=3, help="how many (3)")
    parser.add_argument("--controller", choices=("pykraft", "kafka"), default="pykraft", help="whose (pykraft)")
    parser.add_argument("--folder", type=Path, help="data and logs go here (a new temporary folder)")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _versions(text: str) -> tuple[str, ...]:
    versions = tuple(text.split(","))
    for version in versions:
        if not re.fullmatch(r"\d+\.\d+\.\d+", version):
            raise argparse.ArgumentTypeError(f"{version!r} is no release such as 3.9.1")
    return versions


def _new_folder(wanted: Path | None) -> Path:
    """The folder for a run; raises LabError when it holds something already."""
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="pykraft-lab-"))
    if wanted.exists() and any(wanted.iterdir()):
        raise LabError(f"{wanted} is not empty: name a new folder, or end and remove what is there")
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted.absolute()


def _end_on_sigterm(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run_migrate(args: argparse.Namespace) -> int:
    """0: migrated and all checks passed; 1: not so; 2: the cluster could not be set up."""
    before = signal.signal(signal.SIGTERM, _end_on_sigterm)
    try:
        settings = Settings(args.kafka, args.brokers, args.partitions, args.rate, args.controller, args.finalize)
        for version in settings.versions:
            jars.ensure(version, _tell)
        return _migrate(args, settings, _new_folder(args.folder))
    except LabError as error:
        return _cannot_run(error)
    finally:
        signal.signal(signal.SIGTERM, before)


def _migrate(args: argparse.Namespace, settings: Settings, folder: Path) -> int:
    view = make_view(json=args.json)
    out = sys.stderr if args.json else sys.stdout
    with Lab(folder, settings.newest, sasl=settings.has_tokens) as lab:
        migration = Migration(lab, settings, view)
        try:
            report = migration.run()
        except KeyboardInterrupt:
            print(f"interrupted; ending all processes, logs are in {folder}", file=sys.stderr)
            return CANNOT_RUN
        finally:
            view.close()
        print(json.dumps(report.to_json(), indent=1) if args.json else report.to_text())
        if args.keep:
            print(how_to_connect(folder, migration), file=out)
            state.leave_running(lab)
    if report.passed and not args.keep and args.folder is None:
        shutil.rmtree(folder)
    return DONE if report.passed else CHECK_SAYS_NO


def run_up(args: argparse.Namespace) -> int:
    """Start a cluster, print how to connect, leave it running."""
    try:
        jars.ensure(args.kafka, _tell)
        folder = _new_folder(args.folder)
        with Lab(folder, args.kafka) as lab:
            _start_cluster(lab, args)
            brokers = [node for name, node in lab.nodes.items() if name.startswith("broker-")]
            print(f"bootstrap.servers={','.join(node.address for node in brokers)}")
            for node in lab.nodes.values():
                print(f"{node.name:<16} pid {node.process.pid:<8} {node.address}  log {node.process.log}")
            state.leave_running(lab)
    except LabError as error:
        return _cannot_run(error)
    print(f"end it with: pykraft lab down --folder {folder}")
    return DONE


def _start_cluster(lab: Lab, args: argparse.Namespace) -> None:
    if args.mode == "zk":
        _tell("starting ZooKeeper and brokers")
        zookeeper = lab.zookeeper()
        nodes = [lab.zk_broker(broker, zookeeper.address, wait=False) for broker in range(args.brokers)]
    else:
        _tell(f"starting {args.controller}'s controller and brokers")
        cluster_id = new_cluster_id()
        controller = (
            lab.pykraft(3000, cluster_id=cluster_id, release=jars.release(args.kafka))
            if args.controller == "pykraft"
            else lab.kraft_controller(3000, cluster_id)
        )
        voters = f"3000@{controller.address}"
        nodes = [lab.kraft_broker(broker, cluster_id, voters, wait=False) for broker in range(args.brokers)]
    for node in nodes:
        node.process.wait_port(node.port)


def run_down(args: argparse.Namespace) -> int:
    """End what was left running in a folder; the folder stays."""
    try:
        ended = state.end(args.folder)
    except LabError as error:
        return _cannot_run(error)
    print(f"ended: {', '.join(ended) or 'nothing was running any more'}")
    return DONE


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _cannot_run(error: LabError) -> int:
    print(f"pykraft lab: {error}", file=sys.stderr)
    return CANNOT_RUN
