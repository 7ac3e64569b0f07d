"""Delegation tokens: who may ask, how long they live, and the records that are written."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pykraft.controller.errors import ApiError
from pykraft.controller.result import Requester
from pykraft.controller.tokens import (
    create_delegation_token,
    expire_delegation_token,
    renew_delegation_token,
    sweep_expired_tokens,
)
from pykraft.image.metadata_version import MetadataVersion
from pykraft.image.model import DelegationToken
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.create_delegation_token_request import (
    CreatableRenewers,
    CreateDelegationTokenRequestData,
)
from pykraft.protocol.messages.create_delegation_token_response import CreateDelegationTokenResponseData
from pykraft.protocol.messages.expire_delegation_token_request import ExpireDelegationTokenRequestData
from pykraft.protocol.messages.renew_delegation_token_request import RenewDelegationTokenRequestData
from pykraft.protocol.records.remove_delegation_token_record import RemoveDelegationTokenRecord
from tests.controller.cluster import Cluster

ALICE = Requester(principal="User:alice", forwarded=True)
BOB = Requester(principal="User:bob", forwarded=True)
CAROL = Requester(principal="User:carol", forwarded=True)
NOW_MS = 1_700_000_000_000
MAX_LIFETIME_MS, EXPIRY_TIME_MS = 10_000, 1_000
NONE, NOT_ALLOWED = ErrorCode.NONE, ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
EXPIRED, NOT_FOUND = ErrorCode.DELEGATION_TOKEN_EXPIRED, ErrorCode.DELEGATION_TOKEN_NOT_FOUND
MISMATCH = ErrorCode.DELEGATION_TOKEN_OWNER_MISMATCH


@pytest.fixture
def cluster() -> Cluster:
    return tokens_at(MetadataVersion.IBP_3_9_IV0)


def tokens_at(version: MetadataVersion) -> Cluster:
    return Cluster(
        version,
        delegation_token_secret_key="secret",
        delegation_token_max_lifetime_ms=MAX_LIFETIME_MS,
        delegation_token_expiry_time_ms=EXPIRY_TIME_MS,
    )


def create(
    cluster: Cluster,
    requester: Requester = ALICE,
    *,
    owner: tuple[str | None, str | None] = ("", ""),
    renewers: Sequence[tuple[str, str]] = (("User", "bob"),),
    lifetime_ms: int = -1,
    api_version: int = 3,
) -> CreateDelegationTokenResponseData:
    request = CreateDelegationTokenRequestData(*owner, [CreatableRenewers(*one) for one in renewers], lifetime_ms)
    return cluster.run(lambda ctx: create_delegation_token(ctx, request, requester, api_version))


def renew(
    cluster: Cluster, shown: bytes, requester: Requester = ALICE, *, period_ms: int = -1, after_ms: int = 0
) -> tuple[ErrorCode, int]:
    request = RenewDelegationTokenRequestData(shown, period_ms)
    response = cluster.run(
        lambda ctx: renew_delegation_token(replace(ctx, now_ms=ctx.now_ms + after_ms), request, requester)
    )
    return ErrorCode(response.error_code), response.expiry_timestamp_ms


def expire(
    cluster: Cluster, shown: bytes, requester: Requester = ALICE, *, period_ms: int = -1, after_ms: int = 0
) -> tuple[ErrorCode, int]:
    request = ExpireDelegationTokenRequestData(shown, period_ms)
    response = cluster.run(
        lambda ctx: expire_delegation_token(replace(ctx, now_ms=ctx.now_ms + after_ms), request, requester)
    )
    return ErrorCode(response.error_code), response.expiry_timestamp_ms


def only_token(cluster: Cluster) -> DelegationToken:
    [token] = cluster.image.delegation_tokens.values()
    return token


def test_a_token(cluster: Cluster) -> None:
    answer = create(cluster, renewers=[("User", "bob"), ("User", "carol")])
    assert only_token(cluster) == DelegationToken(
        answer.token_id,
        "User:alice",
        "User:alice",
        ("User:bob", "User:carol"),
        NOW_MS,
        NOW_MS + MAX_LIFETIME_MS,
        NOW_MS + EXPIRY_TIME_MS,
    )
    assert answer.hmac == hmac.new(b"secret", answer.token_id.encode(), hashlib.sha512).digest()
    assert (answer.principal_type, answer.principal_name) == ("User", "alice")
    assert (answer.issue_timestamp_ms, answer.expiry_timestamp_ms, answer.max_timestamp_ms) == (
        NOW_MS,
        NOW_MS + EXPIRY_TIME_MS,
        NOW_MS + MAX_LIFETIME_MS,
    )
    assert create(cluster).token_id != answer.token_id


def test_a_token_for_another_owner(cluster: Cluster) -> None:
    answer = create(cluster, owner=("Service", "z:1"))
    assert (answer.principal_type, answer.principal_name) == ("Service", "z:1")
    assert (answer.token_requester_principal_type, answer.token_requester_principal_name) == ("User", "alice")
    assert (only_token(cluster).owner, only_token(cluster).requester) == ("Service:z:1", "User:alice")
    assert renew(cluster, answer.hmac)[0] is MISMATCH
    assert renew(cluster, answer.hmac, Requester(principal="Service:z:1", forwarded=True))[0] is NONE


def test_an_owner_without_a_type_fails(cluster: Cluster) -> None:
    assert create(cluster, owner=(None, None)).principal_name == "alice"
    with pytest.raises(ApiError) as refused:
        create(cluster, owner=(None, "z"))
    assert refused.value.code is ErrorCode.UNKNOWN_SERVER_ERROR


@pytest.mark.parametrize("api_version", range(4))
def test_every_version_can_be_answered(cluster: Cluster, api_version: int) -> None:
    for renewers in ((), (("Group", "x"),)):
        answer = create(cluster, renewers=renewers, api_version=api_version)
        assert CreateDelegationTokenResponseData.decode(answer.encode(api_version), api_version) == answer


@pytest.mark.parametrize(
    ("asked_ms", "max_ms", "expiry_ms"),
    [
        (-1, MAX_LIFETIME_MS, EXPIRY_TIME_MS),
        (0, MAX_LIFETIME_MS, EXPIRY_TIME_MS),
        (500, 500, 500),
        (5000, 5000, 1000),
        (1, 1, 1),
        (1 << 62, MAX_LIFETIME_MS, EXPIRY_TIME_MS),
    ],
)
def test_lifetimes(cluster: Cluster, asked_ms: int, max_ms: int, expiry_ms: int) -> None:
    answer = create(cluster, lifetime_ms=asked_ms)
    assert (answer.max_timestamp_ms, answer.expiry_timestamp_ms) == (NOW_MS + max_ms, NOW_MS + expiry_ms)


@pytest.mark.parametrize(
    ("period_ms", "after_ms", "expiry_ms"),
    [
        (-1, 500, 1500),
        (300, 500, 800),
        (9000, 500, 1500),
        (0, 0, 1000),
        (-1, 1000, 2000),
    ],
)
def test_renewal(cluster: Cluster, period_ms: int, after_ms: int, expiry_ms: int) -> None:
    token = create(cluster)
    assert renew(cluster, token.hmac, BOB, period_ms=period_ms, after_ms=after_ms) == (NONE, NOW_MS + expiry_ms)
    assert only_token(cluster).expiration_timestamp_ms == NOW_MS + expiry_ms


def test_a_token_never_outlives_its_maximum(cluster: Cluster) -> None:
    token = create(cluster, lifetime_ms=1200)
    assert renew(cluster, token.hmac, after_ms=500) == (NONE, NOW_MS + 1200)
    assert expire(cluster, token.hmac, period_ms=5000, after_ms=500) == (NONE, NOW_MS + 1200)
    assert renew(cluster, token.hmac, after_ms=1201)[0] is EXPIRED


def test_expiry_is_brought_forward(cluster: Cluster) -> None:
    token = create(cluster)
    assert expire(cluster, token.hmac, period_ms=0, after_ms=5) == (NONE, NOW_MS + 5)
    assert expire(cluster, token.hmac, BOB, period_ms=10, after_ms=5) == (NONE, NOW_MS + 15)
    assert only_token(cluster).expiration_timestamp_ms == NOW_MS + 15
    assert expire(cluster, token.hmac, period_ms=10, after_ms=16)[0] is EXPIRED
    assert expire(cluster, token.hmac, after_ms=16) == (NONE, NOW_MS + 16)
    assert cluster.messages == [RemoveDelegationTokenRecord(token.token_id)]
    assert cluster.image.delegation_tokens == {}
    assert expire(cluster, token.hmac)[0] is NOT_FOUND
    assert renew(cluster, token.hmac)[0] is NOT_FOUND


def test_the_order_of_checks(cluster: Cluster) -> None:
    """Renewing asks first whether the token has expired, expiring first whose it is."""
    token = create(cluster)
    assert renew(cluster, token.hmac, CAROL, after_ms=2000)[0] is EXPIRED
    assert renew(cluster, token.hmac, CAROL)[0] is MISMATCH
    assert expire(cluster, token.hmac, CAROL, period_ms=1, after_ms=2000)[0] is MISMATCH
    assert renew(cluster, token.hmac[:-1], CAROL)[0] is NOT_FOUND
    assert create(cluster, renewers=[("User", "a"), ("Group", "b")]).error_code == ErrorCode.INVALID_PRINCIPAL_TYPE
    assert cluster.messages == []


@pytest.mark.parametrize(
    "requester",
    [
        replace(ALICE, forwarded=False),
        replace(ALICE, token_authenticated=True),
    ],
)
def test_who_may_not_ask(requester: Requester) -> None:
    for cluster in (tokens_at(MetadataVersion.IBP_3_9_IV0), Cluster()):
        answer = create(cluster, requester, renewers=[("Group", "x")])
        assert (answer.error_code, answer.max_timestamp_ms, answer.principal_name) == (NOT_ALLOWED, -1, "alice")
        assert renew(cluster, b"x", requester) == (NOT_ALLOWED, -1)
        assert expire(cluster, b"x", requester) == (NOT_ALLOWED, -1)


@pytest.mark.parametrize(
    ("cluster", "code"),
    [
        (Cluster(MetadataVersion.IBP_3_6_IV1), ErrorCode.DELEGATION_TOKEN_AUTH_DISABLED),
        (tokens_at(MetadataVersion.IBP_3_6_IV1), ErrorCode.UNSUPPORTED_VERSION),
    ],
)
def test_where_tokens_are_switched_off(cluster: Cluster, code: ErrorCode) -> None:
    answer = create(cluster, renewers=[("Group", "x")])
    assert (answer.error_code, answer.max_timestamp_ms) == (code, 0)
    assert renew(cluster, b"x") == (code, 0)
    assert expire(cluster, b"x") == (code, 0)


def test_expired_tokens_are_swept(cluster: Cluster) -> None:
    first = create(cluster, lifetime_ms=10)
    second = create(cluster, lifetime_ms=20)
    for after_ms, left in ((10, 2), (11, 1), (20, 1), (21, 0)):
        cluster.apply(sweep_expired_tokens(replace(cluster.ctx(), now_ms=NOW_MS + after_ms)).records)
        assert list(cluster.image.delegation_tokens) == [first.token_id, second.token_id][2 - left :]
    create(cluster)
    off = replace(cluster.ctx(), now_ms=NOW_MS * 2, config=Cluster().config)
    assert sweep_expired_tokens(off).records == []


def test_tokens_that_cannot_be_swept_at_once_wait(cluster: Cluster) -> None:
    create(cluster)
    token = only_token(cluster)
    cluster.image.delegation_tokens |= {f"{number}": token for number in range(20_000)}
    assert len(sweep_expired_tokens(replace(cluster.ctx(), now_ms=NOW_MS * 2)).records) == 10_000
