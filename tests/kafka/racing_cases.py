"""Requests that are in flight at once, over several connections, half of them through the broker.

Which of them is first is open, so what must be equal are the answers taken together. Where the requests of one race
differ, each side's answers must be such as some order of them gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ConfigResource, ResourceType
from pykraft.protocol._message import Message
from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.messages import incremental_alter_configs_request as incremental
from pykraft.protocol.messages.allocate_producer_ids_request import AllocateProducerIdsRequestData
from pykraft.protocol.messages.alter_client_quotas_request import (
    AlterClientQuotasRequestData,
    EntityData,
    EntryData,
    OpData,
)
from pykraft.protocol.messages.alter_partition_reassignments_request import AlterPartitionReassignmentsRequestData
from pykraft.protocol.messages.alter_user_scram_credentials_request import (
    AlterUserScramCredentialsRequestData,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from pykraft.protocol.messages.create_acls_request import CreateAclsRequestData
from pykraft.protocol.messages.create_partitions_request import (
    CreatePartitionsAssignment,
    CreatePartitionsRequestData,
    CreatePartitionsTopic,
)
from pykraft.protocol.messages.delete_acls_request import DeleteAclsRequestData
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from pykraft.protocol.messages.update_features_request import FeatureUpdateKey, UpdateFeaturesRequestData
from tests.kafka import broker_cases
from tests.kafka.acl_entries import LITERAL, READ, TOPIC, entry, entry_filter
from tests.kafka.admin_clusters import Clusters
from tests.kafka.case import BROKER_ID, Answers, Case
from tests.kafka.comparison import comparable, key_text
from tests.kafka.topic_cases import TIMEOUT_MS, creation, topic

CONNECTIONS = 8
RACER = 30
"""The id of a broker that only races know."""

Shown = Any
"""An answer as JSON, without what may differ."""
Outcomes = list[tuple[Case, Shown]]


@dataclass(frozen=True)
class Race:
    """Requests in flight at once: a run of them for each connection.

    Without `is_possible` the answers of both sides must be the same taken together; with it each side's answers and
    the image after them must pass. `before` and `after` are put one by one, and answered alike.
    """

    name: str
    runs: Sequence[Sequence[Case]]
    before: Sequence[Case] = ()
    after: Sequence[Case] = ()
    is_possible: Callable[[Outcomes, MetadataImage], bool] | None = None


def _run(name: str, number: int, *requests: tuple[Message | Callable[[Answers], Message], int]) -> list[Case]:
    through_broker = number % 2 == 1
    return [
        Case(f"{name} {number}.{place}", request, version, through_broker=through_broker)
        for place, (request, version) in enumerate(requests)
    ]


def _same(name: str, request: Message, version: int, *before: tuple[Message, int], runs: int = CONNECTIONS) -> Race:
    return Race(
        name,
        [_run(name, number, (request, version)) for number in range(runs)],
        [Case(f"{name}, before {number}", *one) for number, one in enumerate(before)],
    )


def _create(name: str, partitions: int = 1) -> tuple[Message, int]:
    return creation(topic(name, placement=[(number, [BROKER_ID]) for number in range(partitions)])), 7


def _delete(name: str) -> tuple[Message, int]:
    return DeleteTopicsRequestData(topic_names=[name], timeout_ms=TIMEOUT_MS), 5


def _grow(name: str, more: int) -> tuple[Message, int]:
    """From one partition."""
    placed = [CreatePartitionsAssignment(broker_ids=[BROKER_ID]) for _ in range(more)]
    topics = [CreatePartitionsTopic(name=name, count=1 + more, assignments=placed)]
    return CreatePartitionsRequestData(topics=topics, timeout_ms=TIMEOUT_MS), 3


def _configure(name: str, key: str, operation: int, value: str) -> tuple[Message, int]:
    change = incremental.AlterableConfig(name=key, config_operation=operation, value=value)
    resource = incremental.AlterConfigsResource(resource_type=2, resource_name=name, configs=[change])
    return incremental.IncrementalAlterConfigsRequestData(resources=[resource]), 1


def topic_races() -> Iterator[Race]:
    yield _same("create one topic", *_create("raced"))
    yield _same("grow one topic", *_grow("raced", 2))
    deletions = [_run("delete", number, _delete("raced")) for number in range(CONNECTIONS)]
    yield Race("delete one topic", deletions, is_possible=_topic_goes_once)
    yield Race(
        "topics of their own, one after the other on each connection",
        [
            _run("own", number, _create(name), _create(name), _grow(name, 1), _delete(name), _delete(name))
            for number in range(CONNECTIONS)
            for name in (f"own-{number}",)
        ],
    )
    mixed = "mixed"
    steps = (_create(mixed), _delete(mixed), _grow(mixed, 1), _create(mixed, 2), _delete(mixed))
    yield Race(
        "create, grow and delete one topic",
        [
            _run("mixed", number, *(steps[(number + place) % len(steps)] for place in range(len(steps))))
            for number in range(CONNECTIONS)
        ],
        is_possible=_topic_comes_and_goes,
    )
    yield Race("the topic left over", [_run("left over", 0, _delete(mixed))], is_possible=lambda *_: True)


GONE = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID)
"""Kafka looks a name up and deletes the id it found in two steps, between which the topic may go; pykraft in one."""


def _topic_goes_once(outcomes: Outcomes, image: MetadataImage) -> bool:
    codes = sorted(answer["responses"][0]["errorCode"] for _, answer in outcomes)
    return codes[0] == ErrorCode.NONE and set(codes[1:]) <= set(GONE) and "raced" not in image.topics_by_name


def _topic_comes_and_goes(outcomes: Outcomes, image: MetadataImage) -> bool:
    """As many creations as deletions took effect, and one more where the topic is there; it grew while it had one
    partition, which it can only once for each creation."""
    done = {"CreateTopicsRequestData": 0, "DeleteTopicsRequestData": 0, "CreatePartitionsRequestData": 0}
    for case, answer in outcomes:
        [result] = answer.get("topics") or answer.get("responses") or answer.get("results")
        kind = type(case.request).__name__
        allowed = {
            "CreateTopicsRequestData": (ErrorCode.NONE, ErrorCode.TOPIC_ALREADY_EXISTS),
            "DeleteTopicsRequestData": (ErrorCode.NONE, *GONE),
            "CreatePartitionsRequestData": (
                ErrorCode.NONE,
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                ErrorCode.INVALID_PARTITIONS,
            ),
        }[kind]
        if result["errorCode"] not in allowed:
            return False
        done[kind] += result["errorCode"] == ErrorCode.NONE
    is_there = "mixed" in image.topics_by_name
    created, deleted, grown = done.values()
    return created > 0 and created - deleted == int(is_there) and grown <= created


def config_races() -> Iterator[Race]:
    name, key = "configured", "leader.replication.throttled.replicas"
    yield Race(
        "append to one config",
        [_run("append", number, _configure(name, key, 2, f"0:{number}")) for number in range(CONNECTIONS)],
        [Case("append, before", *_create(name))],
        is_possible=_all_appended,
    )
    yield Race(
        "subtract from one config",
        [_run("subtract", number, _configure(name, key, 3, f"0:{number}")) for number in range(1, CONNECTIONS)],
        after=[Case("appended, after", *_configure(name, "retention.ms", 0, "5"))],
    )
    yield Race(
        "set one config",
        [_run("set", number, _configure(name, "retention.ms", 0, str(number))) for number in range(CONNECTIONS)],
        is_possible=lambda outcomes, image: (
            _all_fine(outcomes) and image.topic_configs(name)["retention.ms"] in map(str, range(CONNECTIONS))
        ),
    )
    yield Race("one value in the end", [_run("settle", 0, _configure(name, "retention.ms", 0, "7"))])
    user = EntityData(entity_type="user", entity_name="racer")

    def quota(value: float) -> tuple[Message, int]:
        entry = EntryData(entity=[user], ops=[OpData(key="producer_byte_rate", value=value)])
        return AlterClientQuotasRequestData(entries=[entry]), 1

    yield Race("set one quota", [_run("quota", number, quota(number + 1.0)) for number in range(CONNECTIONS)])
    yield Race("one quota in the end", [_run("settle quota", 0, quota(9.0))])


def _all_fine(outcomes: Outcomes) -> bool:
    return all(result["errorCode"] == ErrorCode.NONE for _, answer in outcomes for result in answer["responses"])


def _all_appended(outcomes: Outcomes, image: MetadataImage) -> bool:
    value = image.configs[ConfigResource(ResourceType.TOPIC, "configured")]["leader.replication.throttled.replicas"]
    return _all_fine(outcomes) and sorted(value.split(",")) == [f"0:{number}" for number in range(CONNECTIONS)]


def security_races() -> Iterator[Race]:
    acl = entry("User:racer", READ, name="raced")
    its_filter = entry_filter(TOPIC, "raced", LITERAL)
    yield _same("create one entry", CreateAclsRequestData(creations=[acl]), 3)
    yield _same("delete one entry", DeleteAclsRequestData(filters=[its_filter]), 3)
    upsertion = ScramCredentialUpsertion(
        name="racer", mechanism=1, iterations=4096, salt=b"salt", salted_password=b"salted password"
    )
    deletion = ScramCredentialDeletion(name="racer", mechanism=1)
    yield _same("set one credential", AlterUserScramCredentialsRequestData(upsertions=[upsertion]), 0)
    yield _same("delete one credential", AlterUserScramCredentialsRequestData(deletions=[deletion]), 0)


def cluster_races(clusters: Clusters) -> Iterator[Race]:
    """Among them what only brokers ask, which goes to the controller alone."""
    release = clusters.release

    def ids(answers: Answers) -> Message:
        return AllocateProducerIdsRequestData(broker_id=BROKER_ID, broker_epoch=broker_cases.epoch(answers, BROKER_ID))

    yield Race("producer ids", [[Case(f"ids {number}", ids, 0)] for number in range(CONNECTIONS)])
    for level, upgrade_type in ((release.level - 1, 2), (release.level, 1), (release.level - 1, 1)):
        update = FeatureUpdateKey(feature="metadata.version", max_version_level=level, upgrade_type=upgrade_type)
        yield _same(f"features {level} {upgrade_type}", UpdateFeaturesRequestData(feature_updates=[update]), 1)
    version = release.latest(ApiKey.BROKER_REGISTRATION)
    registrations = []
    for number in range(CONNECTIONS):
        request = broker_cases.registration(release, clusters.cluster_id, RACER, number)
        registrations.append([Case(f"incarnation {number}", broker_cases.fitted(request, version), version)])
    yield Race("register one broker", registrations)
    yield _same("unregister one broker", UnregisterBrokerRequestData(broker_id=RACER), 0)


def partition_races() -> Iterator[Race]:
    """With the stand-ins of broker_cases and the topics on them."""
    first, second = broker_cases.STAND_INS

    def moved(target: Sequence[int] | None) -> Message:
        request = broker_cases.reassign(("raced-moves", 0, target))
        assert isinstance(request, AlterPartitionReassignmentsRequestData)
        return request

    made = creation(topic("raced-moves", placement=[(0, [BROKER_ID, first]), (1, [first, BROKER_ID])])), 7
    yield _same("begin one move", moved([BROKER_ID, second]), 0, made)
    yield _same("cancel one move", moved(None), 0)
    moves = [_run("move", number, (moved([BROKER_ID, second]), 0), (moved(None), 0)) for number in range(CONNECTIONS)]
    yield Race("begin and cancel one move", moves, is_possible=_moves_come_and_go)
    yield _same("no move any more", moved(None), 0, (moved([BROKER_ID, second]), 0), runs=2)
    yield _same("elect one leader", broker_cases.elect(0, ("raced-moves", [1])), 2)
    yield _same("elect all leaders", broker_cases.elect_all(0), 2)
    # Its epochs tell how often it moved, which the order of the requests decided.
    yield Race("the moved topic goes", [_run("moved topic", 0, _delete("raced-moves"))])


def _moves_come_and_go(outcomes: Outcomes, image: MetadataImage) -> bool:
    codes = [answer["responses"][0]["partitions"][0]["errorCode"] for _, answer in outcomes]
    begun, cancelled = codes[::2], codes[1::2]
    partition = image.topics_by_name["raced-moves"].partitions[0]
    fine = (ErrorCode.NONE, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
    # Every connection cancels last, and what it began was not begun by it alone.
    return (
        not any(begun) and set(cancelled) <= set(fine) and ErrorCode.NONE in cancelled and not partition.adding_replicas
    )


def differences(clusters: Clusters, race: Race) -> list[str]:
    """Runs a race on both sides; one line for each thing that is not as it must be."""
    found = clusters.differences(race.before)
    outcomes: dict[str, Outcomes] = {}
    for name, cluster in (("Kafka", clusters.kafka), ("pykraft", clusters.pykraft)):
        answers = cluster.side.ask_at_once(race.runs)
        outcomes[name] = [(case, comparable(to_json(answer, case.version))) for case, answer in answers]
        if race.is_possible is not None and not race.is_possible(outcomes[name], cluster.log.image()):
            shown = [(case.name, answer) for case, answer in outcomes[name]]
            found.append(f"{race.name}, {name}: no order of the requests gives {shown}")
    clusters.asked += sum(map(len, race.runs))
    if race.is_possible is None:
        theirs, ours = (sorted(key_text(answer) for _, answer in each) for each in outcomes.values())
        if theirs != ours:
            found.append(f"{race.name}: Kafka {Counter(theirs)}, pykraft {Counter(ours)}")
    return found + clusters.differences(race.after)
