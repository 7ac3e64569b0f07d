"""Config secrets as ZooKeeper holds them, encrypted with the brokers' `password.encoder.secret`.

Source: server-common org.apache.kafka.security.EncryptingPasswordEncoder (Kafka 3.9). What the secret was encrypted
with is stored beside it and used to decrypt; encrypting takes Kafka's defaults.
"""

from __future__ import annotations

import base64
import hashlib
from random import Random, SystemRandom
from typing import Final

from pykraft.controller.config import ConfigError
from pykraft.migration.zk_contents import PasswordEncoder

KEY_FACTORY_ALGORITHM: Final = "PBKDF2WithHmacSHA512"
CIPHER_ALGORITHM: Final = "AES/CBC/PKCS5Padding"
GCM_ALGORITHM: Final = "AES/GCM/NoPadding"
KEY_LENGTH_BITS: Final = 128
ITERATIONS: Final = 4096
SALT_BYTES: Final = 256
BLOCK_BYTES: Final = 16

_KEY_FACTORY_PREFIX: Final = "PBKDF2WithHmac"
_HASHES: Final = {"SHA1": "sha1", "SHA224": "sha224", "SHA256": "sha256", "SHA384": "sha384", "SHA512": "sha512"}


def password_encoder(secret: str) -> PasswordEncoder | None:
    """The encoder for a `password.encoder.secret`; None without one, when secrets pass as they are.

    Raises ConfigError when the package that does the encryption is not installed.
    """
    if not secret:
        return None
    try:
        import cryptography  # noqa: F401  (an extra: few clusters hold secrets, and it is no small package)
    except ImportError as error:
        raise ConfigError("password.encoder.secret needs the package cryptography: install pykraft[secrets]") from error
    return EncryptingPasswordEncoder(secret, SystemRandom())


class EncryptingPasswordEncoder:
    """Encrypts and decrypts with one secret; `rng` draws salts and vectors."""

    def __init__(self, secret: str, rng: Random) -> None:
        self._secret = secret.encode()
        self._rng = rng

    def encode(self, password: str) -> str:
        salt, vector = self._rng.randbytes(SALT_BYTES), self._rng.randbytes(BLOCK_BYTES)
        key = self._key(KEY_FACTORY_ALGORITHM, salt, ITERATIONS, KEY_LENGTH_BITS)
        parts = {
            "keyFactoryAlgorithm": KEY_FACTORY_ALGORITHM,
            "cipherAlgorithm": CIPHER_ALGORITHM,
            "keyLength": str(KEY_LENGTH_BITS),
            "salt": _base64(salt),
            "iterations": str(ITERATIONS),
            "encryptedPassword": _base64(_encrypt_cbc(key, vector, password.encode())),
            "passwordLength": str(_java_length(password)),
            "initializationVector": _base64(vector),
        }
        return ",".join(f"{name}:{value}" for name, value in parts.items())

    def decode(self, encoded: str) -> str:
        """Raises ValueError for a wrong secret, a value that is no encrypted one, a cipher other than CBC or GCM."""
        parts = {name: value for name, _, value in (part.strip().rpartition(":") for part in encoded.split(","))}
        try:
            cipher = parts["cipherAlgorithm"]
            decrypt = {CIPHER_ALGORITHM: _decrypt_cbc, GCM_ALGORITHM: _decrypt_gcm}.get(cipher)
            if decrypt is None:
                raise ValueError(f"cipher {cipher} is not supported, only {CIPHER_ALGORITHM} and {GCM_ALGORITHM}")
            key = self._key(
                parts["keyFactoryAlgorithm"],
                base64.b64decode(parts["salt"]),
                int(parts["iterations"]),
                int(parts["keyLength"]),
            )
            vector = base64.b64decode(parts["initializationVector"])
            password = decrypt(key, vector, base64.b64decode(parts["encryptedPassword"])).decode()
            if _java_length(password) != int(parts["passwordLength"]):
                raise ValueError("sanity check of length failed")
        except KeyError as error:
            raise ValueError(f"it has no {error.args[0]}") from None
        return password

    def _key(self, key_factory: str, salt: bytes, iterations: int, key_length_bits: int) -> bytes:
        name = _HASHES.get(key_factory.removeprefix(_KEY_FACTORY_PREFIX))
        if name is None:
            raise ValueError(f"key factory {key_factory} is not supported")
        return hashlib.pbkdf2_hmac(name, self._secret, salt, iterations, key_length_bits // 8)


def _encrypt_cbc(key: bytes, vector: bytes, clear: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    padder = PKCS7(BLOCK_BYTES * 8).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return encryptor.update(padder.update(clear) + padder.finalize()) + encryptor.finalize()


def _decrypt_cbc(key: bytes, vector: bytes, encrypted: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    unpadder = PKCS7(BLOCK_BYTES * 8).unpadder()
    return unpadder.update(decryptor.update(encrypted) + decryptor.finalize()) + unpadder.finalize()


def _decrypt_gcm(key: bytes, vector: bytes, encrypted: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(vector, encrypted, None)
    except InvalidTag:
        raise ValueError("its authentication tag does not match") from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _java_length(text: str) -> int:
    return len(text.encode("utf-16-be")) // 2
