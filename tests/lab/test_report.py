"""The report of a run, its exit, and the checks it rests on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pykraft.lab.claim import claim_problems
from pykraft.lab.clients import Accounts, require_whole
from pykraft.lab.errors import LabError
from pykraft.lab.facts import Znode
from pykraft.lab.report import DETAILS_SHOWN_MAX, Check, Report, Stage
from pykraft.lab.scenario import Scenario

WHOLE = Accounts.from_report(
    {
        "event": "report",
        "sent": 10,
        "acked": 10,
        "received": 10,
        "failed": 0,
        "lost": 0,
        "duplicated": 0,
        "out_of_order": 0,
        "longest_stall_ms": 812,
        "longest_receive_ms": 900,
        "drained": True,
        "errors": [],
    }
)


@pytest.mark.parametrize(
    "bad",
    [
        {"lost": 1},
        {"duplicated": 1},
        {"out_of_order": 1},
        {"failed": 1},
        {"acked": 9},
        {"drained": False},
    ],
)
def test_accounts_are_whole_only_when_nothing_is_amiss(bad: dict[str, int]) -> None:
    assert WHOLE.is_whole
    require_whole(WHOLE)
    accounts = replace(WHOLE, **bad)  # type: ignore[arg-type]  # the fields are ints and a bool
    assert not accounts.is_whole
    with pytest.raises(LabError, match="did not get what they should"):
        require_whole(accounts)


def report(*checks: Check) -> Report:
    return Report(
        "pykraft",
        "3.9.1",
        3,
        "/folder",
        stages=[Stage("first", 1.5, "detail"), Stage("second")],
        driver=[("DUAL_WRITE", 17.8)],
        messages=WHOLE,
        checks=list(checks),
    )


def test_a_report_passes_when_all_checks_do_and_nothing_failed() -> None:
    assert report(Check("one"), Check("two")).passed
    assert not report(Check("one"), Check("two", ("wrong",))).passed
    assert not report().passed
    failed = report(Check("one"))
    failed.failure = "broker 1 is gone"
    assert not failed.passed
    assert "FAILED: broker 1 is gone" in failed.to_text()


def test_the_text_tells_stages_messages_and_problems() -> None:
    problems = tuple(f"problem {number}" for number in range(DETAILS_SHOWN_MAX + 2))
    text = report(Check("ZooKeeper and the image agree", problems)).to_text()
    assert "   1.5 s  first: detail" in text
    assert "failed  second" in text
    assert "10 sent, 10 acknowledged, 10 received" in text
    assert "0 lost, 0 duplicated, 0 out of order" in text
    assert "FAILED  ZooKeeper and the image agree" in text
    assert "problem 9" in text
    assert "problem 10" not in text
    assert "and 2 more" in text
    assert text.endswith("NOT passed; logs in /folder")


def test_what_was_left_out_is_named_with_the_reason() -> None:
    made = report(Check("one"))
    made.left_out = {"ACLs": "brokers of 3.4 refuse any authorizer"}
    assert "  without ACLs: brokers of 3.4 refuse any authorizer\n" in made.to_text()
    assert made.to_json()["left_out"] == made.left_out


def test_kafkas_own_controller_is_of_the_newest_release() -> None:
    made = report(Check("one"))
    made.kafka, made.controller = "3.6.2, 3.9.1, 3.8.1", "kafka"
    first, _, _ = made.to_text().partition("\n")
    assert first == "Migration of 3 Kafka 3.6.2, 3.9.1, 3.8.1 brokers from ZooKeeper to Kafka's 3.9.1 controller"


def test_the_machine_report_is_json() -> None:
    content = json.loads(json.dumps(report(Check("one", detail="5 facts")).to_json()))
    assert content["passed"] is True
    assert content["checks"] == [{"name": "one", "passed": True, "detail": "5 facts", "problems": []}]
    assert content["driver"] == [{"state": "DUAL_WRITE", "at_s": 17.8}]
    assert content["messages"]["longest_stall_ms"] == 812


def claim(
    controller: bytes = b'{"version":2,"brokerid":3000,"timestamp":"1700000000000","kraftControllerEpoch":7}',
    epoch: bytes = b"5",
    migration: bytes = b'{"version":0,"kraft_controller_id":3000,"kraft_controller_epoch":7,'
    b'"kraft_metadata_offset":99,"kraft_metadata_epoch":7}',
    ephemeral: bool = False,
) -> list[str]:
    tree = {
        "/controller": Znode(controller, 0, ephemeral),
        "/controller_epoch": Znode(epoch, 5, False),
        "/migration": Znode(migration, 9, False),
    }
    return claim_problems(tree, 4, 100)


def test_a_claim_as_kafka_makes_it_has_no_problems() -> None:
    assert claim() == []
    assert claim_problems({}, 0, 0) == ["/controller is missing"]


def test_what_is_wrong_with_a_claim_is_told() -> None:
    assert claim(ephemeral=True) == ["/controller is ephemeral"]
    assert claim(epoch=b"4") == ["/controller_epoch is 4"]
    assert claim(b'{"version":2,"brokerid":0,"timestamp":1,"kraftControllerEpoch":7}') == [
        "/controller names 0",
        "the timestamp of /controller is not a string",
    ]
    late = (
        b'{"version":0,"kraft_controller_id":3000,"kraft_controller_epoch":6,'
        b'"kraft_metadata_offset":101,"kraft_metadata_epoch":7}'
    )
    assert claim(migration=late) == [
        "/migration and /controller are of different KRaft epochs",
        "/migration is at offset 101, the log ends at 100",
    ]


def test_expectations_that_are_not_met_are_told_with_their_source() -> None:
    scenario = Scenario(3, 50, expected={"config/topics/a/x": "1", "acl/gone": None}, gone_topics={"doomed"})
    assert scenario.missed({"config/topics/a/x": "1"}, "the image") == []
    facts: dict[str, object] = {"config/topics/a/x": "2", "acl/gone": True, "config/topics/doomed/y": "3"}
    assert scenario.missed(facts, "ZooKeeper") == [
        "config/topics/a/x: ZooKeeper has '2', expected '1'",
        "acl/gone: ZooKeeper has True, expected None",
        "config/topics/doomed/y: ZooKeeper still has this of a deleted topic",
    ]
