"""Every message and record in every version: our bytes and JSON against those of Kafka's own classes, both ways.

Hypothesis draws the values, Kafka's classes of a release are asked in one Java process: they read our bytes and must
write the same bytes and print our JSON; they read our JSON and must write our bytes; we read what they wrote.
"""

from __future__ import annotations

import functools
import json
import math
import os
import random
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from pykraft.lab import jars
from pykraft.protocol import jsonconv
from pykraft.protocol._layout import Field, is_flexible, layout
from pykraft.protocol._message import AnyStruct, Message
from tests.protocol.strategies import drawn, filled, messages
from tests.protocol.values import every_class, every_version

from .codec_oracle import ask

NIGHTLY: Final = os.environ.get("PYKRAFT_PROFILE") == "nightly"
# Values drawn for each message and version, half of them with unknown tagged fields where the version has tagged
# fields. Before them comes one that has something in every field, so that no name of a field goes unseen.
VALUES: Final = 24 if NIGHTLY else 4
EVERY_RELEASE: Final = ("3.4.1", "3.5.2", "3.6.2", "3.7.2", "3.8.1", "3.9.1", "4.0.2", "4.1.2")
# The others are asked for that first value only, except in the nightly profile.
ASKED_FOR_ALL: Final = EVERY_RELEASE if NIGHTLY else ("3.4.1", "3.6.2", "3.9.1")
# Classes that came with 4.0 and 4.1.
NEWER: Final = frozenset({
    "AlterShareGroupOffsetsRequestData", "AlterShareGroupOffsetsResponseData", "ClearElrRecord",
    "DeleteShareGroupOffsetsRequestData", "DeleteShareGroupOffsetsResponseData",
    "DescribeShareGroupOffsetsRequestData", "DescribeShareGroupOffsetsResponseData", "EndTxnMarker",
    "StreamsGroupDescribeRequestData", "StreamsGroupDescribeResponseData", "StreamsGroupHeartbeatRequestData",
    "StreamsGroupHeartbeatResponseData",
})  # fmt: skip
# Classes that a release lays out otherwise, and why: they are not compared with it.
OTHER_LAYOUT: Final[dict[str, dict[str, str]]] = {
    "3.4.1": {
        "DelegationTokenRecord": "without requester; the release writes none",
        "UserScramCredentialRecord": "a name only; the release writes none",
    },
    "3.5.2": {
        "DelegationTokenRecord": "without requester; the release writes none",
        "ConsumerGroupHeartbeatRequestData": "unstable there: with subscribedTopicRegex",
        "ConsumerGroupHeartbeatResponseData": "unstable there: with shouldComputeAssignment",
    },
    "3.6.2": {
        "ConsumerGroupHeartbeatRequestData": "unstable there: with subscribedTopicRegex",
        "ConsumerGroupHeartbeatResponseData": "unstable there: with shouldComputeAssignment",
    },
    "3.7.2": {"ConsumerGroupDescribeResponseData": "unstable there: subscribedTopicRegex is never null"},
    "4.1.2": {"ReadShareGroupStateSummaryResponseData": "version 0 has leaderEpoch there"},
}
# Classes with the same bytes in which a release names a field otherwise, and which: their JSON is not compared.
OTHER_NAMES: Final[dict[str, dict[str, str]]] = {
    "3.4.1": {
        "AddPartitionsToTxnRequestData": "without v3AndBelow before the names",
        "AddPartitionsToTxnResponseData": "without V3AndBelow behind the names",
        "OffsetCommitRequestData": "generationId",
        "UpdateMetadataRequestData": "tagged field 0 is not known yet",
    },
    "3.5.2": {
        "OffsetCommitRequestData": "generationId",
        "UpdateMetadataRequestData": "tagged field 0 is not known yet",
    },
    "3.7.2": {"PartitionChangeRecord": "lastKnownELR", "PartitionRecord": "lastKnownELR"},
    "4.0.2": {"VoteRequestData": "replicaEpoch, replicaId, replicaDirectoryId"},
    "4.1.2": {"VoteRequestData": "replicaEpoch, replicaId, replicaDirectoryId"},
}
# Releases whose JSON reader takes bytes as a binary node only, which CodecOracle.java makes of {"binary": base64}.
BINARY_NODES: Final = frozenset({"3.4.1"})


class Case(NamedTuple):
    """A value, its bytes, the JSON that Kafka should print of it, and the one to tell Kafka, None where it cannot be:
    JSON does not show unknown tagged fields, and Kafka's reader takes no NaN and no infinity."""

    value: Message
    version: int
    raw: bytes
    shown: Any
    told: Any

    @property
    def class_name(self) -> str:
        return type(self.value).__name__

    @property
    def name(self) -> str:
        return f"{self.class_name} {self.version}"


@functools.cache
def cases() -> dict[tuple[str, int], list[Case]]:
    """Drawn values of every class and version."""
    return {(cls.__name__, version): drawn_cases(cls, version) for cls, version in every_version()}


def drawn_cases(cls: type[Message], version: int) -> list[Case]:
    rng = random.Random(f"{cls.__name__} {version}")
    tagged = VALUES // 2 if is_flexible(cls, version) else 0
    whole = filled(cls, version)
    assert isinstance(whole, cls)
    every = [
        whole,
        *drawn(messages(cls, version, unknown_tags=False), VALUES - tagged, rng),
        *drawn(messages(cls, version, unknown_tags=True), tagged, rng),
    ]
    return [case_of(value, version) for value in every]


