"""Requests of principals with different rights, which pykraft and Apache Kafka's controller must answer alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pykraft.protocol._message import Message
from pykraft.protocol.messages import alter_configs_request as legacy
from pykraft.protocol.messages import incremental_alter_configs_request as incremental
from pykraft.protocol.messages.add_raft_voter_request import AddRaftVoterRequestData
from pykraft.protocol.messages.allocate_producer_ids_request import AllocateProducerIdsRequestData
from pykraft.protocol.messages.alter_client_quotas_request import (
    AlterClientQuotasRequestData,
    EntityData,
    EntryData,
    OpData,
)
from pykraft.protocol.messages.alter_partition_reassignments_request import (
    AlterPartitionReassignmentsRequestData,
    ReassignablePartition,
    ReassignableTopic,
)
from pykraft.protocol.messages.alter_partition_request import AlterPartitionRequestData
from pykraft.protocol.messages.alter_user_scram_credentials_request import (
    AlterUserScramCredentialsRequestData,
    ScramCredentialDeletion,
)
from pykraft.protocol.messages.assign_replicas_to_dirs_request import AssignReplicasToDirsRequestData
from pykraft.protocol.messages.begin_quorum_epoch_request import BeginQuorumEpochRequestData
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData
from pykraft.protocol.messages.controller_registration_request import ControllerRegistrationRequestData
from pykraft.protocol.messages.create_acls_request import AclCreation, CreateAclsRequestData
from pykraft.protocol.messages.create_delegation_token_request import CreateDelegationTokenRequestData
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData, CreatePartitionsTopic
from pykraft.protocol.messages.create_topics_request import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.create_topics_response import CreateTopicsResponseData
from pykraft.protocol.messages.delete_acls_request import DeleteAclsRequestData
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData, DeleteTopicState
from pykraft.protocol.messages.describe_cluster_request import DescribeClusterRequestData
from pykraft.protocol.messages.describe_configs_request import DescribeConfigsRequestData, DescribeConfigsResource
from pykraft.protocol.messages.describe_quorum_request import DescribeQuorumRequestData, PartitionData, TopicData
from pykraft.protocol.messages.elect_leaders_request import ElectLeadersRequestData, TopicPartitions
from pykraft.protocol.messages.end_quorum_epoch_request import EndQuorumEpochRequestData
from pykraft.protocol.messages.expire_delegation_token_request import ExpireDelegationTokenRequestData
from pykraft.protocol.messages.fetch_request import FetchPartition, FetchRequestData, FetchTopic
from pykraft.protocol.messages.fetch_snapshot_request import FetchSnapshotRequestData
from pykraft.protocol.messages.list_partition_reassignments_request import (
    ListPartitionReassignmentsRequestData,
    ListPartitionReassignmentsTopics,
)
from pykraft.protocol.messages.remove_raft_voter_request import RemoveRaftVoterRequestData
from pykraft.protocol.messages.renew_delegation_token_request import RenewDelegationTokenRequestData
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from pykraft.protocol.messages.update_features_request import FeatureUpdateKey, UpdateFeaturesRequestData
from pykraft.protocol.messages.update_raft_voter_request import UpdateRaftVoterRequestData
from pykraft.protocol.messages.vote_request import VoteRequestData
from tests.kafka.acl_entries import (
    ALL,
    ALTER,
    ALTER_CONFIGS,
    CLUSTER,
    CLUSTER_ACTION,
    CREATE,
    CREATE_TOKENS,
    DELETE,
    DENY,
    DESCRIBE,
    DESCRIBE_CONFIGS,
    LITERAL,
    PREFIXED,
    TOPIC,
    USER,
    describe_entries,
    entry,
    entry_filter,
)
from tests.kafka.case import BROKER_ID, Answers, Case

PRINCIPALS = ("User:alice", "User:bob", "User:denied", "User:operator", "User:root", "Group:alice")
"""Some rights on topics; none; rights that are denied again; rights on the cluster; a super user; no user at all."""
TOPICS = ("orders", "payments", "shared", "open", "hosted", "hosted6")
"""Those of TOPICS that have entries have them in ACLS; `open` has none."""
OWN_TOPICS = ("a-by-id", "a-by-name", "open-by-id", "open-by-name")
"""One of each per principal, to delete."""
CREATED = "creation of the topics"

BROKER_CONFIG, BROKER_LOGGER, CLIENT_METRICS, GROUP_CONFIG = 4, 8, 16, 32
UNKNOWN_ID = bytes(15) + b"\x77"


ACLS = (
    entry("User:alice", ALTER, name="orders"),
    entry("User:alice", CREATE, name="a-", pattern=PREFIXED),
    entry("User:alice", DELETE, name="a-", pattern=PREFIXED),
    entry("User:alice", ALTER_CONFIGS, name="payments"),
    entry("User:*", DESCRIBE, name="shared"),
    entry("User:alice", ALTER, name="hosted", host="10.0.0.9"),
    entry("User:alice", ALTER, name="hosted6", host="fd00:0:0:0:0:0:0:9"),
    entry("User:denied", ALL, name="a-", pattern=PREFIXED),
    entry("User:denied", DELETE, name="a-by-id", pattern=PREFIXED, permission=DENY),
    entry("User:denied", ALL, name="payments"),
    entry("User:denied", DESCRIBE_CONFIGS, name="pay", pattern=PREFIXED, permission=DENY),
    entry("User:denied", ALTER, name="orders"),
    entry("User:denied", DESCRIBE, name="orders", permission=DENY),
    entry("User:alice", DESCRIBE, CLUSTER),
    entry("User:operator", ALTER, CLUSTER),
    entry("User:operator", ALTER_CONFIGS, CLUSTER),
    entry("User:denied", ALL, CLUSTER),
    entry("User:denied", ALTER, CLUSTER, permission=DENY),
    entry("User:denied", DELETE, CLUSTER, permission=DENY),
    entry("User:root", ALL, CLUSTER, permission=DENY),
    entry("User:alice", CREATE_TOKENS, USER, "User:sam"),
    entry("User:operator", CREATE_TOKENS, USER, "User:s", PREFIXED),
    entry("User:ANONYMOUS", CLUSTER_ACTION, CLUSTER),
)
WILDCARD_ACLS = (
    entry("User:denied", ALL, name="*"),
    entry("User:*", DELETE, name="*", permission=DENY),
    entry("User:operator", CREATE, CLUSTER),
    entry("User:operator", DELETE, CLUSTER),
    entry("User:ANONYMOUS", ALTER, CLUSTER),
    entry("User:ANONYMOUS", DESCRIBE_CONFIGS, name="open"),
)


def create_acls(creations: tuple[AclCreation, ...]) -> CreateAclsRequestData:
    return CreateAclsRequestData(creations=list(creations))


def probe_acl(number: int) -> AclCreation:
    """An entry by which `probe` tells that those made together with it are in force."""
    return entry("User:probe", ALTER, name=f"probe-{number}", permission=DENY)


def probe(number: int) -> Case:
    growing = [CreatePartitionsTopic(name=f"probe-{number}", count=2)]
    request = CreatePartitionsRequestData(topics=growing, timeout_ms=30_000)
    return Case(f"probe {number}", request, 3, "User:probe")


def topics() -> Case:
    own = [f"{kind}-{number}" for number in range(len(PRINCIPALS)) for kind in OWN_TOPICS]
    created = [CreatableTopic(name=name, num_partitions=1, replication_factor=1) for name in (*TOPICS, *own)]
    return Case(CREATED, CreateTopicsRequestData(topics=created, timeout_ms=30_000), 7)


def forwarded_cases(round_name: str) -> Iterator[Case]:
    """Every API that a broker forwards, from every principal."""
    for principal in PRINCIPALS:
        for name, request, version in (*_topic_requests(), *_cluster_requests(), *_token_requests(principal)):
            yield Case(f"{round_name}, {principal}: {name} v{version}", request, version, principal)


def deletion_cases(round_name: str) -> Iterator[Case]:
    """By name and by id, of what exists and what does not; for each principal topics of its own."""
    for number, principal in enumerate(PRINCIPALS):
        named = [f"a-by-name-{number}", f"open-by-name-{number}", "orders", "payments", "shared", "a-none", "none"]
        by_id = [f"a-by-id-{number}", f"open-by-id-{number}", "orders", "payments", "shared"]
        yield Case(f"{round_name}, {principal}: delete by name", _delete(named), 6, principal)
        yield Case(f"{round_name}, {principal}: delete by id", _delete([], by_id), 6, principal)
        yield Case(f"{round_name}, {principal}: delete both ways", _delete(["hosted"], ["hosted"]), 6, principal)
        old = DeleteTopicsRequestData(topic_names=["orders", "none", "shared"], timeout_ms=30_000)
        yield Case(f"{round_name}, {principal}: delete before ids", old, 5, principal)


def _delete(names: list[str], ids: list[str] | None = None) -> Callable[[Answers], Message]:
    def request(answers: Answers) -> Message:
        created = answers[CREATED]
        assert isinstance(created, CreateTopicsResponseData)
        topic_ids = {topic.name: topic.topic_id for topic in created.topics}
        states = [DeleteTopicState(name=name) for name in names]
        states += [DeleteTopicState(topic_id=topic_ids[name]) for name in ids or ()]
        states.append(DeleteTopicState(topic_id=UNKNOWN_ID))
        return DeleteTopicsRequestData(topics=states, timeout_ms=30_000)

    return request


def _topic_requests() -> Iterator[tuple[str, Message, int]]:
    names = ("orders", "a-new", "b-new", "bad name", "__cluster_metadata", "twice", "twice")
    creatable = [
        CreatableTopic(
            name=name,
            num_partitions=2,
            replication_factor=1,
            configs=[CreatableTopicConfig(name="retention.ms", value="7")],
        )
        for name in names
    ]
    for version in (4, 5, 7):
        yield "create topics", CreateTopicsRequestData(topics=creatable, validate_only=True, timeout_ms=30_000), version
    named = (*TOPICS, "a-by-name-0", "none", "a-none")
    growing = [CreatePartitionsTopic(name=name, count=3, assignments=None) for name in (*named, "twice", "twice")]
    yield "more partitions", CreatePartitionsRequestData(topics=growing, validate_only=True, timeout_ms=30_000), 3
    resources = [(TOPIC, name) for name in named] + [
        (BROKER_CONFIG, str(BROKER_ID)),
        (BROKER_CONFIG, ""),
        (CLIENT_METRICS, "m"),
        (BROKER_LOGGER, "1"),
        (GROUP_CONFIG, "g"),
        (TOPIC, "twice"),
        (TOPIC, "twice"),
    ]
    changed = [incremental.AlterConfigsResource(resource_type=kind, resource_name=name) for kind, name in resources]
    yield "change configs", incremental.IncrementalAlterConfigsRequestData(resources=changed, validate_only=True), 1
    replaced = [legacy.AlterConfigsResource(resource_type=kind, resource_name=name) for kind, name in resources]
    yield "replace configs", legacy.AlterConfigsRequestData(resources=replaced, validate_only=True), 2


def _cluster_requests() -> Iterator[tuple[str, Message, int]]:
    partitions = [TopicPartitions(topic="orders", partitions=[0, 1])]
    for version in (0, 2):
        yield "elect", ElectLeadersRequestData(topic_partitions=partitions, timeout_ms=30_000), version
    reassigned = [ReassignableTopic(name="orders", partitions=[ReassignablePartition(partition_index=7)])]
    yield "reassign", AlterPartitionReassignmentsRequestData(topics=reassigned, timeout_ms=30_000), 0
    listed = [ListPartitionReassignmentsTopics(name="orders", partition_indexes=[0])]
    yield "reassignments", ListPartitionReassignmentsRequestData(topics=listed, timeout_ms=30_000), 0
    quota = EntryData(
        entity=[EntityData(entity_type="user", entity_name="u")], ops=[OpData(key="producer_byte_rate", value=1.0)]
    )
    yield "quotas", AlterClientQuotasRequestData(entries=[quota], validate_only=True), 1
    deletions = [ScramCredentialDeletion(name=name, mechanism=1) for name in ("u", "w")]
    yield "credentials", AlterUserScramCredentialsRequestData(deletions=deletions), 0
    feature = FeatureUpdateKey(feature="metadata.version", max_version_level=21, upgrade_type=1)
    yield "features", UpdateFeaturesRequestData(feature_updates=[feature], validate_only=True), 1
    yield "create acls", create_acls((ACLS[0], entry("User:x", ALTER, CLUSTER, "wrong"))), 3
    nothing = entry_filter(TOPIC, "no such", LITERAL)
    yield "delete acls", DeleteAclsRequestData(filters=[nothing, nothing]), 3
    yield "unregister", UnregisterBrokerRequestData(broker_id=99), 0
    yield "producer ids", AllocateProducerIdsRequestData(broker_id=BROKER_ID, broker_epoch=0), 0
    yield "add voter", AddRaftVoterRequestData(cluster_id="other", voter_id=2), 0
    yield "remove voter", RemoveRaftVoterRequestData(cluster_id="other", voter_id=2), 0
    # Another topic: the answer holds no offsets.
    yield "quorum", DescribeQuorumRequestData(topics=[TopicData(topic_name="no", partitions=[PartitionData()])]), 2


def _token_requests(principal: str) -> Iterator[tuple[str, Message, int]]:
    for owner in ("User:sam", "User:tom", "Group:sam", principal):
        kind, _, name = owner.partition(":")
        yield (
            f"token for {owner}",
            CreateDelegationTokenRequestData(owner_principal_type=kind, owner_principal_name=name, max_lifetime_ms=-1),
            3,
        )
    yield "token", CreateDelegationTokenRequestData(max_lifetime_ms=-1), 2
    yield "renew", RenewDelegationTokenRequestData(hmac=b"no such", renew_period_ms=-1), 2
    yield "expire", ExpireDelegationTokenRequestData(hmac=b"no such", expiry_time_period_ms=-1), 2


def direct_cases(round_name: str) -> Iterator[Case]:
    """What may be asked on the listener itself, which knows everyone as User:ANONYMOUS."""
    described = [
        DescribeConfigsResource(resource_type=kind, resource_name=name)
        for kind, name in (
            (TOPIC, "open"),
            (TOPIC, "orders"),
            (TOPIC, "none"),
            (BROKER_CONFIG, "1"),
            (BROKER_LOGGER, "1"),
            (CLIENT_METRICS, "m"),
        )
    ]
    requests: list[tuple[Message, int]] = [
        (DescribeConfigsRequestData(resources=described), 4),
        (
            DescribeConfigsRequestData(
                resources=[
                    *described,
                    DescribeConfigsResource(resource_type=GROUP_CONFIG, resource_name="g"),
                ]
            ),
            4,
        ),
        (DescribeClusterRequestData(endpoint_type=2, include_cluster_authorized_operations=True), 1),
        (DescribeClusterRequestData(endpoint_type=1), 1),
        (describe_entries(USER), 3),
    ]
    yield from (
        Case(f"{round_name}: {_name(request)} v{version} {number}", request, version)
        for number, (request, version) in enumerate(requests)
    )
    for name, request, version in (*_topic_requests(), *_cluster_requests(), *_token_requests("User:ANONYMOUS")):
        yield Case(f"{round_name}: {name} v{version}", request, version)


def broker_cases() -> Iterator[Case]:
    """What only brokers and controllers ask, once User:ANONYMOUS may not do it any more."""
    fetched = [FetchTopic(topic="t", partitions=[FetchPartition(partition=0)])]
    requests: list[tuple[Message, int]] = [
        (FetchRequestData(topics=fetched, max_wait_ms=0), 12),
        (FetchRequestData(topics=fetched, max_wait_ms=0), 17),
        (FetchSnapshotRequestData(), 1),
        (VoteRequestData(), 0),
        (BeginQuorumEpochRequestData(), 0),
        (EndQuorumEpochRequestData(), 0),
        (AlterPartitionRequestData(broker_id=BROKER_ID), 3),
        (BrokerRegistrationRequestData(broker_id=BROKER_ID), 4),
        (BrokerHeartbeatRequestData(broker_id=BROKER_ID), 1),
        (ControllerRegistrationRequestData(controller_id=1), 0),
        (AssignReplicasToDirsRequestData(broker_id=BROKER_ID), 0),
        (AllocateProducerIdsRequestData(broker_id=BROKER_ID), 0),
        (UpdateRaftVoterRequestData(voter_id=2), 0),
    ]
    for request, version in requests:
        yield Case(f"refused: {_name(request)} v{version}", request, version)


def delete_anonymous() -> DeleteAclsRequestData:
    return DeleteAclsRequestData(filters=[entry_filter(CLUSTER, principal="User:ANONYMOUS")])


def heartbeat() -> Case:
    """The probe for having lost CLUSTER_ACTION."""
    return Case("heartbeat probe", BrokerHeartbeatRequestData(broker_id=99), 1)


def _name(request: Any) -> str:
    return type(request).__name__.removesuffix("RequestData")
