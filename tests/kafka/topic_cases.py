"""Requests that make, grow and delete topics, for a cluster whose one broker is BROKER_ID."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pykraft.controller.result import RECORDS_PER_USER_OPERATION_MAX
from pykraft.protocol._message import Message
from pykraft.protocol.messages.create_partitions_request import (
    CreatePartitionsAssignment,
    CreatePartitionsRequestData,
    CreatePartitionsTopic,
)
from pykraft.protocol.messages.create_topics_request import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.create_topics_response import CreateTopicsResponseData
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData, DeleteTopicState
from tests.kafka.case import BROKER_ID, Answers, Case

TIMEOUT_MS = 30_000
UNKNOWN_ID = bytes(15) + b"\x77"
STRANGER = 99
"""No broker has this id."""

Placement = Sequence[tuple[int, Sequence[int]]]
"""Partitions with their replicas."""


def topic(
    name: str,
    partitions: int = -1,
    factor: int = -1,
    placement: Placement = (),
    configs: Mapping[str, str | None] | None = None,
) -> CreatableTopic:
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=factor,
        assignments=[
            CreatableReplicaAssignment(partition_index=number, broker_ids=list(replicas))
            for number, replicas in placement
        ],
        configs=[CreatableTopicConfig(name=key, value=value) for key, value in (configs or {}).items()],
    )


def creation(*topics: CreatableTopic, validate_only: bool = False) -> Message:
    return CreateTopicsRequestData(topics=list(topics), validate_only=validate_only, timeout_ms=TIMEOUT_MS)


def topic_id(answers: Answers, case_name: str, name: str) -> bytes:
    """The id that a topic got in the answer to an earlier case."""
    answer = answers[case_name]
    assert isinstance(answer, CreateTopicsResponseData)
    return next(found.topic_id for found in answer.topics if found.name == name)


def topic_cases(prefix: str) -> Iterator[Case]:
    """Topics whose names begin with `prefix` come, grow and go."""
    for index, topics in enumerate(_creations(prefix)):
        for validate_only in (True, False):
            name = f"{prefix} creation {index} {'checked' if validate_only else 'made'}"
            yield Case(name, creation(*topics, validate_only=validate_only), 7 - index % 6)
    for validate_only in (True, False):
        for index, topics in enumerate(_refused_creations(prefix)):
            name = f"{prefix} refused creation {index} {validate_only}"
            yield Case(name, creation(*topics, validate_only=validate_only), 7 - index % 6)
    yield Case(f"{prefix} long name", creation(topic(prefix + "x" * (249 - len(prefix))), validate_only=True), 7)
    yield from _growth_cases(prefix)
    yield from _deletion_cases(prefix)


def _creations(prefix: str) -> Iterator[Sequence[CreatableTopic]]:
    yield ()
    yield [topic(f"{prefix}-defaults")]
    yield [topic(f"{prefix}-one", 1, 1), topic(f"{prefix}-four", 4, 1)]
    yield [topic(f"{prefix}-placed", placement=[(0, [BROKER_ID])])]
    yield [topic(f"{prefix}-two-placed", placement=[(1, [BROKER_ID]), (0, [BROKER_ID])])]
    yield [topic(f"{prefix}-with-configs", 1, 1, configs={"retention.ms": "7", "cleanup.policy": "compact"})]
    yield [topic(f"{prefix}.dot", 1, 1)]
    yield [topic(f"{prefix}-half", 2), topic(f"{prefix}-other-half", factor=1)]
    yield [topic(f"{prefix}-one", 1, 1), topic(f"{prefix}-beside-one-that-exists", 1, 1)]
    yield [topic(f"{prefix}-twice", 1, 1), topic(f"{prefix}-once", 1, 1), topic(f"{prefix}-twice", 2, 1)]


def _refused_creations(prefix: str) -> Iterator[Sequence[CreatableTopic]]:
    for name in ("", ".", "..", "a b", "ü", "x" * 250, "__cluster_metadata", f"{prefix}_dot", f"{prefix}-one"):
        yield [topic(name, 1, 1)]
    new = f"{prefix}-new"
    for partitions, factor in ((0, 1), (-2, 1), (1, 0), (1, -2), (1, 2), (1, 32_767), (0, 0), (-1, 2)):
        yield [topic(new, partitions, factor)]
    configs: tuple[Mapping[str, str | None], ...] = (
        {"retention.ms": None},
        {"retention.ms": None, "segment.bytes": None},
        {"retention.ms": "x"},
        {"no.such.config": "1"},
        {"retention.ms": None, "no.such.config": "1"},
        {"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "9"},
    )
    for one in configs:
        yield [topic(new, 1, 1, configs=one)]
        yield [topic(new, 0, 0, configs=one)]
    placements: tuple[Placement, ...] = (
        [(0, [])],
        [(0, [STRANGER])],
        [(0, [-1])],
        [(0, [BROKER_ID, BROKER_ID])],
        [(0, [BROKER_ID, STRANGER])],
        [(0, [BROKER_ID]), (0, [BROKER_ID])],
        [(0, [BROKER_ID]), (1, [])],
        [(0, [BROKER_ID]), (2, [BROKER_ID])],
        [(1, [BROKER_ID])],
        [(-1, [BROKER_ID])],
        [(0, [BROKER_ID]), (1, [BROKER_ID, STRANGER])],
    )
    for placement in placements:
        yield [topic(new, placement=placement)]
    yield [topic(new, 1, -1, [(0, [BROKER_ID])])]
    yield [topic(new, -1, 1, [(0, [BROKER_ID])])]
    yield [topic(new, 1, 1, [(0, [STRANGER])])]
    yield [topic(new, RECORDS_PER_USER_OPERATION_MAX, 1)]
    half = RECORDS_PER_USER_OPERATION_MAX // 2
    yield [topic(f"{new}-a", half, 1), topic(f"{new}-b", half, 1)]


def _growth_cases(prefix: str) -> Iterator[Case]:
    def grow(*topics: tuple[str, int, Sequence[Sequence[int]] | None], validate_only: bool = False) -> Message:
        wanted = [
            CreatePartitionsTopic(
                name=name,
                count=count,
                assignments=None
                if placement is None
                else [CreatePartitionsAssignment(broker_ids=list(replicas)) for replicas in placement],
            )
            for name, count, placement in topics
        ]
        return CreatePartitionsRequestData(topics=wanted, validate_only=validate_only, timeout_ms=TIMEOUT_MS)

    one, four = f"{prefix}-one", f"{prefix}-four"
    requests: tuple[Sequence[tuple[str, int, Sequence[Sequence[int]] | None]], ...] = (
        [],
        [(one, 1, None)],
        [(one, 0, None)],
        [(one, -1, None)],
        [(four, 3, None)],
        [("no-such", 3, None)],
        [("", 3, None)],
        [(one, 3, None), (one, 4, None), (four, 5, None)],
        [(one, 3, [])],
        [(one, 3, [[BROKER_ID]])],
        [(one, 3, [[BROKER_ID], [STRANGER]])],
        [(one, 3, [[BROKER_ID], []])],
        [(one, 3, [[BROKER_ID, BROKER_ID], [BROKER_ID]])],
        [(one, 3, [[BROKER_ID], [BROKER_ID]]), ("no-such", 1, None)],
        [(one, 3, None)],
        [(four, 9, None), (one, 4, [[BROKER_ID]])],
    )
    for index, topics in enumerate(requests):
        for validate_only in (True, False):
            name = f"{prefix} growth {index} {validate_only}"
            yield Case(name, grow(*topics, validate_only=validate_only), 3 - index % 4)


def _deletion_cases(prefix: str) -> Iterator[Case]:
    def by_name(*names: str) -> Message:
        return DeleteTopicsRequestData(topic_names=list(names), timeout_ms=TIMEOUT_MS)

    def by_state(
        *states: tuple[str | None, str | bytes | None],
    ) -> Callable[[Answers], Message]:
        def request(answers: Answers) -> Message:
            topics = []
            for name, wanted in states:
                found = topic_id(answers, f"{prefix} creation 2 made", wanted) if isinstance(wanted, str) else wanted
                topics.append(DeleteTopicState(name=name, topic_id=found or bytes(16)))
            return DeleteTopicsRequestData(topics=topics, timeout_ms=TIMEOUT_MS)

        return request

    one, four = f"{prefix}-one", f"{prefix}-four"
    for version, names in enumerate(
        (["no-such"], ["", "no-such"], [f"{prefix}-half"], [f"{prefix}-half"], ["a b", f"{prefix}-other-half"]), 1
    ):
        yield Case(f"{prefix} deletion v{version}", by_name(*names), version)
    yield Case(f"{prefix} deletion of one named twice", by_name(one, one, f"{prefix}-defaults"), 5)
    yield Case(f"{prefix} deletion of nothing", by_name(), 5)
    states: Sequence[tuple[str | None, str | bytes | None]]
    for index, states in enumerate(
        (
            (),
            [(None, None)],
            [(one, one)],
            [(one, UNKNOWN_ID)],
            [(None, UNKNOWN_ID), (None, UNKNOWN_ID), (None, None), ("no-such", None)],
            [(one, None), (None, one)],
            [(None, one), (None, one)],
            [(None, four), (f"{prefix}-placed", None), (f"{prefix}-placed", None)],
            [(None, four)],
            [(None, one), (f"{prefix}-placed", None), (f"{prefix}-no-such", None)],
        )
    ):
        yield Case(f"{prefix} deletion by state {index}", by_state(*states), 6)
    again = creation(topic(one, 2, 1), topic(f"{prefix}_dot", 1, 1))
    yield Case(f"{prefix} creation after deletion", again, 7)
