"""A request that pykraft and Apache Kafka's controller must answer alike, and those that set a cluster up for it.

The requests themselves are in the modules called `*_cases`, each about one part of what a controller does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from pykraft.controller.releases import SUPPORTED_FEATURES
from pykraft.image.model import ResourceType
from pykraft.protocol._message import Message
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature, Listener
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.describe_configs_request import DescribeConfigsRequestData
from tests.kafka.comparison import LEFT_OUT

BROKER_ID = 5
CONTROLLER_ID = 1
TOPICS = ("t1", "t2")
REGISTRATION, CREATION = "registration", "creation of topics"

Answers = Mapping[str, Message]
"""What one side answered so far, by the name of the case."""


@dataclass(frozen=True)
class Case:
    """A request, or what makes it from the earlier answers; `principal` sends it in an Envelope.

    With `through_broker` the broker is asked, which forwards it or answers itself. `left_out` are the fields of the
    answer that may differ. The request is put again `until` this holds of the answer.
    """

    name: str
    request: Message | Callable[[Answers], Message]
    version: int
    principal: str | None = None
    token_authenticated: bool = False
    through_broker: bool = False
    left_out: AbstractSet[str] = LEFT_OUT
    until: Callable[[Message], bool] | None = None

    def made(self, answers: Answers) -> Message:
        """The request itself."""
        return self.request if isinstance(self.request, Message) else self.request(answers)

    @property
    def is_of_the_process(self) -> bool:
        """Whether the answer tells a node's own start-up configs or loggers, which differ by process."""
        own_id = BROKER_ID if self.through_broker else CONTROLLER_ID
        return isinstance(self.request, DescribeConfigsRequestData) and any(
            resource.resource_type in (ResourceType.BROKER, ResourceType.BROKER_LOGGER)
            and resource.resource_name in (f"{own_id}", f"0{own_id}", f"+{own_id}")
            for resource in self.request.resources
        )


def setting_up(cluster_id: str) -> tuple[Case, ...]:
    """A registered, unfenced broker and two topics on it; for sides behind a socket."""
    features = [
        Feature(name=feature.name, min_supported_version=feature.min_version, max_supported_version=feature.max_version)
        for feature in SUPPORTED_FEATURES["3.9"]
    ]
    registration = BrokerRegistrationRequestData(
        broker_id=BROKER_ID,
        cluster_id=cluster_id,
        incarnation_id=bytes(15) + b"\x63",
        rack=None,
        features=features,
        listeners=[Listener(name="PLAINTEXT", host="127.0.0.1", port=9)],
        log_dirs=[bytes(15) + b"\x64"],
    )
    return (Case(REGISTRATION, registration, 4), Case("heartbeat", _heartbeat, 1), creation())


def _heartbeat(answers: Answers) -> Message:
    registration = answers[REGISTRATION]
    assert isinstance(registration, BrokerRegistrationResponseData)
    return BrokerHeartbeatRequestData(
        broker_id=BROKER_ID, broker_epoch=registration.broker_epoch, current_metadata_offset=1 << 40
    )


def creation() -> Case:
    """The topics that most cases are about."""
    topics = [CreatableTopic(name=name, num_partitions=1, replication_factor=1) for name in TOPICS]
    return Case(CREATION, CreateTopicsRequestData(topics=topics, timeout_ms=30_000), 7)


THROUGH_BROKER = "through the broker: "
UNANSWERED_BY_BROKERS = frozenset({"legacy twice"})
"""A broker that forwards the rest of such a request fails on the answer to it, and gives none itself."""


def through_broker(group: Iterator[Case]) -> Iterator[Case]:
    """The cases that a client may put to a broker, put to it; those with a principal by a client that logs in."""
    for case in group:
        if case.name in UNANSWERED_BY_BROKERS:
            continue
        request = case.request if isinstance(case.request, Message) else _after_forwarded(case.request)
        yield replace(case, name=THROUGH_BROKER + case.name, request=request, through_broker=True)


def _after_forwarded(make: Callable[[Answers], Message]) -> Callable[[Answers], Message]:
    """What makes a request from the answers that came through the broker."""

    def request(answers: Answers) -> Message:
        begin = len(THROUGH_BROKER)
        own = {name[begin:]: answer for name, answer in answers.items() if name.startswith(THROUGH_BROKER)}
        return make({**answers, **own})

    return request
