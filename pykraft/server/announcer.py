"""Tells the world what changed: an event and a log line for each broker that comes, goes, is fenced or unfenced."""

from __future__ import annotations

import logging

from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import BrokerRegistration
from pykraft.protocol.uuids import uuid_to_text
from pykraft.server.events import Emit

log = logging.getLogger(__name__)


class Announcer:
    """A publisher of broker events."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def __call__(self, image: MetadataImage, delta: MetadataDelta) -> None:
        for broker_id, before in delta.brokers.items():
            self._announce(broker_id, before, image.brokers.get(broker_id))

    def _announce(self, broker_id: int, before: BrokerRegistration | None, after: BrokerRegistration | None) -> None:
        if after is None:
            if before is not None:
                log.info("Unregistered broker %d.", broker_id)
                self._emit("broker_unregistered", broker_id=broker_id)
            return
        if before is None or before.registration_offset != after.registration_offset:
            log.info(
                "Registered broker %d: epoch %d, incarnation %s, listeners %s, rack %s, isMigratingZkBroker %s.",
                broker_id,
                after.epoch,
                uuid_to_text(after.incarnation_id),
                ", ".join(f"{each.name}://{each.host}:{each.port}" for each in after.listeners),
                after.rack,
                after.is_migrating_zk_broker,
            )
            self._emit(
                "broker_registered",
                broker_id=broker_id,
                is_migrating_zk_broker=after.is_migrating_zk_broker,
                epoch=after.epoch,
            )
        was_fenced = before is None or before.fenced
        if after.fenced and not was_fenced:
            log.info("Fenced broker %d: epoch %d.", broker_id, after.epoch)
            self._emit("broker_fenced", broker_id=broker_id)
        elif was_fenced and not after.fenced:
            log.info("The request from broker %d to unfence has been granted.", broker_id)
            self._emit("broker_unfenced", broker_id=broker_id)
        if after.in_controlled_shutdown and not (before is not None and before.in_controlled_shutdown):
            log.info("Broker %d has entered controlled shutdown.", broker_id)
