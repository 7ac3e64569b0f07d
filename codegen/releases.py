"""`schemas/releases.json`: which APIs and records each release of Kafka has, in which versions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from codegen.schema import SchemaError
from pykraft.protocol._versions import Versions, parse_versions

LISTENERS: Final = ("zkBroker", "broker", "controller")
_API_KEYS: Final = frozenset({"versions", "listeners", "latestVersionUnstable"})


class Api(NamedTuple):
    """An API as one release has it."""

    versions: Versions
    listeners: tuple[str, ...]
    latest_version_unstable: bool


class Release(NamedTuple):
    """What one release has: APIs by key, metadata records by name."""

    apis: dict[int, Api]
    records: dict[str, Versions]


def load_releases(path: Path) -> dict[str, Release]:
    """Every release; SchemaError for anything this reader does not know."""
    raw = json.loads(path.read_text("utf-8"))
    return {name: _release(name, facts) for name, facts in raw.items()}


def _release(name: str, facts: Mapping[str, Mapping[str, object]]) -> Release:
    if set(facts) != {"apis", "records"}:
        raise SchemaError(f"releases.json: {name}: unknown or missing key in {sorted(facts)}")
    apis = {}
    for key, api in facts["apis"].items():
        if not isinstance(api, Mapping) or not set(api) <= _API_KEYS:
            raise SchemaError(f"releases.json: {name}: API {key}: unknown key in {api!r}")
        listeners = tuple(api["listeners"])
        if not set(listeners) <= set(LISTENERS):
            raise SchemaError(f"releases.json: {name}: API {key}: unknown listener in {listeners}")
        apis[int(key)] = Api(parse_versions(api["versions"]), listeners, bool(api.get("latestVersionUnstable", False)))
    return Release(apis, {record: parse_versions(str(versions)) for record, versions in facts["records"].items()})


def releases_text(releases: Mapping[str, Release]) -> str:
    """The file of the releases: one API a line."""
    blocks = []
    for name, release in releases.items():
        lines = []
        for key, api in sorted(release.apis.items()):
            facts: dict[str, object] = {"versions": str(api.versions), "listeners": list(api.listeners)}
            if api.latest_version_unstable:
                facts["latestVersionUnstable"] = True
            lines.append(f'   "{key}": {json.dumps(facts)}')
        records = [f'   "{record}": "{versions}"' for record, versions in sorted(release.records.items())]
        blocks.append(
            f' "{name}": {{\n  "apis": {{\n'
            + ",\n".join(lines)
            + '\n  },\n  "records": {\n'
            + ",\n".join(records)
            + "\n  }\n }"
        )
    return "{\n" + ",\n".join(blocks) + "\n}\n"
