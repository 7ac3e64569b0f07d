"""Administrative requests that pykraft and Apache Kafka's controller must answer alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from pykraft.controller.releases import DEFAULT_RELEASE, SUPPORTED_FEATURES
from pykraft.controller.result import RECORDS_PER_USER_OPERATION_MAX
from pykraft.controller.topic_config_definitions import topic_configs
from pykraft.protocol._message import Message
from pykraft.protocol.messages import alter_configs_request as legacy
from pykraft.protocol.messages import incremental_alter_configs_request as incremental
from pykraft.protocol.messages.allocate_producer_ids_request import AllocateProducerIdsRequestData
from pykraft.protocol.messages.alter_client_quotas_request import (
    AlterClientQuotasRequestData,
    EntityData,
    EntryData,
    OpData,
)
from pykraft.protocol.messages.alter_user_scram_credentials_request import (
    AlterUserScramCredentialsRequestData,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature, Listener
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.protocol.messages.create_acls_request import AclCreation, CreateAclsRequestData
from pykraft.protocol.messages.create_delegation_token_request import (
    CreatableRenewers,
    CreateDelegationTokenRequestData,
)
from pykraft.protocol.messages.create_delegation_token_response import CreateDelegationTokenResponseData
from pykraft.protocol.messages.create_topics_request import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.delete_acls_request import DeleteAclsFilter, DeleteAclsRequestData
from pykraft.protocol.messages.describe_acls_request import DescribeAclsRequestData
from pykraft.protocol.messages.describe_cluster_request import DescribeClusterRequestData
from pykraft.protocol.messages.describe_configs_request import DescribeConfigsRequestData, DescribeConfigsResource
from pykraft.protocol.messages.expire_delegation_token_request import ExpireDelegationTokenRequestData
from pykraft.protocol.messages.renew_delegation_token_request import RenewDelegationTokenRequestData
from pykraft.protocol.messages.update_features_request import FeatureUpdateKey, UpdateFeaturesRequestData
from tests.kafka.comparison import LEFT_OUT

BROKER_ID = 5
CONTROLLER_ID = 1
TOPICS = ("t1", "t2")
REGISTRATION, CREATION = "registration", "creation of topics"

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3

Answers = Mapping[str, Message]
"""What one side answered so far, by the name of the case."""


@dataclass(frozen=True)
class Case:
    """A request, or what makes it from the earlier answers; `principal` sends it in an Envelope.

    With `through_broker` the broker is asked, which forwards it or answers itself. `left_out` are the fields of the
    answer that may differ. The request is put again `until` this holds of the answer.
    """

    name: str
    request: Message | Callable[[Answers], Message]
    version: int
    principal: str | None = None
    token_authenticated: bool = False
    through_broker: bool = False
    left_out: AbstractSet[str] = LEFT_OUT
    until: Callable[[Message], bool] | None = None

    def made(self, answers: Answers) -> Message:
        """The request itself."""
        return self.request if isinstance(self.request, Message) else self.request(answers)

    @property
    def is_of_the_process(self) -> bool:
        """Whether the answer tells a node's own start-up configs or loggers, which differ by process."""
        own_id = BROKER_ID if self.through_broker else CONTROLLER_ID
        return isinstance(self.request, DescribeConfigsRequestData) and any(
            resource.resource_type in (BROKER, BROKER_LOGGER)
            and resource.resource_name in (f"{own_id}", f"0{own_id}", f"+{own_id}")
            for resource in self.request.resources
        )


Change = tuple[str, int, str | None]


def _incremental(*resources: tuple[int, str, Sequence[Change]], validate_only: bool = False) -> Message:
    return incremental.IncrementalAlterConfigsRequestData(
        resources=[
            incremental.AlterConfigsResource(
                resource_type=resource_type,
                resource_name=name,
                configs=[
                    incremental.AlterableConfig(name=key, config_operation=operation, value=value)
                    for key, operation, value in changes
                ],
            )
            for resource_type, name, changes in resources
        ],
        validate_only=validate_only,
    )


def _legacy(*resources: tuple[int, str, Mapping[str, str | None]], validate_only: bool = False) -> Message:
    return legacy.AlterConfigsRequestData(
        resources=[
            legacy.AlterConfigsResource(
                resource_type=resource_type,
                resource_name=name,
                configs=[legacy.AlterableConfig(name=key, value=value) for key, value in configs.items()],
            )
            for resource_type, name, configs in resources
        ],
        validate_only=validate_only,
    )


def _describe(*resources: tuple[int, str], keys: list[str] | None = None, synonyms: bool = True) -> Message:
    return DescribeConfigsRequestData(
        resources=[
            DescribeConfigsResource(resource_type=resource_type, resource_name=name, configuration_keys=keys)
            for resource_type, name in resources
        ],
        include_synonyms=synonyms,
    )


