"""What `node render openshift` writes, before a real systemd and a stand-in whose judge is a kubelet's own code."""

import base64
import shutil
from pathlib import Path

import pytest
from acr_node_config.discovery import unit_files
from acr_node_config.placement import openshift
from systemd.machine import Machine

UNIT = """\
[Unit]
Description=Kubernetes Kubelet
[Service]
Environment="KUBELET_LOG_LEVEL=2"
EnvironmentFile=/etc/os-release
EnvironmentFile=-/etc/kubernetes/kubelet-env
ExecStart=/usr/bin/kubelet \\
      --config=/var/lib/kubelet/config.yaml \\
      --node-labels=os_id=${ID} HOOK\\
      --v=${KUBELET_LOG_LEVEL}
Restart=always
RestartSec=1
StartLimitInterval=0
[Install]
WantedBy=multi-user.target
"""
WITHOUT_HOOK, WITH_HOOK = UNIT.replace("HOOK", ""), UNIT.replace("HOOK", f"${openshift.ON_PREMISE} ")
COVERED = {"matchImages": ["*.*.cr.aliyuncs.com"], "tokenMode": None}
CRASHES = "/usr/lib/standin/crashes-with-providers"
GIVEN = f"--image-credential-provider-config={openshift.CONFIG} --image-credential-provider-bin-dir={openshift.BIN_DIR}"


@pytest.fixture(params=[WITHOUT_HOOK, WITH_HOOK], ids=["a unit without a hook", "a unit with one"])
def machine(request, tmp_path):
    # A layer of overlayfs: tmpfs takes it on every kernel.
    folder = Path("/dev/shm") / f"acr-{tmp_path.parent.name}-{tmp_path.name}"
    machine = Machine(folder)
    (machine.root / "etc/systemd/system/kubelet.service.d/10-kubeadm.conf").unlink()
    machine.write("/etc/systemd/system/kubelet.service", request.param)
    rendered = openshift.machine_config(COVERED, request.param, role="worker", version=(1, 34))
    config = rendered.documents[0]["spec"]["config"]
    for file in config["storage"]["files"]:
        machine.write(file["path"], base64.b64decode(file["contents"]["source"].partition(",")[2]), file["mode"])
    (drop_in,) = config["systemd"]["units"][0]["dropins"]
    machine.write(f"/etc/systemd/system/kubelet.service.d/{drop_in['name']}", drop_in["contents"])
    with machine:
        yield machine
    shutil.rmtree(folder, ignore_errors=True)


def restart(machine):
    assert machine.run("systemctl", "restart", "kubelet").returncode == 0
    machine.wait_until(machine.runs)


def test_the_kubelet_has_the_plugin_when_it_works_and_starts_in_any_case(machine):
    machine.wait_until(machine.runs)
    assert "image-credential" not in machine.command_line(), "there is no program yet"
    assert "os_id=debian" in machine.command_line()

    machine.write(f"{openshift.BIN_DIR}/aliyun-acr-credential-provider", "#!/bin/sh\nexit 0\n", 0o755)
    restart(machine)
    assert GIVEN in machine.command_line()
    restart(machine)
    assert GIVEN in machine.command_line(), "flags of the last start are no obstacle to those of the next"

    machine.write(CRASHES, "")
    restart(machine)  # up again only after some failures, and without the plugin
    assert "image-credential" not in machine.command_line()
    machine.cut_power()
    machine.boot()
    machine.wait_until(machine.runs)
    assert "image-credential" not in machine.command_line()

    (machine.root / CRASHES.lstrip("/")).unlink()
    restart(machine)
    assert GIVEN in machine.command_line()


def test_what_we_read_of_a_units_files_is_what_systemd_read(machine):
    folder = machine.root / "etc/systemd/system"
    paths = [folder / "kubelet.service", *sorted((folder / "kubelet.service.d").iterdir())]
    ours = unit_files.parse([Path(path).read_bytes() for path in paths])
    said = machine.say("systemctl", "show", "--property=ExecStart,Environment,EnvironmentFiles", "kubelet.service")
    command = said.partition("argv[]=")[2].partition(" ; ")[0].split()
    assert list(ours.command) == command
    assert list(ours.environment) == ["KUBELET_LOG_LEVEL=2"]
    files = [line for line in said.splitlines() if line.startswith("EnvironmentFiles=")]
    words = {True: "yes", False: "no"}
    assert files == [
        f"EnvironmentFiles={path} (ignore_errors={words[is_optional]})" for path, is_optional in ours.files
    ]
