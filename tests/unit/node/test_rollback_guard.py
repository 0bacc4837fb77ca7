"""The guard as files: armed whole or not at all, disarmed without a trace. What it does is tried in tests/systemd."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.install import rollback_guard
from acr_node_config.install.journal import Change
from acr_node_config.install.rollback_guard import LINK, UNIT, Guard
from acr_node_config.install.state import FOLDER
from acr_node_config.model import steps
from acr_node_config.model.steps import PutFile
from support.node_world import StandinService, World


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2\n", 0o640)
    world.start_kubelet()
    (world.root / FOLDER.lstrip("/")).mkdir(mode=0o700)
    return world


def changes(host):
    wanted = [
        PutFile("/etc/new.yaml", b"new", is_read_at_start=True),
        PutFile("/etc/default/kubelet", b"x", is_read_at_start=True),
    ]
    return [Change.of(step, host.stat(step.path)) for step in wanted]


def test_it_knows_what_to_put_back_and_in_which_order(world):
    host, service = HostFiles(str(world.root)), StandinService(world)
    Guard(host, FOLDER, service).arm(changes(host), unit="kubelet.service", has_health=True)

    folder = world.at(f"{FOLDER}/guard")
    assert (folder / "files").read_text() == "file 0 /etc/default/kubelet\nabsent 1 /etc/new.yaml\n"
    assert (folder / "was.0").read_text() == "KUBELET_EXTRA_ARGS=--v=2\n"
    assert stat.S_IMODE((folder / "was.0").stat().st_mode) == 0o640
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert world.at(LINK).resolve().read_text().count(f"{FOLDER}/guard/guard.sh") == 1
    assert service.asked[-2:] == ["reload", f"start {UNIT}"]
    assert f"PID='{world.kept()['pid']}'" in (folder / "terms").read_text()


def test_disarming_leaves_no_trace(world):
    before = world.tree()
    host, service = HostFiles(str(world.root)), StandinService(world)
    one = Guard(host, FOLDER, service)
    one.arm(changes(host), unit="kubelet.service", has_health=True)
    assert one.is_armed

    one.disarm()

    assert world.tree() == before
    assert not one.is_armed
    one.disarm()
    assert service.asked.count(f"stop {UNIT}") == 1


def test_a_folder_of_systemds_that_was_not_there_goes_with_it(world):
    world.at("/etc/systemd/system/multi-user.target.wants").rmdir()
    before = world.tree()
    host, service = HostFiles(str(world.root)), StandinService(world)
    one = Guard(host, FOLDER, service)
    one.arm(changes(host), unit="kubelet.service", has_health=False)
    one.disarm()
    assert world.tree() == before


@pytest.mark.parametrize("killed_after", range(1, 30))
def test_who_is_killed_while_arming_leaves_no_guard_or_a_whole_one(world, killed_after):
    class KilledError(Exception):
        pass

    left = [killed_after]

    def count(_change):
        left[0] -= 1
        if left[0] == 0:
            raise KilledError

    host, service = HostFiles(str(world.root), count), StandinService(world)
    try:
        Guard(host, FOLDER, service).arm(changes(host), unit="kubelet.service", has_health=True)
    except KilledError:
        pass
    folder = world.at(f"{FOLDER}/guard")
    if world.at(LINK).is_symlink():
        names = {each.name for each in folder.iterdir()}
        assert {"guard.sh", "files", "terms", "was.0"} <= names
        assert world.at(LINK).exists()
    Guard(HostFiles(str(world.root)), FOLDER, service).disarm()
    assert not world.at(LINK).is_symlink()


def test_its_script_is_for_any_posix_shell():
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run(
        [shellcheck, "--shell=sh", rollback_guard.SCRIPT], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_without_terms_it_does_nothing(tmp_path):
    script = tmp_path / "guard.sh"
    script.write_bytes(Path(rollback_guard.SCRIPT).read_bytes())
    done = subprocess.run(["sh", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [each.name for each in tmp_path.iterdir()] == ["guard.sh"]


def test_what_is_in_a_restored_file_is_in_no_repr():
    change = Change("/x", steps.PathState(steps.FILE, content=b"secret"), "")
    assert "secret" not in repr(change)
