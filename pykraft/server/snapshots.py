"""Snapshots of the metadata: written when Kafka would write one, while the writer goes on; old ones removed.

Source: metadata/src/main/java/org/apache/kafka/image/publisher/SnapshotGenerator.java, SnapshotEmitter.java;
raft/src/main/java/org/apache/kafka/raft/KafkaRaftClient.java (the cleaner).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import trio

from pykraft.controller.config import ControllerConfig
from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.snapshot import SnapshotCursor, UnwritableMetadataError
from pykraft.log.checkpoint import CheckpointWriter, checkpoint_name
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.errors import LogError
from pykraft.log.metadata_log import MetadataLog
from pykraft.protocol.record_frame import ApiMessageAndVersion, encode_record
from pykraft.server.writer import Writer

log = logging.getLogger(__name__)

CHECK_INTERVAL_MS: Final = 500
CLEAN_INTERVAL_MS: Final = 60_000
CHUNK_RECORDS: Final = 500


class Snapshots:
    """Writes and removes the snapshots of one node; `run` is its life.

    `quorum_records` are the control records that stand for the voters of the log.
    `now_ms` is the wall clock, in ms since 1970; trio's clock decides when a snapshot is due.
    """

    def __init__(
        self,
        writer: Writer,
        opened: MetadataLog,
        config: ControllerConfig,
        now_ms: Callable[[], int],
        quorum_records: Sequence[tuple[int, bytes]] = (),
    ) -> None:
        self.quorum_records = quorum_records
        """The control records that every snapshot begins with: those of kraft.version 1, or none."""
        self._writer = writer
        self._log = opened
        self._config = config
        self._now_ms = now_ms
        self._cursor: SnapshotCursor | None = None
        self._last_bytes = 0
        self._last_s = 0.0
        writer.subscribe(self._note)

    async def run(self) -> None:
        """Look for what is due until cancelled; a disk that refuses is logged, and tried again when due again."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._clean)
            self._reset()
            while True:
                await trio.sleep(CHECK_INTERVAL_MS / 1000)
                reason = self._due()
                if reason is None or not await self._writer.read(self._begin):
                    continue
                self._reset()
                try:
                    await self._write(reason)
                except (LogError, OSError, UnwritableMetadataError) as error:
                    log.error("The snapshot was not written: %s", error)
                finally:
                    self._cursor = None

    def _reset(self) -> None:
        self._last_bytes, self._last_s = self._log.appended_bytes, trio.current_time()

    def _due(self) -> str | None:
        """Why a snapshot is due, in Kafka's words."""
        bytes_max = self._config.metadata_log_max_record_bytes_between_snapshots
        interval_ms = self._config.metadata_log_max_snapshot_interval_ms
        appended = self._log.appended_bytes - self._last_bytes
        if appended >= bytes_max:
            return f"we have replayed at least {bytes_max} bytes"
        if appended and interval_ms and trio.current_time() - self._last_s >= interval_ms / 1000:
            return f"we have waited at least {interval_ms // 60_000} minute(s)"
        return None

    def _begin(self, image: MetadataImage) -> bool:
        """Take the point in time; not while a transaction is open, whose records may yet be aborted."""
        if image.in_transaction or image.offset < 0:
            return False
        self._cursor = SnapshotCursor(image)
        return True

    def _note(self, image: MetadataImage, delta: MetadataDelta) -> None:
        if self._cursor is not None:
            self._cursor.note(delta)

    async def _write(self, reason: str) -> None:
        cursor = self._cursor
        assert cursor is not None
        point = OffsetAndEpoch(cursor.offset + 1, cursor.epoch)
        if point in self._log.snapshots:
            return
        log.info("Creating new KRaft snapshot file %s because %s.", checkpoint_name(point), reason)
        file = await trio.to_thread.run_sync(self._log.begin_snapshot, point, self._now_ms(), self.quorum_records)
        try:
            while records := await self._take(cursor):
                await trio.to_thread.run_sync(_append, file, records)
            if self._cursor is cursor:
                await trio.to_thread.run_sync(self._log.add_snapshot, file)
                log.info("Successfully wrote snapshot %s of %d bytes", checkpoint_name(point), file.size)
        finally:
            file.abandon()

    async def _take(self, cursor: SnapshotCursor) -> list[ApiMessageAndVersion]:
        """The next records of the snapshot; none at its end, and when leadership was lost, which ends it too."""

        def ask(image: MetadataImage) -> list[ApiMessageAndVersion] | None:
            if image.epoch != cursor.epoch:
                # The image was loaded again: what changed in between was never published.
                self._cursor = None
                return []
            return None if image.in_transaction else cursor.take(image, CHUNK_RECORDS)

        while True:
            await trio.lowlevel.checkpoint()
            records = await self._writer.read(ask)
            if records is not None:
                return records
            await trio.sleep(CHECK_INTERVAL_MS / 1000)

    async def _clean(self) -> None:
        while True:
            await trio.sleep(CLEAN_INTERVAL_MS / 1000)
            await self.clean()

    async def clean(self) -> None:
        """Remove what is beyond the retention, once."""
        config, now_ms = self._config, self._now_ms()
        try:
            removed = await trio.to_thread.run_sync(
                lambda: self._log.clean(
                    retention_bytes=config.metadata_max_retention_bytes,
                    retention_ms=config.metadata_max_retention_ms,
                    now_ms=now_ms,
                )
            )
        except (LogError, OSError) as error:
            log.error("Old snapshots were not removed: %s", error)
            return
        for snapshot in removed:
            log.info("Removed snapshot %s: the log now starts at %d", checkpoint_name(snapshot), self._log.start_offset)


def _append(file: CheckpointWriter, records: Sequence[ApiMessageAndVersion]) -> None:
    file.append([encode_record(record.message, record.version) for record in records])
