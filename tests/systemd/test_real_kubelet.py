"""The real kubelet as a unit of a systemd that boots: installed on, refusing, guarded, restarted by its own pod."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from acr_node_config.rollout.agent_status import READY, REJECTED, UNINSTALLED
from cluster.machine import SYSCTLS
from systemd.machine import NAME, SETTINGS, STATE
from systemd.real_kubelet import PUSHED, RealMachine
from systemd.test_systemd import GUARD, INSTALL, TOKENS, after_journal

CONFIG = f"/etc/{NAME}/credential-providers.yaml"
GATE = "KubeletServiceAccountTokenForCredentialProviders"
"""Without it a kubelet that knows tokenAttributes takes them for a mistake, which no rule of its version tells."""


@pytest.fixture
def folder(tmp_path):
    found = Path("/dev/shm") / f"acr-{tmp_path.parent.name}-{tmp_path.name}"
    before = kernel_settings()
    yield found
    shutil.rmtree(found, ignore_errors=True)
    assert kernel_settings() == before, "the kubelet got at this machine's own kernel"


def kernel_settings() -> list[str]:
    return [Path("/proc/sys", name).read_text() for name in SYSCTLS]


@pytest.fixture
def machine(folder):
    with RealMachine(folder) as machine:
        machine.wait_until(machine.runs)
        yield machine


@pytest.fixture
def gateless(folder):
    """A machine whose kubelet refuses what `TOKENS` need."""
    with RealMachine(folder, features={GATE: False}) as machine:
        machine.wait_until(machine.runs)
        yield machine


def starts(machine) -> int:
    return machine.say("journalctl", "--no-pager", "-u", "kubelet").count("Started kubelet.service")


def own(machine) -> dict[str, str]:
    """Return the node's tree but for the installer's own folder."""
    return {path: what for path, what in machine.tree().items() if not path.startswith(STATE)}


@pytest.mark.parametrize("service", ["dbus", "systemctl"])
def test_it_lives_with_the_plugin_says_so_itself_and_is_given_back(machine, service):
    before, way = machine.tree(), ("--service", service)

    done = machine.node(*INSTALL, *way)

    assert done.returncode == 0, done.stderr
    assert "healthy with" in done.stdout
    assert "--image-credential-provider-bin-dir=/opt/" in machine.command_line()
    assert machine.node("verify").stdout == "all is well\n"
    assert starts(machine) == 2

    assert machine.node(*INSTALL, *way).stdout == "nothing was to be done\n"
    assert machine.node_from_pod("verify").stdout == "all is well\n"
    assert starts(machine) == 2

    done = machine.node("uninstall", *way, "--stable-for", "4")
    assert done.returncode == 0, done.stderr
    assert machine.tree() == before
    assert machine.runs()
    assert "image-credential" not in machine.command_line()


def test_what_it_refuses_is_put_back_and_not_tried_again(gateless):
    machine, before = gateless, own(gateless)
    machine.put("/settings/settings.yaml", SETTINGS + TOKENS)

    done = machine.node(*INSTALL)

    assert done.returncode == 4, done.stderr
    assert "crash-loops" in done.stderr
    assert "it runs again" in done.stderr
    assert "tokenAttributes" in machine.say("journalctl", "--no-pager", "-u", "kubelet")
    assert machine.runs()
    assert own(machine) == before
    assert "crash-loops" in machine.status()["rejected"][0]["reason"]
    pid = machine.kubelet()["MainPID"]
    assert machine.node(*INSTALL).returncode == 4
    assert machine.kubelet()["MainPID"] == pid

    machine.put("/settings/settings.yaml", SETTINGS)
    assert machine.node(*INSTALL).returncode == 0
    assert machine.status()["confirmed"]


@pytest.mark.parametrize("then", ["killed", "power cut"])
def test_the_guard_puts_back_what_it_refuses_when_nobody_else_is_left(gateless, then):
    machine, before = gateless, own(gateless)
    machine.put("/settings/settings.yaml", SETTINGS + TOKENS)
    installer = machine.start(f"/bundle/{NAME}", "node", *INSTALL)
    if then == "killed":
        after_journal(machine, "applied", lambda: machine.run("pkill", "-KILL", "-f", "node install"))
        machine.run("systemctl", "restart", "kubelet")  # whether ours was under way or not
    else:
        after_journal(machine, "applied", machine.cut_power)
        machine.boot()
    installer.communicate()

    machine.wait_until(lambda: machine.status()["guardActed"])
    machine.wait_until(machine.runs)
    assert "crash-loops" in machine.status()["guardActed"]
    assert "image-credential" not in machine.command_line()
    machine.wait_until(lambda: machine.run("systemctl", "is-active", "--quiet", GUARD).returncode != 0)
    done = machine.node(*INSTALL)
    assert done.returncode == 4, done.stderr
    assert "guard" in done.stderr
    assert own(machine) == before


def test_the_daemonsets_agent_restarts_the_kubelet_that_runs_it_and_gives_the_node_back(gateless):
    machine, before = gateless, gateless.tree()

    # Install: the pod's own kubelet goes, comes, and finds the pod as it was.
    machine.run_agent()
    machine.wait_for_agent(READY)
    assert machine.agent()["is_serving"]
    assert "--image-credential-provider-bin-dir=/opt/" in machine.command_line()
    assert starts(machine) == 2
    assert machine.status()["confirmed"]
    assert machine.node("verify").stdout == "all is well\n"

    # Drift that a kubelet reads at its start only.
    machine.run("rm", CONFIG)
    machine.wait_until(lambda: machine.agent()["counts"].get("drift_repairs") == 1)
    assert starts(machine) == 3
    assert machine.runs()

    # Settings that this kubelet is not healthy with: it has what it had before.
    machine.put(f"{PUSHED}/settings/settings.yaml", SETTINGS + TOKENS)
    machine.wait_for_agent(REJECTED)
    assert "crash-loops" in machine.agent()["message"]
    assert machine.runs()
    assert "--image-credential-provider-bin-dir=/opt/" in machine.command_line()
    assert f"{NAME}-token" not in machine.say("cat", CONFIG)
    count = starts(machine)
    machine.put(f"{PUSHED}/settings/settings.yaml", SETTINGS)
    machine.wait_for_agent(READY)
    assert starts(machine) == count

    # Given back.
    machine.stop_agent()
    machine.run_agent(uninstall=True)
    machine.wait_for_agent(UNINSTALLED)
    assert "image-credential" not in machine.command_line()
    machine.stop_agent()
    assert machine.tree() == before
    assert machine.runs()
