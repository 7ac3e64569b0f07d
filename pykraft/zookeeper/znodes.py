"""Typed contents of every znode Kafka writes, with tolerant readers and exact writers.

Readers ignore unknown fields and the order of keys, and take numbers that come as strings; what cannot be
understood raises ZnodeError. Writers give compact UTF-8 JSON with the fields that Kafka 3.9 writes.
Versions are znode versions of the JSON, not of the znode; times are ms since 1970.
Sources: core kafka.zk.ZkData, server-common ProducerIdsBlock, server AclEntry, core DelegationTokenManagerZk.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from pykraft.zookeeper import paths

_T = TypeVar("_T")
encode_json: Final = msgspec.json.Encoder().encode
"""Compact JSON of structs and mappings."""

PRODUCER_ID_BLOCK_SIZE: Final = 1000
"""Producer ids in one block. Source: server-common ProducerIdsBlock."""


class ZnodeError(ValueError):
    """A znode holds something that its reader cannot accept.

    Args: the znode's `path`, the `reason`, and the `remedy`, which says what the operator can do.
    """

    def __init__(self, path: str, reason: str, remedy: str) -> None:
        super().__init__(f"znode {path} {reason}: {remedy}")
        self.path = path
        self.reason = reason
        self.remedy = remedy


_SHOWN_BYTES: Final = 120
_EPOCH_DIGITS_MAX: Final = 20
INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1
_RESTORE: Final = "correct it or restore it from a ZooKeeper backup, then try again"


def decode_json(decoder: msgspec.json.Decoder[_T], path: str, data: bytes | None, remedy: str = _RESTORE) -> _T:
    """Decode the data of the znode at `path`. Raises ZnodeError, which passes `remedy` on."""
    if not data:
        raise ZnodeError(path, "is empty where JSON was expected", remedy)
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = f"does not hold the JSON of its kind ({error}; data {data[:_SHOWN_BYTES]!r})"
        raise ZnodeError(path, reason, remedy) from None


def decode_text(path: str, data: bytes | None) -> str:
    """UTF-8 text of the znode at `path`, empty for no data."""
    try:
        return (data or b"").decode()
    except UnicodeDecodeError as error:
        raise ZnodeError(path, f"is not UTF-8 ({error})", _RESTORE) from None


class Controller(msgspec.Struct, frozen=True, kw_only=True):
    """`/controller`: the active controller.

    `kraft_controller_epoch` is None where a release before 3.4 wrote it, -1 for a ZooKeeper-mode controller.
    """

    broker_id: int = msgspec.field(name="brokerid")
    timestamp_ms: int = msgspec.field(name="timestamp", default=-1)
    kraft_controller_epoch: int | None = msgspec.field(name="kraftControllerEpoch", default=None)


_controller = msgspec.json.Decoder(Controller, strict=False)


def decode_controller(data: bytes | None) -> Controller:
    return decode_json(
        _controller, paths.CONTROLLER, data, "delete it, so that the ZooKeeper brokers elect a controller"
    )


def encode_controller(value: Controller) -> bytes:
    epoch = value.kraft_controller_epoch
    content: dict[str, object] = {
        "version": 1 if epoch is None else 2,
        "brokerid": value.broker_id,
        "timestamp": str(value.timestamp_ms),
    }
    if epoch is not None:
        content["kraftControllerEpoch"] = epoch
    return encode_json(content)


def decode_controller_epoch(data: bytes | None) -> int:
    """`/controller_epoch`: decimal text, not JSON."""
    text = decode_text(paths.CONTROLLER_EPOCH, data)
    if not (text.isascii() and text.isdecimal() and len(text) <= _EPOCH_DIGITS_MAX):
        raise ZnodeError(paths.CONTROLLER_EPOCH, f"holds {text[:_SHOWN_BYTES]!r}, not a number", _RESTORE)
    epoch = int(text)
    if epoch >= INT32_MAX:
        raise ZnodeError(paths.CONTROLLER_EPOCH, f"holds {epoch}, which no epoch can follow", _RESTORE)
    return epoch


def encode_controller_epoch(epoch: int) -> bytes:
    return b"%d" % epoch


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """`/migration`: how far a KRaft controller brought the migration; all -1 when nothing was done yet."""

    kraft_controller_id: int
    kraft_controller_epoch: int
    kraft_metadata_offset: int
    kraft_metadata_epoch: int
    version: int


_migration = msgspec.json.Decoder(Migration)
_MIGRATION_REMEDY: Final = (
    "delete it if no migration was under way (it is made anew), or restore it from a ZooKeeper backup"
)


def decode_migration(data: bytes | None) -> Migration:
    """Raises ZnodeError also for no data (a znode that a tool created) and for a version other than 0."""
    value = decode_json(_migration, paths.MIGRATION, data, _MIGRATION_REMEDY)
    if value.version != 0:
        raise ZnodeError(paths.MIGRATION, f"has version {value.version}, only 0 is known", _MIGRATION_REMEDY)
    return value


def encode_migration(
    *,
    kraft_controller_id: int,
    kraft_controller_epoch: int,
    kraft_metadata_offset: int,
    kraft_metadata_epoch: int,
) -> bytes:
    return encode_json(
        {
            "version": 0,
            "kraft_controller_id": kraft_controller_id,
            "kraft_controller_epoch": kraft_controller_epoch,
            "kraft_metadata_offset": kraft_metadata_offset,
            "kraft_metadata_epoch": kraft_metadata_epoch,
        }
    )


class SupportedVersions(msgspec.Struct, frozen=True):
    """Range of a feature that a broker supports, both ends included."""

    min_version: int
    max_version: int


class BrokerRegistration(msgspec.Struct, frozen=True, kw_only=True):
    """`/brokers/ids/N`, JSON versions 1 to 5.

    `host` and `port` are those of the first PLAINTEXT endpoint, else None and -1. Version 1 has no
    `endpoints`, versions before 3 no `rack`, before 4 no `listener_security_protocol_map`, before 5 no
    `features`.
    """

    version: int
    host: str | None = None
    port: int = -1
    jmx_port: int = -1
    timestamp_ms: int = msgspec.field(name="timestamp", default=-1)
    endpoints: list[str] = []
    rack: str | None = None
    listener_security_protocol_map: dict[str, str] = {}
    features: dict[str, SupportedVersions] = {}


_broker_registration = msgspec.json.Decoder(BrokerRegistration, strict=False)


def decode_broker_registration(broker_id: int, data: bytes | None) -> BrokerRegistration:
    path = paths.broker_id(broker_id)
    value = decode_json(_broker_registration, path, data, f"restart broker {broker_id}, which writes it anew")
    if value.version < 1:
        raise ZnodeError(path, f"has version {value.version}, known are 1 and later", "check who wrote it")
    return value


def encode_broker_registration(value: BrokerRegistration) -> bytes:
    content: dict[str, object] = {"version": value.version, "host": value.host, "port": value.port}
    content |= {"jmx_port": value.jmx_port, "timestamp": str(value.timestamp_ms)}
    if value.version >= 2:
        content["endpoints"] = value.endpoints
    if value.version >= 3 and value.rack is not None:
        content["rack"] = value.rack
    if value.version >= 4:
        content["listener_security_protocol_map"] = value.listener_security_protocol_map
    if value.version >= 5:
        content["features"] = value.features
    return encode_json(content)


class TopicAssignment(msgspec.Struct, frozen=True, kw_only=True):
    """`/brokers/topics/T`, JSON versions 1 to 3.

    `partitions` maps each partition to its replicas, during a reassignment all of them (target and leaving
    ones); `adding_replicas` and `removing_replicas` hold only the partitions that are being reassigned.
    `topic_id` is Kafka's 22-character text, None before version 3 or when none was given out.
    """

    version: int = 3
    topic_id: str | None = None
    partitions: dict[int, list[int]] = {}
    adding_replicas: dict[int, list[int]] = {}
    removing_replicas: dict[int, list[int]] = {}


_topic_assignment = msgspec.json.Decoder(TopicAssignment)


def decode_topic_assignment(topic: str, data: bytes | None) -> TopicAssignment:
    return decode_json(_topic_assignment, paths.topic(topic), data)


def encode_topic_assignment(value: TopicAssignment) -> bytes:
    """Empty lists are left out of `adding_replicas` and `removing_replicas`, as Kafka does."""
    content: dict[str, object] = {"version": value.version}
    if value.version >= 3 and value.topic_id is not None:
        content["topic_id"] = value.topic_id
    content["partitions"] = value.partitions
    if value.version >= 2:
        content["adding_replicas"] = {p: r for p, r in value.adding_replicas.items() if r}
        content["removing_replicas"] = {p: r for p, r in value.removing_replicas.items() if r}
    return encode_json(content)


class PartitionState(msgspec.Struct, frozen=True, gc=False):
    """`/brokers/topics/T/partitions/N/state`. The partition epoch is the znode's version and not in the JSON.

    `leader` -1 is no leader; `leader_recovery_state` 0 is RECOVERED, 1 RECOVERING.
    """

    leader: int
    leader_epoch: int
    controller_epoch: int
    isr: list[int]
    leader_recovery_state: int = 0


_partition_state = msgspec.json.Decoder(PartitionState)


def decode_partition_state(topic: str, partition: int, data: bytes | None) -> PartitionState:
    if data:
        try:
            return _partition_state.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # The slow way below says what is wrong, with the path.
    return decode_json(_partition_state, paths.topic_partition_state(topic, partition), data)


def encode_partition_state(value: PartitionState) -> bytes:
    isr = ",".join(map(str, value.isr))
    recovery = f',"leader_recovery_state":{value.leader_recovery_state}' if value.leader_recovery_state else ""
    return (
        f'{{"version":1,"leader":{value.leader},"leader_epoch":{value.leader_epoch},'
        f'"controller_epoch":{value.controller_epoch},"isr":[{isr}]{recovery}}}'
    ).encode()


class _EntityConfig(msgspec.Struct):
    config: dict[str, str] = {}


_entity_config = msgspec.json.Decoder(_EntityConfig)


def decode_config(path: str, data: bytes | None) -> dict[str, str]:
    """Config of the entity at `path` (under /config); empty for a znode without data.

    Kafka reads broken JSON as no config at all, and would write that back; here it raises ZnodeError.
    """
    return decode_json(_entity_config, path, data).config if data else {}


def encode_config(config: Mapping[str, str]) -> bytes:
    return encode_json({"version": 1, "config": config})


class _ConfigChange(msgspec.Struct):
    version: int
    entity_path: str | None = None
    entity_type: str | None = None
    entity_name: str | None = None


_config_change = msgspec.json.Decoder(_ConfigChange)


def decode_config_change(path: str, data: bytes | None) -> str:
    """Entity path (`users/u/clients/c`, names escaped) of the notification at `path`; both JSON versions."""
    value = decode_json(_config_change, path, data, "delete it; it only tells brokers to read a config again")
    if value.entity_path is not None:
        return value.entity_path
    return f"{value.entity_type}/{value.entity_name}"


def encode_config_change(entity_path: str) -> bytes:
    return encode_json({"version": 2, "entity_path": entity_path})


class ProducerIdBlock(msgspec.Struct, frozen=True, kw_only=True):
    """`/latest_producer_id_block`: the last block given out, `block_end` included."""

    broker: int
    block_start: int
    block_end: int


_producer_id_block = msgspec.json.Decoder(ProducerIdBlock, strict=False)


_PRODUCER_IDS_REMEDY: Final = (
    "restore it from a ZooKeeper backup, or set block_start and block_end (each a text) above every producer id in use;"
    " delete it only if no producer was ever idempotent or transactional"
)


def decode_producer_id_block(data: bytes | None) -> ProducerIdBlock | None:
    """None when no block was given out yet: then the znode has no data, which is not the same as empty data.

    To begin anew after data was lost would hand out ids that producers still use.
    """
    if data is None:
        return None
    path = paths.PRODUCER_ID_BLOCK
    value = decode_json(_producer_id_block, path, data, _PRODUCER_IDS_REMEDY)
    if not 0 <= value.block_start <= value.block_end < INT64_MAX:
        raise ZnodeError(path, f"holds no block: {value.block_start} to {value.block_end}", _PRODUCER_IDS_REMEDY)
    return value


def encode_producer_id_block(value: ProducerIdBlock) -> bytes:
    block = {"block_start": str(value.block_start), "block_end": str(value.block_end)}
    return encode_json({"version": 1, "broker": value.broker, **block})


class ClusterId(msgspec.Struct, frozen=True):
    """`/cluster/id`; the version is a string here."""

    id: str


_cluster_id = msgspec.json.Decoder(ClusterId)


def decode_cluster_id(data: bytes | None) -> str:
    return decode_json(_cluster_id, paths.CLUSTER_ID, data).id


def encode_cluster_id(cluster_id: str) -> bytes:
    return encode_json({"version": "1", "id": cluster_id})


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """`/feature`: finalized levels of each feature, `status` 0 disabled or 1 enabled."""

    version: int
    status: int
    features: dict[str, dict[str, int]]


_feature = msgspec.json.Decoder(Feature)


def decode_feature(data: bytes | None) -> Feature:
    return decode_json(_feature, paths.FEATURE, data)


def encode_feature(value: Feature) -> bytes:
    return encode_json(value)
