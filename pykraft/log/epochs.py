"""Which leader epoch began at which offset, and the file `leader-epoch-checkpoint` that says so."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

from pykraft.log.errors import LogStateError
from pykraft.log.files import replace_file

FILE_NAME = "leader-epoch-checkpoint"


class OffsetAndEpoch(NamedTuple):
    """A point in the log: the offset after the last record, and the leader epoch of that record."""

    offset: int
    epoch: int

    @property
    def order(self) -> tuple[int, int]:
        """Sorts points as Kafka does, the epoch first: a newer epoch may have taken records back."""
        return self.epoch, self.offset


def latest_epoch_on_file(directory: Path) -> int | None:
    """The newest epoch that the file in `directory` knows; None without a file or entries.

    The file is written before the first batch of an epoch, by Kafka too, so no batch has a newer one. Raises
    `LogStateError` for a file that is not one, OSError.
    """
    path = directory / FILE_NAME
    try:
        lines = path.read_text(errors="replace").split("\n")
    except FileNotFoundError:
        return None
    try:
        version, count = int(lines[0]), int(lines[1])
        epochs = [int(line.split()[0]) for line in lines[2 : 2 + count]]
        if version != 0 or len(epochs) != count:
            raise ValueError
    except (ValueError, IndexError):
        raise LogStateError(path, "is not a leader epoch checkpoint: remove it, it is made from the log") from None
    return max(epochs, default=None)


class EpochCache:
    """Start offsets of the leader epochs in the log, ascending in both.

    The batches are the source; the file is written for Kafka's controller, which reads it when it takes the
    directory over. Kafka: `storage/internals/epoch/LeaderEpochFileCache.java`.
    """

    def __init__(self) -> None:
        self._epochs: list[int] = []
        self._starts: list[int] = []

    @property
    def latest(self) -> int | None:
        """The last epoch that wrote a record; None for an empty log."""
        return self._epochs[-1] if self._epochs else None

    def entries(self) -> list[tuple[int, int]]:
        """(epoch, start offset) of every epoch, ascending."""
        return list(zip(self._epochs, self._starts, strict=True))

    def assign(self, epoch: int, start_offset: int) -> None:
        """A batch of `epoch` stands at `start_offset`, the end of the log so far."""
        if not self._epochs or epoch > self._epochs[-1]:
            self._epochs.append(epoch)
            self._starts.append(start_offset)

    def truncate_from_start(self, start_offset: int) -> None:
        """The log now begins at `start_offset`: the epoch that holds it begins there, those before are gone."""
        gone = bisect_right(self._starts, start_offset) - 1
        if gone >= 0:
            del self._epochs[:gone], self._starts[:gone]
            self._starts[0] = start_offset

    def end_offset_for(self, epoch: int, end_offset: int) -> OffsetAndEpoch | None:
        """Where the largest known epoch <= `epoch` ends, given the log's `end_offset`.

        None when `epoch` is newer than all; (first start, `epoch`) when it is older than all.
        """
        i = bisect_right(self._epochs, epoch)
        if not self._epochs or epoch > self._epochs[-1]:
            return None
        if i == 0:
            return OffsetAndEpoch(self._starts[0], epoch)
        end = self._starts[i] if i < len(self._starts) else end_offset
        return OffsetAndEpoch(end, self._epochs[i - 1])

    def text(self, pending: tuple[int, int] | None = None) -> str:
        """The file's content, with one entry more when `pending` is given."""
        rows = [*self.entries(), *([pending] if pending else [])]
        return "".join([f"0\n{len(rows)}\n", *(f"{epoch} {start}\n" for epoch, start in rows)])

    def write(self, directory: Path, pending: tuple[int, int] | None = None) -> None:
        """Replaces the file in `directory` unless it says the same already; OSError."""
        path, text = directory / FILE_NAME, self.text(pending)
        try:
            if path.read_text() == text:
                return
        except (OSError, UnicodeDecodeError):
            pass
        replace_file(path, text)
