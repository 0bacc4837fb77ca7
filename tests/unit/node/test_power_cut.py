"""The power fails on a real file system, which loses all that was never synced: ext4, stopped without its journal.

The file system is an image in memory. Its ``EXT4_IOC_SHUTDOWN`` is what file systems' own tests use for a power cut:
nothing is written any more, and what the next mount finds is what a disk would hold. Mounted so that the kernel does
not make up for those who rename before they sync. CHAOS_FULL=1 does it on each kind of node,
and once more with the names lost too.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from acr_node_config.hostfs.host_files import DRAFT, HostFiles
from acr_node_config.install.state import FOLDER
from acr_node_config.model.errors import RefusedError
from acr_node_config.model.steps import PutFile
from support import node_sites
from support.node_verbs import BEFORE, do, of_the_node
from support.node_world import StandinService, program

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
WITHOUT_JOURNAL = 2  # EXT4_GOING_FLAGS_NOLOGFLUSH
CUT = 9
OPTIONS = "loop,noauto_da_alloc,commit=600"
FULL = bool(os.environ.get("CHAOS_FULL"))
SITES = node_sites.ALL if FULL else ["kubeadm deb with arguments"]
LOST = {"unsynced data": True} | ({"all that is unsynced": False} if FULL else {})


def has_loop() -> bool:
    return os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None


pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not has_loop(), reason="a file system of its own takes root, a loop device and ext4"),
]


class Disk:
    """An ext4 file system in the file *image*.

    Each mount is of a copy, which takes its place: where somebody else on this machine copied our mount into a
    namespace of his own, the file system whose power was cut lives on, and mounting it again would be more of the same.
    """

    def __init__(self, image: Path) -> None:
        self._image = image

    @classmethod
    def make(cls, image: Path) -> Disk:
        with image.open("wb") as file:
            file.truncate(24 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", str(image)], check=True)
        return cls(image)

    def copy(self, image: Path) -> Disk:
        subprocess.run(["cp", "--sparse=always", str(self._image), str(image)], check=True)
        return Disk(image)

    @contextmanager
    def mounted(self, folder: Path):
        image = self._image.with_name(f"{self._image.name}-")
        self.copy(image)
        self._image.unlink()
        self._image = image
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "ext4", "-o", OPTIONS, str(image), str(folder)], check=True)
        try:
            yield
        finally:
            # To unmount is to write all out, but not while it is mounted elsewhere too; what was cut off takes nothing.
            subprocess.run(["sync", "--file-system", str(folder)], check=False, stderr=subprocess.DEVNULL)
            subprocess.run(["umount", str(folder)], check=True)


def cut_power(folder: Path, *, journal_is_out: bool) -> None:
    """Stop the file system at *folder*. With *journal_is_out*, names of files have got to the disk; data has not."""
    if journal_is_out:
        with open(folder / "tick", "w") as file:
            file.write("the journal goes out with this file")
            file.flush()
            os.fsync(file.fileno())
    top = os.open(folder, os.O_RDONLY)
    fcntl.ioctl(top, SHUTDOWN, struct.pack("I", WITHOUT_JOURNAL))
    os._exit(CUT)


class PowerCut:
    """Cuts the power of the file system at *folder* with the change of this *number*."""

    def __init__(self, number: int, folder: Path, *, journal_is_out: bool) -> None:
        self._left, self._folder, self._journal_is_out = number, folder, journal_is_out

    def __call__(self, _change: str) -> None:
        self._left -= 1
        if self._left == 0:
            cut_power(self._folder, journal_is_out=self._journal_is_out)


def in_child(work) -> bool:
    """Do *work* in a child whose power may be cut; say whether it got to its end before."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the child must never come back into pytest
            traceback.print_exc(file=sys.stderr)
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, CUT)
    return code == 0


@pytest.fixture
def memory():
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="acr-power-") as folder:
        yield Path(folder)


@pytest.fixture
def disk(memory):
    return Disk.make(memory / "disk")


def test_what_was_renamed_before_it_was_synced_is_lost_here(disk, memory):
    """So that the tests below can fail."""
    folder = memory / "mounted"

    def careless():
        (folder / "draft").write_text("new")
        (folder / "draft").rename(folder / "file")
        cut_power(folder, journal_is_out=True)

    with disk.mounted(folder):
        (folder / "file").write_text("old")
        os.sync()
        assert not in_child(careless)
    with disk.mounted(folder):
        assert (folder / "file").read_bytes() == b""


@pytest.mark.parametrize("journal_is_out", [False, True])
def test_a_file_that_was_put_is_whole_and_there(disk, memory, journal_is_out):
    folder = memory / "mounted"

    def careful():
        HostFiles(str(folder)).apply(PutFile("/file", b"new"))
        cut_power(folder, journal_is_out=journal_is_out)

    with disk.mounted(folder):
        assert not in_child(careful)
    with disk.mounted(folder):
        assert (folder / "file").read_bytes() == b"new"


class Nodes:
    """As many nodes as are wanted, on disks of their own, all in the state that the steps before *which* leave."""

    def __init__(self, disk, memory, name, which, programs) -> None:
        self._disk, self._memory = disk, memory
        (memory / "0").mkdir()
        with disk.mounted(memory / "0" / "host"):
            self._site = site = node_sites.ALL[name](memory / "0")
            assert site.world.start_kubelet() == ""
            self.untouched = self.tree(site.world)
            for each in BEFORE[which]:
                do(each, site.world.node(StandinService(site.world)), site, programs)

    @contextmanager
    def another(self, number: int):
        """Yield a node, and what mounts its disk."""
        folder = self._memory / str(number)
        folder.mkdir()
        shutil.copy(self._memory / "0" / "kubelet.json", folder)
        disk = self._disk.copy(folder / "disk")
        site = self._site._replace(world=replace(self._site.world, folder=folder, time=[0.0]))
        yield site, lambda: disk.mounted(folder / "host")
        shutil.rmtree(folder)

    @staticmethod
    def tree(world) -> dict[str, str]:
        return {path: what for path, what in of_the_node(world).items() if path not in ("lost+found", "tick")}


@pytest.mark.parametrize("journal_is_out", LOST.values(), ids=LOST)
@pytest.mark.parametrize("which", BEFORE)
@pytest.mark.parametrize("name", SITES)
def test_the_next_kubelet_starts_and_the_next_run_ends_right(name, which, journal_is_out, disk, memory):
    programs = program(memory / "first"), program(memory / "second", "0.2.0")
    nodes = Nodes(disk, memory, name, which, programs)
    with nodes.another(1) as (site, on_disk), on_disk():
        do(which, site.world.node(StandinService(site.world)), site, programs)
        right = nodes.tree(site.world)
    for number in range(1, 500):
        with nodes.another(number) as (site, on_disk):
            world = site.world
            with on_disk():
                cut = PowerCut(number, world.root, journal_is_out=journal_is_out)
                is_done = in_child(
                    lambda: do(which, world.node(StandinService(world), after_each=cut), site, programs)  # noqa: B023
                )
            with on_disk():
                assert world.boot() == "", number
                node = world.node(StandinService(world))
                try:
                    do(which, node, site, programs)
                except RefusedError:  # it is back already
                    assert which == "rollback"
                assert nodes.tree(world) == right, number
                assert not list(world.root.rglob(f"*{DRAFT}")), number
                assert world.boot() == ""
                node.uninstall()
                assert nodes.tree(world) == nodes.untouched, number
                assert not world.at(FOLDER).exists()
        if is_done:
            assert number > 10
            return
    pytest.fail("it never ended")
