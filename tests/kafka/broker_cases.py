"""Requests about brokers and about partitions on several of them: the real one, and stand-ins that only seem to be.

Stand-ins register, send heartbeats and speak as leaders by these requests alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pykraft.controller.releases import SUPPORTED_FEATURES
from pykraft.image.metadata_version import FEATURE_NAME
from pykraft.protocol._message import Message
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.allocate_producer_ids_request import AllocateProducerIdsRequestData
from pykraft.protocol.messages.alter_partition_reassignments_request import (
    AlterPartitionReassignmentsRequestData,
    ReassignablePartition,
    ReassignableTopic,
)
from pykraft.protocol.messages.alter_partition_request import (
    AlterPartitionRequestData,
    BrokerState,
    PartitionData,
    TopicData,
)
from pykraft.protocol.messages.assign_replicas_to_dirs_request import (
    AssignReplicasToDirsRequestData,
    DirectoryData,
)
from pykraft.protocol.messages.assign_replicas_to_dirs_request import PartitionData as DirectoryPartition
from pykraft.protocol.messages.assign_replicas_to_dirs_request import TopicData as DirectoryTopic
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_heartbeat_response import BrokerHeartbeatResponseData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature, Listener
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.protocol.messages.controller_registration_request import ControllerRegistrationRequestData
from pykraft.protocol.messages.describe_cluster_request import DescribeClusterRequestData
from pykraft.protocol.messages.elect_leaders_request import ElectLeadersRequestData, TopicPartitions
from pykraft.protocol.messages.list_partition_reassignments_request import (
    ListPartitionReassignmentsRequestData,
    ListPartitionReassignmentsTopics,
)
from pykraft.protocol.messages.metadata_request import MetadataRequestData
from pykraft.protocol.messages.unregister_broker_request import UnregisterBrokerRequestData
from tests.kafka.admin_clusters import Release
from tests.kafka.case import BROKER_ID, REGISTRATION, THROUGH_BROKER, Answers, Case
from tests.kafka.comparison import LEFT_OUT
from tests.kafka.topic_cases import STRANGER, TIMEOUT_MS, UNKNOWN_ID, creation, topic, topic_id

STAND_INS = (6, 7)
FENCED, NEWCOMER = 8, 9
"""Stand-ins that stay fenced; the second has no replicas."""
FAR = 1 << 40
"""An offset that a caught-up broker may be at."""
PLACED = "topics on several brokers"
PREFERRED, UNCLEAN = 0, 1
DIRECTORIES_SINCE = 2
"""The first version of BrokerRegistration that tells the log directories."""


def registered(broker_id: int) -> str:
    """The name of the case by which a broker registers."""
    return REGISTRATION if broker_id == BROKER_ID else f"registration of {broker_id}"


def epoch(answers: Answers, broker_id: int) -> int:
    answer = answers[registered(broker_id)]
    assert isinstance(answer, BrokerRegistrationResponseData)
    return answer.broker_epoch


def directories(broker_id: int) -> list[bytes]:
    return [bytes([broker_id]) * 15 + bytes([number]) for number in range(2)]


def registration(
    release: Release, cluster_id: str, broker_id: int, incarnation: int = 1
) -> BrokerRegistrationRequestData:
    return BrokerRegistrationRequestData(
        broker_id=broker_id,
        cluster_id=cluster_id,
        incarnation_id=bytes([broker_id]) * 15 + bytes([incarnation]),
        rack=None,
        features=[Feature(*found) for found in _feature_ranges(release)],
        listeners=[Listener(name="PLAINTEXT", host="127.0.0.1", port=9)],
        log_dirs=directories(broker_id),
    )


def fitted(request: BrokerRegistrationRequestData, version: int) -> BrokerRegistrationRequestData:
    """Without what a version of the request cannot say."""
    if version < DIRECTORIES_SINCE:
        request.log_dirs = []
    return request


def _feature_ranges(release: Release) -> list[tuple[str, int, int]]:
    return [(found.name, found.min_version, found.max_version) for found in SUPPORTED_FEATURES[release.name]]


def registration_cases(release: Release, cluster_id: str) -> Iterator[Case]:
    """Refused and accepted registrations; STAND_INS and FENCED are registered at the end."""
    version = release.latest(ApiKey.BROKER_REGISTRATION)

    def case(name: str, request: BrokerRegistrationRequestData, at: int = version) -> Case:
        return Case(name, fitted(request, at), at)

    def changed(**changes: object) -> BrokerRegistrationRequestData:
        request = registration(release, cluster_id, NEWCOMER)
        for key, value in changes.items():
            setattr(request, key, value)
        return request

    ranges = {name: (low, high) for name, low, high in _feature_ranges(release)}
    low, high = ranges[FEATURE_NAME]
    refused = {
        "of another cluster": changed(cluster_id="other"),
        "of a migrating broker": changed(is_migrating_zk_broker=True),
        "without features": changed(features=[]),
        "of an older broker": changed(features=[Feature(FEATURE_NAME, low, high - 1)]),
        "of a later broker": changed(features=[Feature(FEATURE_NAME, high + 1, high + 2)]),
        "of an older broker of another cluster": changed(cluster_id="other", features=[]),
        "without listeners": changed(listeners=[]),
        "without the listener of brokers": changed(listeners=[Listener(name="OTHER", host="127.0.0.1", port=9)]),
        "with directories of another": changed(log_dirs=directories(STAND_INS[0])),
        "with reserved directories": changed(log_dirs=[bytes(15) + b"\x05"]),
        "with a directory twice": changed(log_dirs=[directories(NEWCOMER)[0]] * 2),
        "without directories": changed(log_dirs=[]),
    }
    for broker_id in (*STAND_INS, FENCED):
        yield case(registered(broker_id), registration(release, cluster_id, broker_id))
    for name, request in refused.items():
        yield case(f"registration {name}", request)
    again = registration(release, cluster_id, STAND_INS[0])
    yield case("registration of the same incarnation", again)
    yield case("registration of another incarnation", registration(release, cluster_id, STAND_INS[0], 2))
    yield case("registration of the real broker's id", registration(release, cluster_id, BROKER_ID))
    yield case(
        "registration of a later feature", changed(features=[*changed().features, Feature("some.feature", 1, 2)])
    )
    yield case("oldest registration", registration(release, cluster_id, NEWCOMER), 0)


def heartbeat(
    broker_id: int,
    *,
    offset: int = FAR,
    fence: bool = False,
    shut_down: bool = False,
    epoch_change: int = 0,
    offline: Sequence[bytes] = (),
) -> Callable[[Answers], Message]:
    return lambda answers: BrokerHeartbeatRequestData(
        broker_id=broker_id,
        broker_epoch=0 if broker_id == STRANGER else epoch(answers, broker_id) + epoch_change,
        current_metadata_offset=offset,
        want_fence=fence,
        want_shut_down=shut_down,
        offline_log_dirs=list(offline),
    )


def heartbeat_cases(release: Release) -> Iterator[Case]:
    """STAND_INS become unfenced."""
    version = release.latest(ApiKey.BROKER_HEARTBEAT)
    first, second = STAND_INS
    beats = {
        "of a stranger": heartbeat(STRANGER),
        "of an older epoch": heartbeat(first, epoch_change=-1),
        "of a later epoch": heartbeat(first, epoch_change=1),
        "from far behind": heartbeat(first, offset=0),
        "that wants to stay fenced": heartbeat(first, fence=True),
        "that wants to stay fenced and leave": heartbeat(second, fence=True, shut_down=True),
        "of one that leaves before it came": heartbeat(FENCED, shut_down=True),
        "that unfences": heartbeat(first),
        "after it": heartbeat(first),
        "from behind after it": heartbeat(first, offset=0),
        "of the second that unfences": heartbeat(second),
    }
    for name, request in beats.items():
        yield Case(f"heartbeat {name}", request, version)


def placement_cases() -> Iterator[Case]:
    """Topics on the real broker and on stand-ins."""
    first, second = STAND_INS
    pairs = [(0, [first, second]), (1, [second, first]), (2, [BROKER_ID, first]), (3, [FENCED, first])]
    triples = [(0, [BROKER_ID, first, second]), (1, [first, second, BROKER_ID]), (2, [second, BROKER_ID, first])]
    singles = [(0, [first]), (1, [second])]
    made = (topic("pairs", placement=pairs), topic("triples", placement=triples), topic("singles", placement=singles))
    yield Case(PLACED, creation(*made), 7)
    yield Case("only fenced replicas", creation(topic("fenced", placement=[(0, [FENCED])])), 7)
    yield Case("uneven replicas", creation(topic("uneven", placement=[(0, [first]), (1, [second, first])])), 7)
    yield Case("more replicas than brokers", creation(topic("wide", 1, 6)), 7)


def _alter(
    name: str,
    sender: int,
    partition: int,
    isr: Sequence[int],
    *,
    version: int = 3,
    leader_epoch: int = 0,
    partition_epoch: int = 0,
    recovery: int = 0,
    epoch_change: int = 0,
    member_epoch: int = -1,
    known: bool = True,
    made_by: str = PLACED,
    topic_name: str = "pairs",
) -> Case:
    def request(answers: Answers) -> Message:
        data = PartitionData(
            partition_index=partition,
            leader_epoch=leader_epoch,
            partition_epoch=partition_epoch,
            leader_recovery_state=recovery if version > 0 else 0,
            new_isr=list(isr) if version < 3 else [],
            new_isr_with_epochs=[BrokerState(broker_id=member, broker_epoch=member_epoch) for member in isr]
            if version == 3
            else [],
        )
        found = TopicData(partitions=[data])
        if version < 2:
            found.topic_name = topic_name if known else "no-such"
        else:
            found.topic_id = topic_id(answers, made_by, topic_name) if known else UNKNOWN_ID
        sender_epoch = epoch(answers, sender) + epoch_change
        return AlterPartitionRequestData(broker_id=sender, broker_epoch=sender_epoch, topics=[found])

    return Case(f"alter partition v{version}: {name}", request, version)


def alter_partition_cases() -> Iterator[Case]:
    """What a leader may change, in the versions with names, with ids, and with the members' epochs."""
    first, second = STAND_INS
    for version in range(4):
        yield _alter("older broker epoch", first, 0, [first], epoch_change=-1, version=version)
        yield _alter("unknown topic", first, 0, [first], known=False, version=version)
        yield _alter("unknown partition", first, 9, [first], version=version)
        yield _alter("later leader epoch", first, 0, [first], leader_epoch=1, version=version)
        yield _alter("later partition epoch", first, 0, [first], partition_epoch=1, version=version)
        yield _alter("older leader epoch", first, 0, [first], leader_epoch=-1, version=version)
        yield _alter("older partition epoch", first, 0, [first], partition_epoch=-1, version=version)
        yield _alter("not the leader", second, 0, [second], version=version)
        yield _alter("no replica", first, 0, [first, BROKER_ID], version=version)
        yield _alter("member twice", first, 0, [first, first], version=version)
        yield _alter("empty", first, 0, [], version=version)
        yield _alter("without the leader", first, 0, [second], version=version)
        yield _alter("recovering with two", first, 0, [first, second], recovery=1, version=version)
        yield _alter("back to recovering", second, 1, [second], recovery=1 if version else 0, version=version)
        yield _alter("fenced member", first, 3, [first, FENCED], version=version)
        yield _alter("the same", first, 0, [first, second], version=version)
    yield _alter("member of another epoch", first, 0, [first, second], member_epoch=7)
    yield _alter("shrinks", first, 0, [first])
    yield _alter("shrinks again", first, 0, [first])
    yield _alter("grows", first, 0, [first, second], partition_epoch=1, version=2)
    yield _alter("in another order", second, 1, [first, second], partition_epoch=1, version=1)


