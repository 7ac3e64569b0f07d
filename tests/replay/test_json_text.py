"""JSON as Jackson prints it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pykraft.replay.json_text import json_text


@given(st.text())
def test_a_text_reads_back(value: str) -> None:
    assert (
        json.loads(json_text({"x": value.encode(errors="replace").decode()}))["x"]
        == value.encode(errors="replace").decode()
    )


def test_escapes() -> None:
    assert json_text('\x1f\x07\n"\\u001f ü\x7f') == '"\\u001F\\u0007\\n\\"\\\\u001f ü\x7f"'
