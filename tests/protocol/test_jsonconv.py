"""The JSON of Kafka's converters, and what is refused on the way back."""

from __future__ import annotations

import contextlib
import math
import random
from typing import Any

import pytest

from pykraft.protocol import jsonconv
from pykraft.protocol._message import Message
from pykraft.protocol.errors import EncodeError, JsonError, UnsupportedVersionError
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData
from pykraft.protocol.messages.fetch_response import FetchableTopicResponse, FetchResponseData, PartitionData
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage, Voter
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.messages.sasl_authenticate_request import SaslAuthenticateRequestData
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.topic_record import TopicRecord

from .values import every_class, message_value

QUOTA: dict[str, Any] = {
    "entity": [{"entityType": "user", "entityName": None}], "key": "k", "value": 0.5, "remove": False,
}  # fmt: skip


@pytest.mark.parametrize(("message", "version", "expected"), [
    (TopicRecord("größe", bytes(15) + b"\x01"), 0, {"name": "größe", "topicId": "AAAAAAAAAAAAAAAAAAAAAQ"}),
    (RequestHeaderData(1, 2, 3, None), 0, {"requestApiKey": 1, "requestApiVersion": 2, "correlationId": 3}),
    (RequestHeaderData(1, 2, 3, None), 1,
     {"requestApiKey": 1, "requestApiVersion": 2, "correlationId": 3, "clientId": None}),
    (SaslAuthenticateRequestData(b"\x00\xff\xfe"), 2, {"authBytes": "AP/+"}),
    (PartitionChangeRecord(1, bytes(16), isr=[]), 0, {"partitionId": 1, "topicId": "A" * 22, "isr": []}),
    (ClientQuotaRecord([EntityData("user", None)], "k", 0.5), 0, QUOTA),
    (ClientQuotaRecord([], "k", math.nan), 0, {"entity": [], "key": "k", "value": "NaN", "remove": False}),
    (ClientQuotaRecord([], "k", -math.inf), 0, {"entity": [], "key": "k", "value": "-Infinity", "remove": False}),
    (LeaderChangeMessage(0, 3000, [Voter(3000)], []), 0,
     {"version": 0, "leaderId": 3000, "voters": [{"voterId": 3000}], "grantingVoters": []}),
])  # fmt: skip
def test_prints_and_reads_back(message: Message, version: int, expected: dict[str, Any]) -> None:
    assert jsonconv.to_json(message, version) == expected
    assert jsonconv.from_json(type(message), expected, version).encode(version) == message.encode(version)


def test_records_print_empty_unless_asked_for() -> None:
    def records_of(told: dict[str, Any]) -> object:
        return told["responses"][0]["partitions"][0]["records"]

    message = FetchResponseData(responses=[FetchableTopicResponse(partitions=[PartitionData(records=b"\x01\x02")])])
    assert records_of(jsonconv.to_json(message, 17)) == ""
    whole = jsonconv.to_json(message, 17, records=True)
    assert records_of(whole) == "AQI="
    assert jsonconv.from_json(FetchResponseData, whole, 17) == message
    message.responses[0].partitions[0].records = None
    assert records_of(jsonconv.to_json(message, 17)) is None


def test_fields_the_version_lacks() -> None:
    registration = BrokerRegistrationRequestData(log_dirs=[bytes(16)])
    assert jsonconv.to_json(registration, 2)["logDirs"] == ["A" * 22]
    assert "logDirs" not in jsonconv.to_json(registration, 1)
    registration.is_migrating_zk_broker = True
    with pytest.raises(EncodeError, match="isMigratingZkBroker: version 0 has no such field"):
        jsonconv.to_json(registration, 0)
    registration.cluster_id = None  # type: ignore[assignment]  # wrong
    with pytest.raises(EncodeError, match="clusterId: null"):
        jsonconv.to_json(registration, 4)


