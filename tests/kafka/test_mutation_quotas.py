"""Controller mutation quotas: pykraft beside Kafka's controller, the same quotas and the same bursts of requests.

Rates are so low that who is refused does not depend on how fast the machine is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from pykraft.lab.cluster import Lab, new_cluster_id
from pykraft.protocol._message import Message
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.messages.alter_client_quotas_request import (
    AlterClientQuotasRequestData,
    EntityData,
    EntryData,
    OpData,
)
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData, CreatePartitionsTopic
from pykraft.protocol.messages.create_topics_request import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData
from tests.kafka.admin_sides import ServedSide
from tests.kafka.case import CONTROLLER_ID, Case, setting_up
from tests.kafka.comparison import error_codes

DEADLINE_S: Final = 30.0
TIMEOUT_MS: Final = 30_000
LOW: Final = 0.001
"""A rate at which whoever is overdrawn stays so."""
CLIENT: Final = "differential"
"""The client id of all requests."""
THROTTLED: Final = int(ErrorCode.THROTTLING_QUOTA_EXCEEDED)
Entity = dict[str, str | None]


@dataclass
class Sides:
    """Both controllers, which got the same requests so far."""

    kafka: ServedSide
    pykraft: ServedSide
    probes: int = 0

    def ask(self, who: str, request: Message, version: int) -> tuple[list[int], int]:
        """Put a request to both for a user; the codes and the time to wait, which both must tell."""
        case = Case(f"{who} {type(request).__name__} v{version}", request, version, f"User:{who}")
        theirs, ours = ((_codes(answer), _wait_ms(answer)) for answer in (self._answer(s, case) for s in self._both()))
        assert ours[0] == theirs[0], f"{case.name}: Kafka {theirs}, pykraft {ours}"
        # Both began to count at slightly different times.
        assert abs(ours[1] - theirs[1]) < 1_000 * DEADLINE_S, f"{case.name}: Kafka {theirs}, pykraft {ours}"
        assert (ours[1] > 0) == (theirs[1] > 0), f"{case.name}: Kafka {theirs}, pykraft {ours}"
        return theirs

    def set(self, rate: float | None, *entities: Entity) -> None:
        """Set or remove a quota and wait until it is in force; Kafka's quotas follow its log with a delay."""
        self._alter(rate, *entities)
        self.probes += 1
        user: Entity = {"user": f"probe-{self.probes}", "client-id": CLIENT}
        self._alter(LOW, user)
        for side in self._both():
            deadline = time.monotonic() + DEADLINE_S
            probe = Case("probe", creation("probe", partitions=1), 7, f"User:{user['user']}")
            while THROTTLED not in _codes(self._answer(side, probe)):
                assert time.monotonic() < deadline, "the quota does not come into force"
        self._alter(None, user)

    def _alter(self, rate: float | None, *entities: Entity) -> None:
        op = OpData("controller_mutation_rate", rate or 0.0, rate is None)
        entries = [
            EntryData([EntityData(entity_type, name) for entity_type, name in entity.items()], [op])
            for entity in entities
        ]
        for side in self._both():
            assert set(_codes(self._answer(side, Case("quota", AlterClientQuotasRequestData(entries), 1)))) == {0}

    def _both(self) -> tuple[ServedSide, ServedSide]:
        return self.kafka, self.pykraft

    @staticmethod
    def _answer(side: ServedSide, case: Case) -> dict[str, Any]:
        answer = side.ask(case)
        assert answer is not None
        shown: dict[str, Any] = to_json(answer, case.version)
        return shown


def _codes(answer: dict[str, Any]) -> list[int]:
    return sorted(error_codes(answer))


def _wait_ms(answer: dict[str, Any]) -> int:
    wait_ms: int = answer.get("throttleTimeMs", 0)
    return wait_ms


def creation(*names: str, partitions: int = 5, factor: int = 1, config: str | None = None, dry: bool = True) -> Message:
    configs = [] if config is None else [CreatableTopicConfig(name=config, value="x")]
    topics = [
        CreatableTopic(name=name, num_partitions=partitions, replication_factor=factor, configs=configs)
        for name in names
    ]
    return CreateTopicsRequestData(topics=topics, timeout_ms=TIMEOUT_MS, validate_only=dry)


def growth(topic: str, count: int) -> Message:
    return CreatePartitionsRequestData([CreatePartitionsTopic(topic, count, None)], TIMEOUT_MS)


