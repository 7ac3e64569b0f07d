"""What `pykraft lab migrate` puts into a cluster before the migration, does to it afterwards, and expects of both.

Everything goes through the brokers by Kafka's own AdminClient. What must come out is told in the facts of
`pykraft.lab.facts`; None stands for a fact that must not be there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from pykraft.lab.admin import AdminShell
from pykraft.lab.errors import LabError
from pykraft.lab.releases import ACLS, SCRAM, TOKENS

WORKLOAD_TOPIC = "lab-workload"
WORKLOAD_PARTITIONS = 6
FILLER_PARTITIONS = 25
REASSIGNMENT_TIMEOUT_S = 60.0
RENEW_PERIOD_MS = 3_600_000
ALICE = ("alice", "alice-pw")

Expected = dict[str, object | None]


@dataclass(slots=True)
class Scenario:
    """The steps for a cluster of broker ids 0 … `brokers`-1, with about `partitions` partitions to move."""

    brokers: int
    partitions: int
    expected: Expected = field(default_factory=dict)
    gone_topics: set[str] = field(default_factory=set)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    topics: set[str] = field(default_factory=set)

    @property
    def security(self) -> list[str]:
        """Which of SCRAM users, ACLs and delegation tokens take part."""
        return [kind for kind in (SCRAM, ACLS, TOKENS) if kind not in self.left_out]

    @property
    def replication(self) -> int:
        """Replicas of an ordinary topic."""
        return min(2, self.brokers)

    @property
    def workload_replication(self) -> int:
        """Replicas of the topic the clients work on; one of them may be down without a produce being refused."""
        return min(3, self.brokers)

    def make_before(self, shell: AdminShell) -> None:
        """Topics, configs, quotas, SCRAM users and ACLs, while ZooKeeper still rules; tokens apart. Raises LabError."""
        self._create(shell, self._topics())
        self._configs(
            shell,
            [
                {"type": "broker", "name": "", "set": {"log.retention.ms": "360000000"}},
                {"type": "broker", "name": "0", "set": {"log.cleaner.threads": "2"}},
            ],
        )
        self._quotas(
            shell,
            [
                ({"user": "alice"}, {"producer_byte_rate": 1024, "consumer_byte_rate": 2048}),
                ({"user": None}, {"request_percentage": 50}),
                ({"client-id": "app 1"}, {"producer_byte_rate": 4096}),
                ({"user": "alice", "client-id": "app 1"}, {"producer_byte_rate": 8192}),
                ({"ip": "127.0.0.9"}, {"connection_creation_rate": 1000}),
            ],
        )
        if SCRAM in self.security:
            self._make_scram(shell)
        if ACLS in self.security:
            self._make_acls(shell)

    def _make_scram(self, shell: AdminShell) -> None:
        shell.call(
            "alter_scram",
            entries=[
                {"user": "alice", "mechanism": "SCRAM-SHA-256", "password": ALICE[1]},
                {"user": "alice", "mechanism": "SCRAM-SHA-512", "password": "alice-pw", "iterations": 8192},
                {"user": "bob@EXAMPLE.COM", "mechanism": "SCRAM-SHA-256", "password": "bob-pw"},
            ],
        )

    def _make_acls(self, shell: AdminShell) -> None:
        shell.call(
            "create_acls",
            acls=[
                ["TOPIC", "orders", "LITERAL", "User:alice", "*", "READ", "ALLOW"],
                ["TOPIC", "pay", "PREFIXED", "User:bob", "10.0.0.1", "WRITE", "DENY"],
                ["CLUSTER", "kafka-cluster", "LITERAL", "User:alice", "*", "ALTER_CONFIGS", "ALLOW"],
                ["TRANSACTIONAL_ID", "tx-", "PREFIXED", "User:alice", "*", "WRITE", "ALLOW"],
            ],
        )
        self.expected |= {
            "acl/literal topic orders/User:alice from */allow read": True,
            "acl/prefixed topic pay/User:bob from 10.0.0.1/deny write": True,
        }

    def make_tokens(self, alice: AdminShell) -> None:
        """Two delegation tokens of the user who called `alice` belongs to. Raises LabError."""
        for name in ("kept", "expired"):
            self.tokens[name] = alice.call("create_token", renewers=["User:carol"])
            self.expected[f"token/{self.tokens[name]['token_id']}/owner"] = "User:alice"

    def change_tokens(self, alice: AdminShell) -> None:
        """Create a token, renew one and expire one, now that KRaft rules. Raises LabError."""
        created = alice.call("create_token", renewers=["User:bob"])
        self.expected[f"token/{created['token_id']}/renewers"] = ["User:bob"]
        kept = self.tokens["kept"]
        expiry = alice.call("renew_token", hmac=kept["hmac"], period_ms=RENEW_PERIOD_MS)
        times = [kept["issue_timestamp"], kept["max_timestamp"], expiry]
        self.expected[f"token/{kept['token_id']}/times"] = times
        expired = self.tokens["expired"]
        alice.call("expire_token", hmac=expired["hmac"], period_ms=-1)
        self.expected[f"token/{expired['token_id']}/owner"] = None

    def _topics(self) -> list[dict[str, Any]]:
        replication = self.replication
        topics: list[dict[str, Any]] = [
            {
                "name": WORKLOAD_TOPIC,
                "partitions": WORKLOAD_PARTITIONS,
                "replication_factor": self.workload_replication,
                "configs": {"min.insync.replicas": str(max(1, self.workload_replication - 1))},
            },
            {
                "name": "orders",
                "partitions": 6,
                "replication_factor": replication,
                "configs": {"retention.ms": "86400000", "cleanup.policy": "compact"},
            },
            {"name": "under_score", "partitions": 3, "replication_factor": replication},
            {
                "name": "payments.v1",
                "assignment": [[(first + step) % self.brokers for step in range(replication)] for first in range(3)],
            },
            {"name": "doomed", "partitions": 2, "replication_factor": replication},
        ]
        left = self.partitions - 20
        while left > 0:
            count = min(FILLER_PARTITIONS, left)
            name = f"filler-{len(topics):04}"
            topics.append({"name": name, "partitions": count, "replication_factor": replication})
            left -= count
        self.expected |= {
            "config/topics/orders/retention.ms": "86400000",
            "config/topics/orders/cleanup.policy": "compact",
        }
        return topics

    def change(self, shell: AdminShell) -> None:
        """Create, alter and delete something of every kind but tokens, now that KRaft rules. Raises LabError."""
        created = {
            "name": "during-dual-write",
            "partitions": 3,
            "replication_factor": self.replication,
            "configs": {"retention.ms": "1000000"},
        }
        self._create(shell, [created])
        self.expected["config/topics/during-dual-write/retention.ms"] = "1000000"
        shell.call("create_partitions", name="orders", count=8)
        self._configs(
            shell,
            [
                {
                    "type": "topic",
                    "name": "orders",
                    "set": {"max.message.bytes": "2000000"},
                    "delete": ["cleanup.policy"],
                },
                {"type": "broker", "name": "0", "set": {"log.cleaner.threads": "1"}},
                {"type": "broker", "name": "", "delete": ["log.retention.ms"]},
            ],
        )
        self._quotas(shell, [({"client-id": "new-client"}, {"producer_byte_rate": 9})])
        self._quotas(shell, [({"user": "alice"}, {"consumer_byte_rate": None})])
        if SCRAM in self.security:
            self._change_scram(shell)
        if ACLS in self.security:
            self._change_acls(shell)
        self._delete(shell, "doomed")
        if self.brokers >= 3:
            self._reassign(shell, "payments.v1", 0, [1, 2])

    def change_hybrid(self, shell: AdminShell) -> None:
        """Create, alter and delete while some brokers are in KRaft mode and the others are not. Raises LabError."""
        self._create(shell, [{"name": "during-hybrid", "partitions": 3, "replication_factor": self.replication}])
        self._configs(shell, [{"type": "topic", "name": "orders", "set": {"max.message.bytes": "3000000"}}])
        self._quotas(shell, [({"client-id": "new-client"}, {"producer_byte_rate": 10})])
        self._delete(shell, "during-dual-write")

    def change_final(self, shell: AdminShell) -> None:
        """Create and alter when ZooKeeper is gone. Raises LabError."""
        self._create(shell, [{"name": "final", "partitions": 3, "replication_factor": self.replication}])
        self._configs(shell, [{"type": "topic", "name": "final", "set": {"retention.ms": "2000000"}}])

    def _create(self, shell: AdminShell, topics: list[dict[str, Any]]) -> None:
        ids = shell.call("create_topics", topics=topics)
        self.topics |= ids.keys()
        self.expected |= {f"topic/{name}/id": topic_id for name, topic_id in ids.items()}

    def _delete(self, shell: AdminShell, topic: str) -> None:
        shell.call("delete_topics", names=[topic])
        self.topics.remove(topic)
        self.gone_topics.add(topic)
        for path in [path for path in self.expected if _is_of_topic(path, topic)]:
            del self.expected[path]

    def _change_scram(self, shell: AdminShell) -> None:
        shell.call(
            "alter_scram",
            entries=[
                {"user": "carol", "mechanism": "SCRAM-SHA-512", "password": "carol-pw"},
                {"user": "bob@EXAMPLE.COM", "mechanism": "SCRAM-SHA-256"},
            ],
        )
        self.expected["scram/bob@EXAMPLE.COM/SCRAM-SHA-256"] = None

    def _change_acls(self, shell: AdminShell) -> None:
        shell.call("create_acls", acls=[["GROUP", "*", "LITERAL", "User:*", "*", "READ", "ALLOW"]])
        shell.call("delete_acls", acls=[["TOPIC", "pay", "PREFIXED", "User:bob", "10.0.0.1", "WRITE", "DENY"]])
        self.expected |= {
            "acl/literal group */User:* from */allow read": True,
            "acl/prefixed topic pay/User:bob from 10.0.0.1/deny write": None,
        }

    def _configs(self, shell: AdminShell, resources: list[dict[str, Any]]) -> None:
        shell.call("alter_configs", resources=resources)
        for resource in resources:
            prefix = f"config/{resource['type']}s/{resource['name'] or '<default>'}"
            self.expected |= {f"{prefix}/{key}": value for key, value in resource.get("set", {}).items()}
            self.expected |= dict.fromkeys(f"{prefix}/{key}" for key in resource.get("delete", []))

    def _quotas(self, shell: AdminShell, entries: list[tuple[dict[str, str | None], dict[str, int | None]]]) -> None:
        shell.call(
            "alter_quotas",
            entries=[
                {
                    "entity": entity,
                    "set": {key: value for key, value in quotas.items() if value is not None},
                    "delete": [key for key, value in quotas.items() if value is None],
                }
                for entity, quotas in entries
            ],
        )
        for entity, quotas in entries:
            name = ",".join(f"{kind}={value or '<default>'}" for kind, value in sorted(entity.items()))
            for key, value in quotas.items():
                self.expected[f"quota/{name}/{key}"] = None if value is None else float(value)

    def _reassign(self, shell: AdminShell, topic: str, partition: int, replicas: list[int]) -> None:
        shell.call("reassign", partitions=[{"topic": topic, "partition": partition, "replicas": replicas}])
        deadline = time.monotonic() + REASSIGNMENT_TIMEOUT_S
        while left := shell.call("list_reassignments"):
            if time.monotonic() > deadline:
                raise LabError(f"the reassignment has not ended within {REASSIGNMENT_TIMEOUT_S:.0f} s: {left}")
            time.sleep(0.2)
        self.expected[f"topic/{topic}/{partition}/replicas"] = replicas

    def missed(self, facts: dict[str, object], source: str) -> list[str]:
        """One sentence for each expectation that `facts` do not meet."""
        found = [
            f"{path}: {source} has {facts.get(path)!r}, expected {value!r}"
            for path, value in self.expected.items()
            if facts.get(path) != value
        ]
        found += [
            f"{path}: {source} still has this of a deleted topic"
            for path in facts
            for topic in self.gone_topics
            if _is_of_topic(path, topic)
        ]
        return found


def _is_of_topic(path: str, topic: str) -> bool:
    return path.startswith((f"topic/{topic}/", f"config/topics/{topic}/"))
