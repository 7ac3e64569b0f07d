"""What a cluster is, as flat facts: read from ZooKeeper's tree and, apart from it, from the metadata log.

A fact is a path such as `topic/orders/0/leader` with a plain value. Two sources that tell the same cluster give equal
facts, so their difference names what is wrong. This reader shares no code with the controller it checks: the tree is
read with kazoo as it stands, the log as Kafka's own dump tool prints it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from pykraft.lab.errors import LabError

Facts = dict[str, object]
Data = dict[str, Any]

READ_TIMEOUT_S = 30.0
CLIENT_TIMEOUT_S = 10.0
TOPIC_RESOURCE, BROKER_RESOURCE = 2, 4
NO_REPLICA_CHANGE: list[int] = []

_MECHANISMS = {1: "SCRAM-SHA-256", 2: "SCRAM-SHA-512"}
_ENTITY_TYPES = {"users": "user", "clients": "client-id", "ips": "ip"}
_RESOURCE_TYPES = {2: "topic", 3: "group", 4: "cluster", 5: "transactionalid", 6: "delegationtoken", 7: "user"}
_PATTERN_TYPES = {3: "literal", 4: "prefixed"}
_PERMISSIONS = {2: "deny", 3: "allow"}
_OPERATIONS = {
    2: "all",
    3: "read",
    4: "write",
    5: "create",
    6: "delete",
    7: "alter",
    8: "describe",
    9: "clusteraction",
    10: "describeconfigs",
    11: "alterconfigs",
    12: "idempotentwrite",
    13: "createtokens",
    14: "describetokens",
}


@dataclass(frozen=True, slots=True)
class Znode:
    """One znode as it was read."""

    data: bytes
    version: int
    ephemeral: bool

    def json(self) -> Data:
        """Its data as a JSON object, empty when there is none. Raises ValueError."""
        return dict(json.loads(self.data)) if self.data else {}


def zookeeper_client(connect: str) -> KazooClient:
    """A client that is not started yet and keeps its log lines to itself: the lab ends ZooKeepers on purpose."""
    logger = logging.getLogger("pykraft.lab.kazoo")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return KazooClient(hosts=connect, timeout=CLIENT_TIMEOUT_S, logger=logger)


def read_tree(connect: str, root: str = "/") -> dict[str, Znode]:
    """All znodes of a ZooKeeper (HOST:PORT) below `root` but its own /zookeeper.

    Not one instant: what changes meanwhile may be seen or not. Raises LabError when it cannot be reached.
    """
    client = zookeeper_client(connect)
    try:
        client.start(timeout=READ_TIMEOUT_S)
    except client.handler.timeout_exception as error:
        raise LabError(f"no ZooKeeper at {connect} within {READ_TIMEOUT_S:.0f} s") from error
    try:
        tree: dict[str, Znode] = {}
        open_paths = [root]
        while open_paths:
            path = open_paths.pop()
            try:
                data, stat = client.get(path)
                children = client.get_children(path)
            except NoNodeError:
                continue  # deleted since its parent was read
            tree[path] = Znode(data, stat.version, stat.ephemeralOwner != 0)
            prefix = path.rstrip("/")
            open_paths += [f"{prefix}/{child}" for child in children if f"{prefix}/{child}" != "/zookeeper"]
        return tree
    finally:
        client.stop()
        client.close()


def facts_of_tree(tree: Mapping[str, Znode]) -> Facts:
    """The facts ZooKeeper holds."""
    facts: Facts = {}
    for path, node in tree.items():
        match path.strip("/").split("/"):
            case ["brokers", "topics", topic]:
                _topic_znode(facts, topic, node.json())
            case ["brokers", "topics", topic, "partitions", partition, "state"]:
                state = node.json()
                for key in ("leader", "leader_epoch", "isr"):
                    facts[f"topic/{topic}/{partition}/{key}"] = state[key]
            case ["config", ("topics" | "brokers") as kind, name]:
                for key, value in node.json().get("config", {}).items():
                    facts[f"config/{kind}/{name}/{key}"] = value
            case ["config", ("users" | "clients" | "ips") as kind, *rest] if rest:
                _entity_znode(facts, kind, rest, node.json().get("config", {}))
            case ["kafka-acl", kind, *name] if name:
                _acl_znode(facts, "literal", kind, "/".join(name), node.json())
            case ["kafka-acl-extended", "prefixed", kind, *name] if name:
                _acl_znode(facts, "prefixed", kind, "/".join(name), node.json())
            case ["delegation_token", "tokens", token]:
                _token(facts, token, node.json(), expiry="expiryTimestamp", decode=unquote_plus)
            case ["latest_producer_id_block"] if node.data:
                facts["producer_ids/next"] = int(node.json()["block_end"]) + 1
    return facts


def _topic_znode(facts: Facts, topic: str, data: Data) -> None:
    facts[f"topic/{topic}/id"] = data.get("topic_id")
    for partition, replicas in data["partitions"].items():
        facts[f"topic/{topic}/{partition}/replicas"] = replicas
        for key in ("adding_replicas", "removing_replicas"):
            changing = data.get(key, {}).get(partition, NO_REPLICA_CHANGE)
            if changing:
                facts[f"topic/{topic}/{partition}/{key}"] = changing


def _entity_znode(facts: Facts, kind: str, rest: list[str], config: Mapping[str, str]) -> None:
    entity: dict[str, str | None] = {}
    # users/U, users/U/clients/C, clients/C or ips/I
    for part_kind, name in zip([kind, *rest[1::2]], rest[0::2], strict=False):
        entity[_ENTITY_TYPES[part_kind]] = None if name == "<default>" else unquote_plus(name)
    for key, value in config.items():
        if key in _MECHANISMS.values():
            credential = dict(part.split("=", 1) for part in value.split(","))
            facts[f"scram/{entity['user']}/{key}"] = credential | {"iterations": int(credential["iterations"])}
        else:
            facts[f"quota/{_entity_name(entity)}/{key}"] = float(value)


def _entity_name(entity: Mapping[str, str | None]) -> str:
    return ",".join(f"{kind}={'<default>' if name is None else name}" for kind, name in sorted(entity.items()))


def _acl_znode(facts: Facts, pattern: str, kind: str, name: str, data: Data) -> None:
    for acl in data.get("acls", []):
        row = (kind.lower(), name, pattern, acl["principal"], acl["host"], acl["operation"], acl["permissionType"])
        facts[_acl_path(row)] = True


def _acl_path(row: tuple[str, ...]) -> str:
    kind, name, pattern, principal, host, operation, permission = row
    return f"acl/{pattern} {kind} {name}/{principal} from {host}/{permission.lower()} {operation.lower()}"


def _token(facts: Facts, token: str, data: Data, *, expiry: str, decode: Callable[[str], str]) -> None:
    requester: str = data.get("tokenRequester") or data.get("requester") or data["owner"]
    facts[f"token/{token}/owner"] = decode(data["owner"])
    facts[f"token/{token}/requester"] = decode(requester)
    facts[f"token/{token}/renewers"] = sorted(decode(renewer) for renewer in data["renewers"])
    facts[f"token/{token}/times"] = [data["issueTimestamp"], data["maxTimestamp"], data[expiry]]


class LogImage:
    """The facts a metadata log holds, replayed from the text of `kafka-dump-log --cluster-metadata-decoder`."""

    def __init__(self) -> None:
        self.facts: Facts = {}
        self.records = 0
        self.migration_state = 0
        self.metadata_version = 0
        self.brokers: dict[int, Data] = {}
        self.last_offset = -1
        self._names: dict[str, str] = {}
        self._acls: dict[str, str] = {}
        self._transaction: list[tuple[str, Data]] | None = None

    @classmethod
    def from_dump(cls, lines: Iterable[str]) -> LogImage:
        """Replay the printed log. Raises ValueError when a payload is not JSON."""
        image = cls()
        for line in lines:
            head, separator, payload = line.partition(" payload: ")
            if separator and head.startswith("|"):
                record = json.loads(payload)
                image.records += 1
                image.last_offset = int(head.split()[2])
                image._replay(record["type"], record["data"])
        return image

    def _replay(self, kind: str, data: Data) -> None:
        match kind:
            case "BEGIN_TRANSACTION_RECORD":
                self._transaction = []
            case "ABORT_TRANSACTION_RECORD":
                self._transaction = None
            case "END_TRANSACTION_RECORD":
                held, self._transaction = self._transaction or [], None
                for held_kind, held_data in held:
                    self._apply(held_kind, held_data)
            case _ if self._transaction is not None:
                self._transaction.append((kind, data))
            case _:
                self._apply(kind, data)

    def _apply(self, kind: str, data: Data) -> None:
        handler = _RECORDS.get(kind)
        if handler is not None:
            handler(self, data)

    def _topic(self, data: Data) -> None:
        self._names[data["topicId"]] = data["name"]
        self.facts[f"topic/{data['name']}/id"] = data["topicId"]

    def _remove_topic(self, data: Data) -> None:
        name = self._names.pop(data["topicId"])
        for path in [p for p in self.facts if p.startswith((f"topic/{name}/", f"config/topics/{name}/"))]:
            del self.facts[path]

    def _partition(self, data: Data) -> None:
        prefix = f"topic/{self._names[data['topicId']]}/{data['partitionId']}"
        for key, field in (("replicas", "replicas"), ("isr", "isr"), ("leader", "leader")):
            self.facts[f"{prefix}/{key}"] = data[field]
        self.facts[f"{prefix}/leader_epoch"] = data["leaderEpoch"]
        self._reassignment(prefix, data)

    def _partition_change(self, data: Data) -> None:
        prefix = f"topic/{self._names[data['topicId']]}/{data['partitionId']}"
        for field in ("isr", "replicas"):
            if data.get(field) is not None:
                self.facts[f"{prefix}/{field}"] = data[field]
        # A leader in the record, the same one too, means a new leader epoch; -2 is the default and means none.
        if data.get("leader", -2) != -2:
            self.facts[f"{prefix}/leader"] = data["leader"]
            epoch = self.facts[f"{prefix}/leader_epoch"]
            assert isinstance(epoch, int)
            self.facts[f"{prefix}/leader_epoch"] = epoch + 1
        self._reassignment(prefix, data)

    def _reassignment(self, prefix: str, data: Data) -> None:
        for field, key in (("addingReplicas", "adding_replicas"), ("removingReplicas", "removing_replicas")):
            if data.get(field):
                self.facts[f"{prefix}/{key}"] = data[field]
            elif data.get(field) is not None:
                self.facts.pop(f"{prefix}/{key}", None)

    def _config(self, data: Data) -> None:
        kind = {TOPIC_RESOURCE: "topics", BROKER_RESOURCE: "brokers"}.get(data["resourceType"])
        if kind is None:
            return
        self._set(f"config/{kind}/{data['resourceName'] or '<default>'}/{data['name']}", data["value"])

    def _set(self, path: str, value: object) -> None:
        if value is None:
            self.facts.pop(path, None)
        else:
            self.facts[path] = value

    def _quota(self, data: Data) -> None:
        entity = {part["entityType"]: part["entityName"] for part in data["entity"]}
        self._set(f"quota/{_entity_name(entity)}/{data['key']}", None if data["remove"] else data["value"])

    def _scram(self, data: Data) -> None:
        self.facts[f"scram/{data['name']}/{_MECHANISMS[data['mechanism']]}"] = {
            "salt": data["salt"],
            "stored_key": data["storedKey"],
            "server_key": data["serverKey"],
            "iterations": data["iterations"],
        }

    def _remove_scram(self, data: Data) -> None:
        self._set(f"scram/{data['name']}/{_MECHANISMS[data['mechanism']]}", None)

    def _acl(self, data: Data) -> None:
        row = (
            _RESOURCE_TYPES[data["resourceType"]],
            data["resourceName"],
            _PATTERN_TYPES[data["patternType"]],
            data["principal"],
            data["host"],
            _OPERATIONS[data["operation"]],
            _PERMISSIONS[data["permissionType"]],
        )
        self._acls[data["id"]] = _acl_path(row)
        self.facts[self._acls[data["id"]]] = True

    def _remove_acl(self, data: Data) -> None:
        del self.facts[self._acls.pop(data["id"])]

    def _delegation_token(self, data: Data) -> None:
        _token(self.facts, data["tokenId"], data, expiry="expirationTimestamp", decode=str)

    def _remove_delegation_token(self, data: Data) -> None:
        for path in [p for p in self.facts if p.startswith(f"token/{data['tokenId']}/")]:
            del self.facts[path]

    def _producer_ids(self, data: Data) -> None:
        self.facts["producer_ids/next"] = data["nextProducerId"]

    def _migration_state(self, data: Data) -> None:
        self.migration_state = data["zkMigrationState"]

    def _feature(self, data: Data) -> None:
        if data["name"] == "metadata.version":
            self.metadata_version = data["featureLevel"]

    def _register_broker(self, data: Data) -> None:
        self.brokers[data["brokerId"]] = data

    def _unregister_broker(self, data: Data) -> None:
        self.brokers.pop(data["brokerId"], None)


_RECORDS: dict[str, Callable[[LogImage, Data], None]] = {
    "TOPIC_RECORD": LogImage._topic,
    "REMOVE_TOPIC_RECORD": LogImage._remove_topic,
    "PARTITION_RECORD": LogImage._partition,
    "PARTITION_CHANGE_RECORD": LogImage._partition_change,
    "CONFIG_RECORD": LogImage._config,
    "CLIENT_QUOTA_RECORD": LogImage._quota,
    "USER_SCRAM_CREDENTIAL_RECORD": LogImage._scram,
    "REMOVE_USER_SCRAM_CREDENTIAL_RECORD": LogImage._remove_scram,
    "ACCESS_CONTROL_ENTRY_RECORD": LogImage._acl,
    "REMOVE_ACCESS_CONTROL_ENTRY_RECORD": LogImage._remove_acl,
    "DELEGATION_TOKEN_RECORD": LogImage._delegation_token,
    "REMOVE_DELEGATION_TOKEN_RECORD": LogImage._remove_delegation_token,
    "PRODUCER_IDS_RECORD": LogImage._producer_ids,
    "ZK_MIGRATION_STATE_RECORD": LogImage._migration_state,
    "FEATURE_LEVEL_RECORD": LogImage._feature,
    "REGISTER_BROKER_RECORD": LogImage._register_broker,
    "UNREGISTER_BROKER_RECORD": LogImage._unregister_broker,
}


def differences(left: Facts, right: Facts, left_name: str, right_name: str) -> list[str]:
    """One sentence for each fact that is not the same on both sides; empty when they agree."""
    found = []
    for path in sorted(left.keys() | right.keys()):
        if left.get(path) != right.get(path):
            texts = [
                f"{name}: {json.dumps(facts[path]) if path in facts else 'nothing'}"
                for name, facts in ((left_name, left), (right_name, right))
            ]
            found.append(f"{path}: {', '.join(texts)}")
    return found


def wait_same(
    left: Callable[[], Facts], right: Callable[[], Facts], names: tuple[str, str], timeout_s: float
) -> list[str]:
    """Compare until both sides agree; returns what still differs at the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = differences(left(), right(), *names)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
