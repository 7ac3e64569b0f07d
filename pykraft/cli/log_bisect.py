"""`pykraft log bisect`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pykraft.cli.common import CHECK_SAYS_NO, DONE, UsageError
from pykraft.cli.log_common import Bar, command, log_argument, say
from pykraft.image.metadata_image import MetadataImage
from pykraft.replay.bisection import bisect, candidates
from pykraft.replay.image_json import image_to_json
from pykraft.replay.recorded import RecordedLog

IMAGE_VARIABLE = "PYKRAFT_IMAGE"


def add_bisect(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bisect`."""
    parser.epilog = (
        "example: pykraft log bisect /var/kafka/metadata -- jq -e '.topics.orders' {}\n"
        f"COMMAND gets the image as JSON on stdin, its path in ${IMAGE_VARIABLE} and in place of each {{}}.\n"
        "It succeeds up to some offset and fails from there on: prints the first offset at which it fails.\n"
        "Exit code 1: it never fails."
    )
    log_argument(parser)
    parser.add_argument("--from", dest="first", type=int, default=None, metavar="OFFSET", help="begin here")
    parser.add_argument("--to", dest="last", type=int, default=None, metavar="OFFSET", help="end here")
    parser.add_argument("--verbose", action="store_true", help="show what COMMAND prints")
    parser.add_argument("--json", action="store_true", help='the answer as {"offset", "records"}')
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run")
    parser.set_defaults(func=run_bisect)


@command
def run_bisect(options: argparse.Namespace) -> int:
    """0 when there is such an offset, 1 when there is none."""
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not words:
        raise UsageError("bisect needs a command after --, such as: -- jq -e '.topics.orders' {}")
    log = RecordedLog.at(options.log)
    with tempfile.TemporaryDirectory(prefix="pykraft-bisect-") as folder:
        path = Path(folder) / "image.json"

        def fails(image: MetadataImage) -> bool:
            path.write_text(json.dumps(image_to_json(image)))
            failed = _fails([word.replace("{}", str(path)) for word in words], path, show=options.verbose)
            say(f"offset {image.offset}: {'fails' if failed else 'succeeds'}")
            return failed

        with Bar("read") as bar:
            points = candidates(log, options.first, options.last, bar)
        found = bisect(log, points, fails)
    if found is None:
        say(f"the command succeeds at every one of {len(points)} points")
        return CHECK_SAYS_NO
    if options.json:
        print(json.dumps({"offset": found.offset, "records": found.records}))
    else:
        print(found.offset)
        for record in found.records:
            say(f"  {record}")
    return DONE


def _fails(words: list[str], image: Path, *, show: bool) -> bool:
    with image.open("rb") as stdin:
        output = sys.stderr if show else subprocess.DEVNULL
        environment = {**os.environ, IMAGE_VARIABLE: str(image)}
        try:
            done = subprocess.run(words, stdin=stdin, stdout=output, stderr=output, env=environment, check=False)
        except OSError as error:
            raise UsageError(f"{words[0]} cannot be run: {error}") from None
    return done.returncode != 0
