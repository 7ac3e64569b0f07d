"""The ZooKeeper trees of a real migration: before, after it, and after dual writes."""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent.parent / "data" / "zookeeper"
TREES = ("before", "after-migration", "after-dual-writes")


def tree_path(name: str) -> Path:
    return _FOLDER / f"zookeeper-{name}.json"


def tree(name: str) -> dict[str, Any]:
    """Path to {data (base64 or null), text, version, ephemeral, acl}."""
    content: dict[str, Any] = json.loads(tree_path(name).read_text())
    return content


def texts(name: str) -> dict[str, str]:
    """Path to text of each znode that has data."""
    return {path: node["text"] for path, node in tree(name).items() if node["text"] is not None}
