"""pykraft beside Apache Kafka's controllers of 3.9.1 and 3.6.2, each with one real broker of the same release.

The same requests get the same answers, make the same records and lead to the same image, whether they are sent to the
controller's listener or through the broker, one by one or many at once. Texts of errors and of documentation, drawn
ids, ports and times are left out of the comparison.

Where pykraft follows 3.9 while it stands for 3.6 is listed in FOLLOWS_3_9. Left out of the script, since pykraft is not
to do as Kafka does:

- A request for too many partitions of a topic that exists: Kafka answers UNKNOWN_SERVER_ERROR and makes 10 000 of them.
- A new target for a partition that moves already, when the target adds or removes nothing by itself: Kafka keeps what
  the old one was adding or removing, and ends with that.
- Requests after one with too many ACLs was refused: Kafka takes these ACLs to exist from then on (so it comes last).
- Bytes after the end of a request: Kafka leaves them alone, pykraft refuses the request.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pytest

from tests.kafka import (
    admin_cases,
    broker_cases,
    config_cases,
    protocol_cases,
    racing_cases,
    security_cases,
    topic_cases,
    user_cases,
)
from tests.kafka.admin_clusters import Clusters, start, start_bare
from tests.kafka.case import Case, through_broker
from tests.kafka.racing_cases import Race

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

Group = Callable[[Clusters], Iterator[Case]]


def _through_broker(group: Group) -> Group:
    return lambda clusters: through_broker(group(clusters))


CONTROLLER_GROUPS: Final[Mapping[str, Group]] = {
    "topic config values": lambda _: config_cases.topic_value_cases(),
    "topic config combinations": lambda _: config_cases.topic_combination_cases(),
    "resources": lambda _: config_cases.resource_cases(),
    "config changes": lambda _: config_cases.config_change_cases(),
    "quotas": lambda _: admin_cases.quota_cases(),
    "acls": lambda _: security_cases.acl_cases(),
    "scram": lambda _: security_cases.scram_cases(),
    "tokens": lambda _: security_cases.token_cases(),
    "features": lambda clusters: admin_cases.feature_cases(clusters.release.level),
    "features down and up": lambda clusters: admin_cases.feature_move_cases(clusters.release.level),
    "cluster": lambda _: admin_cases.cluster_cases(),
    "producer ids": lambda _: admin_cases.producer_id_cases(),
    "too many records": lambda _: admin_cases.size_cases(),
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
    "topics": lambda _: topic_cases.topic_cases("direct"),
    "topics through the broker": lambda _: through_broker(topic_cases.topic_cases("forwarded")),
    "protocol": lambda clusters: protocol_cases.protocol_cases(clusters.release),
    "users of the broker": lambda _: user_cases.user_cases(),
    "registrations": lambda clusters: broker_cases.registration_cases(clusters.release, clusters.cluster_id),
    "heartbeats": lambda clusters: broker_cases.heartbeat_cases(clusters.release),
    "placements": lambda _: broker_cases.placement_cases(),
    "in-sync replicas": lambda _: broker_cases.alter_partition_cases(),
    "elections": lambda clusters: broker_cases.by_turns(broker_cases.election_cases(clusters.release)),
    "reassignments": lambda _: broker_cases.by_turns(broker_cases.reassignment_cases()),
    "directories": lambda clusters: broker_cases.directory_cases(clusters.release),
}
"""What leads to the same records in the same order."""
LAST: Final[Mapping[str, Group]] = {
    "farewells": lambda clusters: broker_cases.by_turns(broker_cases.farewell_cases(clusters.release)),
    "at last": lambda _: security_cases.too_many_acls(),
}


RACES: Final[Mapping[str, Callable[[Clusters], Iterator[Race]]]] = {
    "topics": lambda _: racing_cases.topic_races(),
    "configs": lambda _: racing_cases.config_races(),
    "security": lambda _: racing_cases.security_races(),
    "cluster": racing_cases.cluster_races,
    "partitions": lambda _: racing_cases.partition_races(),
}
REQUESTS_MIN: Final = 300
BARE_GROUPS: Final[Mapping[str, Callable[[], Iterator[Case]]]] = {
    "acls": security_cases.acl_cases,
    "scram": security_cases.scram_cases,
    "tokens": security_cases.disabled_token_cases,
    "features": lambda: admin_cases.feature_cases(8),
    "cluster": admin_cases.cluster_cases,
    "topic config combinations": config_cases.topic_combination_cases,
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
    _require_none(clusters.differences(SCRIPT[group](clusters)))


def test_records(clusters: Clusters) -> None:
    """Whatever the tests above wrote, both sides wrote the same, batch by batch."""
    _require_none(clusters.record_differences())


@pytest.mark.parametrize("group", RACES)
def test_races(clusters: Clusters, group: str) -> None:
    _require_none([line for race in RACES[group](clusters) for line in racing_cases.differences(clusters, race)])


@pytest.mark.parametrize("group", LAST)
def test_last_answers(clusters: Clusters, group: str) -> None:
    _require_none(clusters.differences(LAST[group](clusters)))


def test_the_script_is_long_enough(clusters: Clusters, capsys: pytest.CaptureFixture[str]) -> None:
    """At the controller, through the broker, and racing; counted as the script has it."""
    script = [case for group in (*SCRIPT.values(), *LAST.values()) for case in group(clusters)]
    forwarded = sum(case.through_broker for case in script)
    racing = sum(len(run) for group in RACES.values() for race in group(clusters) for run in race.runs)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{clusters.release.version}: {len(script) - forwarded} requests to the controller, {forwarded} through"
            f" the broker, {racing} racing; put to each side in this run: {clusters.asked}\n"
        )
    assert min(len(script) - forwarded, forwarded) >= REQUESTS_MIN
    assert racing >= REQUESTS_MIN / 2


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
