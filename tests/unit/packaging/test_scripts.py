"""The shell scripts of the build are ones that shellcheck has nothing to say about, and plain sh runs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = [*(ROOT / "packaging").rglob("*.sh"), ROOT / ".ci/run"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    done = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), str(script)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_build_says_which_package_is_missing_and_how_to_get_it(tmp_path):
    """With nothing on the path but the shell's own commands."""
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "packaging/check/system_packages.sh")],
        env={"PATH": str(tmp_path), "NEEDED_FOR": "build", "PYTHON": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    error, remedy = done.stderr.splitlines()
    assert done.returncode == 1
    assert error == "error: this machine lacks: python3 python3-venv libpython3-dev binutils gcc make git"
    assert remedy.endswith("--no-install-recommends python3 python3-venv libpython3-dev binutils gcc make git")


@pytest.mark.parametrize(
    ("setup", "user", "installs"),
    [("yes", "0", True), ("no", "0", False), ("", "0", False), ("yes", "1000", False)],
    ids=["root", "root who said no", "root who only asks", "another user"],
)
def test_root_has_what_is_missing_installed_and_is_told_first(tmp_path, setup, user, installs):
    """apt-get and id are stand-ins: the one writes down how it is called, the other says who runs this."""
    calls = tmp_path / "calls"
    for name, body in {"apt-get": f'echo "$@" >> {calls}', "id": f"echo {user}"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "packaging/check/system_packages.sh")],
        env={"PATH": str(tmp_path), "NEEDED_FOR": "unit", "PYTHON": str(tmp_path / "none"), "SETUP": setup},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if installs else 1)
    if installs:
        assert done.stdout == "installing python3 python3-venv git (SETUP=no switches this off)\n"
        assert calls.read_text().splitlines()[1].endswith("--no-install-recommends python3 python3-venv git")
    else:
        assert not calls.exists()
        assert "error: this machine lacks: python3 python3-venv git" in done.stderr
