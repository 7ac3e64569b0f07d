"""`pykraft log image` and `pykraft log diff`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from pykraft.cli.common import CHECK_SAYS_NO, DONE, UsageError
from pykraft.cli.log_common import Bar, command, log_argument, until, until_options
from pykraft.replay.difference import ABSENT, Difference, differences
from pykraft.replay.image_json import image_to_json
from pykraft.replay.json_text import json_text
from pykraft.replay.recorded import RecordedLog

# What every record moves: not a difference of two clusters.
_MOVES_ALWAYS: Final = ("offset", "epoch")


def add_image(parser: argparse.ArgumentParser) -> None:
    """Arguments of `image`."""
    parser.epilog = "example: pykraft log image --until 2024-05-01T12:00:00Z /var/kafka/metadata | jq .topics.orders"
    log_argument(parser)
    until_options(parser)
    parser.add_argument("--compact", action="store_true", help="on one line")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(func=run_image)


@command
def run_image(options: argparse.Namespace) -> int:
    """0, the image on stdout."""
    offset, moment_ms = until(options.until)
    with Bar("replay") as bar:
        image = RecordedLog.at(options.log).image(offset, until_ms=moment_ms, progress=bar)
    indent, separators = (None, (",", ":")) if options.compact else (1, (",", ": "))
    json.dump(image_to_json(image), sys.stdout, indent=indent, separators=separators, ensure_ascii=False)
    print()
    return DONE


def add_diff(parser: argparse.ArgumentParser) -> None:
    """Arguments of `diff`."""
    parser.epilog = (
        "examples: pykraft log diff /var/kafka/metadata@1200 /var/kafka/metadata@1300\n"
        "          pykraft log diff before.json after.json\n"
        "Exit code 0: the clusters are the same, 1: they differ."
    )
    where = "a log, with @OFFSET or @TIME for an earlier point of it, or an image as JSON"
    parser.add_argument("left", metavar="LEFT", help=where)
    parser.add_argument("right", metavar="RIGHT", help="as LEFT")
    parser.add_argument("--json", action="store_true", help='one object {"path", "left", "right"} a line')
    parser.set_defaults(func=run_diff)


@command
def run_diff(options: argparse.Namespace) -> int:
    """0 same, 1 different."""
    left, right = (_image(side) for side in (options.left, options.right))
    for key in _MOVES_ALWAYS:
        left.pop(key, None)
        right.pop(key, None)
    found = False
    for difference in differences(left, right):
        found = True
        print(_as_json(difference) if options.json else _as_text(difference))
    return CHECK_SAYS_NO if found else DONE


def _image(text: str) -> dict[str, Any]:
    path, _, point = text.rpartition("@")
    if not path or Path(text).exists():
        path, point = text, ""
    if path.endswith(".json"):
        try:
            found = json.loads(Path(path).read_text())
        except ValueError as error:
            raise UsageError(f"{path} is not JSON: {error}") from None
        if not isinstance(found, dict):
            raise UsageError(f"{path} is no image: it holds {type(found).__name__}, not an object")
        return found
    offset, moment_ms = until(point or None)
    with Bar("replay") as bar:
        return image_to_json(RecordedLog.at(Path(path)).image(offset, until_ms=moment_ms, progress=bar))


def _as_text(difference: Difference) -> str:
    lines = []
    for sign, value in (("-", difference.left), ("+", difference.right)):
        if value is not ABSENT:
            lines.append(f"{sign} {'.'.join(difference.path)}: {json_text(value)}")
    return "\n".join(lines)


def _as_json(difference: Difference) -> str:
    sides = {"left": difference.left, "right": difference.right}
    there = {key: value for key, value in sides.items() if value is not ABSENT}
    return json_text({"path": list(difference.path), **there})
