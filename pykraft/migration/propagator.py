"""What ZooKeeper-mode brokers are told: LeaderAndIsr, UpdateMetadata and StopReplica from an image and its change.

Source: core/src/main/scala/kafka/migration/MigrationPropagator.scala, .../controller/ControllerChannelManager.scala
(Kafka 3.9). Three things differ from Kafka on purpose:

* A broker that (re)appears gets FULL requests, also when it hosts nothing, so that deletions which it missed show as
  strays there instead of staying for ever; Kafka sends FULL only after a failover or a snapshot.
* Within one change the StopReplica of a deleted topic goes first, so that it cannot hit a topic re-created under the
  same name.
* A fenced broker that leads nothing counts as offline; Kafka shows every registered broker as live.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import TypeAlias

from pykraft.image.delta import MetadataDelta, TopicDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import BrokerRegistration, PartitionRegistration, TopicImage
from pykraft.protocol.messages.leader_and_isr_request import (
    LeaderAndIsrLiveLeader,
    LeaderAndIsrPartitionState,
    LeaderAndIsrRequestData,
    LeaderAndIsrTopicState,
)
from pykraft.protocol.messages.stop_replica_request import (
    StopReplicaPartitionState,
    StopReplicaRequestData,
    StopReplicaTopicState,
)
from pykraft.protocol.messages.update_metadata_request import (
    UpdateMetadataBroker,
    UpdateMetadataEndpoint,
    UpdateMetadataPartitionState,
    UpdateMetadataRequestData,
    UpdateMetadataTopicState,
)

LEADER_AND_ISR_VERSION = 7
UPDATE_METADATA_VERSION = 8
STOP_REPLICA_VERSION = 4
"""The versions that carry isKRaftController; a migration needs metadata.version 3.4-IV0, where they are the newest."""

LEADER_DURING_DELETE = -2
EPOCH_DURING_DELETE = -2
NO_EPOCH = -1

ControlRequest: TypeAlias = LeaderAndIsrRequestData | UpdateMetadataRequestData | StopReplicaRequestData
ControlRequests: TypeAlias = dict[int, list[ControlRequest]]
"""Broker id → requests for it, in the order in which they are to be sent."""


class RequestType(IntEnum):
    """AbstractControlRequest.Type: what a request says about what it leaves out."""

    UNKNOWN = 0
    INCREMENTAL = 1
    FULL = 2


class Propagator:
    """Builds control requests. `controller_id` is this node; `listener` the brokers' inter-broker listener."""

    def __init__(self, controller_id: int, listener: str) -> None:
        self._controller_id = controller_id
        self._listener = listener

    def full(self, image: MetadataImage, broker_ids: Iterable[int], zk_controller_epoch: int) -> ControlRequests:
        """Everything, for the given brokers: UpdateMetadata of all partitions, then LeaderAndIsr of their own."""
        batch = _Batch(self, image, zk_controller_epoch)
        targets = list(broker_ids)
        hosted: dict[int, dict[bytes, LeaderAndIsrTopicState]] = {broker_id: {} for broker_id in targets}
        states = []
        for topic in image.topics_by_id.values():
            states.append(batch.metadata_of(topic, topic.partitions))
            for number, state in topic.partitions.items():
                batch.add_hosted(hosted, topic, number, state)
        for broker_id in targets:
            batch.add(broker_id, batch.update_metadata(broker_id, states, RequestType.FULL))
            batch.add(broker_id, batch.leader_and_isr(broker_id, hosted[broker_id], RequestType.FULL))
        return batch.requests

    def delta(
        self, image: MetadataImage, delta: MetadataDelta, broker_ids: Iterable[int], zk_controller_epoch: int
    ) -> ControlRequests:
        """What a change means to the given brokers; nothing when it touches neither topics nor brokers."""
        batch = _Batch(self, image, zk_controller_epoch)
        if not delta.topics and not delta.brokers:
            return batch.requests
        targets = list(broker_ids)
        deleted = [change for change in delta.topics.values() if change.removed is not None]
        batch.stop_deleted(targets, deleted)
        if delta.brokers:
            for broker_id in targets:
                batch.add(broker_id, batch.update_metadata(broker_id, [], RequestType.UNKNOWN))
        hosted: dict[int, dict[bytes, LeaderAndIsrTopicState]] = {broker_id: {} for broker_id in targets}
        states = [batch.deleted_metadata(change) for change in deleted]
        removed: dict[int, dict[str, StopReplicaTopicState]] = defaultdict(dict)
        for topic_id, change in delta.topics.items():
            topic = image.topics_by_id.get(topic_id)
            if topic is None:
                continue
            states.append(batch.metadata_of(topic, change.partitions))
            for number, before in change.partitions.items():
                state = topic.partitions[number]
                batch.add_hosted(hosted, topic, number, state)
                for replica in set(before.replicas if before else ()) - set(state.replicas):
                    _stop(removed[replica], topic.name, number, state.leader_epoch)
        for broker_id in targets:
            if hosted[broker_id]:
                batch.add(broker_id, batch.leader_and_isr(broker_id, hosted[broker_id], RequestType.INCREMENTAL))
            if states:
                batch.add(broker_id, batch.update_metadata(broker_id, states, RequestType.INCREMENTAL))
            if broker_id in removed:
                batch.add(broker_id, batch.stop_replica(broker_id, removed[broker_id]))
        return batch.requests

    @property
    def controller_id(self) -> int:
        return self._controller_id

    @property
    def listener(self) -> str:
        return self._listener


