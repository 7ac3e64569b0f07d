"""The whole migration on real ZooKeeper and real brokers, as `pykraft lab migrate` runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pykraft.cli import main


def test_a_zookeeper_cluster_in_use_moves_to_pykraft(
    tmp_path: Path, kafka_class_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kafka_class_path
    code = main.main(["lab", "migrate", "--brokers", "3", "--json", "--folder", str(tmp_path / "lab")])
    output = capsys.readouterr()
    report = json.loads(output.out)
    failed = {check["name"]: check["problems"] for check in report["checks"] if not check["passed"]}
    assert (report["failure"], failed) == (None, {}), output.err
    assert code == 0

    messages = report["messages"]
    assert messages["sent"] > 1000
    assert messages["acked"] == messages["received"] == messages["sent"]
    assert (messages["lost"], messages["duplicated"], messages["out_of_order"]) == (0, 0, 0)
    assert [entry["state"] for entry in report["driver"]] == [
        "INACTIVE",
        "WAIT_FOR_CONTROLLER_QUORUM",
        "WAIT_FOR_BROKERS",
        "BECOME_CONTROLLER",
        "ZK_MIGRATION",
        "SYNC_KRAFT_TO_ZK",
        "KRAFT_CONTROLLER_TO_BROKER_COMM",
        "DUAL_WRITE",
    ]
    assert report["copied_records"] > 50
    # broker.session.timeout.ms is 9 s: the leaders of the killed broker move when it has passed.
    assert report["leaders_moved_s"] < 20
    assert report["zookeeper_facts"] == report["image_facts"] > 200
