"""metadata.version: its levels, their names and what each one switches on.

Source: server-common/.../server/common/MetadataVersion.java (Kafka 3.9; from 3.9-IV0 on that of 4.1, which gave the
levels that 3.9 had as unstable ones another meaning).
"""

from __future__ import annotations

from enum import IntEnum

FEATURE_NAME = "metadata.version"
ELR_VERSION = "eligible.leader.replicas.version"


class MetadataVersion(IntEnum):
    """A feature level of metadata.version; the member name is Kafka's IBP string with `_` for `.` and `-`."""

    IBP_3_0_IV1 = 1
    IBP_3_1_IV0 = 2
    IBP_3_2_IV0 = 3
    IBP_3_3_IV0 = 4
    IBP_3_3_IV1 = 5
    IBP_3_3_IV2 = 6
    IBP_3_3_IV3 = 7
    IBP_3_4_IV0 = 8
    IBP_3_5_IV0 = 9
    IBP_3_5_IV1 = 10
    IBP_3_5_IV2 = 11
    IBP_3_6_IV0 = 12
    IBP_3_6_IV1 = 13
    IBP_3_6_IV2 = 14
    IBP_3_7_IV0 = 15
    IBP_3_7_IV1 = 16
    IBP_3_7_IV2 = 17
    IBP_3_7_IV3 = 18
    IBP_3_7_IV4 = 19
    IBP_3_8_IV0 = 20
    IBP_3_9_IV0 = 21
    IBP_4_0_IV0 = 22
    IBP_4_0_IV1 = 23
    IBP_4_0_IV2 = 24
    IBP_4_0_IV3 = 25
    IBP_4_1_IV0 = 26
    IBP_4_1_IV1 = 27

    @property
    def text(self) -> str:
        """The name an operator writes, such as `3.9-IV0`."""
        major, minor, iv = self.name.removeprefix("IBP_").split("_")
        return f"{major}.{minor}-{iv}"

    @property
    def release(self) -> str:
        """The release of Kafka that brought this level, such as `3.9`."""
        return self.text.partition("-")[0]

    @property
    def did_metadata_change(self) -> bool:
        """Whether a downgrade across this level would lose metadata."""
        return self in _METADATA_CHANGED

    @property
    def register_broker_record_version(self) -> int:
        if self >= MetadataVersion.IBP_3_7_IV2:
            return 3
        if self >= MetadataVersion.IBP_3_4_IV0:
            return 2
        return 1 if self >= MetadataVersion.IBP_3_3_IV3 else 0

    @property
    def partition_record_version(self) -> int:
        if self >= MetadataVersion.IBP_4_0_IV1:
            return 2
        return 1 if self >= MetadataVersion.IBP_3_7_IV2 else 0

    partition_change_record_version = partition_record_version

    @property
    def is_elr_supported(self) -> bool:
        """Whether partitions may have eligible leader replicas; eligible.leader.replicas.version switches them on."""
        return self >= MetadataVersion.IBP_4_0_IV1

    @property
    def is_no_op_record_supported(self) -> bool:
        return self >= MetadataVersion.IBP_3_3_IV1

    @property
    def is_broker_registration_change_record_supported(self) -> bool:
        return self >= MetadataVersion.IBP_3_3_IV2

    @property
    def is_in_controlled_shutdown_state_supported(self) -> bool:
        return self >= MetadataVersion.IBP_3_3_IV3

    @property
    def is_leader_recovery_supported(self) -> bool:
        return self >= MetadataVersion.IBP_3_2_IV0

    @property
    def is_migration_supported(self) -> bool:
        return self >= MetadataVersion.IBP_3_4_IV0

    @property
    def is_scram_supported(self) -> bool:
        return self >= MetadataVersion.IBP_3_5_IV2

    @property
    def is_leader_epoch_bump_required_on_isr_shrink(self) -> bool:
        return self < MetadataVersion.IBP_3_6_IV0

    @property
    def is_metadata_transaction_supported(self) -> bool:
        return self >= MetadataVersion.IBP_3_6_IV1

    @property
    def is_delegation_token_supported(self) -> bool:
        return self >= MetadataVersion.IBP_3_6_IV2

    @property
    def is_controller_registration_supported(self) -> bool:
        return self >= MetadataVersion.IBP_3_7_IV0

    @property
    def is_directory_assignment_supported(self) -> bool:
        return self >= MetadataVersion.IBP_3_7_IV2


_METADATA_CHANGED = frozenset(MetadataVersion(level) for level in (1, 3, 5, 6, 7, 8, 11, 13, 14, 15, 17, 23))

MINIMUM_VERSION = MetadataVersion.IBP_3_0_IV1
MINIMUM_BOOTSTRAP_VERSION = MetadataVersion.IBP_3_3_IV0
LATEST_PRODUCTION = MetadataVersion.IBP_3_9_IV0
"""The highest level that Kafka 3.9 takes for finished: what a new cluster gets unless it asks for another."""


class UnknownMetadataVersionError(ValueError):
    """The text names no metadata.version that this release knows."""


def metadata_version_from_text(text: str) -> MetadataVersion:
    """The level of `3.9-IV0`, or of a short form such as `3.9` (the highest level of that release).

    Raises UnknownMetadataVersionError.
    """
    wanted = text.strip()
    best: MetadataVersion | None = None
    for version in MetadataVersion:
        if version.text == wanted:
            return version
        if version.text.startswith(wanted + "-"):
            best = version
    if best is None or wanted.count(".") != 1:
        raise UnknownMetadataVersionError(
            f"unknown release {text!r}: use one of {MINIMUM_BOOTSTRAP_VERSION.text} … {max(MetadataVersion).text},"
            " or a short form such as 3.9"
        )
    return best
