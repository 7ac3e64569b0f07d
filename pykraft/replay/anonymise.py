"""Takes out of metadata records what names somebody: topics, users, hosts, racks, tokens, and every secret.

Each name gets a pseudonym that is the same all through a log, numbered as they come. Names of Kafka's own topics,
listener names and settings that are numbers or words of Kafka's own stay, as a log without them explains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from pykraft.protocol._message import Message

INTERNAL_TOPICS: Final = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})
_HARMLESS: Final = re.compile(r"-?\d+(\.\d+)?|true|false")
# Settings whose values are words of Kafka's own.
_OPEN_CONFIGS: Final = frozenset({
    "cleanup.policy", "compression.type", "message.timestamp.type", "message.format.version",
    "min.insync.replicas", "leader.replication.throttled.replicas", "follower.replication.throttled.replicas",
})  # fmt: skip
_TOPIC, _BROKER, _BROKER_LOGGER = 2, 4, 8
_ACL_TOPIC, _ACL_CLUSTER = 2, 4


class Names:
    """The pseudonyms given so far."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def rewrite(self, message: Message) -> None:
        """Take the names out of a record."""
        rewrite = _REWRITES.get(type(message).__name__)
        if rewrite is not None:
            rewrite(self, message)

    def of(self, kind: str, name: str) -> str:
        """The pseudonym of a name of one kind, such as topic-3."""
        given = self._given.get((kind, name))
        if given is None:
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            given = self._given[kind, name] = f"{kind}-{number}"
        return given

    def topic(self, name: str) -> str:
        return name if name in INTERNAL_TOPICS else self.of("topic", name)

    def principal(self, text: str) -> str:
        kind, colon, name = text.partition(":")
        return f"{kind}:{self.of('user', name)}" if colon and name not in ("*", "ANONYMOUS") else text

    def _topic(self, record: Any) -> None:
        record.name = self.topic(record.name)

    def _registration(self, record: Any) -> None:
        for endpoint in record.end_points:
            endpoint.host = self.of("host", endpoint.host)
        if getattr(record, "rack", None):
            record.rack = self.of("rack", record.rack)

    def _voters(self, record: Any) -> None:
        for voter in record.voters:
            for endpoint in voter.endpoints:
                endpoint.host = self.of("host", endpoint.host)

    def _config(self, record: Any) -> None:
        if record.resource_type == _TOPIC:
            record.resource_name = self.topic(record.resource_name)
        elif record.resource_type not in (_BROKER, _BROKER_LOGGER):
            record.resource_name = self.of("resource", record.resource_name)
        if record.value is not None and record.name not in _OPEN_CONFIGS and not _HARMLESS.fullmatch(record.value):
            record.value = self.of("value", record.value)

    def _quota(self, record: Any) -> None:
        for entity in record.entity:
            if entity.entity_name is not None:
                entity.entity_name = self.of(entity.entity_type, entity.entity_name)

    def _acl(self, record: Any) -> None:
        if record.resource_type == _ACL_TOPIC and record.resource_name != "*":
            record.resource_name = self.topic(record.resource_name)
        elif record.resource_type != _ACL_CLUSTER and record.resource_name != "*":
            record.resource_name = self.of("resource", record.resource_name)
        record.principal = self.principal(record.principal)
        if record.host != "*":
            record.host = self.of("host", record.host)

    def _scram(self, record: Any) -> None:
        record.name = self.of("user", record.name)
        for secret in ("salt", "stored_key", "server_key"):
            if hasattr(record, secret):
                setattr(record, secret, bytes(len(getattr(record, secret))))

    def _token(self, record: Any) -> None:
        record.token_id = self.of("token", record.token_id)
        if hasattr(record, "owner"):
            record.owner, record.requester = self.principal(record.owner), self.principal(record.requester)
            record.renewers = [self.principal(renewer) for renewer in record.renewers]


_REWRITES: Final[dict[str, Callable[[Names, Any], None]]] = {
    "TopicRecord": Names._topic,
    "RegisterBrokerRecord": Names._registration,
    "RegisterControllerRecord": Names._registration,
    "VotersRecord": Names._voters,
    "ConfigRecord": Names._config,
    "ClientQuotaRecord": Names._quota,
    "AccessControlEntryRecord": Names._acl,
    "UserScramCredentialRecord": Names._scram,
    "RemoveUserScramCredentialRecord": Names._scram,
    "DelegationTokenRecord": Names._token,
    "RemoveDelegationTokenRecord": Names._token,
}
