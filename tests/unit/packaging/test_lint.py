"""The checks of style see every file."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STUBS = "packaging/freeze/stubs/"
"""Small stand-ins for foreign packages, with those packages' names."""


def test_each_python_file_of_the_repository_is_linted():
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a clone")
    ruff = [str(Path(sys.executable).with_name("ruff")), "check", "--show-files", "."]
    shown = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    linted = {str(Path(path).relative_to(ROOT)) for path in shown}
    assert {path for path in listed.stdout.splitlines() if not path.startswith(STUBS)} <= linted
