"""Contents of the znodes that hold Kafka's ACLs and delegation tokens, and of their change notifications.

Source: server org.apache.kafka.security.authorizer.AclEntry, core kafka.zk.ZkAclStore,
core kafka.server.DelegationTokenManagerZk.
"""

import enum
from collections.abc import Iterable
from typing import Final, Self

import msgspec

from pykraft.zookeeper import paths
from pykraft.zookeeper.paths import PatternType
from pykraft.zookeeper.znodes import ZnodeError, decode_json, decode_text, encode_json


class _NamedCode(enum.IntEnum):
    """A code of Kafka's with the two spellings ZooKeeper knows: `TransactionalId` and `TRANSACTIONAL_ID`."""

    @property
    def znode_name(self) -> str:
        """Pascal case, as in paths and in the JSON of entries."""
        return self.name.title().replace("_", "")

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Read either spelling, whatever its case. Raises ValueError for another."""
        wanted = name.replace("_", "").upper()
        for member in cls:
            if wanted == member.name.replace("_", ""):
                return member
        raise ValueError(f"{name!r} is not one of {', '.join(m.znode_name for m in cls)}")


class ResourceType(_NamedCode):
    """Kafka's resource types that can have ACLs; values are Kafka's codes."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class Operation(_NamedCode):
    """Kafka's ACL operations; values are Kafka's codes."""

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


class PermissionType(_NamedCode):
    """Kafka's ACL permissions; values are Kafka's codes."""

    DENY = 2
    ALLOW = 3


class AclEntry(msgspec.Struct, frozen=True):
    """One access rule of a resource: `principal` (`User:alice`) from `host` (`*` is any)."""

    principal: str
    host: str
    operation: Operation
    permission_type: PermissionType


class _Entry(msgspec.Struct, rename="camel"):
    principal: str
    permission_type: str
    operation: str
    host: str


class _Entries(msgspec.Struct):
    version: int
    acls: list[_Entry]


def _principal(text: str) -> str:
    if ":" not in text:
        raise ValueError(f"principal {text!r} is not of the form Type:name")
    return text


_entries = msgspec.json.Decoder(_Entries)
_ACL_REMEDY: Final = "correct it with kafka-acls on a ZooKeeper-mode broker, or delete it to drop its rules"


def decode_acl_entries(path: str, data: bytes | None) -> list[AclEntry]:
    """Rules of the resource whose znode is at `path`; a znode without data has none."""
    if not data:
        return []
    value = decode_json(_entries, path, data, _ACL_REMEDY)
    if value.version != 1:
        raise ZnodeError(path, f"has version {value.version}, only 1 is known", _ACL_REMEDY)
    try:
        return [
            AclEntry(
                _principal(entry.principal),
                entry.host,
                Operation.from_name(entry.operation),
                PermissionType.from_name(entry.permission_type),
            )
            for entry in value.acls
        ]
    except ValueError as error:
        raise ZnodeError(path, f"has a rule that cannot be read ({error})", _ACL_REMEDY) from None


def encode_acl_entries(entries: Iterable[AclEntry]) -> bytes:
    acls = [
        {
            "principal": entry.principal,
            "permissionType": entry.permission_type.znode_name,
            "operation": entry.operation.znode_name,
            "host": entry.host,
        }
        for entry in entries
    ]
    return encode_json({"version": 1, "acls": acls})


class AclResource(msgspec.Struct, frozen=True, order=True):
    """A resource pattern that rules are attached to."""

    resource_type: ResourceType
    name: str
    pattern_type: PatternType

    @property
    def path(self) -> str:
        return paths.acl_resource(self.pattern_type, self.resource_type.znode_name, self.name)


class _AclChange(msgspec.Struct, rename="camel"):
    resource_type: str
    name: str
    pattern_type: str


_acl_change = msgspec.json.Decoder(_AclChange)
_CHANGE_REMEDY: Final = "delete it; it only tells brokers to read the rules of a resource again"


