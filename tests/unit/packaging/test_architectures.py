"""A release is for amd64 and arm64 alike: what is made for one is made for the other by the same words."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGING = ROOT / "packaging"


def test_an_archive_is_named_after_each_architecture_as_distributions_name_it():
    known = re.search(r"ARCHITECTURES = (\{.*\})", (PACKAGING / "dist/archives.py").read_text())
    assert known is not None
    assert known[1] == '{"x86_64": "amd64", "aarch64": "arm64"}'


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_make_packs_a_bundle_for_each_architecture(architecture):
    asked = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "dist", f"ARCH={architecture}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"packaging/dist/cross_build.sh {architecture}" in asked.stdout


def test_nothing_that_is_pinned_for_a_node_is_for_one_architecture_alone():
    """A wheel of one architecture would be pinned by its hash alone; a marker on the machine would say so."""
    pinned = (PACKAGING / "requirements/freeze.txt").read_text()
    assert "platform_machine" not in pinned
