"""`pykraft log export`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pykraft.cli.common import DONE
from pykraft.cli.log_common import Bar, command, log_argument
from pykraft.replay.export import export_parquet
from pykraft.replay.recorded import RecordedLog


def add_export(parser: argparse.ArgumentParser) -> None:
    """Arguments of `export`."""
    parser.epilog = (
        "example: pykraft log export --parquet tables /var/kafka/metadata\n"
        "then:    duckdb -c \"select leader, count(*) from 'tables/partition_record.parquet' group by all\"\n"
        "Needs pyarrow: pip install 'pykraft[parquet]'."
    )
    log_argument(parser)
    parser.add_argument("--parquet", type=Path, required=True, metavar="DIR", help="write DIR/RECORD_TYPE.parquet")
    parser.add_argument("--json", action="store_true", help="the number of rows by table, as JSON")
    parser.set_defaults(func=run_export)


@command
def run_export(options: argparse.Namespace) -> int:
    """0 when the tables are written."""
    with Bar("export") as bar:
        rows = export_parquet(RecordedLog.at(options.log), options.parquet, bar)
    if options.json:
        print(json.dumps(rows))
    else:
        for name, count in rows.items():
            print(f"{count:>10} {options.parquet / name}.parquet")
    return DONE
