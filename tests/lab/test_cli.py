"""`pykraft lab`: what is left running can be ended, wrong use is refused, jars are looked for where they were put."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from pykraft.cli import lab as command
from pykraft.lab import jars, releases, state
from pykraft.lab.cluster import Lab, Node
from pykraft.lab.errors import LabError
from pykraft.lab.migrate import Settings
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


def test_releases_that_cannot_be_migrated_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("migrate", "--kafka", "3.9.1,4.0.2") == 2
    known = "3.4, 3.5, 3.6, 3.7, 3.8, 3.9"
    assert f"Kafka 4.0.2 cannot be migrated: take a release of {known}" in capsys.readouterr().err
    assert run("migrate", "--kafka", "3.3.2") == 2
    assert f"Kafka 3.3.2 cannot be migrated: take a release of {known}" in capsys.readouterr().err
    assert run("migrate", "--kafka", "3.5.2", "--controller", "kafka") == 2
    assert "Apache Kafka's own controller of 3.5.2 is not run by the lab: take 3.6" in capsys.readouterr().err
    assert run("migrate", "--kafka", "3.6.2,3.8.1,3.9.1", "--brokers", "2") == 2
    assert "3 releases need as many brokers at least, not 2" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("migrate", "--kafka", "3.6.2;3.8.1")
    assert "'3.6.2;3.8.1' is no release such as 3.9.1" in capsys.readouterr().err


def test_a_mixed_cluster_gets_the_level_of_its_oldest_release() -> None:
    settings = Settings(("3.9.1", "3.6.2", "3.8.1"), brokers=4)
    assert [settings.version_of(broker) for broker in range(4)] == ["3.9.1", "3.6.2", "3.8.1", "3.9.1"]
    assert (settings.metadata_version, settings.newest) == ("3.6-IV2", "3.9.1")
    assert settings.has_tokens


def test_what_a_release_cannot_take_along_is_left_out_and_said() -> None:
    assert not Settings(("3.5.2",)).has_tokens
    assert Settings(("3.6.2",)).has_tokens
    assert releases.left_out(["3.9.1", "3.4.1"]).keys() == {"ACLs", "SCRAM users", "delegation tokens"}
    assert releases.left_out(["3.5.2"]).keys() == {"delegation tokens"}
    assert releases.left_out(["3.6.2"]) == {}


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