def case_of(value: Message, version: int) -> Case:
    raw = value.encode(version)
    again = type(value).decode(raw, version)
    assert again == value or "nan" in repr(value)
    assert again.encode(version) == raw
    told = jsonconv.to_json(again, version, records=True)
    tells_all = jsonconv.from_json(type(value), told, version).encode(version) == raw and finite(told, type(value))
    # As a JSON reader gives it back, so that 1.0 and 1 compare as they would there.
    shown = json.loads(json.dumps(jsonconv.to_json(again, version)))
    return Case(value, version, raw, shown, told if tells_all else None)


def finite(told: Any, cls: type[AnyStruct]) -> bool:
    """Whether all floats of a JSON object are numbers."""

    def fine(item: Any, field: Field) -> bool:
        if isinstance(item, list):
            return all(fine(one, field) for one in item)
        if field.struct is not None:
            return item is None or finite(item, field.struct)
        return field.kind != "float64" or math.isfinite(float(item))

    fields = {field.name: field for field in layout(cls)}
    return all(fine(item, fields[name]) for name, item in told.items())


def with_binary_nodes(told: Any, cls: type[AnyStruct]) -> Any:
    """The JSON object with {"binary": base64} for the base64 texts of bytes."""

    def marked(item: Any, field: Field) -> Any:
        if isinstance(item, list):
            return [marked(one, field) for one in item]
        if item is not None and field.struct is not None:
            return with_binary_nodes(item, field.struct)
        return {"binary": item} if item is not None and field.kind in ("bytes", "records") else item

    fields = {field.name: field for field in layout(cls)}
    return {name: marked(item, fields[name]) for name, item in told.items()}


def ranges(class_path: str) -> dict[type[Message], range]:
    """The versions of every class in a release; none where the release lacks it."""
    classes = every_class()
    answers = ask(class_path, [f"versions\t{cls.__name__}" for cls in classes])
    found = {}
    for cls, answer in zip(classes, answers, strict=True):
        assert answer[0] == "ok", f"{cls.__name__}: {answer}"
        found[cls] = range(0) if answer[1] == "absent" else range(int(answer[1]), int(answer[2]) + 1)
    return found


def questions(every: list[Case], release: str) -> list[str]:
    """What to ask of the values: first all bytes, then the JSON of those that have it."""
    found = [f"decode\t{case.class_name}\t{case.version}\t{case.raw.hex()}" for case in every]
    for case in every:
        if case.told is not None:
            told = with_binary_nodes(case.told, type(case.value)) if release in BINARY_NODES else case.told
            found.append(f"encode\t{case.class_name}\t{case.version}\t{json.dumps(told)}")
    return found


def differences(every: list[Case], answers: list[list[str]], other_names: dict[str, str]) -> Iterator[str]:
    """What Kafka makes of our bytes and our JSON that we do not."""
    of_json = iter(answers[len(every) :])
    for case, answer in zip(every, answers, strict=False):
        names = case.class_name not in other_names
        if answer[0] != "ok":
            yield f"{case.name}: Kafka says {answer[1]} of {case.raw.hex()}"
        elif answer[1] != case.raw.hex():
            yield f"{case.name}: Kafka writes {answer[1]}, we {case.raw.hex()}"
        elif names and json.loads(answer[2]) != case.shown:
            yield f"{case.name}: Kafka prints {answer[2]}, we {json.dumps(case.shown)}"
        if case.told is not None:
            written = next(of_json)
            if names and written != ["ok", case.raw.hex()]:
                yield f"{case.name}: Kafka makes {written} of {json.dumps(case.told)}, we {case.raw.hex()}"


@pytest.mark.timeout(3600 if NIGHTLY else 300)
@pytest.mark.parametrize("release", EVERY_RELEASE)
def test_every_message_and_version_is_kafkas(release: str, capsys: pytest.CaptureFixture[str]) -> None:
    class_path = jars.ensure(release)
    spans = ranges(class_path)
    versions = {(cls.__name__, version) for cls, span in spans.items() for version in span}
    assert versions <= cases().keys()
    other_layout, other_names = OTHER_LAYOUT.get(release, {}), OTHER_NAMES.get(release, {})
    compared = sorted(key for key in versions if key[0] not in other_layout)
    count = 1 + VALUES if release in ASKED_FOR_ALL else 1
    every = [case for key in compared for case in cases()[key][:count]]
    answers = ask(class_path, questions(every, release))
    wrong = sorted(differences(every, answers, other_names), key=len)
    with capsys.disabled():
        sys.stdout.write(summary(release, versions, compared, every))
    assert not wrong, "\n".join([f"{len(wrong)} of {len(every)} differ, the shortest:", *wrong[:10]])
    assert other_layout.keys() | other_names.keys() <= {name for name, _ in versions}
    if release == jars.DEFAULT_VERSION:
        assert {cls.__name__ for cls, span in spans.items() if not span} == NEWER
        assert len(compared) == len(versions) > 700


def summary(release: str, versions: set[tuple[str, int]], compared: list[tuple[str, int]], every: list[Case]) -> str:
    """What was compared, and what was not and why."""
    told = sum(case.told is not None and case.class_name not in OTHER_NAMES.get(release, {}) for case in every)
    classes = len({name for name, _ in versions})
    counted = f"{len(compared)} of {len(versions)} versions of {classes} classes"
    lines = [f"Kafka {release}: {counted} compared, with {len(every)} values as bytes and {told} as JSON"]
    lines += [f"  not compared: {name}, {why}" for name, why in OTHER_LAYOUT.get(release, {}).items()]
    lines += [f"  compared by bytes only: {name}, {why}" for name, why in OTHER_NAMES.get(release, {}).items()]
    return "\n" + "\n".join(lines) + "\n"
