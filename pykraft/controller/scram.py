"""AlterUserScramCredentials: the SCRAM credentials of users, made from salted passwords.

Sources: metadata/.../controller/ScramControlManager.java, clients/.../scram/internals/ScramFormatter.java, RFC 5802.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import IntEnum
from typing import Final, TypeAlias

from pykraft.controller.errors import ApiError, check_record_limit
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.model import ScramKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.alter_user_scram_credentials_request import (
    AlterUserScramCredentialsRequestData,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from pykraft.protocol.messages.alter_user_scram_credentials_response import (
    AlterUserScramCredentialsResponseData,
    AlterUserScramCredentialsResult,
)
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.remove_user_scram_credential_record import RemoveUserScramCredentialRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord

ITERATIONS_MIN: Final = 4_096
ITERATIONS_MAX: Final = 16_384


_Change: TypeAlias = ScramCredentialDeletion | ScramCredentialUpsertion


class ScramMechanism(IntEnum):
    """The mechanisms by their codes on the wire."""

    SCRAM_SHA_256 = 1
    SCRAM_SHA_512 = 2

    @property
    def digest(self) -> str:
        return "sha256" if self is ScramMechanism.SCRAM_SHA_256 else "sha512"


def alter_user_scram_credentials(
    ctx: OperationContext, request: AlterUserScramCredentialsRequestData
) -> ControllerResult[AlterUserScramCredentialsResponseData]:
    """Delete and set SCRAM credentials (v0); one change per user and request, deletions first.

    Raises ApiError POLICY_VIOLATION for too many records.
    """
    wanted: list[_Change] = [*request.deletions, *request.upsertions]
    changes: dict[str, _Change] = {}
    refused: dict[str, ApiError] = {}
    for change in wanted:
        if change.name in refused:
            continue
        try:
            if changes.pop(change.name, None) is not None:
                raise ApiError(
                    ErrorCode.DUPLICATE_RESOURCE, "A user credential cannot be altered twice in the same request"
                )
            _check(ctx, change)
            changes[change.name] = change
        except ApiError as error:
            refused[change.name] = error
    records = [_record(change) for change in changes.values()]
    check_record_limit(records)
    results = [AlterUserScramCredentialsResult(user=user, error_message=None) for user in changes]
    results += [
        AlterUserScramCredentialsResult(user=user, error_code=error.code, error_message=error.message)
        for user, error in refused.items()
    ]
    return ControllerResult(AlterUserScramCredentialsResponseData(results=results), records, atomic=True)


def _check(ctx: OperationContext, change: _Change) -> None:
    """Raises ApiError for a change that is not allowed."""
    version = ctx.image.metadata_version
    if not version.is_scram_supported:
        raise ApiError(
            ErrorCode.UNSUPPORTED_VERSION, f"The current metadata.version {version.text} does not support SCRAM"
        )
    if not change.name:
        raise ApiError(ErrorCode.UNACCEPTABLE_CREDENTIAL, "Username must not be empty")
    if change.mechanism not in ScramMechanism.__members__.values():
        raise ApiError(ErrorCode.UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism")
    if isinstance(change, ScramCredentialDeletion):
        if ScramKey(change.mechanism, change.name) not in ctx.image.scram:
            raise ApiError(ErrorCode.RESOURCE_NOT_FOUND, "Attempt to delete a user credential that does not exist")
    elif change.iterations < ITERATIONS_MIN:
        raise ApiError(ErrorCode.UNACCEPTABLE_CREDENTIAL, f"Too few iterations: give at least {ITERATIONS_MIN}")
    elif change.iterations > ITERATIONS_MAX:
        raise ApiError(ErrorCode.UNACCEPTABLE_CREDENTIAL, f"Too many iterations: give at most {ITERATIONS_MAX}")
    elif not change.salted_password:
        raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, "Empty salted password")


def _record(change: _Change) -> ApiMessageAndVersion:
    if isinstance(change, ScramCredentialDeletion):
        removal = RemoveUserScramCredentialRecord(name=change.name, mechanism=change.mechanism)
        return ApiMessageAndVersion(removal, 0)
    stored_key, server_key = scram_keys(ScramMechanism(change.mechanism), change.salted_password)
    credential = UserScramCredentialRecord(
        name=change.name,
        mechanism=change.mechanism,
        salt=change.salt,
        stored_key=stored_key,
        server_key=server_key,
        iterations=change.iterations,
    )
    return ApiMessageAndVersion(credential, 0)


def scram_keys(mechanism: ScramMechanism, salted_password: bytes) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey of a salted password (RFC 5802 §3)."""
    client_key = hmac.digest(salted_password, b"Client Key", mechanism.digest)
    return hashlib.new(mechanism.digest, client_key).digest(), hmac.digest(
        salted_password, b"Server Key", mechanism.digest
    )
