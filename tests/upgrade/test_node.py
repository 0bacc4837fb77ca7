"""The installer across an upgrade and back, on a machine that boots systemd: what one version did, the other undoes."""

from __future__ import annotations

import pytest
from systemd.machine import NAME, STATE

PROVIDERS = f"/etc/{NAME}/credential-providers.yaml"


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