VALUES = (
    "",
    " ",
    "x",
    "-3",
    "-2",
    "-1",
    "0",
    "1",
    "+1",
    " 7 ",
    "9",
    "10",
    "13",
    "14",
    "17",
    "18",
    "22",
    "23",
    "-131072",
    "-131073",
    "100000000",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "0.5",
    ".5",
    "1.5",
    "1e-5",
    "1d",
    "0x1",
    "NaN",
    "1_0",
    "true",
    " TRUE ",
    "False",
    "yes",
    "compact",
    "delete",
    "compact, delete",
    "compact,delete,",
    "Compact",
    "compact,",
    "*",
    "1:2,3:4",
    "1:2, 3:4 ,",
    "1:2,*",
    "1:-2",
    "gzip",
    "producer",
    "uncompressed",
    "none",
    "GZIP",
    "3.0",
    "3.0-IV1",
    "3.0-IV9",
    "3.9",
    "4.0",
    "4.0-IV1",
    "0.11",
    "0.11.0",
    "0.11.0.1",
    "2.8.2",
    "3.9-IV0.7",
    "0.8",
    "CreateTime",
    "LogAppendTime",
    "createtime",
)
"""Texts on both sides of every border of every topic config."""


def topic_value_cases() -> Iterator[Case]:
    """Every topic config with every value, checked but not set."""
    for name in (*topic_configs(DEFAULT_RELEASE), "no.such.config", ""):
        for value in VALUES:
            yield Case(f"{name}={value!r}", _incremental((TOPIC, "t1", [(name, SET, value)]), validate_only=True), 1)


