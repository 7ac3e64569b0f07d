"""What operations ask of all partitions at once: whom they are led by, which have no leader, which are on the move."""

from __future__ import annotations

from pykraft.image.model import NO_LEADER, PartitionRegistration, TopicPartition
from pykraft.protocol.uuids import Uuid


class PartitionTallies:
    """Counts by broker id and small sets, so that nobody has to look at every partition for them."""

    def __init__(self) -> None:
        self.partition_count = 0
        self.leader_counts: dict[int, int] = {}
        self.isr_counts: dict[int, int] = {}
        self.leaderless: set[TopicPartition] = set()
        self.not_preferred: set[TopicPartition] = set()
        self.reassigning: set[TopicPartition] = set()
        self.with_elr: set[TopicPartition] = set()

    def _count(
        self, topic_id: Uuid, number: int, before: PartitionRegistration | None, after: PartitionRegistration | None
    ) -> None:
        """Keep the counts and the small sets that operations ask for in step with one partition's change."""
        if (
            before is None
            and after is not None
            and NO_LEADER != after.leader == after.replicas[0]
            and not after.removing_replicas
            and not after.adding_replicas
            and not after.elr
            and not after.last_known_elr
        ):
            # Nearly every partition of a log that is loaded: it is in none of the sets.
            self.partition_count += 1
            self.leader_counts[after.leader] = self.leader_counts.get(after.leader, 0) + 1
            for replica in after.isr:
                self.isr_counts[replica] = self.isr_counts.get(replica, 0) + 1
            return
        key = TopicPartition(topic_id, number)
        if before is not None:
            self.partition_count -= 1
            if before.leader != NO_LEADER:
                self.leader_counts[before.leader] -= 1
            for replica in before.isr:
                self.isr_counts[replica] -= 1
            if after is None:
                for members in (self.leaderless, self.not_preferred, self.reassigning, self.with_elr):
                    members.discard(key)
        if after is not None:
            self.partition_count += 1
            if after.leader != NO_LEADER:
                self.leader_counts[after.leader] = self.leader_counts.get(after.leader, 0) + 1
            for replica in after.isr:
                self.isr_counts[replica] = self.isr_counts.get(replica, 0) + 1
            self._sort_in(key, after)

    def _sort_in(self, key: TopicPartition, state: PartitionRegistration) -> None:
        """Put a partition in the small sets that it belongs to, and take it out of the others."""
        if state.leader == NO_LEADER:
            self.leaderless.add(key)
        elif self.leaderless:  # Nearly always empty, and then the key need not be hashed.
            self.leaderless.discard(key)
        if state.leader != state.replicas[0]:
            self.not_preferred.add(key)
        elif self.not_preferred:
            self.not_preferred.discard(key)
        if state.removing_replicas or state.adding_replicas:
            self.reassigning.add(key)
        elif self.reassigning:
            self.reassigning.discard(key)
        if state.elr or state.last_known_elr:
            self.with_elr.add(key)
        elif self.with_elr:
            self.with_elr.discard(key)
