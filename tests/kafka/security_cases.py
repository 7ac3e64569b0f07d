"""ACLs, SCRAM credentials and delegation tokens: their checks, and what is written and described."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from pykraft.controller.result import RECORDS_PER_USER_OPERATION_MAX
from pykraft.protocol._message import Message
from pykraft.protocol.messages.alter_user_scram_credentials_request import (
    AlterUserScramCredentialsRequestData,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from pykraft.protocol.messages.create_acls_request import CreateAclsRequestData
from pykraft.protocol.messages.create_delegation_token_request import (
    CreatableRenewers,
    CreateDelegationTokenRequestData,
)
from pykraft.protocol.messages.create_delegation_token_response import CreateDelegationTokenResponseData
from pykraft.protocol.messages.delete_acls_request import DeleteAclsRequestData
from pykraft.protocol.messages.expire_delegation_token_request import ExpireDelegationTokenRequestData
from pykraft.protocol.messages.renew_delegation_token_request import RenewDelegationTokenRequestData
from tests.kafka.acl_entries import READ, describe_entries, entry, entry_filter
from tests.kafka.case import Answers, Case

_acl = partial(entry, principal="User:a", operation=READ, name="t1")


def acl_cases() -> Iterator[Case]:
    """ACLs: every code in and out of range, filters of every kind."""
    for code in range(16):
        for version in (1, 3):
            for field, acl in (
                ("type", _acl(resource_type=code)),
                ("pattern", _acl(pattern=code)),
                ("operation", _acl(operation=code)),
                ("permission", _acl(permission=code)),
            ):
                yield Case(f"acl {field} {code} v{version}", CreateAclsRequestData(creations=[acl]), version)
    two = CreateAclsRequestData(creations=[_acl(name="fine"), _acl(operation=1)])
    yield Case("good acl and one for filters", two, 3)
    odd = [
        _acl(name=""),
        _acl(resource_type=4, name="other"),
        _acl(resource_type=4, name="kafka-cluster"),
        _acl(resource_type=4, name=""),
        _acl(host=""),
        _acl(name="p", pattern=4),
        _acl(name="*"),
        _acl(name="p", pattern=4),
        _acl(name="prefix-", pattern=4),
        _acl(resource_type=7, name="User:x", operation=13),
        _acl(operation=77),
        _acl(resource_type=77),
        _acl(resource_type=77, name=""),
        _acl(permission=77),
        _acl(pattern=77),
    ]
    yield Case("odd acls", CreateAclsRequestData(creations=odd), 3)
    yield Case("odd acls again", CreateAclsRequestData(creations=odd), 2)
    for principal in ("nobody", ""):
        yield Case(f"acl of {principal!r}", CreateAclsRequestData(creations=[_acl(principal=principal)]), 3)
    yield Case("literal acls v0", CreateAclsRequestData(creations=[_acl(name="v0")]), 0)
    yield Case("no acls", CreateAclsRequestData(), 3)
    yield from _describe_acl_cases()
    yield from _delete_acl_cases()
    yield Case("acls after deletion", describe_entries(), 3)
    yield Case("broken acl", CreateAclsRequestData(creations=[_acl(), _acl(operation=0)]), 3)


def _describe_acl_cases() -> Iterator[Case]:
    for version in (1, 2, 3):
        yield Case(f"describe all acls v{version}", describe_entries(), version)
    yield Case("describe literal acls v0", describe_entries(resource_type=2, pattern=3), 0)
    for name in ("t1", "p", "prefix-x", "*", "", "missing", None):
        for pattern in (1, 2, 3, 4, 77):
            yield Case(f"describe acls {name} {pattern}", describe_entries(name=name, pattern=pattern), 3)
    for code in (1, 2, 3, 4, 5, 77, 0):
        yield Case(f"describe acls of type {code}", describe_entries(resource_type=code), 3)
        yield Case(f"describe acls of operation {code}", describe_entries(operation=code), 3)
        yield Case(f"describe acls of permission {code}", describe_entries(permission=code), 3)
    yield Case("describe acls of principal", describe_entries(principal="User:a"), 3)
    yield Case("describe acls of host", describe_entries(host=""), 3)


def _delete_acl_cases() -> Iterator[Case]:
    filters = [
        entry_filter(2, "v0", 3),
        entry_filter(2, "v0"),
        entry_filter(77),
        entry_filter(2, pattern=77),
        entry_filter(2, operation=77),
        entry_filter(2, permission=77),
        entry_filter(2, "pq", 2),
        entry_filter(2, "missing", 3),
    ]
    for index, one_filter in enumerate(filters):
        yield Case(f"delete acls {index}", DeleteAclsRequestData(filters=[one_filter]), index % 3 + 1)
    everything = entry_filter()
    yield Case("delete no acls", DeleteAclsRequestData(), 3)
    yield Case("delete literal acls v0", DeleteAclsRequestData(filters=[filters[0]]), 0)
    yield Case("delete all acls twice over", DeleteAclsRequestData(filters=[filters[2], everything, everything]), 3)


def too_many_acls() -> Iterator[Case]:
    """Kafka's controller takes ACLs that it refused for their number to exist from then on."""
    acls = [_acl(name=f"too-many-{number}") for number in range(RECORDS_PER_USER_OPERATION_MAX + 1)]
    yield Case("too many acls", CreateAclsRequestData(creations=acls), 3)


def _scram(
    deletions: Sequence[tuple[str, int]] = (),
    upsertions: Sequence[tuple[str, int, int]] = (),
    salted_password: bytes = b"salted password",
) -> Message:
    return AlterUserScramCredentialsRequestData(
        deletions=[ScramCredentialDeletion(name=name, mechanism=mechanism) for name, mechanism in deletions],
        upsertions=[
            ScramCredentialUpsertion(
                name=name, mechanism=mechanism, iterations=iterations, salt=b"salt", salted_password=salted_password
            )
            for name, mechanism, iterations in upsertions
        ],
    )


