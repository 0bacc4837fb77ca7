"""Whose namespaces we are in, and what is said where that cannot be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from acr_node_config.hostfs import host_exec
from acr_node_config.kubelet.service_manager import SystemctlServiceManager
from acr_node_config.model.errors import ServiceError

ASK = """\
import sys
from acr_node_config.kubelet.probe import KubeletProbe
print(KubeletProbe(None, "kubelet.service", sys.argv[1], program=sys.argv[2]).ask_healthz())
"""


def test_a_namespace_is_told_by_the_nodes_first_process(tmp_path):
    ns = tmp_path / "proc/1/ns"
    ns.mkdir(parents=True)
    (ns / "net").symlink_to("/proc/self/ns/net")
    (ns / "pid").write_text("another one")

    assert host_exec.is_in("net", str(tmp_path))
    assert not host_exec.is_in("pid", str(tmp_path))


def test_a_namespace_that_cannot_be_seen_is_ours_on_the_node_itself_and_another_one_in_a_pod(tmp_path):
    assert host_exec.shares("net", str(tmp_path)) is None
    assert not host_exec.is_in("net", str(tmp_path))
    assert host_exec.is_in("that no kernel has", "/")


NODE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", '"$@"; exit $?', "first")
RUN = """\
import sys
from acr_node_config.agent import program_run
try:
    print(program_run.run(sys.argv[2:], root=sys.argv[1], seconds=20.0, heartbeat=lambda: None).code)
except program_run.ProgramError as error:
    print(error.problem, error.remedy)
"""


@pytest.mark.parametrize(
    ("lost", "does", "said"),
    [("", "echo ok", "True"), ("", "echo no; exit 1", "False"), ("", "exit 1", "None"),
     ("sys_admin", "echo ok", "None"), ("sys_ptrace", "echo ok", "None")],
)  # fmt: skip
def test_health_is_asked_in_the_nodes_network_and_is_unknown_where_that_cannot_be_entered(tmp_path, lost, does, said):
    script = tmp_path / "program"
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)
    (tmp_path / "host").symlink_to("/")  # the node's root, mounted elsewhere
    drop = ["setpriv", f"--bounding-set=-{lost}", f"--inh-caps=-{lost}"] if lost else []
    words = [*NODE, "unshare", "--net", *drop, sys.executable, "-c", ASK, str(tmp_path / "host"), str(script)]

    asked = subprocess.run(words, capture_output=True, text=True, check=False)

    assert asked.stdout.strip() == said, asked.stderr


SAYS = "#!/bin/sh\necho {}\n"
USER = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


@pytest.fixture
def host(tmp_path):
    """A host's root with a shell, and with a systemctl in two folders of the search path; a user has the first."""
    libraries = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout.split()
    for path in ["/bin/sh", *(word for word in libraries if word.startswith("/"))]:
        copy = tmp_path / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(path), copy)
    for folder, says in (("usr/local/bin", "a user"), ("usr/bin", "root")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        script = tmp_path / folder / "systemctl"
        script.write_text(SAYS.format(f"MainPID={7 if says == 'root' else 666}"))
        script.chmod(0o755)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/fd").symlink_to("/proc/self/fd")
    os.chown(tmp_path / "usr/local/bin", USER, USER)
    return str(tmp_path)


@AS_ROOT
def test_of_the_programs_of_a_name_the_first_that_is_roots_alone_is_run(host):
    with host_exec.Command(["systemctl", "show"]).start(host, {}) as start:
        assert os.path.samefile(start.executable, f"{host}/usr/bin/systemctl")
    os.chown(f"{host}/usr/bin/systemctl", USER, USER)
    with pytest.raises(ServiceError, match=r"was not run: .* can be changed by others than root") as refused:
        SystemctlServiceManager(host).state("kubelet.service")
    assert "/usr/local/bin" in str(refused.value) or "/usr/bin/systemctl" in str(refused.value)


@AS_ROOT
@pytest.mark.parametrize("root", ["/", "a mount"])
@pytest.mark.parametrize("whose", ["folder", "program"])
def test_an_installed_program_that_others_can_change_is_not_run_by_the_agent(tmp_path, root, whose):
    folder, mark = tmp_path / "bin", tmp_path / "mark"
    folder.mkdir()
    program = folder / "program"
    program.write_text(f"#!/bin/sh\necho run > {mark}\n")
    program.chmod(0o755)
    (tmp_path / "host").symlink_to("/")
    words = [*NODE, sys.executable, "-c", RUN, "/" if root == "/" else str(tmp_path / "host"), str(program)]
    assert subprocess.run(words, capture_output=True, text=True, check=False).stdout == "0\n"
    assert mark.exists()
    mark.unlink()
    os.chown(folder if whose == "folder" else program, USER, USER)

    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout

    assert "can be changed by others than root" in said
    assert "as it is" in said
    assert not mark.exists()


def test_a_script_is_not_asked_for_a_version(tmp_path):
    script = tmp_path / "start-kubelet"
    script.write_text(SAYS.format("Kubernetes v1.34.0"))
    script.chmod(0o755)
    command = host_exec.Command([str(script), "--version"], may_be_script=False)
    with pytest.raises(ServiceError, match="could not be started"):
        host_exec.run(command)


def test_in_a_root_without_proc_a_program_runs_too(host):
    assert host_exec.run(["/bin/sh", "-c", "echo $0 $1", "a", "b"], root=host).stdout == b"a b\n"
