"""The kubelet's unit: asked of systemd, or read from its files where systemd cannot be asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.process import CONFIG_FLAG
from acr_credential_provider.model.errors import CredentialProviderError

from acr_node_config.model.facts import ABSENT, EnvironmentSource, KubeletUnit
from acr_node_config.model.placement import OWN_DROP_IN

from . import unit_files, unit_folders

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.kubelet.process import Kubelet

    from acr_node_config.hostfs.host_reader import HostReader
    from acr_node_config.model.facts import HostFile, Rancher

    AskUnit = Callable[[str], unit_files.UnitText]

KUBELET_UNIT = "kubelet.service"
_CONFIG_FLAG = re.compile(CONFIG_FLAG.replace("-", "[-_]").encode())


def kubelet_unit(
    tree: HostReader, process: Kubelet | None, rancher: Rancher | None, ask_unit: AskUnit | None
) -> KubeletUnit | None:
    """Return the unit of the kubelet, or of k3s or RKE2; None if there is none."""
    if rancher is not None:
        ask_unit = ask_unit if unit_file(tree, rancher.unit) else None
        return read_unit(tree, rancher.unit, ask_unit) or KubeletUnit(rancher.unit)
    # A kubelet with --kubelet-cgroups leaves its unit's cgroup; that it has no unit shows at its restart.
    name = (process.unit if process is not None else "") or KUBELET_UNIT
    if not (unit_file(tree, name) or (ask_unit and process and process.unit)):
        return None
    return read_unit(tree, name, ask_unit)


def read_unit(tree: HostReader, name: str, ask_unit: AskUnit | None) -> KubeletUnit | None:
    """Return the unit *name* as systemd has it, or if it does not answer, as its files say; None if nothing does."""
    try:
        text = ask_unit(name) if ask_unit is not None else _unit_text(tree, name)
    except CredentialProviderError:
        text = _unit_text(tree, name)
    if not text.command:
        return None
    sources = tuple(source for path, is_optional in text.files for source in _sources(tree, path, is_optional))
    environment = dict(pair.split("=", 1) for pair in text.environment if "=" in pair)
    bare = _unit_text(tree, name, without=OWN_DROP_IN)
    is_known = bare.command and not bare.problem
    scripts = tuple(word for word in text.command if _names_providers(tree, word))
    return KubeletUnit(
        name,
        tuple(text.command),
        environment,
        sources,
        text.passed,
        text.unset,
        scripts,
        is_literal=text.is_literal,
        inherited=dict(pair.split("=", 1) for pair in text.inherited or () if "=" in pair),
        problem=text.problem,
        bare_command=tuple(bare.command) if is_known else (),
        prefixes=bare.prefixes,
    )


def _sources(tree: HostReader, path: str, is_optional: bool) -> list[EnvironmentSource]:
    """Return the files that systemd reads for one ``EnvironmentFile=``: it may be a pattern."""
    if "%" in path or "\\" in path:
        return [EnvironmentSource(path, is_optional, None, "has a specifier or an escape that only systemd resolves")]
    paths = tree.matching(path) if set(path) & set("*?[") else [path]
    return [
        EnvironmentSource(match, is_optional, file, _source_problem(tree, match, is_optional, file))
        for match in paths or [path]
        for file in [tree.read(match)]
    ]


def _source_problem(tree: HostReader, path: str, is_optional: bool, file: HostFile | None) -> str:
    if file is not None:
        return ""
    if tree.mode(path):
        return "is no file that can be read"
    return "" if is_optional else ABSENT


def _names_providers(tree: HostReader, word: str) -> bool:
    """True if *word* of a command is a script that names credential providers, so that our flags would replace them."""
    file = tree.read(word) if word.startswith("/") else None
    return (
        file is not None and not file.content.startswith(b"\x7fELF") and _CONFIG_FLAG.search(file.content) is not None
    )


def unit_file(tree: HostReader, name: str) -> HostFile | None:
    """Return the main file of the unit *name*, None without one or if it is masked."""
    found = unit_folders.find(tree, name)
    return found.file if found else None


def _unit_text(tree: HostReader, name: str, *, without: str = "") -> unit_files.UnitText:
    found = unit_folders.find(tree, name, without=without)
    return unit_files.parse(found.texts, found.name) if found else unit_files.UnitText()
