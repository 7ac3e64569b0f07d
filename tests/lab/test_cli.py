"""`pykraft lab`: what is left running can be ended, wrong use is refused, jars are looked for where they were put."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from pykraft.cli import lab as command
from pykraft.lab import jars, state
from pykraft.lab.cluster import Lab, Node
from pykraft.lab.errors import LabError
from pykraft.lab.process import Process


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["lab", *arguments])
    code: int = args.func(args)
    return code


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_down_ends_what_was_left_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Lab(tmp_path) as lab:
        for name in ("zookeeper", "broker-0", "controller-3000", "broker-1"):
            sleeper = Process(name, [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path / name)
            lab.nodes[name] = Node(sleeper.start(), 1, tmp_path / name)
        pids = [node.process.pid for node in lab.nodes.values()]
        state.leave_running(lab)
    assert all(runs(pid) for pid in pids)
    assert run("down", "--folder", str(tmp_path)) == 0
    assert capsys.readouterr().out == "ended: broker-0, broker-1, controller-3000, zookeeper\n"
    assert not any(runs(pid) for pid in pids)
    assert run("down", "--folder", str(tmp_path)) == 2


def test_a_folder_in_use_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "is_present", lambda _: True)
    (tmp_path / "something").touch()
    assert run("migrate", "--folder", str(tmp_path)) == 2
    assert "is not empty" in capsys.readouterr().err


def test_a_release_without_zookeeper_or_transactions_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("migrate", "--kafka", "4.0.2") == 2
    assert run("migrate", "--kafka", "3.5.2") == 2
    assert "Kafka 3.5.2 cannot be migrated: take a release of 3.6, 3.7, 3.8, 3.9" in capsys.readouterr().err


def test_wrong_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("migrate", "--brokers", "0")
    assert caught.value.code == 2
    assert "0 is not at least 1" in capsys.readouterr().err


def test_missing_jars_are_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYKRAFT_JARS", str(tmp_path))
    with pytest.raises(LabError, match=r"the jars of Kafka 3\.6\.2 are not in .*: run tools/setup"):
        jars.class_path("3.6.2")
    (tmp_path / "3.6.2").mkdir()
    (tmp_path / "3.6.2/complete").touch()
    assert jars.class_path("3.6.2") == f"{tmp_path}/3.6.2/libs/*"


def test_a_machine_without_maven_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYKRAFT_JARS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"there is no mvn on the PATH: .*apt-get install maven"):
        jars.ensure("3.6.2")
