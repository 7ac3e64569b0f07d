"""`pykraft log edit`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

from pykraft.cli.common import DONE, UsageError
from pykraft.cli.log_common import Bar, command, log_argument, say
from pykraft.replay.edit import Edits, edit
from pykraft.replay.recorded import RecordedLog

DIGITS_MAX: Final = 10
NODE_ID_MAX: Final = 2**31 - 1
PORT_MAX: Final = 65_535


def add_edit(parser: argparse.ArgumentParser) -> None:
    """Arguments of `edit`."""
    parser.epilog = (
        "examples: pykraft log edit /var/kafka/metadata copy --anonymise\n"
        "          pykraft log edit /var/kafka/metadata copy --map-id 3000=1 --map-host 10.0.0.7:9092=127.0.0.1:19092\n"
        "          pykraft log edit /var/kafka/metadata copy --drop NO_OP_RECORD --renumber\n"
        "A dropped record leaves a NoOpRecord, so that every offset stays; with --renumber it goes. Checkpoints follow."
    )
    log_argument(parser)
    parser.add_argument("target", type=Path, metavar="TARGET", help="the copy: a file for a file, else a directory")
    parser.add_argument("--drop", action="append", default=[], metavar="TYPE|OFFSET|FIRST-LAST",
                        help="leave out records; may be repeated")  # fmt: skip
    parser.add_argument("--map-id", action="append", default=[], metavar="OLD=NEW", help="rewrite a node id")
    parser.add_argument("--map-host", action="append", default=[], metavar="HOST[:PORT]=HOST[:PORT]",
                        help="rewrite where listeners are")  # fmt: skip
    parser.add_argument("--anonymise", action="store_true", help="replace names and hosts, empty secrets")
    parser.add_argument("--renumber", action="store_true", help="close the gaps: offsets and broker epochs follow")
    parser.add_argument("--json", action="store_true", help="what was done, as JSON")
    parser.set_defaults(func=run_edit)


@command
def run_edit(options: argparse.Namespace) -> int:
    """0 when the copy is written."""
    ids, hosts = mappings(options)
    edits = Edits(tuple(options.drop), ids, hosts, options.anonymise, options.renumber)
    try:
        edits.drops()
    except ValueError as error:
        raise UsageError(f"--drop: {error}") from None
    with Bar("edit") as bar:
        report = edit(RecordedLog.at(options.log), options.target, edits, bar)
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        for left_out in report.left_out:
            say(f"left out, as the edited log does not lead to one: {left_out}")
        say(f"{report.records} records, {report.dropped} dropped, {report.changed} changed: {options.target}")
    return DONE


def mappings(options: argparse.Namespace) -> tuple[dict[int, int], dict[str, str]]:
    """(node ids, hosts) of --map-id and --map-host; UsageError."""
    ids = {_number(old): _number(new) for old, new in map(_pair, options.map_id)}
    return ids, dict(map(_pair, options.map_host))


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (equals and old and new):
        raise UsageError(f"{text!r} is not OLD=NEW")
    port = new.rpartition(":")[2]
    if ":" in new and not (_is_number(port) and int(port) <= PORT_MAX):
        raise UsageError(f"{text!r}: {port!r} is no port")
    return old, new


def _number(text: str) -> int:
    if not (_is_number(text) and int(text) <= NODE_ID_MAX):
        raise UsageError(f"{text!r} is no node id")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX
