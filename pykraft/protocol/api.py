"""The API registry: keys, versions, header versions and classes of requests, responses and records.

A message's module is imported when its class is first asked for.
"""

from __future__ import annotations

import functools
import importlib
from typing import NamedTuple

from pykraft.protocol._message import Message
from pykraft.protocol._tables import APIS, MODULES, RECORDS, ApiKey
from pykraft.protocol.errors import UnsupportedVersionError

__all__ = ["ApiKey", "ApiSpec", "message_class", "record_class", "request_class", "request_header_version",
           "response_class", "response_header_version", "spec"]


class ApiSpec(NamedTuple):
    """An API of Kafka 3.9: its range of versions and the listeners it is offered on (`zkBroker`, `broker`,
    `controller`). `flexible_from` is None where no version is flexible; an unstable latest version is one
    that brokers offer only when told to."""

    key: ApiKey
    name: str
    min_version: int
    max_version: int
    flexible_from: int | None
    listeners: frozenset[str]
    latest_version_unstable: bool


@functools.cache
def spec(key: int) -> ApiSpec:
    """The facts of an API; UnsupportedVersionError for a key there is none for."""
    found = APIS.get(key)
    if found is None:
        raise UnsupportedVersionError(f"there is no API key {key}")
    name, lowest, highest, flexible, listeners, unstable = found
    return ApiSpec(ApiKey(key), name, lowest, highest, None if flexible < 0 else flexible, frozenset(listeners),
                   unstable)


@functools.cache
def message_class(name: str) -> type[Message]:
    """The generated class of that name (`FetchRequestData`, `PartitionRecord`, `LeaderChangeMessage`);
    UnsupportedVersionError when there is none."""
    module = MODULES.get(name)
    if module is None:
        raise UnsupportedVersionError(f"there is no message or record {name!r}")
    found: type[Message] = getattr(importlib.import_module(f"pykraft.protocol.{module}"), name)
    return found


def request_class(key: int) -> type[Message]:
    """The class of an API's request."""
    return message_class(spec(key).name + "RequestData")


def response_class(key: int) -> type[Message]:
    """The class of an API's response."""
    return message_class(spec(key).name + "ResponseData")


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
    flexible_from = spec(key).flexible_from
    return 1 if flexible_from is None or version < flexible_from else 2


def response_header_version(key: int, version: int) -> int:
    """1 with tagged fields, else 0; ApiVersions stays at 0, as its client may not know the version (KIP-511)."""
    flexible_from = spec(key).flexible_from
    if key == ApiKey.API_VERSIONS or flexible_from is None or version < flexible_from:
        return 0
    return 1
