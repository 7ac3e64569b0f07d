"""DescribeCluster on a controller: registered controllers, and refusals by version and endpoint type."""

from __future__ import annotations

import pytest

from pykraft.controller.describe import describe_cluster
from pykraft.controller.errors import ApiError
from pykraft.image.metadata_version import MetadataVersion
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.describe_cluster_request import DescribeClusterRequestData
from pykraft.protocol.messages.describe_cluster_response import DescribeClusterResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.register_controller_record import ControllerEndpoint, RegisterControllerRecord
from tests.controller.cluster import CLUSTER_ID, Cluster

CONTROLLERS, BROKERS = 2, 1
UNKNOWN_OPERATIONS = -(1 << 31)


def registered(*controllers: tuple[int, str]) -> Cluster:
    cluster = Cluster()
    cluster.apply(
        [
            ApiMessageAndVersion(
                RegisterControllerRecord(
                    controller_id, end_points=[ControllerEndpoint(listener, "host", 9000 + controller_id, 0)]
                ),
                0,
            )
            for controller_id, listener in controllers
        ]
    )
    return cluster


def ask(
    cluster: Cluster,
    leader_id: int = 1,
    endpoint_type: int = CONTROLLERS,
    *,
    operations: bool = False,
    version: int = 1,
) -> DescribeClusterResponseData:
    request = DescribeClusterRequestData(operations, endpoint_type)
    answer = describe_cluster(cluster.image, CLUSTER_ID, leader_id, "CONTROLLER", request, version)
    return DescribeClusterResponseData.decode(answer.encode(version), version)


def test_controllers_with_the_listener_are_described() -> None:
    answer = ask(registered((1, "CONTROLLER"), (2, "OTHER"), (3, "CONTROLLER")))
    assert (answer.cluster_id, answer.controller_id, answer.endpoint_type) == (CLUSTER_ID, 1, CONTROLLERS)
    assert [(node.broker_id, node.host, node.port, node.rack) for node in answer.brokers] == [
        (1, "host", 9001, None),
        (3, "host", 9003, None),
    ]
    assert answer.cluster_authorized_operations == UNKNOWN_OPERATIONS


@pytest.mark.parametrize("leader_id", [-1, 2, 9])
def test_a_leader_that_is_not_described_is_not_named(leader_id: int) -> None:
    assert ask(registered((1, "CONTROLLER"), (2, "OTHER")), leader_id).controller_id == -1


def test_authorized_operations_are_all() -> None:
    assert ask(registered((1, "CONTROLLER")), operations=True).cluster_authorized_operations == 0b1_1111_1010_0000


@pytest.mark.parametrize(
    ("endpoint_type", "version", "code"),
    [
        (BROKERS, 1, ErrorCode.MISMATCHED_ENDPOINT_TYPE),
        (BROKERS, 0, ErrorCode.INVALID_REQUEST),
        (0, 1, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE),
        (3, 1, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE),
    ],
)
def test_other_endpoints_are_refused(endpoint_type: int, version: int, code: ErrorCode) -> None:
    answer = ask(registered((1, "CONTROLLER")), endpoint_type=endpoint_type, version=version)
    assert (answer.error_code, answer.brokers, answer.cluster_id) == (code, [], "")


def test_metadata_versions_without_registered_controllers() -> None:
    for endpoint_type in (BROKERS, CONTROLLERS):
        with pytest.raises(ApiError) as refused:
            ask(Cluster(MetadataVersion.IBP_3_6_IV2), endpoint_type=endpoint_type)
        assert refused.value.code is ErrorCode.UNSUPPORTED_VERSION
    assert ask(Cluster(MetadataVersion.IBP_3_7_IV0)).brokers == []
