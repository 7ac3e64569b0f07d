"""The authorizer: the rules one by one, its index against a look at every entry, and what operations make of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykraft.controller.authorizer import (
    CLUSTER_NAME,
    AclOperation,
    AclPermission,
    AclResourceType,
    Authorizer,
    PatternType,
    host_text,
)
from pykraft.controller.config import STANDARD_AUTHORIZER, ConfigError, ControllerConfig
from pykraft.controller.config_description import describe_configs
from pykraft.controller.configs import alter_configs, incremental_alter_configs
from pykraft.controller.describe import describe_cluster
from pykraft.controller.errors import ApiError
from pykraft.controller.partitions import create_partitions
from pykraft.controller.result import Requester
from pykraft.controller.tokens import create_delegation_token
from pykraft.controller.topics import create_topics, delete_topics
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import Acl
from pykraft.image.records import access_control_entry_record
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import alter_configs_request as legacy
from pykraft.protocol.messages import incremental_alter_configs_request as incremental
from pykraft.protocol.messages.create_delegation_token_request import CreateDelegationTokenRequestData
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData, CreatePartitionsTopic
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData, DeleteTopicState
from pykraft.protocol.messages.describe_cluster_request import DescribeClusterRequestData
from pykraft.protocol.messages.describe_configs_request import DescribeConfigsRequestData, DescribeConfigsResource
from pykraft.protocol.records.remove_access_control_entry_record import RemoveAccessControlEntryRecord
from pykraft.protocol.uuids import ZERO_UUID
from tests.controller.cluster import Cluster

TOPIC, CLUSTER, USER = AclResourceType.TOPIC, AclResourceType.CLUSTER, AclResourceType.USER
LITERAL, PREFIXED = PatternType.LITERAL, PatternType.PREFIXED
ALLOW, DENY = AclPermission.ALLOW, AclPermission.DENY
Op = AclOperation
ALICE, HOST = "User:alice", "10.0.0.9"
REFUSED, CLUSTER_REFUSED = ErrorCode.TOPIC_AUTHORIZATION_FAILED, ErrorCode.CLUSTER_AUTHORIZATION_FAILED


def entry(
    operation: AclOperation = Op.WRITE,
    permission: AclPermission = ALLOW,
    name: str = "orders",
    pattern: PatternType = LITERAL,
    principal: str = ALICE,
    host: str = "*",
    resource_type: AclResourceType = TOPIC,
) -> Acl:
    return Acl(resource_type, name, pattern, principal, host, operation, permission)


def image_of(acls: Iterable[Acl]) -> MetadataImage:
    image = MetadataImage()
    for number, acl in enumerate(acls):
        add(image, number, acl)
    image.take_delta()
    return image


def add(image: MetadataImage, number: int, acl: Acl) -> None:
    image.apply(access_control_entry_record(acl_id(number), acl), image.offset + 1, 1)


def remove(image: MetadataImage, number: int) -> None:
    image.apply(RemoveAccessControlEntryRecord(id=acl_id(number)), image.offset + 1, 1)


def acl_id(number: int) -> bytes:
    return (number + 1).to_bytes(16, "big")


def config(**settings: Any) -> ControllerConfig:
    properties = {"authorizer.class.name": STANDARD_AUTHORIZER}
    return ControllerConfig.from_properties(
        properties | {key.replace("_", "."): str(value) for key, value in settings.items()}
    )


def authorizer(*acls: Acl, **settings: Any) -> Authorizer:
    made = Authorizer(config(**settings))
    made.load(image_of(acls))
    return made


# What alice, at HOST, may do to the topic "orders".
RULES: dict[str, tuple[list[Acl], AclOperation, bool]] = {
    "nothing known": ([], Op.WRITE, False),
    "allowed": ([entry()], Op.WRITE, True),
    "another operation": ([entry()], Op.READ, False),
    "another topic": ([entry(name="order")], Op.WRITE, False),
    "a topic that begins so": ([entry(name="orders2")], Op.WRITE, False),
    "another type of resource": ([entry(resource_type=AclResourceType.GROUP)], Op.WRITE, False),
    "another principal": ([entry(principal="User:bob")], Op.WRITE, False),
    "another type of principal": ([entry(principal="Group:alice")], Op.WRITE, False),
    "all users": ([entry(principal="User:*")], Op.WRITE, True),
    "all of another type": ([entry(principal="Group:*")], Op.WRITE, False),
    "the host": ([entry(host=HOST)], Op.WRITE, True),
    "another host": ([entry(host="10.0.0.8")], Op.WRITE, False),
    "every operation": ([entry(Op.ALL)], Op.CLUSTER_ACTION, True),
    "every topic": ([entry(name="*")], Op.WRITE, True),
    "prefix": ([entry(name="ord", pattern=PREFIXED)], Op.WRITE, True),
    "prefix that is the name": ([entry(name="orders", pattern=PREFIXED)], Op.WRITE, True),
    "prefix of another": ([entry(name="orx", pattern=PREFIXED)], Op.WRITE, False),
    "longer prefix": ([entry(name="orders2", pattern=PREFIXED)], Op.WRITE, False),
    "a prefix is no wildcard": ([entry(name="*", pattern=PREFIXED)], Op.WRITE, False),
    "denied": ([entry(permission=DENY)], Op.WRITE, False),
    "denied goes first": ([entry(), entry(permission=DENY, principal="User:*")], Op.WRITE, False),
    "denied by prefix": ([entry(), entry(Op.ALL, DENY, "o", PREFIXED)], Op.WRITE, False),
    "denied on all": ([entry(), entry(Op.ALL, DENY, "*")], Op.WRITE, False),
    "denied to another": ([entry(), entry(permission=DENY, principal="User:bob")], Op.WRITE, True),
    "denied from another host": ([entry(), entry(permission=DENY, host="10.0.0.8")], Op.WRITE, True),
    "denied another operation": ([entry(), entry(Op.READ, DENY)], Op.WRITE, True),
    **{
        f"{op.name} implies DESCRIBE": ([entry(op)], Op.DESCRIBE, True)
        for op in (Op.READ, Op.WRITE, Op.DELETE, Op.ALTER)
    },
    **{
        f"{op.name} does not imply DESCRIBE": ([entry(op)], Op.DESCRIBE, False)
        for op in (Op.CREATE, Op.ALTER_CONFIGS, Op.DESCRIBE_CONFIGS, Op.CLUSTER_ACTION)
    },
    "ALTER_CONFIGS implies DESCRIBE_CONFIGS": ([entry(Op.ALTER_CONFIGS)], Op.DESCRIBE_CONFIGS, True),
    "ALTER does not imply DESCRIBE_CONFIGS": ([entry(Op.ALTER)], Op.DESCRIBE_CONFIGS, False),
    "DESCRIBE implies nothing": ([entry(Op.DESCRIBE)], Op.READ, False),
    "denial implies nothing": ([entry(Op.DESCRIBE), entry(Op.WRITE, DENY)], Op.DESCRIBE, True),
    "denied what is implied": ([entry(Op.WRITE), entry(Op.DESCRIBE, DENY)], Op.DESCRIBE, False),
}


@pytest.mark.parametrize("rule", RULES)
def test_rule(rule: str) -> None:
    acls, operation, allowed = RULES[rule]
    for order in (acls, acls[::-1]):
        assert authorizer(*order).authorize(ALICE, HOST, operation, TOPIC, "orders") is allowed


@pytest.mark.parametrize(
    ("acl", "allowed"),
    [
        (None, True),
        (entry(principal="User:bob"), False),
        (entry(Op.READ, DENY), False),
        (entry(name="*", principal="User:bob"), False),
        (entry(name="o", pattern=PREFIXED, principal="User:bob"), False),
        (entry(name="payments", principal="User:bob"), True),
        (entry(resource_type=AclResourceType.GROUP, principal="User:bob"), True),
    ],
)
def test_everyone_is_allowed_where_there_are_no_entries(acl: Acl | None, allowed: bool) -> None:
    made = authorizer(*([] if acl is None else [acl]), allow_everyone_if_no_acl_found="TRUE")
    assert made.authorize(ALICE, HOST, Op.WRITE, TOPIC, "orders") is allowed


def test_super_users_may_do_anything() -> None:
    made = authorizer(entry(Op.ALL, DENY, "*", principal="User:*"), super_users=" User:root ;User:CN=a,OU=b;; ")
    for principal, allowed in (
        ("User:root", True),
        ("User:CN=a,OU=b", True),
        ("User:CN=a", False),
        ("Group:root", False),
        (ALICE, False),
    ):
        assert made.authorize(principal, HOST, Op.WRITE, TOPIC, "orders") is allowed


def test_without_a_class_everyone_may_do_anything() -> None:
    made = authorizer(entry(permission=DENY), authorizer_class_name="")
    assert made.authorize(ALICE, HOST, Op.WRITE, TOPIC, "orders")


@pytest.mark.parametrize(
    ("key", "text"), [("super_users", "User:a;root"), ("authorizer_class_name", "com.example.Authorizer")]
)
def test_settings_that_cannot_be_kept(key: str, text: str) -> None:
    with pytest.raises(ConfigError, match=r"give (it|that)"):
        config(**{key: text})


@pytest.mark.parametrize("text", ["false", "", "yes", "1"])
def test_only_true_allows_everyone(text: str) -> None:
    assert not authorizer(allow_everyone_if_no_acl_found=text).authorize(ALICE, HOST, Op.WRITE, TOPIC, "orders")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("10.0.0.9", "10.0.0.9"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("fd00::a:0:9", "fd00:0:0:0:0:a:0:9"),
        ("::ffff:10.0.0.9", "10.0.0.9"),
        ("fe80::1%eth0", "fe80:0:0:0:0:0:0:1%eth0"),
    ],
)
def test_hosts_are_those_of_java(address: str, text: str) -> None:
    assert host_text(address) == text
    assert authorizer(entry(host=text)).authorize(ALICE, address, Op.WRITE, TOPIC, "orders")


NAMES = st.sampled_from(["*", "a", "ab", "abc", "b", "a*"])
ENTRIES = st.builds(
    entry,
    st.sampled_from([Op.ALL, Op.READ, Op.DESCRIBE]),
    st.sampled_from([ALLOW, DENY]),
    NAMES,
    st.sampled_from([LITERAL, PREFIXED]),
    st.sampled_from([ALICE, "User:*", "User:bob"]),
    st.sampled_from(["*", HOST, "10.0.0.8"]),
    st.sampled_from([TOPIC, USER]),
)


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), ENTRIES | st.none()), max_size=6), max_size=6), st.booleans())
def test_the_index_follows_every_change(commits: list[list[tuple[int, Acl | None]]], default: bool) -> None:
    """Entries come, are replaced and go, several in a commit; each answer is that of a look at all entries."""
    image = MetadataImage()
    made = Authorizer(config(allow_everyone_if_no_acl_found=default))
    made.load(image)
    for commit in commits:
        for number, acl in commit:
            if acl is not None:
                add(image, number, acl)
            elif acl_id(number) in image.acls:
                remove(image, number)
        delta = image.take_delta()
        if delta is not None:
            made.update(image, delta)
        for name in ("", "*", "a", "ab", "abcd", "b", "a*"):
            expected = _decided(image.acls.values(), Op.READ, name, default)
            assert made.authorize(ALICE, HOST, Op.READ, TOPIC, name) is expected, name


def test_a_prefix_that_goes_leaves_others_of_its_length() -> None:
    image = image_of([entry(name="pay", pattern=PREFIXED), entry(name="ord", pattern=PREFIXED)])
    made = Authorizer(config())
    made.load(image)
    for number, allowed in ((0, True), (1, False)):
        remove(image, number)
        delta = image.take_delta()
        assert delta is not None
        made.update(image, delta)
        assert made.authorize(ALICE, HOST, Op.WRITE, TOPIC, "orders") is allowed


def _decided(acls: Iterable[Acl], operation: AclOperation, name: str, default: bool) -> bool:
    on_it = [
        acl
        for acl in acls
        if acl.resource_type == TOPIC
        and (acl.resource_name in (name, "*") if acl.pattern_type == LITERAL else name.startswith(acl.resource_name))
    ]
    hits = [
        acl
        for acl in on_it
        if acl.principal != "User:bob" and acl.host != "10.0.0.8" and acl.operation in (Op.ALL, operation)
    ]
    if any(acl.permission_type == DENY for acl in hits):
        return False
    return bool(hits) or (default and not on_it)


# -- what operations ask for, and what they say to those who may not ------------------------------------------------


class Rights:
    """An Authorize that knows a set of (operation, type, name), and remembers nothing else."""

    def __init__(self, *rights: tuple[AclOperation, AclResourceType, str]) -> None:
        self._rights = rights

    def __call__(self, operation: AclOperation, resource_type: AclResourceType, name: str) -> bool:
        return (operation, resource_type, name) in self._rights


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster(delegation_token_secret_key="secret")
    cluster.start(1)
    for name in ("seen", "owned", "hidden"):
        cluster.create(name, [1])
    return cluster


@pytest.mark.parametrize("right", [(Op.CREATE, TOPIC, "new"), (Op.CREATE, CLUSTER, CLUSTER_NAME)])
def test_create_topics(cluster: Cluster, right: tuple[AclOperation, AclResourceType, str]) -> None:
    names = ("new", "bad name", "twice", "twice", "__cluster_metadata")
    topics = [CreatableTopic(name=name, num_partitions=2, replication_factor=1) for name in names]
    request = CreateTopicsRequestData(topics=topics, validate_only=True)
    results = cluster.run(lambda ctx: create_topics(ctx, request, 7, Rights(right))).topics
    by_name = {topic.name: topic for topic in results}
    assert {name: topic.error_code for name, topic in by_name.items()} == {
        "new": 0,
        "bad name": REFUSED if right[1] is TOPIC else ErrorCode.INVALID_TOPIC_EXCEPTION,
        "twice": ErrorCode.INVALID_REQUEST,
        "__cluster_metadata": ErrorCode.INVALID_REQUEST,
    }
    new = by_name["new"]
    assert (new.topic_config_error_code, new.num_partitions, new.replication_factor) == (REFUSED, -1, -1)
    assert new.configs == []
    assert new.topic_id != ZERO_UUID


def test_create_topics_tells_those_who_may_describe_configs(cluster: Cluster) -> None:
    rights = Rights((Op.CREATE, TOPIC, "new"), (Op.DESCRIBE_CONFIGS, TOPIC, "new"))
    topic = CreatableTopic(name="new", num_partitions=2, replication_factor=1)
    request = CreateTopicsRequestData(topics=[topic])
    [new] = cluster.run(lambda ctx: create_topics(ctx, request, 7, rights)).topics
    assert (new.topic_config_error_code, new.num_partitions, new.replication_factor) == (0, 2, 1)
    assert new.configs


def test_delete_topics_hides_what_may_not_be_seen(cluster: Cluster) -> None:
    ids = {name: topic.id for name, topic in cluster.image.topics_by_name.items()}
    rights = Rights(
        (Op.DESCRIBE, TOPIC, "seen"),
        (Op.DESCRIBE, TOPIC, "owned"),
        (Op.DELETE, TOPIC, "owned"),
        (Op.DESCRIBE, TOPIC, "absent"),
    )
    unknown = bytes(15) + b"\x09"
    states = [DeleteTopicState(name=name) for name in ("owned", "seen", "hidden", "absent", "absent and hidden")]
    states += [DeleteTopicState(topic_id=topic_id) for topic_id in (ids["owned"], ids["seen"], ids["hidden"], unknown)]
    request = DeleteTopicsRequestData(topics=states)
    response = cluster.run(lambda ctx: delete_topics(ctx, request, 6, rights))
    assert sorted((r.name or "", r.topic_id, r.error_code) for r in response.responses) == sorted(
        [
            ("owned", ids["owned"], ErrorCode.INVALID_REQUEST),
            ("seen", ZERO_UUID, REFUSED),
            ("hidden", ZERO_UUID, REFUSED),
            ("absent and hidden", ZERO_UUID, REFUSED),
            ("absent", ZERO_UUID, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
            ("seen", ids["seen"], REFUSED),
            ("", ids["hidden"], REFUSED),
            ("", unknown, ErrorCode.UNKNOWN_TOPIC_ID),
        ]
    )
    assert cluster.messages == []


def test_delete_topics_with_the_right_to_delete_all(cluster: Cluster) -> None:
    request = DeleteTopicsRequestData(topics=[DeleteTopicState(name="hidden")])
    rights = Rights((Op.DELETE, CLUSTER, CLUSTER_NAME))
    [result] = cluster.run(lambda ctx: delete_topics(ctx, request, 6, rights)).responses
    assert result.error_code == 0


def test_create_partitions(cluster: Cluster) -> None:
    topics = [CreatePartitionsTopic(name=name, count=2, assignments=None) for name in ("owned", "seen", "absent")]
    request = CreatePartitionsRequestData(topics=topics)
    results = cluster.run(lambda ctx: create_partitions(ctx, request, Rights((Op.ALTER, TOPIC, "owned")))).results
    assert {r.name: r.error_code for r in results} == {"owned": 0, "seen": REFUSED, "absent": REFUSED}


RESOURCES = [(2, "owned"), (2, "seen"), (4, "1"), (4, ""), (16, "m"), (8, "3000"), (99, "x")]
TOPIC_RIGHTS = Rights((Op.ALTER_CONFIGS, TOPIC, "owned"), (Op.DESCRIBE_CONFIGS, TOPIC, "owned"))
CLUSTER_RIGHTS = Rights(
    *((op, CLUSTER, CLUSTER_NAME) for op in (Op.ALTER_CONFIGS, Op.DESCRIBE_CONFIGS, Op.CLUSTER_ACTION))
)
CONFIG_CODES = {
    TOPIC_RIGHTS: [0, REFUSED, CLUSTER_REFUSED, CLUSTER_REFUSED, CLUSTER_REFUSED, CLUSTER_REFUSED],
    CLUSTER_RIGHTS: [REFUSED, REFUSED, 0, 0, 0, 0],
}


@pytest.mark.parametrize("rights", CONFIG_CODES)
def test_alter_configs(cluster: Cluster, rights: Rights) -> None:
    expected = dict(zip(RESOURCES, [*CONFIG_CODES[rights], ErrorCode.UNSUPPORTED_VERSION], strict=True))
    changed = [incremental.AlterConfigsResource(resource_type=kind, resource_name=name) for kind, name in RESOURCES]
    request = incremental.IncrementalAlterConfigsRequestData(resources=changed)
    response = cluster.run(lambda ctx: incremental_alter_configs(ctx, request, rights))
    assert {(r.resource_type, r.resource_name): r.error_code for r in response.responses} == expected
    expected[8, "3000"] = ErrorCode.INVALID_REQUEST
    replaced = [legacy.AlterConfigsResource(resource_type=kind, resource_name=name) for kind, name in RESOURCES]
    old = legacy.AlterConfigsRequestData(resources=replaced)
    answers = cluster.run(lambda ctx: alter_configs(ctx, old, rights)).responses
    assert {(r.resource_type, r.resource_name): r.error_code for r in answers} == expected


@pytest.mark.parametrize("rights", CONFIG_CODES)
def test_describe_configs(cluster: Cluster, rights: Rights) -> None:
    described = [
        DescribeConfigsResource(resource_type=kind, resource_name="3000" if name == "1" else name)
        for kind, name in RESOURCES[:-1]
    ]
    request = DescribeConfigsRequestData(resources=described)
    results = describe_configs(cluster.image, cluster.config, request, rights).results
    assert [result.error_code for result in results] == CONFIG_CODES[rights]
    assert not any(result.configs for result in results if result.error_code)


def test_describe_cluster(cluster: Cluster) -> None:
    request = DescribeClusterRequestData(endpoint_type=2, include_cluster_authorized_operations=True)

    def operations(*allowed: AclOperation) -> int:
        rights = Rights(*((operation, CLUSTER, CLUSTER_NAME) for operation in allowed))
        return describe_cluster(cluster.image, "c", 1, "CONTROLLER", request, 1, rights).cluster_authorized_operations

    with pytest.raises(ApiError) as raised:
        operations(Op.DESCRIBE)
    assert raised.value.code is CLUSTER_REFUSED
    assert operations(Op.ALTER) == 0
    assert operations(Op.ALTER, Op.DESCRIBE, Op.READ) == 1 << Op.ALTER | 1 << Op.DESCRIBE
    assert describe_cluster(cluster.image, "c", 1, "CONTROLLER", request, 1).cluster_authorized_operations == 0x1FA0


@pytest.mark.parametrize(
    ("owner", "rights", "code"),
    [
        ("", Rights(), 0),
        ("User:alice", Rights(), 0),
        ("User:bob", Rights(), ErrorCode.DELEGATION_TOKEN_AUTHORIZATION_FAILED),
        ("Group:alice", Rights(), ErrorCode.DELEGATION_TOKEN_AUTHORIZATION_FAILED),
        ("User:bob", Rights((Op.CREATE_TOKENS, USER, "User:bob")), 0),
    ],
)
def test_tokens_of_others(cluster: Cluster, owner: str, rights: Rights, code: int) -> None:
    kind, _, name = owner.partition(":")
    request = CreateDelegationTokenRequestData(owner_principal_type=kind, owner_principal_name=name)
    requester = Requester(principal=ALICE, forwarded=True)
    response = cluster.run(lambda ctx: create_delegation_token(ctx, request, requester, 3, rights))
    assert response.error_code == code
    assert f"{response.principal_type}:{response.principal_name}" == (owner or ALICE)
    if code:
        assert {response.issue_timestamp_ms, response.expiry_timestamp_ms, response.max_timestamp_ms} == {-1}
        assert cluster.messages == []
