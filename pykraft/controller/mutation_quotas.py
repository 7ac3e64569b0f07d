"""How many partitions a client may create and delete: the controller mutation quotas of KIP-599.

Each user, client id or pair of both that has a `controller_mutation_rate` draws from a bucket of tokens, one for each
partition, that fills with that rate. Whoever finds it overdrawn is refused (strict) or told to wait (permissive).

Source: core/.../server/ControllerMutationQuotaManager.scala, ClientQuotaManager.scala,
clients/.../metrics/stats/TokenBucket.java; in KRaft's controllers since 3.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

from pykraft.controller.errors import ApiError
from pykraft.controller.quotas import CLIENT_ID, USER
from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import QuotaEntity
from pykraft.protocol.errors import ErrorCode

MUTATION_RATE: Final = "controller_mutation_rate"
"""Partitions a second."""
UNUSED_MS_MAX: Final = 3_600_000
"""A bucket that nobody drew from for so long is forgotten: its next user finds a full one."""
SWEEP_FROM_BUCKETS: Final = 1_000
"""As long as there are fewer buckets, forgotten ones may stay where they are."""

_NO_LIMIT: Final = float((1 << 63) - 1)
"""The rate of those without a quota, once there is one for anybody (Kafka's Long.MAX_VALUE)."""
_Key = tuple[str, str]
"""User and client id of a bucket; empty where they do not count."""


class MutationQuota(Protocol):
    """What one request may draw from."""

    def record(self, partitions: int, now_ms: int) -> None:
        """Draw for `partitions` that are created or deleted.

        Raises ApiError THROTTLING_QUOTA_EXCEEDED when nothing may be changed for now.
        """

    def throttle_time_ms(self, now_ms: int) -> int:
        """How long the client is to wait before its next request."""


class UnboundedQuota:
    """The quota of those for whom there is none."""

    def record(self, partitions: int, now_ms: int) -> None:
        """Nothing to draw from."""

    def throttle_time_ms(self, now_ms: int) -> int:
        return 0


UNBOUNDED: Final = UnboundedQuota()


@dataclass(slots=True)
class _Bucket:
    """Tokens at a time, in ms since 1970; from the beginning of time on it has filled up."""

    tokens: float = 0.0
    updated_ms: int = 0
    used_ms: int = 0

    def measure(self, rate: float, burst: float, now_ms: int) -> float:
        self.tokens = min(burst, self.tokens + rate * ((now_ms - self.updated_ms) / 1000))
        self.updated_ms = now_ms
        return self.tokens

    def draw(self, rate: float, burst: float, partitions: int, now_ms: int) -> None:
        self.tokens = min(burst, self.measure(rate, burst, now_ms) - partitions)
        self.used_ms = now_ms


class ControllerMutationQuotas:
    """The quotas in force and the buckets of those who drew, of one active controller.

    A bucket holds at most what its rate gives in `samples` windows of `window_ms`
    (`controller.quota.window.num`, `controller.quota.window.size.seconds`).
    """

    def __init__(self, samples: int, window_ms: int) -> None:
        self._burst_s = samples * window_ms / 1000
        self._rates: dict[QuotaEntity, float] = {}
        self._levels: set[tuple[str, ...]] = set()
        self._buckets: dict[_Key, _Bucket] = {}
        self._sweep_at = SWEEP_FROM_BUCKETS

    def load(self, image: MetadataImage) -> None:
        """Take the quotas of an image in place of those known."""
        self._rates, self._levels = {}, set()
        for entity, quotas in image.client_quotas.items():
            self._set(entity, quotas.get(MUTATION_RATE))

    def update(self, image: MetadataImage, delta: MetadataDelta) -> None:
        """Follow what a commit changed (a publisher of the writer)."""
        for entity, before in delta.client_quotas.items():
            now = image.client_quotas.get(entity, {}).get(MUTATION_RATE)
            if now != before.get(MUTATION_RATE):
                self._set(entity, now)

    def _set(self, entity: QuotaEntity, rate: float | None) -> None:
        level = tuple(sorted(entity_type for entity_type, _ in entity))
        if rate is None:
            if self._rates.pop(entity, None) is None:
                return
        else:
            self._rates[entity] = rate
        # As in Kafka a level that once had a quota counts until the controller starts again.
        self._levels.add(level)

    def quota_for(self, principal: str, client_id: str | None, *, strict: bool) -> MutationQuota:
        """The quota of one request; `principal` is `Type:name`, of which the name counts."""
        if not self._levels:
            return UNBOUNDED
        key = self._key(principal.partition(":")[2], client_id or "")
        return _BucketQuota(self, key, strict=strict)

    def draw(self, key: _Key, partitions: int, now_ms: int, *, strict: bool) -> int | None:
        """Draw from a bucket: how long to wait when it is overdrawn. A strict quota is looked at before, and then
        nothing is drawn from it, a permissive one afterwards."""
        rate = self._rate(*key)
        burst = self._burst_s * rate
        bucket = self._bucket(key, now_ms)
        if strict and bucket.measure(rate, burst, now_ms) < 0:
            return _wait_ms(bucket.tokens, rate)
        bucket.draw(rate, burst, partitions, now_ms)
        return None if strict or bucket.tokens >= 0 else _wait_ms(bucket.tokens, rate)

    def _bucket(self, key: _Key, now_ms: int) -> _Bucket:
        found = self._buckets.get(key)
        if found is not None and found.used_ms > now_ms - UNUSED_MS_MAX:
            return found
        if len(self._buckets) >= self._sweep_at:
            self._buckets = {
                each: bucket for each, bucket in self._buckets.items() if bucket.used_ms > now_ms - UNUSED_MS_MAX
            }
            self._sweep_at = max(SWEEP_FROM_BUCKETS, 2 * len(self._buckets))
        bucket = self._buckets[key] = _Bucket(used_ms=now_ms)
        return bucket

    def _key(self, user: str, client_id: str) -> _Key:
        """Whose bucket it is: that of the most special quota there is."""
        if self._levels == {(CLIENT_ID,)}:
            return "", client_id
        if self._levels == {(USER,)}:
            return user, ""
        if self._levels == {(CLIENT_ID, USER)}:
            return user, client_id
        for entity in _entities(user, client_id):
            if entity in self._rates:
                types = {entity_type for entity_type, _ in entity}
                return user if USER in types else "", client_id if CLIENT_ID in types else ""
        return "", client_id

    def _rate(self, user: str, client_id: str) -> float:
        wanted = tuple(entity_type for entity_type, name in ((CLIENT_ID, client_id), (USER, user)) if name)
        for entity in _entities(user, client_id):
            if tuple(entity_type for entity_type, _ in entity) == wanted and entity in self._rates:
                return self._rates[entity]
        return _NO_LIMIT


def _entities(user: str, client_id: str) -> list[QuotaEntity]:
    """The entities whose quota may be that of a client, the first that has one decides."""
    return [
        ((CLIENT_ID, client_id), (USER, user)),
        ((CLIENT_ID, None), (USER, user)),
        ((USER, user),),
        ((CLIENT_ID, client_id), (USER, None)),
        ((CLIENT_ID, None), (USER, None)),
        ((USER, None),),
        ((CLIENT_ID, client_id),),
        ((CLIENT_ID, None),),
    ]


def _wait_ms(tokens: float, rate: float) -> int:
    """The time until an overdrawn bucket holds nothing, rounded as Java's Math.round."""
    return math.floor(-tokens / rate * 1000 + 0.5)


class _BucketQuota:
    """What one request draws from a bucket, and the wait that it was told of last."""

    def __init__(self, quotas: ControllerMutationQuotas, key: _Key, *, strict: bool) -> None:
        self._quotas, self._key, self._strict = quotas, key, strict
        self._wait_ms = self._told_ms = 0

    def record(self, partitions: int, now_ms: int) -> None:
        wait_ms = self._quotas.draw(self._key, partitions, now_ms, strict=self._strict)
        if wait_ms is None:
            return
        self._wait_ms, self._told_ms = wait_ms, now_ms
        if self._strict:
            raise ApiError(
                ErrorCode.THROTTLING_QUOTA_EXCEEDED,
                f"The throttling quota has been exceeded: {MUTATION_RATE} allows nothing for another {wait_ms} ms",
            )

    def throttle_time_ms(self, now_ms: int) -> int:
        return max(0, self._wait_ms - (now_ms - self._told_ms))
