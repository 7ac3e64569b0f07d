"""Events on stdout: JSON lines in order; a reader that stalls or goes away holds up nobody."""

from __future__ import annotations

import json
import os
import threading

import pytest

from pykraft.server import events
from pykraft.server.events import EventWriter


def test_each_event_is_a_line_of_json() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb") as stream:
        emit = EventWriter(stream)
        emit("ready", node_id=1, listener="127.0.0.1:9093")
        emit("leader", epoch=3)
        emit.close()
        lines = [reader.readline() for _ in range(2)]
    assert [json.loads(line) for line in lines] == [
        {"event": "ready", "node_id": 1, "listener": "127.0.0.1:9093"},
        {"event": "leader", "epoch": 3},
    ]


def test_a_reader_that_stalls_costs_events_not_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CLOSE_WAIT_S", 0.05)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader:
        stream = os.fdopen(writing, "wb")
        emit = EventWriter(stream)
        for number in range(3 * events.EVENTS_QUEUED_MAX):
            emit("tick", number=number, filler="x" * 200)
        emit.close()
        dropped = [record for record in caplog.records if "dropping new ones" in record.getMessage()]
        assert dropped
        # What fits in the pipe and in the queue is there, in order, once somebody reads.
        numbers = [json.loads(reader.readline())["number"] for _ in range(events.EVENTS_QUEUED_MAX)]
        assert numbers == list(range(events.EVENTS_QUEUED_MAX))
        drain = threading.Thread(target=reader.read, daemon=True)
        drain.start()
        emit.close()
        stream.close()
        drain.join(5)


def test_a_reader_that_is_gone_is_survived(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "wb", buffering=0)
    emit = EventWriter(stream)
    emit("ready")
    emit.close()
    emit("leader")
    stream.close()
    assert any("nobody reads" in record.getMessage() for record in caplog.records)
