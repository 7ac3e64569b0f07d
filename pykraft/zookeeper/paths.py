"""Every znode path of a Kafka cluster, and the escaping of names in them.

Source: core kafka.zk.ZkData, clients org.apache.kafka.common.utils.Sanitizer.
"""

import enum
from typing import Final
from urllib.parse import quote, unquote_plus

CONTROLLER: Final = "/controller"
CONTROLLER_EPOCH: Final = "/controller_epoch"
MIGRATION: Final = "/migration"
CLUSTER_ID: Final = "/cluster/id"
FEATURE: Final = "/feature"

BROKER_IDS: Final = "/brokers/ids"
BROKER_SEQID: Final = "/brokers/seqid"
BROKER_TOPICS: Final = "/brokers/topics"

CONFIG: Final = "/config"
CONFIG_TOPICS: Final = "/config/topics"
CONFIG_BROKERS: Final = "/config/brokers"
CONFIG_USERS: Final = "/config/users"
CONFIG_CLIENTS: Final = "/config/clients"
CONFIG_IPS: Final = "/config/ips"
CONFIG_CHANGES: Final = "/config/changes"
CONFIG_CHANGE_PREFIX: Final = "/config/changes/config_change_"

PRODUCER_ID_BLOCK: Final = "/latest_producer_id_block"

ACLS_LITERAL: Final = "/kafka-acl"
ACLS_PREFIXED: Final = "/kafka-acl-extended/prefixed"
ACL_CHANGES_LITERAL: Final = "/kafka-acl-changes"
ACL_CHANGES_EXTENDED: Final = "/kafka-acl-extended-changes"
ACL_CHANGE_PREFIX_LITERAL: Final = "/kafka-acl-changes/acl_changes_"
ACL_CHANGE_PREFIX_EXTENDED: Final = "/kafka-acl-extended-changes/acl_changes_"

DELEGATION_TOKENS: Final = "/delegation_token/tokens"
DELEGATION_TOKEN_CHANGES: Final = "/delegation_token/token_changes"
DELEGATION_TOKEN_CHANGE_PREFIX: Final = "/delegation_token/token_changes/token_change_"

DELETE_TOPICS: Final = "/admin/delete_topics"
REASSIGN_PARTITIONS: Final = "/admin/reassign_partitions"
PREFERRED_REPLICA_ELECTION: Final = "/admin/preferred_replica_election"

ISR_CHANGE_NOTIFICATION: Final = "/isr_change_notification"
LOG_DIR_EVENT_NOTIFICATION: Final = "/log_dir_event_notification"
CONSUMERS: Final = "/consumers"

PERSISTENT_PATHS: Final = (
    CONSUMERS,
    BROKER_IDS,
    BROKER_TOPICS,
    CONFIG_CHANGES,
    DELETE_TOPICS,
    BROKER_SEQID,
    ISR_CHANGE_NOTIFICATION,
    PRODUCER_ID_BLOCK,
    LOG_DIR_EVENT_NOTIFICATION,
    CONFIG_TOPICS,
    CONFIG_CLIENTS,
    CONFIG_USERS,
    CONFIG_BROKERS,
    CONFIG_IPS,
)
"""What brokers and a migrating controller create at start, empty, with its parents."""

DEFAULT_ENTITY: Final = "<default>"
"""Name of the default entity as a path element; it is never escaped."""


def sanitize(name: str) -> str:
    """Escape a user, client id or principal for use as a path element (`bob@X` becomes `bob%40X`)."""
    return quote(name, safe="").replace("~", "%7E")


def desanitize(name: str) -> str:
    """The inverse of `sanitize`; like Kafka it also reads a `+` as a space."""
    return unquote_plus(name)


def broker_id(broker: int) -> str:
    return f"{BROKER_IDS}/{broker}"


def topic(name: str) -> str:
    return f"{BROKER_TOPICS}/{name}"


def topic_partitions(name: str) -> str:
    return f"{BROKER_TOPICS}/{name}/partitions"


def topic_partition(name: str, partition: int) -> str:
    return f"{BROKER_TOPICS}/{name}/partitions/{partition}"


def topic_partition_state(name: str, partition: int) -> str:
    return f"{BROKER_TOPICS}/{name}/partitions/{partition}/state"


def delete_topic(name: str) -> str:
    return f"{DELETE_TOPICS}/{name}"


def topic_config(name: str) -> str:
    return f"{CONFIG_TOPICS}/{name}"


def broker_config(broker: int | None) -> str:
    """Dynamic config of one broker, or with None of all of them."""
    return f"{CONFIG_BROKERS}/{DEFAULT_ENTITY if broker is None else broker}"


def _entity(name: str | None) -> str:
    return DEFAULT_ENTITY if name is None else sanitize(name)


def entity_name(element: str) -> str | None:
    """Name of a user, client id or ip from its path element; None for the default entity."""
    return None if element == DEFAULT_ENTITY else desanitize(element)


def user_config(user: str | None) -> str:
    """Quotas and SCRAM credentials of a user; None is the default user."""
    return f"{CONFIG_USERS}/{_entity(user)}"


def user_clients(user: str | None) -> str:
    """Parent of the quotas of a user's clients."""
    return f"{user_config(user)}/clients"


def user_client_config(user: str | None, client: str | None) -> str:
    """Quotas of a client id of a user; None is the default of either."""
    return f"{user_clients(user)}/{_entity(client)}"


def client_config(client: str | None) -> str:
    """Quotas of a client id; None is the default client."""
    return f"{CONFIG_CLIENTS}/{_entity(client)}"


def ip_config(ip: str | None) -> str:
    """Connection quota of an address; None is the default. Addresses are not escaped."""
    return f"{CONFIG_IPS}/{DEFAULT_ENTITY if ip is None else ip}"


def config_entity_path(path: str) -> str:
    """What a config change notification calls the entity whose config is at `path` (`users/u/clients/c`)."""
    return path.removeprefix(CONFIG + "/")


class PatternType(enum.IntEnum):
    """Pattern types that have a store in ZooKeeper; values are Kafka's codes."""

    LITERAL = 3
    PREFIXED = 4


def acl_store(pattern: PatternType) -> str:
    """Root of the store of a pattern type."""
    return ACLS_LITERAL if pattern is PatternType.LITERAL else ACLS_PREFIXED


def acl_resource_type(pattern: PatternType, resource_type: str) -> str:
    """Parent of the resources of one type; `resource_type` in znode spelling (`TransactionalId`)."""
    return f"{acl_store(pattern)}/{resource_type}"


def acl_resource(pattern: PatternType, resource_type: str, name: str) -> str:
    """Access entries of one resource. Names are not escaped."""
    return f"{acl_store(pattern)}/{resource_type}/{name}"


def acl_change_prefix(pattern: PatternType) -> str:
    """Path to which ZooKeeper appends the counter for a change notification."""
    return ACL_CHANGE_PREFIX_LITERAL if pattern is PatternType.LITERAL else ACL_CHANGE_PREFIX_EXTENDED


def delegation_token(token_id: str) -> str:
    return f"{DELEGATION_TOKENS}/{token_id}"


def parent(path: str) -> str:
    """Path of the parent; "/" for a top-level znode."""
    return path.rpartition("/")[0] or "/"


def ancestors(path: str) -> list[str]:
    """Paths between the root and `path`, neither included, outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(2, len(parts))]