@pytest.mark.parametrize(("change", "path", "reason"), [
    ({"key": None}, "key", "expected a text, got NoneType None"),
    ({"key": 3}, "key", "expected a text, got int 3"),
    ({"value": "0.5"}, "value", "expected a number, got str '0.5'"),
    ({"value": True}, "value", "expected a number, got bool True"),
    ({"value": 10**400}, "value", "expected a float64, got int 1" + "0" * 59 + "..."),
    ({"remove": 0}, "remove", "expected true or false, got int 0"),
    ({"entity": {}}, "entity", "expected an array, got dict {}"),
    ({"entity": [[]]}, "entity[0]", "expected an object, got list []"),
    ({"entity": [{"entityType": "user"}]}, "entity[0].entityName", "missing, and version 0 needs it"),
    ({"entity": [{"entityType": "u", "entityName": "n", "extra": 1}]}, "entity[0].extra", "there is no such field"),
])  # fmt: skip
def test_refuses(change: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(JsonError) as caught:
        jsonconv.from_json(ClientQuotaRecord, {**QUOTA, **change}, 0)
    assert (caught.value.path, caught.value.reason) == (path, reason)


@pytest.mark.parametrize(("obj", "path"), [
    ({"name": "t"}, "topicId"),
    ({"name": "t", "topicId": "AAAA"}, "topicId"),
    ({"name": "t", "topicId": "A" * 21 + "="}, "topicId"),
    ({"name": "t", "topicId": "A" * 21 + "+"}, "topicId"),
    ({"name": "t", "topicId": "ü" * 22}, "topicId"),
    ({"name": "t", "topicId": 1}, "topicId"),
    ([], "TopicRecord"),
    (None, "TopicRecord"),
])  # fmt: skip
def test_refuses_what_is_no_topic_record(obj: object, path: str) -> None:
    with pytest.raises(JsonError) as caught:
        jsonconv.from_json(TopicRecord, obj, 0)
    assert caught.value.path == path


@pytest.mark.parametrize("text", ["A", "A===", "AB C", "AQI", "*", "ü"])
def test_refuses_what_is_no_base64(text: str) -> None:
    with pytest.raises(JsonError, match="authBytes"):
        jsonconv.from_json(SaslAuthenticateRequestData, {"authBytes": text}, 2)


def test_field_of_another_version() -> None:
    obj = {"requestApiKey": 1, "requestApiVersion": 2, "correlationId": 3, "clientId": "c"}
    with pytest.raises(JsonError, match="clientId: version 0 has no such field"):
        jsonconv.from_json(RequestHeaderData, obj, 0)
    with pytest.raises(UnsupportedVersionError):
        jsonconv.from_json(RequestHeaderData, obj, 3)
    with pytest.raises(UnsupportedVersionError):
        jsonconv.to_json(RequestHeaderData(), 3)


@pytest.mark.parametrize("number", [2**15, -(2**15) - 1, 1.0, "1", True, None, 10**400])
def test_integers_must_fit(number: object) -> None:
    obj = {"requestApiKey": number, "requestApiVersion": 2, "correlationId": 3}
    with pytest.raises(JsonError, match="requestApiKey: expected int16"):
        jsonconv.from_json(RequestHeaderData, obj, 0)


def spots(obj: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value: its container and key."""
    inner = obj.items() if isinstance(obj, dict) else enumerate(obj) if isinstance(obj, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, value in inner:
        found += [(obj, key), *spots(value)]
    return found


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_any_json_is_a_message_or_a_typed_error(cls: type[Message]) -> None:
    rng = random.Random(cls.__name__)
    junk: tuple[Any, ...] = (None, True, -1, 2**70, 1.5, "", "x" * 40000, "\ud800", [], [[]], {}, {"a": 1}, math.nan)
    for version in (cls.MIN_VERSION, cls.MAX_VERSION):
        for _ in range(8):
            told = jsonconv.to_json(message_value(cls, version, rng), version)
            places = spots(told)
            if places:
                container, key = rng.choice(places)
                container[key] = rng.choice(junk)
            try:
                value = jsonconv.from_json(cls, told, version)
            except JsonError:
                continue
            with contextlib.suppress(EncodeError):  # a text that is too long or no Unicode
                again = jsonconv.from_json(cls, jsonconv.to_json(value, version, records=True), version)
                assert again.encode(version) == value.encode(version)
