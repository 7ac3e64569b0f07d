"""How Kafka's names look in Python."""

from __future__ import annotations

import keyword
import re
from typing import Final

_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Locals of the compiled readers; a field of that name would meet them.
_TAKEN: Final = frozenset({"add", "tags", "last", "tag", "stop", "item", "unknown_tagged_fields", "encode", "decode"})


def snake(name: str) -> str:
    """`LeaderAndIsrRequest` to `leader_and_isr_request`; KRaft is one word."""
    return _WORDS.sub("_", name.replace("KRaft", "Kraft").replace("kRaft", "kraft")).lower()


def attribute(name: str) -> str:
    """A field's attribute; ValueError when Python or the compiled code needs that name itself."""
    found = snake(name)
    if keyword.iskeyword(found) or found in _TAKEN or found in _ANNOTATION_NAMES:
        raise ValueError(f"field {name!r} cannot be an attribute {found!r}")
    return found


_ANNOTATION_NAMES: Final = frozenset({"int", "str", "bytes", "bool", "float", "list"})


def json_name(name: str) -> str:
    """A field's key in the JSON of Kafka's converters."""
    return name[0].lower() + name[1:]
