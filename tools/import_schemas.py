#!/usr/bin/env python3
"""Write `schemas/` from the schema files in the jars of Kafka releases: names, types and versions, no prose.

    tools/import_schemas.py 3.9.1=.jars/3.9.1/libs

Each argument is RELEASE=DIRECTORY, the directory holding that release's kafka-clients, kafka-metadata and
kafka-raft jars.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from codegen.schema import parse  # noqa: E402
from codegen.writer import schema_text  # noqa: E402

JARS: Final = ("kafka-clients", "kafka-metadata", "kafka-raft")
FOLDERS: Final = ("common/message/", "common/metadata/")
# What a schema also says but the wire does not: documentation, and hints for Kafka's Java generator.
DROPPED: Final = frozenset({"about", "deprecatedVersions", "mapKey", "entityType", "zeroCopy"})
_COMMENT: Final = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*')


def plain(raw: object) -> object:
    """The schema without what the wire does not show, its loose spellings made one."""
    if isinstance(raw, list):
        return [plain(item) for item in raw]
    if not isinstance(raw, Mapping):
        return raw
    kept = {key: plain(value) for key, value in raw.items() if key not in DROPPED}
    if "tag" in kept:
        kept["tag"] = int(str(kept["tag"]))
    if "default" in kept:
        kept["default"] = json.dumps(kept["default"]) if not isinstance(kept["default"], str) else kept["default"]
    if "taggedVersions" in kept:
        kept.setdefault("versions", kept["taggedVersions"])
    return kept


def schemas(libs: Path, release: str) -> Iterator[dict[str, object]]:
    """Every schema in one release's jars."""
    for jar in JARS:
        with zipfile.ZipFile(libs / f"{jar}-{release}.jar") as archive:
            for entry in sorted(archive.namelist()):
                if entry.endswith(".json") and entry.startswith(FOLDERS):
                    text = _COMMENT.sub(lambda match: match[1] or "", archive.read(entry).decode("utf-8"))
                    found = plain(json.loads(text))
                    if not isinstance(found, dict):
                        raise SystemExit(f"{jar}-{release}.jar: {entry}: a schema is an object")
                    yield found


def main(arguments: list[str]) -> int:
    if not arguments or any("=" not in argument for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    written: set[Path] = set()
    for argument in arguments:
        release, _, libs = argument.partition("=")
        for raw in schemas(Path(libs), release):
            message = parse(raw, f"{release}/{raw.get('name')}")
            path = ROOT / "schemas" / ("records" if message.is_record else "messages") / f"{message.name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(schema_text(message), "utf-8")
            written.add(path)
    for stale in {*(ROOT / "schemas").glob("*/*.json")} - written:
        stale.unlink()
    print(f"{len(written)} schemas")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
