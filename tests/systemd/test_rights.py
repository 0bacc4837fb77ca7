"""What the DaemonSet's agent needs its rights for: each is taken from it alone, on a real kubelet and containerd.

The table is docs/node-agent.md's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from acr_node_config.rollout.agent_status import READY
from systemd.machine import NAME
from systemd.real_kubelet import RealMachine, security_of
from systemd.test_systemd import INSTALL

COMPONENT = "without-privileged"
FLAGS = "/etc/default/kubelet"
OPERATORS = "42"
"""The group of a file that an operator has given away."""
LINK = f"/opt/{NAME}/bin/{NAME}"
ENOUGH = security_of(COMPONENT)


def without(capability: str) -> dict:
    kept = [each for each in ENOUGH["capabilities"]["add"] if each != capability]
    return {"security": {**ENOUGH, "capabilities": {"drop": ["ALL"], "add": kept}}}


RIGHTS = {
    "CHOWN": (without("CHOWN"), f"echo KUBELET_EXTRA_ARGS=--v=2 > {FLAGS}", "Operation not permitted"),
    "SYS_CHROOT": (without("SYS_CHROOT"), f"rm {LINK}", "could not be started"),
    "SYS_ADMIN": (without("SYS_ADMIN"), "true", "reassociate to namespace"),
    "SYS_PTRACE": (without("SYS_PTRACE"), "true", "cannot open /proc/1/ns/net"),
    "uid 0": ({"security": {**ENOUGH, "runAsUser": 65532, "runAsGroup": 65532}}, "true", "error: "),
    "a host mount that can be written": ({"host": {"readOnly": True}}, f"rm {LINK}", "the file system is read-only"),
}
"""A right: the pod without it, what is to be repaired on the node, and what the agent says then."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = Path("/dev/shm") / f"acr-{tmp_path_factory.mktemp('rights').parent.name}-rights"
    try:
        with RealMachine(folder) as machine:
            machine.wait_until(machine.runs)
            machine.run("chgrp", OPERATORS, FLAGS)
            yield machine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def installed(machine):
    done = machine.node(*INSTALL)
    assert done.returncode == 0, done.stderr
    yield machine
    machine.stop_agent()


@pytest.mark.parametrize("service", ["dbus", "systemctl"])
def test_with_its_capabilities_it_needs_no_privileges(installed, service):
    machine = installed
    for spoil in {spoil: None for _pod, spoil, _said in RIGHTS.values()}:
        machine.run("sh", "-c", spoil)
    before = machine.say("systemctl", "show", "--property=MainPID", "kubelet")

    machine.run_agent(security=ENOUGH, service=service)
    machine.wait_for_agent(READY)

    assert "error: " not in machine.agent_log()
    assert "tokens" in machine.agent()
    assert machine.say("systemctl", "show", "--property=MainPID", "kubelet") != before
    assert machine.node("verify").stdout == "all is well\n"
    assert machine.say("stat", "--format=%g", FLAGS) == OPERATORS


@pytest.mark.parametrize("right", RIGHTS)
def test_without_one_right_something_breaks(installed, right):
    pod, spoil, said = RIGHTS[right]
    installed.run("sh", "-c", spoil)

    installed.run_agent(**{"security": ENOUGH, **pod})

    installed.wait_until(
        lambda: said in installed.agent_log(), told=lambda: f"{installed.agent()} {installed.agent_log()}"
    )
    assert installed.runs()
