"""AlterUserScramCredentials: checks, their order, and the keys that are written."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

import pytest

from pykraft.controller.errors import ApiError
from pykraft.controller.scram import ScramMechanism, alter_user_scram_credentials, scram_keys
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.model import ScramKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.alter_user_scram_credentials_request import (
    AlterUserScramCredentialsRequestData,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from pykraft.protocol.records.remove_user_scram_credential_record import RemoveUserScramCredentialRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord
from tests.controller.cluster import Cluster

NONE, UNACCEPTABLE = ErrorCode.NONE, ErrorCode.UNACCEPTABLE_CREDENTIAL
DUPLICATE, NOT_FOUND = ErrorCode.DUPLICATE_RESOURCE, ErrorCode.RESOURCE_NOT_FOUND
NO_MECHANISM = ErrorCode.UNSUPPORTED_SASL_MECHANISM


def alter(
    cluster: Cluster,
    deletions: Sequence[tuple[str, int]] = (),
    upsertions: Sequence[tuple[str, int, int]] = (),
    password: bytes = b"salted",
) -> dict[str, ErrorCode]:
    request = AlterUserScramCredentialsRequestData(
        [ScramCredentialDeletion(*deletion) for deletion in deletions],
        [ScramCredentialUpsertion(*upsertion, b"salt", password) for upsertion in upsertions],
    )
    response = cluster.run(lambda ctx: alter_user_scram_credentials(ctx, request))
    answers = {result.user: ErrorCode(result.error_code) for result in response.results}
    assert len(answers) == len(response.results)
    return answers


@pytest.mark.parametrize(
    ("name", "mechanism", "iterations", "code"),
    [
        ("a", 1, 4096, NONE),
        ("a", 2, 4096, NONE),
        ("a", 1, 16384, NONE),
        ("a", 1, 4095, UNACCEPTABLE),
        ("a", 2, 16385, UNACCEPTABLE),
        ("a", 0, 4096, NO_MECHANISM),
        ("a", 3, 1, NO_MECHANISM),
        ("a", -1, 1, NO_MECHANISM),
        ("", 9, 1, UNACCEPTABLE),
    ],
)
def test_what_may_be_set(name: str, mechanism: int, iterations: int, code: ErrorCode) -> None:
    cluster = Cluster()
    assert alter(cluster, upsertions=[(name, mechanism, iterations)]) == {name: code}
    assert list(cluster.image.scram) == ([ScramKey(mechanism, name)] if code is NONE else [])


def test_the_keys_prove_the_example_of_rfc_7677() -> None:
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
    exchange = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={salt},i=4096,c=biws,r={nonce}".encode()
    salted_password = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode(salt), 4096)
    stored_key, server_key = scram_keys(ScramMechanism.SCRAM_SHA_256, salted_password)
    server_signature = hmac.digest(server_key, exchange, "sha256")
    assert base64.b64encode(server_signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_key = bytes(a ^ b for a, b in zip(proof, hmac.digest(stored_key, exchange, "sha256"), strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key


def test_what_is_written() -> None:
    cluster = Cluster()
    alter(cluster, upsertions=[("a", 1, 4096), ("b", 2, 8192)])
    salted = b"salted"
    keys = {mechanism: scram_keys(mechanism, salted) for mechanism in ScramMechanism}
    assert cluster.messages == [
        UserScramCredentialRecord("a", 1, b"salt", *keys[ScramMechanism.SCRAM_SHA_256], 4096),
        UserScramCredentialRecord("b", 2, b"salt", *keys[ScramMechanism.SCRAM_SHA_512], 8192),
    ]
    assert alter(cluster, [("a", 1)], [("c", 1, 4096)]) == {"a": NONE, "c": NONE}
    assert cluster.messages[0] == RemoveUserScramCredentialRecord("a", 1)
    assert list(cluster.image.scram) == [ScramKey(2, "b"), ScramKey(1, "c")]


def test_deletions() -> None:
    cluster = Cluster()
    alter(cluster, upsertions=[("a", 1, 4096)])
    assert alter(cluster, [("a", 2), ("b", 1), ("c", 9), ("", 1)]) == {
        "a": NOT_FOUND,
        "b": NOT_FOUND,
        "c": NO_MECHANISM,
        "": UNACCEPTABLE,
    }
    assert alter(cluster, [("a", 1)]) == {"a": NONE}
    assert cluster.image.scram == {}


@pytest.mark.parametrize(
    ("deletions", "upsertions", "code"),
    [
        ([("a", 1), ("a", 1)], [], DUPLICATE),
        ([("a", 1)], [("a", 2, 4096)], DUPLICATE),
        ([], [("a", 1, 4096), ("a", 2, 4096)], DUPLICATE),
        ([], [("a", 1, 4096)] * 3, DUPLICATE),
        ([], [("a", 1, 4096), ("a", 1, 1)], DUPLICATE),
        ([], [("a", 1, 1), ("a", 1, 4096)], UNACCEPTABLE),
        ([("a", 2)], [("a", 2, 4096)], NOT_FOUND),
    ],
)
def test_a_user_that_comes_twice_keeps_what_he_had(
    deletions: list[tuple[str, int]], upsertions: list[tuple[str, int, int]], code: ErrorCode
) -> None:
    cluster = Cluster()
    alter(cluster, upsertions=[("a", 1, 5000)])
    before = dict(cluster.image.scram)
    assert alter(cluster, deletions, [*upsertions, ("b", 1, 4096)]) == {"a": code, "b": NONE}
    assert {key: value for key, value in cluster.image.scram.items() if key.user == "a"} == before


def test_an_empty_password_cannot_be_used() -> None:
    assert alter(Cluster(), upsertions=[("a", 1, 4096)], password=b"") == {"a": ErrorCode.UNKNOWN_SERVER_ERROR}


def test_metadata_versions_before_scram() -> None:
    cluster = Cluster(MetadataVersion.IBP_3_5_IV1)
    unsupported = ErrorCode.UNSUPPORTED_VERSION
    assert alter(cluster, [("a", 1), ("a", 1)], [("", 9, 1)]) == {"a": unsupported, "": unsupported}
    assert alter(Cluster(MetadataVersion.IBP_3_5_IV2), upsertions=[("a", 1, 4096)]) == {"a": NONE}


def test_too_many_records_are_refused_as_a_whole() -> None:
    with pytest.raises(ApiError) as refused:
        alter(Cluster(), upsertions=[(f"u{number}", 1, 4096) for number in range(10_001)])
    assert refused.value.code is ErrorCode.POLICY_VIOLATION
