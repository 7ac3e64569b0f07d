"""A real KRaft broker given a recorded log: it loads it and answers Metadata with what is in it."""

from __future__ import annotations

import sys
import time
from contextlib import closing

import pytest

from pykraft.lab.cluster import Lab
from pykraft.lab.errors import LabError
from pykraft.lab.process import EventProcess
from pykraft.protocol._message import Message
from pykraft.protocol.messages.metadata_request import MetadataRequestData
from pykraft.protocol.messages.metadata_response import MetadataResponseData
from tests.kafka.admin_sides import Connection
from tests.replay.samples import CONTROLLER_DATA

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

TIMEOUT_S = 90.0
TOPICS = {"during-dual-write": 3, "orders": 8, "payments.v1": 3, "under_score": 3}


def test_a_broker_answers_from_a_recorded_log(lab: Lab) -> None:
    folder = lab.folder / "serve"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "pykraft", "log", "serve", str(CONTROLLER_DATA), "--map-id", "2=7",
               "--map-host", "127.0.0.1:34817=127.0.0.1:19092"]  # fmt: skip
    server = EventProcess("serve", command, folder)
    lab.own(server)
    server.start()
    ready = server.wait_event(lambda event: event["event"] == "ready", "said that it is ready", TIMEOUT_S)
    voters = f"{ready['node_id']}@{ready['listener']}"
    broker = lab.kraft_broker(100, str(ready["cluster_id"]), voters)
    answer = _metadata(broker.port)
    assert {topic.name: len(topic.partitions) for topic in answer.topics} == TOPICS
    assert {(one.node_id, one.port) for one in answer.brokers} == {(0, 19092), (1, 45303), (7, 54419)}
    partitions = [partition for topic in answer.topics for partition in topic.partitions]
    assert {replica for partition in partitions for replica in partition.replica_nodes} == {0, 1, 7}
    broker.stop()
    server.stop()


def _metadata(port: int) -> MetadataResponseData:
    """The broker's answer once it names every topic."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            with closing(Connection(port)) as connection:
                answer: Message = connection.ask(MetadataRequestData(topics=None), 12)
        except OSError:
            answer = MetadataResponseData()
        assert isinstance(answer, MetadataResponseData)
        if {topic.name for topic in answer.topics} == set(TOPICS):
            return answer
        if time.monotonic() > deadline:
            raise LabError(f"the broker knows only {[topic.name for topic in answer.topics]}")
        time.sleep(0.1)
