"""A node of a layout: a tree with a /proc of its own, and a systemd that starts its kubelet by what the files say."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import yaml
from acr_credential_provider.kubelet.config_validation import problems
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG, flag
from acr_node_config.discovery import discovery
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.install.node import Node
from acr_node_config.install.rollback_guard import Guard
from acr_node_config.install.state import InstallerFolder
from acr_node_config.install.system import HostSystem
from acr_node_config.kubelet.health_gate import Clock, HealthGate
from acr_node_config.kubelet.service_manager import ServiceState
from acr_node_config.kubelet_config.document import Document
from acr_node_config.model.errors import ServiceError
from support.node_sites import OTHERS, OTHERS_CONFIG, OTHERS_YAML
from systems.layout import Layout, Process
from systems.unit_model import Unit

if TYPE_CHECKING:
    from pathlib import Path

    from acr_node_config.model.facts import NodeFacts

RANCHER = "/var/lib/rancher/credentialprovider"
USUAL = (
    "/etc/default",
    "/etc/systemd/system/multi-user.target.wants",
    "/opt",
    "/var/lib/kubelet",
    "/var/cache",
    "/run",
    "/proc/1",
)
"""Folders that each of these systems has, or gets a link in place of."""


class SystemNode:
    """The node of *layout*; with *has_others* its kubelet has credential providers of someone else already."""

    def __init__(self, folder: Path, layout: Layout, *, has_others: bool = False, starts: bool = True) -> None:
        self.layout = layout
        self.root = folder / "host"
        self.fault = ""
        self._started = 0
        self._pids: dict[str, int] = {}
        """The main process of each unit that runs."""
        self._set_up(has_others=has_others)
        if starts:
            self.start()
            assert not self.fault, self.fault

    # Its files.
    def at(self, path: str) -> Path:
        """Return where *path* of the node is here, symlinks resolved as on the node."""
        found = self.root
        names = path.strip("/").split("/")
        for hops, name in enumerate(names):
            assert hops < 64
            found = found / name
            while found.is_symlink():
                target = os.readlink(found)
                base = self.root if target.startswith("/") else found.parent
                found = self.at("/" + os.path.relpath(os.path.normpath(f"{base}/{target}"), self.root))
        return found

    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        file = self.at(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)

    def read(self, path: str) -> str | None:
        file = self.at(path)
        return file.read_text() if file.is_file() else None

    def tree(self) -> dict[str, str]:
        """Return all that is on the node but /proc: bytes, modes, owners, links."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = "/" + str(path.relative_to(self.root))
            if name.startswith("/proc/"):
                continue
            seen = path.lstat()
            what = f"{stat.S_IFMT(seen.st_mode):o} {seen.st_mode:o} {seen.st_uid}:{seen.st_gid} "
            if path.is_symlink():
                what = f"-> {os.readlink(path)}"
            elif path.is_file():
                what += hashlib.sha256(path.read_bytes()).hexdigest()
            found[name] = what
        return found

    def give(self, flags: dict[str, str]) -> None:
        """Do what this system's operator does to give the kubelet *flags* by hand."""
        self.set_up_files(flags)
        self.start()

    def set_up_files(self, flags: dict[str, str] | None = None, *, keep: bool = False) -> None:
        """Write the system's files, with an operator's *flags*; with *keep*, those that are there stay."""
        for path in self.layout.files:
            if not (keep and self.at(path).exists()):
                self.write(path, self.layout.text(path, flags or {}), self._mode(path))
        for program in filter(None, (self.layout.kubelet, *self.layout.programs)):
            self.write(program, b"\x7fELF", 0o755)

    def _mode(self, path: str) -> int:
        return 0o755 if self.layout.files[path].startswith("#!") else 0o644

    def _set_up(self, *, has_others: bool) -> None:
        layout = self.layout
        self.root.mkdir()
        for path, target in layout.links.items():
            link = self.root / path.strip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
            self.at(path).mkdir(parents=True, exist_ok=True)
        for path in USUAL:
            self.at(path).mkdir(parents=True, exist_ok=True)
        self.write("/etc/os-release", "".join(f'{name}="{value}"\n' for name, value in layout.os.items()))
        self.write("/proc/stat", "btime 1700000000\n")
        self._namespaces(1)
        if has_others:
            self._put_others()
        self.set_up_files(self.others() if has_others else {})
        for path in [self.root, *self.root.rglob("*")]:
            if path.is_dir() and not path.is_symlink() and "proc" not in path.parts[len(self.root.parts) :]:
                path.chmod(0o755)

    def others(self) -> dict[str, str]:
        """Return the two flags that point to the providers of someone else here."""
        named = self.layout.others
        return {
            CONFIG_FLAG: named.get("config", "/etc/kubernetes/credentials.yaml"),
            BIN_DIR_FLAG: named.get("bin-dir", "/opt/credential-providers"),
        }

    def _put_others(self) -> None:
        path, bin_dir = self.others().values()
        text = json.dumps(OTHERS_CONFIG, indent=2) if path.endswith(".json") else OTHERS_YAML
        name = self.layout.others.get("provider", OTHERS)
        self.write(path, text.replace(OTHERS, name), 0o600)
        self.write(f"{bin_dir.rstrip('/')}/{name}", "#!/bin/sh\n", 0o755)

    # What runs.
    def stop(self) -> None:
        """End all that runs."""
        for pid in filter(lambda name: name.isdigit() and name != "1", os.listdir(self.root / "proc")):
            _remove(self.root / "proc" / pid)
        self._pids = {}

    def start(self) -> str:
        """Start the kubelet anew; return why it does not run, "" if it does."""
        self.stop()
        self._run_guard()
        self.fault = self._fault()
        if self.fault:
            return self.fault
        self._started += 100
        for number, process in enumerate(self._processes()):
            pid = self._started + number
            parent = 1 if process.parent is None else self._started + process.parent
            self._put_process(pid, parent, process)
            if process.unit and process.parent is None:
                self._pids[process.unit] = pid
        return ""

    def kubelet_words(self) -> list[str]:
        """Return the flags that the kubelet of the next start gets, wherever they come from."""
        if self.layout.kubelet_words:
            return ["kubelet", *self._words(self.layout.kubelet_words)]
        if self.layout.rancher:
            return ["kubelet", *(f"--{name}={value}" for name, value in self._rancher_flags().items())]
        return list(self._processes()[-1].words)

    def _processes(self) -> list[Process]:
        unit = self.layout.unit
        given = self.layout.processes or (Process(self.layout.kubelet or "kubelet", (), unit),)
        found = []
        for process in given:
            words = self._words(process.words) if process.words else self._unit().words()
            if self.layout.rancher and not process.words:
                words = [" ".join(words[:2])]  # it overwrites its command line
            found.append(replace(process, words=tuple(words), unit=process.unit or ("" if process.container else unit)))
        return found

    def _words(self, sources: tuple[str, ...]) -> list[str]:
        words: list[str] = []
        for source in sources:
            taken = re.fullmatch(r"\$(OPTION|AFTER|PRE)\((.*)\)", source)
            if source == "$@":
                words += self._unit().words()[1:]
            elif source == "$FLAGS":
                words += [f"--{name}={value}" for name, value in self._rancher_flags().items()]
            elif source.startswith("@"):
                words += shlex.split(self.read(source[1:]) or "")
            elif source.startswith("="):
                words += shlex.split(re.search(r"^command=(.*)$", self.read(source[1:]) or "", re.MULTILINE)[1])
            elif taken and taken[1] == "OPTION":
                words += flag(self._unit().words(), taken[2].lstrip("-")).split()
            elif taken:
                command = self._unit().before[-1] if taken[1] == "PRE" else self._unit().commands[-1]
                words += self._unit().expanded(command.partition(taken[2])[2])
            else:
                words.append(source)
        return words

    def _unit(self) -> Unit:
        listed = [path for path in self.tree() if path.endswith(".conf")]
        return Unit(self.layout.unit or "none.service", self.read, listed)

    def _rancher_flags(self) -> dict[str, str]:
        """Return what k3s or RKE2 hands to its kubelet: its files in order, ``kubelet-arg`` last, else its defaults."""
        first = f"/etc/rancher/{self.layout.rancher}/config.yaml"
        folder = self.at(f"{first}.d")
        paths = (
            [first, *(f"{first}.d/{name}" for name in sorted(os.listdir(folder)) if name.endswith(".yaml"))]
            if (folder.is_dir())
            else [first]
        )
        values: dict[str, Any] = {}
        for path in paths:
            for key, value in (yaml.safe_load(self.read(path) or "") or {}).items():
                name = key.removesuffix("+")
                values[name] = [*values.get(name, []), *value] if key.endswith("+") else value
        names = (CONFIG_FLAG, BIN_DIR_FLAG)
        flags = {name: values[name] for name in names if name in values}
        arguments = dict(each.split("=", 1) for each in values.get("kubelet-arg", []))
        defaults = dict(zip(names, (f"{RANCHER}/config.yaml", f"{RANCHER}/bin"), strict=True))
        if not flags and all(self.at(path).exists() for path in defaults.values()):
            flags = defaults
        return {**flags, **arguments}

    def _run_guard(self) -> None:
        """Do what our guard does before a start: give the flags if the program and the configuration are there."""
        for command in self._unit().before:
            script = self.read(command.removeprefix("-/bin/sh ")) if command.startswith("-/bin/sh /") else None
            found = dict(re.findall(r"^(flags|program|config)=(\S+)$", script or "", re.MULTILINE))
            if len(found) == 3 and self.at(found["program"]).exists() and self.at(found["config"]).exists():
                variable, bin_dir = re.search(r"\n\s+(\w+) \"\$config\" (\S+) >", script).groups()
                given = f"--{CONFIG_FLAG}={found['config']} --{BIN_DIR_FLAG}={bin_dir}"
                self.write(found["flags"], f'{variable}="{given}"\n')

    def _fault(self) -> str:
        """Return why a kubelet with the next start's flags exits at once, "" if it does not."""
        words = self.kubelet_words()
        config, bin_dir = flag(words, CONFIG_FLAG), flag(words, BIN_DIR_FLAG)
        if not (config or bin_dir):
            return ""
        if not (config and bin_dir):
            return "one of the two flags alone"
        unseen = [path for path in (config, bin_dir) if self.layout.sees and not path.startswith(self.layout.sees)]
        if unseen:
            return f"its container does not have {unseen[0]}"
        place, folder = self.at(config), self.at(bin_dir)
        if not place.exists() or not folder.is_dir():
            return f"{config} or {bin_dir} is not there"
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        texts = {str(file): file.read_bytes() for file in files}
        runnable = [name for name in os.listdir(folder) if os.access(self.at(f"{bin_dir}/{name}"), os.X_OK)]
        wrong = problems(texts, self.version, is_directory=place.is_dir(), executables=runnable)
        return str(wrong[0]) if wrong else ""

    def providers(self) -> list[str]:
        """Return the names of the providers that the kubelet of the next start has."""
        config = flag(self.kubelet_words(), CONFIG_FLAG)
        return list(Document.parse(self.at(config).read_bytes(), config).names) if config else []

    @property
    def version(self) -> tuple[int, int]:
        major, minor = self.layout.version.split(".")
        return int(major), int(minor)

    def _put_process(self, pid: int, parent: int, process: Process) -> None:
        where = f"/proc/{pid}"
        cgroup = process.cgroup or (f"/system.slice/{process.unit}" if process.unit else "/")
        name = os.path.basename(process.program)
        self.write(f"{where}/cmdline", "".join(f"{word}\0" for word in process.words))
        self.write(f"{where}/status", f"Name:\t{name}\nPPid:\t{parent}\nUid:\t0\t0\t0\t0\n")
        self.write(f"{where}/cgroup", f"0::{cgroup}\n")
        self.write(f"{where}/environ", self._environ(process))
        self.write(f"{where}/stat", f"{pid} ({name}) S {parent} " + " ".join(["0"] * 17) + f" {pid}\n")
        (self.root / f"proc/{pid}/exe").symlink_to(process.program)
        self._namespaces(pid, is_container=process.container)

    def _environ(self, process: Process) -> str:
        is_of_unit = process.unit and process.unit == self.layout.unit and self._unit().exists
        return "".join(f"{name}={value}\0" for name, value in self._unit().variables.items()) if is_of_unit else ""

    def _namespaces(self, pid: int, *, is_container: bool = False) -> None:
        folder = self.root / f"proc/{pid}/ns"
        folder.mkdir(parents=True, exist_ok=True)
        for kind in ("user", "mnt", "net", "pid"):
            is_own = is_container and kind == "mnt"
            (folder / kind).symlink_to("/proc/self/ns/ipc" if is_own else f"/proc/self/ns/{kind}")

    # The installer on it.
    def installer(self, *, is_image: bool = False) -> Node:
        """Return the installer of this node."""
        host = HostFiles(str(self.root))
        state = InstallerFolder(host)
        time = [0.0]
        clock = Clock(lambda: time[0], lambda seconds: time.__setitem__(0, time[0] + seconds))
        has_systemd = bool(self.layout.unit) and not is_image
        service = NodeSystemd(self) if has_systemd else None
        return Node(
            host,
            state,
            Guard(host, state.folder, service),
            TreeSystem(host, service, is_image, self),
            HealthGate(clock),
        )

    def folders(self, facts: NodeFacts) -> NodeFacts:
        """Return *facts* with the file systems that are read-only or noexec on such a node."""
        known = {
            path: replace(
                folder,
                is_writable=folder.is_writable and self.is_writable(path),
                is_executable=folder.is_executable and not _longest(self._resolved(path), self.layout.noexec),
            )
            for path, folder in facts.folders.items()
        }
        return replace(facts, folders=known)

    def is_writable(self, path: str) -> bool:
        """True if *path* is on a file system that is not read-only on such a node."""
        read_only, writable = (
            _longest(self._resolved(path), each) for each in (self.layout.read_only, self.layout.writable)
        )
        return read_only <= writable

    def past_links(self, path: str) -> str:
        """Return *path* with the symlinks on the way to its last name resolved."""
        folder, _, name = path.rpartition("/")
        return f"{self._resolved(folder).rstrip('/')}/{name}" if folder else path

    def _resolved(self, path: str) -> str:
        return "/" + str(self.at(path).relative_to(self.root))

    def main_pid(self, unit: str) -> int:
        return self._pids.get(unit, 0)


