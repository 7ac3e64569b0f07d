"""Who may do what: the access control entries of the image, decided as StandardAuthorizer decides them.

Source: metadata/.../metadata/authorizer/StandardAuthorizerData.java, clients/.../acl/{AclOperation,AclPermissionType}
.java, clients/.../resource/{ResourceType,PatternType}.java (Kafka 3.9). Left out: the audit log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from ipaddress import IPv6Address
from typing import Final, TypeAlias

from pykraft.controller.config import ControllerConfig
from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import Acl
from pykraft.protocol.uuids import Uuid


class PatternType(IntEnum):
    UNKNOWN = 0
    ANY = 1
    MATCH = 2
    LITERAL = 3
    PREFIXED = 4


class AclResourceType(IntEnum):
    UNKNOWN = 0
    ANY = 1
    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class AclOperation(IntEnum):
    UNKNOWN = 0
    ANY = 1
    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12
    CREATE_TOKENS = 13
    DESCRIBE_TOKENS = 14


class AclPermission(IntEnum):
    UNKNOWN = 0
    ANY = 1
    DENY = 2
    ALLOW = 3


CLUSTER_NAME: Final = "kafka-cluster"
"""The name of the only resource of type CLUSTER."""
WILDCARD: Final = "*"
"""As a host or as the name of a literal pattern: any."""
WILDCARD_PRINCIPAL: Final = "User:*"

IMPLIED_BY: Final[Mapping[AclOperation, frozenset[int]]] = {
    AclOperation.DESCRIBE: frozenset(
        {
            AclOperation.READ,
            AclOperation.WRITE,
            AclOperation.DELETE,
            AclOperation.ALTER,
        }
    ),
    AclOperation.DESCRIBE_CONFIGS: frozenset({AclOperation.ALTER_CONFIGS}),
}
"""Whoever is allowed one of these operations is allowed the one they imply; denying them denies nothing else."""

Authorize: TypeAlias = Callable[[AclOperation, AclResourceType, str], bool]
"""Whether whoever sent the request at hand may do the operation on the resource of that type and name."""


def allow_all(operation: AclOperation, resource_type: AclResourceType, name: str) -> bool:
    """The Authorize of what needs no leave."""
    return True


class Authorizer:
    """The rules of StandardAuthorizer on the committed entries of the image.

    A super user may do anything. Otherwise, of the entries on patterns that match the resource: one that denies
    refuses, else one that allows permits, else it is refused; without any entry on the resource
    allow.everyone.if.no.acl.found decides. Without authorizer.class.name everything is permitted.
    """

    def __init__(self, config: ControllerConfig) -> None:
        self._is_configured = bool(config.authorizer_class_name)
        self._super_users = frozenset(config.super_users)
        self._allows_without_acls = config.allow_everyone_if_no_acl_found
        self._acls: dict[tuple[int, int, str], dict[Uuid, Acl]] = {}
        self._prefix_lengths: dict[int, Counter[int]] = {}

    def load(self, image: MetadataImage) -> None:
        """Take the entries of an image in place of those known."""
        self._acls, self._prefix_lengths = {}, {}
        for acl_id, acl in image.acls.items():
            self._add(acl_id, acl)

    def update(self, image: MetadataImage, delta: MetadataDelta) -> None:
        """Follow what a commit changed (a publisher of the writer)."""
        for acl_id, before in delta.acls.items():
            if before is not None:
                self._remove(acl_id, before)
            now = image.acls.get(acl_id)
            if now is not None:
                self._add(acl_id, now)

    def authorize(
        self, principal: str, host: str, operation: AclOperation, resource_type: AclResourceType, name: str
    ) -> bool:
        """Whether `principal` (`Type:name`), asking from the address `host`, may do this to a resource."""
        if not self._is_configured or principal in self._super_users:
            return True
        acls = list(self._on(resource_type, name))
        if not acls:
            return self._allows_without_acls
        host = host_text(host)
        permissions = {
            acl.permission_type
            for acl in acls
            if acl.principal in (principal, WILDCARD_PRINCIPAL)
            and acl.host in (host, WILDCARD)
            and _covers(acl, operation)
        }
        return permissions == {AclPermission.ALLOW}

    def _on(self, resource_type: int, name: str) -> Iterator[Acl]:
        """The entries of every pattern that matches a resource."""
        keys = [(resource_type, int(PatternType.LITERAL), each) for each in {name, WILDCARD}]
        keys += [
            (resource_type, int(PatternType.PREFIXED), name[:length])
            for length in self._prefix_lengths.get(resource_type, ())
            if length <= len(name)
        ]
        for key in keys:
            yield from self._acls.get(key, {}).values()

    def _add(self, acl_id: Uuid, acl: Acl) -> None:
        key = (acl.resource_type, acl.pattern_type, acl.resource_name)
        entries = self._acls.get(key)
        if entries is None:
            entries = self._acls[key] = {}
            if acl.pattern_type == PatternType.PREFIXED:
                lengths = self._prefix_lengths.setdefault(acl.resource_type, Counter())
                lengths[len(acl.resource_name)] += 1
        entries[acl_id] = acl

    def _remove(self, acl_id: Uuid, acl: Acl) -> None:
        key = (acl.resource_type, acl.pattern_type, acl.resource_name)
        entries = self._acls[key]
        del entries[acl_id]
        if entries:
            return
        del self._acls[key]
        if acl.pattern_type == PatternType.PREFIXED:
            lengths = self._prefix_lengths[acl.resource_type]
            lengths[len(acl.resource_name)] -= 1
            if not lengths[len(acl.resource_name)]:
                del lengths[len(acl.resource_name)]


def _covers(acl: Acl, operation: AclOperation) -> bool:
    if acl.operation in (operation, AclOperation.ALL):
        return True
    return acl.permission_type == AclPermission.ALLOW and acl.operation in IMPLIED_BY.get(operation, ())


def host_text(host: str) -> str:
    """An address as entries hold it, which is as Java prints it: all eight groups of IPv6, and mapped IPv4 as IPv4."""
    if ":" not in host:
        return host
    text, scope_separator, scope = host.partition("%")
    address = IPv6Address(text)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    groups = (address.packed[at : at + 2] for at in range(0, 16, 2))
    return ":".join(f"{int.from_bytes(group, 'big'):x}" for group in groups) + scope_separator + scope
