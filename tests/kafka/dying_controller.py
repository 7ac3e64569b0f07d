"""`pykraft` that kills itself at one exact moment: dying_controller.py MOMENT [pykraft's arguments].

MOMENT is a state of the migration driver, which dies as it enters it, or COPYING: it dies when part of the copy is
on disk and its transaction still open.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from pykraft.cli.main import main
from pykraft.log.metadata_log import MetadataLog
from pykraft.server.events import EventWriter

COPYING = "COPYING"
BEGIN_OF_COPY = b"ZK Migration"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_on_entering(state: str) -> None:
    emit = EventWriter.__call__

    def emit_or_die(self: EventWriter, event: str, **fields: object) -> None:
        if event == "migration_state" and fields["state"] == state:
            die()
        emit(self, event, **fields)

    EventWriter.__call__ = emit_or_die  # type: ignore[method-assign]  # to die there


def die_while_copying() -> None:
    append = MetadataLog.append
    begun: list[bool] = []

    def append_or_die(self: MetadataLog, batches: Sequence[bytes]) -> Any:
        copying = bool(begun)
        if any(BEGIN_OF_COPY in batch for batch in batches):
            begun.append(True)
        result = append(self, batches)
        if copying:
            die()
        return result

    MetadataLog.append = append_or_die  # type: ignore[method-assign]  # to die there


if __name__ == "__main__":
    moment = sys.argv.pop(1)
    if moment == COPYING:
        die_while_copying()
    else:
        die_on_entering(moment)
    sys.exit(main())
