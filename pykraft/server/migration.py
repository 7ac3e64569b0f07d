"""What a migrating node has more than another: a ZooKeeper session, channels to brokers, the migration runner."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from pykraft.controller.config import ControllerConfig
from pykraft.log.meta_properties import read_meta_properties
from pykraft.migration.passwords import password_encoder
from pykraft.migration.propagator import Propagator
from pykraft.server.broker_channels import BrokerChannels
from pykraft.server.migration_runner import MigrationRunner
from pykraft.server.storage import StorageError
from pykraft.zookeeper import paths
from pykraft.zookeeper.errors import ZooKeeperError
from pykraft.zookeeper.kazoo_port import KazooPort, ZooKeeperConfig
from pykraft.zookeeper.ops import get_data
from pykraft.zookeeper.znodes import decode_cluster_id

if TYPE_CHECKING:
    from pykraft.server.node import Node

log = logging.getLogger(__name__)

CONNECT_PAUSE_S = 1.0


class Migration:
    """The migration of one node: `attach`, then `run`."""

    def __init__(self, config: ControllerConfig, port: KazooPort) -> None:
        self._config = config
        self._port = port
        self._runner: MigrationRunner | None = None

    async def cluster_id(self, directory: Path, wanted: str | None) -> str:
        """The cluster id to run with: that of a formatted data directory, else that of ZooKeeper, which is waited for.

        Raises StorageError when ZooKeeper has none, or another than `wanted`.
        """
        directory_id = read_meta_properties(directory)
        if directory_id is not None and directory_id.cluster_id is not None:
            return wanted or directory_id.cluster_id
        await self._connect()
        return await self._read_cluster_id(wanted)

    def attach(self, node: Node) -> None:
        """Make the runner and have it hear of everything that is committed; before the node leads."""
        channels = BrokerChannels(
            Propagator(self._config.node_id, self._config.inter_broker_listener_name),
            node.writer.read,
            self._config.request_timeout_ms,
        )
        self._channels = channels
        self._runner = MigrationRunner(
            port=self._port,
            writer=node.writer,
            channels=channels,
            config=self._config,
            voter_ids=frozenset((self._config.node_id,)),
            rng=node.rng,
            emit=node.emit,
            passwords=password_encoder(self._config.password_encoder_secret),
            now_ms=node.now_ms,
        )
        node.writer.subscribe(self._runner.publish, after_replies=True)

    def leader_changed(self, leader_id: int | None, epoch: int) -> None:
        """Tell the runner who leads; when that is this node, after its activation records are committed."""
        assert self._runner is not None, "attach comes first"
        self._runner.leader_changed(leader_id, epoch)

    async def run(self, cluster_id: str) -> None:
        """Run channels and runner until cancelled; waits for a ZooKeeper that is away.

        Raises StorageError when ZooKeeper is that of another cluster.
        """
        assert self._runner is not None, "attach comes first"
        async with trio.open_nursery() as nursery:
            await nursery.start(self._channels.run)
            await self._connect()
            await self._read_cluster_id(cluster_id)
            await self._runner.run()

    async def _connect(self) -> None:
        while True:
            try:
                await self._port.first_connect()
                return
            except ZooKeeperError as error:
                log.warning("Waiting for ZooKeeper: %s", error)
                await trio.sleep(CONNECT_PAUSE_S)

    async def _read_cluster_id(self, wanted: str | None) -> str:
        connect = self._config.zookeeper_connect
        while True:
            try:
                found = await get_data(self._port, paths.CLUSTER_ID)
                break
            except ZooKeeperError as error:
                log.warning("Reading %s of ZooKeeper %s: %s", paths.CLUSTER_ID, connect, error)
                await trio.sleep(CONNECT_PAUSE_S)
        if found is None:
            raise StorageError(
                f"ZooKeeper {connect} has no {paths.CLUSTER_ID}: no broker was ever started on it; check"
                " zookeeper.connect and its chroot"
            )
        cluster_id = decode_cluster_id(found.data)
        if wanted is not None and wanted != cluster_id:
            raise StorageError(
                f"ZooKeeper {connect} is that of cluster {cluster_id}, this node is in cluster {wanted}: give the node"
                " another data directory, or the right zookeeper.connect"
            )
        return cluster_id


@asynccontextmanager
async def open_migration(config: ControllerConfig) -> AsyncIterator[Migration]:
    """A migration whose ZooKeeper session lasts as long as the block; does not wait for ZooKeeper."""
    port = KazooPort(
        ZooKeeperConfig(
            connect=config.zookeeper_connect,
            session_timeout_ms=config.zookeeper_session_timeout_ms,
            connection_timeout_ms=config.zookeeper_connection_timeout_ms,
            max_in_flight_requests=config.zookeeper_max_in_flight_requests,
            set_acl=config.zookeeper_set_acl,
        )
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.run)
        yield Migration(config, port)
        nursery.cancel_scope.cancel()
