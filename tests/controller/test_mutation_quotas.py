"""Controller mutation quotas: whose bucket it is, how it fills, who is refused and who is told to wait."""

from __future__ import annotations

from typing import Any

import pytest

from pykraft.controller.errors import ApiError
from pykraft.controller.mutation_quotas import (
    SWEEP_FROM_BUCKETS,
    UNBOUNDED,
    UNUSED_MS_MAX,
    ControllerMutationQuotas,
    MutationQuota,
)
from pykraft.controller.partitions import create_partitions
from pykraft.controller.topics import create_topics, delete_topics
from pykraft.image.metadata_image import MetadataImage
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.create_partitions_request import CreatePartitionsRequestData, CreatePartitionsTopic
from pykraft.protocol.messages.create_topics_request import CreatableTopic, CreateTopicsRequestData
from pykraft.protocol.messages.delete_topics_request import DeleteTopicsRequestData
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData
from tests.controller.cluster import Cluster

NOW_MS = 1_700_000_000_000
RATE = 5.0
BURST = 50
"""What RATE gives in ten windows of a second."""
Entity = dict[str, str | None]
THROTTLED = ErrorCode.THROTTLING_QUOTA_EXCEEDED


class House:
    """Quotas that follow an image, and a clock that moves when told to."""

    def __init__(self) -> None:
        self.image = MetadataImage()
        self.quotas = ControllerMutationQuotas(10, 1_000)
        self.now_ms = NOW_MS

    def set(self, rate: float | None, entity: Entity, key: str = "controller_mutation_rate") -> None:
        """Set a quota, or remove it."""
        parts = [EntityData(entity_type, name) for entity_type, name in entity.items()]
        record = ClientQuotaRecord(entity=parts, key=key, value=rate or 0.0, remove=rate is None)
        self.image.apply(record, self.image.offset + 1, 1)
        delta = self.image.take_delta()
        assert delta is not None
        self.quotas.update(self.image, delta)

    def draw(
        self, partitions: int, principal: str = "User:alice", client_id: str | None = "c", *, strict: bool = True
    ) -> int | None:
        """Draw at once: the time to wait when it is too much."""
        quota = self.quotas.quota_for(principal, client_id, strict=strict)
        try:
            quota.record(partitions, self.now_ms)
        except ApiError as error:
            if error.code is not THROTTLED:
                raise
            return quota.throttle_time_ms(self.now_ms)
        wait_ms = quota.throttle_time_ms(self.now_ms)
        if strict:
            assert wait_ms == 0
        return wait_ms or None


@pytest.fixture
def house() -> House:
    house = House()
    house.set(RATE, {"user": "alice"})
    return house


def test_without_any_quota_nothing_is_counted() -> None:
    quotas = ControllerMutationQuotas(10, 1_000)
    assert quotas.quota_for("User:alice", "c", strict=True) is UNBOUNDED
    UNBOUNDED.record(1_000_000, NOW_MS)
    assert UNBOUNDED.throttle_time_ms(NOW_MS) == 0


def test_a_strict_quota_refuses_from_the_moment_on_that_its_bucket_is_overdrawn(house: House) -> None:
    assert house.draw(60) is None  # ten more than there were
    assert house.draw(1) == 2_000
    house.now_ms += 1_999
    assert house.draw(1) == 1
    house.now_ms += 1
    assert house.draw(1) is None
    assert house.draw(1) == 200


def test_a_bucket_holds_no_more_than_its_burst(house: House) -> None:
    assert house.draw(BURST) is None
    house.now_ms += 3_000_000
    assert house.draw(BURST) is None
    assert house.draw(1) is None
    assert house.draw(1) == 200


def test_a_permissive_quota_lets_all_through_and_says_how_long_to_wait(house: House) -> None:
    assert house.draw(50, strict=False) is None
    assert house.draw(5, strict=False) == 1_000
    assert house.draw(5, strict=False) == 2_000
    assert house.draw(1) == 2_000


def test_the_wait_that_a_client_is_told_of_runs_from_the_refusal(house: House) -> None:
    house.draw(60)
    quota = house.quotas.quota_for("User:alice", "c", strict=True)
    with pytest.raises(ApiError, match="controller_mutation_rate allows nothing for another 2000 ms"):
        quota.record(1, house.now_ms)
    assert quota.throttle_time_ms(house.now_ms + 500) == 1_500
    assert quota.throttle_time_ms(house.now_ms + 5_000) == 0


