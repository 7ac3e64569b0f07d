"""A partition after a change of it.

Source: metadata/src/main/java/org/apache/kafka/metadata/PartitionRegistration.java, merge.
"""

from __future__ import annotations

from pykraft.image.model import DIRECTORY_MIGRATING, NO_LEADER_CHANGE, PartitionRegistration
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord


def merge_partition(before: PartitionRegistration, record: PartitionChangeRecord) -> PartitionRegistration:
    """The partition after a PartitionChangeRecord: a leader that is given, even the same one, starts a new epoch."""
    led = record.leader != NO_LEADER_CHANGE
    replicas = before.replicas if record.replicas is None else tuple(record.replicas)
    if record.directories is not None:
        directories = tuple(record.directories)
    elif record.replicas is None or not before.directories:
        directories = before.directories
    else:
        known = dict(zip(before.replicas, before.directories, strict=True))
        directories = tuple(known.get(replica, DIRECTORY_MIGRATING) for replica in replicas)
    return PartitionRegistration(
        replicas,
        before.isr if record.isr is None else tuple(record.isr),
        record.leader if led else before.leader,
        before.leader_epoch + 1 if led else before.leader_epoch,
        before.partition_epoch + 1,
        before.leader_recovery_state if record.leader_recovery_state == -1 else record.leader_recovery_state,
        before.removing_replicas if record.removing_replicas is None else tuple(record.removing_replicas),
        before.adding_replicas if record.adding_replicas is None else tuple(record.adding_replicas),
        directories,
        before.elr if record.eligible_leader_replicas is None else tuple(record.eligible_leader_replicas),
        before.last_known_elr if record.last_known_elr is None else tuple(record.last_known_elr),
    )
