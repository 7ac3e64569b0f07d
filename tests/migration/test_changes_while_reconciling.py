"""What changes while a reconcile runs: it may have been seen by it or not, and may be back where it was."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from pykraft.protocol.records.access_control_entry_record import AccessControlEntryRecord
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.records.remove_access_control_entry_record import RemoveAccessControlEntryRecord
from pykraft.protocol.records.remove_topic_record import RemoveTopicRecord
from pykraft.protocol.records.topic_record import TopicRecord
from pykraft.testing.fake_zookeeper import Fault, FaultKind, On
from pykraft.zookeeper import paths

from .house import DUAL_WRITE, house
from .test_failures import NEW, partition, zookeeper

ACL = bytes(15) + b"\x41"
STEP_S = 10


def topic_config(value: str) -> ConfigRecord:
    return ConfigRecord(resource_type=2, resource_name="old", name="a", value=value)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ([topic_config("9")], [topic_config("1")]),
        ([TopicRecord(name="brief", topic_id=NEW), partition(NEW, 0)], [RemoveTopicRecord(topic_id=NEW)]),
        (
            [
                AccessControlEntryRecord(
                    id=ACL,
                    resource_type=2,
                    resource_name="r",
                    pattern_type=3,
                    principal="User:u",
                    host="*",
                    operation=3,
                    permission_type=3,
                )
            ],
            [RemoveAccessControlEntryRecord(id=ACL)],
        ),
    ],
    ids=["config", "topic", "acl"],
)
async def test_a_change_that_the_reconcile_saw_and_that_is_taken_back_is_taken_back_in_zookeeper(
    there: list[Any], back: list[Any], autojump_clock: trio.testing.MockClock
) -> None:
    server = zookeeper()
    async with house(server.connect()) as h:
        await h.register_brokers(0, 1)
        await h.until_state(DUAL_WRITE)
        await h.until_written()
        server.inject(Fault(FaultKind.LOSE_BEFORE_APPLY, On.WRITE))
        server.inject(Fault(FaultKind.SLOW, On.READ, paths.BROKER_TOPICS, delay_s=STEP_S))
        # What the reconcile has seen of `there` is in ZooKeeper, or on its way, when `back` comes.
        if isinstance(there[0], AccessControlEntryRecord):
            server.inject(Fault(FaultKind.SLOW, On.WRITE, paths.ACLS_LITERAL, delay_s=STEP_S))
        else:
            server.inject(Fault(FaultKind.SLOW, On.READ, paths.DELEGATION_TOKENS, delay_s=STEP_S))
        await h.write(ConfigRecord(resource_type=2, resource_name="grown", name="k", value="v"))
        await trio.sleep(STEP_S / 2)
        await h.write(*there)
        await trio.sleep(STEP_S)
        await h.write(*back)
        await h.until_written()
        assert await h.differences() == []
    assert server.unused_faults == []
