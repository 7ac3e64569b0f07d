"""One schema of two releases: their versions joined, and a stop where they disagree."""

from __future__ import annotations

from typing import Any

import pytest

from codegen.merge import merge, renamed, shape
from codegen.schema import Message, SchemaError, parse


def message(versions: str, *fields: dict[str, Any], flexible: str = "0+") -> Message:
    return parse(
        {
            "name": "Thing",
            "type": "data",
            "validVersions": versions,
            "flexibleVersions": flexible,
            "fields": list(fields),
        },
        "Thing.json",
    )


def field(name: str, versions: str, kind: str = "int32", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "versions": versions, **more}


def test_later_versions_are_added() -> None:
    first = message("0-2", field("A", "0+"), field("B", "0-1"), field("C", "1+"))
    second = message("1-3", field("A", "0+"), field("B", "0-1"), field("New", "3+"), field("C", "1-2"))
    merged = merge(first, second)
    assert str(merged.versions) == "0-3"
    assert [(item.name, str(item.versions)) for item in merged.fields] == [
        ("A", "0+"), ("B", "0-1"), ("New", "3+"), ("C", "1-2"),
    ]  # fmt: skip
    for version in range(3):
        assert shape(merged, version) == shape(first, version)
    assert shape(merged, 3) == shape(second, 3)


def test_the_first_is_kept_where_the_second_adds_nothing() -> None:
    first = message("0-2", field("A", "0+"))
    assert merge(first, message("1-2", field("A", "1+"))) is first


def test_a_field_that_later_versions_drop() -> None:
    first = message("0-1", field("A", "0+"), field("B", "0+"))
    merged = merge(first, message("1-2", field("A", "0+"), field("B", "0-1")))
    assert [str(item.versions) for item in merged.fields] == ["0+", "0-1"]


def test_nested_and_tagged() -> None:
    inner = [field("X", "0+")]
    more = [field("X", "0+"), field("Y", "2+", taggedVersions="2+", tag=0)]
    merged = merge(
        message("0-1", field("A", "0+", "[]Part", fields=inner)),
        message("0-2", field("A", "0+", "[]Part", fields=more)),
    )
    assert [(item.name, item.tag, str(item.tagged)) for item in merged.fields[0].fields] == [
        ("X", None, "none"), ("Y", 0, "2+"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "second",
    [
        message("0-2", field("B", "0+")),
        message("0-2", field("A", "0+", "int64")),
        message("0-2", field("A", "1+")),
        message("0-2", field("A", "0+", default="3")),
        message("0-2", field("A", "0+"), flexible="1+"),
        message("0-2", field("A", "0+"), field("B", "0+", taggedVersions="0+", tag=1)),
    ],
)
def test_stops_where_releases_disagree(second: Message) -> None:
    first = message("0-1", field("A", "0+"))
    with pytest.raises(SchemaError, match="Thing: the releases disagree about versions"):
        merge(first, second)


def test_unstable_versions_may_differ() -> None:
    first = message("0", field("A", "0+"))
    second = message("0-1", field("A", "0+", "int64"))
    with pytest.raises(SchemaError, match=r"disagree about versions \[0\]"):
        merge(first, second)
    with pytest.raises(SchemaError, match="does not survive"):
        merge(first, second, frozenset({0}))
    assert merge(first, message("0", field("A", "0+", "int64")), frozenset({0})) is first


def test_a_gap_between_the_versions() -> None:
    with pytest.raises(SchemaError, match="there are versions between 0 and 2 that neither has"):
        merge(message("0", field("A", "0+")), message("2", field("A", "0+")))


def test_other_names() -> None:
    second = renamed(
        message("0-1", field("New", "0+", "[]NewPart", fields=[field("X", "0+")])), {"New": "Old", "NewPart": "OldPart"}
    )
    first = message("0", field("Old", "0+", "[]OldPart", fields=[field("X", "0+")]))
    assert str(merge(first, second).versions) == "0-1"