def elect(kind: int, *partitions: tuple[str, Sequence[int]]) -> Message:
    chosen = [TopicPartitions(topic=name, partitions=list(numbers)) for name, numbers in partitions]
    return ElectLeadersRequestData(election_type=kind, topic_partitions=chosen, timeout_ms=TIMEOUT_MS)


def elect_all(kind: int) -> Message:
    return ElectLeadersRequestData(election_type=kind, topic_partitions=None, timeout_ms=TIMEOUT_MS)


def election_cases(release: Release) -> Iterator[Case]:
    """Leaders move by fencing and by elections, clean and unclean."""
    version = release.latest(ApiKey.BROKER_HEARTBEAT)
    first, second = STAND_INS
    for kind in (PREFERRED, UNCLEAN, 2, -1):
        yield Case(f"election {kind} of some", elect(kind, ("pairs", [0, 1, 9]), ("no-such", [0]), ("", [0])), 2)
        yield Case(f"election {kind} of none", elect(kind), 1)
    yield Case("election v0", elect(PREFERRED, ("pairs", [0])), 0)
    risky = topic("risky", placement=[(0, [first, second])], configs={"unclean.leader.election.enable": "true"})
    yield Case("risky topic", creation(risky), 7)
    yield _alter("risky alone", first, 0, [first], made_by="risky topic", topic_name="risky")
    yield Case("fence the first", heartbeat(first, fence=True), version)
    yield Case("election without the preferred", elect(PREFERRED, ("pairs", [0, 1, 2]), ("singles", [0])), 2)
    yield Case("unclean election without the only one", elect(UNCLEAN, ("singles", [0]), ("pairs", [0, 3])), 2)
    yield Case("unfence the first", heartbeat(first), version)
    yield Case("election before it is in sync", elect(PREFERRED, ("pairs", [0])), 2)
    yield _alter("back in sync", second, 0, [second, first], leader_epoch=1, partition_epoch=3)
    yield Case("election of all", elect_all(PREFERRED), 2)
    yield Case("election again", elect(PREFERRED, ("pairs", [0])), 2)
    yield Case("unclean election of all", elect_all(UNCLEAN), 2)
    # The only member of an ISR goes, and one from outside it is taken.
    yield _alter("alone", second, 1, [second], partition_epoch=3)
    yield Case("fence the second", heartbeat(second, fence=True), version)
    yield Case("unclean election", elect(UNCLEAN, ("pairs", [1]), ("singles", [1])), 2)
    yield Case("unclean election again", elect(UNCLEAN, ("pairs", [1])), 2)
    yield Case("unfence the second", heartbeat(second), version)
    yield from seen_by_brokers("after elections")


