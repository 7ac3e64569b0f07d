"""What each Kafka release offers on its controller listener: APIs with their versions, and features.

Source: ApiVersions answers of the released jars; clients/src/main/resources/common/message/*.json ("listeners").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pykraft.image.metadata_version import FEATURE_NAME
from pykraft.protocol.api import ApiKey

KRAFT_VERSION: Final = "kraft.version"


@dataclass(frozen=True, slots=True)
class Release:
    """One release: `apis` gives (min, max) of each API, `features` (name, min, max) as the controller lists them."""

    apis: dict[ApiKey, tuple[int, int]]
    features: tuple[tuple[str, int, int], ...]


KAFKA_3_9: Final = Release(
    apis={
        ApiKey.FETCH: (0, 17),
        ApiKey.CONTROLLED_SHUTDOWN: (0, 3),
        ApiKey.SASL_HANDSHAKE: (0, 1),
        ApiKey.API_VERSIONS: (0, 4),
        ApiKey.CREATE_TOPICS: (0, 7),
        ApiKey.DELETE_TOPICS: (0, 6),
        ApiKey.DESCRIBE_ACLS: (0, 3),
        ApiKey.CREATE_ACLS: (0, 3),
        ApiKey.DELETE_ACLS: (0, 3),
        ApiKey.DESCRIBE_CONFIGS: (0, 4),
        ApiKey.ALTER_CONFIGS: (0, 2),
        ApiKey.SASL_AUTHENTICATE: (0, 2),
        ApiKey.CREATE_PARTITIONS: (0, 3),
        ApiKey.CREATE_DELEGATION_TOKEN: (0, 3),
        ApiKey.RENEW_DELEGATION_TOKEN: (0, 2),
        ApiKey.EXPIRE_DELEGATION_TOKEN: (0, 2),
        ApiKey.DESCRIBE_DELEGATION_TOKEN: (0, 3),
        ApiKey.ELECT_LEADERS: (0, 2),
        ApiKey.INCREMENTAL_ALTER_CONFIGS: (0, 1),
        ApiKey.ALTER_PARTITION_REASSIGNMENTS: (0, 0),
        ApiKey.LIST_PARTITION_REASSIGNMENTS: (0, 0),
        ApiKey.ALTER_CLIENT_QUOTAS: (0, 1),
        ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: (0, 0),
        ApiKey.ALTER_USER_SCRAM_CREDENTIALS: (0, 0),
        ApiKey.VOTE: (0, 1),
        ApiKey.BEGIN_QUORUM_EPOCH: (0, 1),
        ApiKey.END_QUORUM_EPOCH: (0, 1),
        ApiKey.DESCRIBE_QUORUM: (0, 2),
        ApiKey.ALTER_PARTITION: (0, 3),
        ApiKey.UPDATE_FEATURES: (0, 1),
        ApiKey.ENVELOPE: (0, 0),
        ApiKey.FETCH_SNAPSHOT: (0, 1),
        ApiKey.DESCRIBE_CLUSTER: (0, 1),
        ApiKey.BROKER_REGISTRATION: (0, 4),
        ApiKey.BROKER_HEARTBEAT: (0, 1),
        ApiKey.UNREGISTER_BROKER: (0, 0),
        ApiKey.ALLOCATE_PRODUCER_IDS: (0, 0),
        ApiKey.CONTROLLER_REGISTRATION: (0, 0),
        ApiKey.ASSIGN_REPLICAS_TO_DIRS: (0, 0),
        ApiKey.ADD_RAFT_VOTER: (0, 0),
        ApiKey.REMOVE_RAFT_VOTER: (0, 0),
        ApiKey.UPDATE_RAFT_VOTER: (0, 0),
    },
    features=((FEATURE_NAME, 1, 21), (KRAFT_VERSION, 0, 1)),
)
