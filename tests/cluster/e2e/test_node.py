"""What a node does to the machine that it is on: nothing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster.machine import left_as_it_was
from cluster.node import Node
from support.harness import ROOT

HOLD_A_NODE = """
import sys, time
from cluster.node import Node
with Node() as node:
    print(node.pid, node.folder, flush=True)
    time.sleep(60)
"""


DISORDER = """
mkdir -p /var/lib/kubelet /run/netns
mount -t tmpfs tmpfs /mnt
echo 1 > /proc/sys/kernel/panic
for hierarchy in /sys/fs/cgroup/*; do mkdir "$hierarchy/left-behind"; done
"""


def test_a_node_leaves_the_machine_as_it_was(tmp_path):
    with left_as_it_was(), Node() as node:
        node.start("sleeper", ["sleep", "600"], log=tmp_path / "log")
        node.output(["sh", "-ec", DISORDER])


def test_a_node_has_a_network_of_its_own():
    with Node() as node:
        links = node.output(["ip", "-brief", "address"]).decode()
    assert "100.100.100.200" in links
    assert "10.123.0.1" in links


def test_a_service_that_ends_early_is_told_with_the_end_of_its_log(tmp_path):
    with Node() as node:
        service = node.start("broken", ["sh", "-c", "echo the reason; exit 1"], log=tmp_path / "log")
        with pytest.raises(AssertionError, match=r"broken ended:\s+the reason"):
            service.await_(lambda: False, timeout=10)


def test_a_node_ends_with_the_process_that_made_it():
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_NODE], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT / "tests")}
    ) as maker:
        pid, folder = maker.stdout.readline().split()
        maker.send_signal(signal.SIGKILL)
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    # All that is left is an empty cgroup and a folder; this is who removes them here.
    Node.sweep(Path(folder))
    assert not Path(folder).exists()
