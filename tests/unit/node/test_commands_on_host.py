"""Whose namespaces we are in, and what is said where that cannot be seen."""

from __future__ import annotations

import subprocess
import sys

import pytest
from acr_node_config import commands_on_host

ASK = """\
import sys
from acr_node_config.live_kubelet import LiveKubelet
print(LiveKubelet(None, "kubelet.service", sys.argv[1], program=sys.argv[2]).is_healthy())
"""


def test_a_namespace_is_told_by_the_nodes_first_process(tmp_path):
    ns = tmp_path / "proc/1/ns"
    ns.mkdir(parents=True)
    (ns / "net").symlink_to("/proc/self/ns/net")
    (ns / "pid").write_text("another one")

    assert commands_on_host.is_in("net", str(tmp_path))
    assert not commands_on_host.is_in("pid", str(tmp_path))


def test_a_namespace_that_cannot_be_seen_is_ours_on_the_node_itself_and_another_one_in_a_pod(tmp_path):
    assert commands_on_host.shares("net", str(tmp_path)) is None
    assert not commands_on_host.is_in("net", str(tmp_path))
    assert commands_on_host.is_in("that no kernel has", "/")


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
    node = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", '"$@"; exit $?', "first"]
    words = [*node, "unshare", "--net", *drop, sys.executable, "-c", ASK, str(tmp_path / "host"), str(script)]

    asked = subprocess.run(words, capture_output=True, text=True, check=False)

    assert asked.stdout.strip() == said, asked.stderr
