"""Frames that real brokers and controllers exchanged: to the JSON Kafka prints for them, and back to the same bytes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from pykraft.protocol import frame, jsonconv
from pykraft.protocol.errors import DecodeError, UnsupportedVersionError
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.request_header import RequestHeaderData

WIRE: Final = Path(__file__).parent.parent / "data" / "wire"
FILES: Final = sorted(WIRE.glob("*.jsonl"))
FRAMES_TOTAL: Final = 778


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def check(line: dict[str, Any]) -> None:
    raw = bytes.fromhex(line["frame"])
    key, version = line["api_key"], line["api_version"]
    if line["direction"] == "request":
        request, header_version, body = frame.decode_request(raw)
        assert jsonconv.to_json(request, header_version) == line["header"]
        assert frame.encode_request(request, body) == raw
    else:
        response, header_version, body = frame.decode_response(raw, key, version)
        assert jsonconv.to_json(response, header_version) == line["header"]
        assert frame.encode_response(key, version, response.correlation_id, body) == raw
    printed = jsonconv.to_json(body, version)
    assert printed == line["body"]
    assert list(printed) == list(line["body"])
    whole = jsonconv.to_json(body, version, records=True)
    assert jsonconv.from_json(type(body), whole, version) == body


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_frames_decode_to_kafkas_json_and_encode_to_the_same_bytes(path: Path) -> None:
    for number, line in enumerate(lines(path), 1):
        try:
            check(line)
        except (AssertionError, ValueError) as error:
            raise AssertionError(f"{path.name}:{number}: {line['api']} {line['direction']}") from error


def test_all_frames_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    found = sum(len(lines(path)) for path in FILES)
    with capsys.disabled():
        sys.stdout.write(f"\n{found} recorded frames of {len(FILES)} brokers\n")
    assert found == FRAMES_TOTAL


def test_header_can_be_read_when_the_version_is_not_known() -> None:
    header = RequestHeaderData(request_api_key=18, request_api_version=99, correlation_id=7, client_id="c")
    raw = header.encode(2) + b"what comes behind it"
    found, header_version, position = frame.decode_request_header(raw)
    assert (found, header_version, raw[position:]) == (header, 2, b"what comes behind it")
    with pytest.raises(UnsupportedVersionError, match="not 99"):
        frame.decode_request(raw)


def test_unknown_api_key() -> None:
    with pytest.raises(UnsupportedVersionError, match="no API key 999"):
        frame.decode_request(bytes.fromhex("03e7000000000001ffff"))


def test_errors_count_from_the_start_of_the_frame() -> None:
    header = RequestHeaderData(request_api_key=18, request_api_version=3, correlation_id=7, client_id="c")
    raw = frame.encode_request(header, ApiVersionsRequestData(client_software_name="n", client_software_version="v"))
    with pytest.raises(DecodeError) as caught:
        frame.decode_request(raw[:-2])
    assert (caught.value.path, caught.value.offset) == ("clientSoftwareVersion", len(raw) - 3)
    with pytest.raises(DecodeError) as caught:
        frame.decode_request(raw + b"!")
    assert (caught.value.offset, caught.value.reason) == (len(raw), "1 bytes are left over")


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x00\x12\x00", b"\x00\x12\x00\x03\x00\x00\x00"])
def test_too_short_for_a_header(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        frame.decode_request(raw)
