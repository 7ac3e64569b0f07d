"""Aborting a transaction keeps what brokers did while it was open."""

from __future__ import annotations

import pytest

from pykraft.controller.activation import activation_records
from pykraft.controller.controller_registration import own_registration
from pykraft.controller.fencing import fence_stale_broker
from pykraft.controller.result import ControllerResult
from pykraft.controller.transactions import abort_transaction
from pykraft.controller.unregister import unregister_broker
from pykraft.image.model import ZkMigrationState
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.abort_transaction_record import AbortTransactionRecord
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.register_broker_record import RegisterBrokerRecord
from pykraft.protocol.records.register_controller_record import RegisterControllerRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.unregister_broker_record import UnregisterBrokerRecord
from tests.controller.cluster import Cluster
from tests.image.contents import contents

BEGIN = ApiMessageAndVersion(BeginTransactionRecord(name="ZK Migration"), 0)
TOPIC = ApiMessageAndVersion(TopicRecord(name="copied", topic_id=bytes([3]) * 16), 0)


def copying() -> Cluster:
    """Brokers 1 to 3 registered before the copy began; while it runs 1 is replaced, 2 comes up, 3 leaves, 4 comes."""
    cluster = Cluster(migration=True, state=ZkMigrationState.PRE_MIGRATION)
    for broker_id in (1, 2, 3):
        cluster.register(broker_id, is_migrating_zk_broker=True)
    cluster.image.take_delta()
    cluster.apply([BEGIN, TOPIC])
    cluster.register(1, is_migrating_zk_broker=True, rack="new")
    cluster.heartbeat(2)
    cluster.run(lambda ctx: unregister_broker(ctx, UnregisterBrokerRequestData(3)))
    cluster.register(4, is_migrating_zk_broker=True)
    cluster.heartbeat(4)
    cluster.run(lambda ctx: own_registration(ctx, bytes([8]) * 16, []))
    return cluster


@pytest.mark.parametrize("failover", [True, False])
def test_an_abort_takes_back_the_copy_and_not_the_brokers(failover: bool) -> None:
    cluster = copying()
    during = contents(cluster.image)

    if failover:
        cluster.heartbeats.activate(cluster.image, cluster.monotonic_ms)
        cluster.run(activation_records)
    else:
        cluster.run(lambda ctx: ControllerResult(None, abort_transaction(ctx, "The copy failed")))

    assert [type(message) for message in cluster.messages] == [
        AbortTransactionRecord,
        RegisterBrokerRecord,
        RegisterBrokerRecord,
        UnregisterBrokerRecord,
        RegisterBrokerRecord,
        RegisterControllerRecord,
    ]
    after = contents(cluster.image)
    assert after["topics"] == {}
    assert after["controllers"] == during["controllers"]
    assert set(after["brokers"]) == {1, 2, 4}
    for broker_id, broker in after["brokers"].items():
        was = during["brokers"][broker_id]
        assert (broker.epoch, broker.incarnation_id, broker.rack) == (was.epoch, was.incarnation_id, was.rack)
        assert broker.fenced is (broker_id == 1)
        assert broker.is_migrating_zk_broker
    assert not cluster.heartbeat(1).is_fenced, "no broker is refused"
    assert not cluster.heartbeat(4).is_fenced
    cluster.expire(2)
    assert cluster.image.brokers[2].fenced
    assert cluster.run(fence_stale_broker) is None


def test_without_a_transaction_there_is_nothing_to_abort() -> None:
    with pytest.raises(ValueError, match="no transaction is open"):
        abort_transaction(Cluster().ctx(), "why")
