"""Records of every kind that is not about brokers and topics, on a few keys, so that they meet each other."""

from __future__ import annotations

from hypothesis import strategies as st

from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.client_quota_record import ClientQuotaRecord, EntityData
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.delegation_token_record import DelegationTokenRecord
from pykraft.protocol.records.no_op_record import NoOpRecord
from pykraft.protocol.records.producer_ids_record import ProducerIdsRecord
from pykraft.protocol.records.register_controller_record import RegisterControllerRecord
from pykraft.protocol.records.remove_delegation_token_record import RemoveDelegationTokenRecord
from pykraft.protocol.records.user_scram_credential_record import UserScramCredentialRecord


def sundry_records() -> st.SearchStrategy[ApiMessageAndVersion]:
    """Records that can follow on anything."""
    few = st.integers(0, 2)
    name = st.sampled_from(["a", "b"])
    blob = st.sampled_from([b"1", b"2"])
    entity = st.sampled_from([[("user", "u")], [("client-id", "c"), ("user", None)]])
    kinds = st.one_of(
        st.builds(
            ConfigRecord, resource_type=st.sampled_from([2, 4]), resource_name=name, name=name, value=st.none() | name
        ),
        st.builds(
            lambda pairs, key, value, remove: ClientQuotaRecord([EntityData(*p) for p in pairs], key, value, remove),
            entity,
            name,
            st.sampled_from([1.0, 2.5]),
            st.booleans(),
        ),
        st.builds(ProducerIdsRecord, broker_id=few, broker_epoch=few, next_producer_id=few),
        st.builds(
            UserScramCredentialRecord,
            name=name,
            mechanism=st.integers(1, 2),
            salt=blob,
            stored_key=blob,
            server_key=blob,
            iterations=st.just(4096),
        ),
        st.builds(
            AccessControlEntryRecord,
            id=few.map(lambda n: bytes([n + 1]) * 16),
            resource_type=few,
            resource_name=name,
            principal=name,
            host=name,
        ),
        st.builds(
            DelegationTokenRecord, owner=name, requester=name, renewers=st.lists(name, max_size=1), token_id=name
        ),
        st.builds(RemoveDelegationTokenRecord, token_id=name),
        st.builds(RegisterControllerRecord, controller_id=few, incarnation_id=few.map(lambda n: bytes([n + 1]) * 16)),
        st.builds(NoOpRecord),
    )
    return kinds.map(lambda record: ApiMessageAndVersion(record, 0))
