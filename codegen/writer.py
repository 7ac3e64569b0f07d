"""Writes a schema model as JSON: keys in one order, one field a line, what is default left out."""

from __future__ import annotations

import json
from collections.abc import Iterator

from codegen.schema import Default, Field, Message, Struct


def schema_text(message: Message) -> str:
    """The schema file of a message; `schema.parse` of it gives the same message again."""
    facts: dict[str, object] = {"name": message.name, "type": message.type}
    if message.api_key is not None:
        facts["apiKey"] = message.api_key
    facts["validVersions"] = str(message.versions)
    facts["flexibleVersions"] = str(message.flexible)
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in facts.items()]
    if message.common:
        lines.append(' "commonStructs": [')
        lines += _separated([list(_struct_lines(struct, 2)) for struct in message.common])
        lines.append(" ],")
    lines += _fields_lines(message.fields, 1)
    return "\n".join(("{", *lines, "}", ""))


def _struct_lines(struct: Struct, depth: int) -> Iterator[str]:
    pad = " " * depth
    yield f'{pad}{{"name": {json.dumps(struct.name)}, "versions": "{struct.versions}",'
    *inner, last = _fields_lines(struct.fields, depth + 1)
    yield from inner
    yield last + "}"


def _fields_lines(fields: tuple[Field, ...], depth: int) -> list[str]:
    pad = " " * depth
    if not fields:
        return [f'{pad}"fields": []']
    blocks = [list(_field_lines(field, depth + 1)) for field in fields]
    return [f'{pad}"fields": [', *_separated(blocks), f"{pad}]"]


def _field_lines(field: Field, depth: int) -> Iterator[str]:
    pad = " " * depth
    facts: dict[str, object] = {"name": field.name, "type": field.type, "versions": str(field.versions)}
    if field.nullable:
        facts["nullableVersions"] = str(field.nullable)
    if field.tag is not None:
        facts["taggedVersions"] = str(field.tagged)
        facts["tag"] = field.tag
    default = _default_text(field.default, field.type)
    if default:
        facts["default"] = default
    if field.ignorable:
        facts["ignorable"] = True
    if field.flexible is not None:
        facts["flexibleVersions"] = str(field.flexible)
    head = pad + json.dumps(facts)
    if not field.fields:
        yield head
        return
    yield head[:-1] + ","
    *inner, last = _fields_lines(field.fields, depth + 1)
    yield from inner
    yield last + "}"


def _default_text(default: Default, kind: str) -> str:
    if default is None:
        return "" if kind == "records" else "null"
    if default == "" or default is False or default == 0:
        return ""
    return "true" if default is True else str(default)


def _separated(blocks: list[list[str]]) -> Iterator[str]:
    for number, block in enumerate(blocks, 1):
        yield from block[:-1]
        yield block[-1] + ("," if number < len(blocks) else "")
