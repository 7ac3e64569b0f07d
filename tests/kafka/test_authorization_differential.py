"""pykraft beside Apache Kafka's controller with StandardAuthorizer: who may do what, and how a refusal looks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import product
from typing import Any, Final

import pytest

from pykraft.lab.cluster import Lab, new_cluster_id
from pykraft.protocol._message import Message
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import encode_request
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.messages.create_acls_request import AclCreation
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData, CreatePartitionsTopic
from pykraft.protocol.messages.default_principal_data import DefaultPrincipalData
from pykraft.protocol.messages.envelope_request import EnvelopeRequestData
from pykraft.protocol.messages.request_header import RequestHeaderData
from tests.kafka import authorization_cases as cases
from tests.kafka.admin_sides import ServedSide
from tests.kafka.case import CONTROLLER_ID, Case, setting_up
from tests.kafka.comparison import comparable, error_codes, shown_difference

IN_FORCE_DEADLINE_S: Final = 20.0
"""Kafka's authorizer follows its log with a delay."""
SETTINGS: Final = {
    "super.users": "User:root; User:CN=admin,O=o",
    "allow.everyone.if.no.acl.found": "true",
    "delegation.token.secret.key": "secret",
    "broker.session.timeout.ms": 3_600_000,
}
ZERO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"
HOSTS: Final = ("10.0.0.9", "10.0.0.8", "fd00::9", "fd00::8", "::ffff:10.0.0.9")


@dataclass
class Sides:
    """Both controllers, which got the same requests so far."""

    kafka: ServedSide
    pykraft: ServedSide

    def differences(self, group: Iterable[Case]) -> list[str]:
        """Puts each case to both; one line for each that they answer differently."""
        found = []
        for case in group:
            theirs, ours = (_shown(case, side.ask(case)) for side in (self.kafka, self.pykraft))
            if theirs != ours:
                found.append(f"{case.name}: {shown_difference(theirs, ours)}")
        return found

    def establish(self, number: int, acls: tuple[AclCreation, ...], principal: str | None) -> None:
        """Create entries and wait until they are in force on both sides."""
        request = cases.create_acls((*acls, cases.probe_acl(number)))
        for side in (self.kafka, self.pykraft):
            assert _codes(side, Case("acls", request, 3, principal)) == {ErrorCode.NONE}
            _wait_for(side, cases.probe(number), ErrorCode.TOPIC_AUTHORIZATION_FAILED)


def _shown(case: Case, answer: Message | None) -> Any:
    return None if answer is None else comparable(_with_ids(to_json(answer, case.version)))


def _with_ids(value: Any) -> Any:
    """Topic ids are random, but whether there is one is part of the answer."""
    if isinstance(value, list):
        return [_with_ids(part) for part in value]
    if not isinstance(value, dict):
        return value
    shown = {key: _with_ids(part) for key, part in value.items()}
    if "topicId" in shown:
        shown["hasTopicId"] = shown["topicId"] != ZERO_ID
    return shown


def _codes(side: ServedSide, case: Case) -> set[int]:
    answer = side.ask(case)
    assert answer is not None
    return set(error_codes(to_json(answer, case.version)))


def _wait_for(side: ServedSide, case: Case, code: ErrorCode) -> None:
    deadline = time.monotonic() + IN_FORCE_DEADLINE_S
    while (seen := _codes(side, case)) != {code}:
        assert time.monotonic() < deadline, f"{case.name} still answers {seen}"


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, kafka_class_path: str) -> Iterator[Sides]:
    """Both with the entries of ACLS; the connection's own principal keeps CLUSTER_ACTION only."""
    cluster_id = new_cluster_id()
    with Lab(tmp_path_factory.mktemp("kafka")) as lab, Lab(tmp_path_factory.mktemp("pykraft")) as pykraft_lab:
        theirs = lab.kraft_controller(CONTROLLER_ID, cluster_id, extra=SETTINGS)
        ours = pykraft_lab.pykraft(CONTROLLER_ID, cluster_id=cluster_id, extra=SETTINGS)
        with ServedSide(theirs.port) as kafka, ServedSide(ours.port) as pykraft:
            both = Sides(kafka, pykraft)
            for side in (kafka, pykraft):
                for case in (*setting_up(cluster_id), cases.topics()):
                    assert _codes(side, case) == {ErrorCode.NONE}
            both.establish(1, cases.ACLS, None)
            yield both


def test_forwarded(sides: Sides) -> None:
    assert sides.differences(cases.forwarded_cases("first")) == []


def test_deletion(sides: Sides) -> None:
    assert sides.differences(cases.deletion_cases("first")) == []


def test_direct(sides: Sides) -> None:
    assert sides.differences(cases.direct_cases("first")) == []


def test_the_host_of_the_client(sides: Sides) -> None:
    assert sides.differences(_from_hosts()) == []


def _from_hosts() -> Iterator[Case]:
    principal = b"\x00\x00" + DefaultPrincipalData(type="User", name="alice").encode(0)
    header = RequestHeaderData(
        request_api_key=CreatePartitionsRequestData.API_KEY, request_api_version=3, correlation_id=1, client_id="c"
    )
    for topic, host in product(("hosted", "hosted6"), HOSTS):
        growing = CreatePartitionsTopic(name=topic, count=3, assignments=None)
        inner = CreatePartitionsRequestData(topics=[growing], validate_only=True, timeout_ms=30_000)
        request = EnvelopeRequestData(
            request_data=encode_request(header, inner),
            request_principal=principal,
            client_host_address=ip_address(host).packed,
        )
        yield Case(f"{topic} from {host}", request, 0)


def test_with_entries_on_all_topics(sides: Sides) -> None:
    """Entries on the wildcard leave no topic without entries; those that refuse go before all that permit."""
    sides.establish(2, cases.WILDCARD_ACLS, "User:root")
    for group in (cases.forwarded_cases, cases.deletion_cases, cases.direct_cases):
        assert sides.differences(group("wildcard")) == []


def test_without_cluster_action(sides: Sides) -> None:
    """Runs last: nothing that a broker sends is served from here on, not even what it forwards for a super user."""
    for side in (sides.kafka, sides.pykraft):
        assert _codes(side, Case("removal", cases.delete_anonymous(), 3, "User:root")) == {ErrorCode.NONE}
        _wait_for(side, cases.heartbeat(), ErrorCode.CLUSTER_AUTHORIZATION_FAILED)
    assert sides.differences(cases.broker_cases()) == []
    assert sides.differences(_from_hosts()) == []
