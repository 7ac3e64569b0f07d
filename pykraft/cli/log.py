"""`pykraft log`: a recorded metadata log printed, checked, explained, rewound, compared, edited, exported, served.

One module for each group of subcommands, `log_*.py`, imported when one of its own is run.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any, Final

SUBCOMMANDS: Final = {
    "dump": ("log_dump", "print what kafka-dump-log prints"),
    "verify": ("log_check", "check every CRC, offset, epoch and record, and that they can be replayed"),
    "explain": ("log_check", "show a batch byte by byte"),
    "image": ("log_image", "print the cluster at an offset or a time, as JSON"),
    "diff": ("log_image", "compare two logs, or two points of one"),
    "bisect": ("log_bisect", "find the first offset at which a command fails"),
    "edit": ("log_edit", "write a changed copy: records dropped, ids and hosts rewritten, names taken out"),
    "export": ("log_export", "write a table for each record type"),
    "serve": ("log_serve", "give the log to live brokers"),
}
"""Each with its module, which has `add_NAME(parser)`."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser; the subcommands set `func`."""
    parser = subparsers.add_parser(
        "log",
        help="print, check, rewind, compare, edit, export and serve a recorded metadata log",
        description="Works on a recorded __cluster_metadata log, of any release from 3.4 on, and changes nothing in it."
        " Exit codes: 0 done, 1 the check says no, 2 wrong use or cannot run.",
        epilog="example: pykraft log dump /var/kafka/__cluster_metadata-0/00000000000000000000.log",
    )
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="|".join(SUBCOMMANDS), parser_class=_LateParser
    )
    for name, (_, summary) in SUBCOMMANDS.items():
        made = actions.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        made.subcommand = name


class _LateParser(argparse.ArgumentParser):
    """The parser of a subcommand, which gets its arguments from its module when it is first asked to parse."""

    subcommand: str | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.subcommand is not None:
            name, self.subcommand = self.subcommand, None
            module = import_module(f"pykraft.cli.{SUBCOMMANDS[name][0]}")
            getattr(module, f"add_{name}")(self)
        return super().parse_known_args(args, namespace)
