"""The first point of a log at which the cluster has something wrong with it, by halving."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pykraft.image.metadata_image import MetadataImage
from pykraft.protocol.records.abort_transaction_record import AbortTransactionRecord
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.replay.recorded import LoggedBatch, NotALogError, Progress, RecordedLog, decoded

RECORDS_SHOWN_MAX = 20


class Found(NamedTuple):
    """The first bad point: its offset, and the records, as text, between it and the point before."""

    offset: int
    records: list[str]


def candidates(
    log: RecordedLog, first: int | None = None, last: int | None = None, progress: Progress | None = None
) -> list[int]:
    """The offsets, ascending, at which brokers may see the cluster: the ends of batches outside of transactions.

    Raises NotALogError when there is none between `first` and `last`, both included, and as `batches` does.
    """
    points: list[int] = []
    is_open = False
    for logged in log.batches(progress):
        is_open = _open_after(logged, is_open)
        offset = logged.batch.header.next_offset - 1
        if not is_open and (first is None or offset >= first) and (last is None or offset <= last):
            points.append(offset)
    if not points:
        raise NotALogError(f"{log.root} has no batch that ends between offsets {first} and {last}")
    return points


def bisect(log: RecordedLog, points: list[int], fails: Callable[[MetadataImage], bool]) -> Found | None:
    """The first of `points` at which `fails` says so, given that it goes on to fail from there; None for none."""
    if not fails(log.image(points[-1])):
        return None
    good, bad = -1, len(points) - 1
    while bad - good > 1:
        middle = (good + bad) // 2
        if fails(log.image(points[middle])):
            bad = middle
        else:
            good = middle
    before = points[bad - 1] if bad else log.start_offset - 1
    return Found(points[bad], _records(log, before + 1, points[bad]))


def _open_after(logged: LoggedBatch, is_open: bool) -> bool:
    """Whether a transaction is open after a batch."""
    path, position, batch = logged
    if batch.header.is_control:
        return is_open
    for offset, value in enumerate(batch.values, batch.header.base_offset):
        # The frame tells the type: no need to read what is no transaction's record.
        if len(value) > 1 and value[1] in _BOUNDARIES:
            is_open = isinstance(decoded(value, path, offset, position), BeginTransactionRecord)
    return is_open


def _records(log: RecordedLog, first: int, last: int) -> list[str]:
    shown: list[str] = []
    for path, position, batch in log.batches():
        if batch.header.next_offset <= first or batch.header.is_control:
            continue
        if batch.header.base_offset > last:
            break
        for offset, value in enumerate(batch.values, batch.header.base_offset):
            if first <= offset <= last and len(shown) < RECORDS_SHOWN_MAX:
                shown.append(f"{offset}: {decoded(value, path, offset, position)}")
    return shown


_BOUNDARIES = frozenset(cls.API_KEY for cls in (BeginTransactionRecord, EndTransactionRecord, AbortTransactionRecord))
