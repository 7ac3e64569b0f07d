"""What operations may cost: CPU time, the best of a few runs, at ten times what is measured on a slow core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from pykraft.controller import partition_change
from pykraft.controller.fencing import fence_records
from pykraft.controller.partition_change import partitions_with_isr_member
from pykraft.controller.topics import create_topics
from pykraft.image.metadata_image import MetadataImage
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from tests.controller.cluster import Cluster

PARTITIONS = 1_000


def cpu_ms(action: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(5):
        begun = time.process_time()
        action()
        best = min(best, time.process_time() - begun)
    return best * 1_000


def request(*names: str) -> CreateTopicsRequestData:
    return CreateTopicsRequestData(topics=[CreatableTopic(name, PARTITIONS, 3) for name in names])


def test_creating_1_000_partitions_takes_30_ms_at_most() -> None:
    cluster = Cluster()
    cluster.start(1, 2, 3)
    cost = cpu_ms(lambda: create_topics(cluster.ctx(), request("a"), 7))
    assert cost < 30, f"{cost:.1f} ms"


def test_fencing_costs_in_proportion_to_the_broker_s_partitions() -> None:
    cluster = Cluster()
    cluster.start(1, 2, 3)
    costs = []
    for names in (("a",), ("b", "c", "d", "e", "f", "g", "h", "i", "j")):
        cluster.apply(create_topics(cluster.ctx(), request(*names), 7).records)
        costs.append(cpu_ms(lambda: fence_records(cluster.ctx(), cluster.image.brokers[1])))
    assert costs[1] < 10 * 3 * costs[0], f"{costs[0]:.1f} ms for {PARTITIONS}, {costs[1]:.1f} ms for ten times as many"


def test_a_broker_in_no_isr_costs_no_scan() -> None:
    cluster = Cluster()
    cluster.start(1, 2, 3, 4)
    cluster.create("a", [1, 2], [2, 3], [1, 2])
    seen = []

    class Counted(dict[Any, Any]):
        def items(self) -> Any:
            for item in super().items():
                seen.append(item)
                yield item

    topic = cluster.image.topics_by_name["a"]
    topic.partitions = Counted(topic.partitions)
    assert list(partitions_with_isr_member(cluster.image, 4)) == []
    assert seen == []
    assert [number for _, number, _ in partitions_with_isr_member(cluster.image, 3)] == [1]
    assert len(seen) == 2, "it stops when it has found all there are"


def test_what_brokers_can_lead_is_worked_out_once_per_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    cluster.start(1, 2, 3)
    cluster.apply(create_topics(cluster.ctx(), request("a"), 7).records)
    calls = []
    real = partition_change.active_brokers

    def counted(image: MetadataImage) -> frozenset[int]:
        calls.append(image)
        return real(image)

    monkeypatch.setattr(partition_change, "active_brokers", counted)
    assert len(fence_records(cluster.ctx(), cluster.image.brokers[1])) == PARTITIONS + 1
    assert len(calls) == 1
