"""A pykraft that runs in the test's own process, what it stands for beside each release, and a real broker on it."""

from __future__ import annotations

from functools import partial
from typing import Any

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.model import PartitionRegistration
from pykraft.lab import jars
from pykraft.lab.cluster import Lab, Node
from pykraft.testing.handle import Controller
from tests import waiting

V = MetadataVersion
DEADLINE_S = 60.0
CONTROLLER_ID = 3000
TOPIC = "orders"
LEVELS = {
    "3.4.1": V.IBP_3_4_IV0,
    "3.5.2": V.IBP_3_5_IV2,
    "3.6.2": V.IBP_3_6_IV2,
    "3.7.2": V.IBP_3_7_IV4,
    "3.8.1": V.IBP_3_8_IV0,
    "3.9.1": V.IBP_3_9_IV0,
    "4.0.2": V.IBP_4_0_IV3,
    "4.1.2": V.IBP_4_1_IV1,
}
"""What pykraft stands for beside a broker of each release."""

until = partial(waiting.until, deadline_s=DEADLINE_S)


def partitions(c: Controller, name: str = TOPIC) -> dict[int, PartitionRegistration]:
    def look(image: MetadataImage) -> dict[int, PartitionRegistration]:
        topic = image.topics_by_name.get(name)
        return {} if topic is None else dict(topic.partitions)

    return c.read(look)


def start_broker(
    lab: Lab, c: Controller, version: str, config: dict[str, Any], *, dynamic_quorum: bool = False
) -> Node:
    jars.ensure(version)
    broker = lab.kraft_broker(
        1,
        c.cluster_id,
        c.address if dynamic_quorum else f"{CONTROLLER_ID}@{c.address}",
        version=version,
        dynamic_quorum=dynamic_quorum,
        extra={"broker.heartbeat.interval.ms": 500, "replica.high.watermark.checkpoint.interval.ms": 500} | config,
    )
    c.wait_event("broker_unfenced", broker_id=1, timeout_s=DEADLINE_S)
    return broker
