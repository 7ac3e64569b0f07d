"""`pykraft log` on what is no sound log: a line that says what is wrong, the exit code of the help, never a traceback.

More of the drawn logs with PYKRAFT_PROFILE=nightly.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykraft.cli.main import main
from pykraft.log.batch import HEADER_SIZE, LENGTH_OVERHEAD, batch_crc, iter_headers
from tests.replay.samples import CONTROLLER_DATA, CONTROLLER_LOG, RELEASES, SEGMENT, recorded

EXAMPLES: Final = 2_000 if os.environ.get("PYKRAFT_PROFILE") == "nightly" else 40
BATCHES_MAX: Final = 30
CHECKPOINT: Final = "00000000000000000012-0000000001.checkpoint"
NAMES: Final = (SEGMENT, "00000000000000000012.log", CHECKPOINT, "00000000000000000000-0000000000.checkpoint")
SOURCES: Final = [path.read_bytes() for release in RELEASES for path in recorded(release)]
CUTS: Final = [[position + header.size for position, header in iter_headers(each)] for each in SOURCES]
TIMEOUT_S = 60


def run(*arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command run in this process."""
    out = io.TextIOWrapper(io.BytesIO())
    err = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["log", *arguments])
        out.flush()
    return code, out.buffer.getvalue().decode(), err.getvalue()


def refused(*arguments: str) -> str:
    """The one line that a command ends with when it cannot run."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("pykraft log: ")
    assert err.count("\n") == 1
    return err


# -- drawn logs ------------------------------------------------------------------------------------------------------


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The beginning of a recorded file with some bytes changed; mostly with CRCs that are right again."""
    number = draw(st.integers(0, len(SOURCES) - 1))
    data = bytearray(SOURCES[number][: draw(st.sampled_from(CUTS[number][:BATCHES_MAX]))])
    places = st.integers(0, len(data) - 1)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(places)
        match draw(st.sampled_from(("set", "set", "set", "length", "cut out", "put in", "end"))):
            case "set":
                data[at : at + 1] = bytes([draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)) | st.integers(0, 255))])
            case "length":
                data[at : at + 4] = b"\x7f\xff\xff\xff"
            case "cut out":
                del data[at : at + draw(st.integers(1, 60))]
            case "put in":
                data[at:at] = draw(st.binary(max_size=30))
            case _:
                del data[at:]
    if draw(st.integers(0, 3)):
        mend_crcs(data)
    return bytes(data)


def mend_crcs(data: bytearray) -> None:
    position = 0
    while position + HEADER_SIZE <= len(data):
        size = int.from_bytes(data[position + 8 : position + 12], "big", signed=True) + LENGTH_OVERHEAD
        if size < HEADER_SIZE or position + size > len(data):
            break
        struct.pack_into(">I", data, position + 17, batch_crc(bytes(data), position, size))
        position += size