def scram_cases() -> Iterator[Case]:
    """Credentials: their checks, their order, and what is written."""
    yield Case("no credentials", _scram(), 0)
    for mechanism in range(-1, 4):
        for iterations in (-1, 0, 4095, 4096, 16384, 16385):
            name = f"scram {mechanism} {iterations}"
            yield Case(name, _scram(upsertions=[("a", mechanism, iterations)]), 0)
    yield Case("nameless scram", _scram(upsertions=[("", 9, 1)]), 0)
    yield Case("scram of two mechanisms", _scram(upsertions=[("a", 1, 4096), ("a", 2, 4096), ("b", 1, 4096)]), 0)
    yield Case("scram three times", _scram(upsertions=[("c", 1, 4096), ("c", 1, 4096), ("c", 1, 4096)]), 0)
    yield Case("bad scram then good", _scram(upsertions=[("d", 1, 1), ("d", 1, 4096)]), 0)
    yield Case("good scram then bad", _scram(upsertions=[("d", 1, 4096), ("d", 1, 1)]), 0)
    yield Case("delete scram", _scram([("a", 1), ("missing", 1), ("a2", 9), ("", 1)], [("b", 1, 5000)]), 0)
    yield Case("delete scram of the other mechanism", _scram([("b", 2)]), 0)
    yield Case("delete scram twice", _scram([("a", 2), ("a", 2)]), 0)
    yield Case("delete and set scram", _scram([("a", 2)], [("a", 2, 4096)]), 0)
    yield Case("delete missing and set scram", _scram([("e", 2)], [("e", 2, 4096)]), 0)
    yield Case("scram without password", _scram(upsertions=[("e", 2, 4096)], salted_password=b""), 0)


def _create_token(
    owner: tuple[str | None, str | None] = ("", ""), renewers: Sequence[tuple[str, str]] = (), lifetime_ms: int = -1
) -> Message:
    return CreateDelegationTokenRequestData(
        owner_principal_type=owner[0],
        owner_principal_name=owner[1],
        renewers=[CreatableRenewers(principal_type=kind, principal_name=name) for kind, name in renewers],
        max_lifetime_ms=lifetime_ms,
    )


def _hmac(answers: Answers, name: str) -> bytes:
    token = answers[name]
    assert isinstance(token, CreateDelegationTokenResponseData)
    return token.hmac


def _renew(name: str, period_ms: int) -> Callable[[Answers], Message]:
    return lambda answers: RenewDelegationTokenRequestData(hmac=_hmac(answers, name), renew_period_ms=period_ms)


def _expire(name: str, period_ms: int) -> Callable[[Answers], Message]:
    return lambda answers: ExpireDelegationTokenRequestData(hmac=_hmac(answers, name), expiry_time_period_ms=period_ms)


def token_cases() -> Iterator[Case]:
    """Delegation tokens; a negative expiry period ends one at once."""
    unknown = b"no such token"
    yield Case("token unforwarded", _create_token(), 3)
    yield Case("renew unforwarded", RenewDelegationTokenRequestData(hmac=unknown), 2)
    yield Case("expire unforwarded", ExpireDelegationTokenRequestData(hmac=unknown), 2)
    yield Case("token with token", _create_token(), 3, "User:a", token_authenticated=True)
    for version in range(4):
        yield Case(f"token v{version}", _create_token(renewers=[("User", "b")]), version, "User:a")
    yield Case("token of another owner", _create_token(("User", "z")), 3, "User:a")
    yield Case("token of null owner", _create_token((None, None)), 3, "User:a")
    yield Case("token of an owner without type", _create_token((None, "z")), 3, "User:a")
    yield Case("token with bad renewer", _create_token(renewers=[("User", "b"), ("Group", "b")]), 3, "User:a")
    for lifetime_ms in (0, 1, 5000, 86_400_000, 100_000_000, 1 << 62):
        yield Case(f"token for {lifetime_ms}", _create_token(lifetime_ms=lifetime_ms), 3, "User:a")
    for principal in ("User:a", "User:b", "User:c", "Group:a"):
        for period_ms in (-1, 0, 60_000, 1 << 60):
            who = f"by {principal} for {period_ms}"
            yield Case(f"renew {who}", _renew("token v3", period_ms), 2, principal)
        yield Case(f"expire by {principal}", _expire("token v3", 3_600_000), 2, principal)
        yield Case(f"expire far off by {principal}", _expire("token v3", 1 << 60), 1, principal)
    yield Case("renew owner's token", _renew("token of another owner", -1), 2, "User:z")
    yield Case("renew as requester", _renew("token of another owner", -1), 2, "User:a")
    yield Case("renew unknown", RenewDelegationTokenRequestData(hmac=unknown), 2, "User:a")
    yield Case("expire unknown", ExpireDelegationTokenRequestData(hmac=unknown), 2, "User:a")
    yield Case("expire at once", _expire("token v3", -1), 2, "User:a")


def disabled_token_cases() -> Iterator[Case]:
    """Requests for tokens where they are switched off."""
    unknown = b"no such token"
    for principal in (None, "User:a"):
        yield Case(f"disabled token {principal}", _create_token(renewers=[("Group", "b")]), 3, principal)
        yield Case(f"disabled renew {principal}", RenewDelegationTokenRequestData(hmac=unknown), 2, principal)
        yield Case(f"disabled expire {principal}", ExpireDelegationTokenRequestData(hmac=unknown), 2, principal)
