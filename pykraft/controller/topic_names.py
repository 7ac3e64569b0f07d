"""Which topic names are legal.

Source: clients/src/main/java/org/apache/kafka/common/internals/Topic.java.
"""

from __future__ import annotations

import re
from typing import Final

TOPIC_NAME_CHARACTERS_MAX: Final = 249
_LEGAL: Final = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)


def topic_name_problem(name: str) -> str | None:
    """Why a topic cannot have this name, or None when it can."""
    if not name:
        return "Topic name is invalid: the empty string is not allowed"
    if name in (".", ".."):
        return f"Topic name is invalid: '{name}' is not allowed"
    if len(name) > TOPIC_NAME_CHARACTERS_MAX:
        return (
            f"Topic name is invalid: its length is {len(name)}, at most {TOPIC_NAME_CHARACTERS_MAX} characters are"
            " allowed"
        )
    if not _LEGAL.fullmatch(name):
        return f"Topic name is invalid: {name!r} has other characters than ASCII letters and digits, '.', '_' and '-'"
    return None
