"""What the package costs those who only import it: time, memory, space on disk."""

from __future__ import annotations

import io
import json
import marshal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

import pykraft.protocol

IMPORT_MS_MAX: Final = 60.0
MEMORY_KIB_MAX: Final = 15 * 1024
PROTOCOL: Final = Path(pykraft.protocol.__file__).parent
PROTOCOL_BYTES_MAX: Final = 1_300_000
WHEEL_BYTES_MAX: Final = 1_000_000
UNPACKED_BYTES_MAX: Final = 4_000_000
PYC_HEADER_BYTES: Final = 16
ATTEMPTS: Final = 5

# Prints the processor time and the resident memory that the import added to a bare interpreter.
MEASURE: Final = """
import importlib, json, sys, time
def resident_kib():
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1]) * 4
memory, begun = resident_kib(), time.process_time()
importlib.import_module(sys.argv[1])
print(json.dumps([(time.process_time() - begun) * 1000, resident_kib() - memory]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory from /proc")
@pytest.mark.parametrize("module", ["pykraft.protocol", "pykraft.protocol.api", "pykraft.protocol.frame"])
def test_import(module: str) -> None:
    runs = []
    for _ in range(ATTEMPTS):
        done = subprocess.run([sys.executable, "-c", MEASURE, module], capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout))
    assert min(time_ms for time_ms, _ in runs) <= IMPORT_MS_MAX
    assert min(kib for _, kib in runs) <= MEMORY_KIB_MAX


def sources(package: Path) -> list[Path]:
    """What a wheel has of a package."""
    return [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_size_with_bytecode() -> None:
    """Of the whole of pykraft.protocol, as an installer leaves it: sources and their bytecode."""
    files = sources(PROTOCOL)
    compiled = [compile(path.read_bytes(), str(path), "exec") for path in files if path.suffix == ".py"]
    assert len(compiled) > 200
    bytecode = sum(PYC_HEADER_BYTES + len(marshal.dumps(code)) for code in compiled)
    assert sum(path.stat().st_size for path in files) + bytecode <= PROTOCOL_BYTES_MAX


def test_size_of_the_wheel() -> None:
    """Of the whole of pykraft, packed as wheels are and unpacked again, without the bytecode an installer may add."""
    files = sources(PROTOCOL.parent)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path in files:
            wheel.write(path)
    assert len(packed.getvalue()) <= WHEEL_BYTES_MAX
    assert sum(path.stat().st_size for path in files) <= UNPACKED_BYTES_MAX


def test_the_compiler_is_not_imported_with_the_package() -> None:
    code = "import sys, pykraft.protocol.frame; print([name for name in sys.modules if name.endswith('_compile')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
