"""A controller for a test: in a thread for any test, in a nursery for a trio test.

The server's modules are imported when the first controller starts, so that the pytest plugin costs nothing before.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    import trio

    from pykraft.controller.config import ControllerConfig
    from pykraft.image.metadata_image import MetadataImage
    from pykraft.server.node import Node

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 30.0
EVENTS_KEPT_MAX: Final = 10_000

T = TypeVar("T")


class ControllerError(Exception):
    """A controller that did not start, stopped by itself or did not do in time what was waited for."""


class Controller:
    """A running controller, as a test sees it. Its methods may be called from any thread but the controller's own.

    `address` is `host:port` for `controller.quorum.voters` or `bootstrap.controllers`; `events` are the events so far,
    as `pykraft controller` prints them (the latest EVENTS_KEPT_MAX).
    """

    def __init__(self, node_id: int, data_directory: Path) -> None:
        self.node_id = node_id
        self.data_directory = data_directory
        self.address = ""
        self.cluster_id = ""
        self.events: list[dict[str, object]] = []
        self._changed = threading.Condition()
        self._node: Node | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope: trio.CancelScope | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def wait_event(self, event: str, timeout_s: float = 10.0, **fields: object) -> dict[str, object]:
        """The first event of that name with those fields, past or to come. Raises ControllerError after `timeout_s`."""
        wanted = {"event": event, **fields}

        def found() -> dict[str, object] | None:
            return next((each for each in self.events if wanted.items() <= each.items()), None)

        with self._changed:
            if not self._changed.wait_for(lambda: found() is not None or not self._alive(), timeout_s):
                seen = [str(each["event"]) for each in self.events]
                raise ControllerError(f"no event {wanted} within {timeout_s} s; there were {seen}")
            match = found()
        if match is None:
            self.check()
            raise ControllerError(f"the controller stopped without the event {wanted}")
        return match

    def read(self, fn: Callable[[MetadataImage], T]) -> T:
        """What `fn` makes of the committed image; it runs in the controller's thread."""
        import trio

        self.check()
        assert self._node is not None
        return trio.from_thread.run(self._node.writer.read, fn, trio_token=self._token)

    def check(self) -> None:
        """Raises what ended the controller, if something did."""
        if self._error is not None:
            from pykraft.server.failures import root_causes

            causes = "; ".join(str(cause) or type(cause).__name__ for cause in root_causes(self._error))
            raise ControllerError(f"the controller of {self.data_directory} failed: {causes}") from self._error

    def stop(self) -> None:
        """End it in order, as SIGTERM would; what it acknowledged is in `data_directory`. Raises what went wrong."""
        import trio

        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._scope is not None and thread.is_alive():
            with suppress(trio.RunFinishedError):
                trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
        thread.join(STOP_TIMEOUT_S)
        if thread.is_alive():
            raise ControllerError(f"the controller at {self.address} has not stopped within {STOP_TIMEOUT_S} s")
        self.check()

    def start(self, settings: dict[str, Any], config: ControllerConfig) -> None:
        """Run it in a thread and wait until it is ready. Raises ControllerError."""
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(settings, config, started), name="pykraft controller", daemon=True
        )
        self._thread.start()
        if not started.wait(START_TIMEOUT_S):
            raise ControllerError(f"the controller was not ready within {START_TIMEOUT_S} s")
        self.check()

    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive() and self._error is None

    def _run(self, settings: dict[str, Any], config: ControllerConfig, started: threading.Event) -> None:
        import trio

        try:
            trio.run(self._main, settings, config, started)
        except BaseException as error:
            self._error = error
        finally:
            started.set()
            with self._changed:
                self._changed.notify_all()

    async def _main(self, settings: dict[str, Any], config: ControllerConfig, started: threading.Event) -> None:
        import trio

        self._token = trio.lowlevel.current_trio_token()
        node = self._node = _node(settings, config, self._emit)
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            await nursery.start(node.run)
            self.address, self.cluster_id = node.address, node.cluster_id
            started.set()

    def _emit(self, event: str, **fields: object) -> None:
        with self._changed:
            self.events.append({"event": event, **fields})
            del self.events[:-EVENTS_KEPT_MAX]
            self._changed.notify_all()


@contextmanager
def controller(
    *,
    release: str = "3.9-IV0",
    node_id: int = 1,
    cluster_id: str | None = None,
    data_directory: Path | str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    zookeeper: str | None = None,
    seed: int | None = None,
    **overrides: object,
) -> Iterator[Controller]:
    """A controller that runs, in a thread of its own, as long as the block.

    `release` is the release of Kafka to stand for and the metadata.version of a new cluster, of which
    `inter_broker_protocol_version` makes another; without `data_directory` it keeps its data in a temporary one;
    `zookeeper` is the connect string of a cluster to migrate; `seed` fixes all that is drawn at random; `overrides`
    are Kafka's keys with `_` for `.`, such as `broker_session_timeout_ms=1000`.
    Raises ConfigError for a release or overrides that cannot be, ControllerError when it does not start or stop, with
    the cause.

    >>> with pykraft.testing.controller(release="3.9-IV0") as c:
    ...     start_my_brokers(voters=f"{c.node_id}@{c.address}", cluster_id=c.cluster_id)
    """
    config = _config(release, node_id, zookeeper, overrides)
    with _directory(data_directory) as directory:
        handle = Controller(node_id, directory)
        try:
            handle.start(
                {"data_directory": directory, "host": host, "port": port, "cluster_id": cluster_id, "seed": seed},
                config,
            )
            yield handle
        finally:
            handle.stop()


async def serve_controller(
    nursery: trio.Nursery,
    *,
    release: str = "3.9-IV0",
    node_id: int = 1,
    cluster_id: str | None = None,
    data_directory: Path | str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    zookeeper: str | None = None,
    seed: int | None = None,
    emit: Callable[..., None] = lambda event, **fields: None,
    **overrides: object,
) -> Node:
    """The same for a trio test: starts the node in `nursery` and gives it once it is ready; cancelling ends it."""
    import trio

    config = _config(release, node_id, zookeeper, overrides)

    async def serve(task_status: trio.TaskStatus[Node] = trio.TASK_STATUS_IGNORED) -> None:
        with _directory(data_directory) as directory:
            settings = {"data_directory": directory, "host": host, "port": port, "cluster_id": cluster_id, "seed": seed}
            node = _node(settings, config, emit)
            async with trio.open_nursery() as inner:
                await inner.start(node.run)
                task_status.started(node)

    node: Node = await nursery.start(serve)
    return node


def _node(settings: dict[str, Any], config: ControllerConfig, emit: Callable[..., None]) -> Node:
    from pykraft.server.node import Node, NodeSettings

    return Node(config, NodeSettings(**settings), emit)


def _config(release: str, node_id: int, zookeeper: str | None, overrides: dict[str, object]) -> ControllerConfig:
    from pykraft.controller.config import ControllerConfig

    properties = {"inter.broker.protocol.version": release, "node.id": str(node_id)}
    if zookeeper is not None:
        properties["zookeeper.connect"] = zookeeper
        properties["zookeeper.metadata.migration.enable"] = "true"
    for name, value in overrides.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        properties[name.replace("_", ".")] = text
    return ControllerConfig.from_properties(properties, release)


@contextmanager
def _directory(given: Path | str | None) -> Iterator[Path]:
    if given is not None:
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="pykraft-") as temporary:
        yield Path(temporary)
