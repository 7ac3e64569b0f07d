"""AllocateProducerIds: blocks follow one another and go to brokers of the right epoch only."""

from __future__ import annotations

import pytest

from pykraft.controller.errors import ApiError
from pykraft.controller.producer_ids import allocate_producer_ids
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.allocate_producer_ids_request import AllocateProducerIdsRequestData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from tests.controller.cluster import Cluster


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster()
    cluster.start(1, 2)
    return cluster


def allocate(cluster: Cluster, broker_id: int, epoch: int) -> int:
    request = AllocateProducerIdsRequestData(broker_id, epoch)
    response = cluster.run(lambda ctx: allocate_producer_ids(ctx, request))
    assert response.producer_id_len == 1000
    return response.producer_id_start


def test_blocks_follow_one_another(cluster: Cluster) -> None:
    first, second = cluster.image.brokers[1].epoch, cluster.image.brokers[2].epoch
    assert [allocate(cluster, 1, first), allocate(cluster, 2, second), allocate(cluster, 1, first)] == [0, 1000, 2000]
    assert cluster.messages == [ProducerIdsRecord(1, first, 3000)]


@pytest.mark.parametrize(("broker_id", "epoch"), [(1, -1), (1, 10**6), (9, 0)])
def test_brokers_of_another_epoch_get_none(cluster: Cluster, broker_id: int, epoch: int) -> None:
    with pytest.raises(ApiError) as refused:
        allocate(cluster, broker_id, epoch)
    assert refused.value.code is ErrorCode.STALE_BROKER_EPOCH


def test_the_ids_end(cluster: Cluster) -> None:
    epoch = cluster.image.brokers[1].epoch
    last = (1 << 63) - 1 - 1000
    cluster.apply([ApiMessageAndVersion(ProducerIdsRecord(1, epoch, last), 0)])
    assert allocate(cluster, 1, epoch) == last
    with pytest.raises(ApiError) as refused:
        allocate(cluster, 1, epoch)
    assert refused.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