def decode_acl_change(path: str, data: bytes | None) -> AclResource:
    """Resource that the change notification at `path` (of either store) is about."""
    try:
        if path.startswith(paths.ACL_CHANGE_PREFIX_EXTENDED):
            value = decode_json(_acl_change, path, data, _CHANGE_REMEDY)
            pattern = PatternType[value.pattern_type.upper()]
            return AclResource(ResourceType.from_name(value.resource_type), value.name, pattern)
        resource_type, separator, name = decode_text(path, data).partition(":")
        if not separator:
            raise ZnodeError(path, f"holds {resource_type!r}, not TYPE:name", _CHANGE_REMEDY)
        return AclResource(ResourceType.from_name(resource_type), name, PatternType.LITERAL)
    except (KeyError, ValueError) as error:
        if isinstance(error, ZnodeError):
            raise
        raise ZnodeError(path, f"names no known resource ({error})", _CHANGE_REMEDY) from None


def encode_acl_change(resource: AclResource) -> bytes:
    """Text `TOPIC:name` for the literal store, JSON for the other."""
    if resource.pattern_type is PatternType.LITERAL:
        return f"{resource.resource_type.name}:{resource.name}".encode()
    return encode_json(
        {
            "version": 1,
            "resourceType": resource.resource_type.name,
            "name": resource.name,
            "patternType": resource.pattern_type.name,
        }
    )


class DelegationToken(msgspec.Struct, frozen=True, kw_only=True):
    """`/delegation_token/tokens/<id>`, JSON versions 1 to 3; no HMAC is stored.

    Principals are `Type:name`, unescaped; in tokens before version 3 the requester is the owner.
    """

    token_id: str
    owner: str
    token_requester: str
    renewers: list[str]
    issue_timestamp_ms: int
    max_timestamp_ms: int
    expiry_timestamp_ms: int


class _Token(msgspec.Struct, rename="camel"):
    version: int
    owner: str
    renewers: list[str]
    issue_timestamp: int
    max_timestamp: int
    token_id: str
    expiry_timestamp: int
    token_requester: str | None = None


_token = msgspec.json.Decoder(_Token)
_TOKEN_REMEDY: Final = "delete it; its owner has to ask for a new token"


def decode_delegation_token(token_id: str, data: bytes | None) -> DelegationToken | None:
    """None for a znode without data."""
    if not data:
        return None
    path = paths.delegation_token(token_id)
    value = decode_json(_token, path, data, _TOKEN_REMEDY)
    if not 1 <= value.version <= 3:
        raise ZnodeError(path, f"has version {value.version}, known are 1 to 3", _TOKEN_REMEDY)
    requester = value.owner if value.token_requester is None else value.token_requester
    try:
        # A broker that replays a principal of another form ends.
        owner, requester, *renewers = (
            _principal(paths.desanitize(name)) for name in (value.owner, requester, *value.renewers)
        )
    except ValueError as error:
        raise ZnodeError(path, f"cannot be used ({error})", _TOKEN_REMEDY) from None
    return DelegationToken(
        token_id=value.token_id,
        owner=owner,
        token_requester=requester,
        renewers=renewers,
        issue_timestamp_ms=value.issue_timestamp,
        max_timestamp_ms=value.max_timestamp,
        expiry_timestamp_ms=value.expiry_timestamp,
    )


def encode_delegation_token(token: DelegationToken) -> bytes:
    return encode_json(
        {
            "version": 3,
            "owner": paths.sanitize(token.owner),
            "tokenRequester": paths.sanitize(token.token_requester),
            "renewers": [paths.sanitize(renewer) for renewer in token.renewers],
            "issueTimestamp": token.issue_timestamp_ms,
            "maxTimestamp": token.max_timestamp_ms,
            "expiryTimestamp": token.expiry_timestamp_ms,
            "tokenId": token.token_id,
        }
    )
