"""The installer across an upgrade and back, on a machine that boots systemd: what one version did, the other undoes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from systemd.machine import NAME, SETTINGS, STATE, Machine

pytestmark = pytest.mark.usefixtures("old")
PROVIDERS = f"/etc/{NAME}/credential-providers.yaml"
DOCUMENT = {**yaml.safe_load(SETTINGS), "maxCacheDuration": "10m"}


class UpgradedMachine(Machine):
    """A machine on which the bundles of both versions are."""

    def __init__(self, folder, versions):
        self._versions = versions
        super().__init__(folder)

    def _mounts(self):
        return [f"--bind-ro={version.plugin.parent}:{path}" for path, version in self._versions.items()]

    def operator(self, path):
        """Return the version at *path* as an operator on this machine runs it."""
        return Operator(self, path, self._versions[path])


class Operator:
    def __init__(self, machine, path, version):
        self._machine = machine
        self._path = path
        self._version = version
        self._stable = version.option("--stable-for", "--settle", command="node install")

    def words(self, verb, *words):
        settings = f"/settings/{self._path.strip('/')}.yaml"
        if verb == "install":
            (self._machine.inside / settings.lstrip("/")).write_text(json.dumps(self._version.settings(DOCUMENT)))
            words = ("--settings", settings, *words)
        return (verb, *words, self._stable, "4")

    def run(self, verb, *words):
        return self._machine.node(*self.words(verb, *words), bundle=self._path)

    def done(self, verb, *words):
        done = self.run(verb, *words)
        assert done.returncode == 0, done.stderr
        return done

    def start(self, verb):
        return self._machine.start(f"{self._path}/{NAME}", "node", *self.words(verb))

    def status(self):
        done = self._machine.node("status", "--output", "json", bundle=self._path)
        return json.loads(done.stdout)

    def assert_well(self):
        status = self.status()
        assert (status["confirmed"], status["isGood"], status["interrupted"]) == (True, True, "")
        assert self._machine.node("verify", bundle=self._path).returncode == 0


@pytest.fixture
def machine(tmp_path, old, present):
    # A layer of overlayfs: tmpfs takes it on every kernel, and costs no waiting for a disk.
    folder = Path("/dev/shm") / f"acr-{tmp_path.parent.name}-{tmp_path.name}"
    try:
        with UpgradedMachine(folder, {"/old": old, "/present": present}) as machine:
            machine.wait_until(machine.runs)
            yield machine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("first", ["/old", "/present"], ids=["upgrade", "downgrade"])
def test_a_node_goes_to_the_other_version_and_back_and_is_as_it_was_in_the_end(machine, first):
    second = "/present" if first == "/old" else "/old"
    one, other = machine.operator(first), machine.operator(second)
    before = machine.tree()
    one.done("install")
    kept = machine.say("cat", PROVIDERS), machine.command_line(), machine.kubelet()["MainPID"]

    assert other.status()["confirmed"], "it finds the record of the other"
    done = other.done("install")
    assert (machine.say("cat", PROVIDERS), machine.command_line(), machine.kubelet()["MainPID"]) == kept, done.stdout
    other.assert_well()
    assert other.done("install").stdout == "nothing was to be done\n"

    other.done("rollback")  # to the program of the other version
    one.assert_well()
    assert machine.kubelet()["MainPID"] == kept[2]
    other.done("install")

    one.done("install")
    one.assert_well()
    other.done("install")
    other.done("uninstall")
    assert machine.tree() == before
    assert machine.runs()
    assert "image-credential" not in machine.command_line()


@pytest.mark.parametrize("phase", ["applying", "applied"])
def test_what_a_killed_installer_of_the_old_version_left_half_done_the_new_one_ends(machine, phase):
    before = machine.tree()
    installer = machine.operator("/old").start("install")
    machine.wait_until(lambda: (machine.journal() or {}).get("phase") == phase)
    machine.run("pkill", "-KILL", "-f", "node install")
    installer.communicate()

    present = machine.operator("/present")
    # The old version's guard looks first, and an installer that comes meanwhile is told that it is busy.
    machine.wait_until(lambda: present.run("install").returncode == 0)
    present.assert_well()
    assert machine.run("test", "-e", f"{STATE}/guard").returncode == 1
    present.done("uninstall")
    assert machine.tree() == before
    assert machine.runs()


def test_what_a_kubelet_rejected_of_the_old_version_stays_rejected_and_the_new_one_is_tried(machine):
    old, present = machine.operator("/old"), machine.operator("/present")
    machine.run("touch", "/usr/lib/standin/crashes-with-providers")
    assert old.run("install").returncode == 4
    assert machine.runs()
    machine.run("rm", "/usr/lib/standin/crashes-with-providers")
    (rejected,) = old.status()["rejected"]

    assert present.status()["rejected"] == [rejected]
    present.done("install")
    present.assert_well()
    pid = machine.kubelet()["MainPID"]
    refused = old.run("install")
    assert (refused.returncode, machine.kubelet()["MainPID"]) == (4, pid), refused.stderr
    present.assert_well()