def reassign(*partitions: tuple[str, int, Sequence[int] | None]) -> Message:
    topics = [
        ReassignableTopic(
            name=name,
            partitions=[
                ReassignablePartition(partition_index=number, replicas=None if replicas is None else list(replicas))
            ],
        )
        for name, number, replicas in partitions
    ]
    return AlterPartitionReassignmentsRequestData(topics=topics, timeout_ms=TIMEOUT_MS)


def _listed(*partitions: tuple[str, Sequence[int]]) -> Message:
    topics = [ListPartitionReassignmentsTopics(name=name, partition_indexes=list(found)) for name, found in partitions]
    return ListPartitionReassignmentsRequestData(topics=topics, timeout_ms=TIMEOUT_MS)


def reassignment_cases() -> Iterator[Case]:
    """Replicas move: refused, begun, changed, listed, cancelled, completed."""
    first, second = STAND_INS
    everything = ListPartitionReassignmentsRequestData(topics=None, timeout_ms=TIMEOUT_MS)
    for number, request in enumerate(
        (
            reassign(),
            reassign(("triples", 0, None)),
            reassign(("no-such", 0, [first]), ("triples", 9, [first]), ("triples", 9, None)),
            reassign(("triples", 0, [])),
            reassign(("triples", 0, [STRANGER])),
            reassign(("triples", 0, [-1])),
            reassign(("triples", 0, [first, first])),
            reassign(("triples", 0, [second, first, BROKER_ID])),
            _listed(("triples", [0, 1, 9]), ("no-such", [0])),
            reassign(("pairs", 2, [BROKER_ID, second]), ("singles", 0, [second])),
            _listed(("pairs", [2, 3]), ("singles", [])),
            everything,
            reassign(("pairs", 2, [second, BROKER_ID])),
            everything,
            reassign(("pairs", 2, None), ("triples", 1, None)),
            everything,
            reassign(("singles", 0, None)),
            reassign(("singles", 0, [FENCED, first])),
            everything,
            reassign(("singles", 0, None)),
            # Only replicas that are in sync already: complete at once.
            reassign(("triples", 1, [first, second])),
            reassign(("triples", 2, [BROKER_ID, first])),
            everything,
            reassign(("singles", 0, [second])),
        )
    ):
        yield Case(f"reassignment {number}", request, 0)
    yield from seen_by_brokers("while replicas move")


