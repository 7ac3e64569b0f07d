"""CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken and the sweep of expired tokens.

Sources: metadata/.../controller/DelegationTokenControlManager.java, core/.../ControllerApis.scala,
metadata/.../metadata/DelegationTokenData.java.
"""

from __future__ import annotations

import hmac
from typing import Final

import msgspec

from pykraft.controller.authorizer import AclOperation, AclResourceType, Authorize, allow_all
from pykraft.controller.errors import ApiError
from pykraft.controller.releases import is_since
from pykraft.controller.result import ControllerResult, OperationContext, Requester
from pykraft.image.model import DelegationToken
from pykraft.image.records import delegation_token_record
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.create_delegation_token_request import CreateDelegationTokenRequestData
from pykraft.protocol.messages.create_delegation_token_response import CreateDelegationTokenResponseData
from pykraft.protocol.messages.expire_delegation_token_request import ExpireDelegationTokenRequestData
from pykraft.protocol.messages.expire_delegation_token_response import ExpireDelegationTokenResponseData
from pykraft.protocol.messages.renew_delegation_token_request import RenewDelegationTokenRequestData
from pykraft.protocol.messages.renew_delegation_token_response import RenewDelegationTokenResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.remove_delegation_token_record import RemoveDelegationTokenRecord
from pykraft.protocol.uuids import random_uuid, uuid_to_text

USER_TYPE: Final = "User"
ERROR_TIMESTAMP_MS: Final = -1
"""The times in the answer to a requester that may not ask for tokens."""
TOKENS_PER_SWEEP_MAX: Final = 10_000
"""Expired tokens that one sweep removes; what is left waits for the next one."""
_ENDS_EXPIRED_SINCE: Final = "3.7"
"""The first release that ends an expired token when asked to; those before answer the end with the period given."""
_REQUESTER_VERSION_MIN: Final = 3
"""The first version of CreateDelegationToken that tells owner and requester apart."""


def create_delegation_token(
    ctx: OperationContext,
    request: CreateDelegationTokenRequestData,
    requester: Requester,
    api_version: int,
    authorize: Authorize = allow_all,
) -> ControllerResult[CreateDelegationTokenResponseData]:
    """Create a token for the requester, or (needs CREATE_TOKENS on that user) for another owner (v0 to v3)."""
    requester_type, requester_name = _principal_parts(requester.principal)
    owner_type, owner_name = requester_type, requester_name
    if request.owner_principal_name:
        if request.owner_principal_type is None:
            raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, "An owner needs a principal type")
        owner_type, owner_name = request.owner_principal_type, request.owner_principal_name
    response = CreateDelegationTokenResponseData(principal_type=owner_type, principal_name=owner_name)
    if api_version >= _REQUESTER_VERSION_MIN:
        response.token_requester_principal_type = requester_type
        response.token_requester_principal_name = requester_name
    try:
        _check_requester(requester)
        _check_owner(f"{owner_type}:{owner_name}", requester, authorize)
    except ApiError as error:
        response.error_code = error.code
        response.issue_timestamp_ms = response.expiry_timestamp_ms = response.max_timestamp_ms = ERROR_TIMESTAMP_MS
        return ControllerResult(response, [], atomic=True)
    try:
        _check_supported(ctx)
        if any(renewer.principal_type != USER_TYPE for renewer in request.renewers):
            raise ApiError(ErrorCode.INVALID_PRINCIPAL_TYPE, f"Renewers must be of the principal type {USER_TYPE}")
    except ApiError as error:
        response.error_code = error.code
        return ControllerResult(response, [], atomic=True)
    max_timestamp_ms = ctx.now_ms + _shorter(ctx.config.delegation_token_max_lifetime_ms, request.max_lifetime_ms)
    token = DelegationToken(
        token_id=uuid_to_text(random_uuid(ctx.rng)),
        owner=f"{owner_type}:{owner_name}",
        requester=requester.principal,
        renewers=tuple(f"{renewer.principal_type}:{renewer.principal_name}" for renewer in request.renewers),
        issue_timestamp_ms=ctx.now_ms,
        max_timestamp_ms=max_timestamp_ms,
        expiration_timestamp_ms=min(max_timestamp_ms, ctx.now_ms + ctx.config.delegation_token_expiry_time_ms),
    )
    response.issue_timestamp_ms = token.issue_timestamp_ms
    response.expiry_timestamp_ms = token.expiration_timestamp_ms
    response.max_timestamp_ms = token.max_timestamp_ms
    response.token_id = token.token_id
    response.hmac = token_hmac(ctx.config.delegation_token_secret_key, token.token_id)
    return ControllerResult(response, [_record(token)], atomic=True)


def renew_delegation_token(
    ctx: OperationContext, request: RenewDelegationTokenRequestData, requester: Requester
) -> ControllerResult[RenewDelegationTokenResponseData]:
    """Move a token's expiry (v0 to v2), at most to the end of its life."""
    response = RenewDelegationTokenResponseData()
    try:
        _check_requester(requester)
    except ApiError as error:
        response.error_code, response.expiry_timestamp_ms = error.code, ERROR_TIMESTAMP_MS
        return ControllerResult(response, [], atomic=True)
    try:
        _check_supported(ctx)
        token = _find(ctx, request.hmac)
        _check_not_expired(ctx, token)
        _check_renewer(token, requester)
    except ApiError as error:
        response.error_code = error.code
        return ControllerResult(response, [], atomic=True)
    period_ms = _shorter(ctx.config.delegation_token_expiry_time_ms, request.renew_period_ms)
    response.expiry_timestamp_ms = min(token.max_timestamp_ms, ctx.now_ms + period_ms)
    return ControllerResult(response, [_moved(token, response.expiry_timestamp_ms)], atomic=True)


