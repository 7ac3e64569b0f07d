"""Reads ZooKeeper for those who only look: `pykraft migration preflight` and `status`, `pykraft zk`. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from pykraft.migration.preflight import WRITTEN_PATHS, Survey
from pykraft.migration.states import ZkMigrationLeadershipState
from pykraft.migration.status import ZooKeeperFacts
from pykraft.migration.zk_contents import PlainPasswords
from pykraft.server.migration_reader import children, read_assignments, scram_users, topic_names
from pykraft.server.migration_zookeeper import state_from
from pykraft.server.quorum_client import AskError, connected
from pykraft.zookeeper import paths, znodes
from pykraft.zookeeper.dump import dump_tree
from pykraft.zookeeper.errors import ZkCode
from pykraft.zookeeper.ops import get_data, get_data_many
from pykraft.zookeeper.port import DataResult, ReadError, ZooKeeperPort
from pykraft.zookeeper.znodes import BrokerRegistration

_ASKED_WITHOUT_LOGIN = ("PLAINTEXT", "SASL_PLAINTEXT")


async def survey(port: ZooKeeperPort) -> Survey:
    """The whole tree, what of it may not be read, and the access lists of what a controller writes."""
    refused: dict[str, ZkCode] = {}
    tree = await dump_tree(port, refused=refused)
    wanted = [path for path in WRITTEN_PATHS if path in tree]
    acls = dict(zip(wanted, await port.read_acls(wanted), strict=True))
    return Survey(
        tree=tree,
        refused=refused,
        acls={path: acl for path, acl in acls.items() if not isinstance(acl, ReadError)},
    )


async def read_migration(port: ZooKeeperPort) -> ZkMigrationLeadershipState | None:
    """What `/migration` holds, None when there is no such znode. Raises ZnodeError."""
    found = await get_data(port, paths.MIGRATION)
    return None if found is None else state_from(found)


async def zookeeper_facts(port: ZooKeeperPort, *, before_copy: bool, ask_timeout_s: float) -> ZooKeeperFacts:
    """What a status needs; assignments and the brokers themselves are asked `before_copy` only. Raises ZnodeError."""
    controller = await get_data(port, paths.CONTROLLER)
    migration = await read_migration(port)
    holder = None if controller is None else znodes.decode_controller(controller.data)
    brokers = await _brokers(port)
    texts = {id_: ", ".join(broker.endpoints) for id_, broker in brokers.items()}
    if not before_copy:
        return ZooKeeperFacts(brokers=texts, controller=holder, migration=migration)
    not_ready, silent = await _ask_brokers(brokers, ask_timeout_s)
    replicas, reassigning, without_id = await _assignments(port)
    return ZooKeeperFacts(
        brokers=texts,
        not_ready=not_ready,
        silent=silent,
        replicas=replicas,
        topics_without_id=without_id,
        scram_users=await scram_users(port),
        tokens=await children(port, paths.DELEGATION_TOKENS),
        reassigning=reassigning,
        controller=holder,
        migration=migration,
    )


async def _brokers(port: ZooKeeperPort) -> dict[int, BrokerRegistration]:
    names = [name for name in await children(port, paths.BROKER_IDS) if name.isdecimal()]
    results = await get_data_many(port, [paths.broker_id(int(name)) for name in names]) if names else []
    return {
        int(name): znodes.decode_broker_registration(int(name), result.data)
        for name, result in zip(names, results, strict=True) if isinstance(result, DataResult)
    }  # fmt: skip


async def _assignments(port: ZooKeeperPort) -> tuple[dict[int, str], list[str], list[str]]:
    """A partition for each broker with replicas, what is being reassigned, topics without id; those marked for
    deletion left out."""
    names, deleting = await topic_names(port)
    gone = set(deleting)
    replicas: dict[int, str] = {}
    reassigning: list[str] = []
    without_id: list[str] = []
    async for chunk in read_assignments(port, [name for name in names if name not in gone], PlainPasswords()):
        for name, topic in chunk.items():
            if topic.assignment is None:
                continue
            if topic.assignment.topic_id is None:
                without_id.append(name)
            for number, brokers in topic.assignment.partitions.items():
                for broker in brokers:
                    replicas.setdefault(broker, f"{name}-{number}")
            moving = {**topic.assignment.adding_replicas, **topic.assignment.removing_replicas}
            reassigning += [f"{name}-{number}" for number, changing in sorted(moving.items()) if changing]
    return replicas, reassigning, without_id


async def _ask_brokers(brokers: Mapping[int, BrokerRegistration], timeout_s: float) -> tuple[list[int], dict[int, str]]:
    """Which brokers answer ApiVersions without ZkMigrationReady, and which cannot be asked, with the reason."""
    not_ready: list[int] = []
    silent: dict[int, str] = {}

    async def ask(id_: int, broker: BrokerRegistration) -> None:
        address = _address(broker)
        if address is None:
            silent[id_] = "it has no listener without TLS"
            return
        try:
            async with connected(address, timeout_s) as connection:
                if not connection.zk_migration_ready:
                    not_ready.append(id_)
        except AskError as error:
            silent[id_] = str(error)

    async with trio.open_nursery() as nursery:
        for id_, broker in brokers.items():
            nursery.start_soon(ask, id_, broker)
    return sorted(not_ready), silent


def _address(broker: BrokerRegistration) -> str | None:
    for endpoint in broker.endpoints:
        listener, _, address = endpoint.partition("://")
        if broker.listener_security_protocol_map.get(listener, listener) in _ASKED_WITHOUT_LOGIN:
            return address
    return None
