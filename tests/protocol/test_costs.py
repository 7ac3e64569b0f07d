"""What the package costs those who only import it: time, memory, space on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import pykraft.protocol

IMPORT_MS_MAX: Final = 60.0
MEMORY_KIB_MAX: Final = 15 * 1024
DISK_BYTES_MAX: Final = 4 * 1024 * 1024
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


def test_size_with_bytecode() -> None:
    """Of the whole of pykraft.protocol, as an installer leaves it: sources and their bytecode."""
    package = Path(pykraft.protocol.__file__).parent
    sources = sum(path.stat().st_size for path in package.rglob("*.py"))
    compiled = sum(path.stat().st_size for path in package.rglob(f"*.{sys.implementation.cache_tag}.pyc"))
    assert sources + max(compiled, sources) <= DISK_BYTES_MAX


def test_the_compiler_is_not_imported_with_the_package() -> None:
    code = "import sys, pykraft.protocol.frame; print([name for name in sys.modules if name.endswith('_compile')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
