"""What can go wrong with the files of the metadata log; every error names the file and the place in it."""

from __future__ import annotations

from pathlib import Path


class LogError(Exception):
    """Base of every error of `pykraft.log`."""


class CorruptBatchError(LogError):
    """Bytes that are not a record batch of the metadata log.

    `position` counts bytes from the start of the buffer or file; `offset` is the base offset the bytes
    claim, None when not even that could be read.
    """

    def __init__(self, offset: int | None, position: int, reason: str) -> None:
        self.offset = offset
        self.position = position
        self.reason = reason
        at = "unreadable offset" if offset is None else f"offset {offset}"
        super().__init__(f"corrupt record batch at byte {position} ({at}): {reason}")


class CorruptLogError(LogError):
    """A log or checkpoint file with damage that is not a torn tail; nothing behind the damage is trusted.

    `offset` is the offset expected at byte `position` of `path`.
    """

    def __init__(self, path: Path, offset: int, position: int, reason: str) -> None:
        self.path = path
        self.offset = offset
        self.position = position
        self.reason = reason
        super().__init__(
            f"{path} is corrupt at byte {position}, offset {offset}: {reason}; "
            "restore the directory from another controller or a backup, nothing was changed"
        )


class BatchTooLargeError(LogError):
    """Records that do not fit where they must fit: one batch, or one atomic append."""


class LogStateError(LogError):
    """Files of the log directory that are whole but do not belong together or to this node."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class LogLockedError(LogError):
    """The data directory is in use; `holder` says by whom."""

    def __init__(self, path: Path, holder: str) -> None:
        self.path = path
        self.holder = holder
        super().__init__(f"{path} is locked by {holder}: stop it, or give this node a directory of its own")


class LogWriteError(LogError):
    """A write or fsync failed; nothing of it is visible or acknowledged.

    `usable` tells whether the files were brought back to their state before: if so the call may be
    repeated (after making room), otherwise the log refuses every further append until it is opened again.
    """

    def __init__(self, path: Path, reason: str, *, usable: bool) -> None:
        self.path = path
        self.reason = reason
        self.usable = usable
        then = "the log is unchanged, make room and try again" if usable else "the log must be opened again"
        super().__init__(f"writing {path} failed: {reason}; {then}")


class UnusableDirectoryError(LogWriteError):
    """A data directory that cannot be made, read or written; nothing in it was changed, but for a torn tail."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason, usable=False)
        then = "give this node a directory that it may write, on a disk with room"
        self.args = (f"{path} cannot be used: {reason}; {then}",)


class LogClosedError(LogError):
    """A call on a log after `close`."""


class OffsetOutOfRangeError(LogError):
    """An offset outside [start_offset, end_offset] of the log."""

    def __init__(self, offset: int, start_offset: int, end_offset: int) -> None:
        self.offset = offset
        self.start_offset = start_offset
        self.end_offset = end_offset
        super().__init__(f"offset {offset} is outside the log, which holds {start_offset} to {end_offset}")
