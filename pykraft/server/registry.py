"""Which handler answers which API: the decorator handlers register with, and the table that finds their modules.

Modules are imported when their API is first asked for; a test keeps HANDLER_MODULES equal to what is registered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar, cast

from pykraft.controller.authorizer import CLUSTER_NAME, AclOperation, AclResourceType
from pykraft.controller.errors import ApiError
from pykraft.controller.mutation_quotas import MutationQuota
from pykraft.controller.result import Requester
from pykraft.protocol.api import ApiKey, response_class
from pykraft.protocol.errors import ErrorCode

if TYPE_CHECKING:
    from pykraft.server.node import Node


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Where a request came from: the node asked, the API and its version, and who asks."""

    node: Node
    api_key: ApiKey
    api_version: int
    requester: Requester

    def authorize(self, operation: AclOperation, resource_type: AclResourceType, name: str) -> bool:
        """Whether the requester may do the operation on a resource."""
        requester = self.requester
        return self.node.authorizer.authorize(
            requester.principal, requester.client_host, operation, resource_type, name
        )

    def mutation_quota(self, strict_since: int) -> MutationQuota:
        """What the requester may draw from for partitions; strict for requests from version `strict_since` on."""
        requester = self.requester
        return self.node.mutation_quotas.quota_for(
            requester.principal, requester.client_id, strict=self.api_version >= strict_since
        )

    def check_cluster_operation(self) -> None:
        """Raises ApiError CLUSTER_AUTHORIZATION_FAILED when the API needs an operation the requester may not do."""
        needed = CLUSTER_OPERATIONS.get(self.api_key)
        if needed is not None and not self.authorize(needed, AclResourceType.CLUSTER, CLUSTER_NAME):
            raise ApiError(
                ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
                f"{self.api_key.name} needs {needed.name} on the cluster, which {self.requester.principal} at"
                f" {self.requester.client_host} is not allowed",
            )


class RequestError(NamedTuple):
    """Why a whole request failed."""

    code: ErrorCode
    message: str | None


Handle: TypeAlias = Callable[..., Awaitable[Any]]
"""`handle(context, request)` gives the response or raises ApiError."""
PlaceError: TypeAlias = Callable[..., Any]
"""`place_error(context, request, error)` gives the response that says why the whole request failed."""
CheckBody: TypeAlias = Callable[..., None]
"""`check_body(request, api_version)` raises DecodeError for a body that decodes but that Kafka refuses to parse."""

HandleT = TypeVar("HandleT", bound=Handle)


class Handler(NamedTuple):
    """How an API is answered, where a failure of the whole request goes (Kafka's getErrorResponse), and the check of
    a decoded body."""

    handle: Handle
    place_error: PlaceError
    check_body: CheckBody | None


def top_level_code(context: RequestContext, request: object, error: RequestError) -> Any:
    """The error code at the top of the response, and nothing else."""
    return cast("Any", response_class(context.api_key))(error_code=error.code)


def top_level_error(context: RequestContext, request: object, error: RequestError) -> Any:
    """The error code and its message at the top of the response."""
    return cast("Any", response_class(context.api_key))(error_code=error.code, error_message=error.message)


def handles(
    *keys: ApiKey, place_error: PlaceError = top_level_code, check_body: CheckBody | None = None
) -> Callable[[HandleT], HandleT]:
    """Register the decorated function as the handler of `keys`."""

    def register(handle: HandleT) -> HandleT:
        for key in keys:
            HANDLERS[key] = Handler(handle, place_error, check_body)
        return handle

    return register


def handler(key: ApiKey) -> Handler:
    """The handler of an API in HANDLER_MODULES."""
    found = HANDLERS.get(key)
    if found is None:
        import_module(f"pykraft.server.handlers.{HANDLER_MODULES[key]}")
        found = HANDLERS[key]
    return found


