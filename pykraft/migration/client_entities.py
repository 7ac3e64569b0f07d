"""Quotas and SCRAM credentials: from the image's entities to config znodes and back.

A user's znode holds the user's quotas and SCRAM credentials together; the default entity is the path element
`<default>` in ZooKeeper and the name None in the image.
Sources: core kafka.zk.migration.ZkConfigMigrationClient, server-common QuotaConfigs, clients ScramCredentialUtils.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable, Mapping
from typing import Final

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import QuotaEntity, ScramCredential, ScramKey
from pykraft.migration.zk_contents import is_znode_name
from pykraft.protocol.java_double import java_double
from pykraft.zookeeper import paths
from pykraft.zookeeper.znodes import ZnodeError

USER: Final = "user"
CLIENT_ID: Final = "client-id"
IP: Final = "ip"

SCRAM_MECHANISMS: Final = {1: "SCRAM-SHA-256", 2: "SCRAM-SHA-512"}
SCRAM_CODES: Final = {name: code for code, name in SCRAM_MECHANISMS.items()}

INTEGER_QUOTAS: Final = frozenset({"producer_byte_rate", "consumer_byte_rate", "connection_creation_rate"})
"""Quotas that ZooKeeper holds as integers (LONG and INT); the others are DOUBLE."""

INTEGER_TOLERANCE: Final = 1e-6

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[dDfF]?")


def entity_path(entity: QuotaEntity) -> str | None:
    """The znode of an entity's quotas; None for one that has no place in ZooKeeper (an empty name, ip and user)."""
    parts = dict(entity)
    for kind, name in entity:
        if name is not None and not is_znode_name(name if kind == IP else paths.sanitize(name)):
            return None
    kinds = frozenset(parts)
    if kinds == {USER}:
        return paths.user_config(parts[USER])
    if kinds == {USER, CLIENT_ID}:
        return paths.user_client_config(parts[USER], parts[CLIENT_ID])
    if kinds == {CLIENT_ID}:
        return paths.client_config(parts[CLIENT_ID])
    if kinds == {IP}:
        return paths.ip_config(parts[IP])
    return None


def path_entity(path: str) -> list[tuple[str, str | None]]:
    """The (type, name) pairs of the entity whose znode is at `path`, in Kafka's order: the user first."""
    elements = paths.config_entity_path(path).split("/")
    kinds = {"users": USER, "clients": CLIENT_ID, "ips": IP}
    return [(kinds[kind], paths.entity_name(name)) for kind, name in zip(elements[::2], elements[1::2], strict=True)]


def scram_text(credential: ScramCredential) -> str:
    """A credential as the value of its config. Source: ScramCredentialUtils."""
    salt, stored, server = (
        base64.b64encode(part).decode() for part in (credential.salt, credential.stored_key, credential.server_key)
    )
    return f"salt={salt},stored_key={stored},server_key={server},iterations={credential.iterations}"


def scram_credential(path: str, text: str) -> ScramCredential:
    """Read a credential of the user whose znode is at `path`. Raises ZnodeError."""
    try:
        parts = dict(part.split("=", 1) for part in text.split(","))
        if parts.keys() != {"salt", "stored_key", "server_key", "iterations"}:
            raise ValueError(f"its parts are {', '.join(parts)}")
        salt, stored, server = (
            base64.b64decode(parts[name], validate=True) for name in ("salt", "stored_key", "server_key")
        )
        return ScramCredential(salt, stored, server, int(parts["iterations"]))
    except (ValueError, binascii.Error) as error:
        raise ZnodeError(
            path, f"has a SCRAM credential that cannot be read ({error})", "set the user's password again"
        ) from None


def quota_value(path: str, key: str, text: str) -> float:
    """Read a quota of the entity whose znode is at `path`. Raises ZnodeError."""
    value = float(text.strip().rstrip("dDfF")) if _NUMBER.fullmatch(text.strip()) else math.nan
    if not math.isfinite(value):
        raise ZnodeError(path, f"has a quota {key} of {text!r}, not a number", "set it again or delete it")
    return value


def quota_text(key: str, value: float) -> str:
    """A quota as ZooKeeper holds it: an integer, or as Java prints a double."""
    return str(int(value + INTEGER_TOLERANCE)) if key in INTEGER_QUOTAS else java_double(value)


def properties(quotas: Mapping[str, float], credentials: Mapping[int, ScramCredential]) -> dict[str, str]:
    """The config of an entity: its quotas, and by mechanism code the credentials of a user."""
    result = {key: quota_text(key, value) for key, value in quotas.items()}
    for mechanism, credential in credentials.items():
        result[SCRAM_MECHANISMS[mechanism]] = scram_text(credential)
    return result


def same_properties(path: str, in_zookeeper: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether two configs of an entity mean the same, however their numbers are written."""
    if in_zookeeper.keys() != wanted.keys():
        return False
    try:
        return all(
            value == wanted[key]
            or (
                scram_credential(path, value) == scram_credential(path, wanted[key])
                if key in SCRAM_CODES
                else quota_value(path, key, value) == quota_value(path, key, wanted[key])
            )
            for key, value in in_zookeeper.items()
        )
    except ZnodeError:
        return False


def image_properties(image: MetadataImage) -> dict[str, dict[str, str]]:
    """The config of every entity of the image that has a place in ZooKeeper, by path."""
    return properties_of(image, image.client_quotas, {key.user for key in image.scram})


def properties_of(
    image: MetadataImage, entities: Iterable[QuotaEntity], users: Iterable[str]
) -> dict[str, dict[str, str]]:
    """The present config of these entities and users, by path; empty where nothing is left of one."""
    result: dict[str, dict[str, str]] = {}
    for entity in [*entities, *(((USER, user),) for user in users)]:
        path = entity_path(entity)
        if path is None or path in result:
            continue
        user = entity[0][1] if len(entity) == 1 and entity[0][0] == USER else None
        result[path] = properties(image.client_quotas.get(entity, {}), credentials_of(image, user))
    return result


def credentials_of(image: MetadataImage, user: str | None) -> dict[int, ScramCredential]:
    """A user's credentials by mechanism code."""
    if user is None:
        return {}
    found = {mechanism: image.scram.get(ScramKey(mechanism, user)) for mechanism in SCRAM_MECHANISMS}
    return {mechanism: credential for mechanism, credential in found.items() if credential is not None}
