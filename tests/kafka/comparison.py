"""What must be equal in two answers, and what may differ: texts, random ids, times, and the order of hash maps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

LEFT_OUT: Final = frozenset(
    {
        "errorMessage",
        "throttleTimeMs",
        "documentation",
        "hmac",
        "tokenId",
        "topicId",
        "clusterId",
        "port",
    }
)
TIMES_FROM_MS: Final = 10**12


def comparable(value: Any) -> Any:
    """Without what may differ; in an order that does not depend on Java's hash maps."""
    if isinstance(value, dict):
        return {key: comparable(part) for key, part in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        parts = [comparable(part) for part in value]
        # Bare error codes answer the entries of the request in their order.
        bare = all(isinstance(part, dict) and part.keys() == {"errorCode"} for part in parts)
        return parts if bare else sorted(parts, key=key_text)
    return "time" if isinstance(value, int) and value >= TIMES_FROM_MS else value


def key_text(value: Any) -> str:
    """A text that equal values share."""
    return json.dumps(value, sort_keys=True)


def error_codes(value: Any) -> Iterator[int]:
    """Every error code in the JSON of an answer."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "errorCode":
                yield part
            else:
                yield from error_codes(part)
    elif isinstance(value, list):
        for part in value:
            yield from error_codes(part)


def leaves(value: Any) -> set[str]:
    """The smallest parts of an answer, to tell what two answers do not share."""
    if isinstance(value, list):
        return {leaf for part in value for leaf in leaves(part)}
    if isinstance(value, dict) and any(isinstance(part, list) and part for part in value.values()):
        return {leaf for part in value.values() for leaf in leaves(part)}
    return {key_text(value)}
