"""Levels of metadata.version: their names and what each switches on."""

from __future__ import annotations

import pytest

from pykraft.image.metadata_version import (
    LATEST_PRODUCTION,
    MetadataVersion,
    UnknownMetadataVersionError,
    metadata_version_from_text,
)

V = MetadataVersion


@pytest.mark.parametrize("version", MetadataVersion)
def test_every_name_reads_back(version: MetadataVersion) -> None:
    assert metadata_version_from_text(f" {version.text} ") is version


@pytest.mark.parametrize(
    ("text", "level"),
    [("3.0", 1), ("3.3", 7), ("3.4", 8), ("3.5", 11), ("3.6", 14), ("3.7", 19), ("3.8", 20), ("3.9", 21)],
)
def test_a_release_means_its_highest_level(text: str, level: int) -> None:
    assert metadata_version_from_text(text) == level


@pytest.mark.parametrize("text", ["", "3", "3.", "3.9-IV1", "2.8", "4", "3.10", "3.9-", "three"])
def test_what_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(UnknownMetadataVersionError, match="use one of"):
        metadata_version_from_text(text)


@pytest.mark.parametrize(
    ("versions", "register_broker", "partition"),
    [(range(1, 7), 0, 0), (range(7, 8), 1, 0), (range(8, 17), 2, 0), (range(17, 22), 3, 1)],
)
def test_record_versions(versions: range, register_broker: int, partition: int) -> None:
    for level in versions:
        version = V(level)
        assert version.register_broker_record_version == register_broker
        assert version.partition_record_version == version.partition_change_record_version == partition


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("is_leader_recovery_supported", 3),
        ("is_no_op_record_supported", 5),
        ("is_broker_registration_change_record_supported", 6),
        ("is_in_controlled_shutdown_state_supported", 7),
        ("is_migration_supported", 8),
        ("is_scram_supported", 11),
        ("is_metadata_transaction_supported", 13),
        ("is_delegation_token_supported", 14),
        ("is_controller_registration_supported", 15),
        ("is_directory_assignment_supported", 17),
    ],
)
def test_what_a_level_switches_on(name: str, since: int) -> None:
    assert [version.value for version in V if getattr(version, name)] == list(range(since, max(V) + 1))


def test_leader_epochs_are_bumped_on_isr_shrink_before_3_6() -> None:
    assert [v.value for v in V if v.is_leader_epoch_bump_required_on_isr_shrink] == list(range(1, 12))


def test_levels_that_a_downgrade_would_lose_metadata_across() -> None:
    changed = [version.value for version in V if version.did_metadata_change and version <= LATEST_PRODUCTION]
    assert changed == [1, 3, 5, 6, 7, 8, 11, 13, 14, 15, 17]


def test_the_levels_of_4() -> None:
    assert [metadata_version_from_text(text).value for text in ("4.0", "4.0-IV1", "4.1-IV0", "4.1")] == [25, 23, 26, 27]
    assert (V.IBP_4_0_IV0.partition_record_version, V.IBP_4_0_IV1.partition_record_version) == (1, 2)
    assert V.IBP_4_1_IV1.register_broker_record_version == 3
    assert [version.value for version in V if version.did_metadata_change and version > LATEST_PRODUCTION] == [23]
    assert [version.release for version in (V.IBP_3_4_IV0, V.IBP_4_1_IV0)] == ["3.4", "4.1"]
