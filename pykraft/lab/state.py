"""What a lab that was left running consists of, kept in its folder so that it can be ended later."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from pykraft.lab.cluster import Lab
from pykraft.lab.errors import LabError

STATE_FILE = "lab.json"
STOP_TIMEOUT_S = 30.0
_LAST = {"controller": 1, "zookeeper": 2}


def leave_running(lab: Lab) -> Path:
    """Let all running nodes of the lab live on, note them in its folder, and return that file."""
    entries = []
    for node in lab.nodes.values():
        if node.process.running:
            pid = node.process.pid
            entries.append({"name": node.name, "pid": pid, "began": _began(pid), "address": node.address})
            node.process.release()
    path = lab.folder / STATE_FILE
    path.write_text(json.dumps({"version": lab.version, "processes": entries}, indent=1) + "\n")
    return path


def end(folder: Path) -> list[str]:
    """End what was left running in `folder`; returns the names of what was ended.

    Brokers go first, while the controller can still move their leaders, and ZooKeeper goes last.
    A pid that has gone to another process since is left alone. Raises LabError when nothing was left there.
    """
    path = folder / STATE_FILE
    if not path.exists():
        raise LabError(f"no lab was left running in {folder}: there is no {path}")
    ended = []
    processes = json.loads(path.read_text())["processes"]
    for entry in sorted(processes, key=lambda entry: _LAST.get(entry["name"].partition("-")[0], 0)):
        if _began(entry["pid"]) == entry["began"]:
            _end_one(entry["pid"], entry["began"])
            ended.append(str(entry["name"]))
    path.unlink()
    return ended


def _end_one(pid: int, began: str) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    os.kill(pid, signal.SIGTERM)
    while _began(pid) == began:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline += STOP_TIMEOUT_S
        time.sleep(0.05)


def _began(pid: int) -> str | None:
    """When a process began, in clock ticks since boot; None when there is none or only its exit status is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
