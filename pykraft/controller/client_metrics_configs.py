"""The configs of a CLIENT_METRICS resource (a metrics subscription, KIP-714) and their checks.

Source: server/src/main/java/org/apache/kafka/server/metrics/ClientMetricsConfigs.java.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pykraft.controller.config_values import parse_integer, split_like_java
from pykraft.controller.errors import ApiError
from pykraft.protocol.errors import ErrorCode

INTERVAL_MS_MIN: Final = 100
INTERVAL_MS_MAX: Final = 3_600_000
_NAMES: Final = frozenset({"metrics", "interval.ms", "match"})
_MATCH_PARAMETERS: Final = frozenset(
    {
        "client_instance_id",
        "client_id",
        "client_software_name",
        "client_software_version",
        "client_source_address",
        "client_source_port",
    }
)


def check_client_metrics_configs(subscription: str, configs: Mapping[str, str]) -> None:
    """Check the configs that a subscription would have.

    Raises ApiError: INVALID_REQUEST for the name, a key or an interval out of range, INVALID_CONFIG for a pattern,
    UNKNOWN_SERVER_ERROR, as Kafka has it, for an interval that is no number.
    """
    if not subscription:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Subscription name can't be empty")
    for name in configs:
        if name not in _NAMES:
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Unknown client metrics configuration: {name}")
    if "interval.ms" in configs:
        _check_interval(configs["interval.ms"])
    for pattern in split_like_java(configs["match"]) if "match" in configs else ():
        parts = pattern.rstrip("=").split("=")
        if len(parts) != 2 or parts[0].strip() not in _MATCH_PARAMETERS or not _is_pattern(parts[1].strip()):
            raise ApiError(ErrorCode.INVALID_CONFIG, f"Illegal client matching pattern: {pattern}")


def _check_interval(text: str) -> None:
    try:
        interval_ms = parse_integer(text, 32)
    except ValueError as error:
        raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, f"interval.ms: {error}") from error
    if not INTERVAL_MS_MIN <= interval_ms <= INTERVAL_MS_MAX:
        raise ApiError(
            ErrorCode.INVALID_REQUEST,
            f"Invalid value {interval_ms} for interval.ms, interval must be between {INTERVAL_MS_MIN} and"
            f" {INTERVAL_MS_MAX} (1 hour)",
        )


def _is_pattern(text: str) -> bool:
    """Whether the text is a regular expression; Java's and Python's rules agree on all but rare constructs."""
    try:
        re.compile(text)
    except re.error:
        return False
    return True
