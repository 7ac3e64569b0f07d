"""ZooKeeper's own access lists, and which one Kafka puts on which znode.

Not to be confused with Kafka's ACLs, which are data in znodes (`znodes.AclEntry`).
"""

from typing import Final

import msgspec

PERM_READ: Final = 1
PERM_WRITE: Final = 2
PERM_CREATE: Final = 4
PERM_DELETE: Final = 8
PERM_ADMIN: Final = 16
PERM_ALL: Final = 31


class ZkAcl(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One entry of a znode's access list: who (`scheme`, `id`) may do what (`perms`, bits of PERM_*)."""

    scheme: str
    id: str
    perms: int


ZkAcls = tuple[ZkAcl, ...]

WORLD_ALL: Final[ZkAcls] = (ZkAcl("world", "anyone", PERM_ALL),)
"""Open to everyone: ZooKeeper's OPEN_ACL_UNSAFE."""

CREATOR_ALL: Final[ZkAcls] = (ZkAcl("auth", "", PERM_ALL),)
"""Only the authenticated creator; ZooKeeper replaces it by the connection's identities."""

CREATOR_ALL_WORLD_READ: Final[ZkAcls] = (*CREATOR_ALL, ZkAcl("world", "anyone", PERM_READ))

_ALWAYS_OPEN: Final = "/consumers"
_SENSITIVE_ROOTS: Final = ("/config/users", "/config/brokers", "/delegation_token/tokens")


def default_acls(path: str, *, set_acl: bool) -> ZkAcls:
    """The access list of a znode that is created at the full `path`; `set_acl` is `zookeeper.set.acl`.

    Source: core kafka.zk.ZkData.defaultAcls. Always ask with the full path: with a part of it
    (an entity's name) secrets under /config/users would come out readable by the world.
    """
    if not set_acl or path == _ALWAYS_OPEN:
        return WORLD_ALL
    if path.startswith(_SENSITIVE_ROOTS):
        return CREATOR_ALL
    return CREATOR_ALL_WORLD_READ