def directory_cases(release: Release) -> Iterator[Case]:
    """Replicas of a broker with two directories are put into them, and one of the two fails."""
    version = release.latest(ApiKey.BROKER_HEARTBEAT)
    first, second = STAND_INS

    def assign(
        broker_id: int, directory: bytes, *partitions: tuple[str | None, int], epoch_change: int = 0
    ) -> Callable[[Answers], Message]:
        def request(answers: Answers) -> Message:
            topics = [
                DirectoryTopic(
                    topic_id=UNKNOWN_ID if name is None else topic_id(answers, PLACED, name),
                    partitions=[DirectoryPartition(partition_index=number)],
                )
                for name, number in partitions
            ]
            return AssignReplicasToDirsRequestData(
                broker_id=broker_id,
                broker_epoch=epoch(answers, broker_id) + epoch_change,
                directories=[DirectoryData(id=directory, topics=topics)],
            )

        return request

    home, other = directories(first)
    for name, request in {
        "of an older epoch": assign(first, home, ("pairs", 0), epoch_change=-1),
        "of unknown partitions": assign(first, home, (None, 0), ("pairs", 9)),
        "of another's replica": assign(second, directories(second)[0], ("pairs", 2)),
        "to the first": assign(first, home, ("pairs", 0), ("pairs", 2)),
        "to the first again": assign(first, home, ("pairs", 0)),
        "to the other": assign(first, other, ("triples", 0)),
        "to no directory of it": assign(first, UNKNOWN_ID, ("pairs", 3)),
    }.items():
        yield Case(f"assignment {name}", request, 0)
    if version < 1:
        return
    yield Case("directory fails", heartbeat(first, offline=[other]), version)
    yield Case("directory fails still", heartbeat(first, offline=[other]), version)
    yield Case("unknown directory fails", heartbeat(first, offline=[UNKNOWN_ID]), version)


