"""pykraft beside Apache Kafka's controllers of 3.9.1 and 3.6.2, each with one real broker of the same release.

The same requests get the same answers, make the same records and lead to the same image, whether they are sent to the
controller's listener or through the broker. Texts of errors and of documentation, drawn ids, ports and times are left
out of the comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pytest

from tests.kafka import admin_cases as cases
from tests.kafka.admin_cases import Case
from tests.kafka.admin_clusters import Clusters, Release, start, start_bare

VERSIONS: Final = ("3.9.1", "3.6.2")
SETTINGS: Final = {
    "delegation.token.secret.key": "secret",
    "delegation.token.max.lifetime.ms": 100_000_000,
    "broker.session.timeout.ms": 3_600_000,
    "replica.lag.time.max.ms": 3_600_000,
    "auto.leader.rebalance.enable": "false",
    "log.retention.hours": 72,
    "min.insync.replicas": 2,
    "num.partitions": 3,
}

DIFFERENCES_SHOWN: Final = 50

BARE_LEVEL: Final = "3.4-IV0"
BARE_SETTINGS: Final = {"authorizer.class.name": "", "broker.session.timeout.ms": 3_600_000}

Group = Callable[[Release], Iterator[Case]]


def _through_broker(group: Group) -> Group:
    return lambda release: cases.through_broker(group(release))


CONTROLLER_GROUPS: Final[Mapping[str, Group]] = {
    "topic config values": lambda _: cases.topic_value_cases(),
    "topic config combinations": lambda _: cases.topic_combination_cases(),
    "resources": lambda _: cases.resource_cases(),
    "config changes": lambda _: cases.config_change_cases(),
    "quotas": lambda _: cases.quota_cases(),
    "acls": lambda _: cases.acl_cases(),
    "scram": lambda _: cases.scram_cases(),
    "tokens": lambda _: cases.token_cases(),
    "features": lambda release: cases.feature_cases(release.level),
    "features down and up": lambda release: cases.feature_move_cases(release.level),
    "cluster": lambda _: cases.cluster_cases(),
    "producer ids": lambda _: cases.producer_id_cases(),
    "too many records": lambda _: cases.size_cases(),
}
"""Put to the controller's listener."""
BROKER_GROUPS: Final[Mapping[str, Group]] = {
    name: _through_broker(CONTROLLER_GROUPS[name])
    for name in (
        "topic config combinations",
        "resources",
        "config changes",
        "quotas",
        "acls",
        "scram",
        "features",
        "features down and up",
        "cluster",
        "too many records",
    )
}
"""Put to the broker."""
SCRIPT: Final[Mapping[str, Group]] = {
    **CONTROLLER_GROUPS,
    **{f"{name} through the broker": group for name, group in BROKER_GROUPS.items()},
    "at last": lambda _: cases.last_cases(),
}


BARE_GROUPS: Final[Mapping[str, Callable[[], Iterator[Case]]]] = {
    "acls": cases.acl_cases,
    "scram": cases.scram_cases,
    "tokens": cases.disabled_token_cases,
    "features": lambda: cases.feature_cases(8),
    "cluster": cases.cluster_cases,
    "topic config combinations": cases.topic_combination_cases,
}


@pytest.fixture(scope="module", params=VERSIONS)
def clusters(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kafka_class_path: str
) -> Iterator[Clusters]:
    """Controllers with an authorizer and token key, at the highest metadata.version of the release."""
    version = request.param
    with start(tmp_path_factory.mktemp(version), version, SETTINGS) as clusters:
        yield clusters


@pytest.mark.parametrize("group", SCRIPT)
def test_answers(clusters: Clusters, group: str) -> None:
    _require_none(clusters.differences(SCRIPT[group](clusters.release)))


def test_records(clusters: Clusters) -> None:
    """Whatever the tests above wrote, both sides wrote the same, batch by batch."""
    _require_none(clusters.record_differences())


def test_images(clusters: Clusters) -> None:
    _require_none(clusters.image_differences())


@pytest.fixture(scope="module")
def bare_clusters(tmp_path_factory: pytest.TempPathFactory, kafka_class_path: str) -> Iterator[Clusters]:
    """Controllers without authorizer and token key, at a metadata.version without SCRAM and registered controllers."""
    with start_bare(tmp_path_factory.mktemp("bare"), BARE_LEVEL, BARE_SETTINGS) as clusters:
        yield clusters


@pytest.mark.parametrize("group", BARE_GROUPS)
def test_answers_of_bare_controllers(bare_clusters: Clusters, group: str) -> None:
    _require_none(bare_clusters.differences(BARE_GROUPS[group]()))


def test_records_and_images_of_bare_controllers(bare_clusters: Clusters) -> None:
    _require_none(bare_clusters.record_differences() + bare_clusters.image_differences())


def _require_none(differences: list[str]) -> None:
    assert not differences, "\n".join([f"{len(differences)} differences", *differences[:DIFFERENCES_SHOWN]])
