"""Writes the tables from which `pykraft.protocol.api` finds requests, responses and records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TypeVar

from codegen.modules import BANNER
from codegen.names import snake
from codegen.releases import Api, Release
from codegen.schema import Message


def releases_module_text(releases: Mapping[str, Release]) -> str:
    """The module of what each release has, as differences to the one before."""
    apis = {name: {key: _api_source(api) for key, api in has.apis.items()} for name, has in releases.items()}
    records = {name: {key: f"{tuple(found)}" for key, found in has.records.items()} for name, has in releases.items()}
    lines = [
        BANNER.format(source="schemas/releases.json") + '"""The APIs and metadata records of each release."""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final, TypeAlias",
        "",
        "Api: TypeAlias = tuple[int, int, tuple[str, ...], bool]",
        "",
        "# release, oldest first: what is new or other than in the one before; None is what it has no longer.",
        "# By API key: lowest and highest version, listeners, whether the highest version is unstable.",
        "APIS: Final[dict[str, dict[int, Api | None]]] = {",
        *_differences(apis),
        "}",
        "",
        "# By class of a metadata record: lowest and highest version.",
        "RECORDS: Final[dict[str, dict[str, tuple[int, int] | None]]] = {",
        *_differences(records),
        "}",
        "",
    ]
    return "\n".join(lines)


def _api_source(api: Api) -> str:
    listeners = json.dumps(api.listeners)[1:-1] + ("," if len(api.listeners) == 1 else "")
    return f"({api.versions.lowest}, {api.versions.highest}, ({listeners}), {api.latest_version_unstable})"


K = TypeVar("K", int, str)


def _differences(tables: Mapping[str, Mapping[K, str]]) -> Iterator[str]:
    """The lines of a table by release that holds what each changed of the one before."""
    before: Mapping[K, str] = {}
    for name, table in tables.items():
        changed = {key: source for key, source in table.items() if before.get(key) != source}
        changed |= dict.fromkeys(before.keys() - table.keys(), "None")
        if changed:
            yield f'    "{name}": {{'
            yield from (f"        {json.dumps(key)}: {changed[key]}," for key in sorted(changed))
            yield "    },"
        else:
            yield f'    "{name}": {{}},'
        before = table


def api_text(messages: list[Message]) -> str:
    """The module of tables."""
    return "\n".join(_lines(messages)) + "\n"


def _lines(messages: list[Message]) -> Iterator[str]:
    requests = sorted((message for message in messages if message.type == "request"), key=_key)
    responses = {message.api_key: message for message in messages if message.type == "response"}
    records = sorted((message for message in messages if message.is_record), key=_key)
    yield BANNER.format(source="schemas/") + '"""The API keys and record types, and where their classes are."""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    yield "import enum"
    yield "from typing import Final"
    yield ""
    yield ""
    yield "class ApiKey(enum.IntEnum):"
    yield '    """Every request, under the name and key of Kafka\'s `ApiKeys`."""'
    yield ""
    for request in requests:
        yield f"    {_api_name(request)} = {request.api_key}"
    yield ""
    yield ""
    yield "# key: name of the API, first flexible version (-1: none)"
    yield "APIS: Final[dict[int, tuple[str, int]]] = {"
    for request in requests:
        response = responses.get(request.api_key)
        if response is None or response.versions != request.versions or response.flexible != request.flexible:
            raise ValueError(f"{request.name}: its response is missing or has other versions")
        name = request.name.removesuffix("Request")
        yield f'    {request.api_key}: ("{name}", {request.flexible.lowest if request.flexible else -1}),'
    yield "}"
    yield ""
    yield "# key: class of the metadata record"
    yield "RECORDS: Final[dict[int, str]] = {"
    for record in records:
        yield f'    {record.api_key}: "{record.class_name}",'
    yield "}"
    yield ""
    yield "# class: module, of everything generated"
    yield "MODULES: Final[dict[str, str]] = {"
    for message in sorted(messages, key=lambda message: message.class_name):
        folder = "records" if message.is_record else "messages"
        yield f'    "{message.class_name}": "{folder}.{snake(message.name)}",'
    yield "}"


def _key(message: Message) -> int:
    return -1 if message.api_key is None else message.api_key


def _api_name(request: Message) -> str:
    return snake(request.name.removesuffix("Request")).upper()
