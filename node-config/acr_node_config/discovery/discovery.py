"""Discovers the facts of a node: its kubelet, the sources of that one's flags, present credential providers.

Reads only. In a container, the node's root is mounted at *root*, and its /proc with it.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.config_validation import SUFFIXES
from acr_credential_provider.kubelet.process import RANCHER, Kubelet, find_kubelet
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError

from acr_node_config.hostfs import host_exec
from acr_node_config.hostfs.host_reader import HostReader
from acr_node_config.model.environment_file import EnvironmentFile
from acr_node_config.model.errors import ServiceError
from acr_node_config.model.facts import (
    ACK_ARGUMENTS,
    ACK_VARIABLE,
    EXTRA_ARGUMENTS,
    HostFile,
    KubeletUnit,
    NodeFacts,
    OperatingSystem,
    ProviderConfig,
    Rancher,
    RunningKubelet,
    Version,
)
from acr_node_config.model.placement import BIN_DIRS, OWN_FOLDER, PlacementRefusedError
from acr_node_config.placement.rancher import config_file, given

from . import supervision
from .kubelet_unit import KUBELET_UNIT, kubelet_unit, unit_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .kubelet_unit import AskUnit

    MainPid = Callable[[str], int]
    Run = Callable[[Sequence[str]], str]

SECONDS = 10.0
"""For the kubelet to say its version."""

_PROGRAMS = ("/usr/bin/kubelet", "/usr/local/bin/kubelet", "/opt/bin/kubelet")
_YAML = (".yaml", ".yml")
_VERSION = re.compile(r"\bv(\d{1,3})\.(\d{1,3})\.\d")


def discover(
    root: str = "/",
    *,
    ask_unit: AskUnit | None = None,
    main_pid: MainPid | None = None,
    run: Run | None = None,
    is_image: bool = False,
) -> NodeFacts:
    """Return the facts of the node whose / is at *root*.

    *ask_unit* asks systemd about a unit; without it, the unit's files are read. *main_pid* asks it for a unit's main
    process. *run* runs a program of the node and returns its output. With *is_image* the tree is a future node: no
    process of this machine is its kubelet.
    Raises `ConfigurationError` when more than one kubelet runs, or its configuration cannot be read.
    """
    tree = HostReader(root)
    run = run or _runner(root)
    process = None if is_image else _process(tree, main_pid) or supervision.supervised(tree)
    rancher = _rancher(tree, process, is_image=is_image)
    unit = kubelet_unit(tree, process, rancher, None if is_image else ask_unit)
    rancher = _with_files(tree, process, rancher, unit) if rancher else None
    version = _version(tree, process, unit, rancher, run)
    found = None if is_image else supervision.supervisor_of(tree, process)
    kubelet = _running(tree, process, rancher, unit, version) or supervision.embedded(tree, found)
    facts = NodeFacts(
        system=_system(tree),
        kubelet=kubelet,
        version=version,
        unit=unit,
        rancher=rancher,
        ack_arguments=tree.read(ACK_ARGUMENTS),
        supervisor=found,
        has_nodeadm=tree.is_program("/usr/bin/nodeadm"),
        is_user_namespaced=_is_user_namespaced(tree),
        is_image=is_image,
    )
    return _with_places(tree, facts)


def _process(tree: HostReader, main_pid: MainPid | None) -> Kubelet | None:
    def ask(unit: str) -> int:
        try:
            return main_pid(unit) if main_pid else 0
        except CredentialProviderError:  # only the cgroup can then tell two kubelets apart
            return 0

    return find_kubelet(tree.outside("/proc"), root=tree.root or "/", main_pid=ask)


def _with_places(tree: HostReader, facts: NodeFacts) -> NodeFacts:
    """Return *facts* with what the flags point to, and the properties of all folders that may be written."""
    path, bin_dir = facts.given
    if facts.rancher is not None:
        try:
            own_path, own_bin_dir = given(facts.rancher)
        except PlacementRefusedError:  # raised again when a placement is chosen
            own_path = own_bin_dir = ""
        path = own_path or path or f"{RANCHER}/config.yaml"
        bin_dir = own_bin_dir or bin_dir or f"{RANCHER}/bin"
    sources = facts.unit.environment_files if facts.unit else ()
    files = [source.path for source in sources] + [ACK_ARGUMENTS, path]
    folders = {"/", "/etc", "/etc/systemd/system", "/opt", "/usr", "/var", OWN_FOLDER, *BIN_DIRS, bin_dir, path}
    folders |= {facts.rancher.drop_ins} if facts.rancher else set()
    folders |= {f"/etc/rancher/{name}" for name in supervision.RANCHERS} | {file.rpartition("/")[0] for file in files}
    executables = [name for name in tree.listed(bin_dir) if tree.is_program(f"{bin_dir}/{name}")] if bin_dir else []
    return replace(
        facts,
        config=provider_config(tree, path),
        executables=frozenset(executables),
        folders={folder: tree.folder(folder) for folder in sorted(filter(None, folders))},
    )


def provider_config(tree: HostReader, path: str) -> ProviderConfig | None:
    """Return the configuration at *path*, with the files that a kubelet would read there; None if there is none."""
    if path and tree.is_folder(path):
        folder = path.rstrip("/")
        names = [
            name for name in tree.listed(path) if name.endswith(SUFFIXES) and not tree.is_folder(f"{folder}/{name}")
        ]
        files = (tree.read(f"{folder}/{name}") or HostFile(name, b"") for name in names)
        named = tuple(replace(file, path=f"{folder}/{name}") for file, name in zip(files, names, strict=True))
        return ProviderConfig(path, is_directory=True, files=named)
    file = tree.read(path) if path else None
    return ProviderConfig(path, is_directory=False, files=(file,)) if file else None


def _running(
    tree: HostReader,
    process: Kubelet | None,
    rancher: Rancher | None,
    unit: KubeletUnit | None,
    version: Version | None,
) -> RunningKubelet | None:
    if process is None:
        return None
    config, bin_dir = process.config, process.bin_dir
    if rancher is not None and not (config or bin_dir):
        defaults = f"{RANCHER}/config.yaml", f"{RANCHER}/bin"
        if tree.is_folder(defaults[1]) and tree.mode(defaults[0]):
            config, bin_dir = defaults
    return RunningKubelet(
        pid=process.pid,
        program=process.program,
        arguments=process.arguments,
        config=config,
        bin_dir=bin_dir,
        version=version,
        unit=unit.name if unit else "",
        environment=_environment(tree, process.pid, (EXTRA_ARGUMENTS, ACK_VARIABLE)),
    )


def _environment(tree: HostReader, pid: int, names: tuple[str, ...]) -> dict[str, str]:
    """Return those of *names* that process *pid* was started with."""
    lines = tree.text(f"/proc/{pid}/environ").split("\0")
    return {name: value for name, equals, value in (line.partition("=") for line in lines) if equals and name in names}


def _rancher(tree: HostReader, process: Kubelet | None, *, is_image: bool) -> Rancher | None:
    if process is not None:
        name = next((name for name in supervision.RANCHERS if process.unit.startswith(name)), "")
        unit = process.unit
        if not name and os.path.basename(process.arguments[0].split(" ")[0]) in supervision.RANCHERS:
            name = os.path.basename(process.arguments[0].split(" ")[0])
            unit = next(
                (unit for unit in supervision.RANCHERS[name] if unit_file(tree, unit)), supervision.RANCHERS[name][0]
            )
    else:
        units = [
            (name, unit) for name, units in supervision.RANCHERS.items() for unit in units if unit_file(tree, unit)
        ]
        if not units and is_image:  # before its first start: its program or its configuration
            signs = [
                (name, f"/usr/local/bin/{name}", f"/etc/rancher/{name}/config.yaml") for name in supervision.RANCHERS
            ]
            units = [(name, supervision.RANCHERS[name][0]) for name, *paths in signs if any(map(tree.mode, paths))]
        name, unit = units[0] if units and not unit_file(tree, KUBELET_UNIT) else ("", "")
    return Rancher(name, unit) if name else None


def _with_files(tree: HostReader, process: Kubelet | None, rancher: Rancher, unit: KubeletUnit | None) -> Rancher:
    """Return *rancher* with its configuration: its arguments, and the files that they or its environment name."""
    words = unit.words() if unit else []
    if not words and process is not None:  # it hides them once it runs, but for an older one
        words = list(process.arguments)
    start = next((at for at, word in enumerate(words) if word in ("server", "agent")), len(words))
    variable = f"{rancher.name.upper()}_CONFIG_FILE"
    path = unit.value(variable) if unit else ""
    path = path or (_environment(tree, process.pid, (variable,)).get(variable, "") if process else "")
    path = path or config_file(words[start + 1 :])
    first = path or f"{rancher.folder}/config.yaml"
    paths = [first, *(f"{first}.d/{name}" for name in tree.listed(f"{first}.d") if name.lower().endswith(_YAML))]
    contents = [(path, tree.read(path) if path.startswith("/") else None) for path in paths]
    files = tuple(replace(file, path=name) for name, file in contents if file)
    return replace(rancher, files=files, arguments=tuple(words[start + 1 :]), config_file=path)


def _version(
    tree: HostReader, process: Kubelet | None, unit: KubeletUnit | None, rancher: Rancher | None, run: Run
) -> Version | None:
    programs = [process.program] if process else []  # the next start runs what is there now
    programs += unit.command[:1] if unit else []
    programs += [f"/usr/local/bin/{rancher.name}", f"/usr/bin/{rancher.name}"] if rancher else _PROGRAMS
    for program in programs:
        if program and tree.is_program(program):
            match = _VERSION.search(run([program, "--version"]))
            if match:
                return int(match[1]), int(match[2])
    return None


def _runner(root: str) -> Run:
    """Return a function that runs a program of the node that only root can change, and no script."""

    def run(words: Sequence[str]) -> str:
        environment = {"PATH": host_exec.PATH, "LC_ALL": "C"}
        try:
            command = host_exec.Command(words, may_be_script=False)
            ended = host_exec.run(command, root=root, seconds=SECONDS, environment=environment)
        except ServiceError:
            return ""
        return ended.stdout.decode("utf-8", "replace")

    return run


def _system(tree: HostReader) -> OperatingSystem:
    file = tree.read("/etc/os-release") or tree.read("/usr/lib/os-release")
    is_openshift = tree.is_folder("/etc/machine-config-daemon")
    try:
        release = EnvironmentFile.parse(file.content if file else b"")
    except ConfigurationError:
        return OperatingSystem(is_openshift=is_openshift)
    is_openshift = is_openshift or bool(release.value("OPENSHIFT_VERSION"))
    return OperatingSystem((release.value("ID") or "").lower(), is_openshift)


def _is_user_namespaced(tree: HostReader) -> bool:
    """True if our user namespace is another one than that of the node's first process."""
    is_shared = host_exec.shares("user", tree.root or "/")
    if is_shared is not None:
        return not is_shared
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return file.read().split() != ["0", "0", "4294967295"]
    except OSError:
        return False
