"""ACL entries, their filters, and the codes in both."""

from __future__ import annotations

from pykraft.protocol.messages.create_acls_request import AclCreation
from pykraft.protocol.messages.delete_acls_request import DeleteAclsFilter
from pykraft.protocol.messages.describe_acls_request import DescribeAclsRequestData

ANY = 1
"""In a filter: whatever the resource type, pattern, operation or permission."""
TOPIC, CLUSTER, USER = 2, 4, 7
LITERAL, PREFIXED = 3, 4
ALL, READ, CREATE, DELETE, ALTER, DESCRIBE = 2, 3, 5, 6, 7, 8
CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, CREATE_TOKENS = 9, 10, 11, 13
DENY, ALLOW = 2, 3
CLUSTER_NAME = "kafka-cluster"


def entry(
    principal: str,
    operation: int,
    resource_type: int = TOPIC,
    name: str = CLUSTER_NAME,
    pattern: int = LITERAL,
    permission: int = ALLOW,
    host: str = "*",
) -> AclCreation:
    return AclCreation(
        resource_type=resource_type,
        resource_name=name,
        resource_pattern_type=pattern,
        principal=principal,
        host=host,
        operation=operation,
        permission_type=permission,
    )


def entry_filter(
    resource_type: int = ANY,
    name: str | None = None,
    pattern: int = ANY,
    principal: str | None = None,
    operation: int = ANY,
    permission: int = ANY,
) -> DeleteAclsFilter:
    """What to delete; without arguments everything."""
    return DeleteAclsFilter(
        resource_type_filter=resource_type,
        resource_name_filter=name,
        pattern_type_filter=pattern,
        principal_filter=principal,
        host_filter=None,
        operation=operation,
        permission_type=permission,
    )


def describe_entries(
    resource_type: int = ANY,
    name: str | None = None,
    pattern: int = ANY,
    principal: str | None = None,
    host: str | None = None,
    operation: int = ANY,
    permission: int = ANY,
) -> DescribeAclsRequestData:
    """What to describe; without arguments everything."""
    return DescribeAclsRequestData(
        resource_type_filter=resource_type,
        resource_name_filter=name,
        pattern_type_filter=pattern,
        principal_filter=principal,
        host_filter=host,
        operation=operation,
        permission_type=permission,
    )
