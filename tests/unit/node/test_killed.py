"""Kill -9 and a power cut after every single change that the installer makes, to a file or by the service manager.

The child is ended by the very call that tells of a change, so nothing of it is left to chance: before a rename and
after it, before the folder is synced and after it.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from acr_node_config.hostfs.host_files import DRAFT
from acr_node_config.install.state import FOLDER
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model.errors import DiskError, RefusedError, RejectedError
from support import node_sites
from support.node_verbs import BEFORE, do, of_the_node
from support.node_world import StandinService, program

pytestmark = pytest.mark.thorough
KILLED = 9
SITES = ("kubeadm deb with arguments", "k3s by default", "existing json", "existing directory")


class Killer:
    """Ends the process at the change of this number."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, _what: str) -> None:
        self.left -= 1
        if self.left == 0:
            os._exit(KILLED)


class KilledService(StandinService):
    def __init__(self, world, kill: Killer) -> None:
        super().__init__(world)
        self._kill = kill

    def restart(self, unit: str) -> None:
        self._kill("about to restart")
        super().restart(unit)
        self._kill("restarted")

    def reload(self) -> None:
        super().reload()
        self._kill("reloaded")


def ended_after(number: int, world, work) -> bool:
    """Do *work* in a child that is killed at change *number*; say whether it got to its end before."""
    child = os.fork()
    if child == 0:
        try:
            kill = Killer(number)
            work(world.node(KilledService(world, kill), after_each=kill))
        except BaseException:  # noqa: BLE001 - the child must never come back into pytest
            traceback.print_exc(file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _pid, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED)
    return code == 0


class Nodes:
    """As many nodes of a kind as are wanted, all in the state that the steps before *which* leave."""

    def __init__(self, name, folder, which, programs) -> None:
        self._folder, self._made = folder, 0
        self._site = site = node_sites.ALL[name](folder / "0")
        assert site.world.start_kubelet() == ""
        self.untouched = of_the_node(site.world)
        for each in BEFORE[which]:
            do(each, site.world.node(StandinService(site.world)), site, programs)

    def another(self):
        self._made += 1
        if self._made > 1:
            shutil.rmtree(self._folder / str(self._made - 1))
        copy = self._folder / str(self._made)
        shutil.copytree(self._folder / "0", copy, symlinks=True)
        return self._site._replace(world=replace(self._site.world, folder=copy, time=[0.0]))


@pytest.fixture
def memory():
    """A folder where syncing costs nothing: what is asked here is what is there after each step, not when."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix="acr-node-") as folder:
        yield Path(folder)


@pytest.fixture
def programs(memory):
    return program(memory / "first"), program(memory / "second", "0.2.0")


@pytest.mark.parametrize("then", ["killed", "power cut"])
@pytest.mark.parametrize("which", BEFORE)
@pytest.mark.parametrize("name", SITES)
def test_the_next_kubelet_starts_and_the_next_run_ends_right(name, which, then, memory, programs):
    nodes = Nodes(name, memory, which, programs)
    site = nodes.another()
    do(which, site.world.node(StandinService(site.world)), site, programs)
    right = of_the_node(site.world)
    for number in range(1, 500):
        site = nodes.another()
        is_done = ended_after(number, site.world, lambda node: do(which, node, site, programs))  # noqa: B023
        if then == "power cut":
            assert site.world.boot() == "", number
        else:
            assert site.world.faults(site.world.words()) == "", number
            assert site.world.kept()["pid"]

        node = site.world.node(StandinService(site.world))
        try:
            do(which, node, site, programs)
        except RefusedError:  # it is back already
            assert which == "rollback"

        assert of_the_node(site.world) == right, number
        assert not list(site.world.root.rglob(f"*{DRAFT}"))
        assert site.world.boot() == ""
        if which != "uninstall":
            assert node.status().is_good, number
            assert node.status().installed.confirmed, number
            assert site.world.faults(site.world.kept()["words"]) == ""
        node.uninstall()
        assert of_the_node(site.world) == nodes.untouched, number
        assert not site.world.at(FOLDER).exists()
        if is_done:
            assert number > 10
            return
    pytest.fail("it never ended")


@pytest.mark.parametrize("name", SITES)
def test_uninstalling_after_an_interrupted_installation_leaves_the_node_as_it_was(name, memory, programs):
    nodes = Nodes(name, memory, "install", programs)
    for number in range(1, 500):
        site = nodes.another()
        is_done = ended_after(number, site.world, lambda node: do("install", node, site, programs))  # noqa: B023

        site.world.node(StandinService(site.world)).uninstall()

        assert of_the_node(site.world) == nodes.untouched, number
        assert site.world.kept()["pid"]
        words = " ".join(site.world.kept()["words"])
        assert NAME not in words, (number, words)
        if is_done:
            return
    pytest.fail("it never ended")


@pytest.mark.parametrize("name", SITES)
def test_a_crashing_kubelet_and_a_killed_installer_still_end_well(name, memory, programs):
    """The kubelet does not like what is installed, and the installer is killed at any moment of finding that out."""
    nodes = Nodes(name, memory, "install", programs)
    for number in range(1, 500):
        site = nodes.another()
        site.world.refuses = "cr.aliyuncs.com"
        child = os.fork()
        if child == 0:
            kill = Killer(number)
            try:
                do("install", site.world.node(KilledService(site.world, kill), after_each=kill), site, programs)
            except BaseException:  # noqa: BLE001 - a rejection is what is due
                os._exit(3)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (3, KILLED)

        node = site.world.node(StandinService(site.world))
        with pytest.raises(RejectedError):
            do("install", node, site, programs)
        assert of_the_node(site.world) == nodes.untouched, number
        assert site.world.kept()["pid"], number
        assert node.state.journal() is None
        assert not node.guard.is_armed
        if code == 3:
            return
    pytest.fail("it never ended")


@pytest.mark.parametrize("which", ["install", "upgrade", "uninstall"])
def test_a_disk_that_fails_at_any_change_leaves_a_kubelet_that_starts_and_the_next_run_ends_right(
    which, memory, programs
):
    nodes = Nodes("existing yaml", memory, which, programs)
    site = nodes.another()
    do(which, site.world.node(StandinService(site.world)), site, programs)
    right = of_the_node(site.world)
    for number in range(1, 500):
        site = nodes.another()
        left = [number]

        def fail(_what, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        told = None
        try:
            do(which, site.world.node(StandinService(site.world), after_each=fail), site, programs)
        except (DiskError, OSError) as error:
            told = error
        assert site.world.faults(site.world.words()) == "", number
        assert site.world.kept()["pid"], number
        do(which, site.world.node(StandinService(site.world)), site, programs)
        assert of_the_node(site.world) == right, number
        assert site.world.boot() == ""
        if told is None and left[0] > 0:
            return
    pytest.fail("it never ended")
