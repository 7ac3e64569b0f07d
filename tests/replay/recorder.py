"""Makes a metadata log by running a release's own controller and asking it for one of almost everything."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from pykraft.lab import jars
from pykraft.lab.cluster import Lab, new_cluster_id
from pykraft.log.metadata_log import DIRECTORY_NAME
from pykraft.protocol._message import Message
from pykraft.protocol.api import ApiKey, spec
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages import incremental_alter_configs_request as configs
from pykraft.protocol.messages.allocate_producer_ids_request import AllocateProducerIdsRequestData
from pykraft.protocol.messages.alter_client_quotas_request import (
    AlterClientQuotasRequestData,
    EntityData,
    EntryData,
    OpData,
)
from pykraft.protocol.messages.alter_user_scram_credentials_request import (
    AlterUserScramCredentialsRequestData,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature, Listener
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.protocol.messages.create_acls_request import AclCreation, CreateAclsRequestData
from pykraft.protocol.messages.create_topics_request import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.delete_acls_request import DeleteAclsFilter, DeleteAclsRequestData
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData, DeleteTopicState
from tests.kafka.admin_sides import Connection

NODE_ID = 3000
BROKERS = (0, 1, 2)
ACTIVE_TIMEOUT_S = 30.0
CHECKPOINT_TIMEOUT_S = 20.0
ODD_TEXT = 'quote " backslash \\ bell \x07 del \x7f tab \t umlaut ü line \u2028 emoji \U0001f980'


def record(folder: Path, release: str) -> Path:
    """Run the controller of `release` in `folder`; its data directory once it has ended, with a checkpoint in it."""
    jars.ensure(release)
    cluster_id = new_cluster_id()
    with Lab(folder, release) as lab:
        extra = {"metadata.log.max.record.bytes.between.snapshots": 1500, "broker.session.timeout.ms": 60000}
        node = lab.kraft_controller(NODE_ID, cluster_id, extra=extra)
        with closing(Connection(node.port)) as connection:
            for request in _requests(connection, release, cluster_id):
                if "controller" in spec(request.API_KEY, release).listeners:
                    _ask(connection, release, request)
            directory = node.folder / "data" / DIRECTORY_NAME
            before = set(directory.glob("*.checkpoint"))
            deadline = time.monotonic() + CHECKPOINT_TIMEOUT_S
            # The first of two new ones may have been begun before the last request.
            for number in itertools.count():
                if len(set(directory.glob("*.checkpoint")) - before) >= 2:
                    break
                assert time.monotonic() < deadline, f"{directory} has got no checkpoint of everything"
                grows = ",".join([f"{number}:1"] * 100)
                _ask(connection, release, _set_config("follower.replication.throttled.replicas", {"topic-2": grows}))
                time.sleep(0.05)
        node.stop()
    return node.folder / "data"


def _ask(connection: Connection, release: str, request: Message) -> Message:
    return connection.ask(request, spec(request.API_KEY, release).max_version)


def _requests(connection: Connection, release: str, cluster_id: str) -> list[Message]:
    epochs = {broker: _register(connection, release, cluster_id, broker) for broker in BROKERS}
    topics = [
        CreatableTopic(
            name=f"topic-{number}", num_partitions=number * 4, replication_factor=number,
            configs=[CreatableTopicConfig(name="retention.ms", value=str(number * 1000))],
        )
        for number in (1, 2, 3)
    ]  # fmt: skip
    acls = [
        AclCreation(
            resource_type=2, resource_name=name, resource_pattern_type=3, principal="User:alice", host="*",
            operation=3, permission_type=3,
        )
        for name in ("topic-1", ODD_TEXT)
    ]  # fmt: skip
    client = [EntityData(entity_type="client-id", entity_name=None), EntityData(entity_type="user", entity_name="bob")]
    quotas = [
        EntryData(entity=client, ops=[OpData(key=key, value=value) for key, value in (
            ("consumer_byte_rate", 1.0e7), ("producer_byte_rate", 1048576.0), ("request_percentage", 0.1 + 0.2),
            ("controller_mutation_rate", 1.5e-5),
        )]),
        EntryData(entity=[EntityData(entity_type="user", entity_name="x")], ops=[OpData("consumer_byte_rate", 0.001)]),
    ]  # fmt: skip
    gone = [EntryData(entity=client, ops=[OpData(key="consumer_byte_rate", remove=True)])]
    scram = ScramCredentialUpsertion(
        name="alice", mechanism=1, iterations=4096, salt=b"salt", salted_password=bytes(32)
    )
    changes = [
        configs.AlterableConfig(name="cleanup.policy", config_operation=0, value="compact"),
        configs.AlterableConfig(name="retention.ms", config_operation=1, value=None),
    ]
    return [
        CreateTopicsRequestData(topics=topics, timeout_ms=10_000),
        configs.IncrementalAlterConfigsRequestData(
            resources=[configs.AlterConfigsResource(resource_type=2, resource_name="topic-2", configs=changes)]
        ),
        AlterClientQuotasRequestData(entries=quotas),
        AlterClientQuotasRequestData(entries=gone),
        CreateAclsRequestData(creations=acls),
        DeleteAclsRequestData(filters=[DeleteAclsFilter(
            resource_type_filter=2, resource_name_filter="topic-1", pattern_type_filter=3, principal_filter=None,
            host_filter=None, operation=1, permission_type=1,
        )]),
        AlterUserScramCredentialsRequestData(upsertions=[scram]),
        AlterUserScramCredentialsRequestData(deletions=[ScramCredentialDeletion(name="alice", mechanism=1)]),
        AllocateProducerIdsRequestData(broker_id=1, broker_epoch=epochs[1]),
        # From 4.1 on, where the shutdown makes eligible leader replicas, of which then some are cleared.
        _set_config("min.insync.replicas", {"topic-2": "2", "topic-3": "3"}),
        _heartbeat(2, epochs[2], want_shut_down=True),
        _set_config("min.insync.replicas", {"topic-2": "1"}),
        DeleteTopicsRequestData(topics=[DeleteTopicState(name="topic-1")], timeout_ms=10_000),
    ]  # fmt: skip


def _set_config(name: str, values: Mapping[str, str]) -> configs.IncrementalAlterConfigsRequestData:
    """Set one config of some topics."""
    resources = [
        configs.AlterConfigsResource(
            resource_type=2, resource_name=topic,
            configs=[configs.AlterableConfig(name=name, config_operation=0, value=value)],
        )
        for topic, value in values.items()
    ]  # fmt: skip
    return configs.IncrementalAlterConfigsRequestData(resources=resources)


def _register(connection: Connection, release: str, cluster_id: str, broker: int) -> int:
    features = [
        Feature(name=name, min_supported_version=lowest, max_supported_version=highest)
        for name, lowest, highest in (
            ("metadata.version", 1, 100), ("kraft.version", 0, 100), ("group.version", 0, 100),
            ("transaction.version", 0, 100), ("eligible.leader.replicas.version", 0, 100), ("share.version", 0, 100),
            ("streams.version", 0, 100),
        )
    ]  # fmt: skip
    listener = Listener(name="PLAINTEXT", host="127.0.0.1", port=9092 + broker, security_protocol=0)
    has_directories = spec(ApiKey.BROKER_REGISTRATION, release).max_version > 1
    request = BrokerRegistrationRequestData(
        broker_id=broker, cluster_id=cluster_id, incarnation_id=bytes(15) + bytes([broker + 1]), features=features,
        listeners=[listener], rack=None if broker else "rack-ü",
        log_dirs=[bytes(8) + b"logdir" + bytes([1, broker])] if has_directories else [],
    )  # fmt: skip
    deadline = time.monotonic() + ACTIVE_TIMEOUT_S
    while True:
        answer = _ask(connection, release, request)
        assert isinstance(answer, BrokerRegistrationResponseData)
        if answer.error_code != ErrorCode.NOT_CONTROLLER:
            break
        assert time.monotonic() < deadline, "the controller does not become active"
        time.sleep(0.05)
    assert answer.error_code == ErrorCode.NONE, answer
    _ask(connection, release, _heartbeat(broker, answer.broker_epoch))
    return answer.broker_epoch


def _heartbeat(broker: int, epoch: int, *, want_shut_down: bool = False) -> BrokerHeartbeatRequestData:
    return BrokerHeartbeatRequestData(
        broker_id=broker, broker_epoch=epoch, current_metadata_offset=1 << 40, want_shut_down=want_shut_down
    )
