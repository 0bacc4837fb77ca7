"""The frozen installer on a machine that boots systemd, with all that can go wrong between those and a kubelet."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support import harness
from systemd.machine import NAME, STATE, Machine

INSTALL = ("install", "--settings", "/settings/settings.yaml", "--stable-for", "4")
GUARD = f"{NAME}-guard.service"
TOKENS = """\
  - instanceId: cri-fedcba9876543210
    region: cn-hangzhou
    domains: [shop.example.com]
    identity:
      kind: serviceAccount
      oidcProviderArn: acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1
"""


def after_journal(machine: Machine, phase: str, what) -> None:
    """Call *what* as soon as the installer has written down *phase*."""
    machine.wait_until(lambda: (machine.journal() or {}).get("phase") == phase)
    what()


@pytest.fixture
def folder(tmp_path):
    # A layer of overlayfs: tmpfs takes it on every kernel, and costs no waiting for a disk.
    found = Path("/dev/shm") / f"acr-{tmp_path.parent.name}-{tmp_path.name}"
    yield found
    shutil.rmtree(found, ignore_errors=True)


@pytest.fixture
def machine(folder):
    with Machine(folder) as machine:
        machine.wait_until(machine.runs)
        yield machine


@pytest.fixture
def newer(tmp_path):
    """The same program with other bytes in it."""
    copy = shutil.copytree(harness.FROZEN.parent, tmp_path / "newer")
    (copy / "lib" / "newer").write_text("x")
    return copy


def put(machine: Machine, bundle: Path, name: str) -> str:
    """Copy *bundle* into the machine; return where it is there."""
    shutil.copytree(bundle, f"/proc/{machine.leader}/root/settings/{name}", symlinks=True)
    return f"/settings/{name}"


@pytest.mark.parametrize("service", ["dbus", "systemctl"])
def test_an_operator_installs_upgrades_rolls_back_and_uninstalls(machine, service, newer):
    before, way = machine.tree(), ("--service", service)
    done = machine.node(*INSTALL, *way)
    assert done.returncode == 0, done.stderr
    assert "--image-credential-provider-bin-dir=/opt/" in machine.command_line()
    assert machine.status()["confirmed"]
    assert machine.node("verify").stdout == "all is well\n"
    pid = machine.kubelet()["MainPID"]

    again = machine.node(*INSTALL, *way)
    assert (again.stdout, machine.kubelet()["MainPID"]) == ("nothing was to be done\n", pid)

    done = machine.node(*INSTALL, *way, "--bundle", put(machine, newer, "newer"))
    assert done.returncode == 0, done.stderr
    assert (machine.kubelet()["MainPID"], len(machine.say("ls", f"/opt/{NAME}/bin/.{NAME}").split())) == (pid, 2)

    assert machine.node("rollback", *way, "--stable-for", "4").returncode == 0
    assert machine.status()["isGood"]
    assert machine.kubelet()["MainPID"] == pid

    done = machine.node("uninstall", *way, "--stable-for", "4")
    assert done.returncode == 0, done.stderr
    assert machine.tree() == before
    assert machine.runs()
    assert "image-credential" not in machine.command_line()


@pytest.mark.parametrize("service", ["dbus", "systemctl"])
def test_a_pod_does_the_same_from_other_mounts_and_another_network(machine, service):
    before = machine.tree()

    done = machine.node_from_pod(*INSTALL, "--service", service)

    assert done.returncode == 0, done.stderr
    assert "could not be asked" not in done.stderr  # /healthz, though the network is another one
    assert "--image-credential-provider-bin-dir=/opt/" in machine.command_line()
    assert machine.node_from_pod("verify").returncode == 0
    done = machine.node_from_pod("uninstall", "--stable-for", "4", "--service", service)
    assert done.returncode == 0, done.stderr
    assert machine.tree() == before
    assert machine.runs()


def test_a_kubelet_that_crashes_with_it_gets_its_files_back_and_is_left_alone_then(machine):
    machine.run("touch", "/usr/lib/standin/crashes-with-providers")
    before = machine.tree()

    done = machine.node(*INSTALL)

    assert done.returncode == 4
    assert "crash-loops" in done.stderr
    assert "it runs again" in done.stderr
    assert machine.runs()
    assert {path: what for path, what in machine.tree().items() if not path.startswith(STATE)} == before
    status = machine.status()
    assert "crash-loops" in status["rejected"][0]["reason"]

    pid = machine.kubelet()["MainPID"]
    assert machine.node(*INSTALL).returncode == 4
    assert machine.kubelet()["MainPID"] == pid
    assert json.loads(machine.node("plan", *INSTALL[1:], "--output", "json").stdout)["rejected"]

    machine.run("rm", "/usr/lib/standin/crashes-with-providers")
    assert machine.node(*INSTALL, "--retry").returncode == 0
    assert machine.status()["rejected"] == []


def test_a_kubelet_that_stays_unhealthy_gets_its_files_back(machine):
    machine.run("touch", "/usr/lib/standin/sick-with-providers")

    done = machine.node(*INSTALL)

    assert done.returncode == 4
    assert "/healthz" in done.stderr
    assert machine.runs()
    assert "image-credential" not in machine.command_line()


def test_a_broken_program_is_found_out_before_the_kubelet_knows_of_it(machine, tmp_path):
    broken = shutil.copytree(harness.FROZEN.parent, tmp_path / "broken")
    (broken / "lib" / "libz.so.1").write_bytes(b"not a library")
    (broken / "lib" / "base_library.zip").write_bytes(b"nor an archive")
    before = machine.tree()
    where = put(machine, broken, "broken")

    done = machine.node(*INSTALL, "--bundle", where)

    assert done.returncode in (1, 3)
    assert done.stderr.startswith("error: ")
    assert {path: what for path, what in machine.tree().items() if not path.startswith(STATE)} == before
    assert machine.runs()


def test_without_dbus_it_says_so_or_takes_the_other_way(machine):
    machine.run("systemctl", "stop", "dbus.socket", "dbus.service")
    machine.run("rm", "-f", "/run/dbus/system_bus_socket")
    before = machine.tree()

    done = machine.node(*INSTALL, "--service", "dbus")
    assert done.returncode in (1, 3)
    assert {path: what for path, what in machine.tree().items() if not path.startswith(STATE)} == before
    assert machine.runs()

    done = machine.node(*INSTALL)
    assert done.returncode == 0, done.stderr
    assert machine.status()["confirmed"]


def test_a_read_only_etc_is_refused_and_stays_as_it_is(machine):
    machine.run("mount", "--bind", "/etc", "/etc")
    machine.run("mount", "-o", "remount,bind,ro", "/etc")
    before = machine.tree()

    done = machine.node(*INSTALL)

    assert done.returncode == 3, done.stderr
    assert "/etc" in done.stderr
    assert {path: what for path, what in machine.tree().items() if not path.startswith(STATE)} == before
    assert machine.runs()


def test_a_full_disk_leaves_the_node_as_it_was(folder):
    with Machine(folder, tmpfs={"/opt": "8m"}) as machine:
        machine.wait_until(machine.runs)
        before = machine.tree()

        done = machine.node(*INSTALL)

        assert done.returncode == 1
        assert "the disk is full" in done.stderr
        assert "Free space there" in done.stderr
        assert {path: what for path, what in machine.tree().items() if not path.startswith(STATE)} == before
        assert machine.runs()


def test_two_installers_at_once_restart_the_kubelet_once(machine):
    both = [machine.start(f"/bundle/{NAME}", "node", *INSTALL) for _ in range(2)]
    codes = sorted(each.wait(120) for each in both)

    assert codes in ([0, 0], [0, 5]), [each.stderr.read() for each in both]
    assert machine.status()["confirmed"]
    assert machine.say("journalctl", "--no-pager", "-u", "kubelet").count("Started kubelet") == 2
    for each in both:
        each.stdout.close()
        each.stderr.close()


@pytest.mark.parametrize("phase", ["applying", "applied"])
def test_a_killed_installer_and_a_kubelet_that_crashes_are_what_the_guard_is_for(machine, phase):
    machine.run("touch", "/usr/lib/standin/crashes-with-providers")
    installer = machine.start(f"/bundle/{NAME}", "node", *INSTALL)
    after_journal(machine, phase, lambda: machine.run("pkill", "-KILL", "-f", "node install"))
    installer.communicate()
    machine.run("systemctl", "restart", "kubelet")  # by anybody, whether our restart was under way or not

    machine.wait_until(lambda: machine.runs() and "image-credential" not in machine.command_line())
    time.sleep(3)
    assert machine.runs()
    done = machine.node(*INSTALL)
    assert done.returncode == 4, done.stderr
    assert machine.runs()
    assert machine.status()["interrupted"] == ""


def test_a_power_cut_before_the_kubelet_was_seen_to_crash_is_what_the_guard_is_for_too(machine):
    machine.run("touch", "/usr/lib/standin/crashes-with-providers")
    installer = machine.start(f"/bundle/{NAME}", "node", *INSTALL)
    after_journal(machine, "applied", machine.cut_power)
    installer.communicate()

    machine.boot()

    machine.wait_until(machine.runs)
    machine.wait_until(lambda: machine.status()["guardActed"])
    assert "image-credential" not in machine.command_line()
    done = machine.node(*INSTALL)
    assert done.returncode == 4
    assert "guard" in done.stderr
    status = machine.status()
    assert (status["guardActed"], status["interrupted"], len(status["rejected"])) == ("", "", 1)


def test_a_power_cut_with_a_kubelet_that_lives_with_it_is_confirmed_later_not_undone(machine):
    installer = machine.start(f"/bundle/{NAME}", "node", *INSTALL)
    after_journal(machine, "applied", machine.cut_power)
    installer.communicate()

    machine.boot()

    machine.wait_until(machine.runs)
    assert "image-credential" in machine.command_line()
    pid = machine.kubelet()["MainPID"]
    machine.wait_until(lambda: machine.run("test", "-e", f"{STATE}/guard/healthy").returncode == 0)
    done = machine.node(*INSTALL)
    assert done.returncode == 0, done.stderr
    assert machine.kubelet()["MainPID"] == pid
    assert machine.status()["isGood"]
    assert machine.run("test", "-e", f"{STATE}/guard").returncode == 1


def test_a_power_cut_while_uninstalling_ends_uninstalled(machine):
    before = machine.tree()
    assert machine.node(*INSTALL).returncode == 0
    installer = machine.start(f"/bundle/{NAME}", "node", "uninstall", "--stable-for", "4")
    after_journal(machine, "applied", machine.cut_power)
    installer.communicate()

    machine.boot()

    machine.wait_until(machine.runs)
    # The guard looks first, and whoever comes meanwhile is told that somebody is at work.
    machine.wait_until(lambda: machine.run("systemctl", "is-active", "--quiet", GUARD).returncode != 0)
    done = machine.node("uninstall", "--stable-for", "4")
    assert done.returncode == 0, done.stderr
    assert machine.runs()
    assert machine.tree() == before


def test_a_baked_image_boots_with_the_plugin_and_is_confirmed_without_a_restart(machine):
    done = machine.node("bake", *INSTALL[1:3], "--profile", "kubeadm-deb")
    assert done.returncode == 0, done.stderr
    assert "image-credential" not in machine.command_line()
    machine.cut_power()

    machine.boot()

    machine.wait_until(machine.runs)
    assert "image-credential" in machine.command_line()
    pid = machine.kubelet()["MainPID"]
    done = machine.node(*INSTALL)
    assert done.returncode == 0, done.stderr
    assert (machine.kubelet()["MainPID"], machine.status()["confirmed"]) == (pid, True)


def test_a_kubelet_upgraded_in_place_starts_and_gets_what_it_knows_then(folder):
    with Machine(folder, version="v1.33") as machine:
        machine.wait_until(machine.runs)
        settings = f"/proc/{machine.leader}/root/settings/settings.yaml"
        Path(settings).write_text(Path(settings).read_text() + TOKENS)
        done = machine.node(*INSTALL)
        assert done.returncode == 0, done.stderr
        assert "this kubelet is 1.33" in done.stderr
        for version in ("v1.34", "v1.36"):
            machine.run("sh", "-c", f"echo {version} > /usr/lib/standin/version; systemctl restart kubelet")
            machine.wait_until(machine.runs)
            done = machine.node(*INSTALL)
            assert done.returncode == 0, done.stderr
            assert f"{NAME}-token" in machine.say("cat", f"/etc/{NAME}/credential-providers.yaml")
            assert machine.runs()


def test_nothing_of_this_machine_is_touched():
    """What is installed for the tests stays in their machines."""
    assert not Path(STATE).exists() or not (Path(STATE) / "record.json").exists()
    units = subprocess.run(["ls", "/etc/systemd/system"], capture_output=True, text=True, check=True).stdout
    assert NAME not in units
