"""The registry, header versions, uuids and record frames."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from pykraft.protocol import api
from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import DecodeError, UnsupportedVersionError
from pykraft.protocol.messages.fetch_request import FetchRequestData
from pykraft.protocol.messages.fetch_response import FetchResponseData
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record, encode_record
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.protocol.uuids import METADATA_TOPIC_ID, ZERO_UUID, random_uuid, uuid_from_text, uuid_to_text


def test_spec_is_that_of_the_base_release() -> None:
    fetch = api.spec(ApiKey.FETCH)
    assert (fetch.name, fetch.min_version, fetch.max_version, fetch.flexible_from) == ("Fetch", 0, 17, 12)
    assert fetch.listeners == {"zkBroker", "broker", "controller"}
    assert api.spec(1, "4.1.2")[2:4] == (4, 18)
    assert api.spec(ApiKey.SASL_HANDSHAKE).flexible_from is None
    assert api.spec(ApiKey.SHARE_FETCH).latest_version_unstable


@pytest.mark.parametrize(("release", "count"), [
    ("3.4.1", 29), ("3.5.2", 31), ("3.6.2", 35), ("3.7.2", 39), ("3.8.1", 39), ("3.9.1", 42), ("4.0.2", 41),
    ("4.1.2", 41),
])  # fmt: skip
def test_apis_of_the_controller_listener(release: str, count: int) -> None:
    found = [spec for spec in api.release_apis(release).values() if "controller" in spec.listeners]
    assert len(found) == count
    assert [spec.key for spec in found] == sorted(spec.key for spec in found)


def test_what_a_release_lacks() -> None:
    assert api.releases()[0] == "3.4.1"
    with pytest.raises(UnsupportedVersionError, match="no API key 7"):
        api.spec(ApiKey.CONTROLLED_SHUTDOWN, "4.0.2")
    with pytest.raises(UnsupportedVersionError, match="no API key 999"):
        api.spec(999)
    for ask in (api.release_apis, api.record_versions):
        with pytest.raises(UnsupportedVersionError, match=r"2\.8"):
            ask("2.8")
    assert api.record_versions("3.4.1")["RegisterBrokerRecord"] == (0, 2)
    assert api.record_versions("3.9.1")["RegisterBrokerRecord"] == (0, 3)


def test_classes() -> None:
    assert api.request_class(1) is FetchRequestData
    assert api.response_class(ApiKey.FETCH) is FetchResponseData
    assert api.record_class(2) is TopicRecord
    for ask in (api.request_class, api.response_class, api.record_class):
        with pytest.raises(UnsupportedVersionError):
            ask(6000)
    with pytest.raises(UnsupportedVersionError):
        api.message_class("NoSuchData")


@pytest.mark.parametrize(("key", "version", "request_header", "response_header"), [
    (ApiKey.CONTROLLED_SHUTDOWN, 0, 0, 0), (ApiKey.CONTROLLED_SHUTDOWN, 1, 1, 0), (ApiKey.CONTROLLED_SHUTDOWN, 3, 2, 1),
    (ApiKey.API_VERSIONS, 2, 1, 0), (ApiKey.API_VERSIONS, 3, 2, 0), (ApiKey.API_VERSIONS, 99, 2, 0),
    (ApiKey.SASL_HANDSHAKE, 1, 1, 0), (ApiKey.FETCH, 11, 1, 0), (ApiKey.FETCH, 12, 2, 1),
    (ApiKey.BEGIN_QUORUM_EPOCH, 0, 1, 0), (ApiKey.VOTE, 0, 2, 1),
])  # fmt: skip
def test_header_versions(key: int, version: int, request_header: int, response_header: int) -> None:
    assert api.request_header_version(key, version) == request_header
    assert api.response_header_version(key, version) == response_header


def test_uuids() -> None:
    assert uuid_to_text(METADATA_TOPIC_ID) == "AAAAAAAAAAAAAAAAAAAAAQ"
    assert uuid_from_text("wyLSqpgsK8zTF6uk9hnOdQ").hex() == "c322d2aa982c2bccd317aba4f619ce75"
    rng = random.Random(7)
    for _ in range(500):
        uuid = random_uuid(rng)
        assert uuid_from_text(uuid_to_text(uuid)) == uuid
        assert not uuid_to_text(uuid).startswith("-")
        assert uuid[6] >> 4 == 4
        assert uuid[8] >> 6 == 2
    assert len(ZERO_UUID) == 16


def test_record_frame() -> None:
    record = TopicRecord("foo", METADATA_TOPIC_ID)
    raw = encode_record(record, 0)
    assert raw == bytes.fromhex("01020004666f6f") + METADATA_TOPIC_ID + b"\x00"
    assert decode_record(memoryview(raw)) == ApiMessageAndVersion(record, 0)
    with pytest.raises(DecodeError, match="frameVersion at byte 0: frame version 0, expected 1"):
        decode_record(b"\x00" + raw[1:])
    with pytest.raises(UnsupportedVersionError, match="no metadata record with key 127"):
        decode_record(b"\x01\x7f\x00")
    with pytest.raises(UnsupportedVersionError, match="TopicRecord has versions 0 to 0, not 1"):
        decode_record(b"\x01\x02\x01")
    with pytest.raises(DecodeError) as caught:
        decode_record(raw[:-1])
    assert (caught.value.path, caught.value.offset) == ("taggedFields", len(raw) - 1)


def test_importing_the_package_does_not_import_the_messages() -> None:
    program = (
        "import sys\n"
        "from pykraft.protocol import api, errors, frame, jsonconv, record_frame, uuids\n"
        "generated = ('pykraft.protocol.messages.', 'pykraft.protocol.records.')\n"
        "print(sum(name.startswith(generated) for name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == 2  # the two headers, which frames need
