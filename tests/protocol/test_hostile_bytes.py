"""Bytes from an enemy: one typed error with path and offset, nothing else, and no more memory than the input allows."""

from __future__ import annotations

import os
import random
import tracemalloc
from typing import Final

import pytest

from pykraft.protocol import _careful, jsonconv
from pykraft.protocol._message import Message
from pykraft.protocol.errors import DecodeError
from pykraft.protocol.messages.api_versions_response import ApiVersionsResponseData
from pykraft.protocol.messages.fetch_request import FetchRequestData
from pykraft.protocol.messages.leader_and_isr_request import LeaderAndIsrRequestData
from pykraft.protocol.messages.metadata_response import MetadataResponseData
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.messages.vote_request import VoteRequestData
from pykraft.protocol.record_frame import decode_record
from pykraft.protocol.records.partition_record import PartitionRecord

from .values import every_class, message_value

NIGHTLY: Final = os.environ.get("PYKRAFT_PROFILE") == "nightly"
# Mutations for each message and version; more than a million in all in the nightly profile.
MUTATIONS: Final = 1500 if NIGHTLY else 6
# At how many lengths a message is cut off.
TRUNCATED_MAX: Final = 1000 if NIGHTLY else 24
# What lies about a length or a count, in each form that lengths take.
LIES: Final = (
    b"\xff\xff\xff\xff\x07", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x80\x80", b"\x7f\xff\xff\xff", b"\x7f\xff",
    b"\xff\xff\xff\xfe", b"\x80\x00\x00\x00", b"\xff", b"\x80", b"\x00",
)  # fmt: skip
# A struct with all its defaults, made of one byte of input, takes some hundred bytes.
BYTES_OF_MEMORY_PER_BYTE: Final = 1024
MEMORY_AT_ONCE: Final = 256 * 1024


def same_verdict(cls: type[Message], raw: bytes, version: int) -> bool:
    """Whether the bytes are refused; the compiled and the careful code must agree, and on the value too."""
    refused = None
    try:
        value = cls.decode(raw, version)
    except DecodeError as error:
        refused = error
    if refused is not None:
        assert refused.path
        assert 0 <= refused.offset <= len(raw)
        with pytest.raises(DecodeError):
            _careful.decode(cls, raw, version)
        return True
    again = _careful.decode(cls, raw, version)
    # By bytes, as NaN is not equal to itself.
    assert again.encode(version) == value.encode(version)
    jsonconv.to_json(value, version)
    return False


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_truncated_at_every_length(cls: type[Message]) -> None:
    rng = random.Random(cls.__name__)
    for version in range(cls.MIN_VERSION, cls.MAX_VERSION + 1):
        raw = message_value(cls, version, rng).encode(version)
        lengths = range(len(raw)) if len(raw) <= TRUNCATED_MAX else sorted(rng.sample(range(len(raw)), TRUNCATED_MAX))
        for length in lengths:
            assert same_verdict(cls, raw[:length], version)
        with pytest.raises(DecodeError, match="1 bytes are left over"):
            cls.decode(raw + b"\x00", version)


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_mutated(cls: type[Message]) -> None:
    rng = random.Random(cls.__name__)
    for version in range(cls.MIN_VERSION, cls.MAX_VERSION + 1):
        raw = message_value(cls, version, rng).encode(version)
        for _ in range(MUTATIONS if raw else 0):
            at = rng.randrange(len(raw))
            lie = rng.choice((*LIES, rng.randbytes(1), rng.randbytes(4)))
            behind = at if rng.random() < 0.3 else at + len(lie)
            same_verdict(cls, raw[:at] + lie + raw[behind:], version)


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_memory_stays_within_what_the_input_allows(cls: type[Message]) -> None:
    version = cls.MAX_VERSION
    for lie in LIES:
        raw = lie * 40
        same_verdict(cls, raw, version)  # compiled and cached before memory is counted
        tracemalloc.start()
        try:
            same_verdict(cls, raw, version)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MEMORY_AT_ONCE + len(raw) * BYTES_OF_MEMORY_PER_BYTE


@pytest.mark.parametrize(("cls", "version", "raw", "path", "offset", "reason"), [
    (RequestHeaderData, 2, "0001000d00000001fffe", "clientId", 8, "length -2 is negative"),
    (RequestHeaderData, 2, "0001000d000000010005616263", "clientId", 8, "needs 5 bytes, 3 are left"),
    (RequestHeaderData, 2, "0001000d00000001ffff80", "taggedFields", 10, "needs 1 bytes, 0 are left"),
    (RequestHeaderData, 2, "0001000d00000001ffff8080808080", "taggedFields", 10,
     "the number of tagged fields is a varint that does not end within 5 bytes"),
    (RequestHeaderData, 2, "0001000d00000001ffff0205000100", "taggedFields", 13, "tag 1 comes after tag 5"),
    (RequestHeaderData, 2, "0001000d00000001ffff010505", "taggedFields", 11, "tag 5 says 5 bytes, 0 are left"),
    (RequestHeaderData, 1, "0001000d000000010002ff61", "clientId", 8, "not UTF-8: invalid start byte at its byte 0"),
    (ApiVersionsResponseData, 0, "00007fffffff", "apiKeys", 2,
     "2147483647 elements need at least 12884901882 bytes, 0 are left"),
    (ApiVersionsResponseData, 0, "0000ffffffff", "apiKeys", 2, "null where a value is needed"),
    (VoteRequestData, 0, "0002026100", "topics[0].partitions", 4, "null where a value is needed"),
    (FetchRequestData, 17, "00" * 21 + "0101" + "01" + "01" + "00" + "02" + "61", "clusterId", 25,
     "tag 0 says 2 bytes, 1 are left"),
    (FetchRequestData, 17, "00" * 21 + "0101" + "01" + "01" + "00" + "03" + "026161", "clusterId", 25,
     "tag 0 says 3 bytes, its field takes 2"),
    (MetadataResponseData, 0, "00000001" + "00000001" + "00016100001f90" + "00", "topics", 15,
     "needs 4 bytes, 1 are left"),
    (LeaderAndIsrRequestData, 0, "00", "controllerId", 0, "needs 4 bytes, 1 are left"),
])  # fmt: skip
def test_error_names_path_and_offset(
    cls: type[Message], version: int, raw: str, path: str, offset: int, reason: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        cls.decode(bytes.fromhex(raw), version)
    assert (caught.value.path, caught.value.offset, caught.value.reason) == (path, offset, reason)
    assert str(caught.value) == f"{path} at byte {offset}: {reason}"


def test_records() -> None:
    rng = random.Random(1)
    whole = b"\x01\x03\x02" + message_value(PartitionRecord, 2, rng).encode(2)
    assert decode_record(whole).version == 2
    for length in range(len(whole)):
        with pytest.raises(DecodeError):
            decode_record(whole[:length])
