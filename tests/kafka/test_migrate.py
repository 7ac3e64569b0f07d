"""The whole migration on real ZooKeeper and real brokers of each release, as `pykraft lab migrate` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pykraft.cli import main

SMALL = ("--brokers", "2", "--partitions", "25", "--rate", "100", "--finalize")
"""A run of an older release: a smaller cluster that goes on until ZooKeeper is away."""

LEFT_OUT = {
    "3.4.1": {"ACLs", "SCRAM users", "delegation tokens"},
    "3.5.2": {"delegation tokens"},
}
STATES = [
    "INACTIVE",
    "WAIT_FOR_CONTROLLER_QUORUM",
    "WAIT_FOR_BROKERS",
    "BECOME_CONTROLLER",
    "ZK_MIGRATION",
    "SYNC_KRAFT_TO_ZK",
    "KRAFT_CONTROLLER_TO_BROKER_COMM",
    "DUAL_WRITE",
]
CHECKS = {
    "no message lost, duplicated or out of order",
    "all partitions are led and in sync",
    "ZooKeeper and the image agree",
    "what was asked for is in both",
    "/controller, /controller_epoch, /migration",
}
FINAL_CHECKS = {"all brokers are in KRaft mode", "what was asked for is in the log without ZooKeeper"}


@pytest.mark.parametrize(
    ("kafka", "arguments"),
    [
        ("3.4.1", SMALL),
        ("3.5.2", SMALL),
        ("3.6.2", SMALL),
        ("3.7.2", SMALL),
        ("3.8.1", SMALL),
        ("3.9.1", ()),
        ("3.6.2,3.8.1,3.9.1", (*SMALL, "--brokers", "3")),
    ],
    ids=["3.4.1", "3.5.2", "3.6.2", "3.7.2", "3.8.1", "3.9.1", "mixed"],
)
def test_a_zookeeper_cluster_in_use_moves_to_pykraft(
    kafka: str, arguments: tuple[str, ...], tmp_path: Path, kafka_class_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main.main(["lab", "migrate", "--kafka", kafka, *arguments, "--json", "--folder", str(tmp_path / "lab")])
    output = capsys.readouterr()
    assert output.out, output.err
    report = json.loads(output.out)
    failed = {check["name"]: check["problems"] for check in report["checks"] if not check["passed"]}
    assert (report["failure"], failed) == (None, {}), output.err
    assert code == 0
    assert {check["name"] for check in report["checks"]} == CHECKS | (FINAL_CHECKS if arguments else set())
    assert report["left_out"].keys() == LEFT_OUT.get(kafka, set())
    require_clients_undisturbed(report)
    assert [entry["state"] for entry in report["driver"]] == STATES
    assert report["copied_records"] > 40
    # broker.session.timeout.ms is 9 s: the leaders of the killed broker move when it has passed.
    assert report["leaders_moved_s"] < 20
    assert report["leaders_moved"] > 5
    assert report["isr_restored_s"] is not None
    assert report["zookeeper_facts"] == report["image_facts"] > (120 if arguments else 200)


def require_clients_undisturbed(report: dict[str, Any]) -> None:
    messages = report["messages"]
    assert messages["sent"] > 1000
    assert messages["acked"] == messages["received"] == messages["sent"]
    assert (messages["lost"], messages["duplicated"], messages["out_of_order"]) == (0, 0, 0)
