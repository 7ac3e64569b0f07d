"""A recorded log as tables, one for each record type, in Parquet files for DuckDB, Spark and their like.

Each table has the columns offset, epoch, timestamp (ms since 1970, UTC) and version, then the record's own fields under
Kafka's names; a field that a version lacks holds its default, a uuid is its text.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from pykraft.protocol._layout import Field, layout
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol.record_frame import decode_record
from pykraft.protocol.uuids import uuid_to_text
from pykraft.replay.record_text import type_name
from pykraft.replay.recorded import Progress, RecordedLog

ROWS_PER_GROUP: Final = 65_536
_TYPES: Final = {
    "bool": "bool_", "int8": "int8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
    "int64": "int64", "float64": "float64", "string": "string", "uuid": "string", "bytes": "binary",
    "records": "binary",
}  # fmt: skip


class NoArrowError(Exception):
    """pyarrow is not installed."""


def export_parquet(log: RecordedLog, directory: Path, progress: Progress | None = None) -> dict[str, int]:
    """Write the tables to `directory`; the number of rows by table. NoArrowError, CorruptLogError, OSError."""
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise NoArrowError("export --parquet needs pyarrow: pip install 'pykraft[parquet]'") from None
    directory.mkdir(parents=True, exist_ok=True)
    tables: dict[str, _Table] = {}
    try:
        for logged in log.batches(progress):
            header = logged.batch.header
            if header.is_control:
                continue
            for offset, value in enumerate(logged.batch.values, header.base_offset):
                record = decode_record(value)
                name = type_name(type(record.message).__name__).lower()
                table = tables.get(name)
                if table is None:
                    table = tables[name] = _Table(arrow, parquet, directory / f"{name}.parquet", type(record.message))
                about = (offset, header.leader_epoch, header.base_timestamp_ms, record.version)
                table.add(about, record.message)
    finally:
        for table in tables.values():
            table.close()
    return {name: table.rows for name, table in sorted(tables.items())}


class _Table:
    """One record type's file, written a group of rows at a time."""

    def __init__(self, arrow: Any, parquet: Any, path: Path, cls: type[Message]) -> None:
        self.rows = 0
        self._arrow = arrow
        self._fields = layout(cls)
        head = [("offset", arrow.int64()), ("epoch", arrow.int32()), ("timestamp", arrow.timestamp("ms", tz="UTC")),
                ("version", arrow.int16())]  # fmt: skip
        # A record may have a field of its own that is named as one of ours.
        own = [(f"{field.name}_" if field.name in dict(head) else field.name, _arrow_type(arrow, field))
               for field in self._fields]  # fmt: skip
        self._schema = arrow.schema(head + own)
        self._writer = parquet.ParquetWriter(path, self._schema)
        self._columns: list[list[Any]] = [[] for _ in self._schema]

    def add(self, about: tuple[int, int, int, int], message: Message) -> None:
        values = (*about, *(_value(getattr(message, field.attr), field) for field in self._fields))
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        self.rows += 1
        if len(self._columns[0]) >= ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        if self._columns[0]:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        pairs = zip(self._columns, self._schema, strict=True)
        arrays = [self._arrow.array(column, type=one.type) for column, one in pairs]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._columns = [[] for _ in self._schema]


def _arrow_type(arrow: Any, field: Field) -> Any:
    if field.struct is not None:
        one = arrow.struct([(inner.name, _arrow_type(arrow, inner)) for inner in layout(field.struct)])
    else:
        one = getattr(arrow, _TYPES[field.kind])()
    return arrow.list_(one) if field.is_array else one


def _value(value: Any, field: Field) -> Any:
    if value is None:
        return None
    if field.is_array:
        one = field._replace(is_array=False)
        return [_value(item, one) for item in value]
    if isinstance(value, AnyStruct):
        return {inner.name: _value(getattr(value, inner.attr), inner) for inner in layout(type(value))}
    return uuid_to_text(value) if field.kind == "uuid" else value
