"""The configs of a GROUP resource (KIP-848, KIP-932, KIP-1071) and their checks; since 4.0.

Source: group-coordinator/.../coordinator/group/GroupConfig.java, ConfigHelper.scala; checks of the classes of 4.0.2 and
4.1.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pykraft.controller.config_values import (
    Check,
    ConfigType,
    ConfigValue,
    ConfigValueError,
    at_least,
    one_of,
    parse_integer,
    parse_value,
)
from pykraft.controller.errors import ApiError
from pykraft.protocol.errors import ErrorCode

_BY_DURATION: Final = re.compile(
    r"by_duration:\+?P(?=.)(?:\+?\d+D)?(?:T(?=.)(?:\+?\d+H)?(?:\+?\d+M)?(?:\+?\d+(?:[.,]\d{0,9})?S)?)?"
)


def _offset_reset(value: ConfigValue) -> str | None:
    text = str(value)
    prefix, colon, duration = text.partition(":")
    if text in ("earliest", "latest") or _BY_DURATION.fullmatch(prefix + colon + duration.upper()):
        return None
    return "it must be earliest, latest or by_duration: and an ISO duration that is not negative, such as PT1H"


@dataclass(frozen=True, slots=True)
class GroupConfigDefinition:
    """One group config: what a group has without it, what it may be, and the broker configs that stand in for it
    (`synonym`) and bound it (`minimum`, `maximum`), with the default of each."""

    name: str
    type: ConfigType
    default: str
    check: Check
    synonym: str | None = None
    minimum: tuple[str, int] | None = None
    maximum: tuple[str, int] | None = None

    def parse(self, text: str) -> ConfigValue:
        """Read and check a value by itself. Raises ConfigValueError."""
        value = parse_value(self.name, text, self.type)
        reason = self.check(value)
        if reason is not None:
            raise ConfigValueError(f"Invalid value {text} for configuration {self.name}: {reason}")
        return value


def _time(kind: str, what: str, default: int, lowest: int, highest: int, least: int = 1) -> GroupConfigDefinition:
    return GroupConfigDefinition(
        f"{kind}.{what}",
        ConfigType.INT,
        str(default),
        at_least(least),
        f"group.{kind}.{what}",
        (f"group.{kind}.min.{what}", lowest),
        (f"group.{kind}.max.{what}", highest),
    )


def _session(kind: str) -> tuple[GroupConfigDefinition, ...]:
    return (
        _time(kind, "session.timeout.ms", 45_000, 45_000, 60_000),
        _time(kind, "heartbeat.interval.ms", 5_000, 5_000, 15_000),
    )


def _text(name: str, default: str, check: Check) -> GroupConfigDefinition:
    return GroupConfigDefinition(name, ConfigType.STRING, default, check)


_4_0: Final = (
    *_session("consumer"),
    *_session("share"),
    _time("share", "record.lock.duration.ms", 30_000, 15_000, 60_000, least=1_000),
    _text("share.auto.offset.reset", "latest", _offset_reset),
)
_4_1: Final = (
    *_4_0,
    _text("share.isolation.level", "read_uncommitted", one_of(("read_committed", "read_uncommitted"))),
    *_session("streams"),
    GroupConfigDefinition(
        "streams.num.standby.replicas",
        ConfigType.INT,
        "0",
        at_least(0),
        "group.streams.num.standby.replicas",
        maximum=("group.streams.max.standby.replicas", 2),
    ),
)
_KINDS: Final = ("consumer", "share", "streams")


def group_config_definitions(release: str) -> tuple[GroupConfigDefinition, ...]:
    """The group configs of a release; none before 4.0."""
    return () if release.startswith("3.") else _4_0 if release == "4.0" else _4_1


def check_group_configs(release: str, static: Mapping[str, str], group: str, configs: Mapping[str, str]) -> None:
    """Check the configs that a group would have; `static` are the controller's own, which bound them.

    Raises ApiError: INVALID_REQUEST for the name, INVALID_CONFIG for a config.
    """
    if not group:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Default group resources are not allowed.")
    definitions = {definition.name: definition for definition in group_config_definitions(release)}
    for name in configs:
        if name not in definitions:
            raise ApiError(ErrorCode.INVALID_CONFIG, f"Unknown group config name: {name}")
    try:
        values = {name: each.parse(configs.get(name, each.default)) for name, each in definitions.items()}
    except ConfigValueError as error:
        raise ApiError(ErrorCode.INVALID_CONFIG, str(error)) from error
    for name, definition in definitions.items():
        _check_bounds(definition, values[name], static)
    for kind in _KINDS:
        session, heartbeat = f"{kind}.session.timeout.ms", f"{kind}.heartbeat.interval.ms"
        if session not in values:
            continue
        session_ms, heartbeat_ms = values[session], values[heartbeat]
        assert isinstance(session_ms, int)
        assert isinstance(heartbeat_ms, int)
        if session_ms <= heartbeat_ms:
            raise ApiError(ErrorCode.INVALID_CONFIG, f"{session} must be greater than {heartbeat}")


def _check_bounds(definition: GroupConfigDefinition, value: ConfigValue, static: Mapping[str, str]) -> None:
    for bound, sign, relation in ((definition.minimum, 1, "greater"), (definition.maximum, -1, "less")):
        if bound is None:
            continue
        assert isinstance(value, int)
        key, default = bound
        limit = parse_integer(static[key].strip(), 32) if key in static else default
        if sign * value < sign * limit:
            raise ApiError(
                ErrorCode.INVALID_CONFIG,
                f"{definition.name} must be {relation} than or equal to {key}, which is {limit}",
            )
