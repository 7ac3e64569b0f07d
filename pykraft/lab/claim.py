"""What a controller that has taken over ZooKeeper has to leave there, looked at from outside."""

from __future__ import annotations

import json
from typing import Any

CONTROLLER_ID = 3000


def claim_problems(tree: dict[str, Any], epoch_before: int, log_end_offset: int) -> list[str]:
    """What is wrong with the three znodes of the claim (KIP-866); `epoch_before` is the one of ZooKeeper mode.

    Expected: `/controller` persistent, version 2, with a positive kraftControllerEpoch; `/controller_epoch` a decimal
    above the old one; `/migration` of the same controller and epoch, its offset within the log.
    """
    for path in ("/controller", "/controller_epoch", "/migration"):
        if path not in tree:
            return [f"{path} is missing"]
    controller, migration = tree["/controller"].json(), tree["/migration"].json()
    epoch_text = tree["/controller_epoch"].data.decode()
    offset = migration.get("kraft_metadata_offset", -1)
    questions = [
        (not tree["/controller"].ephemeral, "/controller is ephemeral"),
        (controller.get("version") == 2, f"/controller has version {controller.get('version')}"),
        (controller.get("brokerid") == CONTROLLER_ID, f"/controller names {controller.get('brokerid')}"),
        (str(controller.get("timestamp", "")).isdigit(), "/controller has no timestamp"),
        (isinstance(controller.get("timestamp"), str), "the timestamp of /controller is not a string"),
        (controller.get("kraftControllerEpoch", -1) >= 1, "/controller has no kraftControllerEpoch"),
        (epoch_text.isdigit() and int(epoch_text) > epoch_before, f"/controller_epoch is {epoch_text}"),
        (migration.get("version") == 0, f"/migration has version {migration.get('version')}"),
        (migration.get("kraft_controller_id") == CONTROLLER_ID, f"/migration is {json.dumps(migration)}"),
        (
            migration.get("kraft_controller_epoch") == controller.get("kraftControllerEpoch"),
            "/migration and /controller are of different KRaft epochs",
        ),
        (0 < offset <= log_end_offset, f"/migration is at offset {offset}, the log ends at {log_end_offset}"),
        (migration.get("kraft_metadata_epoch", -1) >= 1, "/migration has no kraft_metadata_epoch"),
    ]
    return [problem for right, problem in questions if not right]
