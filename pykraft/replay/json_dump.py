"""A recorded file as JSON lines, one record each: offset, epoch, time in ms since 1970, type, version, data."""

from __future__ import annotations

from collections.abc import Iterator

from pykraft.log.batch import BatchHeader, ControlRecordType
from pykraft.protocol.errors import ProtocolError
from pykraft.protocol.jsonconv import to_json
from pykraft.replay.batch_walk import RawRecord
from pykraft.replay.control import CONTROL_RECORDS
from pykraft.replay.dump import Dump, RunFrame
from pykraft.replay.json_text import json_text, string_text
from pykraft.replay.record_runs import Shape
from pykraft.replay.record_text import UnreadableRecordError, data_text, parse, type_name


class JsonDump(Dump):
    """A line a record; one with `error` for a record that cannot be read, and for bytes that are no batch."""

    def begin(self) -> str:
        return ""

    def batch(self, header: BatchHeader, position: int, batch: bytes) -> str:
        return ""

    def end(self, position: int, trailing: int) -> str:
        return f'{{"position":{position},"error":"{trailing} bytes that are no batch"}}\n'

    def run_frame(self, shape: Shape, header: BatchHeader) -> RunFrame:
        return RunFrame('{"offset":', f"{_about(header)}{_kind(shape.cls.__name__, shape.version)}", "}\n")

    def record(self, record: RawRecord, header: BatchHeader) -> Iterator[str]:
        try:
            content = _control(record) if header.is_control else self._data(record)
        except (UnreadableRecordError, ProtocolError) as error:
            content = f'"error":{string_text(str(error))}'
        yield f'{{"offset":{record.offset}{_about(header)}{content}}}\n'

    def _data(self, record: RawRecord) -> str:
        parsed = parse(record.value or b"", self.release)
        return _kind(type(parsed.message).__name__, parsed.version) + data_text(parsed)


def _about(header: BatchHeader) -> str:
    return f',"epoch":{header.leader_epoch},"timestamp":{header.base_timestamp_ms},'


def _kind(class_name: str, version: int) -> str:
    return f'"type":"{type_name(class_name)}","version":{version},"data":'


def _control(record: RawRecord) -> str:
    number = int.from_bytes((record.key or b"")[2:4], "big", signed=True)
    cls = CONTROL_RECORDS.get(number)
    if cls is None:
        return f'"type":"UNKNOWN({number})","version":0,"data":{{}}'
    value = record.value or b""
    version = int.from_bytes(value[:2], "big", signed=True)
    data = json_text(to_json(cls.decode_prefix(value, version)[0], version))
    return f'"type":"{ControlRecordType(number).name}","version":{version},"data":{data}'
