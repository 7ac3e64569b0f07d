"""`pykraft protocol`: any line whatever gets one line back."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykraft.cli import protocol
from pykraft.cli.main import main

WIRE = Path(__file__).parent.parent / "data" / "wire" / "zk-broker-3.9.1.jsonl"


def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], action: str, *lines: object,
        options: tuple[str, ...] = ()) -> list[dict[str, Any]]:  # fmt: skip
    raw = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    parser = argparse.ArgumentParser()
    protocol.add_parser(parser.add_subparsers())
    args = parser.parse_args(["protocol", action, *options])
    assert args.func(args) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_frames_as_recorded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = [json.loads(line) for line in WIRE.read_text("utf-8").splitlines()]
    questions = [
        {
            "direction": line["direction"],
            "api_key": line["api_key"],
            "api_version": line["api_version"],
            "hex": line["frame"],
        }
        for line in recorded
    ]
    answers = ask(monkeypatch, capsys, "frame", *questions)
    assert answers == [{"api": line["api"], "header": line["header"], "body": line["body"]} for line in recorded]


def test_decode_and_encode(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told = {"name": "größe", "topicId": "AAAAAAAAAAAAAAAAAAAAAQ"}
    [encoded] = ask(monkeypatch, capsys, "encode", {"name": "TopicRecord", "version": 0, "json": told})
    question = {"name": "TopicRecord", "version": 0, "hex": encoded["hex"] + "ffff"}
    assert ask(monkeypatch, capsys, "decode", question) == [{"json": told, "rest": 2}]


def test_records_on_demand(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    partition = {"index": 0, "records": "AQI="}
    topics = [{"name": "t", "partitionData": [partition]}]
    told = {"transactionalId": None, "acks": -1, "timeoutMs": 1, "topicData": topics}
    [encoded] = ask(monkeypatch, capsys, "encode", {"name": "ProduceRequestData", "version": 9, "json": told})
    question = {"name": "ProduceRequestData", "version": 9, "hex": encoded["hex"]}
    assert ask(monkeypatch, capsys, "decode", question, options=("--records",)) == [{"json": told, "rest": 0}]
    partition["records"] = ""
    assert ask(monkeypatch, capsys, "decode", question) == [{"json": told, "rest": 0}]


@pytest.mark.parametrize(("action", "line", "error"), [
    ("decode", b"\xff", "not UTF-8: invalid start byte at byte 0"),
    ("decode", b"{", "not JSON: "),
    ("decode", b"[" * 100000, "nested too deep"),
    ("decode", b'{"version": ' + b"9" * 5000 + b"}", "not JSON: "),
    ("decode", b"[]", "not a JSON object"),
    ("decode", b'{"name": NaN}', "NaN is not JSON"),
    ("decode", {}, "needs 'name', a text"),
    ("decode", {"name": "TopicRecord"}, "needs 'version', an integer"),
    ("decode", {"name": "TopicRecord", "version": True, "hex": ""}, "needs 'version', an integer"),
    ("decode", {"name": "TopicRecord", "version": 0, "hex": "0"}, "'hex' is not pairs of hexadecimal digits"),
    ("decode", {"name": "TopicRecord", "version": 0, "hex": "é0"}, "'hex' is not pairs of hexadecimal digits"),
    ("decode", {"name": "TopicRecord", "version": 0, "hex": "0461"}, "name at byte 0: needs 3 bytes, 1 are left"),
    ("decode", {"name": "TopicRecord", "version": 1, "hex": ""}, "TopicRecord has versions 0 to 0, not 1"),
    ("decode", {"name": "Topic", "version": 1, "hex": ""}, "there is no message or record 'Topic'"),
    ("encode", {"name": "TopicRecord", "version": 0}, "needs 'json', an object"),
    ("encode", {"name": "TopicRecord", "version": 0, "json": {"name": "\ud800", "topicId": "A" * 22}},
     "name: not writable as UTF-8"),
    ("encode", {"name": "TopicRecord", "version": 0, "json": {"name": "t"}}, "topicId: missing"),
    ("encode", {"name": "TopicRecord", "version": 0, "json": {"\ud800": 1}}, "there is no such field"),
    ("frame", {"direction": "up", "hex": ""}, "'direction' is neither request nor response"),
    ("frame", {"direction": "request", "hex": ""}, "requestApiKey at byte 0: needs 4 bytes, 0 are left"),
    ("frame", {"direction": "response", "hex": ""}, "needs 'api_key', an integer"),
    ("frame", {"direction": "response", "api_key": 2**70, "api_version": 1, "hex": ""}, "there is no API key"),
    ("frame", {"direction": "response", "api_key": 1, "api_version": 2**70, "hex": ""}, "needs 4 bytes, 0 are left"),
])  # fmt: skip
def test_a_bad_line_gets_an_error_and_the_next_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], action: str, line: object, error: str
) -> None:
    answers = ask(monkeypatch, capsys, action, line, b"", b"  ", line)
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert list(answers[0]) == ["error"]
    assert error in answers[0]["error"]


def test_a_line_above_the_limit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(protocol, "LINE_BYTES_MAX", 100)
    short = {"name": "NoOpRecord", "version": 0, "hex": "00"}
    answers = ask(monkeypatch, capsys, "decode", b"x" * 1000, short, b"y" * 101, short)
    assert answers == [{"error": "the line has more than 100 bytes"}, {"json": {}, "rest": 0}] * 2


@pytest.mark.parametrize("action", ["decode", "encode", "frame"])
def test_the_example_of_the_help_is_answered(
    action: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["protocol", action, "--help"])
    found = re.search(r"example: echo '(.*)' \| pykraft protocol " + action, capsys.readouterr().out)
    assert found is not None
    [answer] = ask(monkeypatch, capsys, action, found[1].encode())
    assert "error" not in answer


DEEP: Final = json.loads("[" * 900 + "]" * 900)
WORDS: Final = st.sampled_from(
    [
        "name",
        "version",
        "hex",
        "json",
        "direction",
        "api_key",
        "api_version",
        "request",
        "response",
        "TopicRecord",
        "FetchRequestData",
        "EndTxnMarker",
        "topicId",
        "00",
        "ff",
    ]
)
VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 90)
    | st.floats()
    | st.text()
    | WORDS
    | st.just(DEEP)
    | st.just("\ud800")
    | st.binary(max_size=60).map(bytes.hex),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(), inner, max_size=4),
    max_leaves=8,
)
QUESTIONS: Final = st.fixed_dictionaries(
    {"name": WORDS | VALUES, "version": st.integers(-1, 20) | VALUES, "hex": st.binary().map(bytes.hex) | VALUES},
    optional={"json": VALUES, "direction": WORDS | VALUES, "api_key": st.integers(0, 90), "api_version": VALUES},
)


@given(
    st.sampled_from(["decode", "encode", "frame"]),
    st.binary() | (QUESTIONS | VALUES).map(lambda found: json.dumps(found).encode()),
)
@settings(max_examples=100_000 if os.environ.get("PYKRAFT_PROFILE") == "nightly" else 300, deadline=None)
def test_any_line_whatever_gets_an_answer(action: str, line: bytes) -> None:
    answer = protocol.answered(protocol._ANSWERS[action], line, True)
    assert isinstance(json.loads(json.dumps(answer, allow_nan=False)), dict)
    assert "Traceback" not in str(answer.get("error", ""))


def test_a_closed_output_ends_it_quietly() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pykraft", "protocol", "decode"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    question = b'{"name": "NoOpRecord", "version": 0, "hex": "00"}\n'
    try:
        process.stdin.write(question * 10)
        process.stdin.close()
    except BrokenPipeError:
        pass  # it ended before it had read all
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 0
    assert said == b""