def farewell_cases(release: Release) -> Iterator[Case]:
    """Stand-ins leave, in order and not, and are forgotten."""
    version = release.latest(ApiKey.BROKER_HEARTBEAT)
    first, second = STAND_INS
    yield Case("leaves", heartbeat(second, shut_down=True), version, until=_may_go)
    yield Case("has left", heartbeat(second, shut_down=True), version)
    yield from seen_by_brokers("after one left")
    for number, broker_id in enumerate((STRANGER, -1, FENCED, NEWCOMER, second, first, first)):
        yield Case(f"unregistration {number}", UnregisterBrokerRequestData(broker_id=broker_id), 0)
    yield Case("heartbeat of one unregistered", heartbeat(first), version)
    yield _alter("of one unregistered", first, 0, [first])
    yield Case(
        "producer ids of one unregistered",
        lambda answers: AllocateProducerIdsRequestData(broker_id=first, broker_epoch=epoch(answers, first)),
        0,
    )
    controller = ControllerRegistrationRequestData(controller_id=77, incarnation_id=bytes(15) + b"\x0c")
    yield Case("another controller", controller, 0)
    yield from seen_by_brokers("at the end")


def _may_go(answer: Message) -> bool:
    assert isinstance(answer, BrokerHeartbeatResponseData)
    return answer.should_shut_down


def seen_by_brokers(when: str) -> Iterator[Case]:
    """What the real broker tells clients of topics and brokers; it names a controller by lot."""
    left_out = LEFT_OUT | {"controllerId"}
    every_topic = MetadataRequestData(topics=None, allow_auto_topic_creation=False)
    yield Case(f"metadata {when}", every_topic, 12, through_broker=True, left_out=left_out)
    brokers = DescribeClusterRequestData()
    yield Case(f"cluster {when}", brokers, 0, through_broker=True, left_out=left_out)


def by_turns(group: Iterator[Case]) -> Iterator[Case]:
    """Every second case that a client may put to a broker is put to it."""
    for number, case in enumerate(group):
        if number % 2 and not case.through_broker and isinstance(case.request, CLIENT_REQUESTS):
            yield replace(case, name=THROUGH_BROKER + case.name, through_broker=True)
        else:
            yield case


CLIENT_REQUESTS = (
    ElectLeadersRequestData,
    AlterPartitionReassignmentsRequestData,
    ListPartitionReassignmentsRequestData,
    UnregisterBrokerRequestData,
)
