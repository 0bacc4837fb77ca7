"""The operator's flags and providers of a real kubelet: after an installation they are as before, or it is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.node_sites import OTHERS, OTHERS_CONFIG
from systemd.machine import DROP_IN, STATE
from systemd.real_kubelet import RealMachine
from systemd.test_real_kubelet import kernel_settings, own, starts
from systemd.test_systemd import INSTALL

THEIRS = ("--max-pods=42", "--node-labels=a=b,c=d", "--v=2")
UNIT = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
OPERATORS = "/etc/systemd/system/kubelet.service.d/30-operator.conf"
KUBELET_D = "/etc/kubernetes/kubelet.d"
WAYS = pytest.mark.parametrize("service", ["dbus", "systemctl"])


@pytest.fixture
def folder(tmp_path):
    found = Path("/dev/shm") / f"acr-{tmp_path.parent.name}-{tmp_path.name}"
    before = kernel_settings()
    yield found
    shutil.rmtree(found, ignore_errors=True)
    assert kernel_settings() == before, "the kubelet got at this machine's own kernel"


class Node(RealMachine):
    """A machine whose kubelet has flags of an operator's, from *files*: paths and texts."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self._files = files
        super().__init__(folder)

    def _put_kubelet(self, version: str) -> None:
        super()._put_kubelet(version)
        (self.root / "etc/default/kubelet").unlink()
        for path, text in self._files.items():
            self.write(path, text, 0o755 if text.startswith("#!") else 0o644)

    def words(self) -> list[str]:
        """Return the kubelet's own command line, also behind a script."""
        return self.say("sh", "-c", "cat /proc/$(pgrep -x kubelet)/cmdline").removesuffix("\0").split("\0")


def started(folder: Path, files: dict[str, str]) -> Node:
    return Node(folder, files)


def through(script: str, body: str) -> dict[str, str]:
    """Return the files of a unit whose command is *script*, a shell script with *body*."""
    return {
        UNIT: DROP_IN.replace("ExecStart=/usr/bin/kubelet", f"ExecStart={script}"),
        script: f"#!/bin/sh\n{body}\n",
        "/etc/default/kubelet": 'KUBELET_EXTRA_ARGS="--v=2"\n',
    }


ONE_VARIABLE = f'[Service]\nEnvironment="KUBELET_EXTRA_ARGS={" ".join(THEIRS)}"\n'
SEVERAL = f"[Service]\nEnvironment=A=1 'KUBELET_EXTRA_ARGS={' '.join(THEIRS)}' \"B=2 3\"\n"
ESCAPED = "[Service]\nEnvironment=KUBELET_EXTRA_ARGS=" + "\\x20".join(THEIRS) + "\n"


@WAYS
@pytest.mark.parametrize("text", [ONE_VARIABLE, SEVERAL, ESCAPED], ids=["quoted", "several in a line", "escaped"])
def test_a_variable_of_the_units_own_is_refused_in_both_ways(folder, service, text):
    with started(folder, {OPERATORS: text}) as machine:
        machine.wait_until(machine.runs)
        before, words = own(machine), machine.words()
        assert set(THEIRS) <= set(words)

        done = machine.node(*INSTALL, "--service", service)

        assert done.returncode == 3, done.stderr
        assert "Environment=" in done.stderr
        assert (own(machine), machine.words(), starts(machine)) == (before, words, 1)


@WAYS
def test_files_of_a_pattern_keep_their_flags_and_are_given_back(folder, service):
    files = {
        UNIT: DROP_IN.replace("-/etc/default/kubelet", f"-{KUBELET_D}/*.env\nEnvironmentFile=-/etc/default/kubelet"),
        f"{KUBELET_D}/10-all.env": "KUBELET_EXTRA_ARGS=--v=9\n",
        f"{KUBELET_D}/20-node.env": f'KUBELET_EXTRA_ARGS="{" ".join(THEIRS)}"\n',
        f"{KUBELET_D}/30-other.env": "OTHER=x\n",
    }
    with started(folder, files) as machine:
        machine.wait_until(machine.runs)
        before, words = machine.tree(), machine.words()
        assert set(THEIRS) <= set(words)

        done = machine.node(*INSTALL, "--service", service)

        assert done.returncode == 0, done.stderr
        assert [word for word in machine.words() if "image-credential" not in word] == words
        assert machine.node("verify").stdout == "all is well\n"
        done = machine.node("uninstall", "--service", service, "--stable-for", "4")
        assert done.returncode == 0, done.stderr
        assert (machine.tree(), machine.words()) == (before, words)


def test_providers_that_a_script_names_itself_are_joined(folder):
    given = "--image-credential-provider-config=/etc/ecr/config.json --image-credential-provider-bin-dir=/etc/ecr"
    # With cgroups of version 1, a systemd in a container waits for a unit's main process alone, as this one does.
    wait = "trap 'kill $!' TERM; wait $!; wait $!"
    body = f'/usr/bin/kubelet {given} --node-labels=a=b "$@" &\n{wait}'
    files = through("/usr/local/bin/start-kubelet", body) | {
        "/etc/ecr/config.json": json.dumps(OTHERS_CONFIG),
        f"/etc/ecr/{OTHERS}": "#!/bin/sh\n",
    }
    with started(folder, files) as machine:
        machine.wait_until(machine.runs)
        before, words = machine.tree(), machine.words()
        assert words[1:3] == given.split()

        done = machine.node(*INSTALL)

        assert done.returncode == 0, done.stderr
        assert machine.words() == words
        names = [each["name"] for each in json.loads(machine.say("cat", "/etc/ecr/config.json"))["providers"]]
        assert names == [OTHERS, "aliyun-acr-credential-provider"]
        assert machine.node("verify").stdout == "all is well\n"
        assert machine.node_from_pod("verify").stdout == "all is well\n"
        assert machine.node("uninstall", "--stable-for", "4").returncode == 0
        assert (machine.tree(), machine.words()) == (before, words)


def test_what_a_script_no_longer_adds_has_all_put_back_and_is_named(folder):
    body = (
        'case "$*" in *image-credential*) ;; *) set -- --node-labels=a=CANARY "$@";; esac; exec /usr/bin/kubelet "$@"'
    )
    with started(folder, through("/usr/local/bin/start-kubelet", body)) as machine:
        machine.wait_until(machine.runs)
        before, words = own(machine), machine.words()
        assert "--node-labels=a=CANARY" in words

        done = machine.node(*INSTALL)

        assert done.returncode == 4, done.stderr
        assert "runs without what it had before: --node-labels" in done.stderr
        assert "CANARY" not in done.stderr
        assert machine.runs()
        assert (own(machine), machine.words()) == (before, words)
        count = starts(machine)
        assert machine.node(*INSTALL).returncode == 4
        assert (starts(machine), machine.words()) == (count, words)
        assert machine.run("grep", "-r", "CANARY", STATE).stdout == ""


def test_flags_that_systemd_has_of_its_own_are_not_overridden(folder):
    with started(folder, {}) as machine:
        machine.wait_until(machine.runs)
        machine.run("systemctl", "set-environment", f"KUBELET_EXTRA_ARGS={' '.join(THEIRS)}")
        machine.run("systemctl", "restart", "kubelet")
        machine.wait_until(machine.runs)
        words = machine.words()
        assert set(THEIRS) <= set(words)

        done = machine.node(*INSTALL)

        assert done.returncode == 3, done.stderr
        assert "--max-pods, --node-labels, --v" in done.stderr
        assert machine.words() == words
