"""Systems whose layout a real kubelet starts from, on one machine after another's files: installed on, and given back.

What their files say is in tests/systems/layouts; the real kubelet has no API server, so it gets no kubeconfig.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG, flag
from support.node_sites import OTHERS, OTHERS_CONFIG
from systemd.machine import NAME, STATE
from systemd.real_kubelet import NEEDS, RealMachine
from systemd.test_real_kubelet import kernel_settings
from systemd.test_systemd import INSTALL
from systems import layout
from systems.operator_steps import options_in

UNITS = "/etc/systemd/system"
LAYOUTS = layout.every()
ROWS = [(name, state) for name, each in LAYOUTS.items() for state in each.booted]
FOLDERS = ("/etc", "/opt", "/usr/local", "/var/lib", "/var/usr")
OTHER_CHANGES = (
    f"{STATE}",
    "/var/lib/kubelet/",
    "/var/lib/containerd",
    "/var/lib/systemd",
    "/var/lib/cni",
    "/etc/resolv.conf",
)
"""What the kubelet and systemd change, and the installer's own records."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = Path("/dev/shm") / f"acr-{tmp_path_factory.mktemp('systems').name}"
    before = kernel_settings()
    try:
        with Changing(folder) as machine:
            machine.wait_until(machine.runs)
            yield machine
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert kernel_settings() == before, "the kubelet got at this machine's own kernel"


class Changing(RealMachine):
    """A machine that becomes one system after the other."""

    files: tuple[str, ...] = ("/etc/default/kubelet", "/var/lib/kubelet/kubeadm-flags.env")

    def become(self, system: layout.Layout, flags: dict[str, str]) -> None:
        """Start the real kubelet from the files of *system*, with *flags* of its operator's."""
        config = self.say("cat", "/var/lib/kubelet/config.yaml")
        self.run("systemctl", "stop", "kubelet")
        self.run("rm", "-rf", f"{UNITS}/kubelet.service", f"{UNITS}/kubelet.service.d", *self.files)
        self.files = tuple(system.files)
        for path in self.files:
            text = re.sub(r" ?--(bootstrap-)?kubeconfig[= ][^\s\"]+( \\\n)?", "", system.text(path, flags))
            self.write(path, re.sub(r"^ExecStartPre=.*\n", "", text, flags=re.MULTILINE))  # of that system's machine
            for name in re.findall(r"--config[= ](/[^\s\"]+)", text):
                self.write(name, config)
        self.write(f"{UNITS}/kubelet.service.d/90-needs.conf", NEEDS)
        program = self.root / system.kubelet.lstrip("/")
        if not program.is_symlink() and not program.exists():
            program.parent.mkdir(parents=True, exist_ok=True)
            program.symlink_to("/usr/bin/kubelet")
        if flags:
            self.write(flags[CONFIG_FLAG], json.dumps(OTHERS_CONFIG))
            self.write(f"{flags[BIN_DIR_FLAG].rstrip('/')}/{OTHERS}", "#!/bin/sh\n", 0o755)
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "restart", "kubelet")
        self.wait_until(self.runs)

    def words(self) -> list[str]:
        return self.say("sh", "-c", "cat /proc/$(pgrep -x kubelet)/cmdline").removesuffix("\0").split("\0")

    def seen(self) -> dict[str, str]:
        """Return bytes, modes, owners and links of all that may be written."""
        words = ["find", *(each for each in FOLDERS if (self.root / each[1:]).exists()), "-xdev"]
        lines = self.say(*words, "-printf", r"%p\t%y %m %U:%G %l\n").splitlines()
        sums = self.say(*words, "-type", "f", "-exec", "sha256sum", "{}", "+").splitlines()
        found = dict(line.split("\t", 1) for line in lines)
        for line in sums:
            digest, path = line.split("  ", 1)
            found[path] = f"{found.get(path, '')}{digest}"
        return {path: what for path, what in found.items() if not path.startswith(OTHER_CHANGES)}


@pytest.mark.parametrize(("name", "state"), ROWS, ids=lambda each: each)
def test_a_real_kubelet_of_the_system_lives_with_it_and_the_node_is_given_back(machine, name, state):
    system = LAYOUTS[name]
    others = {CONFIG_FLAG: system.others.get("config", "/etc/kubernetes/credentials.json")}
    others[BIN_DIR_FLAG] = system.others.get("bin-dir", "/opt/credential-providers")
    machine.become(system, others if state == "others" else {})
    before, words = machine.seen(), machine.words()

    # What plan lists, or what its remedy leads to, is what install changes.
    options: list[str] = []
    planned = machine.node("plan", *INSTALL[1:3], "--output", "json")
    if planned.returncode == 3:
        options = options_in(json.loads(planned.stderr)["remedy"])
        assert options, planned.stderr
        planned = machine.node("plan", *INSTALL[1:3], *options, "--output", "json")
    assert planned.returncode == 0, planned.stderr
    assert machine.seen() == before
    done = machine.node(*INSTALL, *options, "--stable-for", "4")
    assert done.returncode == 0, done.stderr
    steps = [step for step in json.loads(planned.stdout)["steps"] if "path" in step]
    trees = tuple(f"{step['path']}/" for step in steps if step["step"] == "PutTree")
    after = machine.seen()
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    listed = {step["path"] for step in steps if before.get(step["path"]) != after.get(step["path"])}
    assert {path for path in changed if not path.startswith(trees)} == listed

    # The kubelet has what it had, and both flags.
    config, bin_dir = flag(machine.words(), CONFIG_FLAG), flag(machine.words(), BIN_DIR_FLAG)
    added = {f"--{CONFIG_FLAG}={config}", f"--{BIN_DIR_FLAG}={bin_dir}"}
    assert [word for word in machine.words() if word not in added] == [word for word in words if word not in added]
    assert NAME in machine.say("cat", config)
    assert machine.node("verify").stdout == "all is well\n"

    done = machine.node("uninstall", "--stable-for", "4")
    assert done.returncode == 0, done.stderr
    assert (machine.seen(), machine.words()) == (before, words)
    assert machine.runs()
