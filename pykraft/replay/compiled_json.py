"""The JSON text of one message, by code compiled for its class and version: what `jsonconv.to_json` and `json_text`
give together, some ten times as fast."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import Any, Final

from pykraft.protocol._layout import Field, layout
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol.java_double import java_double
from pykraft.protocol.uuids import uuid_to_text
from pykraft.replay.json_text import string_text

CACHED_MAX: Final = 65_536
BOOLEANS: Final = {False: "false", True: "true"}


class Texts(dict[str, str]):
    """The JSON of texts; forgets them all when there are too many."""

    def __missing__(self, key: str) -> str:
        if len(self) >= CACHED_MAX:
            self.clear()
        text = self[key] = string_text(key)
        return text


class Uuids(dict[bytes, str]):
    """The 22 characters of uuids; forgets them all when there are too many."""

    def __missing__(self, key: bytes) -> str:
        if len(self) >= CACHED_MAX:
            self.clear()
        text = self[key] = uuid_to_text(key)
        return text


TEXTS: Final = Texts()
UUIDS: Final = Uuids()


def base64_text(data: bytes) -> str:
    """The base64 of bytes, without quotes."""
    return base64.b64encode(data).decode()


@functools.cache
def json_of(cls: type[Message], version: int) -> Callable[[Any], str]:
    """The function from a message that was decoded in `version` to its JSON text."""
    made = _Functions(version)
    name = made.function(cls)
    space: dict[str, Any] = {
        "TEXT": TEXTS, "UUID": UUIDS, "BOOL": BOOLEANS, "BASE64": base64_text, "FLOAT": java_double, **made.defaults,
    }  # fmt: skip
    exec(compile("\n".join(made.lines), f"<JSON of {cls.__name__}>", "exec"), space)
    function: Callable[[Any], str] = space[name]
    return function


class _Functions:
    """The source of a function for each struct of a message."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.lines: list[str] = []
        self.defaults: dict[str, Any] = {}
        self.names: dict[type[AnyStruct], str] = {}

    def function(self, cls: type[AnyStruct]) -> str:
        if cls in self.names:
            return self.names[cls]
        name = self.names[cls] = f"json_of_{cls.__name__}"
        parts = [self._part(field) for field in layout(cls) if self.version in field.versions]
        body = " + ".join(["''", *parts])
        self.lines += [f"def {name}(m):", f"    text = {body}", "    return '{' + text[1:] + '}'"]
        return name

    def _part(self, field: Field) -> str:
        """The expression of a field with a comma before it, empty for a tagged one that holds its default."""
        value = f"m.{field.attr}"
        one = f"{',' + chr(34) + field.name + chr(34) + ':'!r} + {self._value(field, value)}"
        if self.version not in field.tagged:
            return one
        name = f"D{len(self.defaults)}"
        self.defaults[name] = field.default
        absent = f"{value} is None" if field.default is None else f"{value} == {name}"
        return f"('' if {absent} else {one})"

    def _value(self, field: Field, value: str) -> str:
        if field.is_array:
            if field.struct is None and field.kind not in _LIKE_PYTHON:
                made = f"'[' + ','.join([{self._one(field, 'x')} for x in {value}]) + ']'"
            elif field.struct is not None:
                made = f"'[' + ','.join([{self.function(field.struct)}(x) for x in {value}]) + ']'"
            else:
                made = f"str({value}).replace(' ', '')"
        else:
            made = self._one(field, value)
        return f"('null' if {value} is None else {made})" if self.version in field.nullable else f"({made})"

    def _one(self, field: Field, value: str) -> str:
        if field.struct is not None:
            return f"{self.function(field.struct)}({value})"
        return _SCALARS.get(field.kind, "str({})").format(value)


_LIKE_PYTHON: Final = frozenset({"int8", "int16", "uint16", "int32", "uint32", "int64"})
_SCALARS: Final = {
    "bool": "BOOL[{}]", "string": "TEXT[{}]", "uuid": '\'"\' + UUID[{}] + \'"\'', "float64": "FLOAT({})",
    "bytes": '\'"\' + BASE64({}) + \'"\'', "records": "'\"\"'",
}  # fmt: skip
