"""A table for each record type."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path
from unittest import mock

import pytest

from pykraft.protocol.record_frame import decode_record
from pykraft.replay import export
from pykraft.replay.record_text import type_name
from pykraft.replay.recorded import RecordedLog
from tests.replay.samples import CONTROLLER_LOG, RELEASES, SEGMENT, partitions_log, recorded


def test_tables(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = export.export_parquet(RecordedLog.at(CONTROLLER_LOG), tmp_path)
    expected: Counter[str] = Counter()
    for logged in RecordedLog.at(CONTROLLER_LOG).batches():
        if not logged.batch.header.is_control:
            expected.update(type_name(type(decode_record(value).message).__name__) for value in logged.batch.values)
    assert rows == {name.lower(): count for name, count in sorted(expected.items())}
    broker = parquet.read_table(tmp_path / "register_broker_record.parquet").to_pylist()[0]
    assert (broker["offset"], broker["version"], broker["brokerId"], broker["rack"]) == (11, 3, 0, "rack-0")
    assert broker["endPoints"][1] == {
        "name": "SASL_PLAINTEXT", "host": "127.0.0.1", "port": 54899, "securityProtocol": 2,
    }  # fmt: skip
    assert broker["logDirs"] == ["PwjIZ1YjdQKKlwg0IbUzqw"]


@pytest.mark.parametrize("release", RELEASES)
def test_each_release(tmp_path: Path, release: str) -> None:
    pytest.importorskip("pyarrow.parquet")
    assert export.export_parquet(RecordedLog.at(recorded(release)[0]), tmp_path)["topic_record"] == 3


def test_groups_of_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / SEGMENT).write_bytes(partitions_log(5, 30)[0])
    with mock.patch.object(export, "ROWS_PER_GROUP", 7):
        export.export_parquet(RecordedLog.at(tmp_path / SEGMENT), tmp_path)
    table = parquet.read_table(tmp_path / "partition_record.parquet")
    assert table.num_rows == 150
    assert table["partitionId"].to_pylist() == [*range(30)] * 5


def test_without_pyarrow(tmp_path: Path) -> None:
    def absent(name: str) -> object:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return import_module(name)

    with mock.patch.object(export, "import_module", absent), pytest.raises(export.NoArrowError, match="pip install"):
        export.export_parquet(RecordedLog.at(CONTROLLER_LOG), tmp_path)
