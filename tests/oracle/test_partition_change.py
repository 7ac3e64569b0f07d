"""Random partitions and changes: our records against those of Kafka's own PartitionChangeBuilder."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from pykraft.controller.partition_change import Election, PartitionChangeBuilder, default_directory
from pykraft.image.metadata_version import ELR_VERSION, FEATURE_NAME, MetadataVersion
from pykraft.image.model import (
    DIRECTORY_LOST,
    DIRECTORY_MIGRATING,
    DIRECTORY_UNASSIGNED,
    PartitionRegistration,
    ZkMigrationState,
)
from pykraft.lab import jars
from pykraft.protocol import jsonconv
from pykraft.protocol.messages.broker_registration_request import Feature
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.protocol.uuids import uuid_to_text
from tests.controller.cluster import Cluster, directory_of

SOURCE: Final = Path(__file__).parent / "PartitionChangeOracle.java"
TIMEOUT_S: Final = 120
CASES: Final = 4_000
TOPIC_ID: Final = bytes([7]) * 16
BROKERS: Final = (1, 2, 3, 4, 5)
LEVELS: Final = {
    "3.9.1": tuple(MetadataVersion(level) for level in (1, 2, 3, 8, 11, 12, 13, 16, 17, 21)),
    "4.1.2": tuple(MetadataVersion(level) for level in (7, 12, 17, 22, 23, 27, 27, 27)),
}


class Case:
    """A partition, what is asked of it, and both ways of asking."""

    def __init__(self, rng: Random, version: str, clusters: dict[tuple[MetadataVersion, bool], Cluster]) -> None:
        level = rng.choice(LEVELS[version])
        # Brokers in ZooKeeper mode in one half of the clusters, or eligible leader replicas.
        special = rng.random() < (0.3 if version == "3.9.1" else 0.7)
        self.cluster = clusters[level, special]
        self.elr = self.cluster.image.is_elr_enabled
        self.partition = _partition(rng, level)
        self.election = rng.choice(list(Election))
        self.targets = _targets(rng, self.partition, level)
        self.active = frozenset(rng.sample(BROKERS, rng.randint(0, 5)))
        self.migration = special and version == "3.9.1" and level.is_migration_supported
        self.level = level
        self.min_isr = rng.randint(1, 3)
        if level.is_elr_supported and rng.random() < 0.3:
            self.targets["unclean_shutdown"] = rng.choice(BROKERS)

    def ours(self) -> str:
        builder = PartitionChangeBuilder(self.cluster.ctx(), self.active)
        record = builder.build(TOPIC_ID, 0, self.partition, self.election, min_isr=self.min_isr, **self.targets)
        if record is None:
            return "none"
        return f"{record.version}\t" + json.dumps(jsonconv.to_json(record.message, record.version), sort_keys=True)

    def question(self) -> str:
        partition, targets = self.partition, self.targets
        asked: dict[str, Any] = {
            "level": self.level.value,
            "migration": self.migration,
            "minIsr": self.min_isr,
            "elr": self.elr,
            "election": self.election.name,
            "topicId": uuid_to_text(TOPIC_ID),
            "acceptable": [r for r in self.active if self._can_be_reached(r)],
            "defaultDirectories": {
                str(broker): uuid_to_text(default_directory(self.cluster.image, broker)) for broker in BROKERS
            },
            "partition": {
                "replicas": partition.replicas,
                "isr": partition.isr,
                "removing": partition.removing_replicas,
                "adding": partition.adding_replicas,
                "leader": partition.leader,
                "recovery": partition.leader_recovery_state,
                "directories": [uuid_to_text(directory) for directory in partition.all_directories()],
                "elr": partition.elr,
                "lastKnownElr": partition.last_known_elr,
            },
        }
        for ours, theirs in (
            ("isr", "isr"),
            ("replicas", "replicas"),
            ("removing", "removing"),
            ("adding", "adding"),
            ("leader_recovery_state", "recovery"),
            ("unclean_shutdown", "uncleanShutdown"),
        ):
            if ours in targets:
                asked[theirs] = targets[ours]
        for broker, directory in targets.get("directories", {}).items():
            asked |= {"directoryOf": broker, "directory": uuid_to_text(directory)}
        return json.dumps(asked)

    def _can_be_reached(self, broker_id: int) -> bool:
        """Kafka asks for the directory outside its builder, we inside ours."""
        if broker_id not in self.partition.replicas:
            return True
        return self.cluster.image.brokers[broker_id].has_online_directory(self.partition.directory(broker_id))


def _partition(rng: Random, level: MetadataVersion) -> PartitionRegistration:
    replicas = rng.sample(BROKERS, rng.randint(1, 4))
    isr = rng.sample(replicas, rng.randint(1, len(replicas)))
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()
    if rng.random() < 0.5:
        marked = rng.sample(replicas, rng.randint(0, len(replicas)))
        split = rng.randint(0, len(marked))
        adding, removing = tuple(sorted(marked[:split])), tuple(sorted(marked[split:]))
    directories: tuple[bytes, ...] = ()
    if level.is_directory_assignment_supported and rng.random() < 0.7:
        directories = tuple(
            rng.choice([directory_of(r), directory_of(r, 9), DIRECTORY_UNASSIGNED, DIRECTORY_MIGRATING, DIRECTORY_LOST])
            for r in replicas
        )
    elr: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    if level.is_elr_supported and rng.random() < 0.7:
        isr = isr[: rng.randint(0, len(isr))]
        outside = [replica for replica in replicas if replica not in isr]
        elr = tuple(sorted(rng.sample(outside, rng.randint(0, len(outside)))))
        if not isr:
            last = (rng.choice(replicas),)
    recovering = level.is_leader_recovery_supported and len(isr) == 1 and rng.random() < 0.3
    return PartitionRegistration(
        tuple(replicas),
        tuple(isr),
        rng.choice([*isr, -1]),
        10,
        20,
        int(recovering),
        removing,
        adding,
        directories,
        elr,
        last,
    )


def _targets(rng: Random, partition: PartitionRegistration, level: MetadataVersion) -> dict[str, Any]:
    targets: dict[str, Any] = {}
    if rng.random() < 0.5:
        targets["isr"] = tuple(rng.sample(partition.replicas, rng.randint(0, len(partition.replicas))))
    if rng.random() < 0.4:
        wanted = rng.sample(BROKERS, rng.randint(1, 3))
        gone = sorted(set(partition.replicas) - set(wanted))
        targets["replicas"] = (*wanted, *gone)
        targets["removing"] = tuple(gone)
        targets["adding"] = tuple(sorted(set(wanted) - set(partition.replicas)))
    if level.is_leader_recovery_supported and rng.random() < 0.2:
        targets["leader_recovery_state"] = rng.randint(0, 1)
    if level.is_directory_assignment_supported and rng.random() < 0.2:
        broker = rng.choice(partition.replicas)
        targets["directories"] = {broker: directory_of(broker, 3)}
    return targets


def _clusters(version: str) -> dict[tuple[MetadataVersion, bool], Cluster]:
    """By level and whether migration, or ELR, is on: brokers 1 to 5, of which 5 has two directories."""
    clusters = {}
    for level in LEVELS[version]:
        for special in (False, True):
            if version == "3.9.1":
                cluster = Cluster(level, migration=special, state=ZkMigrationState.MIGRATION)
            else:
                cluster = Cluster(level)
                if special and level.is_elr_supported:
                    cluster.apply([ApiMessageAndVersion(FeatureLevelRecord(name=ELR_VERSION, feature_level=1), 0)])
            features = [Feature(FEATURE_NAME, 1, 99), Feature(ELR_VERSION, 0, 1)]
            for broker in BROKERS:
                directories = [directory_of(broker), directory_of(broker, 1)][: 2 if broker == 5 else 1]
                cluster.register(broker, log_dirs=directories, features=features)
                if broker != 5:
                    assert not cluster.heartbeat(broker).is_fenced
            clusters[level, special] = cluster
    return clusters


@pytest.mark.parametrize("version", LEVELS)
def test_kafka_s_builder_makes_the_same_records(version: str, kafka_class_path: str) -> None:
    jars.ensure(version)
    rng, clusters = Random(3_9), _clusters(version)
    cases = [Case(rng, version, clusters) for _ in range(CASES)]
    done = subprocess.run(
        [jars.java(), "-Xmx256m", "-cp", jars.class_path(version), str(SOURCE)],
        input="".join(case.question() + "\n" for case in cases),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) == len(cases)
    for case, answer in zip(cases, answers, strict=True):
        theirs = answer
        if "\t" in answer:
            version, text = answer.split("\t", 1)
            theirs = f"{version}\t" + json.dumps(json.loads(text), sort_keys=True)
        assert case.ours() == theirs, case.question()
    assert sum(answer == "none" for answer in answers) < CASES / 2
