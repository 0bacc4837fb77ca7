"""Looks at a node: its kubelet, where that one's flags come from, what there is of credential providers already.

Only looks. In a container, the node's root is mounted at *root*, and its /proc with it.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from acr_credential_provider.kubelet.config_validation import SUFFIXES
from acr_credential_provider.kubelet.process import CONFIG_FLAG, RANCHER, Kubelet, find_kubelet
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError

from acr_node_config.hostfs import host_exec
from acr_node_config.hostfs.host_reader import HostReader
from acr_node_config.model.environment_file import EnvironmentFile
from acr_node_config.model.errors import ServiceError
from acr_node_config.model.facts import (
    ABSENT,
    ACK_ARGUMENTS,
    ACK_VARIABLE,
    EXTRA_ARGUMENTS,
    EnvironmentSource,
    Folder,
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

from . import unit_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    AskUnit = Callable[[str], "UnitText"]
    MainPid = Callable[[str], int]
    Run = Callable[[Sequence[str]], str]

KUBELET_UNIT = "kubelet.service"
SECONDS = 10.0
"""For the kubelet to say its version."""

_PROGRAMS = ("/usr/bin/kubelet", "/usr/local/bin/kubelet", "/opt/bin/kubelet")
_RANCHERS = {"k3s": ("k3s.service", "k3s-agent.service"), "rke2": ("rke2-server.service", "rke2-agent.service")}
_YAML = (".yaml", ".yml")
_VERSION = re.compile(r"\bv(\d{1,3})\.(\d{1,3})\.\d")


class UnitText(Protocol):
    """What systemd says of a unit, as `unit_files.UnitText`."""

    @property
    def command(self) -> tuple[str, ...]:
        """``ExecStart=``, word by word."""

    @property
    def environment(self) -> tuple[str, ...]:
        """``Environment=``, ``NAME=VALUE`` each."""

    @property
    def files(self) -> tuple[tuple[str, bool], ...]:
        """``EnvironmentFile=``: each path, and whether it may be absent."""

    @property
    def passed(self) -> tuple[str, ...]:
        """``PassEnvironment=``, names."""

    @property
    def unset(self) -> tuple[str, ...]:
        """``UnsetEnvironment=``, ``NAME`` or ``NAME=VALUE`` each."""


def discover(
    root: str = "/",
    *,
    ask_unit: AskUnit | None = None,
    main_pid: MainPid | None = None,
    run: Run | None = None,
    is_image: bool = False,
) -> NodeFacts:
    """Return the facts of the node whose / is at *root*.

    *ask_unit* asks systemd about a unit; without it, the unit's files are read. *main_pid* asks it
    for a unit's main process. *run* runs a program of the node's and returns what it prints, "" for
    nothing. With *is_image* the tree is a node to be: no process of this machine is its kubelet.
    Raises `ConfigurationError` when more than one kubelet runs, or its configuration cannot be read.
    """
    tree = HostReader(root)
    run = run or _runner(root)
    process = None if is_image else _process(tree, main_pid)
    rancher = _rancher(tree, process)
    unit = _unit(tree, process, rancher, None if is_image else ask_unit)
    rancher = _with_files(tree, process, rancher, unit) if rancher else None
    version = _version(tree, process, unit, rancher, run)
    kubelet = _running(tree, process, rancher, unit, version)
    facts = NodeFacts(
        system=_system(tree),
        kubelet=kubelet,
        version=version,
        unit=unit,
        rancher=rancher,
        ack_arguments=tree.read(ACK_ARGUMENTS),
        has_systemd=tree.is_folder("/run/systemd/system"),
        has_dbus=bool(tree.mode("/run/dbus/system_bus_socket") or tree.mode("/run/systemd/private")),
        is_user_namespaced=_is_user_namespaced(tree),
        is_image=is_image,
    )
    return _with_places(tree, facts)


def _process(tree: HostReader, main_pid: MainPid | None) -> Kubelet | None:
    def ask(unit: str) -> int:
        try:
            return main_pid(unit) if main_pid else 0
        except CredentialProviderError:  # without its word, only a unit can tell two kubelets apart
            return 0

    return find_kubelet(tree.outside("/proc"), root=tree.root or "/", main_pid=ask)


def _with_places(tree: HostReader, facts: NodeFacts) -> NodeFacts:
    """Return *facts* with what is where the flags point, and what can be done where things may go."""
    path, bin_dir = facts.given
    if facts.rancher is not None:
        try:
            theirs = given(facts.rancher)
        except PlacementRefusedError:  # said where it is asked where things go
            theirs = "", ""
        path = theirs[0] or path or f"{RANCHER}/config.yaml"
        bin_dir = theirs[1] or bin_dir or f"{RANCHER}/bin"
    sources = facts.unit.environment_files if facts.unit else ()
    files = [source.path for source in sources] + [ACK_ARGUMENTS, path]
    folders = {"/", "/etc", "/opt", "/usr", "/var", OWN_FOLDER, *BIN_DIRS, bin_dir, path}
    folders |= {facts.rancher.drop_ins} if facts.rancher else set()
    folders |= {f"/etc/rancher/{name}" for name in _RANCHERS} | {each.rpartition("/")[0] for each in files}
    found: dict[str, Folder] = {each: tree.folder(each) for each in sorted(filter(None, folders))}
    names = frozenset(name for name in tree.listed(bin_dir) if tree.is_program(f"{bin_dir}/{name}"))
    return replace(
        facts, config=provider_config(tree, path), executables=names if bin_dir else frozenset(), folders=found
    )


def provider_config(tree: HostReader, path: str) -> ProviderConfig | None:
    """Return what stands at *path*, with the files that a kubelet would read there; None when nothing does."""
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


def _rancher(tree: HostReader, process: Kubelet | None) -> Rancher | None:
    if process is not None:
        name = next((name for name in _RANCHERS if process.unit.startswith(name)), "")
        unit = process.unit
        if not name and os.path.basename(process.arguments[0].split(" ")[0]) in _RANCHERS:
            name = os.path.basename(process.arguments[0].split(" ")[0])
            unit = next((each for each in _RANCHERS[name] if _unit_file(tree, each)), _RANCHERS[name][0])
    else:
        found = [(name, unit) for name, units in _RANCHERS.items() for unit in units if _unit_file(tree, unit)]
        name, unit = found[0] if found and not _unit_file(tree, KUBELET_UNIT) else ("", "")
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
    files = [(each, tree.read(each) if each.startswith("/") else None) for each in paths]
    found = tuple(replace(file, path=each) for each, file in files if file)
    return replace(rancher, files=found, arguments=tuple(words[start + 1 :]), config_file=path)


def _unit(
    tree: HostReader, process: Kubelet | None, rancher: Rancher | None, ask_unit: AskUnit | None
) -> KubeletUnit | None:
    if rancher is not None:
        return _told(tree, rancher.unit, ask_unit if _unit_file(tree, rancher.unit) else None) or KubeletUnit(
            rancher.unit
        )
    # A kubelet with --kubelet-cgroups leaves its unit's cgroup; that it is of no unit shows when it is to be restarted.
    name = (process.unit if process is not None else "") or KUBELET_UNIT
    if not (_unit_file(tree, name) or (ask_unit and process and process.unit)):
        return None
    return _told(tree, name, ask_unit)


def _told(tree: HostReader, name: str, ask_unit: AskUnit | None) -> KubeletUnit | None:
    """Return what systemd says of the unit *name*, or where it can't be asked, what its files say; None if nothing."""
    text: UnitText = unit_files.UnitText()
    if ask_unit is not None:
        try:
            text = ask_unit(name)
        except CredentialProviderError:  # what its files say is the next best thing
            text = _unit_text(tree, name)
    else:
        text = _unit_text(tree, name)
    if not text.command:
        return None
    sources = tuple(source for path, is_optional in text.files for source in _sources(tree, path, is_optional))
    environment = dict(each.split("=", 1) for each in text.environment if "=" in each)
    scripts = tuple(word for word in text.command if _names_providers(tree, word))
    return KubeletUnit(name, tuple(text.command), environment, sources, text.passed, text.unset, scripts)