def _longest(path: str, folders: tuple[str, ...]) -> int:
    """Return the length of the longest of *folders* that *path* is in, 0 for none."""
    inside = (each for each in folders if f"{path}/".startswith(f"{each.rstrip('/')}/"))
    return max(map(len, inside), default=0)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


@dataclass
class NodeSystemd:
    """The node's systemd, as far as it can be asked without D-Bus: units are read from their files."""

    node: SystemNode

    def state(self, unit: str) -> ServiceState:
        pid = self.node.main_pid(unit)
        return ServiceState("active" if pid else "activating", pid, 0, "" if pid else "exit-code")

    def text(self, unit: str):
        raise ServiceError(f"{unit} is not asked for here", remedy="Read its files.")

    def restart(self, _unit: str) -> None:
        self.node.start()

    def start(self, unit: str) -> None:
        pass

    def stop(self, unit: str) -> None:
        pass

    def reload(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class TreeSystem(HostSystem):
    """`HostSystem` of a tree: no program of it can be run."""

    node: SystemNode | None = None

    def discover(self) -> NodeFacts:
        service = self.service
        facts = discovery.discover(
            self.host.root,
            ask_unit=service.text if service else None,
            main_pid=self.node.main_pid,
            run=lambda _words: f"Kubernetes v{self.node.layout.version}.1\n",
            is_image=self.is_image,
        )
        return self.node.folders(facts)

    def smoke_test(self, tree: str) -> None:
        assert self.node.at(tree).is_dir()
