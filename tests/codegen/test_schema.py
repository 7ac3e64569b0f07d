"""The strict reader: what it does not know stops it, with file and key named."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from codegen.__main__ import ROOT, load_all
from codegen.schema import SchemaError, load, parse
from codegen.writer import schema_text

SCHEMA: dict[str, Any] = {
    "name": "ThingRequest", "type": "request", "apiKey": 1, "validVersions": "0-3", "flexibleVersions": "2+",
    "commonStructs": [
        {"name": "Part", "versions": "0+", "fields": [{"name": "Id", "type": "int32", "versions": "0+"}]},
    ],
    "fields": [
        {"name": "Name", "type": "string", "versions": "1+", "nullableVersions": "1+", "default": "null"},
        {"name": "Parts", "type": "[]Part", "versions": "0+"},
        {"name": "Own", "type": "Own", "versions": "2+", "taggedVersions": "2+", "tag": 0,
         "fields": [{"name": "Flag", "type": "bool", "versions": "2+", "default": "true", "ignorable": True}]},
    ],
}  # fmt: skip


def changed(**place: object) -> dict[str, Any]:
    """The schema with one change: `at` is the way to an object, the other arguments are set in it (None removes)."""
    schema = copy.deepcopy(SCHEMA)
    spot: Any = schema
    for step in place.pop("at", ()):  # type: ignore[attr-defined]  # `at` is a tuple
        spot = spot[step]
    for key, value in place.items():
        if value is None:
            spot.pop(key, None)
        else:
            spot[key] = value
    return schema


def test_reads_what_it_should() -> None:
    message = parse(SCHEMA, "ThingRequest.json")
    assert message.class_name == "ThingRequestData"
    assert [struct.name for struct in message.structs()] == ["Part", "Own"]
    assert message.fields[0].default is None
    assert message.fields[2].fields[0].default is True


@pytest.mark.parametrize(("schema", "text"), [
    (changed(about="prose"), "Thing.json: ThingRequest: unknown key 'about'"),
    (changed(at=("fields", 0), about="prose"), "Thing.json: ThingRequest.Name: unknown key 'about'"),
    (changed(at=("fields", 2, "fields", 0), mapkey=True), "Thing.json: ThingRequest.Own.Flag: unknown key 'mapkey'"),
    (changed(at=("commonStructs", 0), about="x"), "Thing.json: ThingRequest.Part: unknown key 'about'"),
    (changed(type="requests"), "unknown message type 'requests'"),
    (changed(apiKey=None), "'apiKey' of a request is None"),
    (changed(apiKey="1"), "'apiKey' of a request is '1'"),
    (changed(name="Thing Request"), "'name' is not an identifier"),
    (changed(validVersions=None), "'validVersions' must be a text, is None"),
    (changed(validVersions="3-0"), "version range ends before it begins: '3-0'"),
    (changed(flexibleVersions="2-3"), "must be none or open-ended"),
    (changed(at=("fields", 0), type="text"), "ThingRequest.Name: unknown type 'text'"),
    (changed(at=("fields", 1), type="[]Parts"), "ThingRequest.Parts: unknown type '[]Parts'"),
    (changed(at=("fields", 1), type="[][]int32"), "unknown type '[][]int32'"),
    (changed(at=("fields", 0), versions="1.."), "not a version range: '1..'"),
    (changed(at=("fields", 0), type="int32"), "type 'int32' cannot be null"),
    (changed(at=("fields", 0), nullableVersions="2+"), "'default' is null, but not every version is nullable"),
    (changed(at=("fields", 0), name="parts"), "two fields named 'parts'"),
    (changed(at=("fields", 2), tag=None), "these do not fit together"),
    (changed(at=("fields", 2), tag="0"), "these do not fit together"),
    (changed(at=("fields", 2), taggedVersions="1+"), "these do not fit together"),
    (changed(at=("fields", 2), type="int32"), "type 'int32' cannot have fields"),
    (changed(at=("fields", 2), flexibleVersions="none"), "'flexibleVersions' is only for string and bytes"),
    (changed(at=("fields", 2, "fields", 0), default="yes"), "'default' of type bool: 'yes'"),
    (changed(at=("fields", 2, "fields", 0), default=True), "'default' must be a text"),
    (changed(at=("fields", 2, "fields", 0), ignorable="true"), "'ignorable' must be true or false"),
    (changed(at=("fields", 2, "fields", 0), type="int8", default="128"), "'default' of type int8: '128'"),
    (changed(at=("fields", 2, "fields", 0), type="uuid", default="x"), "'default' of type uuid: 'x'"),
    (changed(at=("commonStructs", 0), name="Own"), "struct 'Own' is defined twice"),
    (changed(fields={}), "'fields' must be an array of objects"),
])  # fmt: skip
def test_stops_at_what_it_does_not_know(schema: dict[str, Any], text: str) -> None:
    with pytest.raises(SchemaError) as caught:
        parse(schema, "Thing.json")
    assert text in str(caught.value)
    assert str(caught.value).startswith("Thing.json: ")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": "X"} x'])
def test_files_that_hold_no_schema(tmp_path: Path, text: str) -> None:
    path = tmp_path / "Thing.json"
    path.write_text(text, "utf-8")
    with pytest.raises(SchemaError, match=r"Thing\.json"):
        load(path)


def test_every_schema_is_written_as_it_was_read() -> None:
    messages = load_all(ROOT)
    assert len(messages) > 200
    for message in messages:
        text = schema_text(message)
        assert parse(json.loads(text), "again") == message
        folder = "records" if message.is_record else "messages"
        assert (ROOT / "schemas" / folder / f"{message.name}.json").read_text("utf-8") == text
