"""The examples from a user's side: a folder outside the checkout, the package as it is installed, strict checkers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

EXAMPLES: Final = Path(__file__).parent / "examples.py"
PYRIGHT_CONFIG: Final = {
    "typeCheckingMode": "strict",
    "reportUnnecessaryTypeIgnoreComment": "error",
    # The mistakes are expressions whose value nobody uses.
    "reportUnusedExpression": "none",
    "reportUnnecessaryIsInstance": "none",
}


def checked(command: list[str], folder: Path) -> str:
    """What a checker says of a copy of the examples in the folder; fails unless it finds nothing."""
    shutil.copy(EXAMPLES, folder / "examples.py")
    environment = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mypy_strict(tmp_path: Path) -> None:
    said = checked([sys.executable, "-m", "mypy", "--strict", "--python-executable", sys.executable, "examples.py"],
                   tmp_path)  # fmt: skip
    assert "Success: no issues found in 1 source file" in said


def test_pyright_strict(tmp_path: Path) -> None:
    pyright = shutil.which("pyright", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if pyright is None:
        pytest.skip("there is no pyright: pip install 'pyright[nodejs]'")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(PYRIGHT_CONFIG), "utf-8")
    said = checked([pyright, "--project", ".", "--pythonpath", sys.executable], tmp_path)
    assert "0 errors, 0 warnings" in said


def test_they_run() -> None:
    subprocess.run([sys.executable, str(EXAMPLES)], check=True)