def test_a_wait_that_rounds_to_nothing_is_a_refusal_nevertheless(house: House) -> None:
    house.set(10_000.0, {"user": "alice"})
    house.draw(100_001)
    assert house.draw(1) == 0


def test_users_without_a_quota_draw_without_limit(house: House) -> None:
    assert house.draw(1_000_000, "User:bob") is None
    assert house.draw(1_000_000, "User:bob") is None


def test_a_changed_rate_counts_for_the_bucket_that_is_there(house: House) -> None:
    house.draw(100)
    assert house.draw(1) == 10_000
    house.set(50.0, {"user": "alice"})
    assert house.draw(1) == 1_000
    house.now_ms += 1_000
    assert house.draw(1) is None


@pytest.mark.parametrize(
    ("entities", "shares", "apart"),
    [
        ([{"user": "alice"}], [("User:alice", "other")], [("User:bob", "c")]),
        ([{"user": None}], [("User:alice", "other")], [("User:bob", "c")]),
        ([{"client-id": "c"}], [("User:bob", "c")], [("User:alice", "other")]),
        ([{"client-id": None}], [("User:bob", "c")], [("User:alice", "other")]),
        ([{"user": "alice", "client-id": "c"}], [], [("User:alice", "other"), ("User:bob", "c")]),
        ([{"user": None, "client-id": None}], [], [("User:alice", "other"), ("User:bob", "c")]),
        # Of several levels the most special one decides whose bucket it is.
        ([{"user": "alice"}, {"client-id": "c"}], [("User:alice", "other")], [("User:bob", "c")]),
        ([{"user": None}, {"client-id": "c"}], [("User:alice", "other")], [("User:bob", "c")]),
        ([{"client-id": "c"}, {"user": "bob"}], [("User:carol", "c")], [("User:bob", "c")]),
        ([{"client-id": "other"}, {"user": "alice", "client-id": None}], [], [("User:alice", "other")]),
        ([{"user": "alice"}, {"user": None, "client-id": None}], [("User:alice", "other")], [("User:bob", "c")]),
        ([{"user": "bob"}, {"user": None, "client-id": "c"}], [], [("User:carol", "c")]),
    ],
)
def test_whose_bucket_it_is(
    entities: list[Entity], shares: list[tuple[str, str]], apart: list[tuple[str, str]]
) -> None:
    house = House()
    for entity in entities:
        house.set(RATE, entity)
    assert house.draw(55) is None
    assert house.draw(1) == 1_000
    for principal, client_id in shares:
        assert house.draw(1, principal, client_id) == 1_000
    for principal, client_id in apart:
        assert house.draw(1, principal, client_id) is None


@pytest.mark.parametrize(
    "entity",
    [
        {"user": "alice", "client-id": "c"}, {"user": "alice", "client-id": None}, {"user": "alice"},
        {"user": None, "client-id": "c"}, {"user": None, "client-id": None}, {"user": None}, {"client-id": "c"},
        {"client-id": None},
    ],
)  # fmt: skip
def test_the_most_special_quota_sets_the_rate(entity: Entity) -> None:
    order: list[Entity] = [
        {"user": "alice", "client-id": "c"}, {"user": "alice", "client-id": None}, {"user": "alice"},
        {"user": None, "client-id": "c"}, {"user": None, "client-id": None}, {"user": None}, {"client-id": "c"},
        {"client-id": None},
    ]  # fmt: skip
    house = House()
    for number, each in enumerate(order[order.index(entity) :]):
        house.set(RATE * 2**number, each)
    house.draw(100)
    assert house.draw(1) == 10_000


def test_removed_quotas_bind_nobody(house: House) -> None:
    house.draw(100)
    house.set(None, {"user": "alice"})
    house.now_ms += 1
    assert house.draw(1) is None
    # The bucket of those without a quota is full when they get one again.
    house.set(RATE, {"user": "alice"})
    assert house.draw(BURST + 1) is None
    assert house.draw(1) == 200


def test_quotas_of_other_keys_are_no_mutation_quotas() -> None:
    house = House()
    house.set(1.0, {"user": "alice"}, "producer_byte_rate")
    assert house.quotas.quota_for("User:alice", "c", strict=True) is UNBOUNDED


