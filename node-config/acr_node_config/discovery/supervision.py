"""Finds what starts the kubelet where that is not systemd: a supervisor, a program around it, a container."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.process import (
    BIN_DIR_FLAG,
    CONFIG_FLAG,
    find_embedding,
    find_supervised,
    flag,
    is_in_container,
    is_kubelet_unit,
)

from acr_node_config.model.facts import RunningKubelet
from acr_node_config.model.supervisors import CONTAINER, supervisor

from .kubelet_unit import KUBELET_UNIT, unit_file

if TYPE_CHECKING:
    from acr_credential_provider.kubelet.process import Kubelet

    from acr_node_config.hostfs.host_reader import HostReader
    from acr_node_config.model.supervisors import Supervisor

RANCHERS = {"k3s": ("k3s.service", "k3s-agent.service"), "rke2": ("rke2-server.service", "rke2-agent.service")}
_INTERPRETERS = ("python", "perl", "sh", "bash")
_SNAP = {"SNAP_DATA": "/var/snap/microk8s/current", "SNAP_COMMON": "/var/snap/microk8s/common"}


def supervised(tree: HostReader) -> Kubelet | None:
    """Return the kubelet of a node without a unit for it, None if there is one or none runs."""
    if any(unit_file(tree, unit) for unit in (KUBELET_UNIT, *(unit for units in RANCHERS.values() for unit in units))):
        return None
    return find_supervised(tree.outside("/proc"), root=tree.root or "/")


def supervisor_of(tree: HostReader, process: Kubelet | None) -> Supervisor | None:
    """Return what starts the kubelet *process*, or has one inside where that is None; None for systemd and init."""
    if process is None:
        embedding = find_embedding(tree.outside("/proc"), root=tree.root or "/")
        if embedding is not None:
            return supervisor(os.path.basename(embedding.arguments[0]))
        return supervisor(CONTAINER) if is_in_container(tree.outside("/proc")) else None
    name = _program(tree, process.parent)
    if process.parent in (0, 1) or is_kubelet_unit(process.unit) or name in RANCHERS:
        return None
    own = os.path.basename(process.arguments[0].split(" ")[0])
    return supervisor(name, kubelet=own if own in RANCHERS else "kubelet")


def embedded(tree: HostReader, found: Supervisor | None) -> RunningKubelet | None:
    """Return the kubelet inside of *found*, with the flags in its file; None if it has no such file."""
    if found is None or not found.arguments_file:
        return None
    try:
        words = shlex.split(tree.text(found.arguments_file), comments=True)
    except ValueError:
        words = []
    config, bin_dir = (_filled(flag(words, name)) for name in (CONFIG_FLAG, BIN_DIR_FLAG))
    return RunningKubelet(0, "", (found.name, *words), config, bin_dir)


def _filled(path: str) -> str:
    for name, value in _SNAP.items():
        path = path.replace(f"${{{name}}}", value).replace(f"${name}", value)
    return path


def _program(tree: HostReader, pid: int) -> str:
    """Return the name of the program of process *pid*: of a script, not of what runs it."""
    words = tree.text(f"/proc/{pid}/cmdline").split("\0")
    names = [os.path.basename(word.split(" ")[0]) for word in words if word and not word.startswith("-")]
    is_script = len(names) > 1 and names[0].startswith(_INTERPRETERS)
    return names[is_script] if names else f"process {pid}"
