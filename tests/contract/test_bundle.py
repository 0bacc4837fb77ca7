"""The frozen folder as a node gets it: what it asks of the machine, and how it looks from outside."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import harness
from support.harness import FROZEN

from freeze import portable

LIBRARY = FROZEN.parent / "lib"


def readelf(option, file):
    return subprocess.run(["readelf", "--wide", option, str(file)], capture_output=True, text=True, check=True).stdout


def elf_files():
    files = [file for file in sorted(FROZEN.parent.rglob("*")) if portable.is_elf(file)]
    assert FROZEN in files
    return files


def test_what_runs_on_the_machines_own_c_library_asks_nothing_of_it():
    """It would have to be content with GLIBC_2.17; it has no loader, needs no library, and knows no symbol version."""
    assert "INTERP" not in readelf("--program-headers", FROZEN)
    assert "NEEDED" not in readelf("--dynamic", FROZEN)
    assert re.findall(r"GLIBC\w+", readelf("--version-info", FROZEN)) == []


def test_every_library_that_a_file_needs_is_in_the_bundle():
    for file in elf_files():
        assert [name for name in portable.needed(file) if not (LIBRARY / name).is_file()] == [], file
        assert re.findall(r"\((RPATH|RUNPATH)\)", readelf("--dynamic", file)) == [], file


def test_no_file_asks_for_a_newer_kernel_or_processor_than_the_oldest_node_has():
    """Linux 3.10 is CentOS 7's, 4.19 Alibaba Cloud Linux 2's. Without newer system calls it runs in tests/distros."""
    asked = [readelf("--notes", file) for file in elf_files()]
    kernels = {tuple(map(int, each.split("."))) for text in asked for each in re.findall(r"ABI: ([\d.]+)", text)}
    processors = {each for text in asked for each in re.findall(r"ISA needed: (.+)", text)}
    assert kernels
    assert max(kernels) <= (3, 10, 0)
    assert processors <= {"x86-64-baseline"}


def test_no_stack_in_it_may_be_executed():
    for file in elf_files():
        (stack,) = [line for line in readelf("--program-headers", file).splitlines() if "GNU_STACK" in line]
        assert "RWE" not in stack, file


def test_nobody_but_root_may_change_it():
    assert [file for file in FROZEN.parent.rglob("*") if file.stat().st_mode & 0o022] == []


def test_it_is_found_through_links_from_any_folder_by_any_name(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/first").symlink_to(os.path.relpath(FROZEN, tmp_path / "bin"))
    (tmp_path / "second").symlink_to("bin/first")
    for words in (["./second"], ["second"]):
        done = subprocess.run(
            [*words, "--version"],
            executable="./second",
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env={},
        )
        assert done.stdout.startswith("aliyun-acr-credential-provider ")


def test_the_process_is_called_as_it_was_started(tmp_path):
    program = harness.frozen(tmp_path / "settings.yaml", tmp_path / "cache")
    with program.start() as process:
        status = Path(f"/proc/{process.pid}")
        try:
            # It waits for its request: the loader is done when the library is mapped.
            while "libpython" not in (status / "maps").read_text():
                assert process.poll() is None
            assert (status / "comm").read_text() == "aliyun-acr-cred\n"
            assert (status / "cmdline").read_bytes().split(b"\0")[0] == str(FROZEN).encode()
            assert (status / "exe").readlink() == FROZEN
        finally:
            process.kill()


@pytest.mark.parametrize("lost", ["lib/ld-linux-*", "lib/program"])
def test_a_folder_that_was_not_copied_whole_says_so(tmp_path, lost):
    bundle = shutil.copytree(FROZEN.parent, tmp_path / "bundle")
    (file,) = bundle.glob(lost)
    file.unlink()
    done = subprocess.run([bundle / FROZEN.name], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: cannot read {file} [BundleUnusable]\nremedy: Install the whole folder again")
