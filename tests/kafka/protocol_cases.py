"""Requests about the protocol and the quorum: versions, Envelopes as no broker sends them, voters."""

from __future__ import annotations

from collections.abc import Iterator

from pykraft.protocol._message import Message
from pykraft.protocol.api import ApiKey
from pykraft.protocol.frame import encode_request
from pykraft.protocol.messages.add_raft_voter_request import AddRaftVoterRequestData
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.controlled_shutdown_request import ControlledShutdownRequestData
from pykraft.protocol.messages.default_principal_data import DefaultPrincipalData
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData
from pykraft.protocol.messages.describe_cluster_request import DescribeClusterRequestData
from pykraft.protocol.messages.describe_delegation_token_request import DescribeDelegationTokenRequestData
from pykraft.protocol.messages.describe_quorum_request import DescribeQuorumRequestData, PartitionData, TopicData
from pykraft.protocol.messages.describe_user_scram_credentials_request import (
    DescribeUserScramCredentialsRequestData,
    UserName,
)
from pykraft.protocol.messages.envelope_request import EnvelopeRequestData
from pykraft.protocol.messages.metadata_request import MetadataRequestData
from pykraft.protocol.messages.remove_raft_voter_request import RemoveRaftVoterRequestData
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.messages.update_raft_voter_request import UpdateRaftVoterRequestData
from tests.kafka.admin_clusters import Release
from tests.kafka.case import BROKER_ID, Case
from tests.kafka.comparison import LEFT_OUT

METADATA_TOPIC = "__cluster_metadata"
OFFSETS = frozenset({"highWatermark", "logEndOffset", "lastFetchTimestamp", "lastCaughtUpTimestamp"})
LOCALHOST = bytes((127, 0, 0, 1))
PRINCIPAL = b"\x00\x00" + DefaultPrincipalData(type="User", name="a").encode(0)


def protocol_cases(release: Release) -> Iterator[Case]:
    for through_broker in (False, True):
        where = "broker" if through_broker else "controller"
        for version in range(release.latest(ApiKey.API_VERSIONS) + 1):
            request = ApiVersionsRequestData()
            if version >= 3:
                request.client_software_name, request.client_software_version = "c", "1"
            yield Case(
                f"versions v{version} of the {where}",
                request,
                version,
                through_broker=through_broker,
                left_out=LEFT_OUT | {"finalizedFeaturesEpoch"},
            )
        for version in range(release.latest(ApiKey.DESCRIBE_QUORUM) + 1):
            for name, partition in ((METADATA_TOPIC, 0), (METADATA_TOPIC, 1), ("no-such", 0)):
                topics = [TopicData(topic_name=name, partitions=[PartitionData(partition_index=partition)])]
                yield Case(
                    f"quorum v{version} {name} {partition} of the {where}",
                    DescribeQuorumRequestData(topics=topics),
                    version,
                    through_broker=through_broker,
                    left_out=LEFT_OUT | OFFSETS | {"replicaDirectoryId"},
                )
        yield Case(f"quorum of nothing of the {where}", DescribeQuorumRequestData(), 0, through_broker=through_broker)
        voters: tuple[Message, ...] = (
            AddRaftVoterRequestData(cluster_id="other", voter_id=2),
            RemoveRaftVoterRequestData(cluster_id="other", voter_id=2),
        )
        for voter in voters:
            name = type(voter).__name__
            yield Case(f"{name} of another cluster, {where}", voter, 0, through_broker=through_broker)
    yield Case("update of a voter of another cluster", UpdateRaftVoterRequestData(cluster_id="other", voter_id=2), 0)
    # What the listener of a controller offers and its controller does not do.
    yield Case("controlled shutdown", ControlledShutdownRequestData(broker_id=BROKER_ID), 3)
    yield Case("tokens of the controller", DescribeDelegationTokenRequestData(owners=None), 3)
    # With all users Kafka fails on its own refusal and gives no answer.
    some = DescribeUserScramCredentialsRequestData(users=[UserName(name="a")])
    yield Case("credentials of the controller", some, 0)
    yield Case("metadata of the controller", MetadataRequestData(topics=None), 12)
    yield from _envelope_cases()


def _envelope_cases() -> Iterator[Case]:
    deletion = _frame(DeleteTopicsRequestData(topic_names=["no-such"], timeout_ms=30_000), 5)
    for name, envelope in {
        "without principal": _envelope(deletion, principal=None),
        "with an empty principal": _envelope(deletion, principal=b""),
        "with a later principal": _envelope(deletion, principal=b"\x00\x63" + PRINCIPAL[2:]),
        "with half a principal": _envelope(deletion, principal=PRINCIPAL[:-2]),
        "without address": _envelope(deletion, address=b""),
        "with half an address": _envelope(deletion, address=LOCALHOST[:3]),
        "with nothing in it": _envelope(b""),
        "with half a header": _envelope(deletion[:6]),
        "with half a body": _envelope(deletion[:-3]),
        "of a later version": _envelope(deletion[:2] + b"\x00\x63" + deletion[4:]),
        "of what is not forwarded": _envelope(_frame(MetadataRequestData(topics=None), 12)),
        "of what is not forwarded either": _envelope(_frame(DescribeClusterRequestData(), 0)),
        "of an envelope": _envelope(_frame(_envelope(deletion), 0)),
        "of a deletion": _envelope(_frame(DeleteTopicsRequestData(timeout_ms=30_000), 5)),
    }.items():
        yield Case(f"envelope {name}", envelope, 0)


def _envelope(
    request: bytes, *, principal: bytes | None = PRINCIPAL, address: bytes = LOCALHOST
) -> EnvelopeRequestData:
    return EnvelopeRequestData(request_data=request, request_principal=principal, client_host_address=address)


def _frame(request: Message, version: int) -> bytes:
    header = RequestHeaderData(
        request_api_key=request.API_KEY, request_api_version=version, correlation_id=1, client_id="c"
    )
    return encode_request(header, request)