CLUSTER_OPERATIONS: Final[dict[ApiKey, AclOperation]] = {
    ApiKey.FETCH: AclOperation.CLUSTER_ACTION,
    ApiKey.DESCRIBE_ACLS: AclOperation.DESCRIBE,
    ApiKey.CREATE_ACLS: AclOperation.ALTER,
    ApiKey.DELETE_ACLS: AclOperation.ALTER,
    ApiKey.ELECT_LEADERS: AclOperation.ALTER,
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: AclOperation.ALTER,
    ApiKey.LIST_PARTITION_REASSIGNMENTS: AclOperation.DESCRIBE,
    ApiKey.ALTER_CLIENT_QUOTAS: AclOperation.ALTER_CONFIGS,
    ApiKey.ALTER_USER_SCRAM_CREDENTIALS: AclOperation.ALTER,
    ApiKey.VOTE: AclOperation.CLUSTER_ACTION,
    ApiKey.BEGIN_QUORUM_EPOCH: AclOperation.CLUSTER_ACTION,
    ApiKey.END_QUORUM_EPOCH: AclOperation.CLUSTER_ACTION,
    ApiKey.DESCRIBE_QUORUM: AclOperation.DESCRIBE,
    ApiKey.ALTER_PARTITION: AclOperation.CLUSTER_ACTION,
    ApiKey.UPDATE_FEATURES: AclOperation.ALTER,
    ApiKey.ENVELOPE: AclOperation.CLUSTER_ACTION,
    ApiKey.FETCH_SNAPSHOT: AclOperation.CLUSTER_ACTION,
    ApiKey.BROKER_REGISTRATION: AclOperation.CLUSTER_ACTION,
    ApiKey.BROKER_HEARTBEAT: AclOperation.CLUSTER_ACTION,
    ApiKey.UNREGISTER_BROKER: AclOperation.ALTER,
    ApiKey.ALLOCATE_PRODUCER_IDS: AclOperation.CLUSTER_ACTION,
    ApiKey.CONTROLLER_REGISTRATION: AclOperation.CLUSTER_ACTION,
    ApiKey.ASSIGN_REPLICAS_TO_DIRS: AclOperation.CLUSTER_ACTION,
    ApiKey.ADD_RAFT_VOTER: AclOperation.ALTER,
    ApiKey.REMOVE_RAFT_VOTER: AclOperation.ALTER,
    ApiKey.UPDATE_RAFT_VOTER: AclOperation.CLUSTER_ACTION,
}
"""What a request needs on the cluster before its handler sees it (ControllerApis.scala, AclApis.scala). Handlers of the
other APIs pass `RequestContext.authorize` on, or serve everyone."""

HANDLERS: Final[dict[ApiKey, Handler]] = {}
"""The handlers of the modules imported so far."""

HANDLER_MODULES: Final[dict[ApiKey, str]] = {
    ApiKey.FETCH: "fetch",
    ApiKey.CONTROLLED_SHUTDOWN: "not_handled",
    ApiKey.SASL_HANDSHAKE: "sasl",
    ApiKey.API_VERSIONS: "api_versions",
    ApiKey.CREATE_TOPICS: "create_topics",
    ApiKey.DELETE_TOPICS: "delete_topics",
    ApiKey.DESCRIBE_ACLS: "describe_acls",
    ApiKey.CREATE_ACLS: "create_acls",
    ApiKey.DELETE_ACLS: "delete_acls",
    ApiKey.DESCRIBE_CONFIGS: "describe_configs",
    ApiKey.ALTER_CONFIGS: "alter_configs",
    ApiKey.SASL_AUTHENTICATE: "sasl",
    ApiKey.CREATE_PARTITIONS: "create_partitions",
    ApiKey.CREATE_DELEGATION_TOKEN: "create_delegation_token",
    ApiKey.RENEW_DELEGATION_TOKEN: "renew_delegation_token",
    ApiKey.EXPIRE_DELEGATION_TOKEN: "expire_delegation_token",
    ApiKey.DESCRIBE_DELEGATION_TOKEN: "not_handled",
    ApiKey.ELECT_LEADERS: "elect_leaders",
    ApiKey.INCREMENTAL_ALTER_CONFIGS: "incremental_alter_configs",
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: "alter_partition_reassignments",
    ApiKey.LIST_PARTITION_REASSIGNMENTS: "list_partition_reassignments",
    ApiKey.ALTER_CLIENT_QUOTAS: "alter_client_quotas",
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: "not_handled",
    ApiKey.ALTER_USER_SCRAM_CREDENTIALS: "alter_user_scram_credentials",
    ApiKey.VOTE: "vote",
    ApiKey.BEGIN_QUORUM_EPOCH: "begin_quorum_epoch",
    ApiKey.END_QUORUM_EPOCH: "end_quorum_epoch",
    ApiKey.DESCRIBE_QUORUM: "describe_quorum",
    ApiKey.ALTER_PARTITION: "alter_partition",
    ApiKey.UPDATE_FEATURES: "update_features",
    ApiKey.ENVELOPE: "envelope",
    ApiKey.FETCH_SNAPSHOT: "fetch_snapshot",
    ApiKey.DESCRIBE_CLUSTER: "describe_cluster",
    ApiKey.BROKER_REGISTRATION: "broker_registration",
    ApiKey.BROKER_HEARTBEAT: "broker_heartbeat",
    ApiKey.UNREGISTER_BROKER: "unregister_broker",
    ApiKey.ALLOCATE_PRODUCER_IDS: "allocate_producer_ids",
    ApiKey.CONTROLLER_REGISTRATION: "controller_registration",
    ApiKey.ASSIGN_REPLICAS_TO_DIRS: "assign_replicas_to_dirs",
    ApiKey.ADD_RAFT_VOTER: "raft_voters",
    ApiKey.REMOVE_RAFT_VOTER: "raft_voters",
    ApiKey.UPDATE_RAFT_VOTER: "raft_voters",
}
