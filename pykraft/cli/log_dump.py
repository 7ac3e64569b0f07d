"""`pykraft log dump`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pykraft.cli.common import CHECK_SAYS_NO, DONE
from pykraft.cli.log_common import Bar, command, say
from pykraft.replay.batch_walk import UnreadableError
from pykraft.replay.dump import Dump
from pykraft.replay.json_dump import JsonDump
from pykraft.replay.kafka_dump import CHECKPOINT_SUFFIX, LOG_SUFFIX, KafkaDump
from pykraft.replay.record_text import release_named

DEFAULT_RELEASE: Final = "3.9"
CHUNK_CHARACTERS: Final = 1 << 20


def add_dump(parser: argparse.ArgumentParser) -> None:
    """Arguments of `dump`."""
    parser.epilog = (
        "example: pykraft log dump --kafka 4.1 __cluster_metadata-0/00000000000000000000.log\n"
        "Prints what `kafka-dump-log --cluster-metadata-decoder --files FILE,…` of that release prints, to the byte.\n"
        "Quotas have the digits that Java 19 and later give them; older ones differ beyond 2^53.\n"
        "Exit code 1: the file is damaged in a way that ends Kafka's tool with an exception."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a segment, a checkpoint, or a directory")
    parser.add_argument("--json", action="store_true", help="one JSON object a record instead")
    parser.add_argument("--skip-record-metadata", action="store_true", help="leave out what Kafka leaves out with it")
    parser.add_argument("--kafka", default=DEFAULT_RELEASE, metavar="RELEASE",
                        help="whose text: 3.4 to 4.1 differ in control records and unknown records (3.9)")  # fmt: skip
    parser.set_defaults(func=run_dump)


@command
def run_dump(options: argparse.Namespace) -> int:
    """0 when everything could be printed."""
    release = release_named(options.kafka)
    gaps: dict[Path, list[str]] = {}
    code = DONE
    with Bar("dump") as bar:
        for path in _files(options.files):
            dump: Dump
            if options.json:
                dump = JsonDump(path, release, progress=bar)
            else:
                print(f"Dumping {path}")
                if path.suffix not in (LOG_SUFFIX, CHECKPOINT_SUFFIX):
                    say(f"Ignoring unknown file {path}")
                    continue
                dump = KafkaDump(path, release, skip_record_metadata=options.skip_record_metadata, progress=bar)
            try:
                _write(dump.lines())
            except UnreadableError as error:
                say(f"pykraft log: {path}: {error}")
                code = CHECK_SAYS_NO
                break
            if dump.gaps:
                # Kafka's order: the last one first.
                gaps[path.absolute()] = [f"  {gap.offset} is followed by {gap.next_offset}" for gap in dump.gaps[::-1]]
    for path, lines in gaps.items():
        say("\n".join([f"Non-consecutive offsets in {path}", *lines]))
    return code


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(found for found in path.iterdir() if found.suffix in (LOG_SUFFIX, CHECKPOINT_SUFFIX))
        else:
            yield path


def _write(pieces: Iterable[str]) -> None:
    """Write to stdout, a chunk at a time, all that there was also when the pieces end with an error."""
    sys.stdout.flush()
    out = sys.stdout.buffer
    chunk: list[str] = []
    size = 0
    try:
        for piece in pieces:
            chunk.append(piece)
            size += len(piece)
            if size >= CHUNK_CHARACTERS:
                out.write("".join(chunk).encode(errors="replace"))
                chunk, size = [], 0
    finally:
        out.write("".join(chunk).encode(errors="replace"))
        out.flush()
