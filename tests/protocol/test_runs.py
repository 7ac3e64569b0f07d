"""Arrays long enough to be read and written a run at a time: the same bytes, values and errors as one by one."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from pykraft.protocol import _careful, _run_source, _runs, _source
from pykraft.protocol._layout import Field, is_flexible, layout
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol.errors import DecodeError, EncodeError
from pykraft.protocol.messages.create_topics_response import (
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsResponseData,
)
from pykraft.protocol.messages.fetch_request import FetchRequestData, ForgottenTopic
from pykraft.protocol.messages.fetch_response import FetchableTopicResponse, FetchResponseData, PartitionData
from pykraft.protocol.messages.leader_and_isr_request import (
    LeaderAndIsrPartitionState,
    LeaderAndIsrRequestData,
    LeaderAndIsrTopicState,
)
from pykraft.protocol.messages.metadata_request import MetadataRequestData, MetadataRequestTopic
from pykraft.protocol.messages.metadata_response import (
    MetadataResponseData,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

from .values import every_class, field_value, struct_value

METADATA: Final = 12


def run_arrays(cls: type[AnyStruct], version: int) -> Iterator[tuple[tuple[str, ...], type[AnyStruct]]]:
    """The attributes that lead to each array whose elements come in runs, and the class of the elements."""
    for field in layout(cls):
        if field.struct is not None and version in field.versions and version not in field.tagged:
            if field.is_array and _run_source.suits(field.struct, version):
                yield (field.attr,), field.struct
            elif field.is_array:
                for path, found in run_arrays(field.struct, version):
                    yield (field.attr, *path), found


def alike(cls: type[AnyStruct], version: int, rng: random.Random, lengths: dict[str, Any]) -> AnyStruct:
    """An element with the lengths that the first one got, other values."""

    def value(field: Field) -> Any:
        if field.is_array or field.kind in ("string", "bytes", "records"):
            chosen = lengths.setdefault(field.attr, field_value(field, version, rng, False))
            return (
                chosen
                if isinstance(chosen, str | bytes | None)
                else [
                    field_value(
                        field._replace(is_array=False, nullable=field.nullable._replace(lowest=1, highest=0)),
                        version,
                        rng,
                        False,
                    )
                    for _ in chosen
                ]
            )
        return field_value(field, version, rng, False)

    return cls(
        **{
            field.attr: value(field)
            for field in layout(cls)
            if version in field.versions and version not in field.tagged
        }
    )


def drawn(cls: type[AnyStruct], version: int, rng: random.Random, flexible: bool) -> list[AnyStruct]:
    """Elements in runs of many lengths, with some that fit no run between them."""
    found: list[AnyStruct] = []
    shapes: list[dict[str, Any]] = [{}, {}]
    while len(found) < 50:
        lengths = rng.choice(shapes)
        found += [alike(cls, version, rng, lengths) for _ in range(rng.choice((1, 2, 9, 20)))]
        if rng.random() < 0.5:
            found.append(struct_value(cls, version, rng, flexible))
    return found


def placed(message: AnyStruct, path: tuple[str, ...], elements: list[AnyStruct], version: int) -> Message:
    """The message with the elements as the array at this path; arrays on the way get one element."""
    inner = message
    for attr in path[:-1]:
        [field] = [field for field in layout(type(inner)) if field.attr == attr]
        assert field.struct is not None
        made = struct_value(field.struct, version, random.Random(0), False)
        setattr(inner, attr, [made])
        inner = made
    setattr(inner, path[-1], elements)
    assert isinstance(message, Message)
    return message


def every_array() -> list[Any]:
    found = {}
    for cls in every_class():
        for version in range(cls.MIN_VERSION, cls.MAX_VERSION + 1):
            for path, struct in run_arrays(cls, version):
                found[cls, path, is_flexible(cls, version)] = (version, struct)
    return [
        pytest.param(cls, path, *rest, id=f"{cls.__name__}-{rest[0]}-{'.'.join(path)}")
        for (cls, path, _), rest in found.items()
    ]


@pytest.mark.parametrize(("cls", "path", "version", "struct"), every_array())
def test_as_one_by_one(
    cls: type[Message], path: tuple[str, ...], version: int, struct: type[AnyStruct], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_runs, "MET_MIN", _runs.RUN_MIN)
    rng = random.Random(f"{cls.__name__} {path}")
    flexible = is_flexible(cls, version)
    value = placed(cls(), path, drawn(struct, version, rng, flexible), version)
    raw = value.encode(version)
    assert raw == _careful.encode(value, version)
    assert cls.decode(raw, version).encode(version) == raw
    for _ in range(3):
        at = rng.randrange(len(raw))
        spoiled = raw[:at] + rng.randbytes(1) + raw[at + 1 :]
        assert verdict(cls.decode, spoiled, version) == verdict(
            lambda data, found: _careful.decode(cls, data, found), spoiled, version
        )


def verdict(decode: Callable[[bytes, int], Message], raw: bytes, version: int) -> bytes | str:
    try:
        return decode(raw, version).encode(version)
    except DecodeError as error:
        return str(error)


def metadata(partitions: list[MetadataResponsePartition]) -> MetadataResponseData:
    return MetadataResponseData(topics=[MetadataResponseTopic(name="t", partitions=partitions)])


# What stands before and behind the partitions in such a message; a count over 126 takes a byte more.
AFTER: Final = 6
BEFORE: Final = len(metadata([]).encode(METADATA)) - AFTER


def partition(number: int) -> MetadataResponsePartition:
    return MetadataResponsePartition(0, number, 1, 5, [1, 2, 3], [1, 2, 3], [])


@pytest.mark.parametrize("at", [0, 7, 8, 100, 255, 256, 999])
@pytest.mark.parametrize(
    ("attr", "value", "reason"),
    [
        ("replica_nodes", None, "replicaNodes: null"),
        ("replica_nodes", [1, 2, 2**31], "replicaNodes[2]: expected int32"),
        ("replica_nodes", "abc", "replicaNodes: expected a list"),
        ("offline_replicas", None, "offlineReplicas: null"),
        ("offline_replicas", 0, "offlineReplicas: expected a list"),
        ("leader_id", "1", "leaderId: expected int32"),
        ("unknown_tagged_fields", ((5, b""), (5, b"")), "taggedFields: tag 5 is there twice"),
    ],
)
def test_a_bad_element_in_a_run_is_named(at: int, attr: str, value: object, reason: str) -> None:
    partitions = [partition(number) for number in range(1000)]
    metadata(partitions).encode(METADATA)
    setattr(partitions[at], attr, value)
    with pytest.raises(EncodeError) as caught:
        metadata(partitions).encode(METADATA)
    assert f"topics[0].partitions[{at}].{reason}" in str(caught.value)


def test_a_short_uuid_in_a_run_is_named() -> None:
    topics = [ForgottenTopic(topic_id=bytes(16), partitions=[1]) for _ in range(200)]
    for _ in range(2):
        FetchRequestData(forgotten_topics_data=topics).encode(17)
    topics[150].topic_id = bytes(15)
    with pytest.raises(EncodeError, match=r"forgottenTopicsData\[150\].topicId: expected the 16 bytes of a uuid"):
        FetchRequestData(forgotten_topics_data=topics).encode(17)


def test_what_is_no_partition_is_named() -> None:
    partitions: list[Any] = [partition(number) for number in range(1000)]
    metadata(partitions).encode(METADATA)
    partitions[500] = 7
    with pytest.raises(EncodeError, match=r"partitions\[500\]: expected MetadataResponsePartition, got int 7"):
        metadata(partitions).encode(METADATA)


def test_truncated_in_a_run() -> None:
    raw = metadata([partition(number) for number in range(300)]).encode(METADATA)
    MetadataResponseData.decode(raw, METADATA)
    for length in range(len(raw) - 90, len(raw), 4):
        with pytest.raises(DecodeError, match=r"^topics|^taggedFields"):
            MetadataResponseData.decode(raw[:length], METADATA)


def test_a_run_of_leader_and_isr_keeps_the_uuid_and_the_flags() -> None:
    states = [
        LeaderAndIsrPartitionState(partition_index=number, isr=[1, 2], replicas=[1, 2, 3], is_new=number % 2 == 0)
        for number in range(400)
    ]
    value = LeaderAndIsrRequestData(topic_states=[LeaderAndIsrTopicState(topic_name="t", partition_states=states)])
    assert LeaderAndIsrRequestData.decode(value.encode(7), 7) == value


def test_the_number_of_compiled_shapes_is_limited() -> None:
    reads = _runs.ReadRuns(MetadataResponsePartition, METADATA, True)
    writes = _runs.WriteRuns(MetadataResponsePartition, METADATA, True)
    taken = 0
    for replicas in range(30):
        for isr in range(10):
            elements = [MetadataResponsePartition(replica_nodes=[0] * replicas, isr_nodes=[1] * isr)] * 70
            raw = _careful.encode(metadata(elements), METADATA)[BEFORE:-AFTER]
            for _ in range(5):
                parts: list[bytes] = []
                written = writes.some(elements, 0, parts)
                assert parts == [raw[: len(raw) // 70]] * written
                out: list[Any] = []
                left, p = reads.read(raw, 0, len(elements), out)
                assert out == elements[left:]
                assert p == len(raw) // 70 * len(out)
                taken += written + len(out)
    for runs in (reads, writes):
        assert len(runs.compiled) == _runs.SHAPES_MAX
        assert len(runs.met) <= _runs.COUNTED_MAX
    assert taken > _runs.SHAPES_MAX * 70


def test_the_shapes_of_one_look_are_limited_too() -> None:
    runs: list[_runs.ReadRuns | _runs.WriteRuns] = [
        kind(MetadataResponsePartition, METADATA, True) for kind in (_runs.ReadRuns, _runs.WriteRuns)
    ]
    shapes = [(replicas, isr, 0) for replicas in range(32) for isr in range(32)]
    for each in runs:
        for number in range(0, len(shapes), _runs.SURVEY):
            assert not each.learn(iter(shapes[number : number + _runs.SURVEY]), 0)
            assert len(each.met) <= _runs.COUNTED_MAX + _runs.SURVEY
        assert each.learn(iter(shapes[: 2 * _runs.SHAPES_MAX] * _runs.MET_MIN), 0)
        assert len(each.compiled) == _runs.SHAPES_MAX
        assert not each.learn(iter(shapes[-1:] * _runs.MET_MIN), 0)


def test_looks_that_find_nothing_are_made_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = {_runs.ReadRuns: 0, _runs.WriteRuns: 0}

    def count(runs: Any) -> None:
        survey = runs.survey

        def counted(*args: Any) -> Iterator[Any]:
            looks[runs] += 1
            found: Iterator[Any] = survey(*args)
            return found

        monkeypatch.setattr(runs, "survey", counted)

    for kind in looks:
        count(kind)
    partitions = [PartitionData(number, records=b"r" * (number * 7 % 9973)) for number in range(20000)]
    value = FetchResponseData(responses=[FetchableTopicResponse(partitions=partitions)])
    assert FetchResponseData.decode(value.encode(17), 17) == value
    for found in looks.values():
        # Twice as many are left out each time, at most 255 in a row.
        assert 1 <= found <= 8 + len(partitions) // _runs.BETWEEN_RUNS // 256 + 2
    runs = _runs.ReadRuns(PartitionData, 17, True)
    pauses = []
    for number in range(10):
        runs.learn(iter([(-1, number)]), 0)
        pauses.append(runs.pause)
    assert pauses == [1, 3, 7, 15, 31, 63, 127, 255, 255, 255]


def test_an_array_ends_where_it_ends() -> None:
    value = metadata([partition(number) for number in range(200)])
    raw = value.encode(METADATA)[BEFORE + 1 : -AFTER]
    reads = _runs.ReadRuns(MetadataResponsePartition, METADATA, True)
    assert reads.read(raw, 0, 200, []) == (200, 0)
    for _ in range(4):
        reads.read(raw, 0, 200, [])
    size = len(raw) // 200
    for count in (_runs.RUN_MIN, _runs.LAST_SHAPE_MIN - 1, _runs.LAST_SHAPE_MIN, 150):
        out: list[Any] = []
        assert reads.read(raw, size, count, out) == (0, size + count * size)
        assert out == [partition(number) for number in range(1, count + 1)]
    out = []
    assert reads.read(raw[: 20 * size - 1], 0, 30, out) == (11, 19 * size)
    assert out == [partition(number) for number in range(19)]
    tagged = raw[: 20 * size - 1] + b"\x01\x05\x00"
    assert [*reads.survey(tagged, 18 * size, 16)] == [(3, 3, 0)]


@pytest.mark.parametrize("first", range(0, 126, 18))
def test_lengths_that_mean_something_in_a_regular_expression(first: int) -> None:
    reads = _runs.ReadRuns(MetadataRequestTopic, METADATA, True)
    lengths = range(first, first + 18)
    for length in lengths:
        reads.compile((length,))
    topics = [MetadataRequestTopic(name="t" * length) for length in lengths for _ in range(5)]
    raw = MetadataRequestData(topics=topics).encode(METADATA)[1:-3]
    out: list[Any] = []
    assert reads.read(raw, 0, len(topics), out) == (0, len(raw))
    assert out == topics


def test_after_elements_that_were_not_known_runs_are_looked_for_again() -> None:
    partitions = [partition(number) for number in range(1000)]
    writes = _runs.WriteRuns(MetadataResponsePartition, METADATA, True)
    parts: list[bytes] = []
    assert [*writes.write(partitions, parts)] == partitions[:48]  # 64 are looked at in four looks
    assert len(parts) == 1000 - 48
    assert writes.mixed_arrays == 0
    mixed = [partition(1), *partitions, MetadataResponsePartition(replica_nodes=[7]), partition(2)]
    assert sum(1 for _ in writes.write(mixed, [])) == 2
    assert writes.mixed_arrays, "the next arrays are not taken for arrays of one shape"
    assert [*writes.write(partitions, [])] == []


def test_threads_learn_side_by_side() -> None:
    reads = _runs.ReadRuns(MetadataResponsePartition, METADATA, True)
    writes = _runs.WriteRuns(MetadataResponsePartition, METADATA, True)
    wrong: list[object] = []

    def use(first: int) -> None:
        try:
            for replicas in range(first, 32, 4):
                elements = [MetadataResponsePartition(replica_nodes=[replicas] * replicas)] * 80
                raw = _careful.encode(metadata(elements), METADATA)[BEFORE:-AFTER]
                for _ in range(6):
                    out: list[Any] = []
                    left, _ = reads.read(raw, 0, 80, out)
                    parts: list[bytes] = []
                    rest = [*writes.write(elements, parts)]
                    if out != elements[left:] or b"".join(parts) != raw[: len(raw) // 80 * (80 - len(rest))]:
                        wrong.append(replicas)
        except Exception as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=use, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
    assert len(reads.compiled) == len(reads.known[1]) == len(writes.known) == 32


def test_the_code_of_a_run_is_straight() -> None:
    source = _run_source.reader(MetadataResponsePartition, METADATA, True, (3, 3, 0))
    assert "for (error_code_, partition_index_" in source
    assert "loop" not in source
    fits, read = _source.run(source, MetadataResponsePartition, "made", {})
    raw = metadata([partition(1)] * 2).encode(METADATA)
    first = raw.index(b"\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x05")
    last = len(raw) - 6
    assert read(raw[first:last]) == [partition(1)] * 2
    assert fits(raw, first, 2)
    assert not fits(raw, first + 1, 2)
    assert not fits(raw, first, 3)


def test_a_list_that_several_elements_share_is_written_for_each() -> None:
    def configs(count: int) -> list[CreatableTopicConfigs]:
        return [CreatableTopicConfigs(name="n" * each, value=None if each % 3 else "v") for each in range(count)]

    one, other, none = configs(20), configs(3), list[CreatableTopicConfigs]()
    lists = [one, one, one, other, one, other, other, none, none, one, None, None, one]
    topics = [CreatableTopicResult(name=f"t{n}", error_message=None, configs=each) for n, each in enumerate(lists)]
    shared = CreateTopicsResponseData(topics=topics)
    read = CreateTopicsResponseData.decode(shared.encode(7), 7)
    assert read == shared
    assert read.encode(7) == shared.encode(7), "what was read shares nothing"
