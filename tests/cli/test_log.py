"""`pykraft log`: what its subcommands print, and their exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pykraft.cli.common import UsageError
from pykraft.cli.log import SUBCOMMANDS
from pykraft.cli.log_common import Bar, until
from pykraft.cli.main import main
from tests.replay.samples import (
    CONTROLLER_DATA,
    CONTROLLER_LOG,
    RELEASES,
    SEGMENT,
    partitions_log,
    recorded,
    recorded_text,
)

TIMEOUT_S = 60


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["log", name, "--help"])
    assert ended.value.code == 0
    assert f"pykraft log {name} " in capsys.readouterr().out.partition("example")[2]


@pytest.mark.parametrize("release", RELEASES)
def test_dump(release: str, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    paths = recorded(release)
    monkeypatch.chdir(paths[0].parent)
    assert main(["log", "dump", "--kafka", release[:3], *(path.name for path in paths)]) == 0
    assert capfdbinary.readouterr().out.decode() == recorded_text(release)


def test_dump_says_what_ends_kafkas_tool(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    damaged = bytearray(CONTROLLER_LOG.read_bytes())
    damaged[91 + 61] = 0x7F  # the length of a record
    (tmp_path / SEGMENT).write_bytes(damaged)
    assert main(["log", "dump", str(tmp_path / SEGMENT)]) == 1
    printed = capfd.readouterr()
    assert printed.out.splitlines()[-1].endswith("isvalid: false")
    assert "Invalid record size" in printed.err


def test_dump_of_what_is_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "dump", str(CONTROLLER_DATA / "meta.properties")]) == 0
    assert "Ignoring unknown file" in capfd.readouterr().err
    (tmp_path / "x.log").write_bytes(b"")
    assert main(["log", "dump", str(tmp_path / "x.log")]) == 2
    assert main(["log", "dump", str(tmp_path / "absent.log")]) == 2
    assert main(["log", "dump", "--kafka", "1.0", str(CONTROLLER_LOG)]) == 2
    assert "use one of 3.4" in capfd.readouterr().err


def test_offsets_that_do_not_follow(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = CONTROLLER_LOG.read_bytes()
    path = tmp_path / SEGMENT
    path.write_bytes(content[:91] + content[236:400])
    assert main(["log", "dump", str(path)]) == 0
    assert capfd.readouterr().err == f"Non-consecutive offsets in {path}\n  0 is followed by 5\n"


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    (tmp_path / SEGMENT).write_bytes(partitions_log(20, 1000)[0])
    command = [sys.executable, "-m", "pykraft", "log", "dump", str(tmp_path / SEGMENT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"Dumping")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(TIMEOUT_S) == 0


def test_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "verify", str(CONTROLLER_DATA)]) == 0
    assert capsys.readouterr() == ("", "1 files, 98 batches, 155 records: no findings\n")
    path = tmp_path / SEGMENT
    path.write_bytes(CONTROLLER_LOG.read_bytes()[:-1])
    assert main(["log", "verify", str(path)]) == 1
    text = "the batch needs 72 bytes, the file ends after 71"
    assert capsys.readouterr().out == f"{path}: offset 154, byte 11270: {text}\n"
    assert main(["log", "verify", "--json", str(path)]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "file": str(path), "offset": 154, "position": 11270, "finding": text,
    }  # fmt: skip
    assert main(["log", "verify", str(tmp_path / "absent")]) == 2


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "explain", "6", str(CONTROLLER_DATA)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{CONTROLLER_LOG}, batch at byte 400, 72 bytes"
    assert lines[1].split() == ["400", "0000000000000006", "base_offset", "6"]
    assert main(["log", "explain", "--json", "6", str(CONTROLLER_LOG)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["bytes"] == "0000000000000006"
    assert main(["log", "explain", "999", str(CONTROLLER_LOG)]) == 2


def test_image_and_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for point in ("67", "2026-11-21T09:57:55"):
        assert main(["log", "image", "--until", point, str(CONTROLLER_DATA)]) == 0
        (tmp_path / f"{point}.json").write_text(capsys.readouterr().out)
    assert main(["log", "diff", str(tmp_path / "67.json"), f"{CONTROLLER_DATA}@67"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["log", "diff", f"{CONTROLLER_DATA}@67", f"{CONTROLLER_LOG}"]) == 1
    assert '+ scramCredentials.alice/1: {"iterations":4096,' in capsys.readouterr().out
    assert main(["log", "diff", "--json", f"{CONTROLLER_LOG}@140", f"{CONTROLLER_LOG}@154"]) == 1
    assert all(json.loads(line)["path"] for line in capsys.readouterr().out.splitlines())
    assert main(["log", "image", "--until", "yesterday", str(CONTROLLER_DATA)]) == 2


def test_bisect(capsys: pytest.CaptureFixture[str]) -> None:
    check = "import json, os; assert 'during-dual-write' not in json.load(open(os.environ['PYKRAFT_IMAGE']))['topics']"
    arguments = ["log", "bisect", "--json", str(CONTROLLER_DATA), "--", sys.executable, "-c", check]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["offset"] == 131
    assert "during-dual-write" in found["records"][0]
    assert main(["log", "bisect", str(CONTROLLER_DATA), "--", "true"]) == 1
    assert main(["log", "bisect", str(CONTROLLER_DATA), "--", "/no/such/program"]) == 2
    assert main(["log", "bisect", str(CONTROLLER_DATA)]) == 2


def test_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "copy")
    assert main(["log", "edit", "--json", str(CONTROLLER_DATA), target, "--drop", "NO_OP_RECORD", "--renumber"]) == 0
    assert json.loads(capsys.readouterr().out)["dropped"] == 81
    assert main(["log", "edit", str(CONTROLLER_DATA), target]) == 2
    for wrong in (["--map-id", "x=1"], ["--map-host", "a"], ["--map-host", "a=b:c"], ["--drop", "?"]):
        assert main(["log", "edit", str(CONTROLLER_DATA), str(tmp_path / "other"), *wrong]) == 2
    assert not (tmp_path / "other").exists()


def test_until() -> None:
    assert until(None) == (None, None)
    assert until("17") == (17, None)
    assert until("1970-01-01T00:00:01.5") == (None, 1500)
    assert until("1970-01-01T01:00:00+01:00") == (None, 0)
    with pytest.raises(UsageError):
        until("soon")


def test_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr("pykraft.cli.log_common.time.monotonic", lambda: now[0])
    with Bar("read") as bar:
        now[0] = 9.0
        bar(1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    now[0] = 0.0
    with Bar("read") as bar:
        bar(1, 10)
        assert capsys.readouterr().err == ""
        now[0] = 2.5
        bar(5, 10)
        bar(6, 10)
        assert capsys.readouterr().err == f"\rread [{'#' * 20}{'.' * 20}]  50%, 2 s left\x1b[K"
    assert capsys.readouterr().err == "\r\x1b[K"


def test_serve_needs_what_the_log_does_not_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / SEGMENT).write_bytes(CONTROLLER_LOG.read_bytes())
    assert main(["log", "serve", str(tmp_path / SEGMENT)]) == 2
    assert "give --cluster-id" in capsys.readouterr().err
    assert main(["log", "serve", str(CONTROLLER_DATA), "--listen", "here"]) == 2
    assert main(["log", "serve", str(CONTROLLER_DATA), "--pace", "0"]) == 2


def test_serve(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pykraft", "log", "serve", str(CONTROLLER_DATA), "--map-id", "0=5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ)) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert (ready["event"], ready["node_id"], ready["end_offset"]) == ("ready", 3000, 155)
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0
