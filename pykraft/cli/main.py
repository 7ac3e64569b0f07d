"""The command `pykraft`: finds the subcommand and imports its module only.

Exit codes: 0 done, 1 the check says no, 2 wrong use or cannot run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

COMMANDS: Final = {
    "controller": "run a KRaft controller",
    "lab": "run real Kafka: ZooKeeper, brokers, a whole migration",
    "log": "print, check, rewind, compare, edit, export and serve a recorded metadata log",
    "migration": "check a migration before it begins, see where it stands, wait for a stage, finalize",
    "protocol": "decode and encode Kafka's messages and frames, one JSON object a line",
    "zk": "show ZooKeeper's tree as typed JSON, and what differs from a metadata image",
}
"""Each is a module of pykraft.cli with `add_parser(subparsers)`, which sets `run(arguments) -> int` as `func`."""


class _Version(argparse.Action):
    """Prints the version; it is looked up only then, as that takes longer than starting a controller may."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"pykraft {version('pykraft')}")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="pykraft",
        description="A KRaft controller you can start in a test.",
        epilog="example: pykraft controller --listen 127.0.0.1:9093 --data ./pykraft-data",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    chosen = next((word for word in given if not word.startswith("-")), None)
    if chosen in COMMANDS:
        import_module(f"pykraft.cli.{chosen}").add_parser(subparsers)
    else:
        for name, summary in COMMANDS.items():
            subparsers.add_parser(name, help=summary)
    options = parser.parse_args(given)
    code: int = options.func(options)
    return code