def is_live(image: MetadataImage, broker: BrokerRegistration) -> bool:
    """Whether clients should see a broker: unfenced, or still leading what was copied from ZooKeeper."""
    return not broker.fenced or image.leader_counts.get(broker.id, 0) > 0


class _Batch:
    """The requests of one publish, and what they share."""

    def __init__(self, propagator: Propagator, image: MetadataImage, zk_controller_epoch: int) -> None:
        self.requests: ControlRequests = defaultdict(list)
        self._propagator = propagator
        self._image = image
        self._epoch = zk_controller_epoch
        self._live = {broker.id: broker for broker in image.brokers.values() if is_live(image, broker)}
        self._live_brokers = [_update_metadata_broker(broker) for broker in self._live.values()]

    def add(self, broker_id: int, request: ControlRequest) -> None:
        self.requests[broker_id].append(request)

    def add_hosted(
        self,
        hosted: dict[int, dict[bytes, LeaderAndIsrTopicState]],
        topic: TopicImage,
        number: int,
        state: PartitionRegistration,
    ) -> None:
        """Put one partition into the LeaderAndIsr of each of its replicas that is a target."""
        leader_and_isr: LeaderAndIsrPartitionState | None = None
        for replica in state.replicas:
            topics = hosted.get(replica)
            if topics is None:
                continue
            if leader_and_isr is None:
                leader_and_isr = self._partition_state(number, state)
            topic_state = topics.get(topic.id)
            if topic_state is None:
                topic_state = topics[topic.id] = LeaderAndIsrTopicState(
                    topic_name=topic.name, topic_id=topic.id, partition_states=[]
                )
            topic_state.partition_states.append(leader_and_isr)

    def _partition_state(self, number: int, state: PartitionRegistration) -> LeaderAndIsrPartitionState:
        return LeaderAndIsrPartitionState(
            partition_index=number,
            controller_epoch=self._image.epoch,
            leader=state.leader,
            leader_epoch=state.leader_epoch,
            isr=list(state.isr),
            partition_epoch=state.partition_epoch,
            replicas=list(state.replicas),
            adding_replicas=list(state.adding_replicas),
            removing_replicas=list(state.removing_replicas),
            is_new=True,
            leader_recovery_state=state.leader_recovery_state,
        )

    def metadata_of(self, topic: TopicImage, partitions: Iterable[int]) -> UpdateMetadataTopicState:
        live, epoch = self._live, self._image.epoch
        states = []
        for number in partitions:
            state = topic.partitions[number]
            states.append(
                UpdateMetadataPartitionState(
                    partition_index=number,
                    controller_epoch=epoch,
                    leader=state.leader,
                    leader_epoch=state.leader_epoch,
                    isr=list(state.isr),
                    zk_version=state.partition_epoch,
                    replicas=list(state.replicas),
                    offline_replicas=[replica for replica in state.replicas if replica not in live],
                )
            )
        return UpdateMetadataTopicState(topic_name=topic.name, topic_id=topic.id, partition_states=states)

    def deleted_metadata(self, change: TopicDelta) -> UpdateMetadataTopicState:
        states = [
            UpdateMetadataPartitionState(
                partition_index=number,
                controller_epoch=self._epoch,
                leader=LEADER_DURING_DELETE,
                leader_epoch=0,
                isr=list(state.isr),
                zk_version=0,
                replicas=list(state.replicas),
                offline_replicas=[replica for replica in state.replicas if replica not in self._live],
            )
            for number, state in change.partitions_before().items()
        ]
        assert change.removed is not None
        return UpdateMetadataTopicState(topic_name=change.name, topic_id=change.removed.id, partition_states=states)

    def stop_deleted(self, targets: list[int], deleted: list[TopicDelta]) -> None:
        stops: dict[int, dict[str, StopReplicaTopicState]] = defaultdict(dict)
        for change in deleted:
            for number, state in change.partitions_before().items():
                for replica in state.replicas:
                    _stop(stops[replica], change.name, number, EPOCH_DURING_DELETE)
        for broker_id in targets:
            if broker_id in stops:
                self.add(broker_id, self.stop_replica(broker_id, stops[broker_id]))

    def update_metadata(
        self, broker_id: int, states: list[UpdateMetadataTopicState], request_type: RequestType
    ) -> UpdateMetadataRequestData:
        return UpdateMetadataRequestData(
            controller_id=self._propagator.controller_id,
            is_kraft_controller=True,
            type=request_type,
            controller_epoch=self._epoch,
            broker_epoch=self._image.brokers[broker_id].epoch,
            topic_states=states,
            live_brokers=self._live_brokers,
        )

    def leader_and_isr(
        self, broker_id: int, topics: dict[bytes, LeaderAndIsrTopicState], request_type: RequestType
    ) -> LeaderAndIsrRequestData:
        leaders = {state.leader for topic in topics.values() for state in topic.partition_states}
        return LeaderAndIsrRequestData(
            controller_id=self._propagator.controller_id,
            is_kraft_controller=True,
            controller_epoch=self._epoch,
            broker_epoch=self._image.brokers[broker_id].epoch,
            type=request_type,
            topic_states=list(topics.values()),
            live_leaders=list(self._live_leaders(leaders)),
        )

    def _live_leaders(self, leaders: set[int]) -> Iterator[LeaderAndIsrLiveLeader]:
        for leader in sorted(leaders):
            broker = self._image.brokers.get(leader)
            endpoint = broker.listener(self._propagator.listener) if broker else None
            if endpoint is not None:
                yield LeaderAndIsrLiveLeader(broker_id=leader, host_name=endpoint.host, port=endpoint.port)

    def stop_replica(self, broker_id: int, topics: dict[str, StopReplicaTopicState]) -> StopReplicaRequestData:
        return StopReplicaRequestData(
            controller_id=self._propagator.controller_id,
            is_kraft_controller=True,
            controller_epoch=self._epoch,
            broker_epoch=self._image.brokers[broker_id].epoch,
            topic_states=list(topics.values()),
        )


def _stop(topics: dict[str, StopReplicaTopicState], name: str, number: int, leader_epoch: int) -> None:
    topic = topics.get(name)
    if topic is None:
        topic = topics[name] = StopReplicaTopicState(topic_name=name, partition_states=[])
    topic.partition_states.append(
        StopReplicaPartitionState(partition_index=number, leader_epoch=leader_epoch, delete_partition=True)
    )


def _update_metadata_broker(broker: BrokerRegistration) -> UpdateMetadataBroker:
    return UpdateMetadataBroker(
        id=broker.id,
        endpoints=[
            UpdateMetadataEndpoint(
                port=endpoint.port,
                host=endpoint.host,
                listener=endpoint.name,
                security_protocol=endpoint.security_protocol,
            )
            for endpoint in broker.listeners
        ],
        rack=broker.rack,
    )
