"""Administrative operations put their records into one batch: all of a request comes to be, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pykraft.controller import acls, configs, features, producer_ids, quotas, scram, tokens
from pykraft.controller.config import STANDARD_AUTHORIZER
from pykraft.controller.result import ControllerResult, OperationContext, Requester
from pykraft.protocol.messages.allocate_producer_ids_request import AllocateProducerIdsRequestData
from pykraft.protocol.messages.alter_client_quotas_request import AlterClientQuotasRequestData
from pykraft.protocol.messages.alter_configs_request import AlterConfigsRequestData
from pykraft.protocol.messages.alter_user_scram_credentials_request import AlterUserScramCredentialsRequestData
from pykraft.protocol.messages.create_acls_request import CreateAclsRequestData
from pykraft.protocol.messages.create_delegation_token_request import CreateDelegationTokenRequestData
from pykraft.protocol.messages.delete_acls_request import DeleteAclsRequestData
from pykraft.protocol.messages.expire_delegation_token_request import ExpireDelegationTokenRequestData
from pykraft.protocol.messages.incremental_alter_configs_request import IncrementalAlterConfigsRequestData
from pykraft.protocol.messages.renew_delegation_token_request import RenewDelegationTokenRequestData
from pykraft.protocol.messages.update_features_request import UpdateFeaturesRequestData
from tests.controller.cluster import Cluster

ALICE = Requester(principal="User:alice", forwarded=True)


def expire(period_ms: int) -> Callable[[OperationContext], ControllerResult[Any]]:
    def operation(ctx: OperationContext) -> ControllerResult[Any]:
        [token_id] = ctx.image.delegation_tokens
        shown = tokens.token_hmac(ctx.config.delegation_token_secret_key, token_id)
        return tokens.expire_delegation_token(ctx, ExpireDelegationTokenRequestData(shown, period_ms), ALICE)

    return operation


def renew(ctx: OperationContext) -> ControllerResult[Any]:
    [token_id] = ctx.image.delegation_tokens
    shown = tokens.token_hmac(ctx.config.delegation_token_secret_key, token_id)
    return tokens.renew_delegation_token(ctx, RenewDelegationTokenRequestData(shown), ALICE)


ATOMIC: dict[str, Callable[[OperationContext], ControllerResult[Any]]] = {
    "incremental": lambda ctx: configs.incremental_alter_configs(ctx, IncrementalAlterConfigsRequestData()),
    "legacy": lambda ctx: configs.alter_configs(ctx, AlterConfigsRequestData()),
    "quotas": lambda ctx: quotas.alter_client_quotas(ctx, AlterClientQuotasRequestData()),
    "create acls": lambda ctx: acls.create_acls(ctx, CreateAclsRequestData()),
    "delete acls": lambda ctx: acls.delete_acls(ctx, DeleteAclsRequestData()),
    "scram": lambda ctx: scram.alter_user_scram_credentials(ctx, AlterUserScramCredentialsRequestData()),
    "create token": lambda ctx: tokens.create_delegation_token(ctx, CreateDelegationTokenRequestData(), ALICE, 3),
    "renew token": renew,
    "expire token": expire(5),
    "end token": expire(-1),
    "features": lambda ctx: features.update_features(ctx, UpdateFeaturesRequestData()),
}


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster(authorizer_class_name=STANDARD_AUTHORIZER, delegation_token_secret_key="secret")
    cluster.start(1)
    cluster.run(ATOMIC["create token"])
    return cluster


@pytest.mark.parametrize("name", ATOMIC)
def test_atomic(cluster: Cluster, name: str) -> None:
    assert ATOMIC[name](cluster.ctx()).atomic


def test_not_atomic(cluster: Cluster) -> None:
    epoch = cluster.image.brokers[1].epoch
    assert not producer_ids.allocate_producer_ids(cluster.ctx(), AllocateProducerIdsRequestData(1, epoch)).atomic
    assert not tokens.sweep_expired_tokens(cluster.ctx()).atomic
