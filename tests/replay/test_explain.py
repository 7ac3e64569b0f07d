"""A batch byte by byte: every byte is told of once, and the values are those the codec reads."""

from __future__ import annotations

import pytest

from pykraft.replay.explain import batch_bytes, explain
from pykraft.replay.recorded import NotALogError
from tests.replay.samples import CONTROLLER_LOG, RELEASES, recorded


@pytest.mark.parametrize("release", RELEASES)
def test_every_byte_of_every_batch(release: str) -> None:
    for path in recorded(release):
        offset = 0
        while True:
            try:
                _, _, data = batch_bytes([path], offset)
            except NotALogError:
                break
            parts = list(explain(data))
            assert not [part for part in parts if part.error]
            assert b"".join(part.data for part in parts) == data
            offset += int(next(part.value for part in parts if part.name == "record_count"))
        assert offset > 10


def test_values() -> None:
    path, position, data = batch_bytes([CONTROLLER_LOG], 12)
    assert (path, position) == (CONTROLLER_LOG, 760)
    values = {part.name: part.value for part in explain(data)}
    assert values["base_offset"] == "11"
    assert values["crc"] == "0xec869a86 (right)"
    assert values["incarnationId"] == "1SiPTyXzQcCjJ28pMo3fqg"
    assert values["rack"] == "'rack-0'"


def test_damage() -> None:
    data = bytearray(batch_bytes([CONTROLLER_LOG], 12)[2])
    data[80] ^= 0x40
    values = {part.name: part.value for part in explain(bytes(data))}
    assert "WRONG" in values["crc"]
    cut = list(explain(bytes(data[:100])))
    assert cut[-1].error
