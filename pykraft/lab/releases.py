"""What each release of Kafka can take with it from ZooKeeper to KRaft, and what a run with it therefore leaves out.

Sources: KafkaConfig.scala (validateValues), MetadataVersion.java and docs/ops.html of each release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pykraft.lab import jars
from pykraft.lab.errors import LabError

METADATA_VERSIONS: Final = {
    "3.4": "3.4-IV0",
    "3.5": "3.5-IV2",
    "3.6": "3.6-IV2",
    "3.7": "3.7-IV4",
    "3.8": "3.8-IV0",
    "3.9": "3.9-IV0",
}
"""The newest metadata.version of each release whose brokers can migrate: their inter.broker.protocol.version."""

OLDEST_CONTROLLER: Final = "3.6"
"""Apache Kafka's own controllers before it lack metadata transactions and call the migration a preview."""

ACLS, SCRAM, TOKENS = "ACLs", "SCRAM users", "delegation tokens"

_LEFT_OUT: Final = {
    "3.4": {
        ACLS: "brokers of 3.4 refuse any authorizer while they migrate",
        SCRAM: "metadata.version 3.4-IV0 has no records for them",
        TOKENS: "metadata.version 3.4-IV0 has no records for them",
    },
    "3.5": {TOKENS: "metadata.version 3.5-IV2 has no records for them"},
}


def require_migratable(versions: Sequence[str], controller: str) -> None:
    """Raises LabError when brokers of one of these versions cannot be migrated, or not by that controller."""
    for version in versions:
        if jars.release(version) not in METADATA_VERSIONS:
            known = ", ".join(METADATA_VERSIONS)
            raise LabError(f"Kafka {version} cannot be migrated: take a release of {known}")
        if controller == "kafka" and _order(version) < _order(OLDEST_CONTROLLER):
            raise LabError(
                f"Apache Kafka's own controller of {version} is not run by the lab: take {OLDEST_CONTROLLER} or later"
            )


def newest(versions: Sequence[str]) -> str:
    """The version whose clients and controller know all the others."""
    return max(versions, key=_order)


def metadata_version(versions: Sequence[str]) -> str:
    """The newest metadata.version that brokers of all these versions have."""
    return METADATA_VERSIONS[jars.release(_oldest(versions))]


def left_out(versions: Sequence[str]) -> dict[str, str]:
    """What a run with brokers of these versions leaves out, each with the reason."""
    return dict(_LEFT_OUT.get(jars.release(_oldest(versions)), {}))


def _oldest(versions: Sequence[str]) -> str:
    return min(versions, key=_order)


def _order(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]
