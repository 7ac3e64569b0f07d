"""The examples of the README run as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pykraft.testing.simulated_broker import SimulatedBroker, running

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_test_example_passes_with_brokers_that_register() -> None:
    (example,) = blocks("python")
    with ExitStack() as brokers:

        def start_my_brokers(quorum_voters: str, cluster_id: str) -> None:
            node_id, _, address = quorum_voters.partition("@")
            assert node_id == "1"
            host, _, port = address.rpartition(":")
            broker = SimulatedBroker(1, cluster_id, (host, int(port)), migrating=False)
            brokers.enter_context(running([broker]))

        namespace: dict[str, Any] = {"start_my_brokers": start_my_brokers}
        exec(compile(example, "README.md", "exec"), namespace)
        tests = [value for name, value in namespace.items() if name.startswith("test_")]
        assert len(tests) == 1
        tests[0]()


def test_the_command_example_prints_the_events_it_shows(tmp_path: Path) -> None:
    (example,) = blocks("console")
    command, *shown = example.removeprefix("$ ").splitlines()
    program, *arguments = shlex.split(command.replace(":9093", ":0"))
    assert program == "pykraft"
    process = subprocess.Popen(
        [sys.executable, "-m", "pykraft", *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        assert process.stdout is not None
        printed = [json.loads(process.stdout.readline()) for _ in shown]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert [(e["event"], e.keys()) for e in printed] == [(e["event"], e.keys()) for e in map(json.loads, shown)]
    assert (tmp_path / "pykraft-data" / "meta.properties").exists()


def test_every_path_it_names_exists() -> None:
    named = re.findall(r"`((?:pykraft|tools|schemas|codegen)/[\w/.]*)", README)
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []


def usage(*command: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "pykraft", *command, "--help"], capture_output=True, text=True, check=True
    ).stdout


def test_every_option_it_names_exists() -> None:
    prose = re.sub(r"```sh\n.*?```", "", README, flags=re.DOTALL)
    named = set(re.findall(r"--[a-z][a-z-]+", prose)) - {"--json"}
    known = usage("controller")
    assert named
    assert {option for option in named if option not in known} == set()


def test_every_command_it_lists_exists_with_its_options() -> None:
    (block,) = blocks("sh")
    for line in block.splitlines():
        program, command, action, *arguments = shlex.split(line, comments=True)
        assert program == "pykraft"
        known = usage(command, action)
        assert [word for word in arguments if word.startswith("--") and word not in known] == [], line
