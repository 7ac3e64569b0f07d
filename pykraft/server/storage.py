"""The data directory of a controller: formatted on first start, checked and recovered on every start."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from random import Random
from typing import Final

from pykraft.controller.config import ControllerConfig
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.replay import apply_values
from pykraft.log.batch import Batch
from pykraft.log.checkpoint import checkpoint_name, iter_checkpoint
from pykraft.log.epochs import OffsetAndEpoch
from pykraft.log.meta_properties import MetaProperties, read_meta_properties, write_meta_properties
from pykraft.log.metadata_log import LogConfig, MetadataLog
from pykraft.protocol.uuids import Uuid, random_uuid, uuid_from_text, uuid_to_text

log = logging.getLogger(__name__)

PROGRESS_AFTER_S: Final = 2.0
PROGRESS_INTERVAL_S: Final = 0.2
FROZEN_PARTITIONS_MIN: Final = 10_000
"""From how many partitions on the collector is kept from looking through the image: a short stop, but at any time."""


class StorageError(Exception):
    """A data directory that cannot be used as asked; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Storage:
    """An open data directory: who it belongs to, and its log."""

    cluster_id: str
    directory_id: Uuid
    log: MetadataLog


def open_storage(directory: Path, config: ControllerConfig, cluster_id: str | None, rng: Random) -> Storage:
    """Open `directory` as that of node `config.node_id`, and format it when it is new.

    `cluster_id` None takes that of the directory, or draws one for a new directory. Raises LogError (its subclass
    ForeignDirectoryError for the directory of another node or cluster), StorageError, OSError.
    """
    if cluster_id is not None:
        _check_cluster_id(cluster_id)
    opened = MetadataLog.open(
        directory,
        LogConfig(config.metadata_log_segment_bytes, config.metadata_log_segment_ms),
        progress=Progress(f"Checking the log in {directory}"),
    )
    try:
        properties = _properties(directory, config.node_id, cluster_id, opened, rng)
    except BaseException:
        opened.close()
        raise
    _report(opened)
    assert properties.cluster_id is not None
    assert properties.directory_id is not None
    return Storage(properties.cluster_id, properties.directory_id, opened)


def _report(opened: MetadataLog) -> None:
    recovery = opened.recovery
    torn, behind = recovery.torn_tail, recovery.started_over_at
    if torn is not None:
        log.warning("%s: cut %d bytes of an append that was not finished: %s", torn.path, torn.size, torn.reason)
    if behind is not None:
        log.warning(
            "%s: the log ended before the snapshot %s: it was dropped and goes on behind the snapshot",
            opened.directory,
            checkpoint_name(behind),
        )
    for damage in recovery.damaged:
        log.warning(
            "%s is corrupt at byte %d: %s; it is not needed and was set aside",
            damage.path,
            damage.position,
            damage.reason,
        )


def _properties(
    directory: Path, node_id: int, cluster_id: str | None, opened: MetadataLog, rng: Random
) -> MetaProperties:
    properties = read_meta_properties(directory)
    if properties is None:
        if opened.end_offset > 0:
            raise StorageError(
                f"{directory} has a metadata log but no meta.properties: restore that file, or give another directory"
            )
        properties = MetaProperties(cluster_id or uuid_to_text(random_uuid(rng)), node_id, random_uuid(rng), version=1)
        write_meta_properties(directory, properties)
        log.info("Formatting %s with cluster id %s and node id %d.", directory, properties.cluster_id, node_id)
        return properties
    properties.check(directory, cluster_id=cluster_id, node_id=node_id)
    if properties.directory_id is None:
        properties = MetaProperties(properties.cluster_id, properties.node_id, random_uuid(rng), properties.version)
        write_meta_properties(directory, properties)
    return properties


def _check_cluster_id(text: str) -> None:
    """Kafka wants the 22 characters of a UUID; some old ZooKeeper clusters have other ids, which brokers accept."""
    try:
        uuid_from_text(text)
    except ValueError:
        if not text or not text.isprintable() or text != text.strip():
            raise StorageError(f"cluster id {text!r}: give the id that the brokers have") from None


def replay(opened: MetadataLog, delta_from: int | None = None) -> MetadataImage:
    """The image of the latest snapshot and the log behind it; its delta starts after offset `delta_from`, the last one
    of a batch, and is empty without it.

    Raises CorruptLogError, ProtocolError, ReplayError.
    """
    image = MetadataImage()
    collects = gc.isenabled()
    # Nothing of what is made here is garbage, and there is much of it to look through.
    gc.disable()
    try:
        snapshot = opened.latest_snapshot
        start_offset = opened.start_offset if snapshot is None else _load_snapshot(image, opened, snapshot)
        image.take_delta()
        for batch in opened.iter_batches(start_offset, progress=Progress("Loading the metadata log")):
            _apply_batch(image, batch)
            if delta_from is None or image.offset <= delta_from:
                image.take_delta()
        if image.partition_count >= FROZEN_PARTITIONS_MIN:
            gc.freeze()
    finally:
        if collects:
            gc.enable()
    return image


def _load_snapshot(image: MetadataImage, opened: MetadataLog, snapshot: OffsetAndEpoch) -> int:
    """Apply a snapshot; the offset to go on from. All of its records stand at its last offset, as in Kafka."""
    last_offset = snapshot.offset - 1
    log.info("Loading snapshot %s.", checkpoint_name(snapshot))
    for batch in iter_checkpoint(opened.directory / checkpoint_name(snapshot)):
        if not batch.header.is_control:
            apply_values(image, batch.values, repeat(last_offset), snapshot.epoch)
            image.take_delta()
    image.offset, image.epoch = last_offset, snapshot.epoch
    return snapshot.offset


def _apply_batch(image: MetadataImage, batch: Batch) -> None:
    """Apply one batch of the log; a control record only moves the offset."""
    header = batch.header
    if header.is_control:
        image.offset, image.epoch = header.next_offset - 1, header.leader_epoch
    else:
        apply_values(image, batch.values, range(header.base_offset, header.next_offset), header.leader_epoch)


class Progress:
    """Shows on a terminal, and only after PROGRESS_AFTER_S seconds, how much of a file is done."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._next_s = clock() + PROGRESS_AFTER_S
        self._visible = sys.stderr.isatty()
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        ends = done >= total
        if not self._visible or (self._clock() < self._next_s and not (ends and self._shown)):
            return
        self._next_s = self._clock() + PROGRESS_INTERVAL_S
        self._shown = True
        end = "\n" if ends else ""
        sys.stderr.write(f"\r{self._what}: {100 * done // max(total, 1)} % of {total >> 20} MiB{end}")
        sys.stderr.flush()
