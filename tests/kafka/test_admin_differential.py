"""pykraft's administrative operations beside Apache Kafka's controller: same requests, same answers, same records.

Texts of errors and of documentation, random ids and times are left out of the comparison.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import javaproperties
import pytest

from pykraft.controller.errors import ApiError
from pykraft.controller.features import SUPPORTED_FEATURES
from pykraft.image.metadata_version import metadata_version_from_text
from pykraft.lab.cluster import Lab, new_cluster_id
from pykraft.log.batch import iter_batches
from pykraft.protocol._message import Message
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature, Listener
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.create_topics_response import CreateTopicsResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.records.register_broker_record import BrokerFeature, RegisterBrokerRecord
from pykraft.protocol.records.register_controller_record import (
    ControllerEndpoint,
    ControllerFeature,
    RegisterControllerRecord,
)
from pykraft.protocol.records.topic_record import TopicRecord
from tests.kafka import admin_cases as cases
from tests.kafka.admin_cases import BROKER_ID, CONTROLLER_ID, TOPICS, Case
from tests.kafka.admin_sides import Connection, KafkaSide, OurSide

CATCH_UP_DEADLINE_S: Final = 10.0
"""Kafka's caches of configs, ACLs and tokens follow its log with a delay."""
LEFT_OUT: Final = frozenset({"errorMessage", "throttleTimeMs", "documentation", "hmac", "tokenId", "topicId"})
TIMES_FROM_MS: Final = 10**12
LOGGERS: Final = "describe 8 '1'"
"""The loggers of a JVM are its own."""

SETTINGS: Final = {
    "delegation.token.secret.key": "secret",
    "delegation.token.max.lifetime.ms": 100_000_000,
    "broker.session.timeout.ms": 3_600_000,
    "log.retention.hours": 72,
    "min.insync.replicas": 2,
    "num.partitions": 3,
}
BARE_RELEASE: Final = "3.4-IV0"
BARE_SETTINGS: Final = {"authorizer.class.name": "", "broker.session.timeout.ms": 3_600_000}


@dataclass
class Sides:
    kafka: KafkaSide
    ours: OurSide
    broker_epoch: int
    log: Path
    written_by_kafka_before: int

    def differences(self, group: Iterator[Case]) -> list[str]:
        """Puts each case to both sides; one line for each that they answer differently."""
        found = []
        for case in group:
            theirs, ours = self.kafka.ask(case), self.ours.ask(case)
            if LOGGERS in case.name:
                continue
            difference = _difference(case, theirs, ours)
            deadline = time.monotonic() + CATCH_UP_DEADLINE_S
            while difference is not None and _may_lag(case, theirs) and time.monotonic() < deadline:
                theirs = self.kafka.ask(case)
                difference = _difference(case, theirs, ours)
            if difference is not None:
                found.append(f"{case.name}: {difference}")
        return found


def _may_lag(case: Case, theirs: Message | None) -> bool:
    if theirs is None:
        return False
    name = type(theirs).__name__
    return name.startswith("Describe") or getattr(theirs, "error_code", 0) == ErrorCode.DELEGATION_TOKEN_NOT_FOUND


def _difference(case: Case, theirs: Message | None, ours: Message | ApiError | None) -> str | None:
    if theirs is None or ours is None:
        return None if theirs is ours else f"Kafka {theirs}, pykraft {ours}"
    their_json = _comparable(to_json(theirs, case.version))
    if isinstance(ours, ApiError):
        # An error of the whole request stands at each entry; a request without entries gets no code at all.
        codes = set(_codes(their_json))
        return None if codes <= {int(ours.code)} else f"Kafka {str(their_json)[:200]}, pykraft {ours}"
    our_json = _comparable(to_json(ours, case.version))
    if our_json == their_json:
        return None
    only_kafka, only_ours = _leaves(their_json), _leaves(our_json)
    return f"Kafka {sorted(only_kafka - only_ours)[:9]}, pykraft {sorted(only_ours - only_kafka)[:9]}"


