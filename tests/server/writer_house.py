"""A writer on a real log, and operations that set configs, for the tests of what happens around a write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import trio

from pykraft.controller.config import ControllerConfig
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ConfigResource
from pykraft.log.metadata_log import MetadataLog
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.server.storage import replay
from pykraft.server.writer import Writer

TOPIC = 2


class House:
    """A writer on a real log, whose appends can be held up or made to fail."""

    def __init__(self, directory: Path, **config: Any) -> None:
        self.log = MetadataLog.open(directory)
        self.appends: list[list[bytes]] = []
        self.gate = trio.Event()
        self.gate.set()
        self.failure: OSError | None = None
        self.published: list[tuple[int, MetadataDelta]] = []
        self.writer = Writer(
            config=ControllerConfig(**config),
            cluster_id="c",
            rng=Random(1),
            append=self._append,
            reload=lambda offset: replay(self.log, offset),
            now_ms=lambda: 1_700_000_000_000,
        )
        self.writer.subscribe(self._publish)

    async def start(self, nursery: trio.Nursery) -> Writer:
        await self.writer.lead(MetadataImage(), 1, 0)
        await nursery.start(self.writer.run)
        return self.writer

    async def _append(self, batches: Sequence[bytes]) -> None:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.appends.append(list(batches))
        self.log.append(batches)

    def _publish(self, image: MetadataImage, delta: MetadataDelta) -> None:
        self.published.append((image.offset, delta))


def config(name: str, value: str | None = "1", topic: str = "t") -> ApiMessageAndVersion:
    return ApiMessageAndVersion(ConfigRecord(resource_type=TOPIC, resource_name=topic, name=name, value=value), 0)


def writes(*records: ApiMessageAndVersion, atomic: bool = True) -> Callable[[OperationContext], ControllerResult[int]]:
    """An operation that writes `records` and answers the offset of the first."""
    return lambda ctx: ControllerResult(ctx.next_offset, list(records), atomic)


def configs(image: MetadataImage, topic: str = "t") -> dict[str, str]:
    return dict(image.configs.get(ConfigResource(TOPIC, topic), {}))
