"""The data directory: formatted once, checked ever after; the log replayed into an image."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from random import Random

import pytest

from pykraft.controller.config import ControllerConfig
from pykraft.image.model import ConfigResource
from pykraft.log.batch import encode_batch, encode_control_batch
from pykraft.log.meta_properties import MetaProperties, read_meta_properties, write_meta_properties
from pykraft.log.metadata_log import MetadataLog
from pykraft.protocol.record_frame import encode_record
from pykraft.protocol.records.config_record import ConfigRecord
from pykraft.protocol.uuids import uuid_from_text
from pykraft.server.storage import Progress, StorageError, open_storage, replay

CONFIG = ControllerConfig()


def open_once(directory: Path, cluster_id: str | None = None, seed: int = 1) -> str:
    storage = open_storage(directory, CONFIG, cluster_id, Random(seed))
    storage.log.close()
    return storage.cluster_id


def test_a_new_directory_is_formatted_and_keeps_its_ids(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "data"
    cluster_id = open_once(directory)
    assert len(uuid_from_text(cluster_id)) == 16
    first = read_meta_properties(directory)
    assert open_once(directory, seed=2) == cluster_id
    assert read_meta_properties(directory) == first


def test_a_directory_of_kafka_3_6_gets_a_directory_id(tmp_path: Path) -> None:
    write_meta_properties(tmp_path, MetaProperties("MkU3OEVBNTcwNTJENDM2Qg", 1))
    open_once(tmp_path)
    properties = read_meta_properties(tmp_path)
    assert properties is not None
    assert (properties.cluster_id, properties.node_id) == ("MkU3OEVBNTcwNTJENDM2Qg", 1)
    assert properties.directory_id is not None


@pytest.mark.parametrize("cluster_id", ["", " x", "a\nb"])
def test_a_cluster_id_nobody_can_have(tmp_path: Path, cluster_id: str) -> None:
    with pytest.raises(StorageError, match="give the id that the brokers have"):
        open_once(tmp_path, cluster_id)


def test_a_cluster_id_that_is_no_uuid_is_taken(tmp_path: Path) -> None:
    assert open_once(tmp_path, "my-old-cluster") == "my-old-cluster"


def test_a_log_without_meta_properties_is_left_alone(tmp_path: Path) -> None:
    open_once(tmp_path)
    with MetadataLog.open(tmp_path) as log:
        log.append([config_batch(0, "a")])
    (tmp_path / "meta.properties").unlink()
    with pytest.raises(StorageError, match="restore that file"):
        open_once(tmp_path)


def config_batch(offset: int, name: str) -> bytes:
    record = ConfigRecord(resource_type=2, resource_name="t", name=name, value="1")
    return encode_batch([encode_record(record, 0)], base_offset=offset, leader_epoch=1, timestamp_ms=1)


@pytest.mark.parametrize("delta_from", [-1, 0, 1, 2, 3])
def test_a_replay_gives_what_changed_since_an_offset(tmp_path: Path, delta_from: int) -> None:
    with MetadataLog.open(tmp_path) as log:
        control = encode_control_batch([(2, b"\x00")], base_offset=0, leader_epoch=1, timestamp_ms=1)
        log.append([control, *(config_batch(offset, name) for offset, name in ((1, "a"), (2, "b"), (3, "c")))])
        image = replay(log, delta_from)
    resource = ConfigResource(2, "t")
    assert image.configs == {resource: {"a": "1", "b": "1", "c": "1"}}
    assert (image.offset, image.epoch) == (3, 1)
    delta = image.take_delta()
    before = {-1: {}, 0: {}, 1: {"a": "1"}, 2: {"a": "1", "b": "1"}}.get(delta_from)
    assert (None if delta is None else delta.configs) == (None if before is None else {resource: before})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_on_a_terminal_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, now = Terminal(), [0.0]
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("Loading", lambda: now[0])
    for now[0] in (0.5, 1.9):
        progress(1, 4)
    assert terminal.getvalue() == ""
    for now[0], done in ((2.1, 2 << 20), (2.15, 3 << 20), (2.2, 4 << 20)):
        progress(done, 4 << 20)
    assert terminal.getvalue() == "\rLoading: 50 % of 4 MiB\rLoading: 100 % of 4 MiB\n"


def test_progress_is_silent_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    progress = Progress("Loading", lambda: now[0])
    now[0] = 9.0
    progress(1, 2)
    assert capsys.readouterr().err == ""
