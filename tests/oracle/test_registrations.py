"""Registrations of every kind, good and bad, against Kafka's own ClusterControlManager."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from pykraft.controller.fencing import process_broker_heartbeat
from pykraft.controller.registration import register_broker
from pykraft.image.metadata_version import ELR_VERSION, FEATURE_NAME
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature, Listener
from pykraft.protocol.uuids import random_uuid
from tests.controller.cluster import CLUSTER_ID, SESSION_MS, directory_of
from tests.oracle.both_sides import BothSides
from tests.oracle.replication_oracle import ReplicationOracle

API_VERSIONS: Final = (0, 1, 2, 3, 4, 4, 4, 4)
REGISTRATIONS: Final = 600


VERSIONS_OF_ITS_OWN: Final[tuple[list[Feature], ...]] = (
    [],
    [Feature(FEATURE_NAME, 1, 7)],
    [Feature(FEATURE_NAME, 30, 40)],
)


def _registration(rng: Random, sides: BothSides) -> BrokerRegistrationRequestData:
    """Mostly right in each respect, so that every check is reached."""

    def seldom(usual: Any, *others: Any) -> Any:
        return usual if rng.random() < 0.85 else rng.choice(others)

    id_ = rng.randint(1, 3)
    before = sides.image.brokers.get(id_)
    own = [directory_of(id_), directory_of(id_, 1)]
    level = sides.image.metadata_version.value
    other = directory_of(id_ % 3 + 1)
    return BrokerRegistrationRequestData(
        broker_id=id_,
        cluster_id=seldom(CLUSTER_ID, "another", ""),
        incarnation_id=before.incarnation_id if before and rng.random() < 0.5 else random_uuid(rng),
        listeners=[Listener("PLAINTEXT", f"broker{id_}", 9092, seldom(0, 1, 3))],
        features=[
            *seldom(
                [Feature(FEATURE_NAME, 1, level)], [], [Feature(FEATURE_NAME, 1, 7)], [Feature(FEATURE_NAME, 30, 40)]
            ),
            *seldom([Feature(ELR_VERSION, 0, 1)], [], [Feature(ELR_VERSION, 0, 0)]),
            *seldom([], [Feature("a.feature", 0, 1)], [Feature("a.feature", 1, 2)], [Feature("kraft.version", 1, 1)]),
        ],
        rack=rng.choice([None, "a", "b"]),
        is_migrating_zk_broker=seldom(False, True),
        log_dirs=seldom(own, own[:1], [], [own[0]] * 2, [own[0], other], [bytes(15) + b"\x63"], [bytes(15) + b"\x64"]),
        previous_broker_epoch=rng.choice([-1, -1, before.epoch if before else 3]),
    )


def _without_what_it_has_not(request: BrokerRegistrationRequestData, version: int) -> BrokerRegistrationRequestData:
    """What a version cannot say is not asked for."""
    if version < 1:
        request.is_migrating_zk_broker = False
    if version < 2:
        request.log_dirs = []
    if version < 3:
        request.previous_broker_epoch = -1
    return request


@pytest.mark.parametrize(("version", "level"), [("3.9.1", 21), ("3.9.1", 8), ("4.1.2", 27)])
def test_every_check_of_a_registration(version: str, level: int, tmp_path: Path) -> None:
    with ReplicationOracle(version, tmp_path) as oracle:
        rng = Random(62)
        sides = BothSides(oracle, version, level, rng)
        accepted = 0
        for _ in range(REGISTRATIONS):
            api_version = rng.choice(API_VERSIONS)
            request = _without_what_it_has_not(_registration(rng, sides), api_version)
            before = sides.image.brokers.get(request.broker_id)
            if sides.is_4 and before is not None and before.fenced:
                # 4.x keeps the id of a fenced broker for a session after its last heartbeat, pykraft does not.
                sides.tick(SESSION_MS + 1)
            if sides.ask(request, api_version, register_broker) is None:
                continue
            accepted += 1
            broker = sides.image.brokers[request.broker_id]
            # One of the same incarnation is a sign of life here, and up to 3.9; in 4.x only heartbeats are.
            if rng.random() < 0.7 or not broker.fenced:
                heartbeat = BrokerHeartbeatRequestData(
                    broker_id=broker.id, broker_epoch=broker.epoch, current_metadata_offset=sides.image.offset
                )
                sides.ask(heartbeat, 1, process_broker_heartbeat)
                sides.heard_ms[broker.id, broker.epoch] = sides.monotonic_ms
        assert REGISTRATIONS / 10 < accepted < REGISTRATIONS * 3 / 4
