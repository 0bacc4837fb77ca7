"""What an installation with pip brings: all of our packages, where nothing finds them by their path."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_each_package_of_ours_is_in_a_wheel():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    there = {
        ".".join((name, *file.parent.relative_to(ROOT / folder).parts))
        for name, folder in project["package-dir"].items()
        for file in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(there) == project["packages"]
