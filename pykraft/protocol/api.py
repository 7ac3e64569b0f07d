"""The API registry: keys, versions, header versions and classes of requests, responses and records.

A message's module is imported when its class is first asked for.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from pykraft.protocol._codecs import Decoder, Encoder
from pykraft.protocol._message import Message
from pykraft.protocol._tables import APIS, MODULES, RECORDS, ApiKey
from pykraft.protocol.errors import UnsupportedVersionError

__all__ = [
    "BASE_RELEASE",
    "ApiKey",
    "ApiSpec",
    "Decoder",
    "Encoder",
    "api_name",
    "message_class",
    "record_class",
    "record_versions",
    "release_apis",
    "releases",
    "request_class",
    "request_header_version",
    "response_class",
    "response_header_version",
    "spec",
]

K = TypeVar("K", int, str)
V = TypeVar("V")

BASE_RELEASE: Final = "3.9.1"


class ApiSpec(NamedTuple):
    """An API as one release of Kafka has it: its range of versions and the listeners it is offered on (`zkBroker`,
    `broker`, `controller`). `flexible_from` is None where no version is flexible; an unstable latest version is one
    that is offered only when `unstable.api.versions.enable` says so."""

    key: ApiKey
    name: str
    min_version: int
    max_version: int
    flexible_from: int | None
    listeners: frozenset[str]
    latest_version_unstable: bool


def releases() -> tuple[str, ...]:
    """The releases whose APIs are known, oldest first."""
    from pykraft.protocol._releases import APIS as RELEASE_APIS  # only a server or a report asks

    return tuple(RELEASE_APIS)


@functools.cache
def release_apis(release: str) -> Mapping[ApiKey, ApiSpec]:
    """Every API of a release, by key; UnsupportedVersionError for a release that is not known."""
    from pykraft.protocol._releases import APIS as RELEASE_APIS  # only a server or a report asks

    found = {}
    for key, (lowest, highest, listeners, unstable) in _as_of(release, RELEASE_APIS):
        name, flexible = APIS[key]
        found[ApiKey(key)] = ApiSpec(
            ApiKey(key), name, lowest, highest, None if flexible < 0 else flexible, frozenset(listeners), unstable
        )
    return MappingProxyType(found)


@functools.cache
def record_versions(release: str) -> Mapping[str, tuple[int, int]]:
    """The lowest and highest version of each metadata record of a release, by class name; UnsupportedVersionError for
    a release that is not known."""
    from pykraft.protocol._releases import RECORDS as RELEASE_RECORDS  # only a server or a report asks

    return MappingProxyType(dict(_as_of(release, RELEASE_RECORDS)))


def _as_of(release: str, changes: Mapping[str, Mapping[K, V | None]]) -> list[tuple[K, V]]:
    """What a release has, in order, of a table that says what each changed of the one before."""
    if release not in changes:
        raise UnsupportedVersionError(f"release {release!r} is not known: {', '.join(changes)} are")
    found: dict[K, V | None] = {}
    for name, changed in changes.items():
        found.update(changed)
        if name == release:
            break
    return [(key, value) for key in sorted(found) if (value := found[key]) is not None]


@functools.cache
def spec(key: int, release: str = BASE_RELEASE) -> ApiSpec:
    """The facts of an API in a release; UnsupportedVersionError where the release has none of that key."""
    found = release_apis(release).get(ApiKey(key)) if key in APIS else None
    if found is None:
        raise UnsupportedVersionError(f"release {release} has no API key {key}")
    return found


def _known(key: int) -> tuple[str, int]:
    found = APIS.get(key)
    if found is None:
        raise UnsupportedVersionError(f"there is no API key {key}")
    return found


@functools.cache
def message_class(name: str) -> type[Message]:
    """The generated class of that name (`FetchRequestData`, `PartitionRecord`, `LeaderChangeMessage`);
    UnsupportedVersionError when there is none."""
    module = MODULES.get(name)
    if module is None:
        raise UnsupportedVersionError(f"there is no message or record {name!r}")
    found: type[Message] = getattr(importlib.import_module(f"pykraft.protocol.{module}"), name)
    return found


def api_name(key: int) -> str:
    """Kafka's name of an API (`FetchSnapshot`); UnsupportedVersionError for a key there is none for."""
    return _known(key)[0]


def request_class(key: int) -> type[Message]:
    """The class of an API's request."""
    return message_class(_known(key)[0] + "RequestData")


def response_class(key: int) -> type[Message]:
    """The class of an API's response."""
    return message_class(_known(key)[0] + "ResponseData")


def record_class(key: int) -> type[Message]:
    """The class of a metadata record; UnsupportedVersionError for a key there is none for."""
    name = RECORDS.get(key)
    if name is None:
        raise UnsupportedVersionError(f"there is no metadata record with key {key}")
    return message_class(name)


def request_header_version(key: int, version: int) -> int:
    """2 with tagged fields, 1 with a client id, 0 only for ControlledShutdown 0 (`ApiMessageType.java`)."""
    if key == ApiKey.CONTROLLED_SHUTDOWN and version == 0:
        return 0
    flexible_from = _known(key)[1]
    return 2 if 0 <= flexible_from <= version else 1


def response_header_version(key: int, version: int) -> int:
    """1 with tagged fields, else 0; ApiVersions stays at 0, as its client may not know the version (KIP-511)."""
    flexible_from = _known(key)[1]
    return 1 if 0 <= flexible_from <= version and key != ApiKey.API_VERSIONS else 0
