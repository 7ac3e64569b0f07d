"""Measures one Python codec: `measure.py pykraft|kio|kafka-python`, run by the interpreter that has it.

A line of stdin is a message: {"name", "schema", "version", "hex", "bound", "read"}. The answer is a line {"name",
"encode_us", "decode_us", "read_us"}: the fastest of many times, as other work on the machine only makes it slower.
`bound` says that what reads and writes the version is looked up once, not in each call. `read` tells the attributes to
read after decoding, {"plain": [NAME], "structs": {NAME: {...}}, "arrays": {NAME: {...}}}; null for none. A codec that
does not offer the message answers {"name", "absent": why}; one that writes other bytes than it was given, {"name",
"wrong": what}.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

BATCH_S = 0.002
# How long one function is measured, however slow the machine is just now; but at least so many batches.
MEASURE_S = 0.25
BATCHES_MIN = 10

Pair = tuple[Callable[[], bytes], Callable[[], Any]]


class AbsentError(Exception):
    """The codec does not offer this message."""


def fastest_us(function: Callable[[], object]) -> float:
    """The time of one call, in microseconds, in the fastest of many batches."""
    begun = time.perf_counter()
    for _ in range(3):
        function()
    count = max(1, int(BATCH_S / ((time.perf_counter() - begun) / 3)))
    numbers = range(count)
    best = float("inf")
    batches, last = 0, time.perf_counter() + MEASURE_S
    while batches < BATCHES_MIN or time.perf_counter() < last:
        batches += 1
        begun = time.perf_counter()
        for _ in numbers:
            function()
        best = min(best, time.perf_counter() - begun)
    return best / count * 1e6


def pykraft(schema: str, version: int, raw: bytes, bound: bool) -> Pair:
    api = importlib.import_module("pykraft.protocol.api")
    cls = api.message_class(schema if schema.endswith("Record") else f"{schema}Data")
    value = cls.decode(raw, version)
    if not bound:
        return (lambda: value.encode(version)), (lambda: cls.decode(raw, version))
    encoder, decoder = cls.encoder(version), cls.decoder(version)
    return (lambda: encoder(value)), (lambda: decoder(raw))


def kio(schema: str, version: int, raw: bytes, bound: bool) -> Pair:
    serial = importlib.import_module("kio.serial")
    words = re.findall("[A-Z][a-z]+", schema)
    place = f"kio.schema.{'_'.join(words[:-1]).lower()}.v{version}.{words[-1].lower()}"
    try:
        cls = getattr(importlib.import_module(place), schema)
    except ImportError:
        raise AbsentError(f"no {schema} version {version}") from None
    entity_reader, entity_writer = serial.entity_reader, serial.entity_writer
    reader, writer = entity_reader(cls), entity_writer(cls)
    value, _ = reader(raw, 0)

    def encode() -> bytes:
        buffer = io.BytesIO()
        writer(buffer, value)
        return buffer.getvalue()

    def look_up_and_encode() -> bytes:
        buffer = io.BytesIO()
        entity_writer(cls)(buffer, value)
        return buffer.getvalue()

    if bound:
        return encode, lambda: reader(raw, 0)
    return look_up_and_encode, lambda: entity_reader(cls)(raw, 0)


def kafka_python(schema: str, version: int, raw: bytes, bound: bool) -> Pair:
    modules = [importlib.import_module(f"kafka.protocol.{name}") for name in ("metadata", "consumer", "admin")]
    found = [getattr(module, schema) for module in modules if hasattr(module, schema)]
    if bound or not found:
        raise AbsentError(f"no {schema}" if not found else "looks up the version in each call")
    cls = found[0]
    value = cls.decode(raw, version=version)
    value._header = None  # decoding leaves it unset, encoding asks for it
    return (lambda: bytes(value.encode(version=version))), (lambda: cls.decode(raw, version=version))


CODECS: dict[str, Callable[[str, int, bytes, bool], Pair]] = {
    "pykraft": pykraft, "kio": kio, "kafka-python": kafka_python,
}  # fmt: skip


def reading(names: dict[str, Any], message: Any) -> Callable[[Any], None]:
    """A function that reads these attributes of such a message; absent structs are None in some codecs."""
    code = ["def read(m):", *_reading(names, "m", message, 1)]
    space: dict[str, Any] = {}
    exec("\n".join(code), space)
    found: Callable[[Any], None] = space["read"]
    return found


def _reading(names: dict[str, Any], value: str, example: Any, depth: int) -> Iterator[str]:
    pad = "    " * depth
    for name in names["plain"]:
        # kio has timedeltas, without the unit in the name.
        yield f"{pad}{value}.{name if hasattr(example, name) else name.removesuffix('_ms')}"
    for name, inner in names["structs"].items():
        yield f"{pad}x{depth} = {value}.{name}"
        yield f"{pad}if x{depth} is not None:"
        yield from _reading(inner, f"x{depth}", getattr(example, name, None), depth + 1)
    for name, inner in names["arrays"].items():
        yield f"{pad}for e{depth} in {value}.{name} or ():"
        elements = getattr(example, name, None)
        yield from _reading(inner, f"e{depth}", elements[0] if elements else None, depth + 1)


def answer(make: str, question: dict[str, Any]) -> dict[str, Any]:
    raw = bytes.fromhex(question["hex"])
    try:
        encode, decode = CODECS[make](question["schema"], question["version"], raw, question["bound"])
    except AbsentError as absent:
        return {"absent": str(absent)}
    if encode() != raw:
        return {"wrong": "writes other bytes than it read"}
    found = {"encode_us": fastest_us(encode), "decode_us": fastest_us(decode)}
    if question["read"] is not None:
        whole: Callable[[], Any] = (lambda: decode()[0]) if make == "kio" else decode  # kio gives the size, too
        read = reading(question["read"], whole())
        found["read_us"] = fastest_us(lambda: read(whole()))
    return found


def main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        sys.stdout.write(json.dumps({"name": question["name"], **answer(sys.argv[1], question)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
