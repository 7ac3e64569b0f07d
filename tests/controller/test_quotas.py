"""AlterClientQuotas: entities, keys, values, and the records that are written."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from pykraft.controller.errors import ApiError
from pykraft.controller.quotas import alter_client_quotas, host_names
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.alter_client_quotas_request import (
    AlterClientQuotasRequestData,
    EntityData,
    EntryData,
    OpData,
)
from tests.controller.cluster import Cluster

Entity = Sequence[tuple[str, str | None]]
Ops = Sequence[tuple[str, float | None]]
RATE: Ops = [("producer_byte_rate", 1000.0)]
IP_RATE: Ops = [("connection_creation_rate", 5.0)]
USER: Entity = [("user", "a")]
NONE, BAD_REQUEST = ErrorCode.NONE, ErrorCode.INVALID_REQUEST


def request(*entries: tuple[Entity, Ops], validate_only: bool = False) -> AlterClientQuotasRequestData:
    return AlterClientQuotasRequestData(
        [
            EntryData(
                [EntityData(*part) for part in entity],
                [OpData(key, value or 0.0, value is None) for key, value in ops],
            )
            for entity, ops in entries
        ],
        validate_only,
    )


def alter(
    cluster: Cluster, *entries: tuple[Entity, Ops], validate_only: bool = False, unresolvable: Sequence[str] = ()
) -> list[tuple[list[tuple[str, str | None]], ErrorCode]]:
    wanted = request(*entries, validate_only=validate_only)
    response = cluster.run(lambda ctx: alter_client_quotas(ctx, wanted, unresolvable))
    return [
        ([(part.entity_type, part.entity_name) for part in entry.entity], ErrorCode(entry.error_code))
        for entry in response.entries
    ]


@pytest.mark.parametrize(
    ("entity", "ops", "code"),
    [
        (USER, RATE, NONE),
        ([("user", None)], RATE, NONE),
        ([("client-id", "c")], RATE, NONE),
        ([("client-id", "c"), ("user", "a")], RATE, NONE),
        ([("client-id", None), ("user", None)], RATE, NONE),
        ([], RATE, BAD_REQUEST),
        ([("user", "")], RATE, BAD_REQUEST),
        ([("group", "g")], RATE, BAD_REQUEST),
        ([("client-id", "c"), ("group", "g")], RATE, BAD_REQUEST),
        ([("ip", "10.0.0.1")], IP_RATE, NONE),
        ([("ip", None)], IP_RATE, NONE),
        ([("ip", "")], IP_RATE, BAD_REQUEST),
        ([("ip", "host")], IP_RATE, NONE),
        ([("ip", "no.host")], IP_RATE, BAD_REQUEST),
        ([("ip", "10.0.0.1"), ("user", "a")], IP_RATE, BAD_REQUEST),
        ([("ip", "10.0.0.1")], RATE, BAD_REQUEST),
        (USER, IP_RATE, BAD_REQUEST),
        (USER, [], NONE),
        ([], [], BAD_REQUEST),
        ([("ip", "no.host")], [], BAD_REQUEST),
    ],
)
def test_which_entities_have_which_quotas(entity: Entity, ops: Ops, code: ErrorCode) -> None:
    cluster = Cluster()
    assert alter(cluster, (entity, ops), unresolvable=["no.host"]) == [(list(entity), code)]
    key = tuple(sorted(entity))
    assert cluster.image.client_quotas == ({key: dict(ops)} if ops and code is NONE else {})


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("producer_byte_rate", 0.0, BAD_REQUEST),
        ("producer_byte_rate", -1.0, BAD_REQUEST),
        ("consumer_byte_rate", 0.5, BAD_REQUEST),
        ("consumer_byte_rate", 1.0000001, NONE),
        ("consumer_byte_rate", 1.00001, BAD_REQUEST),
        ("producer_byte_rate", 9.2e18, NONE),
        ("producer_byte_rate", 9.3e18, BAD_REQUEST),
        ("producer_byte_rate", math.inf, BAD_REQUEST),
        ("request_percentage", 0.5, NONE),
        ("request_percentage", math.inf, NONE),
        ("controller_mutation_rate", 1e-9, NONE),
        ("controller_mutation_rate", 0.0, BAD_REQUEST),
        ("no_such_rate", 1.0, BAD_REQUEST),
        ("no_such_rate", None, NONE),
    ],
)
def test_values(key: str, value: float | None, code: ErrorCode) -> None:
    assert alter(Cluster(), (USER, [(key, value)]))[0][1] is code


@pytest.mark.parametrize(("value", "code"), [(2147483647.0, NONE), (2147483648.0, BAD_REQUEST), (0.5, BAD_REQUEST)])
def test_values_of_addresses(value: float, code: ErrorCode) -> None:
    assert alter(Cluster(), ([("ip", "::1")], [("connection_creation_rate", value)]))[0][1] is code


def test_only_changes_are_written() -> None:
    cluster = Cluster()
    steps: list[tuple[Ops, int, dict[str, float]]] = [
        (
            [("producer_byte_rate", 1.0), ("request_percentage", 2.0)],
            2,
            {"producer_byte_rate": 1.0, "request_percentage": 2.0},
        ),
        (
            [("producer_byte_rate", 1.0), ("request_percentage", 3.0)],
            1,
            {"producer_byte_rate": 1.0, "request_percentage": 3.0},
        ),
        ([("producer_byte_rate", None), ("consumer_byte_rate", None)], 1, {"request_percentage": 3.0}),
        ([("request_percentage", None)], 1, {}),
    ]
    for ops, records, expected in steps:
        assert alter(cluster, (USER, ops)) == [(list(USER), NONE)]
        assert len(cluster.messages) == records
        assert cluster.image.client_quotas.get((("user", "a"),), {}) == expected


def test_not_a_number_is_taken_once() -> None:
    """Kafka's comparisons let it through, and find it equal to itself."""
    cluster = Cluster()
    wanted = request((USER, [("producer_byte_rate", math.nan)]))
    [record] = alter_client_quotas(cluster.ctx(), wanted).records
    cluster.image.apply(record.message, 1, 1)
    assert alter_client_quotas(cluster.ctx(), wanted).records == []
    assert len(alter_client_quotas(cluster.ctx(), request((USER, RATE))).records) == 1


