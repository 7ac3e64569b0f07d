"""Two clusters of one release side by side, Apache Kafka's controller and pykraft, each with one real broker."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Final

from pykraft.controller.releases import SUPPORTED_FEATURES
from pykraft.image.metadata_version import FEATURE_NAME
from pykraft.lab import jars
from pykraft.lab.cluster import Lab, Node, new_cluster_id
from pykraft.protocol._message import Message
from pykraft.protocol.api import ApiKey, release_apis
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.jsonconv import to_json
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from tests.kafka.admin_sides import ServedSide
from tests.kafka.case import BROKER_ID, CONTROLLER_ID, REGISTRATION, THROUGH_BROKER, Case, creation, setting_up
from tests.kafka.comparison import comparable, error_codes, shown_difference
from tests.kafka.metadata_logs import WrittenLog
from tests.waiting import until

READY_DEADLINE_S: Final = 60.0
CATCH_UP_S: Final = 10.0
"""Caches of configs, ACLs and tokens, in Kafka's controller and in both brokers, follow the log with a delay; how long
to wait for them in one group of cases, in sum."""
FOLLOWS_3_9: Final = {
    "acl of 'nobody'": "an entry whose principal cannot be read makes the authorizers of 3.6 fail",
    "acl of ''": "as above",
    "risky topic": "a topic's unclean.leader.election.enable counts; the controllers of 3.6 leave it alone",
    "alter partition v3: risky alone": "as above",
}
"""Where pykraft answers as 3.9 does while it stands for 3.6, and why: these cases are left out with 3.6."""
POLL_S: Final = 0.02


@dataclass(frozen=True)
class Release:
    """A release of Kafka: that of its controller and of both brokers, and what pykraft stands for."""

    version: str

    @property
    def name(self) -> str:
        return self.version.rpartition(".")[0]

    @property
    def level(self) -> int:
        """The highest metadata.version, at which its clusters begin."""
        return next(found.max_version for found in SUPPORTED_FEATURES[self.name] if found.name == FEATURE_NAME)

    def latest(self, key: ApiKey) -> int:
        """The highest version of an API that its brokers and controllers have finished."""
        spec = release_apis(self.version)[key]
        return spec.max_version - spec.latest_version_unstable


@dataclass
class Cluster:
    """A controller with a broker, and what the controller writes."""

    side: ServedSide
    log: WrittenLog
    written_before: int = 0


@dataclass
class Clusters:
    """Kafka's and pykraft's, which got the same requests so far."""

    release: Release
    cluster_id: str
    kafka: Cluster
    pykraft: Cluster
    written_by: list[tuple[int, str]] = field(default_factory=list)
    asked: int = 0
    patience_s: float = 0.0

    def differences(self, group: Iterable[Case]) -> list[str]:
        """Puts each case to both; one line for each that they answer differently."""
        self.patience_s = CATCH_UP_S
        return [difference for case in group if (difference := self._difference(case)) is not None]

    def _difference(self, case: Case) -> str | None:
        if case.name.removeprefix(THROUGH_BROKER) in FOLLOWS_3_9 and self.release.name != "3.9":
            return None
        begin = self.kafka.log.size
        theirs, ours = self._ask(self.kafka, case), self._ask(self.pykraft, case)
        self.asked += 1
        if self.kafka.log.size > begin:
            self.written_by.append((begin, case.name))
        if case.is_of_the_process:
            return None
        while (difference := _difference(case, theirs, ours)) is not None and self.patience_s > 0:
            begun = time.monotonic()
            time.sleep(POLL_S)
            if _is_of_a_cache(theirs):
                theirs, ours = self.kafka.side.ask(case), self.pykraft.side.ask(case)
            elif getattr(theirs, "error_code", None) == ErrorCode.DELEGATION_TOKEN_NOT_FOUND:
                theirs = self.kafka.side.ask(case)
            else:
                break
            self.patience_s -= time.monotonic() - begun
        return None if difference is None else f"{case.name}: {difference}"

    def _ask(self, cluster: Cluster, case: Case) -> Message | None:
        answer = cluster.side.ask(case)
        while case.until is not None and answer is not None and not case.until(answer) and self.patience_s > 0:
            time.sleep(POLL_S)
            self.patience_s -= POLL_S
            answer = cluster.side.ask(case)
        assert case.until is None or (answer is not None and case.until(answer)), f"{case.name} still answers {answer}"
        return answer

    def record_differences(self) -> list[str]:
        """One line for each run of batches since the start that one of them wrote otherwise."""
        theirs = self.kafka.log.batches(self.kafka.written_before)
        ours = self.pykraft.log.batches(self.pykraft.written_before)
        found = []
        matcher = SequenceMatcher(None, [one.records for one in theirs], [one.records for one in ours], autojunk=False)
        for kind, begin, end, our_begin, our_end in matcher.get_opcodes():
            if kind != "equal":
                by = self._case_at(theirs[min(begin, len(theirs) - 1)].position) if theirs else "the start"
                their_records = [one.records for one in theirs[begin:end]]
                found.append(f"{by}: Kafka {their_records}, pykraft {[one.records for one in ours[our_begin:our_end]]}")
        return found

    def image_differences(self) -> list[str]:
        """One line for each part of the image that the logs make differently."""
        theirs, ours = self.kafka.log.comparable_image(), self.pykraft.log.comparable_image()
        return [
            f"{part}: {shown_difference(theirs.get(part), ours.get(part))}"
            for part in sorted(theirs.keys() | ours.keys())
            if theirs.get(part) != ours.get(part)
        ]

    def _case_at(self, position: int) -> str:
        return next((name for begin, name in reversed(self.written_by) if begin <= position), "the start")


def _difference(case: Case, theirs: Message | None, ours: Message | None) -> str | None:
    shown = [
        None if answer is None else comparable(to_json(answer, case.version), case.left_out)
        for answer in (theirs, ours)
    ]
    return None if shown[0] == shown[1] else shown_difference(*shown)


def _is_of_a_cache(answer: Message | None) -> bool:
    """Whether it comes from a cache that follows the log, and the request may be put again."""
    return type(answer).__name__.startswith(("Describe", "Metadata"))


@contextmanager
def start(folder: Path, version: str, settings: Mapping[str, object]) -> Iterator[Clusters]:
    """Both clusters of a release, their broker unfenced and the topics of `case.TOPICS` made."""
    jars.ensure(version)
    release, cluster_id = Release(version), new_cluster_id()
    with ExitStack() as stack:
        labs = [stack.enter_context(Lab(folder / name, version, sasl=True)) for name in ("kafka", "pykraft")]
        controllers: list[Node] = [
            labs[0].kraft_controller(CONTROLLER_ID, cluster_id, extra=settings, wait=False),
            labs[1].pykraft(CONTROLLER_ID, cluster_id=cluster_id, release=release.name, extra=settings),
        ]
        brokers = [
            lab.kraft_broker(BROKER_ID, cluster_id, f"{CONTROLLER_ID}@{controller.address}", extra=settings, wait=False)
            for lab, controller in zip(labs, controllers, strict=True)
        ]
        clusters = []
        for controller, broker in zip(controllers, brokers, strict=True):
            cluster = _cluster(stack, controller, broker)
            _wait_until_unfenced(cluster.log)
            broker.process.wait_port(broker.port, READY_DEADLINE_S)
            epoch = cluster.log.image().brokers[BROKER_ID].epoch
            cluster.side.answers[REGISTRATION] = BrokerRegistrationResponseData(broker_epoch=epoch)
            _ask_all(cluster, creation())
            clusters.append(cluster)
        yield Clusters(release, cluster_id, clusters[0], clusters[1])


@contextmanager
def start_bare(folder: Path, level: str, settings: Mapping[str, object]) -> Iterator[Clusters]:
    """Both controllers of the default release at an older metadata.version, with a broker that only seems to be."""
    cluster_id = new_cluster_id()
    # The release stays 3.9, as Kafka's is: only the metadata.version is an older one.
    ours = {**settings, "inter.broker.protocol.version": level}
    with ExitStack() as stack:
        labs = [stack.enter_context(Lab(folder / name)) for name in ("kafka", "pykraft")]
        controllers: list[Node] = [
            labs[0].kraft_controller(CONTROLLER_ID, cluster_id, release=level, extra=settings),
            labs[1].pykraft(CONTROLLER_ID, cluster_id=cluster_id, extra=ours),
        ]
        clusters = [_cluster(stack, controller) for controller in controllers]
        for cluster in clusters:
            _ask_all(cluster, *setting_up(cluster_id))
        yield Clusters(Release(jars.DEFAULT_VERSION), cluster_id, clusters[0], clusters[1])


def _cluster(stack: ExitStack, controller: Node, broker: Node | None = None) -> Cluster:
    ports = () if broker is None else (broker.port, broker.sasl_port)
    side = stack.enter_context(ServedSide(controller.port, *ports))
    return Cluster(side, WrittenLog(controller.folder))


def _ask_all(cluster: Cluster, *group: Case) -> None:
    for case in group:
        answer = cluster.side.ask(case)
        assert answer is not None
        assert set(error_codes(to_json(answer, case.version))) == {ErrorCode.NONE}
    cluster.written_before = cluster.log.size


def _wait_until_unfenced(log: WrittenLog) -> None:
    until(lambda: _is_unfenced(log), f"broker {BROKER_ID} is unfenced", deadline_s=READY_DEADLINE_S, poll_s=POLL_S)


def _is_unfenced(log: WrittenLog) -> bool:
    broker = log.image().brokers.get(BROKER_ID) if log.path.exists() else None
    return broker is not None and not broker.fenced
