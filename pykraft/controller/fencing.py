"""Brokers come and go: heartbeats, unfencing, fencing, controlled shutdown, lost log directories.

Source: ReplicationControlManager.java, processBrokerHeartbeat and the handleBroker… methods (Kafka 3.9).
"""

from __future__ import annotations

from collections.abc import Iterator

from pykraft.controller.errors import broker_with_epoch
from pykraft.controller.heartbeats import NEVER_REPORTED, BrokerControlState, Wish
from pykraft.controller.partition_change import (
    leader_and_isr_updates,
    leaderless_partitions,
    partitions_with_isr_member,
)
from pykraft.controller.releases import is_since
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import BrokerRegistration, PartitionRegistration, TopicImage
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_heartbeat_response import BrokerHeartbeatResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.broker_registration_change_record import BrokerRegistrationChangeRecord
from pykraft.protocol.records.fence_broker_record import FenceBrokerRecord
from pykraft.protocol.records.unfence_broker_record import UnfenceBrokerRecord
from pykraft.protocol.uuids import Uuid

FENCE = 1
UNFENCE = -1
IN_CONTROLLED_SHUTDOWN = 1
_REGISTRATION_CHANGES = (BrokerRegistrationChangeRecord, FenceBrokerRecord, UnfenceBrokerRecord)


def process_broker_heartbeat(
    ctx: OperationContext, request: BrokerHeartbeatRequestData
) -> ControllerResult[BrokerHeartbeatResponseData]:
    """Move the broker to the state it asks for, as far as the table allows, and keep its session alive.

    The session in `ctx.heartbeats` is touched here: it is liveness, not metadata, and holds even when the records are
    never committed. Raises ApiError STALE_BROKER_EPOCH.
    """
    broker = broker_with_epoch(ctx.image, request.broker_id, request.broker_epoch)
    states = ctx.heartbeats.calculate_next_broker_state(
        broker,
        Wish.of(request.want_fence, request.want_shut_down),
        request.current_metadata_offset,
        lambda: ctx.image.leader_counts.get(broker.id, 0) > 0,
    )
    records: list[ApiMessageAndVersion] = []
    if states.next is not states.current:
        if states.next.is_fenced:
            records = fence_records(ctx, broker)
        elif states.next is BrokerControlState.UNFENCED:
            records = _unfence_records(ctx, broker)
        else:
            records = _controlled_shutdown_records(ctx, broker)
    if ctx.image.metadata_version.is_directory_assignment_supported:
        records += _offline_directory_records(ctx, broker, request.offline_log_dirs)
    # In Kafka 3.7 and later a change of the registration forgets, when replayed, how far the broker has read.
    is_changed = is_since(ctx.config.release, "3.7") and any(
        isinstance(record.message, _REGISTRATION_CHANGES) for record in records
    )
    ctx.heartbeats.touch(
        broker.id,
        fenced=states.next.is_fenced,
        metadata_offset=NEVER_REPORTED if is_changed else request.current_metadata_offset,
        monotonic_ms=ctx.monotonic_ms,
    )
    if states.next is BrokerControlState.CONTROLLED_SHUTDOWN:
        ctx.heartbeats.begin_controlled_shutdown(broker.id, ctx.next_offset + len(records) - 1)
    response = BrokerHeartbeatResponseData(
        is_caught_up=request.current_metadata_offset >= broker.registration_offset,
        is_fenced=states.next.is_fenced,
        should_shut_down=states.next is BrokerControlState.SHUTDOWN_NOW,
    )
    return ControllerResult(response, records)


def touch_expired_heartbeat(ctx: OperationContext, request: BrokerHeartbeatRequestData) -> None:
    """A heartbeat that waited too long to be processed still proves the broker alive; it moves it nowhere.

    Raises ApiError STALE_BROKER_EPOCH.
    """
    broker = broker_with_epoch(ctx.image, request.broker_id, request.broker_epoch)
    ctx.heartbeats.touch(
        broker.id,
        fenced=broker.fenced,
        metadata_offset=request.current_metadata_offset,
        monotonic_ms=ctx.monotonic_ms,
    )


