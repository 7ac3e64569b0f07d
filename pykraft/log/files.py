"""Durable file operations and the lock of a data directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
import threading
from pathlib import Path
from typing import ClassVar

from pykraft.log.errors import LogLockedError

LOCK_NAME = ".lock"

sync_data = getattr(os, "fdatasync", os.fsync)
"""fsync of a file's bytes and size; fdatasync where the system has it."""


def sync_directory(directory: Path) -> None:
    """Makes names created, renamed or removed in `directory` durable; OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes, position: int) -> None:
    """Writes all of `data` at `position`; OSError, after which part of it may be in the file."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, position)
        view = view[written:]
        position += written


def replace_file(path: Path, content: str) -> None:
    """Replaces `path` by `content` so that a crash leaves the old or the new text, never a part; OSError."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            write_all(fd, content.encode(), 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


class DirectoryLock:
    """Exclusive use of a data directory through its `.lock` file, in the way Kafka takes it.

    A POSIX record lock, as Java's FileLock is, so pykraft and Kafka keep each other out. Such a lock does
    not hold against the process that has it: a table in this process does.
    """

    _held: ClassVar[set[str]] = set()
    _held_guard = threading.Lock()

    def __init__(self, directory: Path) -> None:
        """Takes the lock; `LogLockedError` when another process or this one has it, OSError."""
        self._path = directory / LOCK_NAME
        self._key = os.path.realpath(self._path)
        self._fd: int | None = None
        with self._held_guard:
            if self._key in self._held:
                raise LogLockedError(self._path, f"this process ({os.getpid()})")
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder(fd)
                os.close(fd)
                raise LogLockedError(self._path, holder) from None
            except BaseException:
                os.close(fd)
                raise
            self._fd = fd
            self._held.add(self._key)

    def release(self) -> None:
        """Gives the directory free; the file stays, as Kafka leaves it."""
        with self._held_guard:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
                self._held.discard(self._key)


_LINUX_FLOCK = struct.Struct("hhqqi4x")


def _holder(fd: int) -> str:
    """Who holds the lock on `fd`, as far as the system tells."""
    if sys.platform != "linux":
        return "another process"
    asked = _LINUX_FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        pid = _LINUX_FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))[4]
    except OSError:
        return "another process"
    if pid <= 0:
        return "another process"
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"process {pid}"
    command = b" ".join(words).decode(errors="replace").strip()
    return f"process {pid} ({command[:120]})"
