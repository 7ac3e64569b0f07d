"""Every message and record in every version: our bytes and JSON against those of Kafka's own classes."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from pykraft.lab import jars
from pykraft.protocol import jsonconv
from pykraft.protocol._message import Message
from tests.protocol.values import every_class, message_value

from .codec_oracle import ask

# Values for each message and version, with and without unknown tagged fields.
VALUES: Final = int(os.environ.get("PYKRAFT_ORACLE_VALUES", "4"))
RELEASES: Final = os.environ.get("PYKRAFT_ORACLE_RELEASES", "3.9.1").split()
# Classes that came with 4.0 and 4.1.
NEWER: Final = frozenset({
    "AlterShareGroupOffsetsRequestData", "AlterShareGroupOffsetsResponseData", "ClearElrRecord",
    "DeleteShareGroupOffsetsRequestData", "DeleteShareGroupOffsetsResponseData",
    "DescribeShareGroupOffsetsRequestData", "DescribeShareGroupOffsetsResponseData", "EndTxnMarker",
    "StreamsGroupDescribeRequestData", "StreamsGroupDescribeResponseData", "StreamsGroupHeartbeatRequestData",
    "StreamsGroupHeartbeatResponseData",
})  # fmt: skip
# What a release lays out otherwise: versions it never wrote, or marked as still changing.
OTHER_LAYOUT: Final = {
    "3.4.1": {"DelegationTokenRecord", "UserScramCredentialRecord"},
    "3.5.2": {"DelegationTokenRecord", "ConsumerGroupHeartbeatRequestData", "ConsumerGroupHeartbeatResponseData"},
    "3.6.2": {"ConsumerGroupHeartbeatRequestData", "ConsumerGroupHeartbeatResponseData"},
    "3.7.2": {"ConsumerGroupDescribeResponseData"},
    "4.1.2": {"ReadShareGroupStateSummaryResponseData"},
}  # fmt: skip
# What has the same bytes in a release, but another name for a field, or no name yet for a tagged one.
OTHER_NAMES: Final = {
    "3.4.1": {"AddPartitionsToTxnRequestData", "AddPartitionsToTxnResponseData", "OffsetCommitRequestData",
              "UpdateMetadataRequestData"},
    "3.5.2": {"OffsetCommitRequestData", "UpdateMetadataRequestData"},
    "3.7.2": {"PartitionRecord"},
    "4.0.2": {"VoteRequestData"},
    "4.1.2": {"VoteRequestData"},
}  # fmt: skip


class Case(NamedTuple):
    """A value, its bytes and its JSON; `plain` when it has no unknown tagged fields, which JSON does not show."""

    value: Message
    version: int
    raw: bytes
    plain: bool

    @property
    def class_name(self) -> str:
        return type(self.value).__name__

    @property
    def name(self) -> str:
        return f"{self.class_name} {self.version}"


def ranges(class_path: str) -> dict[type[Message], range]:
    """The versions of every class in a release; none where the release lacks it."""
    classes = every_class()
    answers = ask(class_path, [f"versions\t{cls.__name__}" for cls in classes])
    found = {}
    for cls, answer in zip(classes, answers, strict=True):
        assert answer[0] == "ok", f"{cls.__name__}: {answer}"
        found[cls] = range(0) if answer[1] == "absent" else range(int(answer[1]), int(answer[2]) + 1)
    return found


def cases(versions: dict[type[Message], range]) -> Iterator[Case]:
    for cls, span in versions.items():
        for version in span:
            rng = random.Random(f"{cls.__name__} {version}")
            for number in range(VALUES):
                plain = number % 2 == 0
                value = message_value(cls, version, rng, unknown_tags=not plain)
                yield Case(value, version, value.encode(version), plain)


def as_read(value: object) -> Any:
    """What a JSON reader makes of our JSON, so that 1.0 and -0.0 compare as they would there."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("release", RELEASES)
def test_every_message_and_version_is_kafkas(release: str, capsys: pytest.CaptureFixture[str]) -> None:
    class_path = jars.ensure(release)
    versions = ranges(class_path)
    absent = {cls.__name__ for cls, span in versions.items() if not span}
    every = list(cases(versions))
    questions = [f"decode\t{case.class_name}\t{case.version}\t{case.raw.hex()}" for case in every]
    other_layout, other_names = OTHER_LAYOUT.get(release, set()), OTHER_NAMES.get(release, set())
    wrong = []
    for case, answer in zip(every, ask(class_path, questions), strict=True):
        if case.class_name in other_layout:
            continue
        ours = as_read(jsonconv.to_json(case.value, case.version))
        if answer[0] != "ok":
            wrong.append(f"{case.name}: {answer[1]}")
        elif answer[1] != case.raw.hex():
            wrong.append(f"{case.name}: Kafka writes {answer[1]}, we {case.raw.hex()}")
        elif json.loads(answer[2]) != ours and case.class_name not in other_names:
            wrong.append(f"{case.name}: Kafka prints {answer[2]}, we {json.dumps(ours)}")
    counted = sum(len(span) for span in versions.values())
    with capsys.disabled():
        sys.stdout.write(f"\nKafka {release}: {counted} versions of {len(versions) - len(absent)} classes, "
                         f"{len(every)} values; "
                         f"other layout: {', '.join(sorted(other_layout)) or 'none'}; "
                         f"other names: {', '.join(sorted(other_names)) or 'none'}\n")
    assert not wrong, "\n".join([f"{len(wrong)} of {len(every)} differ", *wrong[:20]])
    if release == "3.9.1":
        assert absent == NEWER
        assert counted > 700


def test_kafka_reads_our_json(kafka_class_path: str) -> None:
    every = [case for case in cases(ranges(kafka_class_path)) if case.plain]
    questions = []
    for case in every:
        told = jsonconv.to_json(case.value, case.version, records=True)
        questions.append(f"encode\t{case.class_name}\t{case.version}\t{json.dumps(told)}")
    wrong = []
    for case, answer in zip(every, ask(kafka_class_path, questions), strict=True):
        expected_float = "expected a floating point type"  # NaN and the infinities are texts, which Kafka does not read
        if answer[0] != "ok" and expected_float in answer[1]:
            continue
        if answer != ["ok", case.raw.hex()]:
            wrong.append(f"{case.name}: {answer}, ours {case.raw.hex()}")
    assert not wrong, "\n".join([f"{len(wrong)} of {len(every)} differ", *wrong[:20]])
