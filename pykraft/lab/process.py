"""One process of the lab: started, watched through its log, stopped, killed, paused; never left behind."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Self

from pykraft.lab.errors import LabError
from pykraft.lab.jars import has_no_zookeeper, java

POLL_INTERVAL_S = 0.05
EVENTS_MAX = 1_000_000

Json = dict[str, Any]

# Runs in its own interpreter. Reads "add PID" and "end PID"; at the end of its input, that is when the lab's
# own process has died in whatever way, kills what is still there. A pidfd cannot hit the pid's next owner.
_GUARD = """
import os, signal, sys
watched = {}
signal.signal(signal.SIGINT, signal.SIG_IGN)
for line in sys.stdin:
    word, pid = line.split()
    if word == "add":
        try:
            watched[pid] = os.pidfd_open(int(pid))
        except OSError:
            pass
    elif pid in watched:
        os.close(watched.pop(pid))
for fd in watched.values():
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except OSError:
        pass
"""


class _Guard:
    """The helper process that ends our processes when this one dies, by SIGKILL too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def tell(self, word: str, pid: int) -> None:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _GUARD],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                    start_new_session=True,
                )
                atexit.register(self._end)
            assert self._process.stdin is not None
            self._process.stdin.write(f"{word} {pid}\n")
            self._process.stdin.flush()

    def _end(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


_guard = _Guard()


class Process:
    """A process whose stdout and stderr go to `FOLDER/NAME.log`, which is appended to from run to run."""

    def __init__(self, name: str, command: list[str], folder: Path, *, env: Mapping[str, str] | None = None) -> None:
        self.name, self.command, self.folder = name, command, folder
        self.log = folder / f"{name}.log"
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begin = 0
        self.begun = 0.0
        """When it was last started, by time.monotonic()."""

    def start(self) -> Self:
        """Start it. Raises LabError when it runs already or the program is missing."""
        if self.running:
            raise LabError("is running already", process=self.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._log_begin = output.tell()
            self.begun = time.monotonic()
            try:
                self._process = self._spawn(output)
            except OSError as error:
                raise LabError(f"cannot start {self.command[0]}: {error}", process=self.name) from error
        _guard.tell("add", self._process.pid)
        return self

    def _spawn(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C on the terminal reaches the lab, which ends its processes in order.
        return subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id. Raises LabError before the first start."""
        if self._process is None:
            raise LabError("has not been started", process=self.name)
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """What it ended with, -N for signal N; None while it runs."""
        return None if self._process is None else self._process.poll()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal. Raises LabError when it does not run."""
        if self._process is None or not self.running:
            raise LabError(f"cannot get {number.name}: it does not run", process=self.name, log=self.log)
        self._process.send_signal(number)

    def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM, and SIGKILL when it is still there after `timeout_s`; returns what it ended with."""
        return self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> int:
        """SIGKILL; returns when it is gone."""
        return self._end(signal.SIGKILL, 60.0)

    def _end(self, number: signal.Signals, timeout_s: float) -> int:
        process = self._process
        if process is None:
            raise LabError("has not been started", process=self.name)
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _guard.tell("end", process.pid)
        self._ended(process)
        return process.returncode

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        """Called when the process is gone; nothing to do here."""

    def pause(self) -> None:
        """SIGSTOP: it stands still, its connections stay open."""
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.send_signal(signal.SIGCONT)

    def release(self) -> None:
        """Let it live on when this process ends."""
        _guard.tell("end", self.pid)
        process, self._process = self._process, None
        assert process is not None
        process.returncode = 0  # it is not ours any more: no warning about a child left behind

    def failure(self, reason: str) -> LabError:
        """A LabError about this process with the end of its log."""
        return LabError(reason, process=self.name, log=self.log)

    def wait_exit(self, timeout_s: float = 60.0) -> int:
        """Wait until it ends by itself. Raises LabError at the deadline."""
        self.wait_for(lambda: not self.running, "ended", timeout_s, must_run=False)
        return self._end(signal.SIGKILL, 1.0)

    def wait_log(self, text: str, timeout_s: float = 60.0) -> str:
        """Wait for a line with `text` logged since the last start, and return it.

        Raises LabError at the deadline.
        """
        reader = LogReader(self.log, self._log_begin)
        found: list[str] = []

        def seen() -> bool:
            found.extend(line for line in reader.new_lines() if text in line)
            return bool(found)

        self.wait_for(seen, f"logged {text!r}", timeout_s)
        return found[0]

    def wait_port(self, port: int, timeout_s: float = 90.0) -> None:
        """Wait until something listens on 127.0.0.1:`port`. Raises LabError at the deadline."""
        self.wait_for(lambda: is_open(port), f"listened on 127.0.0.1:{port}", timeout_s)

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float, *, must_run: bool = True) -> None:
        """Wait until `condition()`. Raises LabError at the deadline, or when the process ends before.

        `what` completes the sentence "it has not …".
        """
        deadline = time.monotonic() + timeout_s
        while True:
            alive = self.running  # asked first: what it did just before it ended counts
            if condition():
                return
            if must_run and not alive:
                raise self.failure(f"ended with {self.returncode} and has not {what}")
            if time.monotonic() > deadline:
                raise self.failure(f"has not {what} within {timeout_s:.0f} s")
            time.sleep(POLL_INTERVAL_S)


class LogReader:
    """Reads what is appended to a log file, whole lines only."""

    def __init__(self, path: Path, position: int = 0) -> None:
        self._path, self._position = path, position

    def new_lines(self) -> list[str]:
        """The lines written since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        self._position += whole
        return data[:whole].decode(errors="replace").splitlines()


class EventProcess(Process):
    """A process that writes JSON lines on stdout, kept in `FOLDER/NAME.events`; its stderr is the log.

    As stdout is a file the process can outlive this one.
    """

    def __init__(self, name: str, command: list[str], folder: Path, *, env: Mapping[str, str] | None = None) -> None:
        super().__init__(name, command, folder, env=env)
        self.events: list[Json] = []
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None
        self._listeners: list[Callable[[Json], None]] = []
        self._closed = False

    def on_event(self, listener: Callable[[Json], None]) -> None:
        """Have `listener` called, in the reading thread, for each event from now on."""
        self._listeners.append(listener)

    def _spawn(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        path = self.folder / f"{self.name}.events"
        with path.open("ab") as events:
            reader = LogReader(path, events.tell())
            process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=events,
                stderr=output,
                start_new_session=True,
            )
        self._read_with(self._follow, reader, process)
        return process

    def _read_with(self, target: Callable[..., None], *arguments: object) -> None:
        self._closed = False
        self._reader = threading.Thread(target=target, args=arguments, name=f"{self.name}-stdout", daemon=True)
        self._reader.start()

    def _follow(self, reader: LogReader, process: subprocess.Popen[bytes]) -> None:
        ended = False
        while not ended:
            ended = process.poll() is not None  # asked first: what it wrote before it ended is read below
            for line in reader.new_lines():
                self._deliver(line)
            if not ended:
                time.sleep(POLL_INTERVAL_S)
        self._close()

    def _deliver(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            with self.log.open("a") as log:
                log.write(f"stdout: {line}\n")
            return
        with self._changed:
            if len(self.events) < EVENTS_MAX:
                self.events.append(event)
            self._changed.notify_all()
        for listener in self._listeners:
            listener(event)

    def _close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_event(self, wanted: Callable[[Json], bool], what: str, timeout_s: float = 60.0, *, since: int = 0) -> Json:
        """The first event from index `since` on for which `wanted(event)`; waits for it.

        Raises LabError at the deadline, or when stdout is closed before; `what` completes "it has not …".
        """
        deadline = time.monotonic() + timeout_s
        position = since
        with self._changed:
            while True:
                while position < len(self.events):
                    if wanted(self.events[position]):
                        return self.events[position]
                    position += 1
                if self._closed:
                    raise self.failure(f"ended with {self.returncode} and has not {what}")
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    raise self.failure(f"has not {what} within {timeout_s:.0f} s")
                self._changed.wait(remaining_s)

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        if self._reader is not None:
            self._reader.join(10.0)


class JsonProcess(EventProcess):
    """A process that is talked to: JSON lines to its stdin, JSON lines from its stdout, both pipes."""

    def _spawn(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
        self._read_with(self._read, process)
        return process

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._deliver(line.decode(errors="replace").rstrip("\n"))
        self._close()

    def send(self, message: Json) -> None:
        """Write one JSON line to its stdin. Raises LabError when it has ended."""
        process = self._process
        if process is None or process.stdin is None or process.stdin.closed:
            raise self.failure("takes no input: it does not run")
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
        except OSError as error:
            raise self.failure(f"takes no more input: {error}") from error

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        super()._ended(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not written any more goes nowhere
                    pipe.close()


def is_open(port: int) -> bool:
    """Whether something listens on 127.0.0.1:`port`."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def jvm_command(
    version: str,
    folder: Path,
    main: str,
    arguments: list[str],
    *,
    class_path: str,
    heap_mb: int = 256,
    log_level: str = "INFO",
    log_target: str = "System.out",
    jvm_options: tuple[str, ...] = (),
) -> list[str]:
    """The command line of a small JVM, its logging set up by a file written into `folder`.

    `log_target` is `System.out` or `System.err`; several of these JVMs share a few cores, hence SerialGC and
    the first compiler tier only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    layout = "[%d] %p %m (%c)%n"
    if has_no_zookeeper(version):
        settings = folder / "log4j2.properties"
        settings.write_text(
            f"status=warn\nappender.out.type=Console\nappender.out.name=out\n"
            f"appender.out.target={log_target.upper().replace('.', '_')}\n"
            "appender.out.layout.type=PatternLayout\n"
            f"appender.out.layout.pattern={layout}\n"
            f"rootLogger.level={log_level}\nrootLogger.appenderRef.out.ref=out\n"
        )
        logging = f"-Dlog4j2.configurationFile={settings}"
    else:
        settings = folder / "log4j.properties"
        settings.write_text(
            f"log4j.rootLogger={log_level}, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n"
            f"log4j.appender.out.target={log_target}\nlog4j.appender.out.layout=org.apache.log4j.PatternLayout\n"
            f"log4j.appender.out.layout.ConversionPattern={layout}\n"
        )
        logging = f"-Dlog4j.configuration=file:{settings}"
    return [
        java(),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Djava.awt.headless=true",
        *jvm_options,
        logging,
        "-cp",
        class_path,
        main,
        *arguments,
    ]
