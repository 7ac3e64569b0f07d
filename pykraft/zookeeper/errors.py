"""What ZooKeeper answers when it does not answer well: result codes, and the errors of the port."""

import enum


class ZkCode(enum.IntEnum):
    """ZooKeeper's result codes.

    A number that is not listed reads as `SYSTEM_ERROR`.
    Source: zookeeper-server KeeperException.Code.
    """

    OK = 0
    SYSTEM_ERROR = -1
    RUNTIME_INCONSISTENCY = -2
    DATA_INCONSISTENCY = -3
    CONNECTION_LOSS = -4
    MARSHALLING_ERROR = -5
    UNIMPLEMENTED = -6
    OPERATION_TIMEOUT = -7
    BAD_ARGUMENTS = -8
    UNKNOWN_SESSION = -12
    NEW_CONFIG_NO_QUORUM = -13
    RECONFIG_IN_PROGRESS = -14
    API_ERROR = -100
    NO_NODE = -101
    NO_AUTH = -102
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_EXPIRED = -112
    INVALID_CALLBACK = -113
    INVALID_ACL = -114
    AUTH_FAILED = -115
    SESSION_MOVED = -118
    NOT_READ_ONLY = -119
    EPHEMERAL_ON_LOCAL_SESSION = -120
    NO_WATCHER = -121
    REQUEST_TIMEOUT = -122
    RECONFIG_DISABLED = -123
    SESSION_CLOSED_REQUIRE_SASL_AUTH = -124
    QUOTA_EXCEEDED = -125
    THROTTLED_OP = -127

    @classmethod
    def _missing_(cls, value: object) -> "ZkCode":
        return cls.SYSTEM_ERROR


class ZooKeeperError(Exception):
    """Something between us and ZooKeeper failed as a whole; results of single operations are values."""


class ConnectionLossError(ZooKeeperError):
    """The connection went away while requests were in flight: their outcome is unknown.

    A write may or may not have been applied. Wait for `Session.wait_connected`, read back, then decide.
    """


class NotConnectedError(ZooKeeperError):
    """There is no connection, or a request before this one was lost: nothing was sent or applied."""


class SessionExpiredError(ZooKeeperError):
    """ZooKeeper ended the session; its ephemeral znodes are gone.

    The outcome of what was in flight is unknown. The port opens a new session by itself;
    `Session.wait_connected` returns when it stands.
    """


class AuthError(ZooKeeperError):
    """ZooKeeper refused the credentials of the connection."""


class ConnectTimeoutError(ZooKeeperError):
    """The first connection did not come about within `zookeeper.connection.timeout.ms`."""


class RequestTooLargeError(ZooKeeperError):
    """A request would exceed the server's `jute.maxbuffer`, at which the server closes the connection."""

    def __init__(self, request_bytes: int, request_bytes_max: int, first_path: str) -> None:
        super().__init__(
            f"request of {request_bytes} bytes starting with {first_path} exceeds the limit of "
            f"{request_bytes_max} bytes: split it, or raise jute.maxbuffer on the ZooKeeper servers and here"
        )
        self.request_bytes = request_bytes
        self.request_bytes_max = request_bytes_max


class RequestFailedError(ZooKeeperError):
    """ZooKeeper refused a request, or an operation that had to succeed did not.

    `code` is ZooKeeper's code, `path` the znode when one is to blame.
    """

    def __init__(self, code: ZkCode, doing: str, path: str | None = None) -> None:
        where = f" {path}" if path is not None else ""
        super().__init__(f"{doing}{where}: ZooKeeper answered {code.name} ({int(code)})")
        self.code = code
        self.path = path
