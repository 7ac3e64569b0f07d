"""Requests of clients that log in at the broker: their tokens, and what entries let them do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pykraft.protocol._message import Message
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.messages import incremental_alter_configs_request as incremental
from pykraft.protocol.messages.alter_client_quotas_request import (
    AlterClientQuotasRequestData,
    EntityData,
    EntryData,
    OpData,
)
from pykraft.protocol.messages.alter_user_scram_credentials_request import (
    AlterUserScramCredentialsRequestData,
    ScramCredentialUpsertion,
)
from pykraft.protocol.messages.create_acls_request import CreateAclsRequestData
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData, CreatePartitionsTopic
from pykraft.protocol.messages.delete_acls_request import DeleteAclsRequestData
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData
from pykraft.protocol.messages.describe_client_quotas_request import DescribeClientQuotasRequestData
from pykraft.protocol.messages.describe_delegation_token_request import DescribeDelegationTokenRequestData
from pykraft.protocol.messages.describe_quorum_request import DescribeQuorumRequestData, PartitionData, TopicData
from pykraft.protocol.messages.describe_user_scram_credentials_request import (
    DescribeUserScramCredentialsRequestData,
)
from pykraft.protocol.messages.elect_leaders_request import ElectLeadersRequestData
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from pykraft.protocol.messages.update_features_request import FeatureUpdateKey, UpdateFeaturesRequestData
from tests.kafka.acl_entries import ALTER, ALTER_CONFIGS, CLUSTER, CREATE, DELETE, DESCRIBE, TOPIC, entry, entry_filter
from tests.kafka.admin_sides import SCRAM_ITERATIONS, SCRAM_SALT, password_of, salted
from tests.kafka.broker_cases import elect, elect_all, reassign
from tests.kafka.case import Case, through_broker
from tests.kafka.comparison import error_codes
from tests.kafka.security_cases import token_cases
from tests.kafka.topic_cases import STRANGER, TIMEOUT_MS, creation, topic

USERS = ("a", "b", "c")
"""The first may do less than the second once there are entries."""
GUARDED, OPEN = "guarded", "open"


def user_cases() -> Iterator[Case]:
    """All through the broker."""
    credentials = [
        ScramCredentialUpsertion(
            name=name,
            mechanism=1,
            iterations=SCRAM_ITERATIONS,
            salt=SCRAM_SALT,
            salted_password=salted(password_of(name)),
        )
        for name in USERS
    ]
    yield Case("credentials", AlterUserScramCredentialsRequestData(upsertions=credentials), 0, through_broker=True)
    yield from through_broker(_of_users(token_cases()))
    tokens = DescribeDelegationTokenRequestData(owners=None)
    for name in USERS:
        yield Case(f"tokens that {name} sees", tokens, 3, f"User:{name}", through_broker=True)
    yield from _guarded_cases()
    yield from _described()


def _of_users(group: Iterator[Case]) -> Iterator[Case]:
    principals = (None, *(f"User:{name}" for name in USERS))
    return (case for case in group if case.principal in principals and not case.token_authenticated)


def _guarded_cases() -> Iterator[Case]:
    made = creation(topic(GUARDED, 1, 1), topic(OPEN, 1, 1))
    yield Case("guarded topics", made, 7, through_broker=True)
    entries = [
        entry("User:b", operation, TOPIC, GUARDED) for operation in (CREATE, DELETE, ALTER, ALTER_CONFIGS, DESCRIBE)
    ]
    entries += [entry("User:b", operation, CLUSTER) for operation in (CREATE, ALTER, ALTER_CONFIGS)]
    yield Case("entries", CreateAclsRequestData(creations=entries), 3, through_broker=True)
    probe = _request_of("probe", _grow(GUARDED), 3, "a")
    yield replace(probe, until=lambda answer: ErrorCode.TOPIC_AUTHORIZATION_FAILED in _codes(answer))
    for name in USERS:
        for number, (request, version) in enumerate(_requests()):
            yield _request_of(f"request {number}", request, version, name)
    yield Case("no entries", DeleteAclsRequestData(filters=[entry_filter()]), 3, through_broker=True)
    yield replace(probe, name="free again", until=lambda answer: set(_codes(answer)) == {ErrorCode.NONE})
    deletion = DeleteTopicsRequestData(topic_names=[GUARDED, OPEN], timeout_ms=TIMEOUT_MS)
    yield _request_of("delete the topics", deletion, 5, "c")


def _request_of(name: str, request: Message, version: int, user: str) -> Case:
    return Case(f"{user}: {name}", request, version, f"User:{user}", through_broker=True)


def _codes(answer: Message) -> list[int]:
    return list(error_codes(to_json(answer, 3)))


def _grow(*names: str) -> Message:
    topics: list[Any] = [CreatePartitionsTopic(name=name, count=2, assignments=None) for name in names]
    return CreatePartitionsRequestData(topics=topics, validate_only=True, timeout_ms=TIMEOUT_MS)


def _requests() -> Iterator[tuple[Message, int]]:
    """Of each API that is forwarded one, none of which changes anything."""
    for version in (7, 5, 3):
        yield creation(topic(GUARDED, 1, 1), topic("new", 1, 1), validate_only=True), version
    yield DeleteTopicsRequestData(topic_names=["no-such"], timeout_ms=TIMEOUT_MS), 5
    yield _grow(GUARDED, OPEN, "no-such"), 3
    resources = [
        incremental.AlterConfigsResource(resource_type=kind, resource_name=name)
        for kind, name in ((2, GUARDED), (2, OPEN), (4, ""), (2, "no-such"))
    ]
    yield incremental.IncrementalAlterConfigsRequestData(resources=resources, validate_only=True), 1
    yield elect(0, (OPEN, [0])), 2
    yield elect_all(1), 2
    yield ElectLeadersRequestData(topic_partitions=[], timeout_ms=TIMEOUT_MS), 1
    yield reassign((OPEN, 7, None)), 0
    quota = EntryData(
        entity=[EntityData(entity_type="user", entity_name="u")], ops=[OpData(key="producer_byte_rate", value=1.0)]
    )
    yield AlterClientQuotasRequestData(entries=[quota], validate_only=True), 1
    yield AlterUserScramCredentialsRequestData(), 0
    feature = FeatureUpdateKey(feature="metadata.version", max_version_level=1, upgrade_type=1)
    yield UpdateFeaturesRequestData(feature_updates=[feature], validate_only=True), 1
    yield CreateAclsRequestData(creations=[entry("User:b", ALTER, CLUSTER, "wrong")]), 3
    yield UnregisterBrokerRequestData(broker_id=STRANGER), 0
    # Another topic: the answer holds no offsets.
    yield DescribeQuorumRequestData(topics=[TopicData(topic_name="no", partitions=[PartitionData()])]), 1


def _described() -> Iterator[Case]:
    quotas = DescribeClientQuotasRequestData(components=[], strict=False)
    yield Case("quotas that clients see", quotas, 1, through_broker=True)
    yield Case(
        "credentials that clients see", DescribeUserScramCredentialsRequestData(users=None), 0, through_broker=True
    )