def _comparable(value: Any) -> Any:
    """Without what may differ; in an order that does not depend on Java's hash maps."""
    if isinstance(value, dict):
        return {key: _comparable(part) for key, part in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        parts = [_comparable(part) for part in value]
        # Bare error codes answer the entries of the request in their order.
        bare = all(isinstance(part, dict) and part.keys() == {"errorCode"} for part in parts)
        return parts if bare else sorted(parts, key=_key)
    return "time" if isinstance(value, int) and value >= TIMES_FROM_MS else value


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _codes(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "errorCode":
                yield part
            else:
                yield from _codes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _codes(part)


def _leaves(value: Any) -> set[str]:
    if isinstance(value, list):
        return {leaf for part in value for leaf in _leaves(part)}
    if isinstance(value, dict) and any(isinstance(part, list) and part for part in value.values()):
        return {leaf for part in value.values() for leaf in _leaves(part)}
    return {_key(value)}


def _start(lab: Lab, settings: Mapping[str, object], release: str | None) -> Iterator[Sides]:
    cluster_id = new_cluster_id()
    node = lab.kraft_controller(CONTROLLER_ID, cluster_id, release=release, extra=settings)
    connection = Connection(node.port)
    properties = javaproperties.loads((node.folder / "server.properties").read_text())
    ours = OurSide(properties, cluster_id, CONTROLLER_ID)
    version = metadata_version_from_text(release or "3.9-IV0")
    ours.apply(FeatureLevelRecord(name="metadata.version", feature_level=version))
    if version.is_controller_registration_supported:
        ours.apply(RegisterControllerRecord(
            controller_id=CONTROLLER_ID,
            end_points=[ControllerEndpoint(name="CONTROLLER", host="127.0.0.1", port=node.port)],
            features=[
                ControllerFeature(
                    name=feature.name, min_supported_version=feature.min_version,
                    max_supported_version=feature.max_version,
                )
                for feature in SUPPORTED_FEATURES
            ],
        ))
    broker_epoch = _register_broker(connection, ours, cluster_id)
    _create_topics(connection, ours)
    connection.close()
    kafka = KafkaSide(node.port)
    log = node.folder / "data" / "__cluster_metadata-0" / "00000000000000000000.log"
    sides = Sides(kafka, ours, broker_epoch, log, len(_written_by_kafka(log)))
    yield sides
    kafka.close()


def _register_broker(connection: Connection, ours: OurSide, cluster_id: str) -> int:
    answer = connection.ask(BrokerRegistrationRequestData(
        broker_id=BROKER_ID, cluster_id=cluster_id, incarnation_id=bytes(15) + b"\x63", rack=None,
        listeners=[Listener(name="PLAINTEXT", host="127.0.0.1", port=9)], log_dirs=[bytes(15) + b"\x64"],
        features=[
            Feature(
                name=feature.name, min_supported_version=feature.min_version, max_supported_version=feature.max_version
            )
            for feature in SUPPORTED_FEATURES
        ],
    ), 4)
    assert isinstance(answer, BrokerRegistrationResponseData)
    assert answer.error_code == ErrorCode.NONE
    connection.ask(BrokerHeartbeatRequestData(
        broker_id=BROKER_ID, broker_epoch=answer.broker_epoch, current_metadata_offset=1 << 40
    ), 1)
    ours.apply(RegisterBrokerRecord(
        broker_id=BROKER_ID, broker_epoch=answer.broker_epoch,
        features=[
            BrokerFeature(
                name=feature.name, min_supported_version=feature.min_version, max_supported_version=feature.max_version
            )
            for feature in SUPPORTED_FEATURES
        ],
    ))
    return answer.broker_epoch


def _create_topics(connection: Connection, ours: OurSide) -> None:
    answer = connection.ask(CreateTopicsRequestData(
        topics=[CreatableTopic(name=name, num_partitions=1, replication_factor=1) for name in TOPICS]
    ), 7)
    assert isinstance(answer, CreateTopicsResponseData)
    assert {topic.error_code for topic in answer.topics} == {ErrorCode.NONE}
    for topic in answer.topics:
        ours.apply(TopicRecord(name=topic.name, topic_id=topic.topic_id))


ADMIN_RECORDS: Final = frozenset({
    "ConfigRecord", "ClientQuotaRecord", "AccessControlEntryRecord", "RemoveAccessControlEntryRecord",
    "UserScramCredentialRecord", "RemoveUserScramCredentialRecord", "DelegationTokenRecord",
    "RemoveDelegationTokenRecord", "ProducerIdsRecord", "FeatureLevelRecord",
})


def _written_by_kafka(log: Path) -> list[list[ApiMessageAndVersion]]:
    """The administrative records of each batch that has any."""
    batches = []
    for batch in iter_batches(log.read_bytes()):
        if batch.header.is_control:
            continue
        records = [decode_record(value) for value in batch.values]
        batches.append([record for record in records if type(record.message).__name__ in ADMIN_RECORDS])
    return [batch for batch in batches if batch]


def _comparable_records(groups: list[list[ApiMessageAndVersion]]) -> list[list[str]]:
    """Each group's records as sorted text; the random id of an ACL stands for what the ACL says."""
    acls: dict[bytes, str] = {}
    shown = []
    for group in groups:
        lines = []
        for message, version in group:
            fields = _comparable(to_json(message, version))
            acl_id = getattr(message, "id", None)
            if acl_id is not None:
                del fields["id"]
                fields = acls.setdefault(acl_id, _key(fields))
            lines.append(f"{type(message).__name__} v{version} {_key(fields)}")
        shown.append(sorted(lines))
    return shown


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, kafka_class_path: str) -> Iterator[Sides]:
    """A controller with an authorizer and token key at metadata.version 3.9-IV0, one broker and two topics."""
    with Lab(tmp_path_factory.mktemp("full")) as lab:
        yield from _start(lab, SETTINGS, None)


@pytest.fixture(scope="module")
def bare_sides(tmp_path_factory: pytest.TempPathFactory, kafka_class_path: str) -> Iterator[Sides]:
    """A controller without authorizer and token key, at a metadata.version without SCRAM and registered controllers."""
    with Lab(tmp_path_factory.mktemp("bare")) as lab:
        yield from _start(lab, BARE_SETTINGS, BARE_RELEASE)


GROUPS: Final[Mapping[str, Callable[[], Iterator[Case]]]] = {
    "topic config values": cases.topic_value_cases,
    "topic config combinations": cases.topic_combination_cases,
    "resources": cases.resource_cases,
    "config changes": cases.config_change_cases,
    "quotas": cases.quota_cases,
    "acls": cases.acl_cases,
    "scram": cases.scram_cases,
    "tokens": cases.token_cases,
    "features": lambda: cases.feature_cases(21),
    "features down and up": lambda: cases.feature_move_cases(21),
    "cluster": cases.cluster_cases,
    "too many records": cases.size_cases,
}
BARE_GROUPS: Final[Mapping[str, Callable[[], Iterator[Case]]]] = {
    "acls": cases.acl_cases,
    "scram": cases.scram_cases,
    "tokens": cases.disabled_token_cases,
    "features": lambda: cases.feature_cases(8),
    "cluster": cases.cluster_cases,
    "topic config combinations": cases.topic_combination_cases,
}


@pytest.mark.parametrize("group", GROUPS)
def test_answers(sides: Sides, group: str) -> None:
    assert sides.differences(GROUPS[group]()) == []


def test_producer_ids(sides: Sides) -> None:
    assert sides.differences(cases.producer_id_cases(sides.broker_epoch)) == []


def test_records(sides: Sides) -> None:
    """Whatever the tests above wrote, both sides wrote the same, request by request."""
    names = [name for name, _ in sides.ours.written]
    ours = _comparable_records([records for _, records in sides.ours.written])
    theirs = _comparable_records(_written_by_kafka(sides.log)[sides.written_by_kafka_before:])
    different = [
        f"{name}: Kafka {their_group}, pykraft {our_group}"
        for name, our_group, their_group in zip_longest(names, ours, theirs)
        if our_group != their_group
    ]
    assert different == []


@pytest.mark.parametrize("group", BARE_GROUPS)
def test_answers_of_a_bare_controller(bare_sides: Sides, group: str) -> None:
    assert bare_sides.differences(BARE_GROUPS[group]()) == []
