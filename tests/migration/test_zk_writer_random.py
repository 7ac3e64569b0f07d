"""Random changes: following deltas and comparing everything lead to the same ZooKeeper."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pykraft.image.metadata_image import MetadataImage
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.partition_record import PartitionRecord
from pykraft.protocol.records.remove_access_control_entry_record import RemoveAccessControlEntryRecord
from pykraft.protocol.records.remove_delegation_token_record import RemoveDelegationTokenRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.remove_user_scram_credential_record import RemoveUserScramCredentialRecord
from pykraft.protocol.records.topic_record import TopicRecord

from .zk_sides import BROKER, TOPIC, WRITER, Entity, Sides, acl, config, quota, scram


def random_change(image: MetadataImage, rng: Random) -> Any:
    """A record that fits the image."""
    kind = rng.choice(("topic", "remove", "partition", "change", "change", "config", "quota", "scram", "acl", "token"))
    topics = sorted(image.topics_by_id)
    if kind == "topic":
        name = f"t{rng.randrange(5)}"
        return None if name in image.topics_by_name else TopicRecord(name=name, topic_id=rng.randbytes(16))
    if kind == "config":
        type_, name = rng.choice([(BROKER, "0"), (BROKER, ""), *((TOPIC, name) for name in image.topics_by_name)])
        return config(type_, name, rng.choice("ab"), rng.choice(["1", "2", None]))
    if kind == "quota":
        entities: list[Entity] = [{"user": "u"}, {"user": None}, {"client-id": "c"}, {"user": "u", "client-id": "c"}]
        entity = rng.choice(entities)
        return quota("producer_byte_rate", rng.randrange(3), entity, remove=rng.random() < 0.4)
    if kind == "scram":
        present = [key for key in image.scram if rng.random() < 0.5]
        return (
            RemoveUserScramCredentialRecord(name=present[0].user, mechanism=present[0].mechanism)
            if present
            else scram(rng.choice("uv"), rng.choice((1, 2)))
        )
    if kind == "acl":
        present_acls = [id_ for id_ in image.acls if rng.random() < 0.3]
        if present_acls:
            return RemoveAccessControlEntryRecord(id=present_acls[0])
        principal = rng.choice(("User:a", "User:b"))
        return acl(rng.randrange(100, 110), rng.choice("xy"), principal, rng.choice((3, 4)))
    if kind == "token":
        return (
            RemoveDelegationTokenRecord(token_id="k")
            if rng.random() < 0.5
            else DelegationTokenRecord(owner="User:o", requester="User:o", token_id="k", max_timestamp=rng.randrange(9))
        )
    if not topics:
        return None
    chosen = image.topics_by_id[rng.choice(topics)]
    if kind == "remove":
        return RemoveTopicRecord(topic_id=chosen.id)
    if kind == "partition" or not chosen.partitions:
        return PartitionRecord(
            topic_id=chosen.id,
            partition_id=len(chosen.partitions),
            replicas=[0, 1],
            isr=[0, 1],
            leader=0,
            leader_epoch=0,
            partition_epoch=0,
        )
    number = rng.choice(sorted(chosen.partitions))
    replicas = rng.choice((None, [0, 1], [1, 2]))
    return PartitionChangeRecord(
        topic_id=chosen.id,
        partition_id=number,
        replicas=replicas,
        isr=rng.choice((None, [0], [1, 0])),
        leader=rng.choice((-2, -1, 0, 1)),
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 12))
async def test_deltas_of_any_length_lead_to_what_a_reconcile_wants(seed: int, size: int) -> None:
    rng, sides = Random(seed), Sides()
    for _ in range(12):
        for _ in range(size):
            record = random_change(sides.image, rng)
            if record is not None:
                sides.apply(record)
        delta = sides.image.take_delta()
        if delta is not None:
            await sides.run(WRITER.delta(sides.image, delta))
        assert await sides.reconcile() == {}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
async def test_a_reconcile_leads_from_any_state_to_any_other(seed: int) -> None:
    rng, sides = Random(seed), Sides()
    for _ in range(3):
        sides.image = MetadataImage()
        for _ in range(25):
            record = random_change(sides.image, rng)
            if record is not None:
                sides.apply(record)
        await sides.reconcile()
        assert await sides.reconcile() == {}
