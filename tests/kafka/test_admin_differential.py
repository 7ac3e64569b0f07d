"""pykraft's administrative operations beside Apache Kafka's controller: same requests, same answers, same records.

Texts of errors and of documentation, random ids, ports and times are left out of the comparison.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

import javaproperties
import pytest

from pykraft.controller.errors import ApiError
from pykraft.controller.releases import SUPPORTED_FEATURES
from pykraft.image.metadata_version import MetadataVersion, metadata_version_from_text
from pykraft.lab.cluster import Lab, new_cluster_id
from pykraft.log.batch import iter_batches
from pykraft.protocol._message import Message
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
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
from tests.kafka.admin_cases import BROKER_ID, CONTROLLER_ID, Case
from tests.kafka.admin_sides import FunctionSide, ServedSide
from tests.kafka.comparison import comparable, error_codes, key_text, leaves

CATCH_UP_DEADLINE_S: Final = 10.0
"""Kafka's caches of configs, ACLs and tokens follow its log with a delay."""
LOGGERS: Final = "describe 8 '1' 1"
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
    """Apache Kafka's controller, pykraft's own, and pykraft's functions without a server."""

    kafka: ServedSide
    pykraft: ServedSide
    functions: FunctionSide
    log: Path
    written_by_kafka_before: int

    def differences(self, group: Iterator[Case]) -> list[str]:
        """Puts each case to all sides; one line for each that pykraft answers differently from Kafka."""
        found = []
        for case in group:
            theirs = self.kafka.ask(case)
            ours = {"functions": self.functions.ask(case), "pykraft": self.pykraft.ask(case)}
            if case.is_of_the_process:
                del ours["pykraft"]
            if case.name == LOGGERS:
                continue
            different = _differences(case, theirs, ours)
            deadline = time.monotonic() + CATCH_UP_DEADLINE_S
            while different and _may_lag(theirs) and time.monotonic() < deadline:
                theirs = self.kafka.ask(case)
                different = _differences(case, theirs, ours)
            found += different
        return found


def _may_lag(theirs: Message | None) -> bool:
    if theirs is None:
        return False
    name = type(theirs).__name__
    return name.startswith("Describe") or getattr(theirs, "error_code", 0) == ErrorCode.DELEGATION_TOKEN_NOT_FOUND


def _differences(case: Case, theirs: Message | None, ours: Mapping[str, Message | ApiError | None]) -> list[str]:
    found = []
    for side, answer in ours.items():
        difference = _difference(case, theirs, answer)
        if difference is not None:
            found.append(f"{case.name} ({side}): {difference}")
    return found


def _difference(case: Case, theirs: Message | None, ours: Message | ApiError | None) -> str | None:
    if theirs is None or ours is None:
        return None if theirs is ours else f"Kafka {theirs}, pykraft {ours}"
    their_json = comparable(to_json(theirs, case.version))
    if isinstance(ours, ApiError):
        # An error of the whole request stands at each entry; a request without entries gets no code at all.
        codes = set(error_codes(their_json))
        return None if codes <= {int(ours.code)} else f"Kafka {str(their_json)[:200]}, pykraft {ours}"
    our_json = comparable(to_json(ours, case.version))
    if our_json == their_json:
        return None
    only_kafka, only_ours = leaves(their_json), leaves(our_json)
    return f"Kafka {sorted(only_kafka - only_ours)[:9]}, pykraft {sorted(only_ours - only_kafka)[:9]}"


