"""`pykraft log verify` and `pykraft log explain`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pykraft.cli.common import CHECK_SAYS_NO, DONE
from pykraft.cli.log_common import Bar, command, log_argument, say
from pykraft.replay.json_text import json_text
from pykraft.replay.recorded import RecordedLog
from pykraft.replay.verify import Finding, Verifier


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Arguments of `verify`."""
    parser.epilog = (
        "example: pykraft log verify /var/kafka/metadata\n"
        "One line for each finding: file, offset, byte position, what is wrong.\n"
        "Exit code 0: the log is sound, 1: it is not."
    )
    log_argument(parser)
    parser.add_argument("--json", action="store_true", help='{"file", "offset", "position", "finding"} a line')
    parser.set_defaults(func=run_verify)


@command
def run_verify(options: argparse.Namespace) -> int:
    """0 sound, 1 not."""
    log = RecordedLog.at(options.log)
    found = 0
    with Bar("verify") as bar:
        verifier = Verifier(log, bar)
        for finding in verifier.findings():
            found += 1
            print(_as_json(finding) if options.json else _as_text(finding))
    files = len(log.segments) + len(log.checkpoints)
    say(f"{files} files, {verifier.batches} batches, {verifier.records} records: {found or 'no'} findings")
    return CHECK_SAYS_NO if found else DONE


def _as_text(finding: Finding) -> str:
    offset = "unknown" if finding.offset is None else finding.offset
    return f"{finding.path}: offset {offset}, byte {finding.position}: {finding.text}"


def _as_json(finding: Finding) -> str:
    return json_text(
        {"file": str(finding.path), "offset": finding.offset, "position": finding.position, "finding": finding.text}
    )


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Arguments of `explain`."""
    parser.epilog = (
        "example: pykraft log explain 42 /var/kafka/metadata\n"
        "Every field of the batch that holds the offset: byte position in the file, bytes, name, value."
    )
    parser.add_argument("offset", type=int, metavar="OFFSET", help="of any record of the batch")
    log_argument(parser)
    parser.add_argument("--json", action="store_true", help='one object {"position", "bytes", "field", "value"} a line')
    parser.set_defaults(func=run_explain)


@command
def run_explain(options: argparse.Namespace) -> int:
    """0, or 1 when the batch cannot be read to its end."""
    from pykraft.replay.explain import batch_bytes, explain

    path, position, data = batch_bytes(_files(options.log), options.offset)
    if not options.json:
        print(f"{path}, batch at byte {position}, {len(data)} bytes")
    code = DONE
    for part in explain(data):
        at = position + part.position
        if part.error:
            code = CHECK_SAYS_NO
        if options.json:
            print(json_text({"position": at, "bytes": part.data.hex(), "field": part.name, "value": part.value}))
        else:
            shown = part.data.hex() if len(part.data) <= 16 else part.data[:14].hex() + "…"
            print(f"{at:>9}  {shown:<33}{'  ' * part.depth}{part.name}{' ' if part.value else ''}{part.value}")
    return code


def _files(path: Path) -> list[Path]:
    log = RecordedLog.at(path)
    return [*log.segments, *(found.path for found in log.checkpoints)] if not path.is_dir() else list(log.segments)
