"""The file `meta.properties`: which cluster and node a data directory belongs to.

Kafka: `metadata/properties/MetaProperties.java`, `MetaPropertiesEnsemble.java`. Version 0 was written in
ZooKeeper mode and has `broker.id`, version 1 has `node.id`; unknown keys are ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pykraft.log.errors import LogStateError
from pykraft.log.files import replace_file
from pykraft.protocol.uuids import Uuid, uuid_from_text, uuid_to_text

FILE_NAME = "meta.properties"

# Lines that mean themselves; javaproperties, slow to import, is for files with escapes or other separators.
_PLAIN = re.compile(r"(?:[A-Za-z0-9_.-]+=[A-Za-z0-9_.+/-]*|[#!].*|)")


class ForeignDirectoryError(LogStateError):
    """The directory belongs to another cluster or another node."""


@dataclass(frozen=True, slots=True)
class MetaProperties:
    """What the file says; None for a key it does not have. `node_id` is `broker.id` in version 0."""

    cluster_id: str | None
    node_id: int | None
    directory_id: Uuid | None = None
    version: int = 1

    def check(self, directory: Path, *, cluster_id: str | None, node_id: int) -> None:
        """Raises `ForeignDirectoryError` unless the directory is the given node's.

        `cluster_id` None stands for whatever the file says. Version 0 passes too: a migrated broker or
        controller goes on with the directory it had.
        """
        path = directory / FILE_NAME
        if self.cluster_id is None:
            raise ForeignDirectoryError(path, "has no cluster.id: format the directory")
        if cluster_id is not None and self.cluster_id != cluster_id:
            reason = f"belongs to cluster {self.cluster_id}, this node is in cluster {cluster_id}: "
            raise ForeignDirectoryError(path, reason + "give the node another directory or the right cluster id")
        if self.node_id != node_id:
            owner = "no node" if self.node_id is None else f"node {self.node_id}"
            reason = f"belongs to {owner}, this is node {node_id}: "
            raise ForeignDirectoryError(path, reason + "give the node another directory or the right node.id")


def read_meta_properties(directory: Path) -> MetaProperties | None:
    """What the file in `directory` says; None when there is none. Raises `LogStateError`, OSError."""
    path = directory / FILE_NAME
    try:
        text = path.read_text(encoding="latin-1")
    except FileNotFoundError:
        return None
    found = _parse(path, text)
    version = _integer(path, found, "version") or 0
    if version not in (0, 1):
        raise LogStateError(path, f"has version {version}, 0 and 1 are known")
    directory_id = found.get("directory.id")
    try:
        uuid = None if directory_id is None else uuid_from_text(directory_id)
    except ValueError as error:
        raise LogStateError(path, f"has a bad directory.id: {error}") from error
    node_id = _integer(path, found, "node.id" if version else "broker.id")
    return MetaProperties(found.get("cluster.id"), node_id, uuid, version)


def write_meta_properties(directory: Path, properties: MetaProperties) -> None:
    """Replaces the file, on disk when this returns; OSError."""
    rows: list[tuple[str, str]] = [("version", str(properties.version))]
    if properties.cluster_id is not None:
        rows.append(("cluster.id", properties.cluster_id))
    if properties.node_id is not None:
        rows.append(("node.id" if properties.version else "broker.id", str(properties.node_id)))
    if properties.directory_id is not None:
        rows.append(("directory.id", uuid_to_text(properties.directory_id)))
    replace_file(directory / FILE_NAME, "".join(_line(key, value) for key, value in rows))


def _line(key: str, value: str) -> str:
    line = f"{key}={value}"
    if not _PLAIN.fullmatch(line):
        from javaproperties import join_key_value

        line = str(join_key_value(key, value))
    return line + "\n"


def _parse(path: Path, text: str) -> dict[str, str]:
    lines = text.splitlines()
    if all(_PLAIN.fullmatch(line) for line in lines):
        return dict(line.split("=", 1) for line in lines if line and line[0] not in "#!")
    from javaproperties import InvalidUEscapeError, loads

    try:
        return dict(loads(text))
    except InvalidUEscapeError as error:
        raise LogStateError(path, f"is not a properties file: {error}") from error


def _integer(path: Path, found: dict[str, str], key: str) -> int | None:
    value = found.get(key)
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        raise LogStateError(path, f"has {key}={value}, which is not a number") from None
