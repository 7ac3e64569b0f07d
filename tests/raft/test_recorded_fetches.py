"""Fetches that real brokers sent to a real controller: our leader, in the same place, gives the same answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykraft.log.batch import iter_headers
from pykraft.protocol.frame import decode_request, decode_response
from pykraft.protocol.messages.fetch_request import FetchRequestData
from pykraft.protocol.messages.fetch_response import FetchResponseData
from pykraft.protocol.messages.quorum_state_data import QuorumStateData
from pykraft.raft.events import LogFlushed, Reply, ReplyFetch, RequestReceived, Started, Tick
from tests.raft.quorum_samples import FactLog, node

WIRE = Path(__file__).parents[1] / "data/wire"
FETCH = 1


def exchanges(path: Path) -> Iterator[tuple[int, FetchRequestData, FetchResponseData]]:
    """(version, request, response) of each metadata Fetch between the broker and the controller."""
    waiting: dict[tuple[int, int], tuple[int, Any]] = {}
    with path.open() as lines:
        for line in lines:
            row = json.loads(line)
            if row["link"] != "broker-to-controller" or row["api_key"] != FETCH:
                continue
            frame = bytes.fromhex(row["frame"])
            if row["direction"] == "request":
                header, _, request = decode_request(frame)
                waiting[row["connection"], header.correlation_id] = row["api_version"], request
            else:
                answered, _, response = decode_response(frame, FETCH, row["api_version"])
                version, request = waiting.pop((row["connection"], answered.correlation_id))
                assert isinstance(request, FetchRequestData)
                assert isinstance(response, FetchResponseData)
                yield version, request, response


def epochs_of(records: bytes) -> list[int]:
    return [header.leader_epoch for _, header in iter_headers(records) for _ in range(header.record_count)]


@pytest.mark.parametrize(
    "name", ["zk-broker-3.4.1", "zk-broker-3.6.2", "zk-broker-3.9.1", "kraft-broker-3.4.1", "kraft-broker-3.9.1"]
)
def test_recorded_fetches_are_answered_as_kafka_did(name: str) -> None:
    known: list[int] = []
    seen = 0
    for version, request, theirs in exchanges(WIRE / f"{name}.jsonl"):
        answer = theirs.responses[0].partitions[0]
        records = answer.records or b""
        known[request.topics[0].partitions[0].fetch_offset :] = epochs_of(records)
        ours = answer_of_ours(known, version, request, theirs)
        assert isinstance(ours, ReplyFetch if records else Reply)
        if isinstance(ours, ReplyFetch):
            assert ours.offset == request.topics[0].partitions[0].fetch_offset
        assert isinstance(ours.response, FetchResponseData)
        ours.response.responses[0].partitions[0].records = records
        assert ours.response.encode(version) == theirs.encode(version)
        seen += 1
    assert seen > 10


def answer_of_ours(
    known: list[int], version: int, request: FetchRequestData, theirs: FetchResponseData
) -> Reply | ReplyFetch:
    """What a node says that leads as the recorded controller did, with the records `known` so far."""
    answer = theirs.responses[0].partitions[0]
    leader_id, epoch = answer.current_leader.leader_id, answer.current_leader.leader_epoch
    # The log of a single voter ends at its high watermark; an answer without one is an error that looks at no log.
    end_offset = max(answer.high_watermark, 1)
    named = theirs.node_endpoints
    endpoints = {"CONTROLLER": (named[0].host, named[0].port)} if named else {}
    log = FactLog()
    quorum = node(
        log, QuorumStateData(leader_epoch=epoch - 1),
        node_id=leader_id, voters=(leader_id,), cluster_id=request.cluster_id, endpoints=endpoints,
    )  # fmt: skip
    quorum.step(Started(), 0)
    assert quorum.epoch == epoch
    log.epochs = (known + [epoch] * end_offset)[:end_offset]
    quorum.step(LogFlushed(end_offset), 0)
    effects = quorum.step(RequestReceived(1, request, version, "CONTROLLER"), 0)
    (effect,) = effects or quorum.step(Tick(), request.max_wait_ms)
    assert isinstance(effect, Reply | ReplyFetch)
    return effect
