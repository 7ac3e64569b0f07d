"""What the znode at a path is, and its content as a typed value."""

from __future__ import annotations

from typing import NamedTuple

from pykraft.zookeeper import acl_znodes, znodes


class TypedZnode(NamedTuple):
    """`kind` names the content as Kafka's classes do; `value` is its typed content, None where there is none."""

    kind: str
    value: object


def typed(path: str, data: bytes | None) -> TypedZnode:
    """The content of the znode at `path`; kind "" for one that Kafka makes as a mere directory or does not know.

    Raises ZnodeError for content that Kafka, or the migration, cannot accept.
    """
    match path.strip("/").split("/"):
        case ["controller"]:
            return TypedZnode("Controller", znodes.decode_controller(data))
        case ["controller_epoch"]:
            return TypedZnode("ControllerEpoch", znodes.decode_controller_epoch(data))
        case ["migration"]:
            return TypedZnode("Migration", znodes.decode_migration(data))
        case ["cluster", "id"]:
            return TypedZnode("ClusterId", znodes.decode_cluster_id(data))
        case ["feature"]:
            return TypedZnode("Feature", znodes.decode_feature(data))
        case ["latest_producer_id_block"]:
            return TypedZnode("ProducerIdBlock", znodes.decode_producer_id_block(data))
        case ["brokers", "ids", id_] if id_.isdecimal():
            return TypedZnode("BrokerRegistration", znodes.decode_broker_registration(int(id_), data))
        case ["brokers", "topics", topic]:
            return TypedZnode("TopicAssignment", znodes.decode_topic_assignment(topic, data))
        case ["brokers", "topics", topic, "partitions", number, "state"] if number.isdecimal():
            return TypedZnode("PartitionState", znodes.decode_partition_state(topic, int(number), data))
        case parts:
            return _typed_below(path, parts, data)


def _typed_below(path: str, parts: list[str], data: bytes | None) -> TypedZnode:
    match parts:
        case ["config", "changes", _]:
            return TypedZnode("ConfigChange", znodes.decode_config_change(path, data))
        case ["config", "topics" | "brokers" | "clients" | "users" | "ips", _]:
            return TypedZnode("Config", znodes.decode_config(path, data))
        case ["config", "users", _, "clients", _]:
            return TypedZnode("Config", znodes.decode_config(path, data))
        case ["kafka-acl", _, _, *_] | ["kafka-acl-extended", "prefixed", _, _, *_]:
            return TypedZnode("Acls", acl_znodes.decode_acl_entries(path, data))
        case ["kafka-acl-changes" | "kafka-acl-extended-changes", _]:
            return TypedZnode("AclChange", acl_znodes.decode_acl_change(path, data))
        case ["delegation_token", "tokens", token]:
            return TypedZnode("DelegationToken", acl_znodes.decode_delegation_token(token, data))
        case ["admin", "delete_topics", _]:
            return TypedZnode("DeleteTopic", None)
        case ["admin", "reassign_partitions"]:
            return TypedZnode("ReassignPartitions", znodes.decode_text(path, data))
        case _:
            return TypedZnode("", znodes.decode_text(path, data) if data else None)
