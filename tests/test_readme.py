"""The examples of the README run as they stand there."""

from __future__ import annotations

import io
import json
import re
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from pykraft.cli import main
from pykraft.testing.simulated_broker import SimulatedBroker, running

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_test_example_passes_with_brokers_that_register() -> None:
    (example,) = (block for block in blocks("python") if "def test_" in block)
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


def test_the_other_examples_run() -> None:
    others = [block for block in blocks("python") if "def test_" not in block]
    assert others
    for example in others:
        exec(compile(example, "README.md", "exec"), {})


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
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        main.main([*command, "--help"])
    return printed.getvalue()


def test_every_option_it_names_exists() -> None:
    prose = re.sub(r"```sh\n.*?```", "", README, flags=re.DOTALL)
    named = set(re.findall(r"--[a-z][a-z-]+", re.sub(r"`pykraft (?!controller)[^`]*`", "", prose))) - {"--json"}
    known = usage("controller") + usage("lab", "migrate")  # which tools/demo gives its arguments to
    assert named
    assert {option for option in named if option not in known} == set()


def test_every_command_it_lists_exists_with_its_options() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`(pykraft [a-z]+ [a-z]+ -[^`]*)`", README)
    assert len(lines) > 10
    for line in lines:
        program, command, action, *arguments = shlex.split(line, comments=True)
        assert program == "pykraft"
        known = usage(command, action)
        own = arguments[: arguments.index("--")] if "--" in arguments else arguments
        assert [word for word in own if word.startswith("--") and word not in known] == [], line
