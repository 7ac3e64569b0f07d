"""Kafka's Uuid: 16 bytes, big endian, printed as 22 characters of URL-safe base64 (`Uuid.java`)."""

from __future__ import annotations

import base64
import binascii
import random
from typing import Final, TypeAlias

Uuid: TypeAlias = bytes

ZERO_UUID: Final[Uuid] = bytes(16)
METADATA_TOPIC_ID: Final[Uuid] = bytes(15) + b"\x01"

# Java refuses longer text before it decodes it; shorter text cannot hold 16 bytes.
_TEXT_LENGTH: Final = 22
_RESERVED_BELOW: Final = 100


def uuid_to_text(uuid: Uuid) -> str:
    """The 22 characters Kafka prints for these 16 bytes."""
    return base64.urlsafe_b64encode(uuid)[:_TEXT_LENGTH].decode("ascii")


def uuid_from_text(text: str) -> Uuid:
    """The 16 bytes of a printed Uuid; ValueError when the text is not one."""
    try:
        raw = text.encode("ascii").translate(_FROM_URL_SAFE)
        uuid = binascii.a2b_base64(raw.rstrip(b"=") + b"==", strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        uuid = b""
    if len(uuid) != len(ZERO_UUID):
        raise ValueError(f"not a Uuid (22 characters of URL-safe base64): {text!r}")
    return uuid


# "+" and "/" are not URL-safe base64: they become a character strict decoding refuses.
_FROM_URL_SAFE: Final = bytes.maketrans(b"-_+/", b"+/!!")


def random_uuid(rng: random.Random) -> Uuid:
    """A version 4 Uuid that is not reserved and whose text does not begin with a dash (`Uuid.randomUuid`)."""
    while True:
        bits = rng.getrandbits(128)
        bits = bits & ~(0xF << 76) | (0x4 << 76)
        bits = bits & ~(0x3 << 62) | (0x2 << 62)
        uuid = bits.to_bytes(16, "big")
        if bits >= _RESERVED_BELOW and not uuid_to_text(uuid).startswith("-"):
            return uuid
