"""CreateAcls, DeleteAcls and DescribeAcls.

Sources: core/.../AclApis.scala, metadata/.../controller/AclControlManager.java, clients/.../requests/
{Create,Delete,Describe}AclsRequest.java, clients/.../resource/ResourcePatternFilter.java,
clients/.../acl/AccessControlEntryFilter.java.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pykraft.controller.authorizer import (
    CLUSTER_NAME,
    WILDCARD,
    AclOperation,
    AclPermission,
    AclResourceType,
    PatternType,
)
from pykraft.controller.config import ControllerConfig
from pykraft.controller.errors import ApiError, check_record_limit
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import Acl
from pykraft.image.records import access_control_entry_record
from pykraft.protocol.errors import DecodeError, ErrorCode
from pykraft.protocol.messages.create_acls_request import AclCreation, CreateAclsRequestData
from pykraft.protocol.messages.create_acls_response import AclCreationResult, CreateAclsResponseData
from pykraft.protocol.messages.delete_acls_request import DeleteAclsFilter, DeleteAclsRequestData
from pykraft.protocol.messages.delete_acls_response import (
    DeleteAclsFilterResult,
    DeleteAclsMatchingAcl,
    DeleteAclsResponseData,
)
from pykraft.protocol.messages.describe_acls_request import DescribeAclsRequestData
from pykraft.protocol.messages.describe_acls_response import (
    AclDescription,
    DescribeAclsResource,
    DescribeAclsResponseData,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.remove_access_control_entry_record import RemoveAccessControlEntryRecord
from pykraft.protocol.uuids import Uuid, random_uuid

UNKNOWN: Final = 0
"""The code that stands for unknown in each of the enums below."""
ANY: Final = 1
"""The code that matches all in filters, in each of the enums below."""


_OPERATION_MAX: Final = max(AclOperation)
_PERMISSION_MAX: Final = max(AclPermission)


class _Filter(NamedTuple):
    """What ACLs a request names; None and ANY match all."""

    resource_type: int
    resource_name: str | None
    pattern_type: int
    principal: str | None
    host: str | None
    operation: int
    permission_type: int


def check_create_acls_body(request: CreateAclsRequestData) -> None:
    """Raises DecodeError for what Kafka refuses to parse: codes for unknown."""
    for index, acl in enumerate(request.creations):
        if UNKNOWN in (acl.resource_pattern_type, acl.resource_type, acl.permission_type, acl.operation):
            raise DecodeError(f"creations[{index}]", 0, "a resource, pattern, permission or operation is UNKNOWN")


def check_delete_acls_body(request: DeleteAclsRequestData, api_version: int) -> None:
    """Raises DecodeError for what Kafka refuses to parse: codes for unknown, other than literal patterns in v0.

    In v0, which knows no pattern types, ANY becomes LITERAL.
    """
    for index, entry in enumerate(request.filters):
        entry.pattern_type_filter = _pattern_type(f"filters[{index}]", entry.pattern_type_filter, api_version)
        if UNKNOWN in (entry.resource_type_filter, entry.operation, entry.permission_type):
            raise DecodeError(f"filters[{index}]", 0, "a resource, permission or operation is UNKNOWN")


def check_describe_acls_body(request: DescribeAclsRequestData, api_version: int) -> None:
    """Raises DecodeError for what Kafka refuses to parse; see `check_delete_acls_body`."""
    request.pattern_type_filter = _pattern_type("patternTypeFilter", request.pattern_type_filter, api_version)
    if UNKNOWN in (request.resource_type_filter, request.operation, request.permission_type):
        raise DecodeError("", 0, "a resource, permission or operation is UNKNOWN")


def _pattern_type(path: str, pattern_type: int, api_version: int) -> int:
    if pattern_type == UNKNOWN:
        raise DecodeError(path, 0, "the pattern type is UNKNOWN")
    if api_version > 0:
        return pattern_type
    if pattern_type not in (PatternType.ANY, PatternType.LITERAL):
        raise DecodeError(path, 0, f"version 0 has no pattern type {pattern_type}")
    return PatternType.LITERAL


def create_acls(ctx: OperationContext, request: CreateAclsRequestData) -> ControllerResult[CreateAclsResponseData]:
    """Create ACLs (v0 to v3). One that exists already is a success without a record.

    Raises ApiError SECURITY_DISABLED without an authorizer, UNKNOWN_SERVER_ERROR (as Kafka has it) when an ACL holds
    a code that only filters may have, POLICY_VIOLATION for too many records.
    """
    _check_authorizer(ctx.config)
    for creation in request.creations:
        _check_definite(creation)
    known = set(ctx.image.acls.values())
    results, records = [], []
    for creation in request.creations:
        problem = _problem(creation)
        if problem is not None:
            results.append(AclCreationResult(error_code=ErrorCode.INVALID_REQUEST, error_message=problem))
            continue
        results.append(AclCreationResult(error_message=None))
        acl = Acl(
            creation.resource_type,
            creation.resource_name,
            creation.resource_pattern_type,
            creation.principal,
            creation.host,
            creation.operation,
            creation.permission_type,
        )
        if acl not in known:
            known.add(acl)
            records.append(ApiMessageAndVersion(access_control_entry_record(random_uuid(ctx.rng), acl), 0))
    check_record_limit(records)
    return ControllerResult(CreateAclsResponseData(results=results), records, atomic=True)


def delete_acls(ctx: OperationContext, request: DeleteAclsRequestData) -> ControllerResult[DeleteAclsResponseData]:
    """Delete the ACLs that the filters match (v0 to v3); one that two filters match is in both results.

    Raises ApiError SECURITY_DISABLED without an authorizer, POLICY_VIOLATION for too many records.
    """
    _check_authorizer(ctx.config)
    results: list[DeleteAclsFilterResult] = []
    removed: dict[Uuid, None] = {}
    for entry in request.filters:
        acl_filter = _filter(entry)
        problem = _filter_problem(acl_filter)
        if problem is not None:
            results.append(DeleteAclsFilterResult(error_code=ErrorCode.INVALID_REQUEST, error_message=problem))
            continue
        matching = {acl_id: acl for acl_id, acl in ctx.image.acls.items() if _matches(acl_filter, acl)}
        removed |= dict.fromkeys(matching)
        results.append(
            DeleteAclsFilterResult(error_message=None, matching_acls=[_matching_acl(acl) for acl in matching.values()])
        )
    check_record_limit(removed)
    records = [ApiMessageAndVersion(RemoveAccessControlEntryRecord(id=acl_id), 0) for acl_id in removed]
    return ControllerResult(DeleteAclsResponseData(filter_results=results), records, atomic=True)


def describe_acls(
    image: MetadataImage, config: ControllerConfig, request: DescribeAclsRequestData
) -> DescribeAclsResponseData:
    """The ACLs that a filter matches, by resource (v0 to v3). Raises ApiError SECURITY_DISABLED."""
    _check_authorizer(config)
    acl_filter = _filter(request)
    resources: dict[tuple[int, str, int], DescribeAclsResource] = {}
    for acl in image.acls.values():
        if not _matches(acl_filter, acl):
            continue
        key = (acl.resource_type, acl.resource_name, acl.pattern_type)
        if key not in resources:
            resources[key] = DescribeAclsResource(
                resource_type=acl.resource_type, resource_name=acl.resource_name, pattern_type=acl.pattern_type
            )
        resources[key].acls.append(
            AclDescription(
                principal=acl.principal, host=acl.host, operation=acl.operation, permission_type=acl.permission_type
            )
        )
    return DescribeAclsResponseData(error_message=None, resources=list(resources.values()))


def _check_authorizer(config: ControllerConfig) -> None:
    if not config.authorizer_class_name:
        raise ApiError(
            ErrorCode.SECURITY_DISABLED,
            "No Authorizer is configured: set authorizer.class.name on the controllers and brokers",
        )


def _check_definite(creation: AclCreation) -> None:
    """An ACL cannot even be formed with codes that stand for more than one thing. Raises ApiError."""
    if ANY in (
        creation.resource_type,
        creation.operation,
        creation.permission_type,
    ) or creation.resource_pattern_type in (PatternType.ANY, PatternType.MATCH):
        raise ApiError(
            ErrorCode.UNKNOWN_SERVER_ERROR,
            f"The ACL of {creation.principal} on {creation.resource_name} has a code that only filters may have",
        )


def _problem(creation: AclCreation) -> str | None:
    """Why an ACL cannot be created, or None."""
    name = creation.resource_name
    if creation.resource_type == AclResourceType.CLUSTER and name != CLUSTER_NAME:
        return f"The only valid name for the CLUSTER resource is {CLUSTER_NAME}"
    if not name:
        return "Invalid empty resource name"
    if creation.resource_type not in AclResourceType.__members__.values():
        return f"Invalid resourceType {creation.resource_type}"
    if creation.resource_pattern_type not in (PatternType.LITERAL, PatternType.PREFIXED):
        return f"Invalid patternType {creation.resource_pattern_type}"
    if not ANY < creation.operation <= _OPERATION_MAX:
        return f"Invalid operation {creation.operation}"
    if not ANY < creation.permission_type <= _PERMISSION_MAX:
        return f"Invalid permissionType {creation.permission_type}"
    if ":" not in creation.principal:
        return f"Could not parse principal from {creation.principal!r}: give it as Type:name"
    return None


def _filter(request: DeleteAclsFilter | DescribeAclsRequestData) -> _Filter:
    return _Filter(
        request.resource_type_filter,
        request.resource_name_filter,
        request.pattern_type_filter,
        request.principal_filter,
        request.host_filter,
        request.operation,
        request.permission_type,
    )


def _filter_problem(acl_filter: _Filter) -> str | None:
    if (
        acl_filter.resource_type not in AclResourceType.__members__.values()
        or acl_filter.pattern_type not in PatternType.__members__.values()
    ):
        return "Unknown patternFilter."
    if not ANY <= acl_filter.operation <= _OPERATION_MAX or not ANY <= acl_filter.permission_type <= _PERMISSION_MAX:
        return "Unknown entryFilter."
    return None


def _matches(acl_filter: _Filter, acl: Acl) -> bool:
    return (
        acl_filter.resource_type in (ANY, acl.resource_type)
        and _matches_name(acl_filter, acl)
        and acl_filter.principal in (None, acl.principal)
        and acl_filter.host in (None, acl.host)
        and acl_filter.operation in (ANY, acl.operation)
        and acl_filter.permission_type in (ANY, acl.permission_type)
    )


def _matches_name(acl_filter: _Filter, acl: Acl) -> bool:
    """MATCH finds what would apply to a resource of that name; other types find patterns of that very name."""
    name, pattern_type = acl_filter.resource_name, acl_filter.pattern_type
    if pattern_type not in (PatternType.ANY, PatternType.MATCH, acl.pattern_type):
        return False
    if name is None or name == acl.resource_name:
        return True
    if pattern_type != PatternType.MATCH:
        return False
    if acl.pattern_type == PatternType.PREFIXED:
        return name.startswith(acl.resource_name)
    return acl.resource_name == WILDCARD


def _matching_acl(acl: Acl) -> DeleteAclsMatchingAcl:
    return DeleteAclsMatchingAcl(
        error_message=None,
        resource_type=acl.resource_type,
        resource_name=acl.resource_name,
        pattern_type=acl.pattern_type,
        principal=acl.principal,
        host=acl.host,
        operation=acl.operation,
        permission_type=acl.permission_type,
    )