def expire_delegation_token(
    ctx: OperationContext, request: ExpireDelegationTokenRequestData, requester: Requester
) -> ControllerResult[ExpireDelegationTokenResponseData]:
    """Bring a token's expiry forward (v0 to v2); a negative period ends it at once."""
    response = ExpireDelegationTokenResponseData()
    try:
        _check_requester(requester)
    except ApiError as error:
        response.error_code, response.expiry_timestamp_ms = error.code, ERROR_TIMESTAMP_MS
        return ControllerResult(response, [], atomic=True)
    try:
        _check_supported(ctx)
        token = _find(ctx, request.hmac)
        ends_expired = is_since(ctx.config.release, _ENDS_EXPIRED_SINCE)
        if not ends_expired:
            _check_not_expired(ctx, token)
        _check_renewer(token, requester)
        if request.expiry_time_period_ms < 0:
            response.expiry_timestamp_ms = ctx.now_ms if ends_expired else request.expiry_time_period_ms
            return ControllerResult(response, [_removal(token)], atomic=True)
        _check_not_expired(ctx, token)
    except ApiError as error:
        response.error_code = error.code
        return ControllerResult(response, [], atomic=True)
    response.expiry_timestamp_ms = min(token.max_timestamp_ms, ctx.now_ms + request.expiry_time_period_ms)
    return ControllerResult(response, [_moved(token, response.expiry_timestamp_ms)], atomic=True)


def sweep_expired_tokens(ctx: OperationContext) -> ControllerResult[None]:
    """Remove the tokens that have expired; runs every delegation.token.expiry.check.interval.ms.

    Without delegation.token.secret.key tokens are switched off and none is removed.
    """
    if not ctx.config.delegation_token_secret_key:
        return ControllerResult(None)
    expired = [token for token in ctx.image.delegation_tokens.values() if _is_expired(ctx, token)]
    return ControllerResult(None, [_removal(token) for token in expired[:TOKENS_PER_SWEEP_MAX]])


def token_hmac(secret_key: str, token_id: str) -> bytes:
    """What the bearer of a token shows: HMAC-SHA-512 of the token id under delegation.token.secret.key."""
    return hmac.digest(secret_key.encode(), token_id.encode(), "sha512")


def _check_requester(requester: Requester) -> None:
    """Tokens are not given to bearers of tokens, nor to unforwarded requests, whose listener is PLAINTEXT."""
    if requester.token_authenticated or not requester.forwarded:
        raise ApiError(
            ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
            f"{requester.principal} is not authenticated in a way that allows delegation token requests",
        )


def _check_owner(owner: str, requester: Requester, authorize: Authorize) -> None:
    """Everyone may have tokens for themselves; for others, those who may CREATE_TOKENS on that user."""
    if owner != requester.principal and not authorize(AclOperation.CREATE_TOKENS, AclResourceType.USER, owner):
        raise ApiError(
            ErrorCode.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
            f"{requester.principal} may not create delegation tokens for {owner}",
        )


def _check_supported(ctx: OperationContext) -> None:
    if not ctx.config.delegation_token_secret_key:
        raise ApiError(
            ErrorCode.DELEGATION_TOKEN_AUTH_DISABLED, "Set delegation.token.secret.key on the controllers and brokers"
        )
    version = ctx.image.metadata_version
    if not version.is_delegation_token_supported:
        raise ApiError(
            ErrorCode.UNSUPPORTED_VERSION, f"metadata.version {version.text} does not support delegation tokens"
        )


def _find(ctx: OperationContext, shown: bytes) -> DelegationToken:
    secret_key = ctx.config.delegation_token_secret_key
    for token in ctx.image.delegation_tokens.values():
        if hmac.compare_digest(token_hmac(secret_key, token.token_id), shown):
            return token
    raise ApiError(ErrorCode.DELEGATION_TOKEN_NOT_FOUND, "No delegation token has this HMAC")


def _check_renewer(token: DelegationToken, requester: Requester) -> None:
    if requester.principal != token.owner and requester.principal not in token.renewers:
        raise ApiError(
            ErrorCode.DELEGATION_TOKEN_OWNER_MISMATCH,
            f"{requester.principal} is neither the owner nor a renewer of token {token.token_id}",
        )


def _check_not_expired(ctx: OperationContext, token: DelegationToken) -> None:
    if _is_expired(ctx, token):
        raise ApiError(ErrorCode.DELEGATION_TOKEN_EXPIRED, f"Token {token.token_id} has expired")


def _is_expired(ctx: OperationContext, token: DelegationToken) -> bool:
    return min(token.max_timestamp_ms, token.expiration_timestamp_ms) < ctx.now_ms


def _shorter(limit_ms: int, asked_ms: int) -> int:
    """The period asked for, up to the limit; zero and less ask for the limit."""
    return min(limit_ms, asked_ms) if asked_ms > 0 else limit_ms


def _principal_parts(principal: str) -> tuple[str, str]:
    principal_type, _, name = principal.partition(":")
    return principal_type, name


def _record(token: DelegationToken) -> ApiMessageAndVersion:
    return ApiMessageAndVersion(delegation_token_record(token), 0)


def _moved(token: DelegationToken, expiration_timestamp_ms: int) -> ApiMessageAndVersion:
    return _record(msgspec.structs.replace(token, expiration_timestamp_ms=expiration_timestamp_ms))


def _removal(token: DelegationToken) -> ApiMessageAndVersion:
    return ApiMessageAndVersion(RemoveDelegationTokenRecord(token_id=token.token_id), 0)
