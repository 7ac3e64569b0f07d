"""Topic configs: values on both sides of their limits, and values that rule each other out."""

from __future__ import annotations

import pytest

from pykraft.controller.config_values import ConfigValueError
from pykraft.controller.releases import RELEASES
from pykraft.controller.topic_config_definitions import check_topic_configs, topic_configs


def check(
    configs: dict[str, str], existing: dict[str, str] | None = None, *, remote: bool = False, release: str = "3.9"
) -> None:
    check_topic_configs(configs, existing or {}, {}, remote_storage_system_enabled=remote, release=release)


@pytest.mark.parametrize(
    ("release", "count"), [("3.4", 29), ("3.5", 29), ("3.6", 31), ("3.7", 31), ("3.8", 34), ("3.9", 36), ("4.1", 33)]
)
def test_every_default_is_allowed(release: str, count: int) -> None:
    definitions = topic_configs(release)
    assert len(definitions) == count
    check({definition.name: definition.default for definition in definitions.values()}, release=release)


@pytest.mark.parametrize(
    ("name", "value", "first"),
    [
        ("compression.gzip.level", "3", "3.8"),
        ("remote.log.copy.disable", "true", "3.9"),
        ("message.timestamp.after.max.ms", "1", "3.6"),
        ("message.format.version", "3.7-IV0", "3.7"),
        ("message.format.version", "3.7", "3.7"),
        ("message.format.version", "3.8-IV0", "3.7"),
        ("message.format.version", "3.8", "3.8"),
    ],
)
def test_what_a_release_does_not_have_yet(name: str, value: str, first: str) -> None:
    check({name: value}, release=first)
    with pytest.raises(ConfigValueError, match=name):
        check({name: value}, release=RELEASES[RELEASES.index(first) - 1])


def test_turning_remote_storage_off_before_its_data_could_be_deleted() -> None:
    existing = {"remote.storage.enable": "true"}
    check({}, existing, release="3.8")
    with pytest.raises(ConfigValueError, match=r"remote\.log\.delete\.on\.disable"):
        check({}, existing)


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("segment.bytes", "14", "13"),
        ("segment.bytes", "2147483647", "2147483648"),
        ("segment.index.bytes", "4", "3"),
        ("segment.ms", "1", "0"),
        ("retention.ms", "-1", "-2"),
        ("retention.bytes", "-99", "x"),
        ("max.message.bytes", "0", "-1"),
        ("min.insync.replicas", "1", "0"),
        ("max.compaction.lag.ms", "1", "0"),
        ("min.cleanable.dirty.ratio", "1", "1.01"),
        ("min.cleanable.dirty.ratio", "0", "-0.1"),
        ("local.retention.ms", "-2", "-3"),
        ("compression.gzip.level", "-1", "0"),
        ("compression.gzip.level", "9", "10"),
        ("compression.lz4.level", "1", "0"),
        ("compression.lz4.level", "17", "18"),
        ("compression.zstd.level", "-131072", "-131073"),
        ("compression.zstd.level", "22", "23"),
        ("compression.type", "producer", "none"),
        ("compression.type", " zstd ", "ZSTD"),
        ("cleanup.policy", "compact, delete", "compact,keep"),
        ("cleanup.policy", "", "Compact"),
        ("message.timestamp.type", "LogAppendTime", "logAppendTime"),
        ("preallocate", "TRUE", "1"),
        ("message.format.version", "0.10.2-IV0.7", "0.10"),
        ("message.format.version", "4.0-IV0", "4.0"),
        ("message.format.version", "3.9.1", "3.9-IV1"),
        ("unclean.leader.election.enable", "false", "no"),
        ("leader.replication.throttled.replicas", "*", "*,1:2"),
        ("follower.replication.throttled.replicas", "1:2, 3:4,", "1:-2"),
    ],
)
def test_limits(name: str, allowed: str, refused: str) -> None:
    check({name: allowed})
    with pytest.raises(ConfigValueError, match=name):
        check({name: refused})


def test_unknown_names_are_refused_first() -> None:
    with pytest.raises(ConfigValueError, match="Unknown topic config name: retention"):
        check({"segment.bytes": "x", "retention": "1"})


