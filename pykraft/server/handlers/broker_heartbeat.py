"""BrokerHeartbeat (63): v0–1. A broker's sign of life, its wish to be fenced or to shut down, its lost directories.

- Waits at most broker.heartbeat.interval.ms / 2 for its turn; then REQUEST_TIMED_OUT (7), yet the session is
  refreshed: a slow controller must not fence brokers that live.
- Also served before the migration.
- Needs CLUSTER_ACTION on the cluster.
- Errors: the code at the top.
"""

from __future__ import annotations

from pykraft.controller.fencing import process_broker_heartbeat, touch_expired_heartbeat
from pykraft.protocol.api import ApiKey
from pykraft.protocol.messages.broker_heartbeat_request import BrokerHeartbeatRequestData
from pykraft.protocol.messages.broker_heartbeat_response import BrokerHeartbeatResponseData
from pykraft.server.registry import RequestContext, handles


@handles(ApiKey.BROKER_HEARTBEAT)
async def handle(context: RequestContext, request: BrokerHeartbeatRequestData) -> BrokerHeartbeatResponseData:
    return await context.node.writer.write(
        lambda ctx: process_broker_heartbeat(ctx, request),
        name="processBrokerHeartbeat",
        runs_in_premigration=True,
        timeout_ms=context.node.config.broker_heartbeat_interval_ms // 2,
        on_timeout=lambda ctx: touch_expired_heartbeat(ctx, request),
    )
