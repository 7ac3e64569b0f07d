"""Random lives of brokers and partitions: our records and answers against those of Kafka's own managers, step by step.

What pykraft does otherwise on purpose is left out of the scripts, or of the comparison, where it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import pytest

from pykraft.controller.alter_partition import alter_partition
from pykraft.controller.assign_replicas import assign_replicas_to_dirs
from pykraft.controller.configs import incremental_alter_configs
from pykraft.controller.election import balance_partition_leaders, elect_leaders, elect_unclean_leaders
from pykraft.controller.features import UpgradeType, update_features
from pykraft.controller.fencing import process_broker_heartbeat
from pykraft.controller.partitions import create_partitions
from pykraft.controller.reassignment import alter_partition_reassignments
from pykraft.controller.registration import register_broker
from pykraft.controller.releases import SUPPORTED_FEATURES
from pykraft.controller.topics import create_topics, delete_topics
from pykraft.controller.unregister import unregister_broker
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.metadata_version import ELR_VERSION, MetadataVersion
from pykraft.image.model import BrokerRegistration, PartitionRegistration, TopicImage
from pykraft.protocol.messages import (
    alter_partition_reassignments_request,
    alter_partition_request,
    assign_replicas_to_dirs_request,
    create_partitions_request,
    delete_topics_request,
    elect_leaders_request,
    incremental_alter_configs_request,
    update_features_request,
)
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature, Listener
from pykraft.protocol.messages.create_topics_request import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequestData,
)
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from pykraft.protocol.uuids import random_uuid, uuid_to_text
from tests.controller.cluster import CLUSTER_ID, SESSION_MS, directory_of
from tests.oracle.both_sides import BothSides
from tests.oracle.replication_oracle import ReplicationOracle

STEPS: Final = 1_000
BROKERS: Final = (1, 2, 3, 4, 5)
CASES: Final = (("3.6.2", 14), ("3.6.2", 8), ("3.9.1", 21), ("3.9.1", 9), ("4.1.2", 27), ("4.1.2", 27), ("4.1.2", 16))
"""Releases of Kafka and levels of metadata.version."""
FREQUENT: Final = {
    "AlterPartitionReassignmentsRequestData",
    "AlterPartitionRequestData",
    "BrokerHeartbeatRequestData",
    "BrokerRegistrationRequestData",
    "CreateTopicsRequestData",
    "ElectLeadersRequestData",
    "balance",
    "config",
    "fence",
}
"""What happens in each script, whatever else does."""
MIN_ISR, UNCLEAN = "min.insync.replicas", "unclean.leader.election.enable"
TOPIC, BROKER = 2, 4


class Script:
    """What may happen, and how often."""

    def __init__(self, sides: BothSides) -> None:
        self.sides, self.rng, self.topics_made = sides, sides.rng, 0
        self.steps: list[tuple[int, Callable[[], object]]] = [
            (8, self.register),
            (25, self.heartbeat),
            (4, self.die_and_return),
            (5, self.shut_down_and_return),
            (20, self.alter_partition),
            (6, self.elect_leaders),
            (8, self.reassign),
            (8, self.alter_config),
            (4, self.create_topic),
            (1, self.delete_topic),
            (2, self.create_partitions),
            (2, self.balance),
            (2, self.elect_unclean),
            (5, self.assign_directories),
            (1, self.unregister),
            (3, self.wait),
        ]
        if sides.image.is_elr_enabled:
            self.steps.append((1, self.switch_elr))

    def run(self) -> None:
        for broker_id in BROKERS:
            self.register(broker_id)
            self.heartbeat(broker_id)
        for _ in range(4):
            self.create_topic()
        weights = [weight for weight, _ in self.steps]
        for _ in range(STEPS):
            self.rng.choices(self.steps, weights)[0][1]()

    # -- what is there -------------------------------------------------------------------------------------------

    @property
    def image(self) -> MetadataImage:
        return self.sides.image

    def broker(self) -> BrokerRegistration | None:
        return self.rng.choice(list(self.image.brokers.values())) if self.image.brokers else None

    def partition(self) -> tuple[TopicImage, int, PartitionRegistration] | None:
        found = [(t, n, p) for t in self.image.topics_by_id.values() for n, p in t.partitions.items()]
        return self.rng.choice(found) if found else None

    def session_ms(self, broker: BrokerRegistration) -> int:
        """How long Kafka 4.x keeps the id for a broker, fenced or not; 3.9 does only for one that is not."""
        heard = self.sides.heard_ms.get((broker.id, broker.epoch))
        return 0 if heard is None else heard + SESSION_MS + 1 - self.sides.monotonic_ms

    # -- brokers -------------------------------------------------------------------------------------------------

    def register(self, broker_id: int | None = None, *, clean: bool | None = None) -> None:
        rng = self.rng
        id_ = rng.choice(BROKERS) if broker_id is None else broker_id
        before = self.image.brokers.get(id_)
        same = before is not None and broker_id is None and rng.random() < 0.2
        if before is not None and before.fenced and not same and self.sides.is_4 and self.session_ms(before) > 0:
            # pykraft lets another incarnation of a fenced broker in at once, as 3.9 does.
            return
        previous = -1
        if before is not None and (rng.random() < 0.6 if clean is None else clean):
            previous = before.epoch
        directories = [directory_of(id_, number) for number in range(2 if id_ >= 4 else 1)]
        request = BrokerRegistrationRequestData(
            broker_id=id_,
            cluster_id=CLUSTER_ID,
            incarnation_id=before.incarnation_id if same and before is not None else random_uuid(rng),
            listeners=[Listener("PLAINTEXT", f"broker{id_}", 9092, 0)],
            features=[
                Feature(feature.name, feature.min_version, feature.max_version)
                for feature in SUPPORTED_FEATURES[self.sides.release]
            ],
            rack=rng.choice([None, "a"]),
            log_dirs=directories,
            previous_broker_epoch=previous,
        )
        if self.sides.has_directories:
            self.sides.ask(request, rng.choice([3, 4]), register_broker)
        else:
            request.log_dirs, request.previous_broker_epoch = [], -1
            self.sides.ask(request, rng.choice([0, 1]), register_broker)
        if same:
            # A registration of the same incarnation counts as a sign of life here, and up to 3.9.
            self.heartbeat(id_, keep=True)

    def heartbeat(self, broker_id: int | None = None, *, keep: bool = False, shut_down: bool = False) -> bool:
        """Gives whether the broker may go."""
        rng, broker = self.rng, self.broker() if broker_id is None else self.image.brokers.get(broker_id)
        if broker is None:
            return True
        wild = broker_id is None
        offline = []
        if len(broker.directories) > 1 and wild and rng.random() < 0.1:
            offline = [rng.choice(broker.directories)]
        is_stale = wild and rng.random() < 0.03
        # One that was told to shut down and goes on would lead although it may not, and Kafka 4.1, which does not take
        # partitions off its index of eligible leaders when it clears them, would find that out at odd moments.
        must_stay = self.sides.is_4 and broker.fenced and broker.in_controlled_shutdown
        request = BrokerHeartbeatRequestData(
            broker_id=broker.id,
            broker_epoch=broker.epoch - is_stale,
            current_metadata_offset=rng.choice([self.image.offset, self.image.offset, broker.registration_offset - 1])
            if wild
            else self.image.offset,
            want_fence=must_stay or (broker.fenced if keep else wild and rng.random() < 0.1),
            want_shut_down=shut_down or (wild and rng.random() < 0.08),
            offline_log_dirs=offline,
        )
        version = 1 if self.sides.has_directories else 0
        answer = self.sides.ask(request, version, process_broker_heartbeat)
        self.sides.heard_ms[broker.id, request.broker_epoch] = self.sides.monotonic_ms
        return answer is None or bool(answer.should_shut_down)

    def die_and_return(self) -> None:
        """A broker is heard of no more until its session is over, the others are; then it is back."""
        broker = self.broker()
        if broker is None:
            return
        for _ in range(4):
            self.sides.tick(SESSION_MS // 4 + 50)
            for other in list(self.image.brokers.values()):
                if other.id != broker.id:
                    self.heartbeat(other.id, keep=True)
        self.sides.tick(self.rng.choice([1, SESSION_MS // 3]))
        self.register(broker.id)
        self.heartbeat(broker.id)

    def shut_down_and_return(self) -> None:
        broker = self.broker()
        if broker is None:
            return
        for _ in range(4):
            if self.heartbeat(broker.id, shut_down=True):
                break
            for other in list(self.image.brokers.values()):
                if other.id != broker.id:
                    self.heartbeat(other.id, keep=True)
        if self.rng.random() < 0.7:
            self.wait()
            self.register(broker.id, clean=True)
            self.heartbeat(broker.id)

    def wait(self) -> None:
        for _ in range(self.rng.randint(1, 5)):
            self.sides.tick(self.rng.randint(1, SESSION_MS // 3))
            for broker in list(self.image.brokers.values()):
                if self.rng.random() < 0.9:
                    self.heartbeat(broker.id, keep=True)

    def unregister(self) -> None:
        broker_id = self.rng.choice(BROKERS)
        theirs = self.sides.oracle.do("unregister", broker=broker_id)
        request = UnregisterBrokerRequestData(broker_id=broker_id)
        self.sides.run(f"unregister {broker_id}", theirs, lambda ctx: unregister_broker(ctx, request), whole=False)

    def assign_directories(self) -> None:
        module, broker, found = assign_replicas_to_dirs_request, self.broker(), self.partition()
        if broker is None or found is None or not self.sides.has_directories:
            return
        topic, number, partition = found
        directory = directory_of(broker.id, self.rng.choice([0, 0, 1, 7]))
        if self.sides.is_4 and (partition.elr or not partition.isr or directory not in broker.directories):
            # Kafka 4.1 forgets the eligible leaders of a partition whose replica is assigned; pykraft keeps them.
            return
        request = module.AssignReplicasToDirsRequestData(
            broker_id=broker.id,
            broker_epoch=broker.epoch,
            directories=[
                module.DirectoryData(
                    id=directory,
                    topics=[module.TopicData(topic.id, [module.PartitionData(number), module.PartitionData(99)])],
                )
            ],
        )
        self.sides.ask(request, 0, assign_replicas_to_dirs)

    # -- partitions ----------------------------------------------------------------------------------------------

    def alter_partition(self) -> None:
        rng, module, found = self.rng, alter_partition_request, self.partition()
        if found is None:
            return
        topic, number, partition = found
        sender = partition.leader if rng.random() < 0.95 else rng.choice(BROKERS)
        if sender not in self.image.brokers:
            return
        isr = rng.sample(partition.replicas, rng.randint(1, len(partition.replicas)))
        if partition.leader not in isr and rng.random() < 0.95:
            isr[0] = partition.leader
        epochs = {id_: self.image.brokers[id_].epoch for id_ in isr if id_ in self.image.brokers}
        recovering = partition.leader_recovery_state == 1
        version = rng.choice([2, 3])
        data = module.PartitionData(
            partition_index=number,
            leader_epoch=partition.leader_epoch + rng.choice([0] * 20 + [-1, 1]),
            partition_epoch=partition.partition_epoch + rng.choice([0] * 20 + [-1, 1]),
            leader_recovery_state=int(recovering and rng.random() < 0.5),
        )
        if version == 2:
            data.new_isr = isr
        else:
            data.new_isr_with_epochs = [
                module.BrokerState(id_, rng.choice([epochs.get(id_, 5)] * 20 + [-1, 7])) for id_ in isr
            ]
        request = module.AlterPartitionRequestData(
            broker_id=sender,
            broker_epoch=self.image.brokers[sender].epoch,
            topics=[module.TopicData(topic_id=topic.id, partitions=[data])],
        )
        self.sides.ask(request, version, lambda ctx, sent: alter_partition(ctx, sent, version))

    def elect_leaders(self) -> None:
        rng, module = self.rng, elect_leaders_request
        named = None
        if rng.random() < 0.7:
            found = [found for found in (self.partition(), self.partition()) if found is not None]
            named = [module.TopicPartitions(topic.name, [number, 77]) for topic, number, _ in found[:1]]
        request = module.ElectLeadersRequestData(
            election_type=rng.choice([0, 0, 1, 1, 5]), topic_partitions=named, timeout_ms=1000
        )
        self.sides.ask(request, 2, elect_leaders)

    def reassign(self) -> None:
        rng, module, found = self.rng, alter_partition_reassignments_request, self.partition()
        if found is None:
            return
        topic, number, partition = found
        target: list[int] | None = rng.sample(BROKERS, rng.randint(1, 4))
        if rng.random() < 0.3:
            target = None
        elif rng.random() < 0.3:
            target = rng.sample(partition.replicas, len(partition.replicas))
        request = module.AlterPartitionReassignmentsRequestData(
            topics=[module.ReassignableTopic(topic.name, [module.ReassignablePartition(number, target)])]
        )
        version = 0
        if self.sides.is_4:
            version = rng.randint(0, 1)
            request.allow_replication_factor_change = version == 0 or rng.random() < 0.7
        self.sides.ask(request, version, alter_partition_reassignments)

    def balance(self) -> None:
        theirs = self.sides.oracle.do("balance")
        self.sides.run("balance", theirs, balance_partition_leaders, whole=False)

    def elect_unclean(self) -> None:
        if not self.sides.has_directories:
            # 3.6 elects no unclean leaders at times of its own.
            return
        theirs = self.sides.oracle.do("electUnclean")
        self.sides.run("elect unclean", theirs, elect_unclean_leaders, whole=False)

    # -- topics and configs --------------------------------------------------------------------------------------

    def create_topic(self) -> None:
        rng = self.rng
        if len(self.image.topics_by_id) >= 8:
            return
        self.topics_made += 1
        factor = rng.randint(1, 4)
        configs = [CreatableTopicConfig(MIN_ISR, str(rng.randint(1, 4)))] if rng.random() < 0.5 else []
        if rng.random() < 0.2 and self.sides.has_directories:
            # Before 3.9 Kafka's controller takes no notice of it, pykraft does.
            configs.append(CreatableTopicConfig(UNCLEAN, "true"))
        topic = CreatableTopic(
            name=f"topic-{self.topics_made}",
            num_partitions=-1,
            replication_factor=-1,
            assignments=[
                CreatableReplicaAssignment(number, rng.sample(BROKERS, factor)) for number in range(rng.randint(1, 3))
            ],
            configs=configs,
        )
        request = CreateTopicsRequestData(topics=[topic])
        # Without the right to see them, configs are not described.
        self.sides.ask(
            request, 7, lambda ctx, sent: create_topics(ctx, sent, 7, lambda operation, *_: operation.name == "CREATE")
        )

    def delete_topic(self) -> None:
        found = self.partition()
        if found is None or found[0].id in self.sides.had_elr:
            # With the topic of such a stray gone, Kafka fails every registration of the broker.
            return
        module, topic = delete_topics_request, found[0]
        theirs = self.sides.oracle.do("deleteTopic", id=uuid_to_text(topic.id))
        request = module.DeleteTopicsRequestData(topics=[module.DeleteTopicState(None, topic.id)])
        self.sides.run(f"delete {topic.name}", theirs, lambda ctx: delete_topics(ctx, request, 6), whole=False)

    def create_partitions(self) -> None:
        found, module = self.partition(), create_partitions_request
        if found is None or len(found[0].partitions) > 5:
            return
        topic = found[0]
        factor = len(topic.partitions[0].replicas)
        if any(len(partition.replicas) != factor for partition in topic.partitions.values()):
            # Kafka goes by a partition of its choice.
            return
        request = module.CreatePartitionsRequestData(
            topics=[
                module.CreatePartitionsTopic(
                    topic.name,
                    len(topic.partitions) + 1,
                    [module.CreatePartitionsAssignment(self.rng.sample(BROKERS, factor))],
                )
            ]
        )
        self.sides.ask(request, 3, create_partitions)

    def alter_config(self) -> None:
        rng, module, found = self.rng, incremental_alter_configs_request, self.partition()
        key = rng.choice([MIN_ISR, MIN_ISR, UNCLEAN if self.sides.has_directories else MIN_ISR])
        value = None
        if rng.random() < 0.7:
            value = str(rng.randint(1, 4)) if key == MIN_ISR else rng.choice(["true", "false", "false"])
        kind, name = BROKER, rng.choice(["", "1", "2"])
        if found is not None and rng.random() < 0.7:
            kind, name = TOPIC, found[0].name
        if name.isdigit() and int(name) not in self.image.brokers:
            # Whether it exists is asked outside of the managers.
            return
        theirs = self.sides.oracle.do("config", type=kind, name=name, key=key, value=value)
        change = module.AlterableConfig(key, 1 if value is None else 0, value)
        request = module.IncrementalAlterConfigsRequestData(
            resources=[module.AlterConfigsResource(kind, name, [change])]
        )
        what = f"config {kind} {name!r} {key}={value}"
        answer = self.sides.run(what, theirs, lambda ctx: incremental_alter_configs(ctx, request), whole=False)
        assert answer.responses[0].error_code == theirs.error, what

    def switch_elr(self) -> None:
        module, level = update_features_request, 0 if self.image.is_elr_enabled else 1
        theirs = self.sides.oracle.do("features", name=ELR_VERSION, level=level, down=level == 0)
        kind = UpgradeType.UPGRADE if level else UpgradeType.SAFE_DOWNGRADE
        request = module.UpdateFeaturesRequestData(
            feature_updates=[module.FeatureUpdateKey(ELR_VERSION, level, upgrade_type=kind)]
        )
        self.sides.run(f"ELR {level}", theirs, lambda ctx: update_features(ctx, request), whole=False)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_life_of_brokers_and_partitions(number: int, tmp_path: Path) -> None:
    version, level = CASES[number]
    with ReplicationOracle(version, tmp_path) as oracle:
        sides = BothSides(oracle, version, level, Random(number))
        Script(sides).run()
        kinds = {text.split(" ")[0] for text in sides.history}
        assert kinds >= FREQUENT
        assert bool(sides.had_elr) is MetadataVersion(level).is_elr_supported