def _start(lab: Lab, settings: Mapping[str, object], release: str | None) -> Iterator[Sides]:
    cluster_id = new_cluster_id()
    with Lab(lab.folder / "pykraft") as pykraft_lab:
        kafka_node = lab.kraft_controller(CONTROLLER_ID, cluster_id, release=release, extra=settings)
        # The release stays 3.9, as Kafka's is: only the metadata.version is an older one.
        version = {} if release is None else {"inter.broker.protocol.version": release}
        pykraft_node = pykraft_lab.pykraft(CONTROLLER_ID, extra={**settings, **version})
        with ServedSide(kafka_node.port) as kafka, ServedSide(pykraft_node.port) as pykraft:
            _set_up(kafka, cluster_id)
            _set_up(pykraft, pykraft_node.cluster_id)
            properties = javaproperties.loads((kafka_node.folder / "server.properties").read_text())
            functions = FunctionSide(properties, cluster_id, CONTROLLER_ID)
            _copy_set_up(kafka, functions, metadata_version_from_text(release or "3.9-IV0"), kafka_node.port)
            log = kafka_node.folder / "data" / "__cluster_metadata-0" / "00000000000000000000.log"
            yield Sides(kafka, pykraft, functions, log, len(_written_by_kafka(log)))


def _set_up(side: ServedSide, cluster_id: str) -> None:
    for case in cases.setting_up(cluster_id):
        answer = side.ask(case)
        assert answer is not None
        assert set(error_codes(to_json(answer, case.version))) == {ErrorCode.NONE}


def _copy_set_up(kafka: ServedSide, functions: FunctionSide, version: MetadataVersion, port: int) -> None:
    """What the other sides hold, as records: features, the controller, the broker, the topics."""
    ranges = [(feature.name, feature.min_version, feature.max_version) for feature in SUPPORTED_FEATURES["3.9"]]
    registration, creation = kafka.answers[cases.REGISTRATION], kafka.answers[cases.CREATION]
    assert isinstance(registration, BrokerRegistrationResponseData)
    assert isinstance(creation, CreateTopicsResponseData)
    functions.answers[cases.REGISTRATION] = registration
    functions.apply(FeatureLevelRecord(name="metadata.version", feature_level=version))
    if version.is_controller_registration_supported:
        functions.apply(
            RegisterControllerRecord(
                controller_id=CONTROLLER_ID,
                features=[ControllerFeature(*one) for one in ranges],
                end_points=[ControllerEndpoint(name="CONTROLLER", host="127.0.0.1", port=port)],
            )
        )
    functions.apply(
        RegisterBrokerRecord(
            broker_id=BROKER_ID,
            broker_epoch=registration.broker_epoch,
            features=[BrokerFeature(*one) for one in ranges],
        )
    )
    for topic in creation.topics:
        functions.apply(TopicRecord(name=topic.name, topic_id=topic.topic_id))


ADMIN_RECORDS: Final = frozenset(
    {
        "ConfigRecord",
        "ClientQuotaRecord",
        "AccessControlEntryRecord",
        "RemoveAccessControlEntryRecord",
        "UserScramCredentialRecord",
        "RemoveUserScramCredentialRecord",
        "DelegationTokenRecord",
        "RemoveDelegationTokenRecord",
        "ProducerIdsRecord",
        "FeatureLevelRecord",
    }
)


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
            fields = comparable(to_json(message, version))
            acl_id = getattr(message, "id", None)
            if acl_id is not None:
                del fields["id"]
                fields = acls.setdefault(acl_id, key_text(fields))
            lines.append(f"{type(message).__name__} v{version} {key_text(fields)}")
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
    "producer ids": cases.producer_id_cases,
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


def test_records(sides: Sides) -> None:
    """Whatever the tests above wrote, both sides wrote the same, request by request."""
    names = [name for name, _ in sides.functions.written]
    ours = _comparable_records([records for _, records in sides.functions.written])
    theirs = _comparable_records(_written_by_kafka(sides.log)[sides.written_by_kafka_before :])
    different = [
        f"{name}: Kafka {their_group}, pykraft {our_group}"
        for name, our_group, their_group in zip_longest(names, ours, theirs)
        if our_group != their_group
    ]
    assert different == []


@pytest.mark.parametrize("group", BARE_GROUPS)
def test_answers_of_a_bare_controller(bare_sides: Sides, group: str) -> None:
    assert bare_sides.differences(BARE_GROUPS[group]()) == []
