"""Which znode a record of the copy came from that no log can hold: a number or a text beyond what its field takes."""

from __future__ import annotations

from collections.abc import Iterable

from pykraft.image.model import ResourceType as ConfigType
from pykraft.migration import client_entities
from pykraft.protocol._message import Message
from pykraft.protocol.errors import EncodeError
from pykraft.protocol.record_frame import ApiMessageAndVersion, encode_record
from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord
from pykraft.protocol.uuids import Uuid
from pykraft.zookeeper import paths
from pykraft.zookeeper.acl_znodes import AclResource, ResourceType
from pykraft.zookeeper.paths import PatternType
from pykraft.zookeeper.znodes import ZnodeError


def unwritable(batch: Iterable[ApiMessageAndVersion], error: EncodeError) -> ZnodeError | EncodeError:
    """What to raise for a batch of whole entities that gave `error`: it names the first znode that cannot be held."""
    topics: dict[Uuid, str] = {}
    for message, version in batch:
        if isinstance(message, TopicRecord):
            topics[message.topic_id] = message.name
        try:
            encode_record(message, version)
        except EncodeError as found:
            path = znode_of(message, topics)
            if path is not None:
                return ZnodeError(path, f"holds what no metadata record can ({found})", "correct it")
    return error


def znode_of(message: Message, topics: dict[Uuid, str]) -> str | None:
    """The path of the znode that a record of the copy was made from; `topics` are the names of its topics by id."""
    match message:
        case TopicRecord():
            return paths.topic(message.name)
        case PartitionRecord():
            name = topics[message.topic_id]
            return f"{paths.topic(name)} or {paths.topic_partition_state(name, message.partition_id)}"
        case ConfigRecord() if message.resource_type == ConfigType.TOPIC:
            return paths.topic_config(message.resource_name)
        case ConfigRecord():
            return f"{paths.CONFIG_BROKERS}/{message.resource_name or paths.DEFAULT_ENTITY}"
        case ClientQuotaRecord():
            return client_entities.entity_path(tuple((each.entity_type, each.entity_name) for each in message.entity))
        case UserScramCredentialRecord():
            return paths.user_config(message.name)
        case ProducerIdsRecord():
            return paths.PRODUCER_ID_BLOCK
        case AccessControlEntryRecord():
            pattern = PatternType(message.pattern_type)
            return AclResource(ResourceType(message.resource_type), message.resource_name, pattern).path
        case DelegationTokenRecord():
            return paths.delegation_token(message.token_id)
    return None