@contextlib.contextmanager
def written(files: dict[str, bytes]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "in"
        directory.mkdir()
        for name, content in files.items():
            (directory / name).write_bytes(content)
        yield directory


BESIDE: Final = st.fixed_dictionaries(
    {},
    optional={
        "quorum-state": st.sampled_from((b"", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"data_version":9}', b"null")),
        "leader-epoch-checkpoint": st.sampled_from((b"", b"\xff", b"0\n99999999999999\n", b"0\n1\n0 x\n")),
    },
)


@pytest.mark.timeout(3_600)
@given(st.dictionaries(st.sampled_from(NAMES), mutated() | st.binary(max_size=200), min_size=1), BESIDE, st.booleans())
@settings(max_examples=EXAMPLES, deadline=None)
def test_nothing_ends_with_a_traceback(files: dict[str, bytes], beside: dict[str, bytes], whole: bool) -> None:
    with written(files | beside) as directory:
        log = str(directory if whole else directory / min(files))
        target = str(directory.parent / "copy")
        edits = [["--anonymise", "--map-id", "1=7"], ["--drop", "NO_OP_RECORD", "--drop", "3-5", "--renumber"]]
        commands = [
            ["dump", log], ["dump", "--kafka", "4.1", log], ["dump", "--json", log], ["verify", log],
            ["verify", "--json", log], ["explain", "7", log], ["image", log], ["image", "--until", "7", log],
            ["diff", f"{log}@5", log], *(["edit", log, target, *each] for each in edits),
            ["export", log, "--parquet", target],
        ]  # fmt: skip
        codes = {}
        for command in commands:
            code, out, err = run(*command)
            assert code in (0, 1, 2)
            if code == 2:
                assert err.startswith("pykraft log: ")
                assert err.count("\n") == 1
                assert not Path(target).exists() or command[0] == "export"
            if command[0] == "verify":
                assert bool(out) == (code == 1)
            if Path(target).is_dir():
                shutil.rmtree(target)
            else:
                Path(target).unlink(missing_ok=True)
            codes[command[0], len(command)] = code
        if codes["verify", 2] == 0:
            assert codes["image", 2] == 0
        if codes["image", 2] == 2:
            refused("serve", log, "--cluster-id", "x")


# -- each by itself --------------------------------------------------------------------------------------------------

READERS: Final = (
    ["verify"], ["image"], ["image", "--until", "3"], ["explain", "3"], ["export", "--parquet", "{}"],
    ["serve", "--cluster-id", "x"], ["bisect"],
)  # fmt: skip
"""The commands that read a whole log, which comes after these words."""


def words(reader: list[str], log: Path) -> list[str]:
    tail = ["--", "true"] if reader == ["bisect"] else []
    return [*(word.replace("{}", f"{log}.tables") for word in reader), str(log), *tail]


@pytest.mark.parametrize("reader", READERS, ids=" ".join)
def test_no_log_at_all(tmp_path: Path, reader: list[str]) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("notes")
    assert "holds neither segments nor checkpoints" in refused(*words(reader, tmp_path))
    assert "is named neither as a segment" in refused(*words(reader, foreign))
    assert "does not exist" in refused(*words(reader, tmp_path / "absent"))


DAMAGED: Final = {
    "foreign": (b"PK\x03\x04" * 40, "magic"),
    "zeros": (bytes(100), "magic 0"),
    "half a header": (CONTROLLER_LOG.read_bytes()[:40], "the batch needs 61 bytes, the file ends after 40"),
    "half a batch": (CONTROLLER_LOG.read_bytes()[:70], "the batch needs 91 bytes, the file ends after 70"),
    "huge": (bytes(8) + b"\x7f\xff\xff\xff" + CONTROLLER_LOG.read_bytes()[12:], "a size of 2147483659 bytes"),
    "negative": (bytes(8) + b"\x80\0\0\0" + CONTROLLER_LOG.read_bytes()[12:], "a size of -2147483636 bytes"),
}


@pytest.mark.parametrize("reader", READERS[1:], ids=" ".join)
@pytest.mark.parametrize(("content", "reason"), DAMAGED.values(), ids=list(DAMAGED))
def test_damage_is_said_with_its_place(tmp_path: Path, reader: list[str], content: bytes, reason: str) -> None:
    path = tmp_path / SEGMENT
    path.write_bytes(content)
    said = refused(*words(reader, path))
    if reader[0] != "explain":  # It goes by the lengths alone, and says that no batch holds the offset.
        assert f"{path} is corrupt at byte 0, offset 0: " in said
        assert reason in said
    code, out, _ = run("verify", str(path))
    assert (code, out.count("\n")) == (1, 1)
    assert f"{path}: offset" in out


def test_an_empty_segment_is_sound_and_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / SEGMENT).touch()
    assert run("verify", str(tmp_path))[0] == 0
    assert run("image", str(tmp_path))[0] == 0
    assert "offset 3" in refused("explain", "3", str(tmp_path))
    assert "names no leader" in refused("serve", str(tmp_path), "--cluster-id", "x")


def test_what_is_named_as_a_segment_and_is_none(tmp_path: Path) -> None:
    (tmp_path / SEGMENT).mkdir()
    assert "directory" in refused("image", str(tmp_path)).lower()
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / SEGMENT).symlink_to(tmp_path / "loop" / SEGMENT)
    assert "symbolic links" in refused("image", str(tmp_path / "loop"))


@pytest.mark.parametrize("properties", [b"\\u12", b"version=x", b"version=1\nnode.id=3000\n", b"\xff\xfe\0\0"])
def test_serve_without_a_readable_cluster_id(tmp_path: Path, properties: bytes) -> None:
    shutil.copytree(CONTROLLER_DATA, tmp_path / "data")
    (tmp_path / "data/meta.properties").write_bytes(properties)
    assert "meta.properties" in refused("serve", str(tmp_path / "data"))


@pytest.mark.parametrize("until", ["9" * 5_000, "-1", "٣", "soon"])
def test_no_point_in_a_log(until: str) -> None:
    assert "is neither an offset nor a time" in refused("image", f"--until={until}", str(CONTROLLER_DATA))


@pytest.mark.parametrize("option", ["--map-id=1=99999999999", "--map-id=1=٣", f"--map-id=1={'9' * 5_000}",
                                    "--map-host=a=b:70000", "--map-host=a", f"--drop={'9' * 5_000}"])  # fmt: skip
def test_edits_that_cannot_be(tmp_path: Path, option: str) -> None:
    refused("edit", str(CONTROLLER_DATA), str(tmp_path / "copy"), option)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "{", '{"a":' * 900 + "1" + "}" * 900, "\xff"])
def test_images_that_are_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "image.json"
    path.write_bytes(content.encode("latin-1"))
    code, _, err = run("diff", str(path), str(CONTROLLER_DATA))
    assert code in (1, 2)
    assert err.count("\n") == (code == 2)


def test_names_that_no_terminal_can_show(tmp_path: Path) -> None:
    """The name of a file may be no UTF-8, and the locale may have no letters beyond ASCII."""
    path = os.fsencode(tmp_path) + b"/\xff"
    Path(os.fsdecode(path)).mkdir()
    shutil.copy(CONTROLLER_LOG, Path(os.fsdecode(path)) / SEGMENT)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for arguments in ([b"dump"], [b"verify"], [b"image"], [b"explain", b"5"]):
        command = [sys.executable.encode(), b"-m", b"pykraft", b"log", *arguments, path]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
