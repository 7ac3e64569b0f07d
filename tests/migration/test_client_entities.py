"""Quotas, credentials and secrets in the forms that ZooKeeper holds them in."""

from __future__ import annotations

from random import Random

import pytest

from pykraft.image.model import ScramCredential
from pykraft.migration.client_entities import (
    path_entity,
    quota_text,
    same_properties,
    scram_credential,
    scram_text,
)
from pykraft.migration.passwords import EncryptingPasswordEncoder, password_encoder
from pykraft.zookeeper.znodes import ZnodeError


def test_rates_are_integers_percentages_are_not() -> None:
    assert quota_text("producer_byte_rate", 1024.0) == "1024"
    assert quota_text("consumer_byte_rate", 1023.9999999) == "1024"
    assert quota_text("connection_creation_rate", 5.0) == "5"
    assert quota_text("request_percentage", 50.0) == "50.0"
    assert quota_text("controller_mutation_rate", 2.5) == "2.5"


def test_the_entity_of_a_path() -> None:
    assert path_entity("/config/users/a%40b") == [("user", "a@b")]
    assert path_entity("/config/users/<default>/clients/c%20d") == [("user", None), ("client-id", "c d")]
    assert path_entity("/config/ips/<default>") == [("ip", None)]


def test_a_credential_there_and_back() -> None:
    credential = ScramCredential(b"salt", b"stored", b"server", 8192)
    assert scram_credential("/p", scram_text(credential)) == credential
    reordered = ",".join(reversed(scram_text(credential).split(",")))
    assert scram_credential("/p", reordered) == credential


@pytest.mark.parametrize("text", ["", "salt=a", "salt=YQ==,stored_key=YQ==,server_key=YQ==,iterations=many", "x" * 9])
def test_a_broken_credential_is_named(text: str) -> None:
    with pytest.raises(ZnodeError, match="znode /config/users/u has a SCRAM credential"):
        scram_credential("/config/users/u", text)


def test_properties_are_compared_by_what_they_mean() -> None:
    assert same_properties("/p", {"producer_byte_rate": "5.0"}, {"producer_byte_rate": "5"})
    assert not same_properties("/p", {"producer_byte_rate": "5"}, {"producer_byte_rate": "6"})
    assert not same_properties("/p", {"producer_byte_rate": "5"}, {})
    assert not same_properties("/p", {"producer_byte_rate": "five"}, {"producer_byte_rate": "5"})


FROM_JAVA = (
    "initializationVector:5MQMqyH5sGEwNZ2cq/kofA==,keyLength:128,salt:RTNTxDv2q0PZkPOn2uIAUdrouF7Q+nQ8N20yTRae0PHTNhg5sw"
    "v6id1fFwRccfA+6+PjvTWlxgqbokYMwcgNkYaZ9yEgsAbapWkqZ0Ecq7tfcao7qTwRfgRYHMbB/HV8M1ZPR+iV60jMKDnCgzhuenmuiZcc188PNWW4u"
    "n5XvIHFgqm70oFlzUAqHkaKrbnHWnrs/p3kNALzX5IpQB/ZEnbrctilKC2OLBdtWmkSK1C34QuNgT4rQkFF0dfv+MURq9fxErvfgXJt7HdPMTdqBCTn"
    "cDHUh+8XOfJhkpXtlYDav+TCosPR0Jk8gFbyDEYoX5TK7AwRtxDyfFbeJitE4Q==,keyFactoryAlgorithm:PBKDF2WithHmacSHA512,cipherAlg"
    "orithm:AES/CBC/PKCS5Padding,iterations:4096,passwordLength:13,encryptedPassword:NFyYbacfWuaWerbNKXqQlA=="
)
"""What Kafka 3.9.1's EncryptingPasswordEncoder made of `päss word=1,2` with the secret `the-secret`."""

FROM_JAVA_SHA1_256 = (
    "initializationVector:S5FhhtavLIfQLO16jZ7SQg==,keyLength:256,salt:AuPS3yxpqBWvgW7kMzwq5k8IuutjNW1vjhsAcZSgT/X/gI4zEZ"
    "uhTsl1hiz4Rid02Sl0a9UCPogSNnqRqfyuDbmeXyGELEXcYWCYrDSTca3XGzjUd2gCvNTqRAn3L0esGKuJj1etfN3NajYcoi2LsF3SasUHVewMsxRer"
    "G0XV3vWCfEEIHiFJbjb8lrMVlwIWowwqQiPgniEnBlIF9bseCX+JuY9V+jSPUPXPFoAyQSHF6exisQ1Vhi3uXdOh7+vEtytkBv+e07EfeJnT86sGHG+"
    "bx5GxUaV9jvQ2+AutrzQtESoEb7o/bzk4uGCECcXwhpYmV2sj7okEHYPxMhJAg==,keyFactoryAlgorithm:PBKDF2WithHmacSHA1,cipherAlgor"
    "ithm:AES/CBC/PKCS5Padding,iterations:1024,passwordLength:0,encryptedPassword:q4gaqrYTlLp4Cdd9X66+2w=="
)
"""The same for an empty password, with PBKDF2WithHmacSHA1, 256 bits and 1024 iterations."""


def encoder() -> EncryptingPasswordEncoder:
    return EncryptingPasswordEncoder("the-secret", Random(1))


def test_kafkas_secrets_are_read() -> None:
    assert encoder().decode(FROM_JAVA) == "päss word=1,2"
    assert encoder().decode(FROM_JAVA_SHA1_256) == ""


@pytest.mark.parametrize("password", ["", "short", "exactly 16 bytes", "longer than one block of AES, with \U0001f511"])
def test_secrets_there_and_back(password: str) -> None:
    encoded = encoder().encode(password)
    assert encoder().decode(encoded) == password
    with pytest.raises(ValueError):
        EncryptingPasswordEncoder("another", Random(1)).decode(encoded)


@pytest.mark.parametrize(
    "encoded",
    [
        "plain",
        FROM_JAVA.replace("AES/CBC/PKCS5Padding", "AES/ECB/NoPadding"),
        FROM_JAVA.replace("AES/CBC/PKCS5Padding", "AES/GCM/NoPadding"),
        FROM_JAVA.replace("PBKDF2WithHmacSHA512", "PBEWithMD5"),
        FROM_JAVA.replace("NFyYbac", "NFyYbad"),
    ],
)
def test_what_is_no_secret_of_ours_is_refused(encoded: str) -> None:
    with pytest.raises(ValueError):
        encoder().decode(encoded)


def test_without_a_secret_there_is_no_encoder() -> None:
    assert password_encoder("") is None
