"""The classes of the control records that stand in a metadata log or a checkpoint, by their type."""

from __future__ import annotations

from typing import Final

from pykraft.log.batch import ControlRecordType
from pykraft.protocol._message import Message
from pykraft.protocol.messages.kraft_version_record import KRaftVersionRecord
from pykraft.protocol.messages.leader_change_message import LeaderChangeMessage
from pykraft.protocol.messages.snapshot_footer_record import SnapshotFooterRecord
from pykraft.protocol.messages.snapshot_header_record import SnapshotHeaderRecord
from pykraft.protocol.messages.voters_record import VotersRecord

CONTROL_RECORDS: Final[dict[int, type[Message]]] = {
    ControlRecordType.LEADER_CHANGE: LeaderChangeMessage,
    ControlRecordType.SNAPSHOT_HEADER: SnapshotHeaderRecord,
    ControlRecordType.SNAPSHOT_FOOTER: SnapshotFooterRecord,
    ControlRecordType.KRAFT_VERSION: KRaftVersionRecord,
    ControlRecordType.KRAFT_VOTERS: VotersRecord,
}
