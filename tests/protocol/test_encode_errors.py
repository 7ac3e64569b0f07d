"""Values that a version cannot say: one typed error that names the field."""

from __future__ import annotations

from typing import Any

import pytest

from pykraft.protocol._message import Message
from pykraft.protocol.errors import EncodeError, ErrorCode, UnsupportedVersionError
from pykraft.protocol.messages.broker_registration_request import BrokerRegistrationRequestData, Feature, Listener
from pykraft.protocol.messages.broker_registration_response import BrokerRegistrationResponseData
from pykraft.protocol.messages.fetch_request import FetchRequestData, ReplicaState
from pykraft.protocol.messages.leader_and_isr_request import LeaderAndIsrRequestData
from pykraft.protocol.messages.request_header import RequestHeaderData
from pykraft.protocol.records.broker_registration_change_record import BrokerRegistrationChangeRecord
from pykraft.protocol.records.partition_change_record import PartitionChangeRecord
from pykraft.protocol.records.register_broker_record import RegisterBrokerRecord

REGISTRATION = BrokerRegistrationRequestData


@pytest.mark.parametrize(("message", "version", "path", "reason"), [
    (REGISTRATION(broker_id=2**31), 4, "brokerId", "expected int32, got int 2147483648"),
    (REGISTRATION(cluster_id=None), 4, "clusterId", "null, which version 4 cannot say"),  # type: ignore[arg-type]  # wrong
    (REGISTRATION(cluster_id=b"x"), 4, "clusterId", "expected a text, got bytes b'x'"),  # type: ignore[arg-type]  # wrong
    (REGISTRATION(cluster_id="\ud800"), 4, "clusterId", "not writable as UTF-8: surrogates not allowed at character 0"),
    (REGISTRATION(cluster_id="x" * 32768), 4, "clusterId", "length 32768 is above 32767"),
    (RequestHeaderData(client_id="x" * 32768), 1, "clientId", "length 32768 is above 32767"),
    (REGISTRATION(incarnation_id=b"short"), 4, "incarnationId", "expected the 16 bytes of a uuid, got bytes b'short'"),
    (REGISTRATION(log_dirs=[bytes(16), b"x" * 15]), 4, "logDirs[1]",
     "expected the 16 bytes of a uuid, got bytes b'xxxxxxxxxxxxxxx'"),
    (REGISTRATION(listeners=[Listener(), Listener(port=65536)]), 4, "listeners[1].port",
     "expected uint16, got int 65536"),
    (REGISTRATION(listeners=None), 4, "listeners", "null, which version 4 cannot say"),  # type: ignore[arg-type]  # wrong
    (REGISTRATION(listeners=[None]), 4, "listeners[0]",  # type: ignore[list-item]  # wrong
     "expected Listener, got NoneType None"),
    (REGISTRATION(features=[Feature(unknown_tagged_fields=((1, b""), (1, b"")))]), 4, "features[0].taggedFields",
     "tag 1 is there twice"),
    (REGISTRATION(is_migrating_zk_broker=True), 0, "isMigratingZkBroker",
     "version 0 has no such field, its value is not the default"),
    (FetchRequestData(replica_state=ReplicaState(1, 2)), 14, "replicaState",
     "version 14 has no such field, its value is not the default"),
    (LeaderAndIsrRequestData(unknown_tagged_fields=((0, b""),)), 3, "taggedFields", "version 3 has no tagged fields"),
    (PartitionChangeRecord(unknown_tagged_fields=((1, b""),), leader=3), 0, "taggedFields", "tag 1 is there twice"),
    (PartitionChangeRecord(unknown_tagged_fields=((-1, b""),)), 0, "taggedFields",
     "tag -1 is not within 0 and 2147483647"),
])  # fmt: skip
def test_error_names_the_field(message: Message, version: int, path: str, reason: str) -> None:
    with pytest.raises(EncodeError) as caught:
        message.encode(version)
    assert (caught.value.path, caught.value.reason) == (path, reason)
    assert str(caught.value) == f"{path}: {reason}"


def test_ignorable_fields_are_left_out_of_versions_that_lack_them() -> None:
    message = REGISTRATION(log_dirs=[bytes(16)], previous_broker_epoch=9)
    assert REGISTRATION.decode(message.encode(1), 1) == REGISTRATION()


def test_tagged_fields_at_their_default_are_not_written() -> None:
    assert BrokerRegistrationChangeRecord().encode(2).endswith(b"\x00")
    assert FetchRequestData(replica_state=ReplicaState()).encode(17) == FetchRequestData().encode(17)
    written = FetchRequestData(replica_state=ReplicaState(unknown_tagged_fields=((5, b""),)))
    assert FetchRequestData.decode(written.encode(17), 17) == written


def test_null_and_empty_of_a_tagged_field_are_two_things() -> None:
    for isr in (None, [], [1, 2]):
        raw = PartitionChangeRecord(isr=isr).encode(0)
        assert PartitionChangeRecord.decode(raw, 0).isr == isr
    assert PartitionChangeRecord(isr=[]).encode(0) != PartitionChangeRecord(isr=None).encode(0)


@pytest.mark.parametrize("version", [-1, 5, 2**40])
def test_unknown_versions(version: int) -> None:
    with pytest.raises(UnsupportedVersionError, match=f"RequestData has versions 0 to 4, not {version}"):
        REGISTRATION().encode(version)
    with pytest.raises(UnsupportedVersionError):
        REGISTRATION.decode(b"", version)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_reads_whatever_holds_bytes(kind: Any) -> None:
    raw = RegisterBrokerRecord(broker_id=3, rack="r").encode(3)
    assert RegisterBrokerRecord.decode(kind(raw), 3).rack == "r"


def test_error_codes_are_numbers_on_the_wire() -> None:
    message = BrokerRegistrationResponseData(error_code=ErrorCode.INCONSISTENT_CLUSTER_ID)
    assert BrokerRegistrationResponseData.decode(message.encode(4), 4).error_code == 104