def test_a_new_leader_takes_the_quotas_of_its_image(house: House) -> None:
    other = ControllerMutationQuotas(10, 1_000)
    other.load(house.image)
    quota = other.quota_for("User:alice", None, strict=False)
    quota.record(55, NOW_MS)
    assert quota.throttle_time_ms(NOW_MS) == 1_000
    other.load(MetadataImage())
    assert other.quota_for("User:alice", None, strict=False) is UNBOUNDED


def test_a_bucket_that_nobody_uses_for_an_hour_is_forgotten(house: House) -> None:
    house.draw(1_000_000)
    house.now_ms += UNUSED_MS_MAX - 1
    assert house.draw(1) is not None
    house.now_ms += 1
    assert house.draw(1) is None


def test_buckets_do_not_pile_up() -> None:
    house = House()
    house.set(RATE, {"user": None})
    for number in range(10 * SWEEP_FROM_BUCKETS):
        house.draw(1, f"User:{number}")
        house.now_ms += 2 * UNUSED_MS_MAX // SWEEP_FROM_BUCKETS
    assert len(house.quotas._buckets) <= SWEEP_FROM_BUCKETS


class Counted:
    """A quota that notes what is drawn and refuses what is more than it has."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.drawn: list[int] = []

    def record(self, partitions: int, now_ms: int) -> None:
        if partitions > self.left:
            raise ApiError(THROTTLED, "too much")
        self.left -= partitions
        self.drawn.append(partitions)

    def throttle_time_ms(self, now_ms: int) -> int:
        return 0


def created(cluster: Cluster, quota: MutationQuota, *topics: CreatableTopic, **fields: Any) -> dict[str, int]:
    request = CreateTopicsRequestData(topics=list(topics), **fields)
    response = cluster.run(lambda ctx: create_topics(ctx, request, 7, quota=quota))
    return {topic.name: topic.error_code for topic in response.topics}


def ready() -> Cluster:
    cluster = Cluster()
    cluster.start(1, 2)
    cluster.create("old", [1], [1], [1])
    return cluster


def test_topics_are_drawn_when_all_else_is_right() -> None:
    cluster, quota = ready(), Counted(6)
    topics = [
        CreatableTopic("three", 3, 1), CreatableTopic("old", 1, 1), CreatableTopic("many", 4, 1),
        CreatableTopic("wide", 1, 9), CreatableTopic("two", 2, 2),
    ]  # fmt: skip
    codes = created(cluster, quota, *topics)
    assert codes == {
        "three": 0,
        "old": ErrorCode.TOPIC_ALREADY_EXISTS,
        "many": THROTTLED,
        "wide": ErrorCode.INVALID_REPLICATION_FACTOR,
        "two": 0,
    }
    assert quota.drawn == [3, 2]
    assert set(cluster.image.topics_by_name) == {"old", "three", "two"}
    assert created(cluster, quota, CreatableTopic("one", 1, 1), validate_only=True) == {"one": 0}
    assert quota.drawn == [3, 2, 1]


def test_partitions_are_drawn_before_their_replicas_are_looked_at() -> None:
    cluster, quota = ready(), Counted(2)
    wanted = [
        CreatePartitionsTopic("old", 5, None), CreatePartitionsTopic("nope", 5, None),
    ]  # fmt: skip
    request = CreatePartitionsRequestData(topics=wanted, validate_only=True)
    response = cluster.run(lambda ctx: create_partitions(ctx, request, quota=quota))
    assert {each.name: each.error_code for each in response.results} == {
        "old": 0,
        "nope": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
    assert quota.drawn == [2]
    response = cluster.run(lambda ctx: create_partitions(ctx, request, quota=quota))
    assert {each.error_code for each in response.results} == {THROTTLED, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}


def test_deleted_topics_are_drawn() -> None:
    cluster, quota = ready(), Counted(3)
    cluster.create("small", [1])
    request = DeleteTopicsRequestData(topic_names=["old", "small", "nope"])
    response = cluster.run(lambda ctx: delete_topics(ctx, request, 5, quota=quota))
    assert {each.name: each.error_code for each in response.responses} == {
        "old": 0,
        "small": THROTTLED,
        "nope": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
    assert set(cluster.image.topics_by_name) == {"small"}
