"""AES in CBC mode with PKCS #5 padding, for the few config secrets that ZooKeeper holds encrypted.

Source: FIPS 197, NIST SP 800-38A. Written plainly, not for speed: a secret is some blocks long, and deriving its key
takes far longer.
"""

from __future__ import annotations

from typing import Final

BLOCK_BYTES: Final = 16


def _times(a: int, b: int) -> int:
    """Product in the field of 256 elements of AES."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def _substitution() -> bytes:
    table = bytearray(256)
    for value in range(256):
        inverse = next((other for other in range(256) if _times(value, other) == 1), 0)
        table[value] = 0x63
        for shift in range(5):
            table[value] ^= (inverse << shift | inverse >> (8 - shift)) & 0xFF
    return bytes(table)


class Aes:
    """A key of 16, 24 or 32 bytes, ready to encrypt and decrypt."""

    def __init__(self, key: bytes) -> None:
        self._box = _substitution()
        self._inverse_box = bytes(self._box.index(value) for value in range(256))
        self._mix = {factor: bytes(_times(value, factor) for value in range(256)) for factor in (2, 3, 9, 11, 13, 14)}
        self._round_keys = self._expand(key)

    def encrypt(self, data: bytes, vector: bytes) -> bytes:
        """Pad and encrypt; `vector` is the initialization vector, one block."""
        padding = BLOCK_BYTES - len(data) % BLOCK_BYTES
        data += bytes([padding]) * padding
        result = b""
        for at in range(0, len(data), BLOCK_BYTES):
            vector = self._encrypt_block(_xor(data[at:at + BLOCK_BYTES], vector))
            result += vector
        return result

    def decrypt(self, data: bytes, vector: bytes) -> bytes:
        """Decrypt and strip the padding. Raises ValueError when there is none, as with a wrong key."""
        if not data or len(data) % BLOCK_BYTES or len(vector) != BLOCK_BYTES:
            raise ValueError(f"{len(data)} bytes with a vector of {len(vector)} are no whole blocks")
        result = b""
        for at in range(0, len(data), BLOCK_BYTES):
            block = data[at:at + BLOCK_BYTES]
            result += _xor(self._decrypt_block(block), vector)
            vector = block
        padding = result[-1]
        if not 1 <= padding <= BLOCK_BYTES or not result.endswith(bytes([padding]) * padding):
            raise ValueError("wrong key")
        return result[:-padding]

    def _expand(self, key: bytes) -> list[bytes]:
        if len(key) not in (16, 24, 32):
            raise ValueError(f"a key of {len(key)} bytes; AES takes 16, 24 or 32")
        words = [key[at:at + 4] for at in range(0, len(key), 4)]
        key_words = len(words)
        constant = 1
        while len(words) < 4 * (key_words + 7):
            word = words[-1]
            if len(words) % key_words == 0:
                word = _xor(self._substitute(word[1:] + word[:1]), bytes([constant, 0, 0, 0]))
                constant = _times(constant, 2)
            elif key_words > 6 and len(words) % key_words == 4:
                word = self._substitute(word)
            words.append(_xor(words[-key_words], word))
        return [b"".join(words[at:at + 4]) for at in range(0, len(words), 4)]

    def _substitute(self, data: bytes) -> bytes:
        return data.translate(self._box)

    def _encrypt_block(self, block: bytes) -> bytes:
        first, *middle, last = self._round_keys
        state = _xor(block, first)
        for round_key in middle:
            state = _xor(self._mix_columns(_shift_rows(self._substitute(state), 1), (2, 3, 1, 1)), round_key)
        return _xor(_shift_rows(self._substitute(state), 1), last)

    def _decrypt_block(self, block: bytes) -> bytes:
        first, *middle, last = self._round_keys
        state = _shift_rows(_xor(block, last), -1).translate(self._inverse_box)
        for round_key in reversed(middle):
            state = self._mix_columns(_xor(state, round_key), (14, 11, 13, 9))
            state = _shift_rows(state, -1).translate(self._inverse_box)
        return _xor(state, first)

    def _mix_columns(self, state: bytes, factors: tuple[int, int, int, int]) -> bytes:
        mixed = bytearray()
        for at in range(0, BLOCK_BYTES, 4):
            for row in range(4):
                value = 0
                for column in range(4):
                    factor, byte = factors[(column - row) % 4], state[at + column]
                    value ^= byte if factor == 1 else self._mix[factor][byte]
                mixed.append(value)
        return bytes(mixed)


def _shift_rows(state: bytes, direction: int) -> bytes:
    return bytes(state[(at + direction * 4 * (at % 4)) % BLOCK_BYTES] for at in range(BLOCK_BYTES))


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
