"""CreateAcls, DeleteAcls, DescribeAcls: codes, filters, and the records that are written."""

from __future__ import annotations

from typing import Any

import pytest

from pykraft.controller.acls import (
    check_create_acls_body,
    check_delete_acls_body,
    check_describe_acls_body,
    create_acls,
    delete_acls,
    describe_acls,
)
from pykraft.controller.errors import ApiError
from pykraft.image.model import Acl
from pykraft.protocol.errors import DecodeError, ErrorCode
from pykraft.protocol.messages.create_acls_request import AclCreation, CreateAclsRequestData
from pykraft.protocol.messages.delete_acls_request import DeleteAclsFilter, DeleteAclsRequestData
from pykraft.protocol.messages.describe_acls_request import DescribeAclsRequestData
from tests.controller.cluster import Cluster

AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
NONE, BAD_REQUEST, SERVER_ERROR = ErrorCode.NONE, ErrorCode.INVALID_REQUEST, ErrorCode.UNKNOWN_SERVER_ERROR
LITERAL, PREFIXED, MATCH, ANY = 3, 4, 2, 1


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(authorizer_class_name=AUTHORIZER)


def acl(name: str = "t", **fields: Any) -> AclCreation:
    values: dict[str, Any] = {
        "resource_type": 2,
        "resource_pattern_type": LITERAL,
        "principal": "User:a",
        "host": "*",
        "operation": 3,
        "permission_type": 3,
    }
    return AclCreation(resource_name=name, **(values | fields))


def create(cluster: Cluster, *creations: AclCreation) -> list[ErrorCode]:
    request = CreateAclsRequestData(list(creations))
    return [ErrorCode(result.error_code) for result in cluster.run(lambda ctx: create_acls(ctx, request)).results]


def one_filter(name: str | None = None, **fields: Any) -> DeleteAclsFilter:
    values: dict[str, Any] = {
        "resource_type_filter": ANY,
        "pattern_type_filter": ANY,
        "principal_filter": None,
        "host_filter": None,
        "operation": ANY,
        "permission_type": ANY,
    }
    return DeleteAclsFilter(resource_name_filter=name, **(values | fields))


def delete(cluster: Cluster, *filters: DeleteAclsFilter) -> list[tuple[ErrorCode, list[str]]]:
    request = DeleteAclsRequestData(list(filters))
    response = cluster.run(lambda ctx: delete_acls(ctx, request))
    return [
        (ErrorCode(result.error_code), sorted(found.resource_name for found in result.matching_acls))
        for result in response.filter_results
    ]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, NONE),
        ({"resource_type": 7}, NONE),
        ({"resource_type": 8}, BAD_REQUEST),
        ({"resource_type": 4}, BAD_REQUEST),
        ({"resource_type": 4, "name": "kafka-cluster"}, NONE),
        ({"resource_type": 4, "name": ""}, BAD_REQUEST),
        ({"name": ""}, BAD_REQUEST),
        ({"resource_pattern_type": PREFIXED}, NONE),
        ({"resource_pattern_type": 5}, BAD_REQUEST),
        ({"operation": 2}, NONE),
        ({"operation": 14}, NONE),
        ({"operation": 15}, BAD_REQUEST),
        ({"operation": -1}, BAD_REQUEST),
        ({"permission_type": 2}, NONE),
        ({"permission_type": 4}, BAD_REQUEST),
        ({"principal": "a"}, BAD_REQUEST),
        ({"principal": ""}, BAD_REQUEST),
        ({"principal": ":"}, NONE),
        ({"host": ""}, NONE),
    ],
)
def test_which_acls_can_be_created(cluster: Cluster, fields: dict[str, Any], code: ErrorCode) -> None:
    assert create(cluster, acl(**fields), acl("other")) == [code, NONE]
    assert len(cluster.image.acls) == (2 if code is NONE else 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"resource_type": ANY},
        {"operation": ANY},
        {"permission_type": ANY},
        {"resource_pattern_type": ANY},
        {"resource_pattern_type": MATCH},
    ],
)
def test_codes_of_filters_spoil_the_whole_request(cluster: Cluster, fields: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        create(cluster, acl("other"), acl(**fields))
    assert refused.value.code is SERVER_ERROR


def test_an_acl_is_written_once(cluster: Cluster) -> None:
    assert create(cluster, acl(), acl(), acl("u")) == [NONE] * 3
    assert len(cluster.messages) == 2
    assert create(cluster, acl()) == [NONE]
    assert cluster.messages == []
    assert list(cluster.image.acls.values()) == [
        Acl(2, "t", LITERAL, "User:a", "*", 3, 3),
        Acl(2, "u", LITERAL, "User:a", "*", 3, 3),
    ]


@pytest.fixture
def stocked(cluster: Cluster) -> Cluster:
    create(
        cluster,
        acl("t"),
        acl("t-", resource_pattern_type=PREFIXED),
        acl("*"),
        acl("g", resource_type=3),
        acl("h", host="h"),
        acl("p", principal="User:p"),
        acl("o", operation=4),
        acl("d", permission_type=2),
    )
    return cluster


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["*", "d", "g", "h", "o", "p", "t", "t-"]),
    ({"name": "t"}, ["t"]),
    ({"name": "t", "pattern_type_filter": PREFIXED}, []),
    ({"name": "t-", "pattern_type_filter": PREFIXED}, ["t-"]),
    ({"name": "t-1", "pattern_type_filter": MATCH}, ["*", "t-"]),
    ({"name": "t", "pattern_type_filter": MATCH}, ["*", "t"]),
    ({"pattern_type_filter": MATCH, "resource_type_filter": 3}, ["g"]),
    ({"name": "*"}, ["*"]),
    ({"pattern_type_filter": PREFIXED}, ["t-"]),
    ({"host_filter": "h"}, ["h"]),
    ({"principal_filter": "User:p"}, ["p"]),
    ({"operation": 4}, ["o"]),
    ({"permission_type": 2}, ["d"]),
    ({"permission_type": 3, "resource_type_filter": 3}, ["g"]),
    ({"operation": 14}, []),
    ({"name": ""}, []),
]