def topic_combination_cases() -> Iterator[Case]:
    """Topic configs against each other and against the broker's defaults."""
    combinations: tuple[Mapping[str, str], ...] = (
        {"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "9"},
        {"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "10"},
        {"remote.storage.enable": "true"},
        {"remote.storage.enable": "true", "cleanup.policy": "compact"},
        {"remote.log.copy.disable": "true", "remote.log.delete.on.disable": "true"},
        {"local.retention.ms": "100", "retention.ms": "10"},
        {"local.retention.bytes": "100", "retention.bytes": "10"},
        {"segment.bytes": "x", "no.such.config": "1"},
    )
    for index, configs in enumerate(combinations):
        changes = [(name, SET, value) for name, value in configs.items()]
        yield Case(f"combination {index}", _incremental((TOPIC, "t1", changes), validate_only=True), 1)
        yield Case(f"legacy combination {index}", _legacy((TOPIC, "t1", configs), validate_only=True), 2)
        topic = CreatableTopic(
            name="new",
            num_partitions=1,
            replication_factor=1,
            configs=[CreatableTopicConfig(name=name, value=value) for name, value in configs.items()],
        )
        yield Case(f"create with {index}", CreateTopicsRequestData(topics=[topic], validate_only=True), 7)


RESOURCES = (
    (TOPIC, ""),
    (TOPIC, "."),
    (TOPIC, ".."),
    (TOPIC, "a b"),
    (TOPIC, "x" * 250),
    (TOPIC, "x" * 249),
    (TOPIC, "missing"),
    (TOPIC, "t1"),
    (TOPIC, "ü"),
    (BROKER, ""),
    (BROKER, "5"),
    (BROKER, "05"),
    (BROKER, "+5"),
    (BROKER, "1"),
    (BROKER, "6"),
    (BROKER, "-1"),
    (BROKER, "x"),
    (BROKER, "99999999999"),
    (BROKER_LOGGER, "1"),
    (BROKER_LOGGER, ""),
    (BROKER_LOGGER, "x"),
    (BROKER_LOGGER, "5"),
    (CLIENT_METRICS, ""),
    (CLIENT_METRICS, "m"),
    (GROUP, "g"),
    (0, "u"),
    (3, "u"),
    (64, "u"),
    (-1, "u"),
)


def resource_cases() -> Iterator[Case]:
    """Which resources may be altered and described."""
    for resource_type, name in RESOURCES:
        shown = f"{resource_type} {name[:9]!r} {len(name)}"
        resource = (resource_type, name)
        yield Case(f"incremental {shown}", _incremental((*resource, ()), validate_only=True), 1)
        yield Case(f"legacy {shown}", _legacy((*resource, {}), validate_only=True), 2)
        yield Case(f"describe {shown}", _describe(resource), 4)
    logger = [("no.such.logger", SET, "INFO")]
    yield Case("set logger", _incremental((BROKER_LOGGER, "1", logger)), 1)
    yield Case("append logger", _incremental((BROKER_LOGGER, "1", [("root", APPEND, "INFO")])), 1)
    yield Case("delete logger", _incremental((BROKER_LOGGER, "1", [("no.such.logger", DELETE, None)])), 1)
    yield Case("unknown and good", _describe((TOPIC, "t1"), (0, "u")), 4)
    twice = ((TOPIC, "t1", ()), (TOPIC, "t1", ()), (TOPIC, "t1", ()), (TOPIC, "t2", ()), (64, "u", ()), (64, "u", ()))
    yield Case("incremental twice", _incremental(*twice), 0)
    yield Case("legacy twice", _legacy((TOPIC, "t1", {}), (TOPIC, "t1", {}), (TOPIC, "t2", {})), 0)


def config_change_cases() -> Iterator[Case]:
    """Changes that are made, and what is described after them."""
    for index, resources in enumerate(CONFIG_CHANGES):
        yield Case(f"config change {index}", _incremental(*resources), index % 2)
        yield Case(f"topics after change {index}", _describe((TOPIC, "t1"), (TOPIC, "t2")), 4)
    for index, (resource_type, name, configs) in enumerate(LEGACY_CHANGES):
        yield Case(f"legacy change {index}", _legacy((resource_type, name, configs)), index % 3)
        yield Case(f"described after legacy change {index}", _describe((resource_type, name)), 4)
    for version in range(5):
        yield Case(f"describe v{version}", _describe((TOPIC, "t1"), (BROKER, ""), synonyms=version > 0), version)
    yield Case("describe keys", _describe((TOPIC, "t1"), keys=["retention.ms", "no.such.config"]), 4)
    yield Case("describe no keys", _describe((TOPIC, "t1"), keys=[], synonyms=False), 4)
    yield Case("describe own configs", _describe((BROKER, "1")), 4)
    yield Case("describe defaults", _describe((BROKER, "")), 4)
    topic = CreatableTopic(
        name="new",
        num_partitions=1,
        replication_factor=1,
        configs=[
            CreatableTopicConfig(name="cleanup.policy", value=" compact , delete"),
            CreatableTopicConfig(name="retention.ms", value=" 7 "),
        ],
    )
    for version in (5, 7):
        yield Case(f"create v{version}", CreateTopicsRequestData(topics=[topic], validate_only=True), version)
    bare = CreatableTopic(name="bare", num_partitions=1, replication_factor=1)
    yield Case("create without configs", CreateTopicsRequestData(topics=[bare], validate_only=True), 7)


CONFIG_CHANGES: tuple[Sequence[tuple[int, str, Sequence[Change]]], ...] = (
    [(TOPIC, "t1", [("retention.ms", SET, "1000"), ("cleanup.policy", APPEND, "compact")])],
    [(TOPIC, "t1", [("retention.ms", SET, "1000"), ("cleanup.policy", APPEND, "compact")])],
    [(TOPIC, "t1", [("cleanup.policy", SUBTRACT, "delete"), ("retention.ms", DELETE, None)])],
    [(TOPIC, "t1", [("cleanup.policy", SUBTRACT, "delete,compact")])],
    [(TOPIC, "t1", [("cleanup.policy", APPEND, "compact,,compact")])],
    [(TOPIC, "t1", [("cleanup.policy", APPEND, "bad")])],
    [(TOPIC, "t1", [("retention.ms", APPEND, "1")])],
    [(TOPIC, "t1", [("no.such.config", SUBTRACT, "1")])],
    [
        (TOPIC, "t1", [("leader.replication.throttled.replicas", APPEND, "0:1,0:2")]),
        (TOPIC, "t2", [("leader.replication.throttled.replicas", SET, "*")]),
    ],
    [
        (TOPIC, "t1", [("leader.replication.throttled.replicas", SUBTRACT, "0:1,9:9")]),
        (TOPIC, "missing", [("retention.ms", SET, "1")]),
        (TOPIC, "t2", [("retention.ms", SET, "bad")]),
    ],
    [(TOPIC, "t1", [("leader.replication.throttled.replicas", SUBTRACT, "0:2")])],
    [(TOPIC, "t1", [("retention.ms", SET, None), ("segment.bytes", DELETE, "5")])],
    [(TOPIC, "t1", [("retention.ms", SET, "1"), ("retention.ms", SET, "2")])],
    [(TOPIC, "t1", [("min.cleanable.dirty.ratio", SET, "1e-5"), ("max.message.bytes", SET, " 7 ")])],
    [(TOPIC, "t1", [("min.cleanable.dirty.ratio", SET, ".25"), ("message.format.version", SET, "2.8")])],
    [(BROKER, "", [("log.retention.ms", SET, "5000"), ("min.insync.replicas", SET, "1")])],
    [(BROKER, "1", [("log.retention.ms", SET, "6000"), ("log.cleaner.threads", SET, "2")])],
    [(BROKER, "1", [("log.retention.ms", DELETE, None), ("log.cleaner.threads", SET, "2")])],
    [(BROKER, "", [("num.partitions", SET, "9"), ("unknown.config", SET, "u"), ("max.connections", SET, "77")])],
    [(BROKER, "", [("log.cleanup.policy", APPEND, "compact"), ("metric.reporters", SUBTRACT, "x")])],
    [(BROKER, "", [("log.flush.interval.ms", SET, "333"), ("log.roll.ms", SET, "86400001")])],
    [(BROKER, "", [("num.io.threads", APPEND, "1")])],
    [(BROKER, "1", [("ssl.keystore.password", SET, "secret"), ("unknown.config", SET, "v")])],
    [(BROKER, "1", [("listener.name.controller.ssl.keystore.type", SET, "PKCS12")])],
    [(BROKER, "1", [("follower.replication.throttled.rate", SET, "1000")])],
    [(BROKER, "5", [("log.retention.ms", SET, "bad")])],
    [(BROKER, "", [("log.retention.ms", SET, "-1"), ("compression.type", SET, "zstd")])],
    [(CLIENT_METRICS, "m", [("interval.ms", SET, "100"), ("match", SET, "client_id=a.*")])],
    [(CLIENT_METRICS, "m", [("metrics", SET, "*")])],
    [(CLIENT_METRICS, "m", [("metrics", APPEND, "x")])],
    [(CLIENT_METRICS, "m", [("interval.ms", SET, "99")])],
    [(CLIENT_METRICS, "m", [("interval.ms", SET, "3600001")])],
    [(CLIENT_METRICS, "m", [("interval.ms", SET, "x")])],
    [(CLIENT_METRICS, "m", [("match", SET, "client_id")])],
    [(CLIENT_METRICS, "m", [("match", SET, "nobody=a")])],
    [(CLIENT_METRICS, "m", [("match", SET, "client_id=[")])],
    [(CLIENT_METRICS, "m", [("match", SET, "")])],
    [(CLIENT_METRICS, "m", [("match", SET, " client_id = a ,client_source_port=1=")])],
    [(CLIENT_METRICS, "m", [("no.such.config", SET, "1")])],
)
LEGACY_CHANGES: tuple[tuple[int, str, Mapping[str, str | None]], ...] = (
    (TOPIC, "t1", {"retention.ms": "5", "segment.bytes": "100"}),
    (TOPIC, "t1", {"retention.ms": "5", "segment.ms": "100"}),
    (TOPIC, "t1", {"retention.ms": None, "flush.ms": None}),
    (TOPIC, "t1", {"segment.ms": "0"}),
    (TOPIC, "t2", {}),
    (CLIENT_METRICS, "m", {"interval.ms": "200"}),
    (CLIENT_METRICS, "m", {}),
    (BROKER, "1", {"log.cleaner.threads": "2"}),
    (BROKER, "", {}),
)


def _quotas(
    *entries: tuple[Sequence[tuple[str, str | None]], Sequence[tuple[str, float | None]]], validate_only: bool = False
) -> Message:
    return AlterClientQuotasRequestData(
        entries=[
            EntryData(
                entity=[EntityData(entity_type=entity_type, entity_name=name) for entity_type, name in entity],
                ops=[OpData(key=key, value=value or 0.0, remove=value is None) for key, value in ops],
            )
            for entity, ops in entries
        ],
        validate_only=validate_only,
    )


def quota_cases() -> Iterator[Case]:
    """Entities, keys and values of quotas."""
    rate = [("producer_byte_rate", 1000.0)]
    entities: tuple[Sequence[tuple[str, str | None]], ...] = (
        [],
        [("user", "a")],
        [("user", None)],
        [("user", "")],
        [("client-id", "c")],
        [("client-id", None)],
        [("user", "a"), ("client-id", "c")],
        [("user", None), ("client-id", None)],
        [("ip", "10.0.0.1")],
        [("ip", None)],
        [("ip", "")],
        [("ip", "::1")],
        [("ip", "localhost")],
        [("ip", "no such host")],
        [("ip", "10.0.0.1"), ("user", "a")],
        [("group", "g")],
        [("group", "")],
        [("user", "a"), ("user", "b")],
    )
    for index, entity in enumerate(entities):
        yield Case(f"quota entity {index}", _quotas((entity, rate)), index % 2)
        ip_rate = [("connection_creation_rate", 5.0 + index)]
        yield Case(f"ip quota entity {index}", _quotas((entity, ip_rate)), index % 2)
    values = (0.0, -1.0, 1.0, 0.5, 1.0000001, 1.00001, 1e9, 3e9, 1e19, 9.3e18, float("nan"), float("inf"), 2.0**31)
    for key, entity in (
        ("producer_byte_rate", [("user", "v")]),
        ("consumer_byte_rate", [("user", "v")]),
        ("request_percentage", [("client-id", "v")]),
        ("controller_mutation_rate", [("user", None)]),
        ("connection_creation_rate", [("ip", "1.2.3.4")]),
        ("no_such_rate", [("user", "v")]),
        ("", [("user", "v")]),
    ):
        for value in values:
            yield Case(f"quota {key}={value}", _quotas((entity, [(key, value)])), 1)
        yield Case(f"quota {key} again", _quotas((entity, [(key, values[-1])])), 1)
        yield Case(f"quota {key} removed", _quotas((entity, [(key, None)])), 1)
        yield Case(f"quota {key} removed again", _quotas((entity, [(key, None)])), 0)
    yield Case("no quotas", _quotas(), 1)
    user: Sequence[tuple[str, str | None]] = [("user", "twice")]
    yield Case("key twice", _quotas((user, [*rate, *rate])), 1)
    yield Case("entity twice", _quotas((user, rate), (user, [("consumer_byte_rate", 5.0)])), 1)
    yield Case("entity three times", _quotas((user, []), (user, rate), (user, rate)), 1)
    yield Case("one bad", _quotas((user, [("consumer_byte_rate", 7.0), ("bad", 1.0)]), ([("user", "x")], rate)), 1)
    yield Case("validate quotas", _quotas(([("user", "unseen")], rate), validate_only=True), 1)
    yield Case("no ops", _quotas(([("user", "unseen")], [])), 1)


def _acl(
    resource_type: int = 2,
    name: str = "t1",
    pattern: int = 3,
    principal: str = "User:a",
    host: str = "*",
    operation: int = 3,
    permission: int = 3,
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


def _describe_acls(
    resource_type: int = 1,
    name: str | None = None,
    pattern: int = 1,
    principal: str | None = None,
    host: str | None = None,
    operation: int = 1,
    permission: int = 1,
) -> Message:
    return DescribeAclsRequestData(
        resource_type_filter=resource_type,
        resource_name_filter=name,
        pattern_type_filter=pattern,
        principal_filter=principal,
        host_filter=host,
        operation=operation,
        permission_type=permission,
    )


def acl_cases() -> Iterator[Case]:
    """ACLs: every code in and out of range, filters of every kind."""
    for code in range(16):
        for version in (1, 3):
            for field, acl in (
                ("type", _acl(resource_type=code)),
                ("pattern", _acl(pattern=code)),
                ("operation", _acl(operation=code)),
                ("permission", _acl(permission=code)),
            ):
                yield Case(f"acl {field} {code} v{version}", CreateAclsRequestData(creations=[acl]), version)
    two = CreateAclsRequestData(creations=[_acl(name="fine"), _acl(operation=1)])
    yield Case("good acl and one for filters", two, 3)
    odd = [
        _acl(name=""),
        _acl(resource_type=4, name="other"),
        _acl(resource_type=4, name="kafka-cluster"),
        _acl(resource_type=4, name=""),
        _acl(host=""),
        _acl(name="p", pattern=4),
        _acl(name="*"),
        _acl(name="p", pattern=4),
        _acl(name="prefix-", pattern=4),
        _acl(resource_type=7, name="User:x", operation=13),
        _acl(operation=77),
        _acl(resource_type=77),
        _acl(resource_type=77, name=""),
        _acl(permission=77),
        _acl(pattern=77),
    ]
    yield Case("odd acls", CreateAclsRequestData(creations=odd), 3)
    yield Case("odd acls again", CreateAclsRequestData(creations=odd), 2)
    for principal in ("nobody", ""):
        yield Case(f"acl of {principal!r}", CreateAclsRequestData(creations=[_acl(principal=principal)]), 3)
    yield Case("literal acls v0", CreateAclsRequestData(creations=[_acl(name="v0")]), 0)
    yield Case("no acls", CreateAclsRequestData(), 3)
    yield from _describe_acl_cases()
    filters = [
        DeleteAclsFilter(
            resource_type_filter=kind,
            resource_name_filter=name,
            pattern_type_filter=pattern,
            principal_filter=None,
            host_filter=None,
            operation=operation,
            permission_type=permission,
        )
        for kind, name, pattern, operation, permission in (
            (2, "v0", 3, 1, 1),
            (2, "v0", 1, 1, 1),
            (77, None, 1, 1, 1),
            (2, None, 77, 1, 1),
            (2, None, 1, 77, 1),
            (2, None, 1, 1, 77),
            (2, "pq", 2, 1, 1),
            (2, "missing", 3, 1, 1),
        )
    ]
    for index, one_filter in enumerate(filters):
        yield Case(f"delete acls {index}", DeleteAclsRequestData(filters=[one_filter]), index % 3 + 1)
    everything = DeleteAclsFilter(
        resource_type_filter=1,
        resource_name_filter=None,
        pattern_type_filter=1,
        principal_filter=None,
        host_filter=None,
        operation=1,
        permission_type=1,
    )
    yield Case("delete no acls", DeleteAclsRequestData(), 3)
    yield Case("delete literal acls v0", DeleteAclsRequestData(filters=[filters[0]]), 0)
    yield Case("delete all acls twice over", DeleteAclsRequestData(filters=[filters[2], everything, everything]), 3)
    yield Case("acls after deletion", _describe_acls(), 3)
    yield Case("broken acl", CreateAclsRequestData(creations=[_acl(), _acl(operation=0)]), 3)


def _describe_acl_cases() -> Iterator[Case]:
    for version in (1, 2, 3):
        yield Case(f"describe all acls v{version}", _describe_acls(), version)
    yield Case("describe literal acls v0", _describe_acls(resource_type=2, pattern=3), 0)
    for name in ("t1", "p", "prefix-x", "*", "", "missing", None):
        for pattern in (1, 2, 3, 4, 77):
            yield Case(f"describe acls {name} {pattern}", _describe_acls(name=name, pattern=pattern), 3)
    for code in (1, 2, 3, 4, 5, 77, 0):
        yield Case(f"describe acls of type {code}", _describe_acls(resource_type=code), 3)
        yield Case(f"describe acls of operation {code}", _describe_acls(operation=code), 3)
        yield Case(f"describe acls of permission {code}", _describe_acls(permission=code), 3)
    yield Case("describe acls of principal", _describe_acls(principal="User:a"), 3)
    yield Case("describe acls of host", _describe_acls(host=""), 3)


def _scram(
    deletions: Sequence[tuple[str, int]] = (),
    upsertions: Sequence[tuple[str, int, int]] = (),
    salted_password: bytes = b"salted password",
) -> Message:
    return AlterUserScramCredentialsRequestData(
        deletions=[ScramCredentialDeletion(name=name, mechanism=mechanism) for name, mechanism in deletions],
        upsertions=[
            ScramCredentialUpsertion(
                name=name, mechanism=mechanism, iterations=iterations, salt=b"salt", salted_password=salted_password
            )
            for name, mechanism, iterations in upsertions
        ],
    )


def scram_cases() -> Iterator[Case]:
    """Credentials: their checks, their order, and what is written."""
    yield Case("no credentials", _scram(), 0)
    for mechanism in range(-1, 4):
        for iterations in (-1, 0, 4095, 4096, 16384, 16385):
            name = f"scram {mechanism} {iterations}"
            yield Case(name, _scram(upsertions=[("a", mechanism, iterations)]), 0)
    yield Case("nameless scram", _scram(upsertions=[("", 9, 1)]), 0)
    yield Case("scram of two mechanisms", _scram(upsertions=[("a", 1, 4096), ("a", 2, 4096), ("b", 1, 4096)]), 0)
    yield Case("scram three times", _scram(upsertions=[("c", 1, 4096), ("c", 1, 4096), ("c", 1, 4096)]), 0)
    yield Case("bad scram then good", _scram(upsertions=[("d", 1, 1), ("d", 1, 4096)]), 0)
    yield Case("good scram then bad", _scram(upsertions=[("d", 1, 4096), ("d", 1, 1)]), 0)
    yield Case("delete scram", _scram([("a", 1), ("missing", 1), ("a2", 9), ("", 1)], [("b", 1, 5000)]), 0)
    yield Case("delete scram of the other mechanism", _scram([("b", 2)]), 0)
    yield Case("delete scram twice", _scram([("a", 2), ("a", 2)]), 0)
    yield Case("delete and set scram", _scram([("a", 2)], [("a", 2, 4096)]), 0)
    yield Case("delete missing and set scram", _scram([("e", 2)], [("e", 2, 4096)]), 0)
    yield Case("scram without password", _scram(upsertions=[("e", 2, 4096)], salted_password=b""), 0)


def _create_token(
    owner: tuple[str | None, str | None] = ("", ""), renewers: Sequence[tuple[str, str]] = (), lifetime_ms: int = -1
) -> Message:
    return CreateDelegationTokenRequestData(
        owner_principal_type=owner[0],
        owner_principal_name=owner[1],
        renewers=[CreatableRenewers(principal_type=kind, principal_name=name) for kind, name in renewers],
        max_lifetime_ms=lifetime_ms,
    )


def _hmac(answers: Answers, name: str) -> bytes:
    token = answers[name]
    assert isinstance(token, CreateDelegationTokenResponseData)
    return token.hmac


def _renew(name: str, period_ms: int) -> Callable[[Answers], Message]:
    return lambda answers: RenewDelegationTokenRequestData(hmac=_hmac(answers, name), renew_period_ms=period_ms)


def _expire(name: str, period_ms: int) -> Callable[[Answers], Message]:
    return lambda answers: ExpireDelegationTokenRequestData(hmac=_hmac(answers, name), expiry_time_period_ms=period_ms)


def token_cases() -> Iterator[Case]:
    """Delegation tokens; a negative expiry period ends one at once."""
    unknown = b"no such token"
    yield Case("token unforwarded", _create_token(), 3)
    yield Case("renew unforwarded", RenewDelegationTokenRequestData(hmac=unknown), 2)
    yield Case("expire unforwarded", ExpireDelegationTokenRequestData(hmac=unknown), 2)
    yield Case("token with token", _create_token(), 3, "User:a", token_authenticated=True)
    for version in range(4):
        yield Case(f"token v{version}", _create_token(renewers=[("User", "b")]), version, "User:a")
    yield Case("token of another owner", _create_token(("User", "z")), 3, "User:a")
    yield Case("token of null owner", _create_token((None, None)), 3, "User:a")
    yield Case("token of an owner without type", _create_token((None, "z")), 3, "User:a")
    yield Case("token with bad renewer", _create_token(renewers=[("User", "b"), ("Group", "b")]), 3, "User:a")
    for lifetime_ms in (0, 1, 5000, 86_400_000, 100_000_000, 1 << 62):
        yield Case(f"token for {lifetime_ms}", _create_token(lifetime_ms=lifetime_ms), 3, "User:a")
    for principal in ("User:a", "User:b", "User:c", "Group:a"):
        for period_ms in (-1, 0, 60_000, 1 << 60):
            who = f"by {principal} for {period_ms}"
            yield Case(f"renew {who}", _renew("token v3", period_ms), 2, principal)
        yield Case(f"expire by {principal}", _expire("token v3", 3_600_000), 2, principal)
        yield Case(f"expire far off by {principal}", _expire("token v3", 1 << 60), 1, principal)
    yield Case("renew owner's token", _renew("token of another owner", -1), 2, "User:z")
    yield Case("renew as requester", _renew("token of another owner", -1), 2, "User:a")
    yield Case("renew unknown", RenewDelegationTokenRequestData(hmac=unknown), 2, "User:a")
    yield Case("expire unknown", ExpireDelegationTokenRequestData(hmac=unknown), 2, "User:a")
    yield Case("expire at once", _expire("token v3", -1), 2, "User:a")


def disabled_token_cases() -> Iterator[Case]:
    """Requests for tokens where they are switched off."""
    unknown = b"no such token"
    for principal in (None, "User:a"):
        yield Case(f"disabled token {principal}", _create_token(renewers=[("Group", "b")]), 3, principal)
        yield Case(f"disabled renew {principal}", RenewDelegationTokenRequestData(hmac=unknown), 2, principal)
        yield Case(f"disabled expire {principal}", ExpireDelegationTokenRequestData(hmac=unknown), 2, principal)


def _features(*updates: tuple[str, int, int], validate_only: bool = False) -> Message:
    return UpdateFeaturesRequestData(
        feature_updates=[
            FeatureUpdateKey(feature=name, max_version_level=level, upgrade_type=upgrade_type)
            for name, level, upgrade_type in updates
        ],
        validate_only=validate_only,
    )


def feature_cases(metadata_version: int) -> Iterator[Case]:
    """Feature levels from where the cluster stands."""
    for level in range(-1, 26):
        for upgrade_type in range(-1, 5):
            update = ("metadata.version", level, upgrade_type)
            yield Case(f"from {metadata_version} {update}", _features(update, validate_only=True), 1)
    for name in ("kraft.version", "transaction.version", "group.version", "no.such.feature", ""):
        for level in (-1, 0, 1, 2):
            for upgrade_type in (1, 2):
                update = (name, level, upgrade_type)
                yield Case(f"from {metadata_version} {update}", _features(update, validate_only=True), 1)
    two = _features(("no.such.feature", 1, 1), ("metadata.version", metadata_version, 1))
    yield Case(f"from {metadata_version} two", two, 1)
    yield Case(f"from {metadata_version} none", _features(), 1)
    old = UpdateFeaturesRequestData(
        feature_updates=[FeatureUpdateKey(feature="metadata.version", max_version_level=4, allow_downgrade=True)]
    )
    yield Case(f"from {metadata_version} v0", old, 0)


def feature_move_cases(current: int) -> Iterator[Case]:
    """Down as far as no metadata is lost, and up again."""
    yield Case("downgrade", _features(("metadata.version", 17, 2)), 1)
    yield from feature_cases(17)
    yield Case("downgrade again", _features(("metadata.version", 17, 3)), 1)
    yield Case("upgrade", _features(("metadata.version", current, 1)), 1)


def cluster_cases() -> Iterator[Case]:
    """Which endpoints are described, and what may be done with a cluster."""
    for with_operations in (False, True):
        yield Case(
            f"cluster v0 {with_operations}",
            DescribeClusterRequestData(include_cluster_authorized_operations=with_operations),
            0,
        )
        for endpoint_type in (-1, 0, 1, 2, 3):
            request = DescribeClusterRequestData(
                include_cluster_authorized_operations=with_operations, endpoint_type=endpoint_type
            )
            yield Case(f"cluster v1 {with_operations} {endpoint_type}", request, 1)


def size_cases() -> Iterator[Case]:
    """One record more than a request may write."""
    count = RECORDS_PER_USER_OPERATION_MAX + 1
    for validate_only in (False, True):
        changes = [(f"unknown.{number}", SET, "1") for number in range(count)]
        yield Case(f"configs {validate_only}", _incremental((BROKER, "", changes), validate_only=validate_only), 1)
        wanted = {name: value for name, _, value in changes}
        yield Case(f"legacy configs {validate_only}", _legacy((BROKER, "", wanted), validate_only=validate_only), 2)
    entries = [([("user", f"user-{number}")], [("producer_byte_rate", 1.0)]) for number in range(count)]
    yield Case("too many quotas", _quotas(*entries), 1)


def last_cases() -> Iterator[Case]:
    """Kafka's controller takes ACLs that it refused for their number to exist from then on."""
    acls = [_acl(name=f"too-many-{number}") for number in range(RECORDS_PER_USER_OPERATION_MAX + 1)]
    yield Case("too many acls", CreateAclsRequestData(creations=acls), 3)


def producer_id_cases() -> Iterator[Case]:
    """Blocks of producer ids for the registered broker, and refusals."""
    for index, (broker_id, epoch_change) in enumerate(
        (
            (BROKER_ID, 0),
            (BROKER_ID, 0),
            (BROKER_ID, 1),
            (BROKER_ID, -1),
            (9, 0),
            (BROKER_ID, 0),
        )
    ):
        yield Case(f"producer ids {index}", _allocate(broker_id, epoch_change), 0)


def _allocate(broker_id: int, epoch_change: int) -> Callable[[Answers], Message]:
    def request(answers: Answers) -> Message:
        registration = answers[REGISTRATION]
        assert isinstance(registration, BrokerRegistrationResponseData)
        return AllocateProducerIdsRequestData(
            broker_id=broker_id, broker_epoch=registration.broker_epoch + epoch_change
        )

    return request


def setting_up(cluster_id: str) -> tuple[Case, ...]:
    """A registered, unfenced broker and two topics on it; for sides behind a socket."""
    features = [
        Feature(name=feature.name, min_supported_version=feature.min_version, max_supported_version=feature.max_version)
        for feature in SUPPORTED_FEATURES["3.9"]
    ]
    registration = BrokerRegistrationRequestData(
        broker_id=BROKER_ID,
        cluster_id=cluster_id,
        incarnation_id=bytes(15) + b"\x63",
        rack=None,
        features=features,
        listeners=[Listener(name="PLAINTEXT", host="127.0.0.1", port=9)],
        log_dirs=[bytes(15) + b"\x64"],
    )
    return (Case(REGISTRATION, registration, 4), Case("heartbeat", _heartbeat, 1), creation())


def creation() -> Case:
    """The topics that most cases are about."""
    topics = [CreatableTopic(name=name, num_partitions=1, replication_factor=1) for name in TOPICS]
    return Case(CREATION, CreateTopicsRequestData(topics=topics, timeout_ms=30_000), 7)


THROUGH_BROKER = "through the broker: "
UNANSWERED_BY_BROKERS = frozenset({"legacy twice"})
"""A broker that forwards the rest of such a request fails on the answer to it, and gives none itself."""


def through_broker(group: Iterator[Case]) -> Iterator[Case]:
    """The cases that a client may put to a broker, put to it; those with a principal by a client that logs in."""
    for case in group:
        if case.name in UNANSWERED_BY_BROKERS:
            continue
        request = case.request if isinstance(case.request, Message) else _after_forwarded(case.request)
        yield replace(case, name=THROUGH_BROKER + case.name, request=request, through_broker=True)


def _after_forwarded(make: Callable[[Answers], Message]) -> Callable[[Answers], Message]:
    """What makes a request from the answers that came through the broker."""

    def request(answers: Answers) -> Message:
        begin = len(THROUGH_BROKER)
        own = {name[begin:]: answer for name, answer in answers.items() if name.startswith(THROUGH_BROKER)}
        return make({**answers, **own})

    return request


def _heartbeat(answers: Answers) -> Message:
    registration = answers[REGISTRATION]
    assert isinstance(registration, BrokerRegistrationResponseData)
    return BrokerHeartbeatRequestData(
        broker_id=BROKER_ID, broker_epoch=registration.broker_epoch, current_metadata_offset=1 << 40
    )
