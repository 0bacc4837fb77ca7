"""Processes that call themselves kubelet beside the one of kubelet.service, on a machine that boots systemd."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.node import NOBODY, evil_program
from systemd.machine import Machine
from systemd.test_systemd import INSTALL

FLAGS = ("--image-credential-provider-config=/evil.yaml", "--image-credential-provider-bin-dir=/evil")
HOME, MARK = "/home/user", "/run/a-strangers-program-was-run"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = Path("/dev/shm") / f"acr-{tmp_path_factory.mktemp('strangers').parent.name}-strangers"
    try:
        with Machine(folder) as machine:
            machine.wait_until(machine.runs)
            yield machine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def strange(machine, tmp_path):
    """Three processes called kubelet: a user's; root's, of a user's program; root's, of a program of root's."""
    evil = evil_program(tmp_path / "kubelet", Path(MARK))
    machine.run("mkdir", "--parents", HOME, "/usr/lib/other")
    shutil.copy(evil, machine.inside / "home/user/kubelet")
    machine.run("chown", "--recursive", f"{NOBODY}:{NOBODY}", HOME)
    machine.run("cp", "/usr/bin/sleep", "/usr/lib/other/kubelet")
    started = {
        "of-a-user": ("--uid", str(NOBODY), f"{HOME}/kubelet", *FLAGS),
        "of-root": (f"{HOME}/kubelet", *FLAGS),
        "other": ("/usr/lib/other/kubelet", "1000"),
    }
    for unit, words in started.items():
        assert machine.run("systemd-run", "--collect", f"--unit={unit}", *words).returncode == 0
    yield machine
    machine.run("systemctl", "stop", *started)


@pytest.mark.parametrize("way", ["dbus", "systemctl"])
@pytest.mark.parametrize("pod", [False, True], ids=["on the node", "from a pod"])
def test_the_kubelet_of_the_unit_is_found_and_nothing_of_strangers_is_run(strange, way, pod):
    node = strange.node_from_pod if pod else strange.node
    done = node(*INSTALL, "--service", way)
    assert done.returncode == 0, done.stderr
    assert "--image-credential-provider-bin-dir=/opt/" in strange.command_line()
    assert node("verify").stdout == "all is well\n"
    assert not (strange.inside / MARK.lstrip("/")).exists()

    done = node("uninstall", "--stable-for", "4", "--service", way)
    assert done.returncode == 0, done.stderr
    assert strange.runs()


def test_while_the_kubelet_is_down_no_stranger_takes_its_place(strange):
    strange.run("systemctl", "stop", "of-root", "other", "kubelet")
    done = strange.node("plan", "--settings", "/settings/settings.yaml")
    strange.run("systemctl", "start", "kubelet")
    assert "/evil" not in done.stdout + done.stderr
    assert not (strange.inside / MARK.lstrip("/")).exists()
    strange.wait_until(strange.runs)