@pytest.mark.parametrize(("fields", "names"), FILTERS)
def test_filters(stocked: Cluster, fields: dict[str, Any], names: list[str]) -> None:
    wanted = one_filter(**fields)
    request = DescribeAclsRequestData(
        wanted.resource_type_filter,
        wanted.resource_name_filter,
        wanted.pattern_type_filter,
        wanted.principal_filter,
        wanted.host_filter,
        wanted.operation,
        wanted.permission_type,
    )
    described = describe_acls(stocked.image, stocked.config, request)
    assert sorted(resource.resource_name for resource in described.resources) == names
    assert delete(stocked, wanted) == [(NONE, names)]
    assert len(stocked.image.acls) == 8 - len(names)


@pytest.mark.parametrize(
    "fields",
    [
        {"resource_type_filter": 8},
        {"pattern_type_filter": 5},
        {"operation": 15},
        {"permission_type": 4},
    ],
)
def test_unknown_codes_of_filters(stocked: Cluster, fields: dict[str, Any]) -> None:
    assert delete(stocked, one_filter(**fields), one_filter("t")) == [(BAD_REQUEST, []), (NONE, ["t"])]
    wanted = one_filter(**fields)
    request = DescribeAclsRequestData(
        wanted.resource_type_filter,
        None,
        wanted.pattern_type_filter,
        None,
        None,
        wanted.operation,
        wanted.permission_type,
    )
    assert describe_acls(stocked.image, stocked.config, request).resources == []


def test_filters_that_overlap_both_answer(stocked: Cluster) -> None:
    both = one_filter("t", pattern_type_filter=MATCH)
    assert delete(stocked, one_filter("t"), both) == [(NONE, ["t"]), (NONE, ["*", "t"])]
    assert len(stocked.messages) == 2


def test_acls_of_a_resource_are_described_together(cluster: Cluster) -> None:
    create(cluster, acl("t"), acl("t", operation=4), acl("t", resource_pattern_type=PREFIXED))
    request = DescribeAclsRequestData(ANY, None, ANY, None, None, ANY, ANY)
    described = describe_acls(cluster.image, cluster.config, request)
    assert [(found.pattern_type, [entry.operation for entry in found.acls]) for found in described.resources] == [
        (LITERAL, [3, 4]),
        (PREFIXED, [3]),
    ]


def test_without_an_authorizer_there_are_no_acls() -> None:
    bare = Cluster()
    for attempt in (
        lambda: create(bare, acl(operation=ANY)),
        lambda: delete(bare, one_filter()),
        lambda: describe_acls(bare.image, bare.config, DescribeAclsRequestData()),
    ):
        with pytest.raises(ApiError) as refused:
            attempt()
        assert refused.value.code is ErrorCode.SECURITY_DISABLED


def test_too_many_records_are_refused_as_a_whole(cluster: Cluster) -> None:
    creations = [acl(f"t{number}") for number in range(10_001)]
    with pytest.raises(ApiError) as refused:
        create(cluster, *creations)
    assert refused.value.code is ErrorCode.POLICY_VIOLATION
    create(cluster, *creations[1:])
    create(cluster, acl("one more"))
    with pytest.raises(ApiError) as refused:
        delete(cluster, one_filter())
    assert refused.value.code is ErrorCode.POLICY_VIOLATION


@pytest.mark.parametrize("field", ["resource_type", "resource_pattern_type", "operation", "permission_type"])
def test_acls_that_kafka_does_not_parse(field: str) -> None:
    unknown = acl()
    setattr(unknown, field, 77)
    check_create_acls_body(CreateAclsRequestData([unknown]))
    setattr(unknown, field, 0)
    with pytest.raises(DecodeError):
        check_create_acls_body(CreateAclsRequestData([acl(), unknown]))


@pytest.mark.parametrize("field", ["resource_type_filter", "pattern_type_filter", "operation", "permission_type"])
def test_filters_that_kafka_does_not_parse(field: str) -> None:
    unknown, describe = one_filter(), DescribeAclsRequestData(ANY, None, ANY, None, None, ANY, ANY)
    for value in (77, 0):
        setattr(unknown, field, value)
        setattr(describe, field, value)
        if value:
            check_delete_acls_body(DeleteAclsRequestData([unknown]), 3)
            check_describe_acls_body(describe, 3)
    with pytest.raises(DecodeError):
        check_delete_acls_body(DeleteAclsRequestData([one_filter(), unknown]), 3)
    with pytest.raises(DecodeError):
        check_describe_acls_body(describe, 3)


def test_version_0_knows_no_pattern_types() -> None:
    request = DeleteAclsRequestData([one_filter(), one_filter(pattern_type_filter=LITERAL)])
    check_delete_acls_body(request, 0)
    assert [wanted.pattern_type_filter for wanted in request.filters] == [LITERAL, LITERAL]
    with pytest.raises(DecodeError):
        check_delete_acls_body(DeleteAclsRequestData([one_filter(pattern_type_filter=PREFIXED)]), 0)
    describe = DescribeAclsRequestData(ANY, None, ANY, None, None, ANY, ANY)
    check_describe_acls_body(describe, 1)
    assert describe.pattern_type_filter == ANY
    check_describe_acls_body(describe, 0)
    assert describe.pattern_type_filter == LITERAL