def fence_stale_broker(ctx: OperationContext) -> ControllerResult[int | None]:
    """Fence the broker whose session ended first and tell its id, None when no session has ended.

    One broker at a time, so that the leaders chosen for the next see the effect of the one before.
    """
    while (broker_id := ctx.heartbeats.find_stale_broker(ctx.monotonic_ms)) is not None:
        broker = ctx.image.brokers.get(broker_id)
        if broker is not None and not broker.fenced:
            ctx.heartbeats.expire(broker)
            return ControllerResult(broker_id, fence_records(ctx, broker))
        # A session left over from an operation whose records were refused or taken back.
        ctx.heartbeats.fence(broker_id)
    return ControllerResult(None)


def fence_records(ctx: OperationContext, broker: BrokerRegistration) -> list[ApiMessageAndVersion]:
    """Take a broker out of every ISR and leadership, then fence it."""
    records = leader_and_isr_updates(ctx, partitions_with_isr_member(ctx.image, broker.id), remove=broker.id)
    if ctx.image.metadata_version.is_broker_registration_change_record_supported:
        change = BrokerRegistrationChangeRecord(broker_id=broker.id, broker_epoch=broker.epoch, fenced=FENCE)
        records.append(ApiMessageAndVersion(change, 0))
    else:
        records.append(ApiMessageAndVersion(FenceBrokerRecord(id=broker.id, epoch=broker.epoch), 0))
    return records


def _unfence_records(ctx: OperationContext, broker: BrokerRegistration) -> list[ApiMessageAndVersion]:
    if ctx.image.metadata_version.is_broker_registration_change_record_supported:
        change = BrokerRegistrationChangeRecord(broker_id=broker.id, broker_epoch=broker.epoch, fenced=UNFENCE)
        unfence = ApiMessageAndVersion(change, 0)
    else:
        unfence = ApiMessageAndVersion(UnfenceBrokerRecord(id=broker.id, epoch=broker.epoch), 0)
    return [unfence, *leader_and_isr_updates(ctx, leaderless_partitions(ctx.image), add=broker.id)]


def _controlled_shutdown_records(ctx: OperationContext, broker: BrokerRegistration) -> list[ApiMessageAndVersion]:
    records: list[ApiMessageAndVersion] = []
    supported = ctx.image.metadata_version.is_in_controlled_shutdown_state_supported
    if supported and not broker.in_controlled_shutdown:
        change = BrokerRegistrationChangeRecord(
            broker_id=broker.id, broker_epoch=broker.epoch, in_controlled_shutdown=IN_CONTROLLED_SHUTDOWN
        )
        records.append(ApiMessageAndVersion(change, 1))
    records += leader_and_isr_updates(ctx, partitions_with_isr_member(ctx.image, broker.id), remove=broker.id)
    return records


def _offline_directory_records(
    ctx: OperationContext, broker: BrokerRegistration, offline: list[Uuid]
) -> list[ApiMessageAndVersion]:
    """Take the replicas in newly lost directories out of their ISRs, then write down what directories are left.

    Those of a broker that leaves its ISRs by the same heartbeat are written twice, as in Kafka.
    """
    lost = set(offline).intersection(broker.directories)
    if not lost:
        return []
    records = leader_and_isr_updates(ctx, _partitions_in(ctx.image, broker.id, lost), remove=broker.id)
    left = [directory for directory in broker.directories if directory not in lost]
    change = BrokerRegistrationChangeRecord(broker_id=broker.id, broker_epoch=broker.epoch, log_dirs=left)
    records.append(ApiMessageAndVersion(change, 2))
    return records


def _partitions_in(
    image: MetadataImage, broker_id: int, directories: set[Uuid]
) -> Iterator[tuple[TopicImage, int, PartitionRegistration]]:
    for topic in image.topics_by_id.values():
        for number, partition in topic.partitions.items():
            if (
                partition.directories
                and broker_id in partition.replicas
                and (partition.directory(broker_id) in directories)
            ):
                yield topic, number, partition
