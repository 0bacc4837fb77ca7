"""A node as a folder that discovery reads: files, a /proc of its own, and an installer that works there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_node_config.discovery.discovery import discover
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.install.node import Node
from acr_node_config.install.requests import InstallRequest
from acr_node_config.install.rollback_guard import Guard
from acr_node_config.install.state import InstallerFolder
from acr_node_config.install.system import HostSystem
from acr_node_config.kubelet.health_gate import HealthGate
from acr_node_config.model.placement import Wanted
from acr_node_config.placement.profiles import place

from support.node_world import COVERED

if TYPE_CHECKING:
    from acr_node_config.install.bundle import Bundle

KUBEADM = """[Unit]
Description=kubelet
[Service]
ExecStart=/usr/bin/kubelet
Restart=always
"""
DROP_IN = """[Service]
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""
DROP_IN_PATH = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"


class Tree:
    """A node's tree in a folder, written file by file."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("var/lib", "var/cache"):
            (folder / name).mkdir(parents=True)
        self.write("/proc/stat", "btime 1700000000\n")
        self.namespaces(1)

    def namespaces(self, pid):
        """Give a process the namespaces of this one, as PID 1 has them."""
        for kind in ("user", "mnt"):
            self.link(f"/proc/{pid}/ns/{kind}", f"/proc/self/ns/{kind}")

    def write(self, path, text, mode=0o644):
        file = self.folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)
        return self

    def link(self, path, target):
        file = self.folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(target)
        return self

    def program(self, path):
        return self.write(path, b"\x7fELF", 0o755)

    def process(self, pid, *words, exe="/usr/bin/kubelet", unit="kubelet.service", parent=1, uid=0):
        self.namespaces(pid)
        self.write(f"/proc/{pid}/cmdline", "".join(f"{word}\0" for word in words))
        self.write(f"/proc/{pid}/status", f"PPid:\t{parent}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
        self.write(f"/proc/{pid}/cgroup", f"0::/system.slice/{unit}\n")
        self.write(f"/proc/{pid}/environ", "")
        return self.link(f"/proc/{pid}/exe", exe)

    def look(self, **changes):
        self.asked = []

        def run(words):
            self.asked.append(tuple(words))
            return "k3s version v1.33.5+k3s1 (x)\n" if "k3s" in words[0] else "Kubernetes v1.34.2\n"

        return discover(str(self.folder), run=run, **changes)

    def listing(self) -> dict[str, tuple]:
        """Return all that is on the node but /proc: kinds, modes, owners, bytes and symlinks."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            seen, name = path.lstat(), str(path.relative_to(self.folder))
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            if not name.startswith("proc/"):
                found[name] = (seen.st_mode, seen.st_uid, content)
        return found

    def request(self, bundle: Bundle, mode: str = "auto", wanted: Wanted | None = None, **options) -> InstallRequest:
        """Return what ``node install`` asks for with these options."""
        wanted = wanted or Wanted()
        return InstallRequest(bundle, COVERED, lambda facts: place(facts, mode, wanted), mode=mode, **options)

    def node(self, *, is_image: bool = False) -> Node:
        """Return the installer of this node, where nothing is restarted."""
        host = HostFiles(str(self.folder))
        state = InstallerFolder(host)
        return Node(host, state, Guard(host, state.folder, None), _System(host, None, is_image), HealthGate())


@dataclass(frozen=True, slots=True)
class _System(HostSystem):
    """A system in which no program of the tree can run."""

    def smoke_test(self, tree: str) -> None:
        assert self.host.is_there(tree)