@pytest.mark.parametrize(
    ("configs", "existing", "remote", "reason"),
    [
        ({"min.compaction.lag.ms": "2", "max.compaction.lag.ms": "2"}, {}, False, None),
        ({"min.compaction.lag.ms": "3", "max.compaction.lag.ms": "2"}, {}, False, "min.compaction.lag.ms"),
        ({"remote.storage.enable": "true"}, {}, False, "remote.log.storage.system.enable"),
        ({"remote.storage.enable": "true"}, {}, True, None),
        ({"remote.storage.enable": "true", "cleanup.policy": "delete,compact"}, {}, True, "compact"),
        ({"remote.storage.enable": "true", "local.retention.ms": "-1"}, {}, True, "local.retention.ms"),
        (
            {"remote.storage.enable": "true", "local.retention.ms": "6", "retention.ms": "5"},
            {},
            True,
            "local.retention.ms",
        ),
        ({"remote.storage.enable": "true", "local.retention.ms": "5", "retention.ms": "5"}, {}, True, None),
        ({"remote.storage.enable": "true", "local.retention.ms": "-1", "retention.ms": "-1"}, {}, True, None),
        ({"remote.storage.enable": "true", "local.retention.bytes": "9"}, {}, True, None),
        (
            {"remote.storage.enable": "true", "local.retention.bytes": "9", "retention.bytes": "8"},
            {},
            True,
            "retention.bytes",
        ),
        ({"local.retention.bytes": "9", "retention.bytes": "8"}, {}, True, None),
        ({"remote.storage.enable": "true", "remote.log.copy.disable": "true"}, {}, True, None),
        (
            {"remote.storage.enable": "true", "remote.log.copy.disable": "true", "local.retention.ms": "5"},
            {},
            True,
            "remote.log.copy.disable",
        ),
        (
            {
                "remote.storage.enable": "true",
                "remote.log.copy.disable": "true",
                "local.retention.ms": "5",
                "retention.ms": "5",
            },
            {},
            True,
            None,
        ),
        ({}, {"remote.storage.enable": "true"}, True, "remote.log.delete.on.disable"),
        ({"remote.log.delete.on.disable": "true"}, {"remote.storage.enable": "true"}, True, None),
        ({"remote.storage.enable": "false"}, {"remote.storage.enable": "false"}, True, None),
    ],
)
def test_configs_that_rule_each_other_out(
    configs: dict[str, str], existing: dict[str, str], remote: bool, reason: str | None
) -> None:
    if reason is None:
        check(configs, existing, remote=remote)
    else:
        with pytest.raises(ConfigValueError, match=reason):
            check(configs, existing, remote=remote)


def test_defaults_of_the_node_apply() -> None:
    defaults = {"max.compaction.lag.ms": "5"}
    check_topic_configs({"min.compaction.lag.ms": "5"}, {}, defaults, remote_storage_system_enabled=False)
    with pytest.raises(ConfigValueError, match=r"min\.compaction\.lag\.ms"):
        check_topic_configs({"min.compaction.lag.ms": "6"}, {}, defaults, remote_storage_system_enabled=False)


@pytest.mark.parametrize(
    ("release", "gone", "after_max_ms", "smallest_segment"),
    [("3.9", False, str((1 << 63) - 1), 14), ("4.0", True, "3600000", 14), ("4.1", True, "3600000", 1_048_576)],
)
def test_what_4_0_and_4_1_changed(release: str, gone: bool, after_max_ms: str, smallest_segment: int) -> None:
    definitions = topic_configs(release)
    for name in ("message.downconversion.enable", "message.format.version", "message.timestamp.difference.max.ms"):
        assert (name not in definitions) is gone
    assert definitions["message.timestamp.after.max.ms"].default == after_max_ms
    segment = definitions["segment.bytes"]
    assert segment.parse(str(smallest_segment)) == smallest_segment
    with pytest.raises(ConfigValueError, match=r"segment\.bytes"):
        segment.parse(str(smallest_segment - 1))
