"""The lab's processes: watched, ended, and gone when the one that started them is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pykraft.lab.cluster import PORTS, free_port
from pykraft.lab.errors import LabError
from pykraft.lab.process import EventProcess, JsonProcess, LogReader, Process
from tests import waiting

DEADLINE_S = 20.0

until = partial(waiting.until, deadline_s=DEADLINE_S, poll_s=0.01)


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-u", "-c", code]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = Process("sleeper", python("import time\nprint('up')\ntime.sleep(600)"), tmp_path)
    yield process
    if process.running:
        process.kill()


def state_of(pid: int) -> str:
    """The state letter of a process (T: stopped), or - when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "-"


def test_a_process_is_watched_paused_and_stopped(sleeper: Process) -> None:
    sleeper.start()
    assert sleeper.wait_log("up", DEADLINE_S) == "up"
    sleeper.pause()
    until(lambda: state_of(sleeper.pid) == "T", "it is stopped")
    sleeper.resume()
    until(lambda: state_of(sleeper.pid) != "T", "it goes on")
    assert sleeper.stop() == -signal.SIGTERM
    assert not sleeper.running


def test_a_second_start_waits_for_lines_of_the_second_run(sleeper: Process) -> None:
    sleeper.start()
    sleeper.wait_log("up", DEADLINE_S)
    sleeper.kill()
    sleeper.start()
    sleeper.wait_log("up", DEADLINE_S)
    assert sleeper.log.read_text() == "up\nup\n"


def test_waiting_in_vain_names_process_log_and_last_lines(sleeper: Process) -> None:
    sleeper.start()
    sleeper.wait_log("up", DEADLINE_S)
    with pytest.raises(LabError, match="sleeper: has not logged 'down' within 0 s") as caught:
        sleeper.wait_log("down", 0.2)
    assert str(sleeper.log) in str(caught.value)
    assert str(caught.value).endswith("| up")


def test_a_process_that_ends_while_waited_for_is_reported_at_once(tmp_path: Path) -> None:
    process = Process("brief", python("print('reason'); raise SystemExit(3)"), tmp_path).start()
    with pytest.raises(LabError, match="ended with 3 and has not logged") as caught:
        process.wait_log("never", DEADLINE_S)
    assert str(caught.value).endswith("| reason")
    assert process.wait_exit() == 3


def test_a_missing_program_is_a_lab_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot start /no/such/program"):
        Process("missing", ["/no/such/program"], tmp_path).start()


def test_events_are_read_from_the_file_and_other_lines_go_to_the_log(tmp_path: Path) -> None:
    code = 'import time\nprint(\'{"event": "ready"}\')\nprint(\'not json\')\nprint(\'{"event": "more"}\')'
    process = EventProcess("talker", python(code), tmp_path).start()
    process.wait_event(lambda event: event["event"] == "more", "said more", DEADLINE_S)
    process.wait_exit()
    assert [event["event"] for event in process.events] == ["ready", "more"]
    assert process.log.read_text() == "stdout: not json\n"
    with pytest.raises(LabError, match="ended with 0 and has not said never"):
        process.wait_event(lambda event: event["event"] == "never", "said never", DEADLINE_S)


def test_lines_go_in_and_out_of_a_json_process(tmp_path: Path) -> None:
    code = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    process = JsonProcess("echo", python(code), tmp_path).start()
    process.send({"number": 7})
    assert process.wait_event(lambda event: "number" in event, "answered", DEADLINE_S) == {"number": 7}
    process.stop()
    with pytest.raises(LabError):
        process.send({"number": 8})


def test_half_a_line_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    reader = LogReader(path)
    assert reader.new_lines() == []
    path.write_text("one\ntw")
    assert reader.new_lines() == ["one"]
    path.write_text("one\ntwo\n")
    assert reader.new_lines() == ["two"]


def test_killing_the_parent_ends_its_processes(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, sys, os\n"
        "from pykraft.lab.process import Process\n"
        f"process = Process('child', [{sys.executable!r}, '-c', 'import time; time.sleep(600)'], "
        f"pathlib.Path({str(tmp_path)!r})).start()\n"
        "print(process.pid, flush=True)\n"
        "signal.pause()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=os.getcwd())
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
    assert state_of(child) in "SRD"
    parent.kill()
    parent.wait()
    until(lambda: state_of(child) in "-Z", "the child is gone")


def test_ports_are_below_those_of_outgoing_connections_and_not_given_twice() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert all(port in PORTS for port in ports)
