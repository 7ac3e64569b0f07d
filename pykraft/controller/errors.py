"""Why a request, or one part of it, is refused: Kafka's error code and a sentence for the person who reads it."""

from __future__ import annotations

from collections.abc import Sized

from pykraft.controller.result import RECORDS_PER_USER_OPERATION_MAX
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import BrokerRegistration
from pykraft.protocol.errors import ErrorCode


class ApiError(Exception):
    """A request is refused, or one entry of it where the operation answers entry by entry.

    An operation that lets it through refuses the whole request: the server puts the code where the request's
    getErrorResponse would.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


class TooManyRecordsError(ApiError):
    """A request would write more than RECORDS_PER_USER_OPERATION_MAX records; it is always refused as a whole."""

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.POLICY_VIOLATION,
            f"The request needs more than {RECORDS_PER_USER_OPERATION_MAX} metadata records: split it",
        )


def check_record_limit(records: Sized, more: int = 0) -> None:
    """Refuse a request that would write too much at once, before it is worked out where `more` is known.

    Raises TooManyRecordsError.
    """
    if len(records) + more > RECORDS_PER_USER_OPERATION_MAX:
        raise TooManyRecordsError


def broker_with_epoch(image: MetadataImage, broker_id: int, epoch: int) -> BrokerRegistration:
    """The registration that a broker's request belongs to (ClusterControlManager.checkBrokerEpoch).

    Raises ApiError STALE_BROKER_EPOCH for a broker that is not registered or has registered again since.
    """
    broker = image.brokers.get(broker_id)
    if broker is None:
        raise ApiError(ErrorCode.STALE_BROKER_EPOCH, f"Broker {broker_id} is not registered: it has to register first")
    if broker.epoch != epoch:
        raise ApiError(
            ErrorCode.STALE_BROKER_EPOCH,
            f"Broker {broker_id} has the broker epoch {broker.epoch}, the request {epoch}: it has to register again",
        )
    return broker