def deletion(*names: str) -> Message:
    return DeleteTopicsRequestData(topic_names=list(names), timeout_ms=TIMEOUT_MS)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, kafka_class_path: str) -> Iterator[Sides]:
    cluster_id = new_cluster_id()
    extra = {"broker.session.timeout.ms": 3_600_000}
    with Lab(tmp_path_factory.mktemp("kafka")) as lab, Lab(tmp_path_factory.mktemp("pykraft")) as pykraft_lab:
        theirs = lab.kraft_controller(CONTROLLER_ID, cluster_id, extra=extra)
        ours = pykraft_lab.pykraft(CONTROLLER_ID, cluster_id=cluster_id, extra=extra)
        with ServedSide(theirs.port) as kafka, ServedSide(ours.port) as pykraft:
            both = Sides(kafka, pykraft)
            for case in setting_up(cluster_id):
                for side in (kafka, pykraft):
                    assert set(_codes(both._answer(side, case))) == {0}
            yield both


def test_a_user_beyond_its_quota(sides: Sides) -> None:
    assert sides.ask("alice", creation("first", partitions=1_000), 7) == ([0], 0)
    sides.set(LOW, {"user": "alice"})
    assert sides.ask("alice", creation("first"), 7) == ([0], 0)
    codes, wait_ms = sides.ask("alice", creation("first"), 7)
    assert codes == [THROTTLED]
    assert wait_ms > 4_900_000
    assert sides.ask("alice", creation("first", "second"), 6)[0] == [THROTTLED, THROTTLED]
    assert sides.ask("bob", creation("first", partitions=1_000), 7) == ([0], 0)
    codes, wait_ms = sides.ask("alice", creation("kept", "gone", dry=False), 5)
    assert codes == [0, 0]
    assert wait_ms > 14_900_000
    assert sides.ask("alice", growth("kept", 7), 3)[0] == [THROTTLED]
    assert sides.ask("alice", growth("kept", 7), 2)[0] == [0]
    assert sides.ask("alice", deletion("kept"), 5)[0] == [THROTTLED]
    assert sides.ask("alice", deletion("gone"), 4)[0] == [0]


def test_what_is_refused_for_other_reasons_first(sides: Sides) -> None:
    for request in (
        creation("kept"), creation("bad/name"), creation("new", factor=9), creation("new", config="no.such"),
        creation("new", partitions=0), creation("new", "new"),
    ):  # fmt: skip
        codes, _ = sides.ask("alice", request, 7)
        assert THROTTLED not in codes
    for count in (7, 3):
        assert THROTTLED not in sides.ask("alice", growth("kept", count), 3)[0]
    assert THROTTLED not in sides.ask("alice", growth("nope", 9), 3)[0]
    assert THROTTLED not in sides.ask("alice", deletion("nope"), 5)[0]
    assert sides.ask("alice", creation("kept", "new"), 7)[0] == [ErrorCode.TOPIC_ALREADY_EXISTS, THROTTLED]


def test_whose_quota_it_is(sides: Sides) -> None:
    """Quotas of all levels come and go; what a bucket holds stays."""

    def throttled(who: str) -> bool:
        return sides.ask(who, creation("new"), 7)[0] == [THROTTLED]

    sides.set(LOW, {"user": None})
    assert [throttled("carol"), throttled("carol")] == [False, True]
    sides.set(1e6, {"user": "alice", "client-id": CLIENT})
    assert not throttled("alice")
    sides.set(None, {"user": "alice", "client-id": CLIENT})
    assert throttled("alice")
    sides.set(LOW, {"user": "alice", "client-id": None})
    assert [throttled("alice"), throttled("alice")] == [False, True]
    sides.set(None, {"user": "alice", "client-id": None}, {"user": "alice"})
    assert throttled("alice")
    sides.set(LOW, {"user": None, "client-id": None})
    assert [throttled("dave"), throttled("dave")] == [False, True]
    sides.set(LOW, {"client-id": CLIENT})
    sides.set(None, {"user": None}, {"user": None, "client-id": None})
    assert [throttled("erin"), throttled("frank"), throttled("alice")] == [False, True, True]
    sides.set(1e6, {"client-id": CLIENT})
    assert not throttled("erin")
    sides.set(None, {"client-id": CLIENT})
    assert [throttled("erin"), throttled("carol")] == [False, False]
