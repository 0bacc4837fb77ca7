"""Looks at an installation and changes nothing: `node status` and `node verify`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.lookup import CACHE

from acr_node_config.hostfs import plugin_calls
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model import steps
from acr_node_config.model.errors import NodeConfigError
from acr_node_config.model.paths import tidy

from . import plan
from .bundle import Bundle
from .requests import InstallStatus

if TYPE_CHECKING:
    from acr_node_config.hostfs.host_files import HostFiles
    from acr_node_config.kubelet.probe import KubeletProbe

    from .journal import Change, Installed
    from .rollback_guard import Guard
    from .state import InstallerFolder
    from .system import HostSystem


def status(host: HostFiles, state: InstallerFolder, guard: Guard, system: HostSystem) -> InstallStatus:
    """Return what is installed on *host*, and how far it is as we left it."""
    record, journal = state.record(), state.journal()
    changes = [change for change in record.originals if not change.is_tree] if record else []
    watched = [change.path for change in changes if change.after != steps.NOTHING.fingerprint]
    drifted = [change.path for change in changes if _has_drifted(host, change)]
    if record:
        program = f"{record.installed.tree}/{NAME}"
        watched.append(program)
        drifted += [] if host.is_there(program) else [program]
    return InstallStatus(
        _with_confirmation(record.installed, system) if record else None,
        tuple(watched),
        tuple(drifted),
        journal.verb if journal else "",
        "armed" if guard.is_armed else "",
        state.rejected(),
        guard.acted,
        plugin_calls.first_call(host.root, CACHE) if record else 0.0,
    )


def verify(host: HostFiles, found: InstallStatus, system: HostSystem) -> list[str]:
    """Return what is wrong with the installation of *found*, nothing if all is well."""
    if found.installed is None:
        return ["nothing is installed"]
    problems = [f"{path} is not as it was left" for path in found.drifted]
    placement = plan.placement_from_dict(found.installed.placement)
    for path in (found.installed.tree, f"{placement.bin_dir}/{NAME}", *plan.paths(placement)):
        try:
            host.verify_parents(path)
        except NodeConfigError as error:
            problems.append(error.problem)
    tree = found.installed.tree
    try:
        if _is_as_installed(host, found.installed):
            system.smoke_test(tree)
        else:
            problems.append(f"{tree} is not as it was installed, or others than root can change a file in it")
    except NodeConfigError as error:
        problems.append(error.problem)
    kubelet = system.kubelet(placement)
    return problems if kubelet is None else problems + _kubelet_problems(kubelet)


def _with_confirmation(installed: Installed, system: HostSystem) -> Installed:
    """Return *installed*, confirmed too once a kubelet that others give its flags has them."""
    placement = plan.placement_from_dict(installed.placement)
    if installed.confirmed or placement.unit:
        return installed
    if not placement.config:
        return replace(installed, confirmed=True)
    facts = system.discover()
    has_flags = facts.kubelet is not None and facts.given == tuple(map(tidy, placement.flag_values.values()))
    return replace(installed, confirmed=has_flags)


def _is_as_installed(host: HostFiles, installed: Installed) -> bool:
    """True if the program's folder has what its name says (`Bundle.name`), and only root can change any of it.

    Asked before the program is run: it loads the libraries beside it.
    """
    digest = host.digest(installed.tree)
    return bool(digest) and f"/{Bundle(installed.tree, installed.version, digest).name}" in installed.tree


def _has_drifted(host: HostFiles, change: Change) -> bool:
    found = host.stat(change.path)
    return found.kind != steps.FOLDER if change.is_folder else found.fingerprint != change.after


def _kubelet_problems(kubelet: KubeletProbe) -> list[str]:
    try:
        state = kubelet.state()
    except NodeConfigError as error:
        return [error.problem]
    problems = []
    if not state.runs:
        problems.append("the kubelet does not run")
    elif kubelet.has_flags(state.pid) is False:
        problems.append("the kubelet runs without our flags")
    holder = kubelet.healthz_holder()
    if holder:
        problems.append(f"{holder}: end that process, and the kubelet takes its port again")
    elif kubelet.is_healthy() is False:
        problems.append("the kubelet's /healthz does not say ok")
    return problems