def _sources(tree: HostReader, path: str, is_optional: bool) -> list[EnvironmentSource]:
    """Return the files that systemd reads for one ``EnvironmentFile=``: it may be a pattern."""
    if "%" in path or "\\" in path:
        return [EnvironmentSource(path, is_optional, None, "has a specifier or an escape that only systemd resolves")]
    paths = tree.matching(path) if set(path) & set("*?[") else [path]
    return [
        EnvironmentSource(each, is_optional, file, _source_problem(tree, each, is_optional, file))
        for each in paths or [path]
        for file in [tree.read(each)]
    ]


def _source_problem(tree: HostReader, path: str, is_optional: bool, file: HostFile | None) -> str:
    if file is not None:
        return ""
    if tree.mode(path):
        return "is no file that can be read"
    return "" if is_optional else ABSENT


def _names_providers(tree: HostReader, word: str) -> bool:
    """Return True if *word* of a command is a script that names credential providers, so that ours may lose theirs."""
    file = tree.read(word) if word.startswith("/") else None
    return file is not None and not file.content.startswith(b"\x7fELF") and CONFIG_FLAG.encode() in file.content


def _unit_file(tree: HostReader, name: str) -> HostFile | None:
    files = (tree.read(f"{folder}/{name}") for folder in unit_files.FOLDERS)
    return next(filter(None, files), None)


def _unit_text(tree: HostReader, name: str) -> unit_files.UnitText:
    main = _unit_file(tree, name)
    if main is None:
        return unit_files.UnitText()
    folders = [f"{folder}/{name}.d" for folder in unit_files.FOLDERS]
    drop_ins = unit_files.ordered((folder, each) for folder in folders for each in tree.listed(folder))
    files = (tree.read(f"{folder}/{each}") for folder, each in drop_ins)
    return unit_files.parse([main.content, *(each.content for each in files if each)], name)


def _version(
    tree: HostReader, process: Kubelet | None, unit: KubeletUnit | None, rancher: Rancher | None, run: Run
) -> Version | None:
    programs = [process.program] if process else []  # the next start runs what is there now
    programs += unit.command[:1] if unit else []
    programs += [f"/usr/local/bin/{rancher.name}", f"/usr/bin/{rancher.name}"] if rancher else _PROGRAMS
    for program in programs:
        if program and tree.is_program(program):
            found = _VERSION.search(run([program, "--version"]))
            if found:
                return int(found[1]), int(found[2])
    return None


def _runner(root: str) -> Run:
    """Return what runs a program of the node's that only root can change. A script could do anything but answer."""

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
    name, like, version, variant = (
        (release.value(key) or "").lower() for key in ("ID", "ID_LIKE", "VERSION_ID", "VARIANT_ID")
    )
    is_openshift = is_openshift or bool(release.value("OPENSHIFT_VERSION"))
    return OperatingSystem(name, tuple(like.split()), version, variant, is_openshift)


def _is_user_namespaced(tree: HostReader) -> bool:
    """Say whether our user namespace is another one than that of the node's first process."""
    is_shared = host_exec.shares("user", tree.root or "/")
    if is_shared is not None:
        return not is_shared
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return file.read().split() != ["0", "0", "4294967295"]
    except OSError:
        return False
