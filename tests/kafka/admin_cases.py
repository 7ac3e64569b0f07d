"""Quotas, features, the cluster's description, producer ids, and requests for more than one may write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pykraft.controller.result import RECORDS_PER_USER_OPERATION_MAX
from pykraft.protocol._message import Message
from pykraft.protocol.messages.allocate_producer_ids_request import AllocateProducerIdsRequestData
from pykraft.protocol.messages.alter_client_quotas_request import (
    AlterClientQuotasRequestData,
    EntityData,
    EntryData,
    OpData,
)
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.protocol.messages.describe_cluster_request import DescribeClusterRequestData
from pykraft.protocol.messages.update_features_request import FeatureUpdateKey, UpdateFeaturesRequestData
from tests.kafka.case import BROKER_ID, REGISTRATION, Answers, Case
from tests.kafka.config_cases import BROKER, SET, incremental_change, legacy_change


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
        yield Case(
            f"configs {validate_only}", incremental_change((BROKER, "", changes), validate_only=validate_only), 1
        )
        wanted = {name: value for name, _, value in changes}
        yield Case(
            f"legacy configs {validate_only}", legacy_change((BROKER, "", wanted), validate_only=validate_only), 2
        )
    entries = [([("user", f"user-{number}")], [("producer_byte_rate", 1.0)]) for number in range(count)]
    yield Case("too many quotas", _quotas(*entries), 1)


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
