"""Fixtures of the log's tests."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator

import pytest

from pykraft.log import metadata_log


@pytest.fixture
def file_size_limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Sets how large files of this process may become, as a full disk would."""
    # A compiled module cut off at the limit would be what every later Python of this checkout finds.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """For modules that open hundreds of logs and end no process: nothing would show whether fsync was called."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(metadata_log, "sync_data", lambda _: None)
