#!/usr/bin/env python3
"""Write `schemas/` from the jars of Kafka's releases: names, types and versions, no prose.

    tools/import_schemas.py [FOLDER]

FOLDER (default: `.jars` of the checkout) holds `<release>/libs/` with the kafka-clients, kafka-metadata and
kafka-raft jars of every release named below. The layouts are those of 3.9.1, with the versions added that later
releases have; of earlier ones only the ranges of versions are taken.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from codegen.merge import differences, merge, renamed  # noqa: E402
from codegen.releases import LISTENERS, Api, Release, releases_text  # noqa: E402
from codegen.schema import Message, SchemaError, parse  # noqa: E402
from codegen.writer import schema_text  # noqa: E402

EARLIER: Final = ("3.4.1", "3.5.2", "3.6.2", "3.7.2", "3.8.1")
BASE: Final = "3.9.1"
LATER: Final = ("4.0.2", "4.1.2")
JARS: Final = ("kafka-clients", "kafka-metadata", "kafka-raft")
FOLDERS: Final = ("common/message/", "common/metadata/")
# What a schema also says but the layout does not: documentation, hints for Kafka's Java generator, and what
# goes into releases.json instead.
DROPPED: Final = frozenset({
    "about", "deprecatedVersions", "mapKey", "entityType", "zeroCopy", "listeners", "latestVersionUnstable",
})  # fmt: skip
# What later releases call otherwise: message -> their name -> the name in BASE, which we keep.
RENAMED: Final[Mapping[str, dict[str, str]]] = {
    "VoteRequest": {
        "ReplicaEpoch": "CandidateEpoch", "ReplicaId": "CandidateId", "ReplicaDirectoryId": "CandidateDirectoryId",
    },
    "ListConfigResourcesRequest": {"ListConfigResourcesRequest": "ListClientMetricsResourcesRequest"},
    "ListConfigResourcesResponse": {
        "ListConfigResourcesResponse": "ListClientMetricsResourcesResponse",
        "ConfigResources": "ClientMetricsResources", "ConfigResource": "ClientMetricsResource", "ResourceName": "Name",
    },
}  # fmt: skip
_COMMENT: Final = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*')


def plain(raw: object) -> object:
    """The schema without what the layout does not show, its loose spellings made one."""
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


def raw_schemas(folder: Path, release: str) -> Iterator[dict[str, Any]]:
    """Every schema in one release's jars that has any version, as it stands there."""
    for jar in JARS:
        with zipfile.ZipFile(folder / release / "libs" / f"{jar}-{release}.jar") as archive:
            for entry in sorted(archive.namelist()):
                if entry.endswith(".json") and entry.startswith(FOLDERS):
                    text = _COMMENT.sub(lambda match: match[1] or "", archive.read(entry).decode("utf-8"))
                    raw = json.loads(text)
                    if raw["validVersions"] != "none":
                        yield raw


def read_release(folder: Path, release: str) -> tuple[dict[str, Message], Release]:
    """The messages of one release, under the names of BASE, and its ranges of versions."""
    messages = {}
    apis = {}
    for raw in raw_schemas(folder, release):
        facts = plain(raw)
        if not isinstance(facts, dict):
            raise SchemaError(f"{release}/{raw['name']}: a schema is an object")
        message = parse(facts, f"{release}/{raw['name']}")
        message = renamed(message, RENAMED.get(message.name, {}))
        messages[message.name] = message
        if message.type == "request" and message.api_key is not None:
            listeners = tuple(sorted(raw["listeners"], key=LISTENERS.index))
            apis[message.api_key] = Api(message.versions, listeners, raw.get("latestVersionUnstable", False))
    records = {message.class_name: message.versions for message in messages.values() if message.is_record}
    return messages, Release(apis, records)


def unstable_versions(key: int | None, *releases: Release) -> frozenset[int]:
    """The versions of an API that one of the releases marks as unstable."""
    found = [release.apis[key] for release in releases if key is not None and key in release.apis]
    return frozenset(api.versions.highest for api in found if api.latest_version_unstable)


def main(arguments: list[str]) -> int:
    if len(arguments) > 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0]) if arguments else ROOT / ".jars"
    releases = {release: read_release(folder, release)[1] for release in EARLIER}
    merged, releases[BASE] = read_release(folder, BASE)
    for release in LATER:
        messages, releases[release] = read_release(folder, release)
        for name, message in messages.items():
            unstable = unstable_versions(message.api_key, releases[release], *releases.values())
            if name not in merged:
                merged[name] = message
                continue
            for version in differences(merged[name], message, frozenset()):
                if version in unstable:
                    print(f"{name} {version} is unstable and not the same in {release}: the earlier one is kept")
            merged[name] = merge(merged[name], message, unstable)
    write(merged, releases)
    return 0


def write(messages: Mapping[str, Message], releases: Mapping[str, Release]) -> None:
    """Write the schema files, and remove those that are not among them."""
    written = set()
    for message in messages.values():
        path = ROOT / "schemas" / ("records" if message.is_record else "messages") / f"{message.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(schema_text(message), "utf-8")
        written.add(path)
    for stale in {*(ROOT / "schemas").glob("*/*.json")} - written:
        stale.unlink()
    (ROOT / "schemas" / "releases.json").write_text(releases_text(releases), "utf-8")
    print(f"{len(written)} schemas, {len(releases)} releases")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
