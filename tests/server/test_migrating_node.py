"""A node with zookeeper.metadata.migration.enable=true, over the wire, on a ZooKeeper in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from pykraft.controller.activation import ActivationError
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.broker_registration_request import Feature
from pykraft.protocol.messages.controller_registration_request import ControllerRegistrationRequestData
from pykraft.protocol.messages.controller_registration_request import Listener as Controller
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.incremental_alter_configs_request import (
    AlterConfigsResource,
    IncrementalAlterConfigsRequestData,
)
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from pykraft.server import migration
from pykraft.server.node import Node
from pykraft.server.storage import StorageError
from pykraft.testing import serve_controller
from pykraft.testing.fake_zookeeper import FakeZooKeeper, FakeZooKeeperPort, Fault, FaultKind, On
from pykraft.zookeeper.errors import ConnectTimeoutError
from pykraft.zookeeper.kazoo_port import ZooKeeperConfig
from pykraft.zookeeper.ops import ensure_paths
from pykraft.zookeeper.port import ANY_VERSION, Create, SetData
from pykraft.zookeeper.znodes import ZnodeError
from tests.migration.house import make
from tests.server.client import connected, envelope, heartbeat, registration

CLUSTER_ID = "X-9PC9aZTaKjyjLnbX3gmA"
HELLO = ApiVersionsRequestData(client_software_name="a", client_software_version="1")


class Port(FakeZooKeeperPort):
    """What the node asks of KazooPort beside the port itself."""

    server: FakeZooKeeper
    refused: trio.Event

    def __init__(self, config: ZooKeeperConfig) -> None:
        assert config.connect == "zk"
        super().__init__(self.server, False, frozenset(), 1 << 20, 10)
        self.server._ports.append(self)
        if self.server.running:
            self.server._open_session(self)

    async def run(self) -> None:
        await trio.sleep_forever()

    async def first_connect(self) -> None:
        with trio.move_on_after(0.05):
            await self.session.wait_connected()
            return
        self.refused.set()
        raise ConnectTimeoutError("no ZooKeeper at zk within 50 ms")


@pytest.fixture
def zookeeper(monkeypatch: pytest.MonkeyPatch) -> FakeZooKeeper:
    server = FakeZooKeeper()
    monkeypatch.setattr(Port, "server", server, raising=False)
    monkeypatch.setattr(Port, "refused", trio.Event(), raising=False)
    monkeypatch.setattr(migration, "KazooPort", Port)
    monkeypatch.setattr(migration, "CONNECT_PAUSE_S", 0.01)
    return server


async def put(zookeeper: FakeZooKeeper, path: str, data: bytes) -> None:
    port = zookeeper.connect()
    await ensure_paths(port, [path.rpartition("/")[0]])
    await port.multi([Create(path, data)])
    port.close()


async def put_cluster_id(zookeeper: FakeZooKeeper, data: bytes | None = None) -> None:
    await put(zookeeper, "/cluster/id", data or json.dumps({"version": "1", "id": CLUSTER_ID}).encode())


async def migrating(nursery: trio.Nursery, zookeeper: FakeZooKeeper, **options: Any) -> Node:
    await put_cluster_id(zookeeper)
    return await serve_controller(nursery, zookeeper="zk", seed=1, **options)


def levels(low: int, high: int) -> list[Feature]:
    return [Feature(name="metadata.version", min_supported_version=low, max_supported_version=high)]


IV = {"3.3-IV0": 4, "3.3-IV3": 7, "3.4-IV0": 8, "3.6-IV1": 13, "3.9-IV0": 21}
MATRIX = [
    # metadata.version, migration on, migrating broker, range of metadata.version, answer
    ("3.4-IV0", False, True, ("3.3-IV0", "3.3-IV0"), ErrorCode.BROKER_ID_NOT_REGISTERED),
    ("3.4-IV0", False, True, None, ErrorCode.BROKER_ID_NOT_REGISTERED),
    ("3.4-IV0", False, True, ("3.4-IV0", "3.4-IV0"), ErrorCode.BROKER_ID_NOT_REGISTERED),
    ("3.4-IV0", False, False, ("3.4-IV0", "3.4-IV0"), ErrorCode.NONE),
    ("3.3-IV3", False, True, ("3.3-IV0", "3.3-IV3"), ErrorCode.BROKER_ID_NOT_REGISTERED),
    ("3.3-IV3", False, True, None, ErrorCode.BROKER_ID_NOT_REGISTERED),
    ("3.3-IV3", False, True, ("3.4-IV0", "3.4-IV0"), ErrorCode.BROKER_ID_NOT_REGISTERED),
    ("3.3-IV3", False, False, ("3.3-IV3", "3.4-IV0"), ErrorCode.NONE),
    ("3.6-IV1", True, True, ("3.4-IV0", "3.6-IV1"), ErrorCode.NONE),
    ("3.6-IV1", True, True, ("3.4-IV0", "3.4-IV0"), ErrorCode.UNSUPPORTED_VERSION),
    ("3.6-IV1", True, True, None, ErrorCode.UNSUPPORTED_VERSION),
    ("3.6-IV1", True, True, ("3.3-IV3", "3.3-IV3"), ErrorCode.UNSUPPORTED_VERSION),
    ("3.6-IV1", True, False, ("3.4-IV0", "3.4-IV0"), ErrorCode.BROKER_ID_NOT_REGISTERED),
    ("3.9-IV0", True, True, ("3.9-IV0", "3.9-IV0"), ErrorCode.NONE),
    ("3.9-IV0", True, False, ("3.9-IV0", "3.9-IV0"), ErrorCode.BROKER_ID_NOT_REGISTERED),
]


@pytest.mark.parametrize(("release", "enabled", "migrates", "features", "expected"), MATRIX)
async def test_c4_the_registration_matrix_over_the_wire(
    nursery: trio.Nursery,
    zookeeper: FakeZooKeeper,
    release: str,
    enabled: bool,
    migrates: bool,
    features: tuple[str, str] | None,
    expected: ErrorCode,
) -> None:
    if enabled:
        node = await migrating(nursery, zookeeper, release=release)
    else:
        node = await serve_controller(nursery, release=release)
    request = registration(
        node,
        100,
        is_migrating_zk_broker=migrates,
        features=[] if features is None else levels(IV[features[0]], IV[features[1]]),
    )
    async with connected(node) as client:
        response = await client.ask(request)
        assert response.error_code == expected
        assert (response.broker_epoch >= 0) == (expected is ErrorCode.NONE)


async def test_it_takes_the_cluster_id_of_zookeeper_and_says_that_it_is_ready(
    nursery: trio.Nursery, zookeeper: FakeZooKeeper
) -> None:
    node = await migrating(nursery, zookeeper)
    assert node.cluster_id == CLUSTER_ID
    async with connected(node) as client:
        assert (await client.ask(HELLO, 4)).zk_migration_ready is True


async def test_c14_before_the_migration_nothing_but_brokers_is_written(
    nursery: trio.Nursery, zookeeper: FakeZooKeeper
) -> None:
    node = await migrating(nursery, zookeeper)
    topic = CreateTopicsRequestData(topics=[CreatableTopic(name="a", num_partitions=1, replication_factor=1)])
    async with connected(node) as client:
        registered = await client.ask(registration(node, 1, is_migrating_zk_broker=True, features=levels(21, 21)))
        assert registered.error_code == ErrorCode.NONE
        assert not (await heartbeat(client, 1, registered.broker_epoch, node)).is_fenced
        refused = await client.ask(topic)
        assert [each.error_code for each in refused.topics] == [ErrorCode.NOT_CONTROLLER]
        forwarded = await client.ask(envelope(topic, 7))
        assert (forwarded.error_code, forwarded.response_data) == (ErrorCode.NOT_CONTROLLER, None)
        configs = [AlterConfigsResource(resource_type=4, resource_name="1")]
        refused = await client.ask(IncrementalAlterConfigsRequestData(resources=configs))
        assert [each.error_code for each in refused.responses] == [ErrorCode.NOT_CONTROLLER]
        assert (await client.ask(UnregisterBrokerRequestData(broker_id=1))).error_code == ErrorCode.NONE
        other = ControllerRegistrationRequestData(3001, bytes(16), True, [Controller("CONTROLLER", "h", 9093, 0)])
        assert (await client.ask(other)).error_code == ErrorCode.NONE


async def test_c37_heartbeats_are_answered_while_the_copy_is_under_way(
    nursery: trio.Nursery, zookeeper: FakeZooKeeper
) -> None:
    """KAFKA-15441: or every broker is fenced by a copy that takes longer than its session."""
    make(zookeeper, {
        "/controller_epoch": "3", "/brokers/ids/1": "{}", "/admin/delete_topics": None,
        "/brokers/topics/t": '{"version":3,"topic_id":"AAAAAAAAAAAAAAAAAAAABw","partitions":{"0":[1]}}',
    })  # fmt: skip
    zookeeper.inject(Fault(FaultKind.SLOW, On.READ, "/brokers/topics/t/partitions", delay_s=600))
    node = await migrating(nursery, zookeeper)
    async with connected(node) as client:
        registered = await client.ask(registration(node, 1, is_migrating_zk_broker=True, features=levels(21, 21)))
        with trio.fail_after(60):
            while not await node.writer.read(lambda image: image.in_transaction):  # noqa: ASYNC110  no event tells
                await trio.sleep(0.01)
        unfenced = await heartbeat(client, 1, registered.broker_epoch, node)
        assert (unfenced.error_code, unfenced.is_fenced) == (ErrorCode.NONE, False)
        other = registration(node, 2, is_migrating_zk_broker=True, features=levels(21, 21))
        assert (await client.ask(other)).error_code == ErrorCode.NONE
        assert await node.writer.read(lambda image: image.in_transaction), "the copy still waits for ZooKeeper"


async def start_fails(kind: type[Exception], match: str, **options: Any) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(kind, match=match), flatten_subgroups=True):
        async with trio.open_nursery() as inner:
            await serve_controller(inner, zookeeper="zk", **options)


async def test_a_zookeeper_without_cluster_id(zookeeper: FakeZooKeeper) -> None:
    await start_fails(StorageError, "no /cluster/id: no broker was ever started")


async def test_a_cluster_id_that_is_broken_json(zookeeper: FakeZooKeeper) -> None:
    await put_cluster_id(zookeeper, b'{"version":"1","id":')
    await start_fails(ZnodeError, "/cluster/id")


async def test_another_cluster_id_than_asked_for(zookeeper: FakeZooKeeper) -> None:
    await put_cluster_id(zookeeper)
    await start_fails(StorageError, f"is that of cluster {CLUSTER_ID}", cluster_id="AAAAAAAAAAAAAAAAAAAAAA")


async def test_a_data_directory_of_another_cluster(zookeeper: FakeZooKeeper, tmp_path: Path) -> None:
    async with trio.open_nursery() as first:
        await migrating(first, zookeeper, data_directory=tmp_path)
        first.cancel_scope.cancel()
    port = zookeeper.connect()
    other = json.dumps({"version": "1", "id": "MkU3OEVBNTcwNTJENDM2Qg"}).encode()
    await port.multi([SetData("/cluster/id", other, ANY_VERSION)])
    with pytest.RaisesGroup(pytest.RaisesExc(StorageError, match="another data directory"), flatten_subgroups=True):
        async with trio.open_nursery() as inner:
            await serve_controller(inner, zookeeper="zk", data_directory=tmp_path)
            await trio.sleep_forever()


async def test_a_metadata_version_too_low_to_migrate(zookeeper: FakeZooKeeper) -> None:
    await put_cluster_id(zookeeper)
    await start_fails(ActivationError, "3.3-IV3", release="3.3-IV3")


async def test_a_zookeeper_that_is_away_is_waited_for_and_a_known_cluster_starts_without(
    nursery: trio.Nursery, zookeeper: FakeZooKeeper, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await put_cluster_id(zookeeper)
    zookeeper.stop()
    async with trio.open_nursery() as first:

        async def come_back() -> None:
            await Port.refused.wait()
            zookeeper.start()

        first.start_soon(come_back)
        node = await serve_controller(first, zookeeper="zk", data_directory=tmp_path)
        assert node.cluster_id == CLUSTER_ID
        assert "Waiting for ZooKeeper: no ZooKeeper at zk" in caplog.text
        first.cancel_scope.cancel()
    zookeeper.stop()
    node = await serve_controller(nursery, zookeeper="zk", data_directory=tmp_path)
    async with connected(node) as client:
        assert (await client.ask(registration(node, 1, is_migrating_zk_broker=True))).error_code == ErrorCode.NONE
