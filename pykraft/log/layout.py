"""Batches and control records described a second time, declaratively, apart from the code that reads and writes them.

It is slow and has one use: to say what bytes mean, as the oracle in tests and for explaining a log byte by
byte. Nothing on the way of a record imports it. Kafka: `DefaultRecordBatch.java`, `DefaultRecord.java`,
`ControlRecordType.java`; LeaderChangeMessage, SnapshotHeaderRecord and SnapshotFooterRecord version 0.
"""

from __future__ import annotations

from construct import (
    Array,
    BitsInteger,
    BitStruct,
    Bytes,
    Const,
    Enum,
    FixedSized,
    Flag,
    GreedyRange,
    If,
    Int8sb,
    Int16sb,
    Int32sb,
    Int32ub,
    Int64sb,
    RawCopy,
    Rebuild,
    Struct,
    Terminated,
    VarInt,
    ZigZag,
    len_,
    this,
)

attributes = BitStruct(
    "unused" / BitsInteger(9),
    "delete_horizon" / Flag,
    "control" / Flag,
    "transactional" / Flag,
    "log_append_time" / Flag,
    "compression" / BitsInteger(3),
)
"""The 16 bits of a batch's attributes, highest first."""

record_body = Struct(
    "attributes" / Int8sb,
    "timestamp_delta" / ZigZag,
    "offset_delta" / ZigZag,
    "key_length" / ZigZag,
    "key" / If(this.key_length >= 0, Bytes(this.key_length)),
    "value_length" / ZigZag,
    "value" / If(this.value_length >= 0, Bytes(this.value_length)),
    "header_count" / ZigZag,
    Terminated,
)

record = Struct("length" / ZigZag, "body" / FixedSized(this.length, record_body))

covered = Struct(
    "attributes" / attributes,
    "last_offset_delta" / Int32sb,
    "base_timestamp" / Int64sb,
    "max_timestamp" / Int64sb,
    "producer_id" / Int64sb,
    "producer_epoch" / Int16sb,
    "base_sequence" / Int32sb,
    "record_count" / Int32sb,
    "records" / Array(this.record_count, record),
    Terminated,
)
"""The part of a batch that its CRC covers."""

batch_content = Struct(
    "leader_epoch" / Int32sb,
    "magic" / Const(2, Int8sb),
    "crc" / Int32ub,
    "covered" / RawCopy(covered),
    Terminated,
)

batch = Struct(
    "base_offset" / Int64sb,
    "batch_length" / Int32sb,
    "content" / FixedSized(this.batch_length, batch_content),
)

log_file = Struct("batches" / GreedyRange(batch), Terminated)
"""A `.log` or `.checkpoint` file without damage."""

control_key = Struct(
    "version" / Int16sb,
    "type"
    / Enum(
        Int16sb,
        ABORT=0,
        COMMIT=1,
        LEADER_CHANGE=2,
        SNAPSHOT_HEADER=3,
        SNAPSHOT_FOOTER=4,
        KRAFT_VERSION=5,
        KRAFT_VOTERS=6,
    ),
    Terminated,
)

_tagged_fields = Const(0, VarInt)
_voter = Struct("voter_id" / Int32sb, "tagged_fields" / _tagged_fields)

leader_change = Struct(
    "version" / Int16sb,
    "leader_id" / Int32sb,
    "voters_length" / Rebuild(VarInt, len_(this.voters) + 1),
    "voters" / Array(this.voters_length - 1, _voter),
    "granting_voters_length" / Rebuild(VarInt, len_(this.granting_voters) + 1),
    "granting_voters" / Array(this.granting_voters_length - 1, _voter),
    "tagged_fields" / _tagged_fields,
    Terminated,
)

snapshot_header = Struct(
    "version" / Int16sb,
    "last_contained_log_timestamp" / Int64sb,
    "tagged_fields" / _tagged_fields,
    Terminated,
)

snapshot_footer = Struct("version" / Int16sb, "tagged_fields" / _tagged_fields, Terminated)
