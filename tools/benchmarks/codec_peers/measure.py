"""Measures one Python codec: `measure.py pykraft|kio|kafka-python`, run by the interpreter that has it.

A line of stdin is a message: {"name", "schema", "version", "hex"}. The answer is a line {"name", "encode_us",
"decode_us"}: the fastest of many times, as other work on the machine only makes it slower. A codec that does not offer
the message answers {"name", "absent": why}; one that writes other bytes than it was given, {"name", "wrong": what}.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

BATCH_S = 0.002
BATCHES = 120

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
    for _ in range(BATCHES):
        begun = time.perf_counter()
        for _ in numbers:
            function()
        best = min(best, time.perf_counter() - begun)
    return best / count * 1e6


def pykraft(schema: str, version: int, raw: bytes) -> Pair:
    api = importlib.import_module("pykraft.protocol.api")
    cls = api.message_class(schema if schema.endswith("Record") else f"{schema}Data")
    value = cls.decode(raw, version)
    return (lambda: value.encode(version)), (lambda: cls.decode(raw, version))


def kio(schema: str, version: int, raw: bytes) -> Pair:
    serial = importlib.import_module("kio.serial")
    words = re.findall("[A-Z][a-z]+", schema)
    place = f"kio.schema.{'_'.join(words[:-1]).lower()}.v{version}.{words[-1].lower()}"
    try:
        cls = getattr(importlib.import_module(place), schema)
    except ImportError:
        raise AbsentError(f"no {schema} version {version}") from None
    reader, writer = serial.entity_reader(cls), serial.entity_writer(cls)
    value, _ = reader(raw, 0)

    def encode() -> bytes:
        buffer = io.BytesIO()
        writer(buffer, value)
        return buffer.getvalue()

    return encode, lambda: reader(raw, 0)


def kafka_python(schema: str, version: int, raw: bytes) -> Pair:
    modules = [importlib.import_module(f"kafka.protocol.{name}") for name in ("metadata", "consumer", "admin")]
    found = [getattr(module, schema) for module in modules if hasattr(module, schema)]
    if not found:
        raise AbsentError(f"no {schema}")
    cls = found[0]
    value = cls.decode(raw, version=version)
    value._header = None  # decoding leaves it unset, encoding asks for it
    return (lambda: bytes(value.encode(version=version))), (lambda: cls.decode(raw, version=version))


CODECS: dict[str, Callable[[str, int, bytes], Pair]] = {
    "pykraft": pykraft, "kio": kio, "kafka-python": kafka_python,
}  # fmt: skip


def answer(make: str, question: dict[str, Any]) -> dict[str, Any]:
    raw = bytes.fromhex(question["hex"])
    try:
        encode, decode = CODECS[make](question["schema"], question["version"], raw)
    except AbsentError as absent:
        return {"absent": str(absent)}
    if encode() != raw:
        return {"wrong": "writes other bytes than it read"}
    return {"encode_us": fastest_us(encode), "decode_us": fastest_us(decode)}


def main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        sys.stdout.write(json.dumps({"name": question["name"], **answer(sys.argv[1], question)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