def test_one_bad_change_spoils_its_entity_only() -> None:
    cluster = Cluster()
    answers = alter(cluster, (USER, [*RATE, ("bad", 1.0)]), ([("user", "b")], RATE))
    assert [code for _, code in answers] == [BAD_REQUEST, NONE]
    assert list(cluster.image.client_quotas) == [(("user", "b"),)]


def test_what_comes_twice_is_refused() -> None:
    cluster = Cluster()
    assert alter(cluster, (USER, [*RATE, *RATE])) == [(list(USER), BAD_REQUEST)]
    assert cluster.messages == []
    assert alter(cluster, (USER, RATE), (USER, [("consumer_byte_rate", 5.0)])) == [(list(USER), BAD_REQUEST)]
    assert cluster.image.client_quotas == {(("user", "a"),): {"producer_byte_rate": 1000.0}}
    assert alter(cluster, ([("user", "x"), ("user", "y")], RATE)) == [([("user", "y")], NONE)]


def test_checking_only_writes_nothing() -> None:
    cluster = Cluster()
    assert alter(cluster, (USER, RATE), ([], RATE), validate_only=True) == [(list(USER), NONE), ([], BAD_REQUEST)]
    assert cluster.messages == []
    assert alter(cluster) == []


def test_too_many_records_are_refused_as_a_whole() -> None:
    entries = [([("user", f"u{number}")], RATE) for number in range(10_001)]
    with pytest.raises(ApiError) as refused:
        alter(Cluster(), *entries)
    assert refused.value.code is ErrorCode.POLICY_VIOLATION
    assert len(alter(Cluster(), *entries[1:])) == 10_000


def test_names_of_hosts_are_to_be_resolved() -> None:
    names = ["10.0.0.1", "::1", "host", "", None, "1.2", "a b"]
    wanted = request(*(([("ip", name)], IP_RATE) for name in names), ([("user", "someone")], RATE))
    assert host_names(wanted) == {"host", "1.2", "a b"}
