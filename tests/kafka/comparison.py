"""What must be equal in two answers, and what may differ: texts, drawn ids, times, and the order of hash maps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
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
        "brokerEpoch",
    }
)
TIMES_FROM_MS: Final = 10**12


def comparable(value: Any, left_out: AbstractSet[str] = LEFT_OUT) -> Any:
    """Without what may differ; in an order that does not depend on Java's hash maps. Lists of bare values keep theirs:
    that of replicas has a meaning."""
    if isinstance(value, dict):
        return {key: comparable(part, left_out) for key, part in value.items() if key not in left_out}
    if isinstance(value, list):
        parts = [comparable(part, left_out) for part in value]
        # Bare error codes answer the entries of the request in their order.
        is_ordered = all(not isinstance(part, dict) or part.keys() == {"errorCode"} for part in parts)
        return parts if is_ordered else sorted(parts, key=key_text)
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


def leaves(value: Any, path: str = "") -> set[str]:
    """The smallest parts of an answer and where they stand, to tell what two answers do not share."""
    if isinstance(value, list) and any(isinstance(part, list | dict) for part in value):
        return {leaf for part in value for leaf in leaves(part, path)}
    if isinstance(value, dict) and any(isinstance(part, list | dict) and part for part in value.values()):
        return {leaf for key, part in value.items() for leaf in leaves(part, f"{path}/{key}")}
    return {f"{path} {key_text(value)}"}


def shown_difference(theirs: Any, ours: Any) -> str:
    """What one of two answers has and the other has not."""
    only_theirs, only_ours = leaves(theirs), leaves(ours)
    return f"Kafka {sorted(only_theirs - only_ours)[:9]}, pykraft {sorted(only_ours - only_theirs)[:9]}"
