"""Uses of the protocol package as a user writes them, each with the type that the checkers must find.

mypy and pyright check this file in their strict modes, and test_typing.py runs it. A `type: ignore` stands where a
checker must complain: an ignore that nothing needs is an error too.
"""

from __future__ import annotations

from typing import assert_type

from pykraft.protocol import jsonconv
from pykraft.protocol.api import ApiKey, ApiSpec, Decoder, Encoder, message_class, request_class, spec
from pykraft.protocol.errors import DecodeError, EncodeError, ErrorCode, ProtocolError, UnsupportedVersionError
from pykraft.protocol.frame import decode_request, encode_request
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.metadata_response import (
    MetadataResponseBroker,
    MetadataResponseData,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record, encode_record
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.uuids import ZERO_UUID, Uuid, uuid_from_text, uuid_to_text


def messages() -> None:
    message = MetadataResponseData(
        brokers=[MetadataResponseBroker(1, "localhost", 9092, rack=None)],
        topics=[MetadataResponseTopic(name="t", partitions=[MetadataResponsePartition(replica_nodes=[1, 2, 3])])],
    )
    raw = message.encode(12)
    assert_type(raw, bytes)
    again = MetadataResponseData.decode(raw, 12)
    assert_type(again, MetadataResponseData)
    assert_type(MetadataResponseData.decode(memoryview(raw), 12), MetadataResponseData)
    assert_type(MetadataResponseData.decode_prefix(raw, 12), tuple[MetadataResponseData, int])
    decode, encode = MetadataResponseData.decoder(12), MetadataResponseData.encoder(12)
    assert_type(decode, Decoder[MetadataResponseData])
    assert_type(encode, Encoder[MetadataResponseData])
    assert_type(decode(bytearray(raw)), MetadataResponseData)
    assert_type(decode(b"before" + raw, 6), MetadataResponseData)
    assert_type(encode(message), bytes)
    assert_type(again.cluster_id, str | None)
    assert_type(again.controller_id, int)
    assert_type(again.unknown_tagged_fields, tuple[tuple[int, bytes], ...])
    [topic] = again.topics
    assert_type(topic, MetadataResponseTopic)
    assert_type(topic.topic_id, Uuid)
    assert_type(topic.is_internal, bool)
    assert_type(topic.partitions[0].replica_nodes, list[int])
    topic.partitions[0].leader_id = 2
    assert_type(MetadataResponseData.MAX_VERSION, int)


def records() -> None:
    record = PartitionRecord(partition_id=1, topic_id=uuid_from_text("AAAAAAAAAAAAAAAAAAAAAQ"), replicas=[1], isr=[1])
    assert_type(encode_record(record, 1), bytes)
    found = decode_record(encode_record(record, 1))
    assert_type(found, ApiMessageAndVersion)
    assert_type(found.version, int)
    if isinstance(found.message, PartitionRecord):
        assert_type(found.message.leader_epoch, int)
        assert_type(found.message.eligible_leader_replicas, list[int] | None)
    assert_type(uuid_to_text(ZERO_UUID), str)


def frames() -> None:
    header = RequestHeaderData(ApiKey.API_VERSIONS, 3, correlation_id=7, client_id="me")
    frame = encode_request(header, ApiVersionsRequestData("me", "1"))
    assert_type(frame, bytes)
    again, header_version, body = decode_request(frame)
    assert_type(again, RequestHeaderData)
    assert_type(header_version, int)
    if isinstance(body, ApiVersionsRequestData):
        assert_type(body.client_software_name, str)
    assert_type(spec(ApiKey.METADATA), ApiSpec)
    assert_type(spec(ApiKey.METADATA).listeners, frozenset[str])
    request_class(ApiKey.METADATA)().encode(12)
    message_class("PartitionRecord")().encode(0)


def json() -> None:
    told = jsonconv.to_json(ApiVersionsRequestData("me", "1"), 3)
    assert_type(jsonconv.from_json(ApiVersionsRequestData, told, 3), ApiVersionsRequestData)


def errors() -> None:
    try:
        MetadataResponseData.decode(b"", 12)
    except DecodeError as error:
        assert_type(error.path, str)
        assert_type(error.offset, int)
        assert_type(error.reason, str)
    try:
        MetadataResponseData(controller_id=2**40).encode(12)
    except EncodeError as error:
        assert_type(error.path, str)
    try:
        MetadataResponseData().encode(99)
    except (UnsupportedVersionError, ProtocolError) as failure:
        assert_type(failure, UnsupportedVersionError | ProtocolError)
    assert_type(ErrorCode(35), ErrorCode)


def mistakes() -> None:
    MetadataResponseData(controller_id="1")  # type: ignore[arg-type]
    MetadataResponseData(no_such_field=1)  # type: ignore[call-arg]
    str(MetadataResponseData().no_such_field)  # type: ignore[attr-defined]
    MetadataResponseBroker(rack=1)  # type: ignore[arg-type]
    PartitionRecord(replicas=["1"])  # type: ignore[list-item]
    MetadataResponseData().topics = None  # type: ignore[assignment]
    lambda: MetadataResponseData.encoder(12)(ApiVersionsRequestData())  # type: ignore[arg-type]


if __name__ == "__main__":
    messages()
    records()
    frames()
    json()
    errors()
